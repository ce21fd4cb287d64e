"""Baselines for tagging: the most frequent state, GOR, and linear models over a window of residues.

They are fitted on the labelled residues of the training rows, and evaluated on the same rows as the model. All of them
take less than a minute on one core for 2.5 million residues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from biorrn.stats.baselines import Baseline, choose_from
from biorrn.tagging.data import Tagged

HALF = 8  # residues to each side that a window holds
PRIOR = 1.0  # pseudo-count of each residue
BATCH, STEPS, RATE = 8192, 100, 0.02  # softmax regression: batch size, minimum steps, learning rate
PENALTY = 1.0  # of the ridge regression
MOST = 1_000_000  # training residues of the ridge regression; more are subsampled


@dataclass(frozen=True)
class TagProblem:
    """Training rows and rows to predict. `column` is the column of values to predict, None for states."""

    train: Tagged
    rows: Tagged
    seed: int = 0
    column: int | None = None

    @cached_property
    def fit(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices and labels of the labelled training residues."""
        labels = self.train.labels if self.column is None else self.train.values[:, self.column]
        places = np.flatnonzero(labels >= 0 if self.column is None else ~np.isnan(labels))
        return places, labels[places]

    @property
    def symbols(self) -> int:
        """Number of tokens, including padding."""
        return len(self.train.alphabet) + 1


def windows(rows: Tagged, places: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return the tokens at -HALF to +HALF around residues, uint8 (n, 2 HALF + 1); 0 beyond the ends of a sequence."""
    starts = np.cumsum(rows.lengths) - rows.lengths
    first = np.repeat(starts, rows.lengths)[places]
    last = np.repeat(starts + rows.lengths, rows.lengths)[places]
    here = np.arange(len(rows.tokens))[places]
    found = np.zeros((len(here), 2 * HALF + 1), np.uint8)
    for offset in range(-HALF, HALF + 1):
        inside = (here + offset >= first) & (here + offset < last)
        found[inside, offset + HALF] = rows.tokens[here[inside] + offset]
    return found


def majority(problem: TagProblem) -> Baseline:
    """Predict the most frequent state of the training residues."""
    counts = np.bincount(problem.fit[1], minlength=len(problem.train.states))
    state = int(counts.argmax())
    description = f"state {problem.train.states[state]}, the commonest, everywhere"
    return Baseline(np.full(len(problem.rows.tokens), state), description)


def residue(problem: TagProblem) -> Baseline:
    """Predict the most frequent state of each amino acid."""
    places, labels = problem.fit
    counts = np.zeros((problem.symbols, len(problem.train.states)))
    np.add.at(counts, (problem.train.tokens[places], labels), 1)
    counts += PRIOR * np.bincount(labels, minlength=counts.shape[1]) / max(len(labels), 1)
    description = f"the commonest state of each residue, {len(labels):,} residues"
    return Baseline(counts.argmax(axis=1)[problem.rows.tokens], description)


def gor(problem: TagProblem) -> Baseline:
    """Predict by GOR I: independent log-likelihoods of a window (Garnier, Osguthorpe and Robson 1978)."""
    places, labels = problem.fit
    states, around = len(problem.train.states), windows(problem.train, places)
    prior = np.bincount(labels, minlength=states) + PRIOR
    scores = np.log(prior / prior.sum()) + np.zeros((len(problem.rows.tokens), states))
    seen = windows(problem.rows)
    for offset in range(2 * HALF + 1):
        cells = labels.astype(np.int64) * problem.symbols + around[:, offset]
        counts = np.bincount(cells, minlength=states * problem.symbols).reshape(states, -1) + PRIOR
        scores += np.log(counts / counts.sum(axis=1, keepdims=True)).T[seen[:, offset]]
    return Baseline(
        scores.argmax(axis=1),
        f"GOR I: log-likelihoods of the residues at -{HALF} to +{HALF}, taken as independent, {len(labels):,} residues",
    )


def window(problem: TagProblem) -> Baseline:
    """Fit a softmax regression on the one-hot residues of a window."""
    import torch

    places, labels = problem.fit
    states, columns = len(problem.train.states), np.arange(2 * HALF + 1) * problem.symbols
    around = windows(problem.train, places)
    rng = np.random.default_rng(problem.seed)
    weights = torch.zeros(len(columns) * problem.symbols, states, requires_grad=True)
    bias = torch.zeros(states, requires_grad=True)
    optimiser = torch.optim.Adam([weights, bias], lr=RATE)
    pieces = -(-len(places) // BATCH)
    passes = -(-STEPS // pieces)  # 1 for a large data set
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, passes * pieces)

    def scores(part: np.ndarray) -> Any:
        return torch.nn.functional.embedding_bag(torch.from_numpy(part + columns), weights, mode="sum") + bias

    for _ in range(passes):
        order = rng.permutation(len(places))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            truth = torch.from_numpy(labels[chosen].astype(np.int64))
            loss = torch.nn.functional.cross_entropy(scores(around[chosen]), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay.step()
    seen = windows(problem.rows)
    with torch.inference_mode():
        parts = [scores(seen[start : start + BATCH]).argmax(1).numpy() for start in range(0, len(seen), BATCH)]
    return Baseline(
        np.concatenate(parts),
        f"softmax regression on one-hot residues at -{HALF} to +{HALF}, {len(labels):,} residues, {passes} passes",
    )


def mean(problem: TagProblem) -> Baseline:
    """Predict the mean of the training residues."""
    return Baseline(np.full(len(problem.rows.tokens), problem.fit[1].mean()), "the mean of all training residues")


def residue_mean(problem: TagProblem) -> Baseline:
    """Predict the mean of each amino acid."""
    places, values = problem.fit
    tokens = problem.train.tokens[places]
    sums, counts = (np.bincount(tokens, part, problem.symbols) for part in (values, np.ones(len(values))))
    means = (sums + PRIOR * values.mean()) / (counts + PRIOR)
    return Baseline(means[problem.rows.tokens], f"the mean of each residue, {len(values):,} residues")


def window_ridge(problem: TagProblem) -> Baseline:
    """Fit a ridge regression on the one-hot residues of a window, in closed form."""
    from scipy.sparse import csr_matrix

    places, values = problem.fit
    if len(places) > MOST:
        chosen = np.sort(np.random.default_rng(problem.seed).permutation(len(places))[:MOST])
        places, values = places[chosen], values[chosen]
    columns = np.arange(2 * HALF + 1) * problem.symbols

    def one_hot(around: np.ndarray) -> Any:
        indices, width = (around + columns).ravel(), len(columns) * problem.symbols
        ends = np.arange(len(around) + 1) * len(columns)
        return csr_matrix((np.ones(len(indices)), indices, ends), shape=(len(around), width))

    x, centre = one_hot(windows(problem.train, places)), float(values.mean())
    gram = (x.T @ x).toarray() + PENALTY * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (values - centre))
    return Baseline(
        one_hot(windows(problem.rows)) @ weights + centre,
        f"ridge regression on one-hot residues at -{HALF} to +{HALF}, {len(values):,} residues",
    )


def choose(names: str, states: bool) -> tuple[str, ...]:
    """Return the names of the baselines in a comma-separated list, or for "all" or "none".

    >>> choose("gor,majority", states=True)
    ('gor', 'majority')
    """
    table = BASELINES if states else VALUE_BASELINES
    return choose_from(table, names, {"all": tuple(table), "none": ()})


# name -> f(problem), cheapest first
BASELINES: dict[str, Callable[[TagProblem], Baseline]] = {
    "majority": majority,
    "residue": residue,
    "gor": gor,
    "window": window,
}
VALUE_BASELINES: dict[str, Callable[[TagProblem], Baseline]] = {
    "mean": mean,
    "residue": residue_mean,
    "window": window_ridge,
}
