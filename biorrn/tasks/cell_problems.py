"""The tasks of `biorrn cells`: how one cell is trained, judged and run once on each.

All cells of a task have the same front end, head, batches and training; only the cell and the number of units differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from biorrn.batch import Batch
from biorrn.config import Core, Recipe, change_recipe, parse_recipe
from biorrn.device import choose_device
from biorrn.errors import ConfigError, InputError
from biorrn.files import atomic_path, sha256, write_text
from biorrn.models.sequence import build_frontend
from biorrn.models.store import load_model
from biorrn.tasks import load_task
from biorrn.tasks.long_memory import FEATURES, SYNTHETIC, Recall, Settings, fit, judge
from biorrn.training.checkpoint import PROVENANCE
from biorrn.training.train import train

Once = Callable[[], None]  # forward and backward of one batch


class Problem(Protocol):
    """One task, for every cell."""

    name: str
    inputs: int  # features of a step that the core reads
    core: Core  # with any cell and any number of units
    device: torch.device

    def mark(self) -> dict[str, Any]:
        """Return what makes a result the same again: data and settings."""
        ...

    def run(self, core: Core, folder: Path) -> dict[str, Any]:
        """Train one core, or take it up; return metric, score, split, parameters, seconds and stopped."""
        ...

    def once(self, folder: Path) -> tuple[Once, int]:
        """Return a trained model's forward and backward of a batch, the same for every cell, and its steps."""
        ...


class Prepared:
    """A task whose rows are in a prepared file; a cell's run is one of `training.train`, in a folder of its own."""

    def __init__(self, name: str, path: str | Path, options: dict[str, Any]) -> None:
        """Take a prepared file and what `options` ask for: max_minutes, seed, device, threads, changes, replace.

        Raises
        ------
        ConfigError: a change that a recipe does not know.
        InputError: the file is not what the task needs.
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
        recipe = _with_core(self.recipe, core)
        options = {key: self.options[key] for key in ("seed", "device", "threads", "replace")}
        train(recipe, self.path, folder, self.task, **options)
        told = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        split, collected = self._predictions(folder)
        return {
            "metric": METRICS[self.name],
            "score": float(self.task.score(collected)[METRICS[self.name]]),
            "split": split,
            "parameters": int(told["parameters"]),
            "seconds": float(told["seconds"]),
            "stopped": int(told["epochs"]) < recipe.training.epochs,
        }

    def _predictions(self, folder: Path) -> tuple[str, list[Any]]:
        """Return what the task's score needs of the test rows, or of the validation rows where there is no test."""
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
    """A synthetic task of `long_memory`, its batches made on the way."""

    def __init__(self, kind: str, length: int, settings: Settings, options: dict[str, Any]) -> None:
        """Take an entry of SYNTHETIC and a length in steps.

        Raises
        ------
        ConfigError: the length is too short for the task.
        """
        self.name, self.task, self.length = "synthetic", SYNTHETIC[kind], length
        if length < self.task.shortest:
            raise ConfigError(f"--length: found {length}; allowed for {kind} is {self.task.shortest} or more")
        self.kind, self.settings, self.options = kind, settings, options
        self.device = choose_device(options["device"])
        self.inputs = FEATURES
        # forward: a core that runs backward would have the first step at hand at the end
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


def _with_core(recipe: Recipe, core: Core) -> Recipe:
    return recipe.model_copy(update={"model": recipe.network.model_copy(update={"core": core})})


def parameters_of(model: nn.Module) -> int:
    """Return how many numbers a module learns."""
    return sum(part.numel() for part in model.parameters())


METRICS = {"stability": "spearman", "tagging": "agreement"}
EMBEDDING = {"name": "embedding", "width": 32, "table": "blosum62+scales"}
# per task: what all cells have in common
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
