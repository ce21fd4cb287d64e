"""What a model has to beat: the mean, a linear model on aligned residues, and a forest on composition.

Each is fitted on the training rows only and evaluated on the same rows as the model; the difference to the model is
bootstrapped on the same resamples (paired), so that it can be told from noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from biorrn.errors import BiorrnError
from biorrn.evaluation.bootstrap import RESAMPLES, interval, resampled
from biorrn.evaluation.predictions import Proteins
from biorrn.evaluation.regression import RESAMPLED, evaluate, paired

TOKENS = 22  # 0 is padding, 1..21 are residues
ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)  # ridge penalties tried
FOLDS = 3  # of the training rows, to choose among them
SEARCH_ROWS = 10_000  # at most this many rows choose the penalty
LINEAR_ROWS = 100_000  # at most this many train the linear model
FOREST_ROWS = 20_000  # at most this many train the forest
TREES = 100


@dataclass(frozen=True, slots=True)
class Baseline:
    """Predictions (N,) of a baseline, and a sentence on how it was fitted."""

    predicted: np.ndarray
    description: str


def one_hot(rows: Proteins, longest: int) -> Any:
    """Return rows as a sparse matrix (N, longest * 22): residue i of a row is the column 22 * i + token.

    Rows are aligned at their first residue; what lies beyond `longest` residues is cut.
    """
    from scipy.sparse import csr_matrix

    starts = np.repeat(np.cumsum(rows.lengths) - rows.lengths, rows.lengths)
    position = np.arange(len(rows.tokens)) - starts
    kept = position < longest
    columns = (position * TOKENS + rows.tokens)[kept]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(rows.lengths, longest))])
    return csr_matrix((np.ones(len(columns)), columns, indptr), shape=(len(rows), longest * TOKENS))


def composition(rows: Proteins) -> np.ndarray:
    """Return float32 (N, 23): the fraction of each residue (column 0, padding, is 0), then the length."""
    row = np.repeat(np.arange(len(rows)), rows.lengths)
    counts = np.bincount(row * TOKENS + rows.tokens, minlength=len(rows) * TOKENS).reshape(len(rows), TOKENS)
    fractions = counts / np.maximum(rows.lengths, 1)[:, None]
    return np.column_stack([fractions, rows.lengths]).astype(np.float32)


def _some(n: int, limit: int, seed: int) -> np.ndarray:
    """Return the sorted indices of at most `limit` of `n` rows, drawn without replacement."""
    return np.arange(n) if n <= limit else np.sort(np.random.default_rng(seed).permutation(n)[:limit])


def _mean(train: Proteins, target: np.ndarray, rows: Proteins, seed: int, threads: int) -> Baseline:
    mean = float(np.average(target, weights=train.weights))
    return Baseline(np.full(len(rows), mean), f"the weighted mean of {len(train):,} training rows for every row")


def _ridge(train: Proteins, target: np.ndarray, rows: Proteins, seed: int, threads: int) -> Baseline:
    from sklearn.linear_model import Ridge

    longest = int(train.lengths.max())
    chosen = _some(len(train), LINEAR_ROWS, seed)
    x, y, w = one_hot(train, longest)[chosen], target[chosen], train.weights[chosen]

    def fit(part: np.ndarray, alpha: float) -> Ridge:
        model = Ridge(alpha=alpha, solver="sparse_cg", tol=1e-4, max_iter=500)
        return model.fit(x[part], y[part], sample_weight=w[part])

    alpha = ALPHAS[1]
    if len(chosen) >= 2 * FOLDS:
        search = np.random.default_rng(seed).permutation(len(chosen))[:SEARCH_ROWS]
        parts = np.array_split(search, FOLDS)
        errors = [
            sum(
                float(w[part] @ np.square(fit(np.setdiff1d(search, part), candidate).predict(x[part]) - y[part]))
                for part in parts
            )
            for candidate in ALPHAS
        ]
        alpha = ALPHAS[int(np.argmin(errors))]
    predicted = fit(np.arange(len(chosen)), alpha).predict(one_hot(rows, longest))
    return Baseline(
        predicted,
        f"ridge regression on one-hot residues by position, {len(chosen):,} of {len(train):,} training rows, "
        f"penalty {alpha:g} chosen by {FOLDS}-fold cross-validation inside them",
    )


def _forest(train: Proteins, target: np.ndarray, rows: Proteins, seed: int, threads: int) -> Baseline:
    from sklearn.ensemble import RandomForestRegressor

    chosen = _some(len(train), FOREST_ROWS, seed)
    forest = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=1 / 3, n_jobs=threads, random_state=seed)
    forest.fit(composition(train)[chosen], target[chosen], sample_weight=train.weights[chosen])
    return Baseline(
        forest.predict(composition(rows)),
        f"random forest of {TREES} trees on residue composition and length, {len(chosen):,} of {len(train):,} "
        "training rows",
    )


def difference(
    metric: str, true: np.ndarray, model: np.ndarray, other: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float]:
    """Return {"n", "value", "low", "high"} of metric(model) - metric(other), both on the same resamples.

    A Spearman coefficient that is undefined because one side is constant counts as 0: such a prediction ranks nothing.
    """
    statistic, fill = RESAMPLED[metric], 0.0 if metric in ("spearman", "pearson") else np.nan

    def gap(true: np.ndarray, model: np.ndarray, other: np.ndarray, counts: np.ndarray) -> np.ndarray:
        ours, theirs = statistic(true, model, counts), statistic(true, other, counts)
        return np.where(np.isnan(ours), fill, ours) - np.where(np.isnan(theirs), fill, theirs)

    n = len(true)
    value = float(gap(true, model, other, np.ones((1, n)))[0]) if n else float("nan")
    low, high = interval(resampled(gap, true, model, other, resamples=resamples, seed=seed)) if n > 1 else (np.nan,) * 2
    return {"n": n, "value": value, "low": low, "high": high}


def verdict(name: str, gap: dict[str, float]) -> tuple[bool, str]:
    """Say whether the model beats a baseline: only if the whole interval of the Spearman difference is above 0."""
    text = f"{gap['value']:+.3f} Spearman, 95 % interval {gap['low']:+.3f} to {gap['high']:+.3f}"
    if not gap["low"] <= gap["high"]:
        return False, f"The model is not compared with the baseline '{name}': {gap['n']} measured values are too few."
    if gap["low"] > 0:
        return True, f"The model beats the baseline '{name}' ({text})."
    if gap["high"] < 0:
        return False, f"The model does not beat the baseline '{name}': it is worse ({text})."
    return False, f"The model does not beat the baseline '{name}': the difference may be chance ({text})."


def compare(
    train: Proteins, rows: Proteins, model: np.ndarray, column: int, seed: int = 0, threads: int = 1
) -> dict[str, dict[str, Any]]:
    """Fit every baseline on `train`, evaluate it on `rows` and compare it with the model's predictions.

    Parameters
    ----------
    model : float array (N,): the model's predictions for `rows`.
    column : int: which target.
    threads : int: for the forest.

    Returns
    -------
    {baseline: {"description", "metrics", "difference": {"spearman", "rmse"}, "beats", "sentence"}}.

    Raises
    ------
    BiorrnError: no training row has the target.
    """
    known = ~np.isnan(train.targets[:, column])
    if not known.any():
        raise BiorrnError("baselines need training rows with the target and found none; use --no-baselines")
    train = train.select(known)
    target = train.targets[:, column]
    results: dict[str, dict[str, Any]] = {}
    for name, fit in BASELINES.items():
        fitted = fit(train, target, rows, seed, threads)
        true, other = paired(rows.targets[:, column], fitted.predicted)
        _, ours = paired(rows.targets[:, column], model)
        gaps = {metric: difference(metric, true, ours, other, seed=seed) for metric in ("spearman", "rmse")}
        beats, sentence = verdict(name, gaps["spearman"])
        results[name] = {
            "description": fitted.description,
            "metrics": evaluate(true, other, seed=seed),
            "difference": gaps,
            "beats": beats,
            "sentence": sentence,
        }
    return results


# name -> f(training rows, their target (N,), rows to predict, seed, threads)
BASELINES: dict[str, Callable[[Proteins, np.ndarray, Proteins, int, int], Baseline]] = {
    "mean": _mean,
    "ridge": _ridge,
    "forest": _forest,
}
