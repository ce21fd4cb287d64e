"""Baselines of classes: the most frequent class, the nearest neighbour, logistic regressions; of k-mers or embeddings.

Where a protein may have several classes, a baseline gives each a probability: its share of the training rows, the
likeness of the nearest row where that has it, or a logistic regression of its own (one versus rest). A class is called
from the probability on at which micro F1 is best, on the part of the training rows that chooses the penalty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.lookup import lookup
from biorrn.base.terminal import progress
from biorrn.proteins.baselines.problem import one_hot
from biorrn.proteins.predictions import Proteins
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import N_TOKENS
from biorrn.stats import classification
from biorrn.stats import labels as sets_of_labels
from biorrn.stats.baselines import Baseline, choose_from, entry_of

K = 3  # residues of a word
ROWS = 20_000  # training rows of the logistic regression and neighbours that are looked at, at most
COSTS = (10.0, 100.0, 1000.0)  # inverse penalties of the logistic regression that are tried
SITE_COSTS = (0.1, 1.0, 10.0)  # the same, of residues by position
VECTOR_COSTS = (0.001, 0.01, 0.1, 1.0)  # the same, of embeddings
MANY = 50  # classes of sets from which on the penalty is not chosen but the middle one
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
    classes : int64 array (rows of `train`,); or of sets bool array (rows of `train`, C).
    seed : int: of everything that is drawn.
    reads : numbers of an embedding and name of the language model, optional: of the open file of embeddings.
    """

    train: Proteins
    classes: np.ndarray
    rows: Proteins
    seed: int = 0
    reads: tuple[int, str] | None = None

    @property
    def several(self) -> bool:
        """Return whether a protein may have several classes."""
        return self.classes.ndim == 2

    @cached_property
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean embeddings of the chosen training rows and of the others, in standard deviations of the former.

        Raises
        ------
        BiorrnError: no file of embeddings is open, or it lacks a row.
        """
        if self.reads is None:
            raise BiorrnError("baselines on embeddings need their file; give it with --embeddings")
        width, model = self.reads

        def means(rows: Proteins, places: np.ndarray) -> np.ndarray:
            ends = np.cumsum(rows.lengths)
            texts = [rows.tokens[ends[row] - rows.lengths[row] : ends[row]] for row in places.tolist()]
            found = embeddings.lookup(texts, width, True, model)
            return np.stack(found).astype(np.float64) if found else np.zeros((0, width))

        train, rows = means(self.train, self.chosen), means(self.rows, np.arange(len(self.rows)))
        middle, spread = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-6)
        return (train - middle) / spread, (rows - middle) / spread

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
    """Predict the most frequent class of the training rows; of sets each class with its share of them."""
    if problem.several:
        shares = problem.classes.mean(axis=0)
        least = sets_of_labels.best_threshold(problem.classes, np.broadcast_to(shares, problem.classes.shape))
        found = np.tile(shares, (len(problem.rows), 1))
        return Baseline(
            np.stack([found >= least, found]), f"each class with its share of {len(problem.train):,} training rows"
        )
    most = int(np.bincount(problem.classes).argmax())
    return Baseline(
        np.full(len(problem.rows), most), f"the most frequent class of {len(problem.train):,} training rows"
    )


def _logistic(problem: ClassProblem, train: Any, rows: Any, costs: tuple[float, ...], what: str) -> Baseline:
    """Return a logistic regression of features of the chosen training rows; a quarter of them chooses its penalty."""
    from sklearn.linear_model import LogisticRegression

    classes = problem.classes[problem.chosen]
    if problem.several:
        return _one_versus_rest(problem, train, rows, costs, what)
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


def _one_versus_rest(problem: ClassProblem, train: Any, rows: Any, costs: tuple[float, ...], what: str) -> Baseline:
    """Return a logistic regression for each class of sets; see `_logistic`."""
    from sklearn.linear_model import LogisticRegression

    labels = problem.classes[problem.chosen]

    def fit(part: np.ndarray, cost: float, asked: Any) -> np.ndarray:
        found = np.tile((labels[part].sum(axis=0) + 0.5) / (len(part) + 1.0), (asked.shape[0], 1))
        for label in np.flatnonzero(labels[part].any(axis=0) & ~labels[part].all(axis=0)):
            model = LogisticRegression(C=cost, max_iter=STEPS, tol=TOLERANCE, solver="liblinear")
            found[:, label] = model.fit(train[part], labels[part, label]).predict_proba(asked)[:, 1]
        return found

    order = np.random.default_rng(problem.seed).permutation(len(labels))
    held, rest = np.split(order, [int(HELD * len(order))])
    tried = costs if labels.shape[1] < MANY else costs[len(costs) // 2 :][:1]
    best, cost, least = -1.0, tried[len(tried) // 2], 0.5
    for one in tried if len(held) else ():
        found = fit(rest, one, train[held])
        threshold = sets_of_labels.best_threshold(labels[held], found)
        f1 = sets_of_labels.score(labels[held], found >= threshold, found)["micro_f1"]
        if f1 > best:
            best, cost, least = f1, one, threshold
    found = fit(order, cost, rows)
    return Baseline(
        np.stack([found >= least, found]),
        f"logistic regression of each class on {what}, {len(labels):,} of {len(problem.train):,} training rows, "
        f"penalty 1/{cost:g}" + (" chosen on a quarter of them" if len(tried) > 1 else ""),
    )


def kmer(problem: ClassProblem) -> Baseline:
    """Logistic regression on the weighted words, its penalty chosen inside the training rows."""
    return _logistic(problem, *problem.words, COSTS, f"the words of {K} residues (logarithm of counts, by rarity)")


def onehot(problem: ClassProblem) -> Baseline:
    """Logistic regression on one-hot residues by position, its penalty chosen inside the training rows."""
    longest = min(int(problem.train.lengths.max()), LONGEST)
    train = one_hot(problem.train, longest)[problem.chosen]
    return _logistic(problem, train, one_hot(problem.rows, longest), SITE_COSTS, "one-hot residues by position")


def _nearest(problem: ClassProblem, train: Any, rows: Any, what: str) -> Baseline:
    """Return the class, or the set, of the nearest training row by the cosine of features of length 1."""
    places, likeness = [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, rows.shape[0], BLOCK):
        cosines = rows[start : start + BLOCK] @ train.T
        cosines = cosines.toarray() if hasattr(cosines, "toarray") else cosines
        places.append(cosines.argmax(axis=1))
        likeness.append(cosines.max(axis=1))
    found = problem.classes[problem.chosen][np.concatenate(places)]
    if problem.several:
        sure = np.clip(np.concatenate(likeness), 1e-3, 1.0)[:, None]
        found = np.stack([found, found * sure])
    return Baseline(
        found,
        f"the class of the nearest of {len(problem.chosen):,} of {len(problem.train):,} training rows, by the cosine "
        f"of their {what}",
    )


def neighbour(problem: ClassProblem) -> Baseline:
    """Predict the class of the training row that shares most words, by the cosine of the weighted words."""
    return _nearest(problem, *problem.words, f"words of {K} residues")


def plm_logistic(problem: ClassProblem) -> Baseline:
    """Logistic regression on the mean embedding, its penalty chosen inside the training rows."""
    return _logistic(problem, *problem.vectors, VECTOR_COSTS, "the mean embedding")


def plm_neighbour(problem: ClassProblem) -> Baseline:
    """Predict the class of the training row whose mean embedding is nearest, by the cosine."""
    train, rows = (part / np.maximum(np.linalg.norm(part, axis=1), 1e-12)[:, None] for part in problem.vectors)
    return _nearest(problem, train, rows, "mean embeddings")


BASELINES: dict[str, Callable[[ClassProblem], Baseline]] = {
    "majority": majority,
    "neighbour": neighbour,
    "kmer": kmer,
    "onehot": onehot,
    "plm_logistic": plm_logistic,
    "plm_neighbour": plm_neighbour,
}
EMBEDDED = ("plm_logistic", "plm_neighbour")  # fitted where there are embeddings
# what --baselines takes besides names
SETS: dict[str, tuple[str, ...]] = {"all": tuple(BASELINES), "fast": ("majority", "neighbour"), "none": ()}


def choose(names: str, embedded: bool = False) -> tuple[str, ...]:
    """Return the baselines that a name of `SETS`, or names separated by commas, stand for; see `choose_from`.

    Parameters
    ----------
    embedded : bool: whether there are embeddings, which two of them read.

    Raises
    ------
    ConfigError: a name is unknown, or needs embeddings.

    >>> choose("fast")
    ('majority', 'neighbour')
    """
    chosen = choose_from(BASELINES, names, SETS)
    if embedded:
        return chosen
    if names not in SETS and (needing := [name for name in chosen if name in EMBEDDED]):
        raise ConfigError(f"--baselines {needing[0]}: reads embeddings; give their file with --embeddings")
    return tuple(name for name in chosen if name not in EMBEDDED)


def compare(problem: ClassProblem, true: np.ndarray, model: Any, names: Sequence[str]) -> dict[str, Any]:
    """Fit baselines and compare each with the model's classes, by paired bootstrap.

    Parameters
    ----------
    true : int array (N,): classes of `problem.rows`; of sets bool array (N, C).
    model : int array (N,): the model's classes; of sets its calls and probabilities, each (N, C).

    Returns
    -------
    {baseline: {"description", "metrics", "difference", "beats", "sentence"}}, the one of the highest macro F1 first; of
    sets of the highest F-max.

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
            if problem.several:
                theirs = (fitted.predicted[0] > 0, fitted.predicted[1])
                metrics = sets_of_labels.evaluate(true, *theirs, seed=problem.seed)
                gaps = sets_of_labels.differences(true, model, theirs, seed=problem.seed)
            else:
                called = np.asarray(fitted.predicted, np.int64)
                metrics = classification.evaluate(true, called, seed=problem.seed)
                gaps = classification.differences(true, model, called, seed=problem.seed)
            results[name] = entry_of(name, fitted.description, metrics, gaps, "proteins")
            advance(1)
    first = "f_max" if problem.several else "macro_f1"
    return dict(sorted(results.items(), key=lambda item: -item[1]["metrics"][first]["value"]))
