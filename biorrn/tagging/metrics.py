"""Metrics of tagging: accuracy, segment overlap (SOV), precision, recall and F1 of states; correlation of values.

The bootstrap resamples whole proteins, because residues of one protein are not independent. All state metrics are
statistics (see `stats.bootstrap`) of the counts per protein that `score` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from biorrn.stats.bootstrap import RESAMPLES, Statistic, estimate
from biorrn.stats.metrics import RESAMPLED as NUMBERS


@dataclass(frozen=True, slots=True)
class Overlap:
    """The two sums of SOV (Zemla et al. 1999), float64 (N, S): SOV of protein and state is scored / possible."""

    scored: np.ndarray
    possible: np.ndarray

    def of_proteins(self) -> np.ndarray:
        """Return the SOV of each protein over all states, float64 (N,); NaN without labelled residues."""
        return ratio(self.scored.sum(axis=1), self.possible.sum(axis=1))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where the whole is 0."""
    usable = whole > 0
    return np.where(usable, part / np.where(usable, whole, 1.0), np.nan)


def segment_overlap(true: np.ndarray, predicted: np.ndarray, rows: np.ndarray, proteins: int, states: int) -> Overlap:
    """Return the sums of SOV for each protein and state.

    Parameters
    ----------
    true : int array (total,): true state of each residue; -1 is unknown, and ends true and predicted segments.
    predicted : int array (total,): predicted state of each residue.
    rows : int array (total,): the protein of each residue, ascending.
    proteins, states : int: N and S.

    >>> overlap = segment_overlap(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), np.zeros(4, int), 1, 2)
    >>> overlap.of_proteins().tolist()  # state 0: (2 + 1) / 3 of 3; state 1: (1 + 0) / 2 of 1
    [0.875]
    """
    scored, possible = np.zeros((2, proteins * states))
    known = true >= 0
    if not known.any():
        return Overlap(*(sums.reshape(proteins, states) for sums in (scored, possible)))
    # an unlabelled residue ends a segment
    broken = np.r_[True, np.diff(rows) != 0] | ~known | np.r_[True, ~known[:-1]]
    first, second = (_numbered(states_of, broken)[known] for states_of in (true, predicted))
    cell = (rows * states + true)[known]  # protein and true state of each labelled residue
    size1, size2 = np.bincount(first), np.bincount(second)
    own = np.zeros(len(size1), np.int64)
    own[first] = cell  # of each true segment
    hit = true[known] == predicted[known]
    # two segments overlap in one run of residues: count the residues of each pair
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
    """Return the segment number of each residue, int64 (total,). A segment starts at a break or a change of state."""
    return np.cumsum(broken | np.r_[True, states[1:] != states[:-1]]) - 1


CELLS = 4_000_000  # counts of residues in memory at once, 32 MB


@dataclass(frozen=True)
class Scored:
    """Counts of each protein with a labelled residue.

    Attributes
    ----------
    confusion : float64 array (N, S, S): residues of each protein by true, then by predicted state.
    scored, possible : float64 arrays (N, S): the sums of `segment_overlap`.
    """

    confusion: np.ndarray
    scored: np.ndarray
    possible: np.ndarray

    def __len__(self) -> int:
        return len(self.confusion)

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The arguments of the statistics of `RESAMPLED`, without the counts."""
        return self.confusion, self.scored, self.possible


def score(true: np.ndarray, predicted: np.ndarray, lengths: np.ndarray, states: int) -> Scored:
    """Return the counts of residues and segment overlaps of each protein.

    Parameters
    ----------
    true, predicted : int arrays (total,): states of the residues of all proteins, one after another. Residues with a
        true state of -1 (unknown) are left out.
    lengths : int array (N,): residues of each protein.
    states : int: S.

    Raises
    ------
    ValueError: the arrays do not have one entry per residue, or a predicted state is out of range.
    """
    if not len(true) == len(predicted) == int(np.sum(lengths)):
        raise ValueError(f"{len(true)} true and {len(predicted)} predicted states for {int(np.sum(lengths))} residues")
    true, predicted = np.asarray(true, np.int64), np.asarray(predicted, np.int64)
    if len(predicted) and not 0 <= predicted.min() <= predicted.max() < states:
        raise ValueError(
            f"predicted states run from {predicted.min()} to {predicted.max()}; expected 0 to {states - 1}"
        )
    rows = np.repeat(np.arange(len(lengths)), lengths)
    known = true >= 0
    cells = ((rows * states + true) * states + predicted)[known]
    confusion = np.bincount(cells, minlength=len(lengths) * states**2).reshape(-1, states, states).astype(np.float64)
    overlap = segment_overlap(true, predicted, rows, len(lengths), states)
    kept = confusion.any(axis=(1, 2))
    return Scored(confusion[kept], overlap.scored[kept], overlap.possible[kept])


def _right(confusion: np.ndarray) -> np.ndarray:
    return np.trace(confusion, axis1=1, axis2=2)


def _accuracy_residue(
    confusion: np.ndarray, scored: np.ndarray, possible: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    return ratio(counts @ _right(confusion), counts @ confusion.sum(axis=(1, 2)))


def _accuracy_protein(
    confusion: np.ndarray, scored: np.ndarray, possible: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    return counts @ ratio(_right(confusion), confusion.sum(axis=(1, 2))) / counts.sum(axis=1)


def _sov(confusion: np.ndarray, scored: np.ndarray, possible: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return counts @ ratio(scored.sum(axis=1), possible.sum(axis=1)) / counts.sum(axis=1)


def of_state(name: str, state: int) -> Statistic:
    """Return precision, recall, f1 or sov of one state as a statistic of the arrays of `Scored`."""

    def statistic(confusion: np.ndarray, scored: np.ndarray, possible: np.ndarray, counts: np.ndarray) -> np.ndarray:
        right = counts @ confusion[:, state, state]
        known, called = counts @ confusion[:, state].sum(axis=1), counts @ confusion[:, :, state].sum(axis=1)
        parts = {
            "precision": (right, called),
            "recall": (right, known),
            "f1": (2 * right, known + called),
            "sov": (counts @ scored[:, state], counts @ possible[:, state]),
        }
        return ratio(*parts[name])

    return statistic


def evaluate(found: Scored, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return {metric: {"n", "value", "low", "high"}}; n is proteins, the intervals are 95 % over proteins.

    >>> found = score(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 1]), np.array([4]), 2)
    >>> round(evaluate(found)["accuracy_residue"]["value"], 3)
    0.667
    """
    return {name: estimate(f, *found.arrays, resamples=resamples, seed=seed) for name, f in RESAMPLED.items()}


def by_state(found: Scored, states: str, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return {state: {"residues", "predicted", metric of `STATE_METRICS`: estimate}}; SOV is pooled over proteins."""
    whole = found.confusion.sum(axis=0)
    return {
        letter: {
            "residues": int(whole[place].sum()),
            "predicted": int(whole[:, place].sum()),
            **{
                name: estimate(of_state(name, place), *found.arrays, resamples=resamples, seed=seed)
                for name in STATE_METRICS
            },
        }
        for place, letter in enumerate(states)
    }


def difference(
    metric: str, ours: Scored, theirs: Scored, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float]:
    """Return {"n", "value", "low", "high"} of metric(ours) - metric(theirs), both on the same proteins (paired)."""
    statistic, arrays = RESAMPLED[metric], (*ours.arrays, *theirs.arrays)

    def gap(*given: np.ndarray) -> np.ndarray:
        counts = given[-1]
        return statistic(*given[:3], counts) - statistic(*given[3:6], counts)

    return estimate(gap, *arrays, resamples=resamples, seed=seed)


def over_proteins(metric: str, rows: np.ndarray, *arrays: np.ndarray) -> Statistic:
    """Return a metric of `stats.metrics` over residues as a bootstrap statistic over proteins.

    Parameters
    ----------
    rows : int array (total,): the protein of each residue.
    arrays : true and predicted, float (total,); or true, ours and theirs, for the difference ours - theirs.
    """
    true, *others = arrays

    def statistic(_: np.ndarray, counts: np.ndarray) -> np.ndarray:
        found = []
        block = max(1, CELLS // max(len(rows), 1))
        for start in range(0, len(counts), block):
            spread = counts[start : start + block][:, rows]  # (R, N) -> (R, total)
            values = [NUMBERS[metric](true, other, spread) for other in others]
            if len(values) > 1 and metric in ("spearman", "pearson"):
                values = [np.nan_to_num(value, nan=0.0) for value in values]  # the correlation of a constant is 0
            found.append(values[0] - values[1] if len(values) > 1 else values[0])
        return np.concatenate(found)

    return statistic


def estimate_numbers(
    metric: str, lengths: np.ndarray, *arrays: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float]:
    """Return {"n", "value", "low", "high"} of a metric of values, or of a difference; see `over_proteins`.

    Residues without a true value, and proteins of only such residues, are left out. n is the number of proteins.
    """
    known = ~np.isnan(arrays[0])
    _, rows = np.unique(np.repeat(np.arange(len(lengths)), lengths)[known], return_inverse=True)
    n = int(rows.max()) + 1 if len(rows) else 0
    statistic = over_proteins(metric, rows, *(array[known].astype(np.float64) for array in arrays))
    return estimate(statistic, np.zeros(n), resamples=resamples, seed=seed)


# f(confusion (N, S, S), scored (N, S), possible (N, S), counts (R, N)) -> (R,)
RESAMPLED: dict[str, Statistic] = {
    "accuracy_residue": _accuracy_residue,  # Q3, Q8: correct residues / labelled residues
    "accuracy_protein": _accuracy_protein,  # mean over proteins of the same
    "sov": _sov,  # mean over proteins of the segment overlap
}
STATE_METRICS = ("precision", "recall", "f1", "sov")
NUMBER_METRICS = ("spearman", "pearson", "rmse")
# f(found) -> float; NaN without proteins
METRICS: dict[str, Callable[[Scored], float]] = {
    name: (lambda found, f=statistic: float(f(*found.arrays, np.ones((1, len(found))))[0]) if len(found) else np.nan)  # type: ignore[misc]
    for name, statistic in RESAMPLED.items()
}
