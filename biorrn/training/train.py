"""Training of a recipe of any kind (`train`), and the program that trains one member of an ensemble.

`python -m biorrn.training.train` trains a member. Its job is one line of JSON on standard input, which the parent keeps
open; the program ends when the parent does.
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

from biorrn.base.compute import compiling_told, keep_memory, prepare_libraries
from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.locks import exclusive
from biorrn.base.terminal import note
from biorrn.config.recipe import Forest, GaussianProcess, Recipe, adapted, parse_recipe, resolve
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

    An unfinished run of the same recipe, data and seed in the folder is resumed from its last complete epoch; a
    finished one is not repeated. Another run in the folder is an error, or is replaced with `replace`. Called in each
    of several processes (see `processes.launch`), it shares every batch among them; the first writes.

    Parameters
    ----------
    recipe : Recipe: the model and the training, or members.
    data_path : path of a prepared HDF5 file.
    folder : path of the run folder.
    task : of `task.load_task(recipe.task)`.
    seed : int: 0 or more; determines order, augmentation, dropout and initial weights.
    threads : int: CPU threads, of all processes and members on this machine together.
    init : model folder or shipped id whose fitting tensors are the initial weights; for an ensemble, a model for all
        members or an ensemble with one for each.
    stop : optional: epochs after which the run ends, with the learning rates of the full schedule. For an ensemble a
        dict: folder name of a member -> epochs.
    jobs : int: members of an ensemble trained at a time; default: the number of threads on a CPU, one on a GPU.
    inside : bool: train members in this process, one after the other, which is faster for small ones.
    wait : float: seconds to wait for another process that trains in the folder.

    Raises
    ------
    ConfigError: the folder holds another run, or the recipe does not suit the data or `init`.
    InputError: the data does not suit the task.
    BiorrnError: another process trains in the folder; training diverged; a member could not be trained; or no such
        device.
    """
    kind, folder, recipe = kind_of(recipe), Path(folder), resolve(recipe)
    # the first of several processes locks the folder for all
    with contextlib.nullcontext() if launch.rank() else exclusive(folder, "training in", wait), compiling_told(_say):
        from biorrn.sequences.embeddings import join_prepared
        from biorrn.training.processes import leave

        try:
            for plm in adapted(recipe):  # what the run has trained is loaded again by name and checksum
                importlib.import_module("biorrn.nn.hub").offer(plm.path)
            join_prepared(recipe, data_path)
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
    """Check the options that a kind of recipe does not support, and open its run; see `loop.begin`."""
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
            raise ConfigError(f"--init: recipe '{recipe.name}' is {FITTED[kind]}, which has no initial weights")
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
FITTED = {"gaussian": "a Gaussian process", "forest": "a forest"}  # kinds fitted without epochs


def train_member(job: dict[str, Any]) -> None:
    """Train a member of an ensemble in this process.

    Parameters
    ----------
    job : dict: "recipe" as YAML, "data" and "folder" as paths, "task" as the name of a module, "options" of `train`.
    """
    recipe = parse_recipe(load_yaml(job["recipe"], job["folder"]), job["folder"])
    task = importlib.import_module(job["task"])
    # members of a killed parent end a moment after it
    train(recipe, job["data"], job["folder"], task, wait=60.0, **job["options"])  # type: ignore[arg-type]


def main() -> None:
    """Train the member given on standard input; a user error is one line and exit code 2."""
    prepare_libraries()
    keep_memory()
    job = _read_job()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    note(job["words"])  # the command in provenance.json
    try:
        train_member(job)
    except BiorrnError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:  # a terminal sends it to the parent too, which tells of it
        raise SystemExit(130) from None


def _read_job() -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):  # not sys.stdin: a waiting thread would hold its lock at exit
        part = os.read(0, 1 << 16)
        if not part:
            raise SystemExit(1)
        line += part
    return json.loads(line)  # type: ignore[no-any-return]


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)  # the child of a killed parent must not write to the folder of a later run


if __name__ == "__main__":
    main()
