"""How every training begins: the device, the data, and the run folder, which may hold a run to go on with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from biorrn.config import Recipe
from biorrn.device import set_threads
from biorrn.errors import BiorrnError
from biorrn.files import sha256
from biorrn.models.store import WEIGHTS, find_model
from biorrn.progress import announced
from biorrn.training.checkpoint import fingerprint, is_finished, open_run
from biorrn.training.processes import Processes, choose_place
from biorrn.training.task import Data, Task

FILES = ("path", "backward")  # keys of a front end that name a file or a model folder


@dataclass(frozen=True, slots=True)
class Begun:
    """A training that may begin.

    Attributes
    ----------
    recipe : Recipe: as it is trained.
    folder : the run folder.
    data : the open prepared file.
    device : torch device of this process.
    threads : int: CPU threads of all processes together; those of this one are torch's own.
    processes : the place of this process among those that share the run.
    mark : dict: what makes the run this run.
    seed, init : as `train.train` got them.
    checkpoint : Path, optional: where to go on from.
    """

    recipe: Recipe
    folder: Path
    data: Data
    device: torch.device
    threads: int
    processes: Processes
    mark: dict[str, Any]
    seed: int
    init: str | Path | None
    checkpoint: Path | None

    @property
    def source(self) -> str:
        """Return the path of the prepared file, as it was given."""
        return next(iter(self.mark["data"]))

    @property
    def scored(self) -> str:
        """What the validation rows are: "valid", or "fitted" where they are fitted too and show no skill."""
        return "valid" if self.recipe.fitted == "train" else "fitted"

    def metric(self, task: Task) -> str:
        """Return the name of the score that the run ends with."""
        return f"{self.scored}_{task.monitor}"

    def facts(self) -> dict[str, Any]:
        """Return what provenance.json tells of any training, all that `biorrn rerun` needs among it."""
        return {
            "task": self.recipe.task,
            "recipe": self.recipe.name,
            "configuration": self.recipe.model_dump(mode="json"),
            "data": self.mark["data"],
            "files": self.mark["files"],
            "seed": self.seed,
            "init": None if self.init is None else {"model": str(self.init), "sha256": self.mark["init"]},
            "device": str(self.device),
            "threads": self.threads,
            "processes": self.processes.size,
        }


def begin(
    recipe: Recipe,
    data_path: str | Path,
    folder: str | Path,
    task: Task,
    *,
    seed: int,
    device: str,
    threads: int | None,
    replace: bool,
    init: str | Path | None = None,
    data_recipe: Recipe | None = None,
    keep: Sequence[str] = (),
) -> Begun | None:
    """Open the data and the run folder; None where the folder holds this run, finished.

    Of several processes the first opens the folder, and the others follow it.

    Parameters
    ----------
    data_recipe : Recipe, optional: by which the data is opened, where that is not `recipe`.
    keep : what of a run that is replaced stays; see `open_run`.
    Others as in `train.train`.

    Raises
    ------
    BiorrnError: a seed below 0, no such device, or a number of threads below 1.
    ConfigError: the folder holds another run.
    InputError: the data is not what the task needs.
    """
    folder = Path(folder)
    if seed < 0:
        raise BiorrnError(f"--seed: found {seed}; allowed is 0 or more")
    where, here = choose_place(device)
    all_threads = set_threads(threads)
    set_threads(max(1, all_threads // here.local_size))

    def open_all() -> tuple[Data, dict[str, Any], Path | None, bool]:
        with announced(f"reading {data_path}"):
            data = task.open_data(data_path, data_recipe or recipe)
        mark = fingerprint(recipe, data_path, seed)
        mark["files"] = _checksums(recipe)
        if init is not None:
            mark["init"] = sha256(find_model(init) / WEIGHTS)
        checkpoint = open_run(folder, mark, replace, keep)
        return data, mark, checkpoint, is_finished(folder)

    found = here.ask_first(open_all)
    data = task.open_data(data_path, data_recipe or recipe) if found is None else found[0]
    mark, checkpoint, finished = here.share(found[1:] if found else ({}, None, False))
    if finished:
        if here.first:
            print(f"{folder}: this run is finished; nothing to do", file=sys.stderr)
        return None
    return Begun(recipe, folder, data, where, all_threads, here, mark, seed, init, checkpoint)


def files_of(content: Any) -> set[str]:
    """Return the files and model folders that a recipe, as plain values, takes values from.

    >>> files_of({"members": [{"recipe": {"model": {"frontend": {"name": "table", "path": "a.npz"}}}}]})
    {'a.npz'}
    """
    if isinstance(content, list):
        return set().union(*map(files_of, content))
    if not isinstance(content, dict):
        return set()
    found = {content[key] for key in FILES if isinstance(content.get(key), str)}
    return found.union(*(files_of(value) for value in content.values()))


def _checksums(recipe: Recipe) -> dict[str, str]:
    """Return the SHA-256 of each file that is there; the model's own message tells of one that is not."""
    found = {}
    for name in sorted(files_of(recipe.model_dump(mode="json"))):
        path = Path(name) / WEIGHTS if Path(name).is_dir() else Path(name)
        if path.is_file():
            found[name] = sha256(path)
    return found
