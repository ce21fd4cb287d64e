"""Train a recipe of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biorrn.config import GaussianProcess, Recipe
from biorrn.training import ensemble, gaussian, loop
from biorrn.training.task import Task


def kind_of(recipe: Recipe) -> str:
    """Return which entry of TRAINERS trains a recipe."""
    if isinstance(recipe.model, GaussianProcess):
        return "gaussian"
    return "ensemble" if recipe.members is not None else "network"


def train(
    recipe: Recipe, data_path: str | Path, folder: str | Path, task: Task, *, jobs: int | None = None, **options: Any
) -> Path:
    """Train and return the model folder; see `loop.train` for the parameters and the errors.

    `jobs` is how many members of an ensemble are trained at a time; a recipe of one model needs none.
    """
    if recipe.members is not None:
        options["jobs"] = jobs
    return TRAINERS[kind_of(recipe)](recipe, data_path, folder, task, **options)


TRAINERS: dict[str, Any] = {"network": loop.train, "gaussian": gaussian.train, "ensemble": ensemble.train}
