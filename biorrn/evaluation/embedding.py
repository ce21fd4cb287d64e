"""What an embedding has learned of the 20 residues: how alike it holds them, beside BLOSUM62, and a map of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from biorrn.encoders.alphabets import N_TOKENS
from biorrn.encoders.residues import STANDARD, blosum62
from biorrn.encoders.tokenisers import SPECIAL, Tokeniser
from biorrn.errors import ConfigError, InputError
from biorrn.readers.vectors import read_vectors

PERMUTATIONS = 9_999  # of the residues, for the p-value


@dataclass(frozen=True, slots=True)
class Comparison:
    """An embedding beside BLOSUM62; residues in the order of `STANDARD`.

    Attributes
    ----------
    similarity : float array (20, 20): cosine of the residues' vectors, their mean taken away before.
    blosum : float array (20, 20): BLOSUM62 scores, in half-bits.
    spearman : float: rank correlation of the two over the pairs of different residues.
    pairs : int: how many these are.
    p_value : float: part of the relabellings of residues that correlate as well (Mantel 1967), the true one counted.
    places : float array (20, 2): principal components of the vectors.
    explained : float array (2,): part of the variance that each axis shows.
    """

    similarity: np.ndarray
    blosum: np.ndarray
    spearman: float
    pairs: int
    p_value: float
    places: np.ndarray
    explained: np.ndarray

    def sentence(self) -> str:
        """Return the comparison in one line."""
        return (
            f"cosine similarity and BLOSUM62: Spearman {self.spearman:.2f} (n = {self.pairs} pairs of residues, "
            f"p {'≤' if self.p_value <= 1 / (PERMUTATIONS + 1) else '='} {self.p_value:.2g} by relabelling); "
            f"the map shows {100 * self.explained.sum():.0f} % of the variance"
        )


def residue_vectors(source: str | Path) -> np.ndarray:
    """Return the vectors of the 20 residues, float64 (20, F), of a table of vectors or of a model.

    Of k-mers, a residue has the mean over those that hold it, each as often as it does. Of an ensemble, the vectors of
    its members side by side. Of a language model, those by which its head tells residues apart: of its input vectors
    most stays as it was drawn at first (measured: Spearman with BLOSUM62 0.67 and 0.20).

    Raises
    ------
    ConfigError: no such table or model, or its front end learns no vectors of residues.
    InputError: it cannot be read, or has no vector of a residue.
    """
    if Path(source).is_file():
        table = read_vectors(source)
        return _of_words(source, table.words, table.vectors)
    from biorrn.models.heads import Tokens
    from biorrn.models.store import load_model

    stored = load_model(source)
    models: Any = getattr(stored.model, "members", [stored.model])
    found = []
    for model in models:
        if isinstance(getattr(model, "head", None), Tokens):
            tokeniser = Tokeniser.from_dict(stored.facts["tokeniser"])
            found.append(_of_symbols(source, tokeniser, model.head.output[-1].weight))
        elif (vectors := _of_frontend(source, getattr(model, "frontend", None))) is not None:
            found.append(vectors)
    if not found:
        raise ConfigError(f"{source}: its front end learns no vectors of residues; expected embedding or table")
    return np.concatenate(found, axis=1)


def _of_frontend(source: str | Path, frontend: Any) -> np.ndarray | None:
    if hasattr(frontend, "learned"):
        return _rows(frontend.learned.weight)
    if hasattr(frontend, "codes"):
        digits = frontend.codes.numpy()[:, None] // N_TOKENS ** np.arange(frontend.k - 1, -1, -1) % N_TOKENS  # (N, k)
        words = ["".join((STANDARD + "X")[digit - 1] for digit in row) for row in digits]
        return _of_words(source, words, frontend.vectors.detach().numpy()[:-1])
    if hasattr(frontend, "readers"):
        readers = frontend.readers
        return np.concatenate([_of_symbols(source, one.tokeniser, one.frontend.learned.weight) for one in readers], 1)
    return None


def _of_symbols(source: str | Path, tokeniser: Tokeniser, weight: Any) -> np.ndarray:
    """Return the vectors of the standard residues of a table (size, F): of longer symbols, the mean where it stands."""
    return _of_words(source, tokeniser.symbols, np.asarray(weight.detach().double())[SPECIAL:])


def _rows(weight: Any) -> np.ndarray:
    """Return the rows of the standard residues of a tensor (N_TOKENS, F)."""
    return np.asarray(weight.detach().double())[1 : len(STANDARD) + 1]


def _of_words(source: str | Path, words: list[str], vectors: np.ndarray) -> np.ndarray:
    counts = np.array([[word.count(residue) for residue in STANDARD] for word in words], np.float64)  # (N, 20)
    absent = [residue for residue, number in zip(STANDARD, counts.sum(0), strict=True) if not number]
    if absent:
        raise InputError(source, f"no word holds residue {absent[0]}; expected a vector for each of {STANDARD}")
    return (counts / counts.sum(0)).T @ vectors.astype(np.float64)


def compare(vectors: np.ndarray, seed: int = 0) -> Comparison:
    """Compare the vectors of the 20 residues, (20, F), with BLOSUM62.

    >>> from biorrn.encoders.residues import TABLES
    >>> compare(TABLES["blosum62"][1:21]).spearman > 0.7
    True
    """
    centred = vectors - vectors.mean(0)  # what all residues share says nothing of one
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    blosum = blosum62()
    upper = np.triu_indices(len(STANDARD), 1)
    rho = float(spearmanr(similarity[upper], blosum[upper]).statistic)
    rng = np.random.default_rng(seed)
    ranks = np.zeros_like(blosum)
    ranks[upper] = np.argsort(np.argsort(similarity[upper])) - (len(upper[0]) - 1) / 2
    ranks += ranks.T
    wanted = blosum[upper] @ ranks[upper]
    hits = 1
    for _ in range(PERMUTATIONS):
        order = rng.permutation(len(STANDARD))
        hits += int(blosum[order][:, order][upper] @ ranks[upper] >= wanted)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    share = sizes**2 / max(float((sizes**2).sum()), 1e-12)
    places, explained = np.zeros((len(STANDARD), 2)), np.zeros(2)
    shown = min(2, len(sizes))
    places[:, :shown], explained[:shown] = (left * sizes)[:, :shown], share[:shown]
    return Comparison(similarity, blosum, rho, len(upper[0]), hits / (PERMUTATIONS + 1), places, explained)
