"""Train again what a run folder tells of: a run of a recipe of any kind, or of a user's own table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from biorrn.errors import InputError
from biorrn.models.store import load_facts, update_facts
from biorrn.tasks import complete, load_task
from biorrn.training import launch
from biorrn.training.checkpoint import PROVENANCE
from biorrn.training.repeat import Plan, read_plan, read_provenance
from biorrn.training.train import train

FOLDS = "folds"  # of `biorrn train-table --folds`: a run each
KEPT = ("reference",)  # facts that `biorrn train-table` adds
MEASURED = ("conformal", "measured")  # and of a model that was fitted to all rows, from the one before it


def rerun(run: str | Path, folder: str | Path, *, data: str | Path | None = None, init: str | None = None) -> Path:
    """Train again into `folder`, and return it; see `read_plan` for the parameters and the errors.

    A search and the choices of `biorrn train-table` are not made again: what they chose is trained. Of its folds each
    is trained, and they are joined. Called again after a kill, it goes on.
    """
    run, folder = Path(run), Path(folder)
    told = read_provenance(run)
    if told.get("folds"):
        return _folds(run, folder, told)
    plan = read_plan(run, data=data, init=init)
    print(f"{run}: training {plan.recipe.name} again into {folder}", file=sys.stderr)
    _train(plan, folder)
    return folder


def _train(plan: Plan, folder: Path) -> None:
    train(plan.recipe, plan.data, folder, load_task(plan.recipe.task), **plan.options)
    if launch.rank() == 0:
        old, new = load_facts(plan.run), load_facts(folder)
        kept = KEPT if plan.recipe.fitted == "train" else (*KEPT, *MEASURED)
        if added := {key: old[key] for key in kept if key in old and key not in new}:
            update_facts(folder, **added)
        complete(plan.recipe.task, folder, plan.data, device=plan.options["device"])


def _folds(run: Path, folder: Path, told: dict[str, Any]) -> Path:
    from biorrn.evaluation.predictions import read_prepared
    from biorrn.tasks.own_folds import join_folds
    from biorrn.tasks.own_report import DATA

    again = []
    try:
        number, seed = int(told["folds"]), int(told["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(run / PROVENANCE, f"has too little information to repeat the run: {error}") from error
    for place in range(1, number + 1):
        again.append(rerun(run / FOLDS / str(place), folder / FOLDS / str(place)))
    join_folds(again, folder, read_prepared(run / DATA), seed)
    return folder
