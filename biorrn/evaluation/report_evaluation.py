"""An evaluation in the report: its metrics, its baselines, its sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biorrn.errors import InputError
from biorrn.evaluation.baselines import BEATEN, beaten, headline
from biorrn.evaluation.blocks import blocks, label, text
from biorrn.evaluation.described import read_result
from biorrn.evaluation.metric_names import LOWER, NAMES, RATES, deciding, headline_metric
from biorrn.evaluation.report_figures import UNUSABLE, figures_of

# keys of an evaluation that are shown by name; of all but a regression the others go into a list of details
SHOWN = (
    *("kind", "name", "split", "note", "cautions", "inputs", "command", "biorrn", "seed", "resamples", "metrics"),
    *("baselines", "figures", "targets", "flags", "coverage", "region", "min_bases", "within"),
)


DETAILS = {  # what the list of details of an evaluation is called
    "regression": "Intervals: how often they hold the measured value",
    "basecalls": "Counts and tables: read lengths, qualities, errors",
    "tagging": "Counts and tables: states, lengths, confidence",
    "language": "Counts, and perplexity by position",
    "translation": "Rows and models",
}


def number(name: str, value: Any) -> str:
    """Return the value of a metric: three decimals, or per cent for a rate."""
    if not isinstance(value, int | float):
        return "–"
    return f"{100 * value:.2f} %" if name in RATES else f"{value:.3f}"


def estimate(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return an estimate as the cells of a row: metric, value, interval, n; "raw" is what sorts it."""
    low, high = number(name, entry.get("low")), number(name, entry.get("high"))
    return {
        "metric": NAMES.get(name, label(name)),
        "value": number(name, entry.get("value")),
        "raw": entry.get("value") if isinstance(entry.get("value"), int | float) else None,
        "interval": "–" if low == "–" else f"{low.removesuffix(' %')} to {high}",
        "n": text(entry.get("n")),
    }


def _baseline_rows(metrics: dict[str, Any], baselines: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row for the model and one for each baseline: every metric, the deciding difference, the verdict."""
    ours = [estimate(name, metrics[name]) for name in metrics]
    rows: list[dict[str, Any]] = [{"name": "model", "cells": ours, "difference": None, "beaten": "", "good": True}]
    for key, entry in baselines.items():
        rows.append(
            {
                "name": key,
                "cells": [estimate(name, entry["metrics"].get(name, {})) for name in metrics],
                "difference": estimate(deciding(entry), entry["difference"][deciding(entry)]),
                "beaten": BEATEN[beaten(entry)],
                "good": entry["beats"],
            }
        )
    return rows


def _tables(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the result tables of an evaluation: one a target, or one for basecalls."""
    if content["kind"] == "basecalls":
        return [{"title": "", "rows": [estimate(name, entry) for name, entry in content["metrics"].items()]}]
    units = {target.get("name"): target.get("unit", "") for target in content.get("targets", [])}
    tables = []
    for target, metrics in content["metrics"].items():
        baselines = content["baselines"].get(target, {})
        tables.append(
            {
                "title": f"{target} ({units[target]})" if units.get(target) else target,
                "rows": [estimate(name, entry) for name, entry in metrics.items()],
                "columns": [NAMES.get(name, label(name)) for name in metrics],
                "compared": _baseline_rows(metrics, baselines) if baselines else [],
                "decides": next((NAMES.get(deciding(entry), deciding(entry)) for entry in baselines.values()), ""),
                "headline": headline(baselines),
                "good": all(entry["beats"] for entry in baselines.values()),
                "sentences": [{"text": entry["sentence"], "good": entry["beats"]} for entry in baselines.values()],
                "fits": [f"{key}: {entry['description']}." for key, entry in baselines.items()],
            }
        )
    return tables


def _verdict(baselines: dict[str, Any]) -> dict[str, Any]:
    lost = [key for key, entry in baselines.items() if not entry["beats"]]
    words = "–"
    if baselines:
        words = f"does not beat {', '.join(lost)}" if lost else "beats every baseline"
        if len(lost) > 2:
            words = f"does not beat {len(lost)} of {len(baselines)}"
    return {"verdict": words, "good": bool(baselines) and not lost, "bad": bool(lost)}


def _sentence(content: dict[str, Any], target: str, metric: str, metrics: dict[str, Any], shown: dict[str, Any]) -> str:
    """Return the result in one sentence."""
    where = f"{shown['n']} {'reads' if content['kind'] == 'basecalls' else 'proteins'} ({content['split']})"
    if content["kind"] == "basecalls":
        errors = [f"{key} {number(key, metrics[key].get('value'))}" for key in LOWER if key in metrics]
        end = f"; {', '.join(errors)}" if errors else ""
        return f"Median identity {shown['value']} (95 % interval {shown['interval']}) on {where}{end}."
    if content["kind"] == "tagging" and "accuracy_residue" in metrics:
        overlap = number("sov", metrics.get("sov", {}).get("value"))
        return (
            f"{shown['value']} of the residues right (95 % interval {shown['interval']}) in {where}; "
            f"segment overlap {overlap}."
        )
    if content["kind"] == "language":
        found = estimate("perplexity", metrics.get("perplexity", {}))
        where = f"the {target} of {shown['n']} sequences ({content['split']})"
        return f"Perplexity {found['value']} (95 % interval {found['interval']}) of {where}."
    if content["kind"] == "translation":
        kind, count = next(iter(content["rows"].items()))
        right = "of the sequences exact" if metric == "exact" else "of the aligned columns right"
        where = f"{count} {kind} ({content['split']})"
        return f"{target}: {shown['value']} {right} (95 % interval {shown['interval']}) of {where}."
    rmse = metrics.get("rmse", {}).get("value")
    end = f"; RMSE {number('rmse', rmse)}" if isinstance(rmse, int | float) else ""
    what = f"{target}: " if len(content["metrics"]) > 1 else ""
    return f"{what}Spearman {shown['value']} (95 % interval {shown['interval']}) on {where}{end}."


def _overview(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row a target for the overview and the comparison of runs."""
    kind, rows = content["kind"], []
    for target, metrics in ({"": content["metrics"]} if kind == "basecalls" else content["metrics"]).items():
        metric, baselines = headline_metric(kind, metrics), content["baselines"].get(target, {})
        shown = estimate(metric, metrics.get(metric, {}))
        others = [entry["metrics"].get(metric, {}).get("value") for entry in baselines.values()]
        known = [value for value in others if isinstance(value, int | float)]
        role = "reference" if kind == "basecalls" else "prepared"
        # runs are compared where they were judged on the same rows: of the same file, or one of the same bytes
        source = content["inputs"].get(role) or {}
        key = (kind, target, str(content["split"]), str(source.get("sha256") or source.get("path", "")))
        rows.append(
            {
                "target": target,
                "key": metric,
                "group": key,
                "split": str(content["split"]),
                "estimate": metrics.get(metric, {}),
                "other": max(known, default=None),
                "sentence": _sentence(content, target, metric, metrics, shown),
                "headline": headline(baselines),
                **shown,
                **_verdict(baselines),
            }
        )
    return rows


def evaluation(path: Path) -> dict[str, Any]:
    """Return an evaluation for the template.

    Raises
    ------
    InputError: not as `biorrn evaluate` writes it, or a figure that it names cannot be read.
    """
    content = read_result(path)
    try:
        parts: list[dict[str, Any]] = []
        if content["kind"] != "regression":
            for key in content:
                parts += blocks({key: content[key]}) if key not in SHOWN and content[key] else []
        elif content.get("coverage"):
            parts += blocks({"intervals": content["coverage"]})
        name = str(content["name"])
        return {
            "name": name,
            "kind": content["kind"],
            "split": str(content["split"]),
            "note": str(content.get("note") or ""),
            "cautions": [str(entry) for entry in content.get("cautions", [])],
            "flags": {str(flag): text(rows) for flag, rows in dict(content.get("flags", {})).items()},
            "overview": _overview(content),
            "tables": _tables(content),
            "within": estimate("median_identity", content["within"]) if content.get("region") else None,
            "blocks": parts,
            "details": DETAILS[content["kind"]],
            "figures": figures_of(content, path, name),
            "provenance": {key: content.get(key, "") for key in ("command", "biorrn", "seed", "resamples")},
            "inputs": [
                {"role": role, "path": str(entry["path"]), "sha256": entry["sha256"]}
                for role, entry in content["inputs"].items()
            ],
        }
    except UNUSABLE as error:
        raise InputError(path, f"is not as `biorrn evaluate` writes it ({type(error).__name__}: {error})") from error
