"""Evaluations, training runs, data sets, samples and costs on one HTML page that needs nothing but itself.

The page is the template `report.html` with `report_parts.html`, the style `report.css` and the script `report.js`,
which sorts tables and saves figures. The page forbids itself every request (Content-Security-Policy), and every script
but that one, by its hash. What comes from files is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from biorrn.base.errors import ConfigError
from biorrn.base.files import write_text
from biorrn.report.cost import comparison_figure, costs_section, minutes, read_benchmarks
from biorrn.report.entries import anchors, collect, training
from biorrn.report.figures import drawn
from biorrn.report.sections import KINDS, data_set, evaluation, predictions, sample_tables, samples
from biorrn.report.tables import text
from biorrn.stats.metrics import NAMES, RATES
from biorrn.version import __version__

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


OPEN = 3  # runs; where there are more, all begin closed
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{}'; base-uri 'none'; form-action 'none'"
)
# where the files of a kind come from
OPTIONS = {"qc": "--qc", "mapping": "--map", "assembly": "--assembly", "generated": "--generated"}


def part(name: str) -> str:
    """Return a file of the page's own: a template, the style or the script."""
    return (resources.files("biorrn.report") / name).read_text("utf-8")


def policy(script: str) -> str:
    """Return the Content-Security-Policy of a page that may run this script, show `data:` images, ask for nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return POLICY.format(f"sha256-{digest}")


def render(
    evaluations: Iterable[Path] = (),
    runs: Iterable[Path] = (),
    prepared: Iterable[Path] = (),
    title: str = "biorrn report",
    *,
    predicted: Iterable[tuple[str, Path]] = (),
    sampled: Mapping[str, Iterable[Path]] | None = None,
    benchmarks: Path | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    evaluations : JSON files of `biorrn evaluate`, with the figures that they name.
    runs : folders of `biorrn train`.
    prepared : JSON reports of `biorrn prepare`.
    predicted : (model, TSV) of `biorrn predict` and `biorrn scan`: id of a shipped model or its folder, and its table.
    sampled : {"qc", "mapping", "assembly" or "generated": JSON files of such}, what samples of reads or of a language
        model are like.
    benchmarks : folder of Snakemake's benchmark files.

    Raises
    ------
    ConfigError: there is nothing to report.
    InputError: a file cannot be read or is not what it should be.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    templates = {name: part(name) for name in ("report.html", "report_parts.html")}
    environment = Environment(
        loader=DictLoader(templates), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["text"] = text
    results = [evaluation(Path(path)) for path in evaluations]
    trained = [training(Path(folder)) for folder in runs]
    data = [data_set(Path(path)) for path in prepared]
    for entry, anchor in zip(data, anchors([entry["name"] for entry in data], "data"), strict=True):
        entry["anchor"] = anchor
    found, applied = samples(sampled or {}), predictions(predicted)
    costs = read_benchmarks(Path(benchmarks)) if benchmarks is not None else []
    if not (results or trained or data or found or applied["models"] or costs):
        options = ", ".join(("--run", "--prepare", "--predictions", *(OPTIONS[kind] for kind in KINDS), "--benchmarks"))
        raise ConfigError(f"nothing to report: give evaluations, or files by {options}")
    together = collect(results, trained, data, costs)
    script = part("report.js")
    context: dict[str, Any] = {
        "title": title,
        "version": __version__,
        "policy": policy(script),
        "style": part("report.css"),
        "script": script,
        "overview": overview(together, data),
        "runs": together,
        "open": len(together) <= OPEN,
        "data": data,
        "predictions": applied,
        "samples": found,
        "sample_tables": sample_tables(found),
        "costs": costs_section(costs),
    }
    return environment.get_template("report.html").render(context)


def write_report(
    path: str | Path,
    evaluations: Sequence[Path],
    runs: Sequence[Path],
    prepared: Sequence[Path],
    title: str,
    *,
    predicted: Iterable[tuple[str, Path]] = (),
    sampled: Mapping[str, Iterable[Path]] | None = None,
    benchmarks: Path | None = None,
) -> None:
    """Write the page of `render` to a file."""
    page = render(evaluations, runs, prepared, title, predicted=predicted, sampled=sampled, benchmarks=benchmarks)
    with write_text(path) as stream:
        stream.write(page)
