"""Train a recipe of any kind: the one opening of a run, and the process that trains one member of an ensemble.

`python -m biorrn.training.train` trains a member: its job comes as one line of JSON on standard input, which then stays
open for as long as the parent lives.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biorrn.base.compute import compiling_told, quiet_threads
from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.locks import exclusive
from biorrn.base.terminal import note
from biorrn.config.recipe import Forest, GaussianProcess, Recipe, parse_recipe, resolve
from biorrn.config.yaml import load_yaml
from biorrn.training import processes as launch

if TYPE_CHECKING:
    from biorrn.training.loop import Begun
    from biorrn.training.task import Task


def train(
    recipe: Recipe,
    data_path: str | Path,
    folder: str | Path,
    task: Task,
    *,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    replace: bool = False,
    init: str | Path | None = None,
    stop: Any = None,
    jobs: int | None = None,
    inside: bool = False,
    wait: float = 0.0,
) -> Path:
    """Train and return the model folder.

    A folder with an unfinished run of the same recipe, data and seed is taken up at its last whole epoch; one with a
    finished run is left as it is. One with another run is an error, or with `replace` is begun anew. Called in each of
    several processes (see `launch`) it shares every batch among them; the first writes.

    Parameters
    ----------
    recipe : Recipe: the model and the training, or members.
    data_path : path of a prepared HDF5 file.
    folder : path of the run folder.
    task : the module of `tasks` for `recipe.task`.
    seed : int: 0 or more; order, augmentation, dropout and first weights follow from it.
    threads : int: CPU threads, of all processes and members on this machine together.
    init : model folder or shipped id whose weights, where they fit, are the first ones; of the run of an ensemble,
        those of its members, one each.
    stop : optional: end after so many epochs, with the schedule of all; as a run that its time limit has ended. For an
        ensemble a dict: folder name of a member -> epochs.
    jobs : int: members of an ensemble that are trained at a time; default: one a thread, on another device than the CPU
        one. A recipe of one model needs none.
    inside : bool: members are trained in this process, one after the other, which of small ones takes less time.
    wait : float: seconds to wait for another process that trains in the folder.

    Raises
    ------
    ConfigError: the folder holds another run, or the recipe does not suit the data or `init`.
    InputError: the data is not what the task needs.
    BiorrnError: another process trains in the folder; the gradient is not finite for many steps in a row; a member
        could not be trained, while those that could are kept; or no such device.
    """
    kind, folder, recipe = kind_of(recipe), Path(folder), resolve(recipe)
    # of processes that train together the first holds the folder for all
    with contextlib.nullcontext() if launch.rank() else exclusive(folder, "training in", wait), compiling_told(_say):
        from biorrn.training.processes import leave

        try:
            options = {"seed": seed, "device": device, "threads": threads, "replace": replace, "init": init}
            begun = _begin(kind, recipe, data_path, folder, task, jobs, options)
            if begun is None:
                return folder
            trainer = importlib.import_module(f"biorrn.training.{TRAINERS[kind]}")
            if kind == "network":
                trainer.run(begun, task, stop)
            elif kind == "ensemble":
                trainer.run(begun, task, train_member, replace=replace, jobs=jobs, inside=inside, stop=stop)
            else:
                trainer.run(begun, task)
        finally:
            leave()
    return folder


def _begin(
    kind: str,
    recipe: Recipe,
    data_path: str | Path,
    folder: Path,
    task: Task,
    jobs: int | None,
    options: dict[str, Any],
) -> Begun | None:
    """Check what a kind of recipe has no use for, and open its run; see `begin.begin`."""
    from biorrn.training.checkpoint import MEMBERS
    from biorrn.training.loop import begin

    if recipe.members is not None:
        launch.refuse("the members of an ensemble are trained side by side with --jobs")
        if jobs is not None and jobs < 1:
            raise BiorrnError(f"--jobs: found {jobs}; allowed is 1 or more")
        first = recipe.members[0].recipe
        assert isinstance(first, Recipe)  # as `resolve` leaves it
        return begin(recipe, data_path, folder, task, data_recipe=first, keep=(MEMBERS,), **options)
    if kind != "network":
        launch.refuse(f"{FITTED[kind]} is fitted by one")
        if options["init"] is not None:
            raise ConfigError(f"--init: recipe '{recipe.name}' is {FITTED[kind]}, which has no first weights")
    return begin(recipe, data_path, folder, task, **options)


def kind_of(recipe: Recipe) -> str:
    """Return which entry of TRAINERS trains a recipe."""
    if isinstance(recipe.model, GaussianProcess):
        return "gaussian"
    if isinstance(recipe.model, Forest):
        return "forest"
    return "ensemble" if recipe.members is not None else "network"


def _say(line: str) -> None:
    if not launch.rank():
        print(line, file=sys.stderr, flush=True)


# kind of recipe -> module of `training` whose `run` trains it
TRAINERS = {"network": "loop", "gaussian": "gaussian", "forest": "forest", "ensemble": "ensemble"}
FITTED = {"gaussian": "a Gaussian process", "forest": "a forest"}  # at once, without epochs


def train_member(job: dict[str, Any]) -> None:
    """Train a member of an ensemble in this process.

    Parameters
    ----------
    job : dict: "recipe" as YAML, "data" and "folder" as paths, "task" as the name of a module, "options" of `train`.
    """
    recipe = parse_recipe(load_yaml(job["recipe"], job["folder"]), job["folder"])
    task = importlib.import_module(job["task"])
    # a parent that was killed leaves members that end a moment after it
    train(recipe, job["data"], job["folder"], task, wait=60.0, **job["options"])  # type: ignore[arg-type]


def main() -> None:
    """Train the member that standard input tells of; a fault of the user is one line and exit code 2."""
    quiet_threads()
    job = _read_job()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    note(job["words"])  # the command that provenance tells of
    try:
        train_member(job)
    except BiorrnError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def _read_job() -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):  # not through sys.stdin, whose lock a waiting thread would hold at exit
        part = os.read(0, 1 << 16)
        if not part:
            raise SystemExit(1)
        line += part
    return json.loads(line)  # type: ignore[no-any-return]


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)  # a parent that was killed must not leave a child that writes to the folder of the next


if __name__ == "__main__":
    main()
