"""Baselines of classes: the most frequent class, the nearest neighbour by k-mers, logistic regressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from biorrn.base.errors import BiorrnError
from biorrn.base.lookup import lookup
from biorrn.base.terminal import progress
from biorrn.proteins.baselines.problem import one_hot
from biorrn.proteins.predictions import Proteins
from biorrn.sequences.alphabets import N_TOKENS
from biorrn.stats.baselines import Baseline, choose_from, entry_of
from biorrn.stats.classification import differences, evaluate

K = 3  # residues of a word
ROWS = 20_000  # training rows of the logistic regression and neighbours that are looked at, at most
COSTS = (10.0, 100.0, 1000.0)  # inverse penalties of the logistic regression that are tried
SITE_COSTS = (0.1, 1.0, 10.0)  # the same, of residues by position
LONGEST = 500  # residues that are read by position
HELD = 0.25  # part of the training rows on which they are tried
STEPS, TOLERANCE = 200, 1e-4  # of its optimiser
BLOCK = 500  # rows compared with all training rows at once


def kmers(rows: Proteins, k: int = K) -> Any:
    """Return how often each word of `k` residues comes in each row, a sparse matrix (N, 22**k)."""
    from scipy.sparse import csr_matrix

    places = max(0, len(rows.tokens) - k + 1)
    row = np.repeat(np.arange(len(rows)), rows.lengths)
    codes = np.zeros(places, np.int64)
    for place in range(k):
        codes = codes * N_TOKENS + rows.tokens[place : places + place]
    inside = row[:places] == row[k - 1 :] if places else np.zeros(0, bool)
    ones = np.ones(int(inside.sum()))
    return csr_matrix((ones, (row[:places][inside], codes[inside])), shape=(len(rows), N_TOKENS**k))


@dataclass(frozen=True)
class ClassProblem:
    """Training rows with their classes, and rows to predict.

    Attributes
    ----------
    classes : int64 array (rows of `train`,).
    seed : int: of everything that is drawn.
    """

    train: Proteins
    classes: np.ndarray
    rows: Proteins
    seed: int = 0

    @cached_property
    def chosen(self) -> np.ndarray:
        """At most `ROWS` of the training rows, drawn without replacement, sorted: int array."""
        return np.sort(np.random.default_rng(self.seed).permutation(len(self.train))[:ROWS])

    @cached_property
    def words(self) -> tuple[Any, Any]:
        """Weighted words of the chosen training rows and of the others: log(1 + count), by rarity, of length 1."""
        from sklearn.feature_extraction.text import TfidfTransformer

        mask = np.zeros(len(self.train), bool)
        mask[self.chosen] = True
        train, rows = kmers(self.train.select(mask)), kmers(self.rows)
        for part in (train, rows):
            part.data = np.log1p(part.data)
        used = np.unique(train.indices)
        weighing = TfidfTransformer().fit(train[:, used])
        return weighing.transform(train[:, used]), weighing.transform(rows[:, used])


def majority(problem: ClassProblem) -> Baseline:
    """Predict the most frequent class of the training rows."""
    most = int(np.bincount(problem.classes).argmax())
    return Baseline(
        np.full(len(problem.rows), most), f"the most frequent class of {len(problem.train):,} training rows"
    )


def _logistic(problem: ClassProblem, train: Any, rows: Any, costs: tuple[float, ...], what: str) -> Baseline:
    """Return a logistic regression of features of the chosen training rows; a quarter of them chooses its penalty."""
    from sklearn.linear_model import LogisticRegression

    classes = problem.classes[problem.chosen]
    if len(np.unique(classes)) < 2:
        return Baseline(np.full(len(problem.rows), classes[0]), "one class in the training rows")

    def fit(part: np.ndarray, cost: float) -> LogisticRegression:
        return LogisticRegression(C=cost, max_iter=STEPS, tol=TOLERANCE).fit(train[part], classes[part])

    order = np.random.default_rng(problem.seed).permutation(len(classes))
    held, rest = np.split(order, [int(HELD * len(order))])
    right = [0.0]
    if len(held) and len(np.unique(classes[rest])) > 1:
        right = [float((fit(rest, cost).predict(train[held]) == classes[held]).mean()) for cost in costs]
    cost = costs[int(np.argmax(right))]
    return Baseline(
        fit(order, cost).predict(rows),
        f"logistic regression on {what}, {len(classes):,} of {len(problem.train):,} training rows, penalty 1/{cost:g} "
        "chosen on a quarter of them",
    )


def kmer(problem: ClassProblem) -> Baseline:
    """Logistic regression on the weighted words, its penalty chosen inside the training rows."""
    return _logistic(problem, *problem.words, COSTS, f"the words of {K} residues (logarithm of counts, by rarity)")


def onehot(problem: ClassProblem) -> Baseline:
    """Logistic regression on one-hot residues by position, its penalty chosen inside the training rows."""
    longest = min(int(problem.train.lengths.max()), LONGEST)
    train = one_hot(problem.train, longest)[problem.chosen]
    return _logistic(problem, train, one_hot(problem.rows, longest), SITE_COSTS, "one-hot residues by position")


def neighbour(problem: ClassProblem) -> Baseline:
    """Predict the class of the training row that shares most words, by the cosine of the weighted words."""
    train, rows = problem.words
    nearest = [
        np.asarray((rows[start : start + BLOCK] @ train.T).argmax(axis=1)).ravel()
        for start in range(0, rows.shape[0], BLOCK)
    ]
    found = problem.classes[problem.chosen][np.concatenate([*nearest, np.zeros(0, np.int64)])]
    return Baseline(
        found,
        f"the class of the nearest of {len(problem.chosen):,} of {len(problem.train):,} training rows, by the cosine "
        f"of their words of {K} residues",
    )


BASELINES: dict[str, Callable[[ClassProblem], Baseline]] = {
    "majority": majority,
    "neighbour": neighbour,
    "kmer": kmer,
    "onehot": onehot,
}
# what --baselines takes besides names
SETS: dict[str, tuple[str, ...]] = {"all": tuple(BASELINES), "fast": ("majority", "neighbour"), "none": ()}


def choose(names: str) -> tuple[str, ...]:
    """Return the baselines that a name of `SETS`, or names separated by commas, stand for; see `choose_from`.

    >>> choose("fast")
    ('majority', 'neighbour')
    """
    return choose_from(BASELINES, names, SETS)


def compare(problem: ClassProblem, true: np.ndarray, model: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Fit baselines and compare each with the model's classes, by paired bootstrap.

    Parameters
    ----------
    true, model : int arrays (N,): classes of `problem.rows`.

    Returns
    -------
    {baseline: {"description", "metrics", "difference", "beats", "sentence"}}, the one of the highest macro F1 first.

    Raises
    ------
    BiorrnError: no training row has a class.
    """
    if names and not len(problem.train):
        raise BiorrnError("baselines need training rows with a class and found none; use --baselines none")
    results: dict[str, Any] = {}
    with progress("baselines", "fits") as advance:
        for name in names:
            fitted = lookup(BASELINES, name, "baseline")(problem)
            theirs = np.asarray(fitted.predicted, np.int64)
            gaps = differences(true, model, theirs, seed=problem.seed)
            metrics = evaluate(true, theirs, seed=problem.seed)
            results[name] = entry_of(name, fitted.description, metrics, gaps, "proteins")
            advance(1)
    return dict(sorted(results.items(), key=lambda item: -item[1]["metrics"]["macro_f1"]["value"]))
