"""Baselines that a line on paper could hold: the mean, the length alone, and ridge regression on aligned residues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from biorrn.evaluation.baselines_rows import Baseline, Problem, one_hot

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)  # ridge penalties tried
FOLDS = 3  # of the training rows, to choose among them
SEARCH_ROWS = 10_000  # at most this many rows choose the penalty
LINEAR_ROWS = 100_000  # at most this many train the linear model
LINEAR_LONGEST = 2_000  # residues that it reads
BINS = 20  # of the lengths, with about equal numbers of rows
PRIOR = 5.0  # rows of the mean that are mixed into each bin


def mean(problem: Problem) -> Baseline:
    """Predict the weighted mean of the training rows."""
    value = problem.scale()[0]
    description = f"the weighted mean of {len(problem.train):,} training rows for every row"
    return Baseline(np.full(len(problem.rows), value), description)


def length(problem: Problem) -> Baseline:
    """Predict the mean of the training rows of about the same length."""
    lengths, weights = problem.train.lengths, problem.train.weights
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, BINS + 1)[1:-1], method="nearest"))
    edges = edges[edges < lengths.max()]  # a class goes up to its edge, and that included; the last to any length
    bins = np.searchsorted(edges, lengths)
    sums, total = (
        np.bincount(bins, weights=part, minlength=len(edges) + 1) for part in (weights * problem.target, weights)
    )
    prior = PRIOR * float(weights.mean())
    values = (sums + prior * problem.scale()[0]) / np.maximum(total + prior, 1e-12)
    description = (
        f"the mean of the training rows of about the same length: {len(edges) + 1} classes of length, "
        f"{len(problem.train):,} training rows"
    )
    return Baseline(values[np.searchsorted(edges, problem.rows.lengths)], description)


def ridge(problem: Problem) -> Baseline:
    """Ridge regression on one-hot residues by position, its penalty chosen inside the training rows."""
    from sklearn.linear_model import Ridge

    longest = min(int(problem.train.lengths.max()), LINEAR_LONGEST)
    chosen = problem.some(LINEAR_ROWS)
    x, y, w = one_hot(problem.train, longest)[chosen], problem.target[chosen], problem.train.weights[chosen]

    def fit(part: np.ndarray, alpha: float) -> Ridge:
        model = Ridge(alpha=alpha, solver="sparse_cg", tol=1e-4, max_iter=500)
        return model.fit(x[part], y[part], sample_weight=w[part])

    alpha = ALPHAS[1]
    if len(chosen) >= 2 * FOLDS:
        search = np.random.default_rng(problem.seed).permutation(len(chosen))[:SEARCH_ROWS]
        parts = np.array_split(search, FOLDS)
        errors = [
            sum(
                float(w[part] @ np.square(fit(np.setdiff1d(search, part), candidate).predict(x[part]) - y[part]))
                for part in parts
            )
            for candidate in ALPHAS
        ]
        alpha = ALPHAS[int(np.argmin(errors))]
    predicted = fit(np.arange(len(chosen)), alpha).predict(one_hot(problem.rows, longest))
    return Baseline(
        predicted,
        f"ridge regression on one-hot residues by position, {len(chosen):,} of {len(problem.train):,} training rows, "
        f"penalty {alpha:g} chosen by {FOLDS}-fold cross-validation inside them",
    )
