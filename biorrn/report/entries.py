"""Runs in the report: evaluation, training, data sets and cost of each, and the overview of all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from biorrn.base.errors import InputError
from biorrn.report.cost import Cost, row, total
from biorrn.report.figures import UNUSABLE, comparison_figure, drawn, figures_of, training_figures
from biorrn.report.tables import blocks
from biorrn.report.wording import (
    DETAILS,
    anchors,
    comparison_sentence,
    duration,
    estimate,
    label,
    megabytes,
    minutes,
    result_sentence,
    text,
    training_sentence,
    verdict,
)
from biorrn.stats.baselines import BEATEN, beaten, headline
from biorrn.stats.metrics import NAMES, RATES, deciding, headline_metric
from biorrn.stats.results import read_result
from biorrn.training.runs import Run, read_run

# keys of an evaluation that are shown by name; the others go into the details, except for a regression
SHOWN = (
    *("kind", "name", "split", "note", "cautions", "inputs", "command", "biorrn", "seed", "resamples", "metrics"),
    *("baselines", "figures", "targets", "flags", "coverage", "region", "min_bases", "within"),
)

MATRIX = 20  # classes up to which a confusion matrix is shown as a table too


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


def _overview(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row a target for the overview and the comparison of runs."""
    kind, rows = content["kind"], []
    for target, metrics in ({"": content["metrics"]} if kind == "basecalls" else content["metrics"]).items():
        metric, baselines = headline_metric(kind, metrics), content["baselines"].get(target, {})
        shown = estimate(metric, metrics.get(metric, {}))
        others = [entry["metrics"].get(metric, {}).get("value") for entry in baselines.values()]
        known = [value for value in others if isinstance(value, int | float)]
        role = "reference" if kind == "basecalls" else "prepared"
        # runs are compared if evaluated on the same rows: the same file, or one of the same content
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
                "sentence": result_sentence(content, target, metric, metrics, shown),
                "headline": headline(baselines),
                **shown,
                **verdict(baselines),
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
                if key == "confusion" and len(content[key]) > MATRIX:
                    continue
                parts += blocks({key: content[key]}) if key not in SHOWN and content[key] else []
        else:
            shown = {"intervals": "coverage", "folds": "folds", "random and new positions": "positions"}
            parts += blocks({title: content[key] for title, key in shown.items() if content.get(key)})
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


APART = ("data", "versions", "rate", "best", "warnings")  # keys of provenance.json that are shown by name


def training(folder: Path) -> dict[str, Any]:
    """Return a run folder of `biorrn train` for the template.

    Raises
    ------
    InputError: not as `biorrn train` leaves it.
    """
    try:
        return _parts(read_run(folder))
    except UNUSABLE as error:
        raise InputError(folder, f"is not as `biorrn train` leaves it ({type(error).__name__}: {error})") from error


def _parts(run: Run) -> dict[str, Any]:
    known = run.provenance
    rate, best = known.get("rate") or {}, known.get("best") or {}
    data = known.get("data") or {}
    seconds = known.get("seconds")
    if not isinstance(seconds, int | float) and len(run.history.get("seconds", ())):
        seconds = float(run.history["seconds"][-1])
    chosen_by = str(best.get("metric", "")).replace("selection", NAMES["selection"])
    return {
        "name": run.name,
        "finished": bool(known),
        "epochs": len(run.history.get("epoch", ())),
        "figures": drawn(training_figures(run.history), run.name),
        "recipe": run.recipe,
        "warnings": [f"Epoch {epoch}: {message}." for epoch, message in run.warnings],
        "facts": {key: value for key, value in known.items() if key not in APART},
        "best": f"{text(best.get('value'))} {chosen_by} after epoch {best['epoch'] + 1}"
        if isinstance(best.get("epoch"), int)
        else "–",
        "rate": f"{text(rate.get('value'))} {rate.get('unit', '')}" if rate else "–",
        "raw_rate": rate.get("value") if isinstance(rate.get("value"), int | float) else None,
        "seconds": seconds if isinstance(seconds, int | float) else None,
        "time": duration(seconds) if isinstance(seconds, int | float) else "–",
        "versions": dict(known.get("versions") or {}),
        "inputs": [{"path": str(path), "sha256": sum} for path, sum in data.items()],
    }


def _data_of(run: dict[str, Any], prepared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the data sets that a run was trained or evaluated on, by the paths in its files."""
    train = run["training"]
    paths = [entry["path"] for entry in train["inputs"]] if train else []
    paths += [entry["path"] for result in run["results"] for entry in result["inputs"] if entry["role"] == "prepared"]
    named = {os.path.normpath(path) for path in paths if path}
    return [entry for entry in prepared if entry["prepared"] and os.path.normpath(entry["prepared"]) in named]


def collect(
    results: list[dict[str, Any]], trained: list[dict[str, Any]], prepared: list[dict[str, Any]], costs: list[Cost]
) -> list[dict[str, Any]]:
    """Return one entry a name: evaluations and training of the same name belong together, evaluations first in order.

    Parameters
    ----------
    results, trained, prepared : what `evaluation`, `training` and `data_set` gave.
    costs : what the jobs cost; those whose name is the run's are its own.
    """
    names = list(dict.fromkeys([entry["name"] for entry in results] + [entry["name"] for entry in trained]))
    runs = []
    for name, anchor in zip(names, anchors(names, "run"), strict=True):
        own = [cost for cost in costs if cost.name == name]
        whole = total(own) if own else None
        run: dict[str, Any] = {
            "name": name,
            "anchor": anchor,
            "results": [entry for entry in results if entry["name"] == name],
            "training": next((entry for entry in trained if entry["name"] == name), None),
            "costs": [row(cost) for cost in own],
            "total": whole,
            "memory": whole["memory"] if whole else megabytes(None),
            "raw_memory": whole["raw_memory"] if whole else None,
        }
        run["data"] = _data_of(run, prepared)
        overview = [line for result in run["results"] for line in result["overview"]]
        cost = training_sentence(run)
        run["sentences"] = [
            " ".join(part for part in (line["sentence"], line["headline"]) if part) for line in overview
        ] + ([cost] if cost else [])
        run["notes"] = list(
            dict.fromkeys(entry["note"] for entry in [*run["data"], *run["results"]] if entry.get("note"))
        )
        run["cautions"] = sum(len(result["cautions"]) for result in run["results"])
        runs.append(run)
    return runs


CARDS = 6  # runs; more are only in the table
NOTES = 8  # on data and runs; more are only beside them


def _about(run: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of a run in the overview that do not depend on the evaluation."""
    train = run["training"] or {}
    facts = train.get("facts", {})
    seconds, parameters = train.get("seconds"), facts.get("parameters")
    return {
        "name": run["name"],
        "anchor": run["anchor"],
        "recipe": text(facts.get("recipe")),
        "data": run["data"],
        "finished": not train or train["finished"],
        "parameters": {"text": text(parameters), "raw": parameters if isinstance(parameters, int) else None},
        "minutes": {"text": minutes(seconds), "raw": seconds},
        "memory": {"text": run["memory"], "raw": run["raw_memory"]},
        "rate": {"text": train.get("rate", "–"), "raw": train.get("raw_rate")},
    }


EMPTY: dict[str, Any] = {
    "group": (),
    "target": "",
    "metric": "–",
    "value": "–",
    "raw": None,
    "interval": "–",
    "n": "–",
    "split": "–",
    "verdict": "–",
    "good": False,
    "bad": False,
}


def rows_of(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row an evaluated target of a run, or one where it has none."""
    rows = []
    for run in runs:
        lines = [line for result in run["results"] for line in result["overview"]] or [EMPTY]
        rows += [_about(run) | line for line in lines]
    # among runs evaluated on the same rows, the highest is first
    places = {row["group"]: place for place, row in reversed(list(enumerate(rows)))}
    return sorted(rows, key=lambda row: (places[row["group"]], row["raw"] is None, -(row["raw"] or 0.0)))


def comparisons(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a figure and a sentence for each group of two runs or more that were evaluated on the same rows."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for entry in rows:
        if entry["raw"] is not None:
            groups.setdefault(entry["group"], []).append(entry)
    found = []
    for place, (group, members) in enumerate(groups.items()):
        if len(members) < 2:
            continue
        metric = members[0]["key"]
        title = " of ".join(part for part in (NAMES.get(metric, metric), group[1]) if part)
        drawing = comparison_figure(
            f"comparison_{place + 1}",
            title,
            [entry["estimate"] | {"name": entry["name"], "other": entry["other"]} for entry in members],
            per_cent=metric in RATES,
        )
        found.append(
            {
                "title": f"{title}, {members[0]['split']}",
                "sentence": comparison_sentence(title, members),
                "figures": drawn([drawing], "runs"),
            }
        )
    return found


def overview(runs: list[dict[str, Any]], prepared: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first section for the template: notes, cards, table rows and comparisons."""
    rows = rows_of(runs)
    notes = [f"{entry['name']}: {entry['note']}" for entry in prepared if entry["note"]]
    shown = {entry["note"] for entry in prepared}
    notes += [f"{run['name']}: {words}" for run in runs for words in run["notes"] if words not in shown]
    return {
        "rows": rows,
        "cards": runs if len(runs) <= CARDS else [],
        "notes": notes[:NOTES] + [f"and {len(notes) - NOTES} more"] * (len(notes) > NOTES),
        "comparisons": comparisons(rows),
        "unfinished": [run["name"] for run in runs if run["training"] and not run["training"]["finished"]],
        "lost": [row for row in rows if row["bad"]],
        "cautioned": [run["name"] for run in runs if run["cautions"]],
    }
