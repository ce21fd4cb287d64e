"""Metrics of sets of labels (multi-label): F-max, average precision, micro and macro F1, with bootstrap intervals.

As in `stats.metrics`, each is a statistic over counts: `counts` float64 (R, N) holds how often each row occurs in each
of R resamples. Three arrays (N, L) say of each row which labels are true, which are called, and how probable each is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from biorrn.stats.bootstrap import RESAMPLES, estimate

STEPS = np.arange(1, 101) / 100  # thresholds of F-max, as CAFA has them
COST = 4e7  # resamples * rows * labels up to which average precision has all its resamples

# f(true bool (N, L), called bool (N, L), probability (N, L), counts (R, N)) -> (R,)
Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part, np.float64), where=whole > 0)


def _f_max(true: np.ndarray, called: np.ndarray, probability: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Best F of mean precision (rows with a call) and mean recall (rows with a label) over one threshold for all."""
    rows, given = len(true), true.sum(axis=1)
    order = np.argsort(-probability, axis=1, kind="stable")
    ranked = np.take_along_axis(probability, order, axis=1)
    right = np.cumsum(np.take_along_axis(true, order, axis=1), axis=1)
    right = np.concatenate([np.zeros((rows, 1)), right], axis=1)
    precise, found, called_rows = (np.zeros((rows, len(STEPS))) for _ in range(3))
    for place, least in enumerate(STEPS):
        number = (ranked >= least).sum(axis=1)
        hits = right[np.arange(rows), number]
        precise[:, place], called_rows[:, place] = _ratio(hits, number), number > 0
        found[:, place] = _ratio(hits, given)
    labelled = counts @ (given > 0)
    precision, recall = _ratio(counts @ precise, counts @ called_rows), _ratio(counts @ found, labelled[:, None])
    return _ratio(2 * precision * recall, precision + recall).max(axis=1)


def _average_precision(true: np.ndarray, called: np.ndarray, probability: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over labels, of those that a resample has, of the mean precision at each true row."""
    total, there = np.zeros(len(counts)), np.zeros(len(counts))
    for label in np.flatnonzero(true.any(axis=0)):
        score = probability[:, label]
        order = np.argsort(-score, kind="stable")
        hit = true[order, label]
        # rows of equal probability count together
        last = np.searchsorted(-score[order], -score[order][hit], side="right") - 1
        drawn = counts[:, order]
        above = np.cumsum(drawn, axis=1)[:, last]
        right = np.cumsum(drawn * hit, axis=1)[:, last]
        own = drawn[:, hit]
        weight = own.sum(axis=1)
        total += _ratio((own * _ratio(right, above)).sum(axis=1), weight)
        there += weight > 0
    return np.where(there > 0, total / np.maximum(there, 1), np.nan)


def _parts(true: np.ndarray, called: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return twice the right calls, and the calls and true labels together, each (R, L)."""
    return 2 * (counts @ (true & called)), counts @ true.astype(np.float64) + counts @ called


def _micro_f1(true: np.ndarray, called: np.ndarray, probability: np.ndarray, counts: np.ndarray) -> np.ndarray:
    right, both = _parts(true, called, counts)
    return _ratio(right.sum(axis=1), both.sum(axis=1))


def _macro_f1(true: np.ndarray, called: np.ndarray, probability: np.ndarray, counts: np.ndarray) -> np.ndarray:
    right, both = _parts(true, called, counts)
    return _ratio(_ratio(right, both).sum(axis=1), (both > 0).sum(axis=1))


def _exact(true: np.ndarray, called: np.ndarray, probability: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return counts @ (true == called).all(axis=1) / counts.sum(axis=1)


RESAMPLED: dict[str, Statistic] = {
    "f_max": _f_max,  # over proteins, as CAFA (Radivojac et al. 2013, Nat Methods 10:221)
    "macro_ap": _average_precision,
    "micro_f1": _micro_f1,
    "macro_f1": _macro_f1,  # of the labels that are true or called
    "subset_accuracy": _exact,  # rows whose set is exactly right
}


def score(true: np.ndarray, called: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return each metric of sets (N, L); NaN for no rows.

    >>> sets = np.array([[True, False], [True, True]])
    >>> score(sets, sets, sets.astype(float))["f_max"]
    1.0
    """
    ones = np.ones((1, len(true)))
    return {
        name: float(f(true, called, probability, ones)[0]) if len(true) else float("nan")
        for name, f in RESAMPLED.items()
    }


def _resamples(name: str, true: np.ndarray, resamples: int) -> int:
    """Return the resamples of a metric: fewer of average precision where rows and labels are many."""
    return resamples if name != "macro_ap" else int(np.clip(COST // max(1, true.size), 50, resamples))


def evaluate(
    true: np.ndarray, called: np.ndarray, probability: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return {metric: {"n", "value", "low", "high"}}, the intervals for 95 %, of sets (N, L)."""
    return {
        name: estimate(f, true, called, probability, resamples=_resamples(name, true, resamples), seed=seed)
        for name, f in RESAMPLED.items()
    }


def differences(
    true: np.ndarray,
    model: tuple[np.ndarray, np.ndarray],
    other: tuple[np.ndarray, np.ndarray],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Return {metric: estimate} of metric(model) - metric(other), both on the same resamples.

    Parameters
    ----------
    model, other : calls and probabilities, each (N, L).
    """

    def gap(f: Statistic) -> Callable[..., np.ndarray]:
        return lambda true, a, b, c, d, counts: f(true, a, b, counts) - f(true, c, d, counts)

    return {
        name: estimate(gap(f), true, *model, *other, resamples=_resamples(name, true, resamples), seed=seed)
        for name, f in RESAMPLED.items()
    }


def best_threshold(true: np.ndarray, probability: np.ndarray) -> float:
    """Return the least probability of a call at which micro F1 is best, the highest of equal ones; 0.5 for no label.

    Parameters
    ----------
    true : bool array (N, L); probability : float array (N, L).
    """
    order = np.argsort(-probability, axis=None, kind="stable")
    ranked, hits = probability.ravel()[order], np.cumsum(true.ravel()[order])
    if not len(hits) or not hits[-1]:
        return 0.5
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    f1[:-1][ranked[:-1] == ranked[1:]] = -1.0  # equal probabilities are called together
    place = int(f1.argmax())
    below = ranked[place + 1] if place + 1 < len(ranked) else 0.0
    return float((ranked[place] + below) / 2)


def by_label(
    true: np.ndarray, called: np.ndarray, probability: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return {label: {"rows", "predicted", "precision", "recall", "f1", "average_precision"}} of labels that occur."""
    found = {}
    for label in np.flatnonzero((true | called).any(axis=0)).tolist():
        own, calls = true[:, label], called[:, label]
        right, rows, predicted = int((own & calls).sum()), int(own.sum()), int(calls.sum())
        column = slice(label, label + 1)
        precise = _average_precision(true[:, column], called, probability[:, column], np.ones((1, len(true))))[0]
        found[names[label]] = {
            "rows": rows,
            "predicted": predicted,
            "precision": right / predicted if predicted else None,
            "recall": right / rows if rows else None,
            "f1": 2 * right / (rows + predicted),
            "average_precision": float(precise) if rows else None,
        }
    return found
