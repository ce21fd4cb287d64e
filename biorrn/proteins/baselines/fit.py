"""Baselines of protein properties: table of names, fitting, comparison with a model.

Each baseline is fitted on the training rows only and evaluated on the same rows as the model. The difference to the
model is bootstrapped on the same resamples (paired). The training rows of each baseline are limited, and so is its
time: all together take about a minute on one core for 50,000 proteins of 50 residues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from biorrn.base.errors import BiorrnError
from biorrn.base.lookup import lookup
from biorrn.base.terminal import progress
from biorrn.proteins.baselines.classical import extra_trees, forest, length, mean, neighbour, ridge, site_trees, svm
from biorrn.proteins.baselines.networks import cnn, dense
from biorrn.proteins.baselines.problem import Problem
from biorrn.proteins.predictions import Proteins
from biorrn.stats.baselines import Baseline, choose_from, difference, entry_of
from biorrn.stats.metrics import evaluate, known_groups, paired


def choose(names: str) -> tuple[str, ...]:
    """Return the baselines that a name of `SETS`, or names separated by commas, stand for; see `choose_from`.

    >>> choose("ridge,mean")
    ('ridge', 'mean')
    >>> choose("none")
    ()
    """
    return choose_from(BASELINES, names, SETS)


def beside(
    name: str,
    description: str,
    measured: np.ndarray,
    model: np.ndarray,
    other: np.ndarray,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the entry of a baseline that predicts `other` (N,), beside a model; NaN of `measured` is missing.

    `groups` (N,) are of rows of one protein; see `metrics.evaluate`.
    """
    known = known_groups(groups, measured)
    true, theirs = paired(measured, other)
    _, ours = paired(measured, model)
    gaps = {metric: difference(metric, true, ours, theirs, seed=seed, groups=known) for metric in ("spearman", "rmse")}
    return entry_of(name, description, evaluate(true, theirs, seed=seed, groups=known), gaps)


def compare(
    train: Proteins,
    rows: Proteins,
    model: np.ndarray,
    column: int,
    seed: int = 0,
    threads: int = 1,
    names: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Fit baselines on `train`, evaluate them on `rows` and compare each with the model's predictions.

    Parameters
    ----------
    model : float array (N,): the model's predictions for `rows`.
    column : int: which target; training rows without it are left out.
    threads : int: CPU threads of the forests and the networks.
    names : keys of `BASELINES`; default: all.

    Returns
    -------
    {baseline: {"description", "metrics", "difference": {"spearman", "rmse"}, "beats", "sentence"}}, the one with the
    highest Spearman coefficient first, those without any last.

    Raises
    ------
    BiorrnError: no training row has the target.
    """
    known = ~np.isnan(train.targets[:, column])
    if not known.any():
        raise BiorrnError("baselines need training rows with the target and found none; use --no-baselines")
    train = train.select(known)
    problem = Problem(train, train.targets[:, column], rows, seed, threads)
    results: dict[str, dict[str, Any]] = {}
    measured, groups = rows.targets[:, column], rows.proteins()
    with progress("baselines", "fits") as advance:
        for name in BASELINES if names is None else names:
            fitted = lookup(BASELINES, name, "baseline")(problem)
            results[name] = beside(name, fitted.description, measured, model, fitted.predicted, seed, groups)
            advance(1)
    scores = {name: float(entry["metrics"]["spearman"]["value"]) for name, entry in results.items()}
    return {name: results[name] for name in sorted(results, key=lambda name: -np.nan_to_num(scores[name], nan=-np.inf))}


# name -> f(problem); in the order of what they cost
BASELINES: dict[str, Callable[[Problem], Baseline]] = {
    "mean": mean,
    "length": length,
    "ridge": ridge,
    "neighbour": neighbour,
    "site_trees": site_trees,
    "extra_trees": extra_trees,
    "forest": forest,
    "svm": svm,
    "dense": dense,
    "cnn": cnn,
}
# what --baselines takes besides names
SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(BASELINES),
    "fast": ("mean", "length", "ridge", "neighbour"),
    "none": (),
}
