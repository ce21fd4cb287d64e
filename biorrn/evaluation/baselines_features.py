"""Baselines on descriptors of the whole protein (`encoders.descriptors`): two forests and a support vector machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from biorrn.evaluation.baselines_rows import Baseline, Problem

FOREST_ROWS = 20_000  # at most this many train a forest
TREES = 100
LEAF = 2  # training rows of a leaf, at the least
FOREST_COLUMNS = 0.1  # of the descriptors, tried at each split: every threshold of them is
EXTRA_COLUMNS = 0.2  # the same; one random threshold each, so that more of them can be tried
SVM_ROWS = 6_000  # at most this many train the support vector machine: their kernel matrix takes 290 MB
COST = 2.0  # of an error outside the tube, on a standardised target
TUBE = 0.1  # standard deviations of the target that cost nothing
BLOCK = 2_000  # rows predicted at once


def _trees(problem: Problem, kind: Any, columns: float, what: str) -> Baseline:
    chosen = problem.some(FOREST_ROWS)
    train, rows = problem.described
    model = kind(TREES, min_samples_leaf=LEAF, max_features=columns, n_jobs=problem.threads, random_state=problem.seed)
    model.fit(train[chosen], problem.target[chosen], sample_weight=problem.train.weights[chosen])
    return Baseline(
        model.predict(rows),
        f"{what} of {TREES} trees on residue composition and {train.shape[1]} descriptors in all, {len(chosen):,} of "
        f"{len(problem.train):,} training rows",
    )


def forest(problem: Problem) -> Baseline:
    """Random forest on the descriptors (Breiman 2001, Machine Learning 45:5)."""
    from sklearn.ensemble import RandomForestRegressor

    return _trees(problem, RandomForestRegressor, FOREST_COLUMNS, "random forest")


def extra_trees(problem: Problem) -> Baseline:
    """Extremely randomised trees on the descriptors (Geurts, Ernst and Wehenkel 2006, Machine Learning 63:3)."""
    from sklearn.ensemble import ExtraTreesRegressor

    return _trees(problem, ExtraTreesRegressor, EXTRA_COLUMNS, "extremely randomised trees,")


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return exp(-|x - y|^2 / F) of every pair of rows, float64 (len(a), len(b)); F is the number of columns."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2.0 * (a @ b.T)
    return np.exp(-np.maximum(squares, 0.0) / a.shape[1])


def svm(problem: Problem) -> Baseline:
    """Support vector regression with a Gaussian kernel on standardised descriptors.

    The kernel matrices are matrix products made here, which is many times faster than one pair at a time.
    """
    from sklearn.svm import SVR

    chosen = problem.some(SVM_ROWS)
    train, rows = (part.astype(np.float64) for part in problem.standardised)
    train = train[chosen]
    mean, spread = problem.scale()
    weights = problem.train.weights[chosen] / max(float(problem.train.weights[chosen].mean()), 1e-12)
    model = SVR(kernel="precomputed", C=COST, epsilon=TUBE, cache_size=400)
    model.fit(_kernel(train, train), (problem.target[chosen] - mean) / spread, sample_weight=weights)
    support, dual = train[model.support_], model.dual_coef_[0]
    predicted = [_kernel(rows[i : i + BLOCK], support) @ dual for i in range(0, len(rows), BLOCK)]
    return Baseline(
        mean + spread * (np.concatenate([*predicted, np.zeros(0)]) + float(model.intercept_[0])),
        f"support vector regression with a Gaussian kernel on {train.shape[1]} standardised descriptors, "
        f"{len(chosen):,} of {len(problem.train):,} training rows, {len(support):,} support vectors",
    )
