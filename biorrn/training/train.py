"""Train a recipe of any kind."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from biorrn.config import Forest, GaussianProcess, Recipe
from biorrn.jit import compiling_told
from biorrn.locks import exclusive
from biorrn.training import ensemble, forest, gaussian, loop
from biorrn.training.launch import rank
from biorrn.training.task import Task


def kind_of(recipe: Recipe) -> str:
    """Return which entry of TRAINERS trains a recipe."""
    if isinstance(recipe.model, GaussianProcess):
        return "gaussian"
    if isinstance(recipe.model, Forest):
        return "forest"
    return "ensemble" if recipe.members is not None else "network"


def train(
    recipe: Recipe,
    data_path: str | Path,
    folder: str | Path,
    task: Task,
    *,
    jobs: int | None = None,
    inside: bool = False,
    wait: float = 0.0,
    **options: Any,
) -> Path:
    """Train and return the model folder; see `loop.train` for the other parameters and the errors.

    Parameters
    ----------
    jobs : int: members of an ensemble that are trained at a time; a recipe of one model needs none.
    inside : bool: members are trained in this process, one after the other, which of small ones takes less time.
    wait : float: seconds to wait for another process that trains in the folder.

    Raises
    ------
    BiorrnError: another process trains in the folder.
    """
    if recipe.members is not None:
        options |= {"jobs": jobs, "inside": inside}
    # of processes that train together the first holds the folder for all
    with contextlib.nullcontext() if rank() else exclusive(folder, "training in", wait), compiling_told(_say):
        return TRAINERS[kind_of(recipe)](recipe, data_path, folder, task, **options)


def _say(line: str) -> None:
    if not rank():
        print(line, file=sys.stderr, flush=True)


TRAINERS: dict[str, Any] = {
    "network": loop.train,
    "gaussian": gaussian.train,
    "forest": forest.train,
    "ensemble": ensemble.train,
}
