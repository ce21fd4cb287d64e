"""What a model has to beat: from the mean over the nearest neighbour to forests and small networks.

Each is fitted on the training rows only and evaluated on the same rows as the model; the difference to the model is
bootstrapped on the same resamples (paired), so that it can be told from noise. How many training rows each may use is
bounded, and so is its time: all together take about a minute on one core for 50,000 proteins of 50 residues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from biorrn.errors import BiorrnError, ConfigError
from biorrn.evaluation.baselines_features import extra_trees, forest, svm
from biorrn.evaluation.baselines_linear import length, mean, ridge
from biorrn.evaluation.baselines_neighbours import neighbour
from biorrn.evaluation.baselines_networks import cnn, dense
from biorrn.evaluation.baselines_rows import Baseline, Problem
from biorrn.evaluation.baselines_sites import site_trees
from biorrn.evaluation.bootstrap import RESAMPLES, estimate
from biorrn.evaluation.metric_names import NAMES, deciding
from biorrn.evaluation.predictions import Proteins
from biorrn.evaluation.regression import RESAMPLED, evaluate, paired
from biorrn.lookup import lookup
from biorrn.progress import progress


def choose(names: str) -> tuple[str, ...]:
    """Return the baselines that a name of `SETS`, or names separated by commas, stand for; see `choose_from`.

    >>> choose("ridge,mean")
    ('ridge', 'mean')
    >>> choose("none")
    ()
    """
    return choose_from(BASELINES, names, SETS)


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

    return estimate(gap, true, model, other, resamples=resamples, seed=seed)


def verdict(
    name: str, gap: dict[str, float], metric: str = "spearman", counted: str = "measured values"
) -> tuple[bool, str]:
    """Say whether the model beats a baseline: only if the whole interval of the difference in `metric` is above 0.

    Parameters
    ----------
    gap : {"n", "value", "low", "high"} of model - baseline; higher is better.
    counted : str: what n counts.
    """
    text = f"{gap['value']:+.3f} {NAMES[metric]}, 95 % interval {gap['low']:+.3f} to {gap['high']:+.3f}"
    if not gap["low"] <= gap["high"]:
        return False, f"The model is not compared with the baseline '{name}': {gap['n']} {counted} are too few."
    if gap["low"] > 0:
        return True, f"The model beats the baseline '{name}' ({text})."
    if gap["high"] < 0:
        return False, f"The model does not beat the baseline '{name}': it is worse ({text})."
    return False, f"The model does not beat the baseline '{name}': the difference may be chance ({text})."


def entry_of(
    name: str,
    description: str,
    metrics: dict[str, Any],
    gaps: dict[str, dict[str, float]],
    counted: str = "measured values",
) -> dict[str, Any]:
    """Return what an evaluation keeps of a baseline; see `evaluation.results`.

    Parameters
    ----------
    gaps : {metric: estimate of model - baseline}; the first decides whether the baseline is beaten.
    """
    metric, gap = next(iter(gaps.items()))
    beats, sentence = verdict(name, gap, metric, counted)
    return {"description": description, "metrics": metrics, "difference": gaps, "beats": beats, "sentence": sentence}


def beside(
    name: str, description: str, measured: np.ndarray, model: np.ndarray, other: np.ndarray, seed: int = 0
) -> dict[str, Any]:
    """Return the entry of a baseline that predicts `other` (N,), beside a model; NaN of `measured` is missing."""
    true, theirs = paired(measured, other)
    _, ours = paired(measured, model)
    gaps = {metric: difference(metric, true, ours, theirs, seed=seed) for metric in ("spearman", "rmse")}
    return entry_of(name, description, evaluate(true, theirs, seed=seed), gaps)


def choose_from(table: Mapping[str, Any], names: str, sets: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the entries of a table of baselines that a name of `sets`, or names with commas, stand for; each once.

    Raises
    ------
    ConfigError: a name is unknown.
    """
    if names in sets:
        return sets[names]
    listed = [name.strip() for name in names.split(",") if name.strip()]
    if not listed:
        raise ConfigError(f"--baselines: found '{names}'; allowed is {', '.join(sets)}, or names of {', '.join(table)}")
    for name in listed:
        lookup({**table, **(sets if len(listed) == 1 else {})}, name, "baseline")
    return tuple(dict.fromkeys(listed))


def beaten(entry: dict[str, Any]) -> str:
    """Return the key of `BEATEN` for one entry of what `compare` returns; numbers may be None, as JSON has them."""
    if entry["beats"]:
        return "beats"
    gap = entry["difference"][deciding(entry)]
    low, high = (np.nan if gap[key] is None else gap[key] for key in ("low", "high"))
    return "is worse than" if high < 0 else "may equal" if low <= high else "could not be compared with"


def headline(compared: dict[str, dict[str, Any]]) -> str:
    """Say in one sentence what came out; "" where nothing was compared."""
    if not compared:
        return ""
    groups: dict[str, list[str]] = {kind: [] for kind in BEATEN if kind != "beats"}
    for name, entry in compared.items():
        groups.get(beaten(entry), []).append(name)
    if not any(groups.values()):
        return f"The model beats {'all ' * (len(compared) > 1)}{len(compared)} baseline{'s' * (len(compared) > 1)}."
    lost = "; ".join(f"it {kind} {', '.join(names)}" for kind, names in groups.items() if names)
    return f"The model does not beat {sum(map(len, groups.values()))} of {len(compared)} baselines: {lost}."


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
    with progress("baselines", "fits") as advance:
        for name in BASELINES if names is None else names:
            fitted = lookup(BASELINES, name, "baseline")(problem)
            results[name] = beside(name, fitted.description, rows.targets[:, column], model, fitted.predicted, seed)
            advance(1)
    return dict(sorted(results.items(), key=_rank))


def _rank(item: tuple[str, dict[str, Any]]) -> float:
    value = float(item[1]["metrics"]["spearman"]["value"])
    return -value if np.isfinite(value) else np.inf


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
# what the model does to a baseline -> whether it is beaten, as a table shows it
BEATEN: dict[str, str] = {
    "beats": "yes",
    "is worse than": "NO",
    "may equal": "not shown",
    "could not be compared with": "too few values",
}
# what --baselines takes besides names
SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(BASELINES),
    "fast": ("mean", "length", "ridge", "neighbour"),
    "none": (),
}
