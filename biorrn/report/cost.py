"""Cost of the workflow's jobs, from Snakemake's benchmark files: time and memory by rule and by run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biorrn.base.errors import InputError
from biorrn.base.files import read_tsv
from biorrn.report.figures import cost_figure, drawn
from biorrn.report.wording import megabytes, minutes

COLUMNS = ("s", "max_rss")  # every benchmark file has them
USED = (*COLUMNS, "cpu_time", "io_in", "io_out")  # the others may be absent, or hold words
MISSING = ("", "-", "NA", "nan", "None")  # cells of jobs too short to be measured
NAN = float("nan")


@dataclass(slots=True)
class Cost:
    """Cost of one rule for one name: sums over its jobs (shards, repeats), and the highest memory.

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
    found = []
    for number, row in enumerate(read_tsv(path, COLUMNS, "Snakemake writes it")[1], 2):
        cells = {}
        for name in filter(USED.__contains__, row):
            try:
                cells[name] = NAN if row[name] in MISSING else float(row[name])
            except ValueError as error:
                raise InputError(path, f"line {number}: column '{name}': {error}; allowed are numbers") from error
        found.append(cells)
    return found


def _add(one: float, other: float) -> float:
    return other if math.isnan(one) else one if math.isnan(other) else one + other


def read_benchmarks(folder: Path) -> list[Cost]:
    """Read the benchmark files `<rule>/<name>.tsv` and `<rule>/<name>/<more>.tsv` of a folder, by rule and name.

    Files in the folder itself are of rules that run once. The file of the report itself is left out: it is of the
    previous report.

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
