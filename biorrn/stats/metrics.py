"""Regression metrics with bootstrap intervals: Spearman, Pearson, RMSE, MAE, R²; names of all metrics.

Every metric is written once, as a statistic over counts (see `stats.bootstrap`): `counts` float64 (R, N) holds how
often each pair occurs in each of R resamples. The entries of `METRICS` are those statistics with every pair counted
once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from biorrn.stats.bootstrap import RESAMPLES, Statistic, estimate

FEWEST = 5  # rows, below which resamples repeat the same few: of two, a correlation would be 1, from 1 to 1
FLAT = 1e-12  # variance, as a part of the whole data's, below which a resample is constant


def _centred(values: np.ndarray) -> np.ndarray:
    """Return values at mean 0 and spread 1 (0 where all are equal), so that sums of squares lose no digits."""
    spread = float(np.ptp(values))
    if not spread > 0:
        return np.zeros_like(values)
    scaled = (values - values.mean()) / spread
    return scaled / scaled.std()


def _correlation(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return covariance over the product of spreads, each (R,); NaN where a spread is zero."""
    usable = (xx > FLAT) & (yy > FLAT)
    denominator = np.sqrt(np.where(usable, xx * yy, 1.0))
    return np.where(usable, np.clip(xy / denominator, -1.0, 1.0), np.nan)


def _pearson(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    x, y = _centred(true), _centred(predicted)
    sums = counts @ np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)  # (R, N) -> (R, 6)
    n, mx, my = sums[:, 0], sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    return _correlation(sums[:, 3] / n - mx * mx, sums[:, 4] / n - my * my, sums[:, 5] / n - mx * my)


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mid-ranks (R, N) of each resample, centred and divided by its size; ties share the mean rank."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # where each distinct value starts
    group = np.cumsum(np.r_[False, ordered[1:] != ordered[:-1]])
    sizes = counts[:, order] if len(first) == len(values) else np.add.reduceat(counts[:, order], first, axis=1)
    total = counts.sum(axis=1, keepdims=True)
    middle = (np.cumsum(sizes, axis=1) - sizes / 2) / total - 0.5
    place = np.empty(len(values), dtype=np.int64)
    place[order] = group
    return middle[:, place]


def _spearman(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    x, y = _ranks(true, counts), _ranks(predicted, counts)
    n = counts.sum(axis=1)
    weighted = counts * x
    xx, xy = np.einsum("rn,rn->r", weighted, x) / n, np.einsum("rn,rn->r", weighted, y) / n
    yy = np.einsum("rn,rn,rn->r", counts, y, y) / n
    return _correlation(xx, yy, xy)


def _rmse(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.sqrt(counts @ np.square(true - predicted) / counts.sum(axis=1))


def _mae(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return counts @ np.abs(true - predicted) / counts.sum(axis=1)


def _r2(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    spread = float(np.ptp(true))
    if not spread > 0:
        return np.full(len(counts), np.nan)
    x, error = (true - true.mean()) / spread, (true - predicted) / spread
    n = counts.sum(axis=1)
    variance = counts @ np.square(x) / n - np.square(counts @ x / n)
    usable = variance > FLAT
    return np.where(usable, 1.0 - (counts @ np.square(error) / n) / np.where(usable, variance, 1.0), np.nan)


def paired(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 (N,) without the pairs whose target is NaN.

    Raises
    ------
    ValueError: the arrays differ in shape or are not one-dimensional.
    """
    true, predicted = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"true has shape {true.shape}, predicted {predicted.shape}; both must be (N,)")
    known = ~np.isnan(true)
    return true[known], predicted[known]


def known_groups(groups: np.ndarray | None, true: np.ndarray) -> np.ndarray | None:
    """Return the groups (see `evaluate`) of the rows that `paired` keeps, numbered from 0 on; None for none."""
    return None if groups is None else np.unique(groups[~np.isnan(true)], return_inverse=True)[1]


def _whole(statistic: Statistic) -> Statistic:
    """Return the statistic with NaN if a prediction is not finite, which would be ranked last or left out."""

    def whole(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
        if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
            return np.full(len(counts), np.nan)
        return statistic(true, predicted, counts)

    return whole


def _metric(statistic: Statistic) -> Callable[[np.ndarray, np.ndarray], float]:
    def metric(true: np.ndarray, predicted: np.ndarray) -> float:
        """Return the metric of `predicted` (N,) against `true` (N,), in the target's unit; NaN where undefined."""
        true, predicted = paired(true, predicted)
        if len(true) == 0:
            return float("nan")
        return float(statistic(true, predicted, np.ones((1, len(true))))[0])

    return metric


def evaluate(
    true: np.ndarray,
    predicted: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """Return {metric: {"n", "value", "low", "high"}} for every metric, with 95 % bootstrap percentile intervals.

    Of fewer than `FEWEST` rows there is no interval, NaN.

    Parameters
    ----------
    true : float array (N,): measured values; NaN is missing and dropped.
    predicted : float array (N,): predicted values, in the same unit; with one that is not finite every metric is NaN.
    groups : int array (N,), optional: the same number for rows of one protein, which are drawn together.

    >>> evaluate(np.array([1.0, 2.0, np.nan]), np.array([1.0, 3.0, 5.0]))["mae"]["value"]
    0.5
    """
    groups = known_groups(groups, true)
    true, predicted = paired(true, predicted)
    return {
        name: estimate(f, true, predicted, resamples=resamples, seed=seed, fewest=FEWEST, groups=groups)
        for name, f in RESAMPLED.items()
    }


def mean_metrics(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return each metric, averaged over the targets, of the values that are there.

    Parameters
    ----------
    true : float array (N, K): NaN where there is no value.
    predicted : float array (N, K).
    """
    there = np.isfinite(true)
    return {
        name: float(np.mean([metric(true[there[:, k], k], predicted[there[:, k], k]) for k in range(true.shape[1])]))
        for name, metric in METRICS.items()
    }


# The same metrics over counts: f(true (N,), predicted (N,), counts (R, N)) -> (R,)
RESAMPLED: dict[str, Statistic] = {
    "spearman": _whole(_spearman),
    "pearson": _whole(_pearson),
    "rmse": _whole(_rmse),
    "mae": _whole(_mae),
    "r2": _whole(_r2),
}
# f(true (N,), predicted (N,)) -> float; NaN where undefined (no pairs, a constant side of a correlation)
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    name: _metric(statistic) for name, statistic in RESAMPLED.items()
}


NAMES = {
    "spearman": "Spearman",
    "pearson": "Pearson",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "median_identity": "median identity",
    "identity": "pooled identity",
    "aligned_fraction": "median aligned part of a read",
    "accuracy_residue": "accuracy of residues",
    "accuracy_protein": "mean accuracy of a protein",
    "sov": "segment overlap (SOV)",
    "f1": "F1",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "mcc": "Matthews correlation",
    "f_max": "F-max",
    "macro_ap": "macro average precision",
    "micro_f1": "micro F1",
    # `proteins.classes.task.score`
    "selection": "score that selects the epoch (macro F1, or for several classes a protein macro average precision, "
    "less a thousandth of the cross-entropy)",
    "subset_accuracy": "sets exactly right",
    "perplexity": "perplexity",
    "log2_likelihood": "log2-likelihood a letter",
    "symbol_error_rate": "edits a symbol",
    "exact": "exact sequences",
}
# shown in per cent
RATES = (
    *("median_identity", "identity", "mismatch", "insertion", "deletion", "aligned_fraction"),
    *("accuracy_residue", "accuracy_protein", "sov", "precision", "recall", "f1", "accuracy", "subset_accuracy"),
    *("symbol_error_rate", "exact"),
)
LOWER = ("perplexity", "rmse", "mae", "mismatch", "insertion", "deletion", "symbol_error_rate")  # better where lower
# kind of an evaluation -> the metric by which its rows are ranked; the first of these that a target has
HEADLINES = {
    "regression": ("spearman",),
    "basecalls": ("median_identity",),
    "tagging": ("accuracy_residue", "spearman"),
    "classification": ("f_max", "macro_f1"),
    "language": ("log2_likelihood",),
    "translation": ("identity", "exact"),
}
# the metric that decides -> the one that a terminal shows beside it
BESIDE = {"spearman": "rmse", "macro_f1": "accuracy", "f_max": "macro_ap", "accuracy_residue": "sov"}
BESIDE |= {"log2_likelihood": "perplexity"}


def headline_metric(kind: str, metrics: Mapping[str, Any]) -> str:
    """Return the metric by which rows of a kind of evaluation are ranked; that of values where no state is predicted.

    >>> headline_metric("tagging", {"spearman": {}, "rmse": {}})
    'spearman'
    """
    known = HEADLINES[kind]
    return next((name for name in known if name in metrics), known[0])


def deciding(entry: Mapping[str, Any]) -> str:
    """Return the metric that decides whether a baseline is beaten: the first with a difference to the model."""
    return str(list(entry["difference"])[0])  # noqa: RUF015  # an empty one, in a damaged file, is an IndexError
