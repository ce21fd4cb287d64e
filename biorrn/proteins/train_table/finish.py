"""The final model of a user's own table: what was chosen and measured is fitted again, to all rows.

The held-out figures are those of the model before that, which stays in the folder `measured` of the run. A network is
trained by the same recipe with the same schedule, and ends after as many epochs as were best: the rows that chose this
number train now, so that none is left to choose another (Goodfellow, Bengio and Courville 2016, Deep Learning,
algorithm 7.2). The epochs are not scaled: each row is seen as often as it was. Gaussian processes and forests are
fitted again with the same settings, and the weights of an ensemble stay. Intervals stay too: their residuals are those
of models that did not see the row, and a model of more rows errs rather less. With folds nothing is fitted again: each
row has trained all folds but one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import GaussianProcess, Model, Recipe, parse_recipe
from biorrn.nn.store import RECIPE, WEIGHTS, load_facts, load_model, update_facts
from biorrn.proteins.evaluate import evaluate_regression
from biorrn.proteins.figures import regression_figures
from biorrn.proteins.predict import Prediction, open_predictions, predict
from biorrn.proteins.predictions import Predictions, Proteins, read_prepared
from biorrn.proteins.task import LOSSES
from biorrn.proteins.uncertainty import conformal
from biorrn.sequences.alphabets import sequence
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.prepared.summary import account, write_account
from biorrn.sequences.records import ProteinRecord
from biorrn.stats.figures import save_drawings
from biorrn.stats.results import summary_lines, write_result
from biorrn.training.batches import ProteinDataset
from biorrn.training.checkpoint import CHOICE, PROVENANCE, REPORT, WARNINGS, remove_run
from biorrn.training.ensemble import MemberFailed
from biorrn.training.gaussian import MOST_ROWS, setting_of
from biorrn.training.task import Diverged, complete, load_task
from biorrn.training.train import train

DATA, PREPARE, PREDICTIONS = "data.h5", "prepare.json", "predictions.tsv"
EVALUATION, REPORT_FILE, FIGURES = "evaluation.json", "report.html", "figures"
Say = Callable[[str], None]
Report = Callable[[Path, list[Path], list[Path], list[Path], str], None]  # see `report.page.write_report`


def predicted(folder: Path, rows: Proteins, device: torch.device | str = "cpu") -> list[Prediction]:
    """Return what the model of a folder says of each row, in order."""
    ends = np.cumsum(rows.lengths)
    records = (
        ProteinRecord(str(name), sequence(rows.tokens[end - size : end]))
        for name, end, size in zip(rows.ids, ends, rows.lengths, strict=True)
    )
    return list(predict(load_model(folder), records, device=device))


def write_predictions(
    path: Path, predictions: list[Prediction], names: list[str], fold: np.ndarray | None = None
) -> None:
    """Write a table of predictions, with intervals where there are any, and a column of the fold of each row (N,)."""
    bounded = bool(predictions) and predictions[0].lower is not None
    with open_predictions(path, names, intervals=bounded, carried=() if fold is None else ("fold",)) as write:
        for place, row in enumerate(predictions):
            write(row if fold is None else replace(row, cells=(str(fold[place]),)))


def coverage(rows: Proteins, names: list[str], found: list[Prediction]) -> list[str]:
    """Return a line a target: how often the interval holds the measured value."""
    lines = []
    for place, name in enumerate(names):
        ends = [
            (row.lower[place] <= true <= row.upper[place], row.upper[place] - row.lower[place])
            for row, true in zip(found, rows.targets[:, place], strict=True)
            if row.lower is not None and row.upper is not None and np.isfinite(true) and np.isfinite(row.lower[place])
        ]
        if ends:
            held, width = np.mean(np.array(ends, float), axis=0)
            lines.append(
                f"{name}: {100 * held:.0f} % of {len(ends):,} measured values lie in their "
                f"{100 * conformal.LEVEL:.0f} % interval, {width:.3g} wide in the mean"
            )
    return lines


def finish_run(
    folder: Path,
    model: Path,
    held_out: str,
    calibrated: bool,
    seed: int,
    threads: int,
    device: torch.device,
    said: str,
    say: Say,
    report: Report,
) -> None:
    """Evaluate the model of a run on the rows held out, and write the report.

    Parameters
    ----------
    model : Path: of the model as it was before it was fitted to all rows.
    said : str: which rows the figures are of, for the reader.
    calibrated : bool: the rows held out calibrate the intervals; each then has the interval that the others give it.
    """
    data = read_prepared(folder / DATA)
    names = [str(target["name"]) for target in data.targets]
    rows = data.rows.select(data.split == SPLITS.index(held_out))
    found = predicted(model, rows, device)
    if calibrated:
        found = with_own_intervals(rows, found)
    write_predictions(folder / PREDICTIONS, found, names)
    content, true, given = evaluate_regression(
        folder / PREDICTIONS, folder / DATA, name=folder.name, split=held_out, seed=seed, threads=threads
    )
    if held_out == "valid":
        content["cautions"].append(
            "No rows are kept for a test: these rows also chose the best epoch and the weights of the members."
        )
    else:
        content["cautions"] += coverage(rows, names, found)
    content["cautions"].append(said)
    write_pages(folder, content, true, given, say, report, model)


def with_own_intervals(rows: Proteins, found: list[Prediction]) -> list[Prediction]:
    """Return predictions of rows that calibrate the intervals, each with the interval that the other folds give it."""
    values = np.array([row.values for row in found])
    spread = None if found[0].spread is None else np.array([row.spread for row in found])
    half = np.full_like(values, np.nan)
    for k in range(values.shape[1]):
        own = conformal.cross_half_widths(rows.targets[:, k], values[:, k], None if spread is None else spread[:, k])
        half[:, k] = np.nan if own is None else own
    ends = zip(found, values - half, values + half, strict=True)
    return [replace(row, lower=low, upper=high) for row, low, high in ends]


def write_pages(
    folder: Path,
    content: dict[str, Any],
    true: np.ndarray,
    given: Predictions,
    say: Say,
    report: Report,
    model: Path | None = None,
) -> None:
    """Write evaluation.json, its figures, prepare.json and report.html into a run folder, and say what came out.

    Parameters
    ----------
    model : Path, optional: the run that the report shows, where it is not that of the folder.
    """
    result = folder / EVALUATION
    drawings = regression_figures(content, true, given.values, given.lower, given.upper)
    content["figures"] = save_drawings(drawings, folder / FIGURES, result)
    write_result(result, content)
    write_account(folder / PREPARE, account(folder / DATA, {}, content["note"]))
    report(
        folder / REPORT_FILE,
        [result],
        [model or folder],
        [folder / PREPARE],
        f"biorrn: {', '.join(content['metrics'])}",
    )
    for line in summary_lines(content):
        say(line)


def next_lines(folder: Path) -> list[str]:
    """Return what can be done with the model now."""
    return [
        f"report: {folder / REPORT_FILE}; the model is the folder {folder}. Next:",
        f"  biorrn predict {folder} proteins.fasta -o predictions.tsv",
        f"  biorrn scan {folder} protein.fasta -o scan.tsv",
        f"  biorrn explain {folder} protein.fasta -o explained.tsv",
    ]


MEASURED = "measured"  # folder of the model that was chosen and measured
FITTED_ONCE = 3.0  # the time of a Gaussian process or forest grows with this power of the rows, at the most


def refit(recipe: Recipe, folder: Path, rows: str, seed: int, options: dict[str, Any]) -> None:
    """Train the measured model of a run again on more of its rows, into the run folder itself.

    Parameters
    ----------
    recipe : what the measured model was trained by.
    folder : the run folder, with its prepared file and the run `MEASURED`. A killed refit is taken up.
    rows : "all" or "train+valid", as of the key `training.rows` of a recipe.
    options : device, threads and, of an ensemble, `inside`, for training.

    Raises
    ------
    Diverged, MemberFailed: it cannot be trained on these rows.
    """
    measured = folder / MEASURED
    told = json.loads((measured / PROVENANCE).read_text(encoding="utf-8"))
    final = final_recipe(recipe, rows, load_facts(measured).get("weights"))
    stop: dict[str, Any] = {}
    if recipe.members is not None:
        ends = {name: own["best"]["epoch"] + 1 for name, own in told["members"].items() if own.get("epochs")}
        stop = {"stop": ends}
    elif told.get("epochs"):
        stop = {"stop": told["best"]["epoch"] + 1}
    train(final, folder / DATA, folder, load_task("regression"), seed=seed, **stop, **options)
    known = {"conformal": load_facts(measured).get("conformal") or {}}
    complete("regression", folder, folder / DATA, device=options["device"], **known)


def ship_measured(folder: Path) -> None:
    """Make the measured model the model of the run folder, in place of a refit."""
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
    """Return why a measured model is not fitted again; "" where it is.

    Parameters
    ----------
    left : float: seconds of the time that the user gave.
    """
    if recipe.calibrate != "none" or recipe.neighbours is not None:
        return f"recipe {recipe.name} calibrates its values by rows that trained nothing"
    data = ProteinDataset(folder / DATA, None if rows == "all" else rows)
    for part in parts_of(recipe):
        if isinstance(part.model, Model) and LOSSES[part.training.loss].point is None:
            return f"recipe {part.name} gets its unit from rows that trained nothing"
        if isinstance(part.model, GaussianProcess):
            if (most := int(np.isfinite(data.targets).sum(0).max())) > MOST_ROWS:
                return f"{most:,} rows; a Gaussian process takes {MOST_ROWS:,}"
            try:
                setting_of(part.model, data)
            except ConfigError as error:
                return str(error)
    needed = seconds_needed(folder / MEASURED, len(data) / len(ProteinDataset(folder / DATA, "train")))
    if needed > left:
        return f"it takes about {needed:.0f} s, and --max-minutes leaves {max(0.0, left):.0f} s"
    return ""


def parts_of(recipe: Recipe) -> list[Recipe]:
    """Return the recipe of each member, or the recipe itself."""
    if recipe.members is None:
        return [recipe]
    return [member.recipe for member in recipe.members if isinstance(member.recipe, Recipe)]


def seconds_needed(measured: Path, growth: float) -> float:
    """Return about how long a run takes again, by the time that it took, with `growth` times the rows."""
    told = json.loads((measured / PROVENANCE).read_text(encoding="utf-8"))

    def again(run: dict[str, Any]) -> float:
        if not run.get("epochs"):
            return float(run["seconds"]) * growth**FITTED_ONCE
        return float(run["seconds"]) * growth * (run["best"]["epoch"] + 1) / run["epochs"]

    if "members" not in told:
        return again(told)
    before = max(sum(run["seconds"] for run in told["members"].values()), 1e-9)
    took = max(before / told["jobs"], told["wall_seconds"])  # the last may be that of a part of the run alone
    return took * sum(map(again, told["members"].values())) / before


def measured_line(folder: Path, held_out: str, rows: str, reason: str) -> str:
    """Return the sentence on which rows the held-out figures are of, and which rows trained the model of the folder."""
    codes = ProteinDataset(folder / DATA, held_out), ProteinDataset(folder / DATA, None if rows == "all" else rows)
    held, fitted = map(len, codes)
    if reason:
        return f"measured on {held:,} held-out rows, which the model was not fitted to; no refit on all rows: {reason}"
    which = f"all {fitted:,} rows" if rows == "all" else f"all {fitted:,} rows but those of the table's own test"
    return f"measured on {held:,} held-out rows by the model before it was refitted on {which}"


def settle(recipe: Recipe, folder: Path, state: dict[str, Any], left: float, seed: int, options: dict[str, Any]) -> str:
    """Fit the measured model again where it can be, else take it as it is; return the sentence of `measured_line`.

    Parameters
    ----------
    state : dict: of the run, with "rows" and "held_out"; "refit" is set, the reason against one or "", and stays as it
        is in a run that is taken up.
    """
    if "refit" not in state:
        state["refit"] = reason_against(recipe, folder, state["rows"], left)
        keep_state(folder, state)
    if not state["refit"]:
        try:
            refit(recipe, folder, state["rows"], seed, options)
        except (Diverged, MemberFailed) as error:
            state["refit"] = str(error)
            keep_state(folder, state)
    if state["refit"]:
        ship_measured(folder)
    line = measured_line(folder, state["held_out"], state["rows"], state["refit"])
    update_facts(folder, measured=line.removeprefix("measured "))
    if not state["refit"]:
        _note(folder / PROVENANCE, {"measured": {"run": MEASURED, "split": state["held_out"], "said": line}})
    return line


def keep_state(folder: Path, state: dict[str, Any]) -> None:
    """Write what a run was begun with and has decided since."""
    from biorrn.base.files import write_text

    with write_text(folder / CHOICE) as stream:
        json.dump(state, stream, indent=1)


def _note(path: Path, entries: dict[str, Any]) -> None:
    from biorrn.base.files import write_text

    content = json.loads(path.read_text(encoding="utf-8")) | entries
    with write_text(path) as stream:
        json.dump(content, stream, indent=1, sort_keys=True)
        stream.write("\n")
