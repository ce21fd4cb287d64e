"""Metrics of classes: accuracy, macro F1, Matthews correlation, with bootstrap intervals; confusion, reliability.

As in `stats.metrics`, each is a statistic over counts: `counts` float64 (R, N) holds how often each row occurs in each
of R resamples. Classes are whole numbers from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biorrn.stats.bootstrap import RESAMPLES, Statistic, estimate, proportion

EDGES = np.linspace(0.0, 1.0, 11)  # of the bins of probability


def _sums(classes: np.ndarray, counts: np.ndarray, kinds: int) -> np.ndarray:
    """Return how often each class comes in each resample, float64 (R, C); a class below 0 counts nowhere."""
    from scipy.sparse import csr_matrix

    rows = np.flatnonzero(classes >= 0)
    chosen = csr_matrix((np.ones(len(rows)), (classes[rows], rows)), shape=(kinds, len(classes)))
    return np.asarray((chosen @ counts.T).T)


def _parts(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return right, true and predicted rows of each class in each resample, each (R, C)."""
    kinds = int(max(true.max(initial=0), predicted.max(initial=0))) + 1
    hit = np.where(true == predicted, true, -1)
    return tuple(_sums(part, counts, kinds) for part in (hit, true, predicted))


def _accuracy(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return counts @ (true == predicted) / counts.sum(axis=1)


def _macro_f1(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    right, known, called = _parts(true, predicted, counts)
    there = known + called  # a class that is neither true nor predicted in a resample has no F1
    scores = np.where(there > 0, 2 * right / np.where(there > 0, there, 1.0), 0.0)
    return scores.sum(axis=1) / (there > 0).sum(axis=1)


def _mcc(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    right, known, called = _parts(true, predicted, counts)
    total = counts.sum(axis=1)
    above = right.sum(axis=1) * total - (known * called).sum(axis=1)
    below = (total**2 - (called**2).sum(axis=1)) * (total**2 - (known**2).sum(axis=1))
    usable = below > 0
    return np.where(usable, above / np.sqrt(np.where(usable, below, 1.0)), 0.0)


# f(true (N,), predicted (N,), counts (R, N)) -> (R,)
RESAMPLED: dict[str, Statistic] = {
    "macro_f1": _macro_f1,  # unweighted mean of the F1 of the classes that are true or predicted, as in scikit-learn
    "accuracy": _accuracy,
    "mcc": _mcc,  # of several classes (Gorodkin 2004, Comput Biol Chem 28:367); 0 where one side is constant
}


def score(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return each metric of classes predicted (N,) against true ones (N,); NaN for no rows.

    >>> score(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]))["accuracy"]
    0.75
    """
    ones = np.ones((1, len(true)))
    return {name: float(f(true, predicted, ones)[0]) if len(true) else float("nan") for name, f in RESAMPLED.items()}


def evaluate(
    true: np.ndarray, predicted: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return {metric: {"n", "value", "low", "high"}}, the intervals for 95 %, of classes (N,), int arrays."""
    return {name: estimate(f, true, predicted, resamples=resamples, seed=seed) for name, f in RESAMPLED.items()}


def differences(
    true: np.ndarray, model: np.ndarray, other: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return {metric: estimate} of metric(model) - metric(other), both on the same resamples; int arrays (N,)."""

    def gap(statistic: Statistic) -> Statistic:
        return lambda true, model, other, counts: statistic(true, model, counts) - statistic(true, other, counts)

    return {name: estimate(gap(f), true, model, other, resamples=resamples, seed=seed) for name, f in RESAMPLED.items()}


def by_class(true: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return {class: {"rows", "predicted", "precision", "recall", "f1"}}; None where a metric is undefined."""
    right, known, called = (part[0] for part in _parts(true, predicted, np.ones((1, len(true)))))

    def ratio(part: float, whole: float) -> float | None:
        return float(part / whole) if whole else None

    return {
        names[k]: {
            "rows": int(known[k]),
            "predicted": int(called[k]),
            "precision": ratio(right[k], called[k]),
            "recall": ratio(right[k], known[k]),
            "f1": ratio(2 * right[k], known[k] + called[k]),
        }
        for k in np.flatnonzero(known + called).tolist()
    }


def confusion(true: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return {true class: {predicted class: rows}} of the classes that occur."""
    there = np.union1d(true, predicted)
    table = np.zeros((len(there), len(there)), np.int64)
    np.add.at(table, (np.searchsorted(there, true), np.searchsorted(there, predicted)), 1)
    shown = [names[k] for k in there]
    return {name: dict(zip(shown, row, strict=True)) for name, row in zip(shown, table.tolist(), strict=True)}


def reliability(right: np.ndarray, probability: np.ndarray, unit: str) -> dict[str, Any]:
    """Return {"calibration_error", "bins"}: accuracy by the probability of the class that was called.

    The error is the expected calibration error: the mean over rows of |mean probability - accuracy| of their bin (Guo
    et al. 2017, ICML 70:1321).

    Parameters
    ----------
    right : bool array (N,); probability : float array (N,).
    unit : str: key of the number of rows of a bin.

    >>> reliability(np.array([True, False]), np.array([0.9, 0.9]), "rows")["calibration_error"]
    0.4
    """
    if not len(right):
        return {}
    probability = probability.astype(np.float64)
    bins = np.clip(np.digitize(probability, EDGES) - 1, 0, len(EDGES) - 2)
    rows, gap = [], 0.0
    for place in range(len(EDGES) - 1):
        inside = bins == place
        if inside.any():
            mean, share = float(probability[inside].mean()), float(right[inside].mean())
            gap += abs(mean - share) * int(inside.sum())
            low, high = EDGES[place : place + 2].round(2).tolist()
            rows.append({"from": low, "to": high, unit: int(inside.sum()), "confidence": mean, "accuracy": share})
    return {"calibration_error": gap / len(right), "bins": rows}


def coverage(held: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    """Return {"n", "value", "low", "high", "size"}: the share of sets that hold the true class, and their mean size.

    Parameters
    ----------
    held : bool array (N,); sizes : int array (N,): classes in each set.
    """
    return proportion(int(held.sum()), len(held)) | {"size": float(sizes.mean()) if len(sizes) else float("nan")}
