"""What the training loop asks of a task; `tasks/` has one module for each that answers."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from torch import Tensor

from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import Recipe
from biorrn.nn.batch import Batch
from biorrn.nn.sequence import SequenceModel


class Diverged(BiorrnError):
    """The gradient was not finite for many steps in a row: nothing can be learned with these settings."""


class Data(Protocol):
    """An open prepared file, cut into batches as a recipe says."""

    facts: dict[str, Any]  # what inference must know, with "outputs": how many the head gives
    training_size: int  # units (see Task.unit) an epoch
    # sized: bool, optional: False where an epoch has only about as many batches as `steps` says

    def steps(self) -> int:
        """Return the number of batches an epoch."""
        ...

    def train(self, epoch: int, seed: int) -> Iterator[Batch]:
        """Yield the batches of an epoch: the same for the same epoch and seed."""
        ...

    def valid(self) -> Iterator[Batch]:
        """Yield the validation batches: always the same."""
        ...


class Task(Protocol):
    """One problem, seen from both ends."""

    unit: str  # what the rate counts: "sequences", "samples"
    monitor: str  # the metric that chooses the best epoch; larger is better

    def open_data(self, path: str | Path, recipe: Recipe) -> Data:
        """Open a prepared file."""
        ...

    def make_model(self, recipe: Recipe, data: Data) -> SequenceModel:
        """Return an untrained model whose output fits the data."""
        ...

    def loss(self, model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
        """Return the mean loss of a batch, a scalar with gradient."""
        ...

    def share(self, batch: Batch, recipe: Recipe) -> float | None:
        """Return by how much a batch's loss counts in that of a larger one, of which it is some rows.

        None where a larger batch's loss is not such a mean of its parts' losses, as with pairs of rows; the outputs of
        such a task are (B, K).
        """
        ...

    # collect_from(model, outputs, lengths, batch, recipe), optional: in place of `collect`, where the model must search

    def collect(self, outputs: Tensor, lengths: Tensor, batch: Batch) -> Any:
        """Return what `score` needs of a validation batch."""
        ...

    def score(self, collected: list[Any]) -> dict[str, float]:
        """Return the validation metrics of an epoch; `monitor` is one of them."""
        ...

    def size(self, batch: Batch) -> int:
        """Return how many units a batch holds."""
        ...


# task of a recipe -> the module that answers `training.task.Task`; imported when asked for, since they import torch
TASKS = {
    "regression": "biorrn.proteins.task",
    "basecalling": "biorrn.nanopore.task",
    "language": "biorrn.language.task",
    "tagging": "biorrn.tagging.task",
    "translation": "biorrn.translation.task",
}

# task of a recipe -> the module whose `complete` adds facts to a trained model folder
COMPLETES = {"regression": "biorrn.proteins.uncertainty.replay", "basecalling": "biorrn.nanopore.task"}


def load_task(name: str) -> Task:
    """Return the task of a recipe."""
    return cast("Task", importlib.import_module(TASKS[name]))


def complete(task: str, folder: str | Path, prepared: str | Path, *, device: str = "auto", **known: Any) -> None:
    """Complete the facts of a trained model folder by the entry of `COMPLETES`, if any; facts that it has stay.

    Parameters
    ----------
    task : of the recipe.
    prepared : the prepared file that the model was trained on.
    known : facts that the caller has.
    """
    if known:
        from biorrn.nn.store import update_facts

        update_facts(folder, **known)
    if task in COMPLETES:
        importlib.import_module(COMPLETES[task]).complete(Path(folder), Path(prepared), device)
