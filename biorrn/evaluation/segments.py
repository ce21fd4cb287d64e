"""Segment overlap (SOV): how well predicted segments of one state cover the observed ones.

Zemla, Venclovas, Fidelis and Rost (1999), A modified definition of Sov, a segment-based measure for protein secondary
structure prediction assessment, Proteins 34, 220-223. For a state i, over pairs of an observed segment s1 and a
predicted one s2 that are both of state i and share a residue,

    SOV(i) = 1 / N(i)  sum over pairs  (minov + delta) / maxov  len(s1)
    delta  = min(maxov - minov, minov, int(len(s1) / 2), int(len(s2) / 2))
    N(i)   = sum over pairs len(s1)  +  sum over observed segments without a pair len(s1)

where minov is the overlap of the two and maxov their whole extent. SOV of a protein is the same with the sums over all
states. It lies in 0 to 1 here; the paper writes it in per cent. Nothing in it is drawn by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Overlap:
    """The two sums of SOV for each protein and state, float64 (N, S): SOV(i) is scored / possible, 0 / 0 undefined."""

    scored: np.ndarray
    possible: np.ndarray

    def of_proteins(self) -> np.ndarray:
        """Return the SOV of each protein over all states, float64 (N,); NaN where it has no labelled residue."""
        return ratio(self.scored.sum(axis=1), self.possible.sum(axis=1))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where the whole is 0."""
    usable = whole > 0
    return np.where(usable, part / np.where(usable, whole, 1.0), np.nan)


def segment_overlap(true: np.ndarray, predicted: np.ndarray, rows: np.ndarray, proteins: int, states: int) -> Overlap:
    """Return the sums of SOV for each protein and state.

    Parameters
    ----------
    true : int array (total,): observed state of each residue; -1 is not known, and ends segments of either side.
    predicted : int array (total,): predicted state of each residue.
    rows : int array (total,): the protein of each residue, not decreasing.
    proteins, states : int: N and S.

    >>> overlap = segment_overlap(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), np.zeros(4, int), 1, 2)
    >>> overlap.of_proteins().tolist()  # state 0: (2 + 1) / 3 of 3; state 1: (1 + 0) / 2 of 1
    [0.875]
    """
    scored, possible = np.zeros((2, proteins * states))
    known = true >= 0
    if not known.any():
        return Overlap(*(sums.reshape(proteins, states) for sums in (scored, possible)))
    # a gap between labelled residues ends a segment: residues that are neighbours stand next to each other in the file
    broken = np.r_[True, np.diff(rows) != 0] | ~known | np.r_[True, ~known[:-1]]
    first, second = (_numbered(states_of, broken)[known] for states_of in (true, predicted))
    cell = (rows * states + true)[known]  # protein and observed state of each labelled residue
    size1, size2 = np.bincount(first), np.bincount(second)
    own = np.zeros(len(size1), np.int64)
    own[first] = cell  # of each observed segment
    hit = true[known] == predicted[known]
    # two segments share one run of residues, so that the residues of a pair are its overlap
    pairs, minov = np.unique(np.stack([first[hit], second[hit]]), axis=1, return_counts=True)
    one, two = size1[pairs[0]], size2[pairs[1]]
    maxov = one + two - minov
    delta = np.minimum.reduce([maxov - minov, minov, one // 2, two // 2])
    scored += np.bincount(own[pairs[0]], (minov + delta) / maxov * one, proteins * states)
    lonely = np.setdiff1d(np.unique(first), pairs[0])
    possible += np.bincount(own[pairs[0]], one, proteins * states)
    possible += np.bincount(own[lonely], size1[lonely], proteins * states)
    return Overlap(*(sums.reshape(proteins, states) for sums in (scored, possible)))


def _numbered(states: np.ndarray, broken: np.ndarray) -> np.ndarray:
    """Return the number of the segment of each residue, int64 (total,); one starts where it is broken or changes."""
    return np.cumsum(broken | np.r_[True, states[1:] != states[:-1]]) - 1
