"""The problems: one module each, and the only place that knows both ends, from prepared file to metric."""

import importlib
from typing import TYPE_CHECKING, cast

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


def load_task(name: str) -> "Task":
    """Return the task of a recipe."""
    return cast("Task", importlib.import_module(TASKS[name]))
