"""How well predicted states agree with known ones, and predicted numbers a residue with measured ones.

Metrics are statistics over proteins (see `stats.bootstrap`): residues of one protein are not independent of each
other, so that whole proteins are resampled. Every state metric is a function of what `score` counts for each protein.
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


CELLS = 4_000_000  # counts of residues held at once, 32 MB


@dataclass(frozen=True)
class Scored:
    """Counts of the proteins that have a labelled residue.

    Attributes
    ----------
    confusion : float64 array (N, S, S): residues of each protein by true, then by predicted state.
    scored, possible : float64 arrays (N, S): the sums of `segments.segment_overlap`.
    """

    confusion: np.ndarray
    scored: np.ndarray
    possible: np.ndarray

    def __len__(self) -> int:
        return len(self.confusion)

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What the statistics of `RESAMPLED` take."""
        return self.confusion, self.scored, self.possible


def score(true: np.ndarray, predicted: np.ndarray, lengths: np.ndarray, states: int) -> Scored:
    """Count right and wrong residues and segments of each protein.

    Parameters
    ----------
    true, predicted : int arrays (total,): states of the residues of all proteins, one after another; a true state of
        -1 is not known, and its residue counts nowhere.
    lengths : int array (N,): residues of each protein.
    states : int: S.

    Raises
    ------
    ValueError: the arrays do not have one entry a residue, or a predicted state is not one of the S.
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
    """Return precision, recall, f1 or sov of one state as a statistic over the arrays of `Scored`."""

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
    """Return {metric: {"n", "value", "low", "high"}}; n counts proteins, intervals are 95 % over proteins.

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
    """Return a metric of `stats.metrics` over residues as a statistic over proteins, of counts alone.

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
                values = [np.nan_to_num(value, nan=0.0) for value in values]  # a constant ranks nothing
            found.append(values[0] - values[1] if len(values) > 1 else values[0])
        return np.concatenate(found)

    return statistic


def estimate_numbers(
    metric: str, lengths: np.ndarray, *arrays: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float]:
    """Return {"n", "value", "low", "high"} of a metric of numbers a residue, or of a difference; see `over_proteins`.

    Residues whose first array, the true one, is NaN are left out, and proteins without others. n counts proteins.
    """
    known = ~np.isnan(arrays[0])
    _, rows = np.unique(np.repeat(np.arange(len(lengths)), lengths)[known], return_inverse=True)
    n = int(rows.max()) + 1 if len(rows) else 0
    statistic = over_proteins(metric, rows, *(array[known].astype(np.float64) for array in arrays))
    return estimate(statistic, np.zeros(n), resamples=resamples, seed=seed)


# f(confusion (N, S, S), scored (N, S), possible (N, S), counts (R, N)) -> (R,)
RESAMPLED: dict[str, Statistic] = {
    "accuracy_residue": _accuracy_residue,  # Q3, Q8: right residues of all labelled ones
    "accuracy_protein": _accuracy_protein,  # the mean over proteins of the same
    "sov": _sov,  # the mean over proteins of their segment overlap
}
STATE_METRICS = ("precision", "recall", "f1", "sov")
NUMBER_METRICS = ("spearman", "pearson", "rmse")
# f(found) -> float; NaN where there is no protein
METRICS: dict[str, Callable[[Scored], float]] = {
    name: (lambda found, f=statistic: float(f(*found.arrays, np.ones((1, len(found))))[0]) if len(found) else np.nan)  # type: ignore[misc]
    for name, statistic in RESAMPLED.items()
}
