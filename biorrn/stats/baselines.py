"""Comparison of a model with baselines: paired differences, verdicts, headline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.stats.bootstrap import RESAMPLES, estimate
from biorrn.stats.metrics import FEWEST, NAMES, RESAMPLED, deciding


def difference(
    metric: str,
    true: np.ndarray,
    model: np.ndarray,
    other: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, float]:
    """Return {"n", "value", "low", "high"} of metric(model) - metric(other), both on the same resamples.

    Groups are as of `bootstrap.estimate`.

    A Spearman coefficient that is undefined because one side is constant counts as 0: such a prediction ranks nothing.
    """
    statistic, fill = RESAMPLED[metric], 0.0 if metric in ("spearman", "pearson") else np.nan

    def gap(true: np.ndarray, model: np.ndarray, other: np.ndarray, counts: np.ndarray) -> np.ndarray:
        ours, theirs = statistic(true, model, counts), statistic(true, other, counts)
        return np.where(np.isnan(ours), fill, ours) - np.where(np.isnan(theirs), fill, theirs)

    return estimate(gap, true, model, other, resamples=resamples, seed=seed, fewest=FEWEST, groups=groups)


def verdict(
    name: str, gap: dict[str, float], metric: str = "spearman", counted: str = "measured values"
) -> tuple[bool, str]:
    """Return whether the model beats a baseline (the whole interval of the difference is above 0), and a sentence.

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
    """Return the entry of a baseline in a result file; see `stats.results`.

    Parameters
    ----------
    gaps : {metric: estimate of model - baseline}; the first decides whether the baseline is beaten.
    """
    metric, gap = next(iter(gaps.items()))
    beats, sentence = verdict(name, gap, metric, counted)
    return {"description": description, "metrics": metrics, "difference": gaps, "beats": beats, "sentence": sentence}


def choose_from(table: Mapping[str, Any], names: str, sets: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names of baselines for --baselines: a name of `sets`, or names separated by commas; each once.

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
    """Return the key of `BEATEN` for the entry of a baseline; numbers may be None, as in JSON."""
    if entry["beats"]:
        return "beats"
    gap = entry["difference"][deciding(entry)]
    low, high = (np.nan if gap[key] is None else gap[key] for key in ("low", "high"))
    return "is worse than" if high < 0 else "may equal" if low <= high else "could not be compared with"


def headline(compared: dict[str, dict[str, Any]]) -> str:
    """Return the comparison with all baselines in one sentence; "" if there are none."""
    if not compared:
        return ""
    groups: dict[str, list[str]] = {kind: [] for kind in BEATEN if kind != "beats"}
    for name, entry in compared.items():
        groups.get(beaten(entry), []).append(name)
    if not any(groups.values()):
        return (
            "The model beats 1 baseline." if len(compared) == 1 else f"The model beats all {len(compared)} baselines."
        )
    lost = "; ".join(f"it {kind} {', '.join(names)}" for kind, names in groups.items() if names)
    return f"The model does not beat {sum(map(len, groups.values()))} of {len(compared)} baselines: {lost}."


# relation of the model to a baseline -> cell of the column "beaten"
BEATEN: dict[str, str] = {
    "beats": "yes",
    "is worse than": "NO",
    "may equal": "not shown",
    "could not be compared with": "too few values",
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """Predictions (N,) of a baseline, and a sentence on how it was fitted."""

    predicted: np.ndarray
    description: str
