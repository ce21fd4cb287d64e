"""Many sequences in one array with padding between them, so that a sum over each of them is one call of numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from biorrn.encoders.alphabets import N_TOKENS, RESIDUES, UNKNOWN

GAP = 12  # padding tokens after each sequence: a product of two residues up to 12 apart never joins two sequences


def by_token(values: Mapping[str, float], other: float = 0.0) -> np.ndarray:
    """Return float64 (22,): the value of each token; `other` for X and unnamed residues, 0 for padding.

    >>> by_token({"C": 2.0}, other=1.0)[:3].tolist()
    [0.0, 1.0, 2.0]
    """
    return np.array([0.0, *(values.get(residue, other) for residue in RESIDUES)])


def member(letters: str) -> np.ndarray:
    """Return float64 (22,): 1 for the tokens of these residues, else 0."""
    return by_token(dict.fromkeys(letters, 1.0))


@dataclass(frozen=True, slots=True)
class Layout:
    """N sequences laid out with `GAP` tokens of padding after each.

    Attributes
    ----------
    tokens : uint8 array (M,), M = residues + N * GAP; 0 is padding.
    starts : int64 array (N,): where each sequence starts in it.
    lengths : int64 array (N,): residues.
    counts : float64 array (N, 22): how often each token stands in each sequence; column 0 is 0.
    """

    tokens: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def size(self) -> np.ndarray:
        """Residues of each sequence as float64 (N,), at least 1: a divisor."""
        return np.maximum(self.lengths, 1).astype(np.float64)

    @property
    def known(self) -> np.ndarray:
        """Residues other than X as float64 (N,), at least 1: the divisor of a mean over residues that have a value."""
        return np.maximum(self.lengths - self.counts[:, UNKNOWN], 1.0)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over each sequence, float64 (N,), of values (M,) that are 0 on padding."""
        return np.add.reduceat(values, self.starts, dtype=np.float64)

    def along(self, values: np.ndarray) -> np.ndarray:
        """Return a value a token (22,) along the layout (M,)."""
        return values[self.tokens]


def lay_out(tokens: np.ndarray, lengths: np.ndarray) -> Layout:
    """Return the layout of sequences that stand one after another in `tokens` (total,), uint8, 1..21.

    Raises
    ------
    ValueError: the lengths do not sum to the number of tokens, or a token is not one of 1..21.
    """
    lengths = np.asarray(lengths, np.int64)
    if int(lengths.sum()) != len(tokens):
        raise ValueError(f"lengths sum to {int(lengths.sum())}; there are {len(tokens)} tokens")
    if len(tokens) and (tokens.min() < 1 or tokens.max() >= N_TOKENS):
        raise ValueError(f"tokens are {tokens.min()} to {tokens.max()}; allowed is 1 to {N_TOKENS - 1}")
    row = np.repeat(np.arange(len(lengths)), lengths)
    laid = np.zeros(len(tokens) + GAP * len(lengths), np.uint8)
    laid[np.arange(len(tokens)) + GAP * row] = tokens
    starts = np.cumsum(lengths) - lengths + GAP * np.arange(len(lengths))
    counts = np.bincount(row * N_TOKENS + tokens, minlength=len(lengths) * N_TOKENS).reshape(len(lengths), N_TOKENS)
    return Layout(laid, starts, lengths, counts.astype(np.float64))
