"""The first page of the report: every run in one table, and runs judged on the same rows side by side."""

from __future__ import annotations

from typing import Any

from biorrn.evaluation.blocks import text
from biorrn.evaluation.figures_runs import comparison_figure
from biorrn.evaluation.metric_names import NAMES, RATES
from biorrn.evaluation.report_cost import minutes
from biorrn.evaluation.report_figures import drawn

CARDS = 6  # runs; more are only in the table
NOTES = 8  # on data and runs; more are only beside them


def _about(run: dict[str, Any]) -> dict[str, Any]:
    """Return what the table says of a run whatever it was judged on."""
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
    # of runs judged on the same rows the highest stands first
    places = {row["group"]: place for place, row in reversed(list(enumerate(rows)))}
    return sorted(rows, key=lambda row: (places[row["group"]], row["raw"] is None, -(row["raw"] or 0.0)))


def comparisons(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a figure and a sentence for each group of two runs or more that were judged on the same rows."""
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
        best = max(members, key=lambda entry: entry["raw"])
        reach = best["estimate"].get("low")
        rivals = [
            entry
            for entry in members
            if entry is not best and isinstance(reach, int | float) and (entry["estimate"].get("high") or 0) >= reach
        ]
        words = f"Highest {title}: {best['name']}, {best['value']} ({best['interval']})"
        words += (
            f"; the intervals of {len(rivals)} of the other {len(members) - 1} runs overlap with its own."
            if (len(members) > 2)
            else f"; the interval of the other run {'overlaps' if rivals else 'does not overlap'} with its own."
        )
        words += " A run picked because it is the highest here looks better than it is: judge it on other rows."
        found.append(
            {"title": f"{title}, {members[0]['split']}", "sentence": words, "figures": drawn([drawing], "runs")}
        )
    return found


def overview(runs: list[dict[str, Any]], prepared: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first section for the template: notes, cards, table rows and comparisons."""
    rows = rows_of(runs)
    notes = [f"{entry['name']}: {entry['note']}" for entry in prepared if entry["note"]]
    told = {entry["note"] for entry in prepared}
    notes += [f"{run['name']}: {words}" for run in runs for words in run["notes"] if words not in told]
    return {
        "rows": rows,
        "cards": runs if len(runs) <= CARDS else [],
        "notes": notes[:NOTES] + [f"and {len(notes) - NOTES} more"] * (len(notes) > NOTES),
        "comparisons": comparisons(rows),
        "unfinished": [run["name"] for run in runs if run["training"] and not run["training"]["finished"]],
        "lost": [row for row in rows if row["bad"]],
        "cautioned": [run["name"] for run in runs if run["cautions"]],
    }
