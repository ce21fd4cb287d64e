"""Comparison of recurrent cells at an equal number of parameters: `biorrn cells`."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors.torch import load_file, save_file
from torch import Tensor

from biorrn.base.compute import choose_device
from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import atomic_path, sha256, write_text
from biorrn.base.lookup import lookup
from biorrn.config.network import WIDEST
from biorrn.config.recipe import Core, change_recipe, parse_recipe
from biorrn.experiments.long_memory import FEATURES, SYNTHETIC, Recall, Settings, fit, judge
from biorrn.nn.batch import Batch
from biorrn.nn.cells import CELLS, Stack
from biorrn.nn.sequence import build_frontend
from biorrn.nn.store import load_model
from biorrn.stats.figures import BLUE, GREY, INK, PALE, WIDTH, Drawing, draw, plain
from biorrn.stats.results import aligned_rows
from biorrn.training.checkpoint import PROVENANCE
from biorrn.training.task import load_task
from biorrn.training.train import train

Once = Callable[[], None]  # forward and backward of one batch


class Problem(Protocol):
    """A task on which cells are compared."""

    name: str
    inputs: int  # features of a step that the core reads
    core: Core  # with any cell and any number of units
    device: torch.device

    def mark(self) -> dict[str, Any]:
        """Return data and settings that identify a result."""
        ...

    def run(self, core: Core, folder: Path) -> dict[str, Any]:
        """Train or resume one core; return metric, score, split, parameters, seconds and stopped."""
        ...

    def once(self, folder: Path) -> tuple[Once, int]:
        """Return forward and backward of a trained model on a fixed batch, and the time steps of the batch."""
        ...


class Prepared:
    """A task on a prepared file; each cell is trained by `training.train` in its own folder."""

    def __init__(self, name: str, path: str | Path, options: dict[str, Any]) -> None:
        """Open a prepared file; options: max_minutes, seed, device, threads, changes, replace.

        Raises
        ------
        ConfigError: an unknown recipe key among the changes.
        InputError: the file does not fit the task.
        """
        self.name, self.path, self.options = name, path, options
        self.device = choose_device(options["device"])
        limit = options["max_minutes"]
        changes = [*options["changes"], *([f"training.max_minutes={limit}"] if limit is not None else [])]
        self.recipe = change_recipe(parse_recipe({"name": f"cells_{name}", **RECIPES[name]}, name), changes)
        self.task = load_task(self.recipe.task)
        self.data: Any = self.task.open_data(path, self.recipe)
        frontend = self.recipe.network.frontend
        self.inputs = int(build_frontend(frontend).width)
        if not isinstance(self.recipe.network.core, Core):
            raise ConfigError("--set: model.core: found a core that is not one recurrent stack")
        self.core = self.recipe.network.core

    def mark(self) -> dict[str, Any]:
        return {"recipe": self.recipe.model_dump(mode="json"), "data": sha256(self.path), "seed": self.options["seed"]}

    def run(self, core: Core, folder: Path) -> dict[str, Any]:
        recipe = self.recipe.model_copy(update={"model": self.recipe.network.model_copy(update={"core": core})})
        options = {key: self.options[key] for key in ("seed", "device", "threads", "replace")}
        train(recipe, self.path, folder, self.task, **options)
        facts = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        split, collected = self._predictions(folder)
        return {
            "metric": METRICS[self.name],
            "score": float(self.task.score(collected)[METRICS[self.name]]),
            "split": split,
            "parameters": int(facts["parameters"]),
            "seconds": float(facts["seconds"]),
            "stopped": int(facts["epochs"]) < recipe.training.epochs,
        }

    def _predictions(self, folder: Path) -> tuple[str, list[Any]]:
        """Return split and predictions: of the test rows, or of the validation rows if there is no test."""
        model: Any = load_model(folder).model.to(self.device)
        data, split = self.task.open_data(self.path, self.recipe), "test"
        rows: Any = data
        try:
            rows.held_out = type(rows.held_out)(self.path, split)
        except InputError:
            split = "valid"
        collected = []
        with torch.inference_mode():
            for batch in data.valid():
                outputs, lengths = model(batch.x.to(self.device), batch.lengths.to(self.device))
                collected.append(self.task.collect(outputs.cpu(), lengths.cpu(), batch))
        return split, collected

    def once(self, folder: Path) -> tuple[Once, int]:
        stored = load_model(folder)
        model: Any = stored.model.to(self.device).train()
        batch: Batch = next(iter(self.data.train(0, 0))).to(self.device)

        def once() -> None:
            outputs, lengths = model(batch.x, batch.lengths)
            self.task.loss(model, outputs, lengths, batch, stored.recipe).backward()

        return once, int(batch.lengths.sum())


class LongMemory:
    """A synthetic task of `long_memory`."""

    def __init__(self, kind: str, length: int, settings: Settings, options: dict[str, Any]) -> None:
        """Set up an entry of SYNTHETIC with a length in steps; ConfigError if it is too short."""
        self.name, self.task, self.length = "synthetic", SYNTHETIC[kind], length
        if length < self.task.shortest:
            raise ConfigError(f"--length: found {length}; allowed for {kind} is {self.task.shortest} or more")
        self.kind, self.settings, self.options = kind, settings, options
        self.device = choose_device(options["device"])
        self.inputs = FEATURES
        # forward only: a backward core ends at the first step
        self.core = Core(layers=1, direction="forward")

    def mark(self) -> dict[str, Any]:
        limit = {"max_minutes": self.options["max_minutes"], "seed": self.options["seed"]}
        return {"kind": self.kind, "length": self.length, **asdict(self.settings), **limit}

    def run(self, core: Core, folder: Path) -> dict[str, Any]:
        torch.manual_seed(self.options["seed"])
        model = Recall(self.task.inputs, self.task.outputs, core).to(self.device)
        own = {"seed": self.options["seed"], "device": self.device}
        seconds, stopped = fit(
            self.task,
            model,
            self.length,
            self.settings,
            max_minutes=self.options["max_minutes"],
            what=f"{self.kind}, {core.cell}",
            **own,
        )
        with write_text(folder / "core.json") as out:
            json.dump(core.model_dump(mode="json"), out)
        with atomic_path(folder / "weights.safetensors") as temporary:
            save_file({name: part.cpu().contiguous() for name, part in model.state_dict().items()}, temporary)
        return {
            "metric": self.task.metric,
            "score": judge(self.task, model, self.length, **own),
            "split": f"{self.kind}, length {self.length}",
            "parameters": sum(part.numel() for part in model.parameters()),
            "seconds": seconds,
            "stopped": stopped,
        }

    def once(self, folder: Path) -> tuple[Once, int]:
        core = Core.model_validate(json.loads((folder / "core.json").read_text(encoding="utf-8")))
        model = Recall(self.task.inputs, self.task.outputs, core)
        model.load_state_dict(load_file(folder / "weights.safetensors"))
        model.to(self.device).train()
        generator = torch.Generator().manual_seed(0)
        x, targets = (part.to(self.device) for part in self.task.make(self.settings.batch_size, self.length, generator))
        lengths = torch.full((len(x),), x.shape[1], device=self.device)

        def once() -> None:
            self.task.loss(model(x, lengths), targets).backward()

        return once, int(lengths.sum())


METRICS = {"stability": "spearman", "tagging": "agreement"}
EMBEDDING = {"name": "embedding", "width": 32, "table": "blosum62+scales"}
# task -> recipe shared by all cells
RECIPES: dict[str, dict[str, Any]] = {
    "stability": {
        "task": "regression",
        "model": {
            "frontend": EMBEDDING,
            "core": {"layers": 1, "direction": "bidirectional"},
            "pool": ["max", "mean"],
            "head": {"name": "regression"},
        },
        "training": {"batch_size": 256, "epochs": 3, "lr": 3.0e-3, "loss": "huber"},
    },
    "tagging": {
        "task": "tagging",
        "model": {
            "frontend": EMBEDDING,
            "core": {"layers": 1, "direction": "bidirectional"},
            "head": {"name": "tags"},
        },
        "training": {"batch_residues": 8192, "crop": 384, "epochs": 3, "lr": 3.0e-3, "loss": "cross_entropy"},
    },
}


@dataclass(frozen=True, slots=True)
class CellRow:
    """One cell on one task.

    Attributes
    ----------
    task, cell : str: names of the task and of an entry of `nn.cells.CELLS`.
    metric : str: metric of the score; larger is better, 1 is perfect.
    score : float: on the test split, or on the validation split if there is none.
    split : str: the split of the score.
    hidden : int: units per direction.
    core_parameters, parameters : int: learned parameters of the recurrent core, and of the whole model.
    steps_per_second : float: time steps through forward and backward of one batch; on a CPU, per second of CPU time.
    memory_mb : float: memory kept for backward of that batch, in 10^6 bytes, without weights.
    seconds : float: training time.
    stopped : bool: training was stopped by the time limit.
    """

    task: str
    cell: str
    metric: str
    score: float
    split: str
    hidden: int
    core_parameters: int
    parameters: int
    steps_per_second: float
    memory_mb: float
    seconds: float
    stopped: bool


COLUMNS = tuple(CellRow.__dataclass_fields__)


def write_table(path: str | Path, rows: Sequence[CellRow]) -> None:
    """Write the rows as TSV."""
    with write_text(path) as out:
        print(*COLUMNS, sep="\t", file=out)
        for row in rows:
            values = asdict(row).values()
            print(*(f"{value:.6g}" if isinstance(value, float) else value for value in values), sep="\t", file=out)


def write_json(path: str | Path, rows: Sequence[CellRow], settings: dict[str, Any]) -> None:
    """Write the rows and settings as JSON; NaN is null."""
    values = [{key: None if value != value else value for key, value in asdict(row).items()} for row in rows]
    content = {"kind": "cells", "settings": settings, "rows": values}
    with write_text(path) as out:
        json.dump(content, out, indent=1)
        print(file=out)


def best_first(rows: Sequence[CellRow], task: str) -> list[CellRow]:
    """Return the rows of a task, the best score first; NaN, of a diverged model, last."""
    return sorted((row for row in rows if row.task == task), key=lambda row: (row.score != row.score, -row.score))


def table_lines(rows: Sequence[CellRow]) -> list[str]:
    """Return the rows as aligned text, a block per task, the best score first."""
    lines: list[str] = []
    for task in dict.fromkeys(row.task for row in rows):
        own = best_first(rows, task)
        cells = [("cell", own[0].metric, "steps/s", "memory MB", "units", "core numbers", "minutes", "")]
        cells += [
            (
                row.cell,
                f"{row.score:.4f}",
                f"{row.steps_per_second:,.0f}",
                f"{row.memory_mb:.1f}",
                str(row.hidden),
                f"{row.core_parameters:,}",
                f"{row.seconds / 60:.1f}",
                "stopped by the time limit" if row.stopped else "",
            )
            for row in own
        ]
        lines += [*([""] if lines else []), f"{task} ({own[0].split})", *aligned_rows(cells)]
    return lines


RESULT, MEASURED = "cell.json", "speed.json"
ROUNDS = 5  # of speed measurement


def size_core(core: Core, cell: str, inputs: int, budget: int) -> tuple[Core, int]:
    """Return a core of this cell with the most units within a parameter budget, and its number of parameters.

    The most units that a recipe may have is the upper bound.

    Parameters
    ----------
    core : Core: layers and direction.
    inputs : int: features of a step.
    budget : int: parameters allowed in the core.

    Raises
    ------
    ConfigError: one unit exceeds the budget.
    """

    def sized(hidden: int) -> tuple[Core, int]:
        chosen = core.model_copy(update={"cell": cell, "hidden": hidden})
        with torch.device("meta"):  # shapes only
            return chosen, sum(part.numel() for part in Stack(inputs, chosen).parameters())

    low, high = 1, 2
    if sized(low)[1] > budget:
        raise ConfigError(f"--budget: found {budget:,}; cell {cell} with one unit has {sized(low)[1]:,}")
    while high <= WIDEST and sized(high)[1] <= budget:
        low, high = high, 2 * high
    high = min(high, WIDEST + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sized(middle)[1] <= budget else (low, middle)
    return sized(low)


def compare_cells(
    problems: Sequence[Problem], cells: Sequence[str], folder: str | Path, budget: int, replace: bool = False
) -> list[CellRow]:
    """Train every cell on every task and return the rows of the table; finished cells are not trained again.

    Each cell has a folder `folder/task/cell`. Speed and memory of all cells of a task are measured afterwards, in turn.

    Raises
    ------
    ConfigError: a folder holds a result of other settings, and `replace` is false.
    InputError: the data does not fit a task.
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
                (place / cell / RESULT).unlink(missing_ok=True)  # of the old weights
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
    """Return speed and memory of each cell, from the file if it is of these cells."""
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
    """Return time steps per second and MB kept for backward of each work, measured in turn in each round.

    Parameters
    ----------
    works : {name: (forward and backward, time steps of the batch)}.
    clock : seconds, see `clock_of`.
    """
    found: dict[str, dict[str, float]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for name, (once, _) in works.items():  # this call also compiles kernels
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
    """Return a clock for work on a device: CPU time of all threads on a CPU, else wall time after synchronisation.

    CPU time does not depend on other processes.
    """
    if device.type == "cpu":
        return time.process_time

    def wall() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return wall


def kept_for_backward(once: Once) -> int:
    """Return the bytes of tensors that autograd keeps for backward, without parameters; shared memory counts once."""
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
    """Return the named tasks; by default those with a file and the synthetic one.

    Parameters
    ----------
    files : {task: prepared file or None}.
    synthetic : an entry of SYNTHETIC, its length, and training steps.
    options : see `Prepared`.

    Raises
    ------
    ConfigError: an unknown task, or one without its file.
    InputError: a file does not fit its task.
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
    """Return the named cells in the order of `CELLS`, by default all; ConfigError for an unknown one."""
    for name in names:
        lookup(CELLS, name, "--cells:")
    return [name for name in CELLS if not names or name in names]


ROW = 0.21  # inches per cell
LOWEST = -0.1  # bars are cut here: R2 has no lower bound


def cells_figure(rows: Sequence[CellRow]) -> Drawing:
    """Return the figure: score of each cell by task, the best on top, and its speed."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    most = max(sum(row.task == task for row in rows) for task in tasks)

    def paint(figure: Figure) -> None:
        figure.set_figwidth(1.5 * WIDTH)
        panels = figure.subplots(len(tasks), 2, squeeze=False, width_ratios=[3, 2])
        for (scores, speeds), task in zip(panels, tasks, strict=True):
            own = best_first(rows, task)
            _scores(scores, task, own)
            _speeds(speeds, own)

    caption = "Score of each cell at an equal number of parameters, the best on top, and steps a second of training."
    return draw("cells", caption, paint, len(tasks) * (0.75 + ROW * most))


def _scores(axes: Axes, task: str, rows: list[CellRow]) -> None:
    places = range(len(rows))
    values = [max(row.score, LOWEST) if row.score == row.score else 0.0 for row in rows]
    axes.barh(places, values, 0.66, color=BLUE)
    axes.set_xlim(min(0.0, *values), 1.12 * max(0.1, *values))
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        axes.text(max(value, 0), place, f" {row.score:.3f}", va="center", fontsize=7, color=INK)
    axes.set_yticks(places, [plain(row.cell) for row in rows], fontsize=8)
    axes.set_title(plain(task), fontsize=9, loc="left")
    axes.set_xlabel(plain(f"{rows[0].metric} ({rows[0].split})"), fontsize=8)
    _tidy(axes, len(rows))


def _speeds(axes: Axes, rows: list[CellRow]) -> None:
    places = range(len(rows))
    axes.barh(places, [row.steps_per_second / 1000 for row in rows], 0.66, color=GREY)
    axes.set_yticks(places, [""] * len(rows))
    axes.set_xlabel("thousand steps a second", fontsize=8)
    _tidy(axes, len(rows))


def _tidy(axes: Axes, rows: int) -> None:
    axes.set_ylim(rows - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="x", labelsize=7, color=PALE)
