"""A model that tags residues beside its baselines: on the same residues, differences paired by protein."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biorrn.errors import BiorrnError
from biorrn.evaluation.baselines import entry_of
from biorrn.evaluation.baselines_tagging import BASELINES, VALUE_BASELINES, TagProblem
from biorrn.evaluation.tagging import (
    NUMBER_METRICS,
    RESAMPLED,
    Scored,
    difference,
    estimate_numbers,
    evaluate,
    score,
)
from biorrn.lookup import lookup
from biorrn.progress import progress


def compare(
    problem: TagProblem, names: Sequence[str], ours: np.ndarray, found: Scored | None = None
) -> dict[str, dict[str, Any]]:
    """Fit baselines and compare each with the model: what `evaluation.baselines.compare` returns, for residues.

    Parameters
    ----------
    ours : array (total,): what the model says of the residues of `problem.rows`.
    found : Scored, optional: its counts; None where values are predicted.

    Raises
    ------
    BiorrnError: no training residue has a label.
    """
    if names and not len(problem.fit[0]):
        raise BiorrnError("baselines need labelled residues in the training rows and found none; use --baselines none")
    table = BASELINES if problem.column is None else VALUE_BASELINES
    results: dict[str, dict[str, Any]] = {}
    with progress("baselines", "fits") as advance:
        for name in names:
            fitted = lookup(table, name, "baseline")(problem)
            given = (problem, fitted.predicted)
            metrics, gaps = _states(*given, found) if found is not None else _numbers(*given, ours)
            results[name] = entry_of(name, fitted.description, metrics, gaps, "proteins")
            advance(1)
    return dict(sorted(results.items(), key=lambda item: _rank(item[1])))


def _states(problem: TagProblem, predicted: np.ndarray, ours: Scored) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = problem.rows
    theirs = score(rows.labels, predicted, rows.lengths, len(rows.states))
    gaps = {metric: difference(metric, ours, theirs, seed=problem.seed) for metric in RESAMPLED}
    return evaluate(theirs, seed=problem.seed), gaps


def _numbers(problem: TagProblem, predicted: np.ndarray, ours: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = problem.rows
    true = rows.values[:, problem.column]
    own, gaps = (
        {name: estimate_numbers(name, rows.lengths, true, *given, seed=problem.seed) for name in NUMBER_METRICS}
        for given in ((predicted,), (ours, predicted))
    )
    return own, gaps


def _rank(entry: dict[str, Any]) -> float:
    value = float(next(iter(entry["metrics"].values()))["value"])
    return -value if np.isfinite(value) else np.inf
