"""Performance of a model of variants at new positions, beside that on random rows: cross-validation of both kinds.

On random rows, other mutations at the position of a held-out one have trained. What is asked of a model is often what
mutations do where none was measured, and there scores are lower. The members of the model that are fitted at once (a
Gaussian process, a forest) are cross-validated on folds of both kinds and scored on the same rows, if that fits a part
of the time that the user gave.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import Recipe
from biorrn.proteins.predictions import read_prepared
from biorrn.proteins.train_table.folds import fold_scores, out_of_fold, sites_of
from biorrn.proteins.train_table.outputs import DATA, Session
from biorrn.proteins.train_table.refit import parts_of
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.splits import FOLD_NUMBER, Folds, fold_splits, site_fold_splits
from biorrn.training.checkpoint import PROVENANCE
from biorrn.training.ensemble import MemberFailed
from biorrn.training.task import Diverged

FOLDER = "positions"  # of the trainings; removed in the end
SHARE = 0.05  # of the time that the user gave, for both kinds together
LEAST_SITES, LEAST_TESTED = 10, 50  # mutated positions, rows that folds of them test; of fewer the score says little
FALL = "These scores are of rows at random, whose positions have training rows too; at new positions they are lower"
WARNING = f"{FALL}: see --folds position."


def measure_positions(
    recipe: Recipe, run: Session, wild_type: str, trained: Path, seconds: float, kind: str = "position"
) -> dict[str, Any]:
    """Return the scores at random rows and at new positions, and what is said of them.

    Parameters
    ----------
    recipe : of the model; its members that need no epochs are used.
    run : its folder has the prepared file. Rows of its split test are not used.
    wild_type : str: what the mutations are of.
    trained : folder of a model of the recipe, which tells how long each member takes.
    seconds : float: what both kinds of folds may take.
    kind : "position" or "contiguous".

    Returns
    -------
    {"line": str, "scores": {target: {kind: as `folds.fold_scores`}}}. The line is "" where new positions are no matter:
    few positions vary, or none has two rows. The scores are empty where they could not be measured.
    """
    data = read_prepared(run.folder / DATA)
    rows = data.rows.select(data.split != SPLITS.index("test"))
    sites = sites_of(rows, wild_type)
    if len(sites.positions) < LEAST_SITES or not sites.shared.any():
        return {"line": "", "scores": {}}
    folds = Folds(kind, FOLD_NUMBER)
    try:
        rounds = list(site_fold_splits(sites, folds, run.seed))
        tested = np.any([codes == SPLITS.index("test") for codes in rounds], axis=0)
    except ConfigError:  # a fold has no rows
        tested = np.zeros(len(rows), bool)
    if tested.sum() < LEAST_TESTED:  # as of rows with many mutations each
        line = f"{FALL}. Folds cannot tell how far: {int(tested.sum()):,} rows have all their mutations in one of them."
        return {"line": line, "scores": {}}
    fast = fast_part(recipe, trained, seconds / (2 * FOLD_NUMBER))
    if fast is None:
        return {"line": WARNING, "scores": {}}
    same = np.unique(rows.sequences(), return_inverse=True)[1]
    inside = replace(run, options=run.options | {"inside": True})
    members = ", ".join(part.name for part in parts_of(fast))
    run.say(f"new positions: {FOLD_NUMBER} folds of them and {FOLD_NUMBER} at random, by {members}")
    found: dict[str, dict[str, Any]] = {}
    for name, splits in (("random", fold_splits(same, FOLD_NUMBER, run.seed)), (kind, rounds)):
        try:
            predictions, fold, _ = out_of_fold(fast, inside, run.folder / FOLDER / name, rows, data, splits)
        except (ConfigError, Diverged, MemberFailed):  # too few rows of a fold for a member
            shutil.rmtree(run.folder / FOLDER)
            return {"line": WARNING, "scores": {}}
        values = np.full(rows.targets.shape, np.nan)
        values[fold > 0] = [one.values for one in predictions]
        for k, target in enumerate(data.targets):
            scores = fold_scores(rows.targets[tested, k], values[tested, k], fold[tested])
            found.setdefault(str(target["name"]), {})[name] = scores
    shutil.rmtree(run.folder / FOLDER)
    found = {target: entry for target, entry in found.items() if all(entry.values())}
    lines = [fall_line(target, entry, kind, members) for target, entry in found.items()]
    return {"line": " ".join(lines), "scores": found}


def fast_part(recipe: Recipe, trained: Path, seconds: float) -> Recipe | None:
    """Return the members of a recipe that need no epochs and train in so many seconds, the fastest first; or None.

    Parameters
    ----------
    trained : folder of a model of the recipe.
    """
    told = json.loads((trained / PROVENANCE).read_text(encoding="utf-8"))
    if recipe.members is None:
        return recipe if not told.get("epochs") and told["seconds"] < seconds else None
    timed = [
        (float(own["seconds"]), place) for place, own in enumerate(told["members"].values()) if not own.get("epochs")
    ]
    spent = np.cumsum([took for took, _ in sorted(timed)])
    kept = sorted(place for (_, place), until in zip(sorted(timed), spent, strict=True) if until < seconds)
    if len(kept) < 2:
        return parts_of(recipe)[kept[0]] if kept else None
    return recipe.model_copy(update={"members": [recipe.members[place] for place in kept]})


def fall_line(target: str, entry: dict[str, dict[str, Any]], kind: str, members: str) -> str:
    """Return the scores at random rows and at new positions as a sentence."""
    shown = {
        name: f"{own['spearman']:.3f} (SD {own['deviation']:.3f}, 95 % interval {own['low']:.3f} to {own['high']:.3f})"
        for name, own in entry.items()
    }
    new = "new positions" if kind == "position" else "stretches of new positions"
    return (
        f"{target}: at {new} Spearman is {shown[kind]}, at random {shown['random']}: means over "
        f"{entry[kind]['folds']} folds of the same {entry[kind]['rows']:,} rows, by {members}."
    )
