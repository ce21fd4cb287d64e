"""What a model that tags residues has to beat: from the commonest state to a linear model over a window.

Each is fitted on the labelled residues of the training rows; `tagging.evaluate` sets it beside the model. All
together take well under a minute on one core for 2.5 million residues.
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
PRIOR = 1.0  # residues of each kind that are added to what was counted
BATCH, STEPS, RATE = 8192, 100, 0.02  # of the softmax regression; at least so many steps
PENALTY = 1.0  # of the ridge regression, in residues
MOST = 1_000_000  # residues that train the ridge regression


@dataclass(frozen=True)
class TagProblem:
    """Training rows and rows to predict; `column` is the value to predict, None for states."""

    train: Tagged
    rows: Tagged
    seed: int = 0
    column: int | None = None

    @cached_property
    def fit(self) -> tuple[np.ndarray, np.ndarray]:
        """Places and labels of the training residues that have a label."""
        labels = self.train.labels if self.column is None else self.train.values[:, self.column]
        places = np.flatnonzero(labels >= 0 if self.column is None else ~np.isnan(labels))
        return places, labels[places]

    @property
    def symbols(self) -> int:
        """How many tokens there may be, that of padding included."""
        return len(self.train.alphabet) + 1


def windows(rows: Tagged, places: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return the tokens at -HALF to +HALF around residues, uint8 (n, 2 HALF + 1); 0 lies beyond an end."""
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
    """Predict the commonest state of the training residues."""
    counts = np.bincount(problem.fit[1], minlength=len(problem.train.states))
    state = int(counts.argmax())
    description = f"state {problem.train.states[state]}, the commonest, everywhere"
    return Baseline(np.full(len(problem.rows.tokens), state), description)


def residue(problem: TagProblem) -> Baseline:
    """Predict the commonest state of each residue on its own."""
    places, labels = problem.fit
    counts = np.zeros((problem.symbols, len(problem.train.states)))
    np.add.at(counts, (problem.train.tokens[places], labels), 1)
    counts += PRIOR * np.bincount(labels, minlength=counts.shape[1]) / max(len(labels), 1)
    description = f"the commonest state of each residue, {len(labels):,} residues"
    return Baseline(counts.argmax(axis=1)[problem.rows.tokens], description)


def gor(problem: TagProblem) -> Baseline:
    """Add up what each residue of a window says of the state in its middle (Garnier, Osguthorpe and Robson 1978)."""
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
    passes = -(-STEPS // pieces)  # one, where there are many residues
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
    """Predict the mean of each residue on its own."""
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
    """Return the baselines that "all", "none" or names separated by commas stand for, of states or of values.

    >>> choose("gor,majority", states=True)
    ('gor', 'majority')
    """
    table = BASELINES if states else VALUE_BASELINES
    return choose_from(table, names, {"all": tuple(table), "none": ()})


# name -> f(problem); in the order of what they cost
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
