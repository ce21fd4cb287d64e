"""Replicates: several measurements of one protein, their spread, and values that contradict one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

FEWEST = 5  # repeated measurements, or proteins with them, from which their spread is known
FAR = 5.0  # deviations of a repeat between the values of a protein, from which on they contradict one another ...
WIDE = 0.5  # ... if they are as many deviations of all values apart, too
WIDER = 1.0  # the same, where the spread of repeats is not known
NORMAL = 1.4826  # standard deviation of normal values, in medians of their absolute


@dataclass(frozen=True, slots=True)
class Repeats:
    """Repeated measurements of the proteins of a table.

    Attributes
    ----------
    proteins, rows : int: proteins with several values, and their rows.
    spread : float: standard deviation between measurements of one protein; NaN for fewer than `FEWEST`.
    contradicting : int: proteins whose values are too far apart to be measurements of the same thing.
    worst : rows (low, high) of the two values that are the farthest apart; () where none contradict.
    """

    proteins: int
    rows: int
    spread: float
    contradicting: int
    worst: tuple[int, ...] = ()

    def line(self, names: Sequence[str], values: np.ndarray) -> str:
        """Return a sentence about them, "" where there is nothing to tell.

        Parameters
        ----------
        names : list of str (N,): of the rows; values : float array (N,).
        """
        if not self.contradicting:
            return ""
        low, high = self.worst
        usual = f", where repeats of the others differ by {self.spread:.3g} (SD)" if self.spread >= 0 else ""
        which = names[low] if names[low] == names[high].partition("#")[0] else f"{names[low]} and {names[high]}"
        return (
            f"{self.contradicting:,} of {self.proteins:,} proteins that were measured several times have values that "
            f"contradict one another; worst {which}: {values[low]:.4g} and {values[high]:.4g}{usual}"
        )


def distinct(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return a number for each row, the same for rows of the same sequence: int64 (N,).

    Parameters
    ----------
    tokens, offsets : uint8 (total,), int64 (N + 1,): the sequences.

    >>> distinct(np.array([1, 2, 3, 1, 2], np.uint8), np.array([0, 2, 3, 5])).tolist()
    [0, 1, 0]
    """
    whole = tokens.tobytes()
    place: dict[bytes, int] = {}
    return np.array([place.setdefault(whole[a:b], len(place)) for a, b in pairwise(offsets.tolist())], np.int64)


def repeats_of(numbers: np.ndarray, values: np.ndarray) -> Repeats:
    """Return what repeated measurements tell.

    Values of a protein contradict one another if they are more than `FAR` standard deviations of a repeat apart, and
    more than `WIDE` of all values. The deviation is taken from medians, and without the protein in question where few
    have repeats, so that contradictions do not hide themselves.

    Parameters
    ----------
    numbers : int64 array (N,): the protein of each row, see `distinct`.
    values : float array (N,): NaN is missing.

    >>> repeats_of(np.array([0, 0, 1, 1, 2]), np.array([1.0, 9.0, 2.0, 2.1, 3.0])).worst
    (0, 1)
    """
    rows = np.flatnonzero(np.isfinite(values))
    own, known = numbers[rows], np.asarray(values, np.float64)[rows]
    counts = np.bincount(own) if len(own) else np.zeros(0, np.int64)
    again = counts[own] > 1
    rows, own, several = rows[again], own[again], known[again]
    if not len(rows):
        return Repeats(0, 0, float("nan"), 0)
    names, place, size = np.unique(own, return_inverse=True, return_counts=True)
    off = several - (np.bincount(place, several) / size)[place]
    free = len(rows) - len(names)
    spread = float(np.sqrt(np.square(off).sum() / free)) if free >= FEWEST else float("nan")
    steps = np.abs(off) * np.sqrt(size / (size - 1.0))[place]  # as normal values of the deviation of a repeat
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(low, place, several)
    np.maximum.at(high, place, several)
    wide, whole = high - low, float(known.std())
    far = np.zeros(len(names), bool)
    for one in np.flatnonzero(wide > WIDE * whole):
        others = steps if len(names) > 20 * FEWEST else steps[place != one]
        if len(names) - 1 >= FEWEST:
            far[one] = wide[one] > FAR * NORMAL * float(np.median(others))
        else:
            far[one] = wide[one] > WIDER * whole
    if not far.any():
        return Repeats(len(names), len(rows), spread, 0)
    most = int(np.where(far, wide, -1.0).argmax())
    mine = np.flatnonzero(place == most)
    ends = mine[several[mine].argmin()], mine[several[mine].argmax()]
    if (rest := ~far[place]).any():  # the usual spread is that of the others
        left = int(rest.sum() - (~far).sum())
        spread = float(np.sqrt(np.square(off[rest]).sum() / left)) if left >= FEWEST else float("nan")
    return Repeats(len(names), len(rows), spread, int(far.sum()), (int(rows[ends[0]]), int(rows[ends[1]])))
