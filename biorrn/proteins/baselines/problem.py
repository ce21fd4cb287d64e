"""Input of the baselines: training rows, rows to predict, descriptors, one-hot and padded arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from biorrn.proteins.predictions import Proteins
from biorrn.sequences.alphabets import N_TOKENS
from biorrn.sequences.descriptors import descriptors

ALIGNED = 0.8  # of the longest training sequence: what nine in ten of them must reach to count as aligned
ALIGNED_LONGEST = 1_000  # residues; a column a residue and place is too wide beyond
CLIP = 10.0  # standard deviations: a descriptor of a row unlike all training rows is cut there


@dataclass(frozen=True)
class Problem:
    """Training rows that all have the target, and rows to predict.

    Attributes
    ----------
    target : float64 array (rows of `train`,): in the target's unit.
    seed : int: of everything that is drawn.
    threads : int: CPU threads to use.
    """

    train: Proteins
    target: np.ndarray
    rows: Proteins
    seed: int = 0
    threads: int = 1

    def some(self, limit: int) -> np.ndarray:
        """Return the sorted indices of at most `limit` training rows, drawn without replacement."""
        n = len(self.train)
        return np.arange(n) if n <= limit else np.sort(np.random.default_rng(self.seed).permutation(n)[:limit])

    @cached_property
    def described(self) -> tuple[np.ndarray, np.ndarray]:
        """The descriptors of the training rows and of the others, float32 (N, F)."""
        return tuple(descriptors(part.tokens, part.lengths) for part in (self.train, self.rows))  # type: ignore[return-value]

    @cached_property
    def standardised(self) -> tuple[np.ndarray, np.ndarray]:
        """The same at mean 0 and standard deviation 1 of the training rows; a constant column is 0."""
        train, rows = self.described
        mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
        scale = np.where(spread > 1e-6 * np.maximum(np.abs(mean), 1.0), 1.0 / np.maximum(spread, 1e-12), 0.0)
        scaled = (np.clip((part - mean) * scale, -CLIP, CLIP).astype(np.float32) for part in (train, rows))
        return tuple(scaled)  # type: ignore[return-value]

    @cached_property
    def aligned(self) -> bool:
        """Whether the training rows are of about one length, so that a place in one means the same in another."""
        longest = int(self.train.lengths.max())
        return longest <= ALIGNED_LONGEST and float(np.quantile(self.train.lengths, 0.1)) >= ALIGNED * longest

    def scale(self) -> tuple[float, float]:
        """Return weighted mean and standard deviation of the target; 1 where it is constant."""
        mean = float(np.average(self.target, weights=self.train.weights))
        spread = float(np.sqrt(np.average(np.square(self.target - mean), weights=self.train.weights)))
        return mean, spread if spread > 0 else 1.0


def places(rows: Proteins) -> np.ndarray:
    """Return the place of each residue in its row, int64 (residues,)."""
    return np.arange(len(rows.tokens)) - np.repeat(np.cumsum(rows.lengths) - rows.lengths, rows.lengths)


def one_hot(rows: Proteins, longest: int) -> Any:
    """Return rows as a sparse matrix (N, longest * 22): residue i of a row is the column 22 * i + token.

    Rows are aligned at their first residue; what lies beyond `longest` residues is cut.
    """
    from scipy.sparse import csr_matrix

    position = places(rows)
    kept = position < longest
    columns = (position * N_TOKENS + rows.tokens)[kept]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(rows.lengths, longest))])
    return csr_matrix((np.ones(len(columns)), columns, indptr), shape=(len(rows), longest * N_TOKENS))


def padded(rows: Proteins, longest: int) -> np.ndarray:
    """Return rows as uint8 (N, longest), padded with 0; what lies beyond `longest` residues is cut."""
    position = places(rows)
    kept = position < longest
    table = np.zeros((len(rows), longest), np.uint8)
    table[np.repeat(np.arange(len(rows)), rows.lengths)[kept], position[kept]] = rows.tokens[kept]
    return table
