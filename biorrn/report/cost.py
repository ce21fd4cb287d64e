"""What the jobs of the workflow cost: the benchmark files of Snakemake, by rule and by what the rule worked on."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biorrn.base.errors import InputError, guarded
from biorrn.base.files import open_text
from biorrn.report.figures import drawn
from biorrn.stats.figures import BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, RED, SKY, Drawing, draw, plain, slug

SHOWN = 40  # runs in a figure; the best are drawn
LETTERS = 22  # of a name
COLOURS = (BLUE, ORANGE, GREEN, SKY, PURPLE, RED, PALE)


def short(name: str, letters: int = LETTERS) -> str:
    """Return a name with its middle left out where it is long.

    >>> short("stability_gru_lr0.003_seed1", 12)
    'stabil…seed1'
    """
    return name if len(name) <= letters else f"{name[: letters // 2]}…{name[len(name) - (letters - 1) // 2 :]}"


def _beginning(names: list[str]) -> str:
    """Return what all names begin with, up to the end of a word."""
    first, last = min(names), max(names)
    same = (place for place, letter in enumerate(first) if place >= len(last) or letter != last[place])
    return re.sub(r"[^_ -]*$", "", first[: next(same, len(first))])


def shortened(names: list[str], letters: int = LETTERS) -> list[str]:
    """Return names fit for an axis: where one is long, without what all begin with.

    >>> shortened(["stability_gru_lr0.01", "stability_gru_lr0.03"], 12), shortened(["a1", "a2"])
    (['…lr0.01', '…lr0.03'], ['a1', 'a2'])
    """
    common = _beginning(names) if len(names) > 1 else ""
    if len(common) < 5 or common in names or max(map(len, names)) <= letters:
        common = ""
    return [short("…" * bool(common) + name.removeprefix(common), letters) for name in names]


def _value(entry: Mapping[str, Any], key: str) -> float:
    return float(entry[key]) if isinstance(entry.get(key), int | float) else np.nan


def _forest(rows: Sequence[Mapping[str, Any]], label: str, factor: float) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            low, value, high = (factor * _value(row, key) for key in ("low", "value", "high"))
            axes.plot([low, high], [place, place], color=BLUE, linewidth=2, solid_capstyle="round")
            axes.plot(value, place, "o", color=BLUE, markersize=6, label="run, with its 95 % interval" * (place == 0))
        others = [(factor * _value(row, "other"), place) for place, row in enumerate(rows)]
        known = np.array([pair for pair in others if np.isfinite(pair[0])]).reshape(-1, 2)
        if len(known):
            axes.plot(known[:, 0], known[:, 1], "D", color=ORANGE, markersize=5, linestyle="", label="best baseline")
            figure.legend(loc="outside upper center", ncols=2, columnspacing=1)
        axes.set_yticks(range(len(rows)), [plain(name) for name in shortened([str(row["name"]) for row in rows])])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(plain(label))
        axes.grid(False, axis="y")

    return paint


def comparison_figure(name: str, label: str, rows: Sequence[Mapping[str, Any]], per_cent: bool = False) -> Drawing:
    """Draw the same metric of runs on the same rows, the highest first.

    Parameters
    ----------
    name, label : the file's name, and the metric as the axis shows it.
    rows : {"name", "value", "low", "high", "other"}: a run, its estimate, and the value of its best baseline or None.
    per_cent : whether values are shares, shown in per cent.
    """
    known = sorted(rows, key=lambda row: -np.nan_to_num(_value(row, "value"), nan=-np.inf))
    shown = known[:SHOWN]
    caption = f"{label[:1].upper()}{label[1:]} of the runs, the highest first; bars: 95 % bootstrap intervals."
    if any(row.get("other") is not None for row in shown):
        caption += " Diamonds: the best baseline, fitted on the same training rows."
    if len(known) > SHOWN:
        caption += f" The best {SHOWN} of {len(known)} runs."
    unit = f"{label} (per cent)" if per_cent else label
    return draw(slug(name), caption, _forest(shown, unit, 100.0 if per_cent else 1.0), 1.2 + 0.27 * len(shown))


def _stack(times: Mapping[str, Mapping[str, float]], rules: list[str], unit: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        left = np.zeros(len(times))
        for rule, colour in zip(rules, COLOURS + (GREY,) * len(rules), strict=False):
            widths = np.array([entry.get(rule, 0.0) for entry in times.values()])
            axes.barh(range(len(times)), widths, left=left, color=colour, height=0.7, label=plain(rule))
            left += widths
        axes.set_yticks(range(len(times)), [plain(name) for name in shortened(list(times))])
        axes.set_ylim(len(times) - 0.4, -0.6)
        axes.set_xlabel(f"{unit} of wall time")
        axes.grid(False, axis="y")
        figure.legend(loc="outside upper center", ncols=2, columnspacing=1)

    return paint


def cost_figure(times: Mapping[str, Mapping[str, float]]) -> Drawing | None:
    """Draw wall time by name (run, data set or sample) and rule; None for no times.

    Parameters
    ----------
    times : {name: {rule: seconds}}.
    """
    times = {name: entry for name, entry in times.items() if sum(entry.values()) > 0}
    if not times:
        return None
    order = sorted(times, key=lambda name: -sum(times[name].values()))
    longest = sum(times[order[0]].values())
    unit, scale = ("hours", 3600.0) if longest > 7200 else ("minutes", 60.0) if longest > 120 else ("seconds", 1.0)
    total: dict[str, float] = {}
    for entry in times.values():
        for rule, seconds in entry.items():
            total[rule] = total.get(rule, 0.0) + seconds
    rules = sorted(total, key=lambda rule: -total[rule])
    kept = {name: {rule: times[name].get(rule, 0.0) / scale for rule in rules[: len(COLOURS) - 1]} for name in order}
    if len(rules) >= len(COLOURS):
        rest = rules[len(COLOURS) - 1 :]
        for name in order:
            kept[name]["other"] = sum(times[name].get(rule, 0.0) for rule in rest) / scale
        rules = [*rules[: len(COLOURS) - 1], "other"]
    shown = {name: kept[name] for name in order[:SHOWN]}
    caption = "Wall time by run, data set or sample, and by rule of the workflow."
    if len(order) > SHOWN:
        caption += f" The longest {SHOWN} of {len(order)}."
    height = 1.1 + 0.3 * len(shown) + 0.2 * ((len(rules) + 1) // 2)
    return draw("cost", caption, _stack(shown, rules, unit), height)


COLUMNS = ("s", "max_rss")  # every benchmark file has them
USED = (*COLUMNS, "cpu_time", "io_in", "io_out")  # the others may be absent, or hold words
MISSING = ("", "-", "NA", "nan", "None")  # cells that Snakemake leaves for a job too short to be measured
NAN = float("nan")


@dataclass(slots=True)
class Cost:
    """What one rule cost for one name; of several jobs (shards, repeats) the sum, of memory the highest.

    Attributes
    ----------
    rule, name : str: the rule, and the run, data set or sample; "" where the rule runs once.
    jobs : int.
    seconds, cpu : float: wall and CPU time, s; NaN where unknown.
    memory : float: highest resident memory, MB.
    read, written : float: MB.
    """

    rule: str
    name: str
    jobs: int = 0
    seconds: float = 0.0
    cpu: float = NAN
    memory: float = NAN
    read: float = NAN
    written: float = NAN


def _cells(path: Path) -> list[dict[str, float]]:
    with open_text(path) as stream:
        rows = list(guarded(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), path, csv.Error))
    for column in COLUMNS:
        if not rows or column not in rows[0]:
            raise InputError(path, f"column '{column}' is missing in the first line; Snakemake writes it")
    found = []
    for place, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise InputError(path, f"line {place} has {len(row)} cells; the first line has {len(rows[0])}")
        cells = {}
        for name, cell in zip(rows[0], row, strict=True):
            if name not in USED:
                continue
            try:
                cells[name] = NAN if cell in MISSING else float(cell)
            except ValueError as error:
                raise InputError(path, f"line {place}: column '{name}': {error}; allowed are numbers") from error
        found.append(cells)
    return found


def _add(one: float, other: float) -> float:
    return other if math.isnan(one) else one if math.isnan(other) else one + other


def read_benchmarks(folder: Path) -> list[Cost]:
    """Read the benchmark files `<rule>/<name>.tsv` and `<rule>/<name>/<more>.tsv` of a folder, by rule and name.

    Files that lie in the folder itself are of rules that run once; the one of the report itself is left out, for it is
    of the report before this one.

    Raises
    ------
    InputError: not a folder, or a file in it is not a benchmark file of Snakemake.
    """
    if not folder.is_dir():
        raise InputError(folder, "not a folder; --benchmarks takes the one in which Snakemake left its benchmark files")
    found: dict[tuple[str, str], Cost] = {}
    for path in sorted(folder.rglob("*.tsv")):
        parts = path.relative_to(folder).with_suffix("").parts
        rule, name = parts[0], parts[1] if len(parts) > 1 else ""
        if (rule, name) == ("report", ""):
            continue
        cost = found.setdefault((rule, name), Cost(rule, name))
        for cells in _cells(path):
            cost.jobs += 1
            cost.seconds = _add(cost.seconds, cells["s"])
            cost.cpu = _add(cost.cpu, cells.get("cpu_time", NAN))
            cost.memory = float(max((v for v in (cost.memory, cells["max_rss"]) if not math.isnan(v)), default=NAN))
            cost.read = _add(cost.read, cells.get("io_in", NAN))
            cost.written = _add(cost.written, cells.get("io_out", NAN))
    return list(found.values())


def minutes(seconds: float | None) -> str:
    """Return a time in minutes.

    >>> minutes(331.59), minutes(3.1), minutes(36000), minutes(None)
    ('5.5', '0.05', '600', '–')
    """
    if seconds is None or math.isnan(seconds):
        return "–"
    value = seconds / 60
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(5.24), duration(331.59), duration(36000)
    ('5.2 seconds', '5.5 minutes', '10.0 hours')
    """
    if seconds < 60:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def megabytes(value: float | None) -> str:
    """Return an amount of memory or of data, given in MB.

    >>> megabytes(772.41), megabytes(0.04), megabytes(14210.0), megabytes(None)
    ('772 MB', '0.04 MB', '14.2 GB', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value / 1000:.1f} GB" if value >= 1000 else f"{value:.0f} MB" if value >= 1 else f"{value:.2g} MB"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def row(cost: Cost) -> dict[str, Any]:
    """Return a cost as the cells of a row, each with the number that sorts it."""
    load = cost.cpu / cost.seconds if cost.seconds else NAN
    return {
        "rule": cost.rule,
        "name": cost.name,
        "cells": [
            {"text": f"{cost.jobs:,}", "raw": cost.jobs},
            {"text": minutes(cost.seconds), "raw": _known(cost.seconds)},
            {"text": minutes(cost.cpu), "raw": _known(cost.cpu)},
            {"text": "–" if math.isnan(load) else f"{load:.2f}", "raw": _known(load)},
            {"text": megabytes(cost.memory), "raw": _known(cost.memory)},
            {"text": megabytes(cost.read), "raw": _known(cost.read)},
            {"text": megabytes(cost.written), "raw": _known(cost.written)},
        ],
    }


def total(costs: Iterable[Cost]) -> dict[str, Any]:
    """Return the sums of costs as texts: jobs, minutes, CPU minutes, highest memory."""
    costs = list(costs)
    cpu = [cost.cpu for cost in costs if not math.isnan(cost.cpu)]
    memory = max((cost.memory for cost in costs if not math.isnan(cost.memory)), default=NAN)
    return {
        "jobs": f"{sum(cost.jobs for cost in costs):,}",
        "minutes": minutes(sum(cost.seconds for cost in costs)),
        "cpu": minutes(sum(cpu) if cpu else NAN),
        "memory": megabytes(memory),
        "raw_memory": _known(memory),
    }


def costs_section(costs: list[Cost]) -> dict[str, Any] | None:
    """Return the costs of all jobs for the template: totals, rows and a figure; None where there are none."""
    if not costs:
        return None
    times: dict[str, dict[str, float]] = {}
    for cost in costs:
        times.setdefault(cost.name or "all", {})[cost.rule] = cost.seconds
    return {
        "total": total(costs),
        "rows": [row(cost) for cost in sorted(costs, key=lambda cost: -cost.seconds)],
        "figures": drawn([cost_figure(times)], "all"),
    }
