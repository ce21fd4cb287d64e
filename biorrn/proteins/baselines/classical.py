"""Classical baselines: mean, length, ridge, nearest neighbour, forests, support vector machine, site trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.base.compute import jit
from biorrn.nn.forest import features, learn, learn_in_folds, substitutions
from biorrn.proteins.baselines.problem import Problem, one_hot, padded, places
from biorrn.proteins.predictions import Proteins
from biorrn.sequences.alphabets import consensus
from biorrn.sequences.prepared.files import offsets_of
from biorrn.sequences.similarity import nearest
from biorrn.stats.baselines import Baseline

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge


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


LEAST = 0.35  # identity below which the mean is taken in place of a neighbour
WORD = 3  # residues: sequences of 35 % identity still share some such words
EDIT_LONGEST = 500  # residues read of a sequence where the edit distance is computed: its time grows with the square
NEIGHBOUR_ROWS = 200_000  # at most this many training rows are looked at


@jit()
def closest(rows: np.ndarray, table: np.ndarray, values: np.ndarray, weights: np.ndarray) -> tuple:
    """Return for each row the most places at which a sequence of the table agrees, and the mean value of those.

    Parameters
    ----------
    rows, table : uint8 arrays (N, L), (M, L): tokens of sequences of one length, no padding.
    values, weights : float64 arrays (M,).
    """
    best = np.full(len(rows), -1, np.int64)
    found = np.zeros(len(rows))
    for i in range(len(rows)):
        row = rows[i]
        sums = total = 0.0
        for j in range(len(table)):
            other = table[j]
            same = 0
            for k in range(len(row)):
                same += row[k] == other[k]
            if same > best[i]:
                best[i], sums, total = same, 0.0, 0.0
            if same == best[i]:
                sums += weights[j] * values[j]
                total += weights[j]
        found[i] = sums / total if total > 0 else np.nan
    return best, found


def _cut(rows: Proteins) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of all rows, each cut at `EDIT_LONGEST` residues, and their offsets (N + 1,)."""
    lengths = np.minimum(rows.lengths, EDIT_LONGEST)
    return rows.tokens[places(rows) < EDIT_LONGEST], offsets_of(lengths)


def neighbour(problem: Problem) -> Baseline:
    """Predict the value of the nearest training sequence by identity; the mean where none is alike.

    Sequences of equal length are compared place by place with all of that length, and ties are averaged; besides,
    those that share words of three residues by their edit distance (`sequences.similarity`); the higher identity
    counts.
    """
    chosen = problem.some(NEIGHBOUR_ROWS)
    kept = np.zeros(len(problem.train), bool)
    kept[chosen] = True
    train, rows, target = problem.train.select(kept), problem.rows, problem.target[chosen]
    predicted, reached = np.full(len(rows), problem.scale()[0]), np.full(len(rows), LEAST)
    tokens, offsets = _cut(train)
    queries, bounds = _cut(rows)
    other, identity = nearest(queries, bounds, tokens, offsets, LEAST, WORD, 1.0)
    better = other >= 0
    predicted[better], reached[better] = target[other[better]], identity[better]
    for size in np.intersect1d(rows.lengths, train.lengths):
        if size == 0:
            continue
        mine, theirs = rows.lengths == size, train.lengths == size
        table, ours = padded(train.select(theirs), int(size)), padded(rows.select(mine), int(size))
        agree, values = closest(ours, table, target[theirs], train.weights[theirs])
        # equal counts too: all that agree at as many places were averaged here, the other search gives one of them
        nearer = (agree / size >= reached[mine]) & np.isfinite(values)
        at = np.flatnonzero(mine)[nearer]
        predicted[at], reached[at] = values[nearer], (agree / size)[nearer]
    alike = int((reached > LEAST).sum())
    return Baseline(
        predicted,
        f"the value of the nearest of {len(train):,} of {len(problem.train):,} training sequences by identity, or the "
        f"mean where none reaches {100 * LEAST:.0f} % ({alike:,} of {len(rows):,} rows have one)",
    )


COLUMNS = 0.4  # of the features, tried at each split
LONGEST = 2_000  # positions that are looked at
STRANGE = 0.3  # of the residues differ from the consensus in half of the rows: they are not variants
LOOKED = 500  # rows compared with it


def site_trees(problem: Problem) -> Baseline:
    """Extremely randomised trees on substitutions and means of sites (Geurts, Ernst and Wehenkel 2006).

    Of proteins that are no variants of one it predicts the mean.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    mask = np.zeros(len(problem.train), bool)
    mask[problem.some(FOREST_ROWS)] = True
    train, target = problem.train.select(mask), problem.target[mask]
    middle, _ = problem.scale()
    reference = consensus(train.tokens, train.lengths)[:LONGEST]
    length = len(reference)
    few = np.arange(len(train)) < LOOKED
    if np.median(substitutions(padded(train.select(few), length), reference).counts) > STRANGE * length:
        what = f"no variants of one protein: the mean of {len(problem.train):,} training rows in place of a forest"
        return Baseline(np.full(len(problem.rows), middle), what)
    known, asked = (substitutions(padded(rows, length), reference) for rows in (train, problem.rows))
    values, weights = target - middle, train.weights / max(float(train.weights.mean()), 1e-12)
    own = features(known, learn_in_folds(known, values, weights, length, problem.seed), length)
    new = features(asked, learn(known, values, weights, length).of(asked), length)
    model = ExtraTreesRegressor(
        TREES, min_samples_leaf=LEAF, max_features=COLUMNS, n_jobs=problem.threads, random_state=problem.seed
    )
    model.fit(own, values, sample_weight=weights)
    return Baseline(
        middle + model.predict(new),
        f"{TREES} extremely randomised trees on substitutions in a consensus of {length} residues and means of sites, "
        f"{len(train):,} of {len(problem.train):,} training rows",
    )
