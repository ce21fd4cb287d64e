"""Residues replaced at random by others that evolution puts in their place: an augmentation of training."""

from __future__ import annotations

import numpy as np

from biorrn.encoders.residues import STANDARD, blosum62

LAMBDA = 0.3176  # of BLOSUM62 without gaps, per half-bit: score = log(odds) / lambda (Karlin and Altschul 1990)


def conditional(background: np.ndarray) -> np.ndarray:
    """Return the probability (20, 20) that a residue (row) is replaced by another (column), 0 by itself.

    The odds of BLOSUM62 (Henikoff and Henikoff 1992) times the frequency of the new residue, over the sum of these.

    Parameters
    ----------
    background : float array (20,): how common each residue of `STANDARD` is; 0 or more.
    """
    # a residue that the data lacks may still come in, seldom
    common = background / max(1.0, background.sum()) + 1e-3
    odds = np.exp(LAMBDA * blosum62()) * common
    np.fill_diagonal(odds, 0.0)
    return np.asarray(odds / odds.sum(1, keepdims=True))


class Substitution:
    """Replaces residues; each sequence has its own share of replaced ones.

    Parameters
    ----------
    rate : float: mean share; that of a sequence is drawn evenly from 0 to twice it.
    background : float array (20,): see `conditional`.
    """

    def __init__(self, rate: float, background: np.ndarray) -> None:
        self.rate = rate
        self._sums = conditional(background).cumsum(1)

    def __call__(self, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return tokens (T,) of a protein with some replaced; X stays."""
        if self.rate <= 0:
            return tokens
        share = rng.uniform(0.0, 2 * self.rate)
        places = np.flatnonzero((rng.random(len(tokens)) < share) & (tokens <= len(STANDARD)))
        changed = tokens.copy()
        before = tokens[places].astype(np.int64) - 1
        drawn = (rng.random(len(places))[:, None] >= self._sums[before]).sum(1)
        # the last sum may be below 1 by rounding, which may not lead beyond the last residue, nor back to itself
        drawn = np.where(drawn >= len(STANDARD), np.where(before == 19, 18, 19), drawn)
        changed[places] = drawn + 1
        return changed
