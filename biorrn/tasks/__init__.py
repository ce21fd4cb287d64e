"""The problems: one module each, and the only place that knows both ends, from prepared file to metric."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from biorrn.training.task import Task

# task of a recipe -> the module that answers `training.task.Task`; imported when asked for, since they import torch
TASKS = {
    "regression": "biorrn.tasks.regression",
    "basecalling": "biorrn.tasks.basecalling",
    "language": "biorrn.tasks.language",
    "tagging": "biorrn.tasks.tagging",
    "translation": "biorrn.tasks.translation",
}

# task of a recipe -> the module whose `complete` adds facts to a trained model folder
COMPLETES = {"regression": "biorrn.tasks.replay", "basecalling": "biorrn.tasks.basecalling"}


def load_task(name: str) -> "Task":
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
        from biorrn.models.store import update_facts

        update_facts(folder, **known)
    if task in COMPLETES:
        importlib.import_module(COMPLETES[task]).complete(Path(folder), Path(prepared), device)
