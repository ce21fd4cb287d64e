"""Refit of a measured model of a user's table on all rows.

The held-out figures are those of the measured model, which stays in the folder `measured` of the run. The refit of a
network uses the same recipe and schedule and stops after the epoch that was best: the rows that chose this epoch now
train too, so that none is left to choose another (Goodfellow, Bengio and Courville 2016, Deep Learning, algorithm 7.2).
The number of epochs is not scaled, so each row is seen as often as before. Gaussian processes and forests are refitted
with the same settings; the weights of an ensemble and the prediction intervals stay. The intervals come from residuals
of models that did not see the row, and a model trained on more rows has slightly smaller errors.

A run with folds of positions is refitted too, by the mean weights and best epochs of its folds. Of other folds the mean
of their models is kept: each row has trained all but one, and its neighbours all of them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.files import write_text
from biorrn.config.recipe import GaussianProcess, Model, Recipe, parse_recipe
from biorrn.nn.store import RECIPE, WEIGHTS, load_facts, update_facts
from biorrn.proteins.task import LOSSES
from biorrn.proteins.train_table.budget import Cost, span
from biorrn.proteins.train_table.outputs import DATA, Session
from biorrn.training.batches import ProteinDataset
from biorrn.training.checkpoint import CHOICE, PROVENANCE, REPORT, WARNINGS, remove_run
from biorrn.training.ensemble import MemberFailed, member_names
from biorrn.training.gaussian import MOST_ROWS, setting_of
from biorrn.training.task import Diverged, complete, load_task
from biorrn.training.train import train

MEASURED = "measured"  # folder of the model that was chosen and measured
FITTED_ONCE = 3.0  # the time of a Gaussian process or forest grows with this power of the rows, at the most


def refit(recipe: Recipe, run: Session, rows: str) -> None:
    """Train the measured model of a run again on more of its rows, into the run folder itself.

    Parameters
    ----------
    recipe : what the measured model was trained by.
    run : its folder has the prepared file and the run `MEASURED`. A killed refit resumes.
    rows : "all" or "train+valid", as of the key `training.rows` of a recipe.

    Raises
    ------
    Diverged, MemberFailed: it cannot be trained on these rows.
    """
    folder, measured = run.folder, run.folder / MEASURED
    provenance = json.loads((measured / PROVENANCE).read_text(encoding="utf-8"))
    final = final_recipe(recipe, rows, load_facts(measured).get("weights"))
    stop: dict[str, Any] = {}
    if recipe.members is not None:
        ends = {name: own["best"]["epoch"] + 1 for name, own in provenance["members"].items() if own.get("epochs")}
        stop = {"stop": ends}
    elif provenance.get("epochs"):
        stop = {"stop": provenance["best"]["epoch"] + 1}
    train(final, folder / DATA, folder, load_task(final.task), seed=run.seed, **stop, **run.options)
    kept = "class_calibration" if final.task == "classification" else "conformal"
    known = {kept: load_facts(measured).get(kept) or {}}
    known = known if known[kept] or final.task == "regression" else {}
    complete(final.task, folder, folder / DATA, device=run.options["device"], **known)


def keep_measured(folder: Path) -> None:
    """Copy the measured model into the run folder, in place of a refit."""
    remove_run(folder, keep=(CHOICE, REPORT))
    for name in ("history.tsv", WARNINGS, RECIPE, PROVENANCE, WEIGHTS):  # a folder with weights is whole
        if (folder / MEASURED / name).is_file():
            temporary = folder / f".{name}.part"
            shutil.copyfile(folder / MEASURED / name, temporary)
            temporary.replace(folder / name)


def final_recipe(recipe: Recipe, rows: str, weights: list[list[float]] | None) -> Recipe:
    """Return a recipe that fits more rows: without a limit of time, and of an ensemble with these weights (M, K)."""

    def own(part: dict[str, Any]) -> dict[str, Any]:
        return part | {"training": part["training"] | {"rows": rows, "patience": None, "max_minutes": None}}

    content = recipe.model_dump(mode="json")
    if content.get("members") is None:
        return parse_recipe(own(content), recipe.name)
    assert weights is not None
    members = [
        member | {"recipe": own(member["recipe"]), "weight": weight}
        for member, weight in zip(content["members"], weights, strict=True)
    ]
    return parse_recipe(content | {"members": members, "combine": "mean"}, recipe.name)


def reason_against(recipe: Recipe, folder: Path, rows: str, left: float) -> str:
    """Return why a measured model is not refitted; "" if it is.

    Parameters
    ----------
    left : float: seconds of the time that the user gave.
    """
    if reason := unfit(recipe, folder, rows):
        return reason
    data = ProteinDataset(folder / DATA, None if rows == "all" else rows)
    needed = seconds_needed(folder / MEASURED, len(data) / len(ProteinDataset(folder / DATA, "train")))
    return no_time(needed, left)


def no_time(needed: float, left: float) -> str:
    """Return why a refit that needs so many seconds is not made; "" if as many are left."""
    if needed > left:
        return f"it takes about {span(needed)}, and --max-minutes leaves {span(left)}"
    return ""


def unfit(recipe: Recipe, folder: Path, rows: str) -> str:
    """Return why a recipe cannot be fitted to all rows; "" if it can. Parameters as of `reason_against`."""
    if recipe.calibrate != "none" or recipe.neighbours is not None:
        return f"recipe {recipe.name} calibrates its values by rows that trained nothing"
    data = ProteinDataset(folder / DATA, None if rows == "all" else rows)
    for part in parts_of(recipe):
        loss = LOSSES.get(part.training.loss)  # none of classes
        if isinstance(part.model, Model) and loss is not None and loss.point is None:
            return f"recipe {part.name} gets its unit from rows that trained nothing"
        if isinstance(part.model, GaussianProcess):
            if (most := int(np.isfinite(data.targets).sum(0).max())) > MOST_ROWS:
                return f"{most:,} rows; a Gaussian process takes {MOST_ROWS:,}"
            try:
                setting_of(part.model, data)
            except ConfigError as error:
                return str(error)
    return ""


def parts_of(recipe: Recipe) -> list[Recipe]:
    """Return the recipe of each member, or the recipe itself."""
    if recipe.members is None:
        return [recipe]
    return [member.recipe for member in recipe.members if isinstance(member.recipe, Recipe)]


def seconds_needed(measured: Path, growth: float) -> float:
    """Estimate the seconds of a refit on `growth` times the rows from the seconds that the run took."""
    provenance = json.loads((measured / PROVENANCE).read_text(encoding="utf-8"))

    def again(run: dict[str, Any]) -> float:
        if not run.get("epochs"):
            return float(run["seconds"]) * growth**FITTED_ONCE
        return float(run["seconds"]) * growth * (run["best"]["epoch"] + 1) / run["epochs"]

    if "members" not in provenance:
        return again(provenance)
    before = max(sum(run["seconds"] for run in provenance["members"].values()), 1e-9)
    took = max(before / provenance["jobs"], provenance["wall_seconds"])  # a resumed run has only its last part here
    return took * sum(map(again, provenance["members"].values())) / before


def measured_line(folder: Path, held_out: str, rows: str, reason: str) -> str:
    """Return a sentence: the rows that the held-out figures are of, and the rows that trained the final model."""
    codes = ProteinDataset(folder / DATA, held_out), ProteinDataset(folder / DATA, None if rows == "all" else rows)
    held, fitted = map(len, codes)
    if reason:
        return f"measured on {held:,} held-out rows, which the model was not fitted to; no refit on all rows: {reason}"
    which = f"all {fitted:,} rows" if rows == "all" else f"all {fitted:,} rows but those of the table's own test"
    return f"measured on {held:,} held-out rows by the model before it was refitted on {which}"


def refit_or_keep(recipe: Recipe, run: Session, state: dict[str, Any], left: float) -> str:
    """Refit the measured model if possible, else keep it; return the sentence of `measured_line`.

    Parameters
    ----------
    state : dict: of the run, with "rows" and "held_out". Its "refit" is set to the reason against a refit, or to "";
        a resumed run keeps it.
    left : float: seconds left of the time that the user gave.
    """
    folder = run.folder
    if "refit" not in state:
        state["refit"] = reason_against(recipe, folder, state["rows"], left)
        keep_state(folder, state)
    if not state["refit"]:
        try:
            refit(recipe, run, state["rows"])
        except (Diverged, MemberFailed) as error:
            state["refit"] = str(error)
            keep_state(folder, state)
    if state["refit"]:
        keep_measured(folder)
    line = measured_line(folder, state["held_out"], state["rows"], state["refit"])
    update_facts(folder, measured=line.removeprefix("measured "))
    if not state["refit"]:
        _note(folder / PROVENANCE, {"measured": {"run": MEASURED, "split": state["held_out"], "said": line}})
    return line


def refit_folds(runs: list[Path], run: Session, state: dict[str, Any], costs: list[Cost]) -> str:
    """Train the model of folds on all rows, into the run folder; return "" or why it is not.

    The recipe is that of the last fold, its weights are the means of the folds, and a network ends after the mean of
    their best epochs.

    Parameters
    ----------
    runs : run folders of the folds.
    state : dict: of the run, with "rows". Its "refit" is set as by `refit_or_keep`.
    costs : list of Cost: of the folds.
    """
    folder = run.folder
    told = [json.loads((path / PROVENANCE).read_text(encoding="utf-8")) for path in runs]
    recipe = parse_recipe(told[-1]["configuration"], str(runs[-1]))
    same = [k for k, one in enumerate(told) if one["configuration"] == told[-1]["configuration"]]
    if "refit" not in state:
        rows = ProteinDataset(folder / DATA, None if state["rows"] == "all" else state["rows"])
        growth = len(rows) / len(ProteinDataset(runs[-1] / DATA, "train"))
        needed = sum(own * (growth if epochs else growth**FITTED_ONCE) for own, epochs in costs[-1].members.values())
        state["refit"] = unfit(recipe, folder, state["rows"]) or no_time(needed, run.left())
        keep_state(folder, state)
    if state["refit"]:
        return str(state["refit"])

    def ends(parts: list[dict[str, Any]]) -> int:
        """Return the mean of the best epochs, 0 for what is fitted at once."""
        return round(np.mean([part["best"]["epoch"] + 1 for part in parts])) if parts[0].get("epochs") else 0

    weights, stop = None, dict[str, Any]()
    if recipe.members is not None:
        weights = np.mean([load_facts(runs[k])["weights"] for k in same], 0).tolist()
        own = [list(told[k]["members"].values()) for k in same]  # their folders differ by the seed
        epochs = {name: ends([*parts]) for name, *parts in zip(member_names(recipe, run.seed), *own, strict=True)}
        stop = {"stop": {name: count for name, count in epochs.items() if count}}
    elif count := ends([told[k] for k in same]):
        stop = {"stop": count}
    final = final_recipe(recipe, state["rows"], weights)
    inside = {"inside": True} if recipe.members is not None else {}
    try:
        train(final, folder / DATA, folder, load_task(final.task), seed=run.seed, **stop, **run.options | inside)
    except (Diverged, MemberFailed) as error:
        state["refit"] = str(error)
        keep_state(folder, state)
        remove_run(folder, keep=(CHOICE, REPORT))
    return str(state["refit"])


def keep_state(folder: Path, state: dict[str, Any]) -> None:
    """Write choice.json: the settings of a run and its decisions so far."""
    with write_text(folder / CHOICE) as stream:
        json.dump(state, stream, indent=1)


def _note(path: Path, entries: dict[str, Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) | entries
    with write_text(path) as stream:
        json.dump(content, stream, indent=1, sort_keys=True)
        stream.write("\n")
