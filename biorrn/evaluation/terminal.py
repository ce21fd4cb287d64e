"""What a terminal shows of an evaluation: the metrics, and the model in one table with its baselines."""

from __future__ import annotations

from typing import Any

import numpy as np

from biorrn.evaluation.baselines import BEATEN, beaten, headline
from biorrn.evaluation.coverage import coverage_lines
from biorrn.evaluation.described import aligned_rows
from biorrn.evaluation.metric_names import BESIDE, NAMES, RATES, deciding

COLUMNS = ("95 % interval", "model - baseline", "95 % interval", "beaten")


def _number(value: Any, form: str) -> str:
    return "-" if value is None or not np.isfinite(value) else format(value, form)


def _span(estimate: dict[str, Any], form: str) -> str:
    low, high = (_number(estimate[key], form) for key in ("low", "high"))
    return "-" if "-" in (low, high) else f"{low} to {high}"


def comparison_lines(metrics: dict[str, Any], compared: dict[str, dict[str, Any]]) -> list[str]:
    """Return an aligned table of the model and its baselines, and the sentence that sums it up.

    Parameters
    ----------
    metrics : {metric: estimate} of the model.
    compared : what `evaluation.baselines.compare` returned.
    """
    first = deciding(next(iter(compared.values())))
    other = BESIDE[first]
    rows: list[tuple[str, ...]] = [("", NAMES[first], COLUMNS[0], NAMES[other], *COLUMNS[1:])]
    form = ".3f" if other in RATES else ".4g"
    for name, entry in {"model": {"metrics": metrics}, **compared}.items():
        chief, second = entry["metrics"][first], entry["metrics"][other]
        cells = [name, _number(chief["value"], ".3f"), _span(chief, ".3f"), _number(second["value"], form)]
        if name == "model":
            cells += ["", "", ""]
        else:
            gap = entry["difference"][first]
            cells += [_number(gap["value"], "+.3f"), _span(gap, "+.3f"), BEATEN[beaten(entry)]]
        rows.append(tuple(cells))
    lines = aligned_rows(rows, left=(0, len(rows[0]) - 1))  # names and verdicts
    return [*lines, headline(compared)]


def _shown(estimate: dict[str, Any]) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    return f"{value:.4f} ({low:.4f} to {high:.4f}, n {estimate['n']:,})"


def summary_lines(content: dict[str, Any]) -> list[str]:
    """Return what to print of an evaluation: one line a metric, then the baselines and the cautions."""
    lines = []
    tables = {content["split"]: content["metrics"]} if content["kind"] == "basecalls" else content["metrics"]
    for name, metrics in tables.items():
        lines += [f"{name}\t{metric}\t{_shown(estimate)}" for metric, estimate in metrics.items()]
        compared = content["baselines"].get(name, {})
        if compared:
            lines += comparison_lines(metrics, compared)
    return [*lines, *coverage_lines(content), *content["cautions"]]
