"""Interfaces of tasks and their data (`Task`, `Data`), and the table `TASKS` of the modules that implement them."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from torch import Tensor

from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import Recipe
from biorrn.nn.batch import Batch
from biorrn.nn.sequence import SequenceModel


class Diverged(BiorrnError):
    """Training diverged: the gradient was not finite for many steps in a row."""


class Data(Protocol):
    """An open prepared file, in batches as the recipe defines."""

    facts: dict[str, Any]  # for inference, see `nn.facts.Facts`; "outputs" is the number of outputs of the head
    training_size: int  # units (see Task.unit) an epoch
    # sized: bool, optional: False if `steps` is only approximate

    def steps(self) -> int:
        """Return the number of batches an epoch."""
        ...

    def train(self, epoch: int, seed: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, determined by epoch and seed."""
        ...

    def valid(self) -> Iterator[Batch]:
        """Yield the validation batches, always the same."""
        ...


class Task(Protocol):
    """One problem: its data, model, loss and scores. Implemented by a module."""

    unit: str  # of the training rate: "sequences", "samples"
    monitor: str  # metric that selects the best epoch; larger is better
    # leading, optional: the metrics that `monitor` is made of; the first there is shown in its place

    def open_data(self, path: str | Path, recipe: Recipe) -> Data:
        """Open a prepared file."""
        ...

    # continue_from(data, facts, name), optional: checks that a training may start from a model, by its facts, and takes
    # over what becomes of them in those of the data

    def make_model(self, recipe: Recipe, data: Data) -> SequenceModel:
        """Return an untrained model for the data."""
        ...

    def loss(self, model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
        """Return the mean loss of a batch, a scalar with gradient."""
        ...

    def share(self, batch: Batch, recipe: Recipe) -> float | None:
        """Return the weight of a batch in the mean loss of a larger batch that contains its rows.

        None if the loss of a batch is not a weighted mean over its parts, as with pairs of rows; the outputs of such a
        task are (B, K).
        """
        ...

    # collect_from(model, outputs, lengths, batch, recipe), optional: replaces `collect` if predictions need a search

    def collect(self, outputs: Tensor, lengths: Tensor, batch: Batch) -> Any:
        """Return the predictions and truth of a validation batch, for `score`."""
        ...

    def score(self, collected: list[Any]) -> dict[str, float]:
        """Return the validation metrics of an epoch; `monitor` is one of them."""
        ...

    def size(self, batch: Batch) -> int:
        """Return the units of a batch."""
        ...


def shown_score(task: Task, scores: Mapping[str, float]) -> str:
    """Return the score that selects the epoch with its name; where it is made of others, the main one of these."""
    name = next((one for one in getattr(task, "leading", ()) if one in scores), task.monitor)
    shown = f"{scores[name]:.4f}" if math.isfinite(scores[name]) else "undefined (of fewer than two or equal values)"
    return f"{name.replace('_', ' ')} {shown}"


# task of a recipe -> the module that implements `Task`, imported on demand
TASKS = {
    "regression": "biorrn.proteins.task",
    "classification": "biorrn.proteins.classes.task",
    "basecalling": "biorrn.nanopore.task",
    "language": "biorrn.language.task",
    "tagging": "biorrn.tagging.task",
    "translation": "biorrn.translation.task",
}

# task of a recipe -> the module whose `complete` adds facts to a trained model folder
COMPLETES = {
    "regression": "biorrn.proteins.uncertainty.replay",
    "classification": "biorrn.proteins.classes.task",
    "basecalling": "biorrn.nanopore.task",
}


def load_task(name: str) -> Task:
    """Return the task of a recipe."""
    return cast("Task", importlib.import_module(TASKS[name]))


def complete(task: str, folder: str | Path, prepared: str | Path, *, device: str = "auto", **known: Any) -> None:
    """Add facts to a trained model folder by the entry of `COMPLETES`, if any; existing facts are kept.

    Parameters
    ----------
    task : of the recipe.
    prepared : the prepared file that the model was trained on.
    known : facts to add.
    """
    if known:
        from biorrn.nn.store import update_facts

        update_facts(folder, **known)
    if task in COMPLETES:
        importlib.import_module(COMPLETES[task]).complete(Path(folder), Path(prepared), device)
