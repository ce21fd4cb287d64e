"""Every recurrent cell at an equal number of parameters, on the tasks of `cell_problems`: `biorrn cells`."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biorrn.config import Core
from biorrn.errors import ConfigError, InputError
from biorrn.evaluation.cells import CellRow
from biorrn.files import write_text
from biorrn.lookup import lookup
from biorrn.models.recurrent import CELLS, Stack
from biorrn.tasks.cell_problems import LongMemory, Once, Prepared, Problem, parameters_of
from biorrn.tasks.long_memory import SYNTHETIC, Settings

RESULT, MEASURED = "cell.json", "speed.json"
WIDEST = 4096  # units that are tried
ROUNDS = 5  # in which each cell takes its turn


def size_core(core: Core, cell: str, inputs: int, budget: int) -> tuple[Core, int]:
    """Return a core of this cell with the most units that stay within a budget, and its number of parameters.

    Parameters
    ----------
    core : Core: layers and direction.
    inputs : int: features of a step.
    budget : int: numbers that may be learned in the core.

    Raises
    ------
    ConfigError: one unit is more than the budget.
    """

    def sized(hidden: int) -> tuple[Core, int]:
        chosen = core.model_copy(update={"cell": cell, "hidden": hidden})
        with torch.device("meta"):  # shapes only
            return chosen, parameters_of(Stack(inputs, chosen))

    low, high = 1, 2
    if sized(low)[1] > budget:
        raise ConfigError(f"--budget: found {budget:,}; cell {cell} with one unit has {sized(low)[1]:,}")
    while high < WIDEST and sized(high)[1] <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sized(middle)[1] <= budget else (low, middle)
    return sized(low)


def compare_cells(
    problems: Sequence[Problem], cells: Sequence[str], folder: str | Path, budget: int, replace: bool = False
) -> list[CellRow]:
    """Train every cell on every task and return the rows of the table; what is finished is not done again.

    Each has a folder `folder/task/cell`; speed and memory of all cells of a task are measured after, in turn.

    Raises
    ------
    ConfigError: a folder holds a result of other settings, and `replace` is false.
    InputError: the data is not what a task needs.
    """
    rows: list[CellRow] = []
    for problem in problems:
        place = Path(folder) / problem.name
        shared = {**problem.mark(), "budget": budget}
        found: dict[str, dict[str, Any]] = {}
        for number, cell in enumerate(cells, 1):
            core, size = size_core(problem.core, cell, problem.inputs, budget)
            mark = {**shared, "core": core.model_dump(mode="json")}
            known = None if replace else _known(place / cell, mark)
            if known is None:
                print(
                    f"{problem.name}: {cell}, {number} of {len(cells)}: {core.hidden} units, {size:,} parameters in "
                    "the core",
                    file=sys.stderr,
                )
                (place / cell).mkdir(parents=True, exist_ok=True)
                (place / cell / RESULT).unlink(missing_ok=True)  # of other weights than those that come now
                (place / MEASURED).unlink(missing_ok=True)
                known = {"mark": mark, **problem.run(core, place / cell)}
                with write_text(place / cell / RESULT) as out:
                    json.dump(known, out, indent=1)
            found[cell] = known | {"hidden": core.hidden, "core_parameters": size}
        measured = _measured(problem, place, cells, shared, replace)
        rows += [
            CellRow(
                task=problem.name,
                cell=cell,
                **{key: value for key, value in result.items() if key != "mark"},
                steps_per_second=measured[cell]["steps_per_second"],
                memory_mb=measured[cell]["memory_mb"],
            )
            for cell, result in found.items()
        ]
    return rows


def _known(folder: Path, mark: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result of a finished cell, or None."""
    path = folder / RESULT
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key in mark if content["mark"].get(key) != mark[key]]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(path, "is damaged; remove the folder to start again") from error
    if other:
        raise ConfigError(f"{folder}: holds a result with another {' and '.join(other)}; give another -o, or --replace")
    return dict(content)


def _measured(
    problem: Problem, place: Path, cells: Sequence[str], shared: dict[str, Any], replace: bool
) -> dict[str, dict[str, float]]:
    """Return speed and memory of each cell, from the file where it holds just these cells."""
    path = place / MEASURED
    mark = {**shared, "cells": sorted(cells)}
    if path.is_file() and not replace:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["mark"] == mark:
                return dict(content["cells"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(path, "is damaged; remove it to measure again") from error
    works = {cell: problem.once(place / cell) for cell in cells}
    measured = measure(works, clock_of(problem.device))
    with write_text(path) as out:
        json.dump({"mark": mark, "cells": measured}, out, indent=1)
    return measured


def measure(works: dict[str, tuple[Once, int]], clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    """Return time steps a second and MB kept for backward of each work; all take their turn in each round.

    Parameters
    ----------
    works : {name: (forward and backward, the steps of its batch)}.
    clock : seconds, see `clock_of`.
    """
    found: dict[str, dict[str, float]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for name, (once, _) in works.items():  # also the call in which kernels are built
        found[name] = {"memory_mb": kept_for_backward(once) / 1e6}
    for _ in range(ROUNDS):
        for name, (once, _) in works.items():
            start = clock()
            once()
            seconds[name].append(clock() - start)
    for name, (_, steps) in works.items():
        found[name]["steps_per_second"] = steps / statistics.median(seconds[name])
    return found


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return a clock for work on a device: of a CPU the processor time of all threads.

    That is what a busy neighbour does not stretch. Elsewhere it is time on the wall, once all that was asked is done.
    """
    if device.type == "cpu":
        return time.process_time

    def wall() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return wall


def kept_for_backward(once: Once) -> int:
    """Return the bytes of all tensors that autograd keeps between forward and backward, parameters left out.

    Tensors that share memory count once.
    """
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        once()
    return sum(kept.values())


def choose_problems(
    names: Sequence[str], files: dict[str, Path | None], synthetic: tuple[str, int, int], options: dict[str, Any]
) -> list[Problem]:
    """Return the tasks that were asked for; where none is named, those with a file and the synthetic one.

    Parameters
    ----------
    files : {task: prepared file or None}.
    synthetic : an entry of SYNTHETIC, its length, and steps of gradient.
    options : what `cell_problems.Prepared` takes.

    Raises
    ------
    ConfigError: an unknown task, or one without its file.
    InputError: a file is not what its task needs.
    """
    kind, length, steps = synthetic
    lookup(SYNTHETIC, kind, "--synthetic:")
    for name in names:
        lookup(dict.fromkeys([*files, "synthetic"]), name, "--tasks:")
        if name in files and files[name] is None:
            raise ConfigError(f"--tasks: found {name} without its prepared file; give --{name}")
    problems: list[Problem] = [
        Prepared(name, path, options)
        for name, path in files.items()
        if path is not None and (not names or name in names)
    ]
    if not names or "synthetic" in names:
        problems.append(LongMemory(kind, length, Settings(steps=steps), options))
    return problems


def known_cells(names: Sequence[str]) -> list[str]:
    """Return the cells that were asked for, in the order of the table; all where none is named.

    Raises
    ------
    ConfigError: an unknown cell.
    """
    for name in names:
        lookup(CELLS, name, "--cells:")
    return [name for name in CELLS if not names or name in names]
