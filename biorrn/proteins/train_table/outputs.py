"""Files that `train-table` writes into a run folder: predictions, evaluation, figures, report.

The evaluation is of the model before it is refitted to all rows; see `refit`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.terminal import plural
from biorrn.config.recipe import adapted, load_recipe
from biorrn.nn.store import RECIPE, load_facts, load_model
from biorrn.proteins.classes.evaluate import evaluate_classes
from biorrn.proteins.classes.figures import class_figures
from biorrn.proteins.classes.predict import open_classes
from biorrn.proteins.evaluate import evaluate_regression
from biorrn.proteins.figures import regression_figures
from biorrn.proteins.predict import open_predictions, predict
from biorrn.proteins.predicted import Predicted, Prediction
from biorrn.proteins.predictions import Predictions, Proteins, join, read_prepared, rows_in
from biorrn.proteins.uncertainty import conformal
from biorrn.sequences.embeddings import wanted
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.prepared.summary import account, write_account
from biorrn.sequences.records import ProteinRecord
from biorrn.stats.bootstrap import estimate
from biorrn.stats.figures import Drawing, save_drawings
from biorrn.stats.metrics import METRICS, RESAMPLED, known_groups, paired
from biorrn.stats.results import summary_lines, write_result
from biorrn.training.checkpoint import MEMBERS

DATA, PREPARE, PREDICTIONS = "data.h5", "prepare.json", "predictions.tsv"
OUT_OF_FOLD = "out_of_fold.tsv"  # of rows by models of folds that did not see them
EVALUATION, REPORT_FILE, FIGURES = "evaluation.json", "report.html", "figures"
Say = Callable[[str], None]
Report = Callable[[Path, list[Path], list[Path], list[Path], str], None]  # see `report.page.write_report`


@dataclass(frozen=True, slots=True)
class Session:
    """One call of `train-table`.

    Attributes
    ----------
    folder : the run folder.
    options : of `training.train.train`: "device", "threads" and, if members train in this process, "inside".
    device : torch device of predictions.
    say : takes each line of progress.
    report : writes the HTML report, see `report.page.write_report`.
    until : float: end of the time that the user gave, by the monotonic clock.
    """

    folder: Path
    seed: int
    options: dict[str, Any]
    device: torch.device
    say: Say
    report: Report
    until: float = math.inf

    def left(self) -> float:
        """Return the seconds left of the time that the user gave, below 0 after its end."""
        return self.until - time.monotonic()


def predicted(folder: Path, rows: Proteins, device: torch.device | str = "cpu") -> list[Prediction]:
    """Predict rows, in order, with the model of a folder."""
    records = (ProteinRecord(str(name), text) for name, text in zip(rows.ids, rows.sequences(), strict=True))
    return list(predict(load_model(folder), records, device=device))


def write_predictions(
    path: Path, predictions: list[Prediction], names: list[str], fold: np.ndarray | None = None
) -> None:
    """Write a table of predictions, with intervals if they have any, and the fold of each row (N,) if given."""
    bounded = bool(predictions) and predictions[0].lower is not None
    with open_predictions(path, names, intervals=bounded, carried=() if fold is None else ("fold",)) as write:
        if fold is not None:
            predictions = [replace(row, cells=(str(own),)) for row, own in zip(predictions, fold, strict=True)]
        if predictions:
            write(Predicted.of(predictions))


def coverage(rows: Proteins, names: list[str], found: list[Prediction]) -> list[str]:
    """Return the coverage of the intervals, one line per target."""
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


def evaluate_run(
    run: Session, model: Path, held_out: str, calibrated: bool, cautions: list[str], positions: dict[str, Any]
) -> None:
    """Evaluate the model of a run on the rows held out, and write the report.

    Parameters
    ----------
    model : folder of the model before the refit.
    calibrated : bool: the rows held out calibrate the intervals; each then has the interval from the other folds.
    cautions : which rows the figures are of.
    positions : see `add_positions`.
    """
    folder = run.folder
    data = read_prepared(folder / DATA)
    names = [str(target["name"]) for target in data.targets]
    rows = data.rows.select(data.split == SPLITS.index(held_out))
    found = predicted(model, rows, run.device)
    if calibrated:
        found = with_own_intervals(rows, found)
    write_predictions(folder / PREDICTIONS, found, names)
    content, true, given = evaluate_regression(
        folder / PREDICTIONS,
        folder / DATA,
        name=folder.name,
        split=held_out,
        seed=run.seed,
        threads=run.options["threads"],
    )
    if held_out == "valid":
        content["cautions"].append(
            "No rows are kept for a test: these rows also chose the best epoch and the weights of the members."
        )
    content["cautions"] += with_and_without(run, model, rows, names, found)
    content["cautions"] += cautions + unproven(folder, content)
    add_positions(content, positions)
    write_pages(run, content, true, given, model)


def held_out_score(folder: Path, content: Mapping[str, Any], target: str) -> dict[str, Any]:
    """Return Spearman's correlation of a run on rows that its models did not see, as `stats.bootstrap.estimate`.

    Those are the rows outside each fold where folds calibrated the intervals, which are most rows; else the rows held
    out. Empty for an unknown target.

    Parameters
    ----------
    content : the evaluation of the run.
    """
    scores = dict(content.get("metrics", {}).get(target, {}).get("spearman", {}))
    path = folder / OUT_OF_FOLD
    if content.get("folds") or not path.is_file() or not scores:
        return scores
    data = read_prepared(folder / DATA)
    rows = data.rows.select(rows_in(path, data.rows))
    place = [str(one["name"]) for one in data.targets].index(target)
    values = join(path, rows, data.targets, folder / DATA).values[:, place]
    measured = rows.targets[:, place]
    groups = known_groups(rows.proteins(), measured)
    return estimate(RESAMPLED["spearman"], *paired(measured, values), groups=groups) | {"out_of_fold": True}


def ranks(score: Mapping[str, Any]) -> bool:
    """Return whether a correlation is shown to be above 0, by its interval."""
    return bool(score.get("low") is not None and score["low"] > 0)


def shown(score: Mapping[str, Any]) -> str:
    """Return a correlation as text.

    >>> shown({"value": 0.61, "low": 0.2, "high": 0.8, "n": 41})
    'Spearman 0.61 (95 % interval 0.20 to 0.80, 41 rows)'
    >>> shown({"value": None, "low": None, "high": None, "n": 1, "out_of_fold": True})
    'Spearman undefined (of fewer than two or equal values, 1 row out of fold)'
    """
    value, low, high = (float("nan") if score[key] is None else score[key] for key in ("value", "low", "high"))
    rows = plural(score["n"], "row") + (" out of fold" if score.get("out_of_fold") else "")
    if not np.isfinite(value):
        return f"Spearman undefined (of fewer than two or equal values, {rows})"
    return f"Spearman {value:.2f} (95 % interval {low:.2f} to {high:.2f}, {rows})"


def unproven(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """Return a caution for each target that the model is not shown to rank."""
    scores = {name: held_out_score(folder, content, name) for name in content["metrics"]}
    return [
        f"{name}: {shown(score)} on rows that the model did not see: nothing shows that it ranks new proteins, and "
        "choosing by its predictions may be no better than chance."
        for name, score in scores.items()
        if score and not ranks(score)
    ]


def add_positions(content: dict[str, Any], positions: dict[str, Any]) -> None:
    """Add the scores at new positions to an evaluation; `positions` is what `positions.measure_positions` returned."""
    if positions.get("line"):
        content["cautions"].append(positions["line"])
    if positions.get("scores"):
        content["positions"] = positions["scores"]


def evaluate_class_run(
    run: Session, model: Path, held_out: str, cautions: list[str], embeddings: str | None = None
) -> None:
    """Evaluate the model of classes of a run on the rows held out, and write predictions and report.

    Parameters as of `evaluate_run`; `embeddings` is the file that the model reads, if any.
    """
    folder = run.folder
    data, stored = read_prepared(folder / DATA), load_model(model)
    rows = data.rows.select(data.split == SPLITS.index(held_out))
    with open_classes(folder / PREDICTIONS, stored.facts, conformal.LEVEL) as write:
        write(Predicted.of(predicted(model, rows, run.device)))
    content = evaluate_classes(
        folder / PREDICTIONS,
        folder / DATA,
        name=folder.name,
        split=held_out,
        seed=run.seed,
        level=conformal.LEVEL,
        embeddings=embeddings,
    )
    content["cautions"] += cautions
    _write_pages(run, content, class_figures(content), model)


def with_and_without(run: Session, model: Path, rows: Proteins, names: list[str], found: list[Prediction]) -> list[str]:
    """Return a line a target: the score of the members of each kind, and of all, on the same rows.

    Kinds are members on embeddings, with adapters of a language model, and on sequences; those of a kind are joined by
    their weights in the ensemble. Where all members are of one kind there is no line.
    """
    stored = load_model(model)
    runs = sorted(path for path in (model / MEMBERS).glob("*") if path.is_dir())
    recipes = [load_recipe(path / RECIPE) for path in runs]
    reads = np.array([bool(wanted(recipe)) for recipe in recipes], bool)
    tuned = np.array([bool(adapted(recipe)) for recipe in recipes], bool)
    kinds = {"on embeddings": reads, "with adapters": tuned, "on sequences": ~reads & ~tuned}
    kinds = {name: own for name, own in kinds.items() if own.any()}
    if len(kinds) < 2:
        return []
    values = np.array([[row.values for row in predicted(path, rows, run.device)] for path in runs])  # (M, N, K)
    weights = np.array(stored.facts["weights"])  # (M, K)
    lines = []
    for k, name in enumerate(names):
        scores = []
        for said, kind in kinds.items():
            own = weights[kind, k]
            own = own / own.sum() if own.sum() > 0 else np.full(len(own), 1 / len(own))
            score = METRICS["spearman"](*paired(rows.targets[:, k], own @ values[kind, :, k]))
            scores.append(f"{score:.3f} of the {plural(int(kind.sum()), 'member')} {said}")
        true, ours = paired(rows.targets[:, k], np.array([row.values[k] for row in found]))
        whole = METRICS["spearman"](true, ours)
        lines.append(
            f"{name}: Spearman on the same {len(true):,} rows: {', '.join(scores)}, {whole:.3f} of all together"
        )
    return lines


def with_own_intervals(rows: Proteins, found: list[Prediction]) -> list[Prediction]:
    """Replace the intervals of rows that calibrate them with intervals calibrated on the other folds."""
    values = np.array([row.values for row in found])
    spread = None if found[0].spread is None else np.array([row.spread for row in found])
    half = np.full_like(values, np.nan)
    for k in range(values.shape[1]):
        own = conformal.cross_half_widths(rows.targets[:, k], values[:, k], None if spread is None else spread[:, k])
        half[:, k] = np.nan if own is None else own
    ends = zip(found, values - half, values + half, strict=True)
    return [replace(row, lower=low, upper=high) for row, low, high in ends]


def write_pages(
    run: Session, content: dict[str, Any], true: np.ndarray, given: Predictions, model: Path | None = None
) -> None:
    """Write evaluation.json, its figures, prepare.json and report.html into the run folder, and print the summary.

    Parameters
    ----------
    model : folder of the model that the report shows; default: the run folder.
    """
    _write_pages(run, content, regression_figures(content, true, given.values, given.lower, given.upper), model)


def _write_pages(run: Session, content: dict[str, Any], drawings: list[Drawing], model: Path | None) -> None:
    folder, result = run.folder, run.folder / EVALUATION
    content["figures"] = save_drawings(drawings, folder / FIGURES, result)
    write_result(result, content)
    write_account(folder / PREPARE, account(folder / DATA, {}, content["note"]))
    run.report(
        folder / REPORT_FILE,
        [result],
        [model or folder],
        [folder / PREPARE],
        f"biorrn: {', '.join(content['metrics'])}",
    )
    for line in summary_lines(content):
        run.say(line)


def next_lines(folder: Path, base: str | None = None) -> list[str]:
    """Return the lines with the next commands for the model; `base` is a language model whose adapters it may have."""
    recipe = load_recipe(folder / RECIPE)
    if wanted(recipe) or adapted(recipe):
        given = base if base and adapted(recipe) else "proteins.h5"
        return [
            f"report: {folder / REPORT_FILE}; the model is the folder {folder}. Next:",
            f"  biorrn predict {folder} proteins.fasta --embeddings {given} -o predictions.tsv",
        ]
    lines = [
        f"report: {folder / REPORT_FILE}; the model is the folder {folder}. Next:",
        f"  biorrn predict {folder} proteins.fasta -o predictions.tsv",
    ]
    if load_facts(folder).get("task") == "classification":
        return lines
    return [
        *lines,
        f"  biorrn scan {folder} protein.fasta -o scan.tsv",
        f"  biorrn explain {folder} protein.fasta -o explained.tsv",
    ]
