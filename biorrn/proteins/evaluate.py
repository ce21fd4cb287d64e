"""Evaluation of predicted properties: metrics, coverage of intervals, baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import InputError
from biorrn.nn.facts import wild_type_of
from biorrn.nn.store import RECIPE, WEIGHTS, find_model, load_facts
from biorrn.proteins.baselines.fit import choose, compare
from biorrn.proteins.compare import rows_trained_on
from biorrn.proteins.predictions import Predictions, Proteins, join, predicted_names, read_measured
from biorrn.proteins.uncertainty.conformal import LEVEL
from biorrn.proteins.uncertainty.coverage import coverage_of, nearest_identity
from biorrn.sequences.prediction_files import in_split
from biorrn.sequences.tables.reader import is_labelled, is_table
from biorrn.stats.metrics import evaluate
from biorrn.stats.results import NO_BASELINE, NOTHING_FITTED, common, trained_on


def seen_cautions(run: Path, rows: Proteins) -> list[str]:
    """Return a caution if the model of a run folder was trained on some of these rows."""
    if not (run / RECIPE).is_file():
        return []
    caution, seen = rows_trained_on(run, rows)
    return [f"{caution}: these numbers do not measure performance on new rows."] if seen else []


def evaluate_regression(
    predictions: Path,
    prepared: Path,
    *,
    name: str,
    split: str | None = None,
    target: Sequence[str] = (),
    wild_type: str | None = None,
    offset: int = 0,
    baselines: str = "all",
    note: str = "",
    seed: int = 0,
    threads: int = 1,
    level: float = LEVEL,
    model: str | None = None,
) -> tuple[dict[str, Any], np.ndarray, Predictions]:
    """Return the evaluation of a table of predictions, and the measured values (N, K) and predictions behind it.

    Parameters
    ----------
    split : of the rows; None is valid, of a table all.
    target, wild_type, offset : of a table, see `proteins.predictions.read_measured`.
    baselines : which to fit beside the model: a name of `baselines.fit.SETS`, or names separated by commas.
    level : float: what the intervals in the table were made for.
    model : str, optional: the model that made them; what it carries gives the coverage at all other levels, and the
        wild type of mutations where none is given.

    Raises
    ------
    InputError: a file cannot be used, or the two do not fit together; see `proteins.predictions`.
    ConfigError: the split's name, or a baseline's, is unknown.
    """
    names = choose(baselines)
    if Path(predictions).is_dir():
        raise InputError(
            predictions, "is a folder; expected a table, that of biorrn predict with the model on these rows"
        )
    predicted = predicted_names(predictions)
    weights = model is not None and (find_model(model) / WEIGHTS).is_file()
    known = wild_type_of(load_facts(model)) if model is not None and weights else ""
    data = read_measured(prepared, predicted, target, wild_type=wild_type, offset=offset, known=known)
    table = is_table(prepared) or is_labelled(prepared)
    split = split or ("all" if table else "valid")
    mask = in_split(data, split, prepared)
    rows, train = data.rows.select(mask), data.rows.select(data.split == 0)
    given = join(predictions, rows, data.targets, prepared)
    content = common(
        "regression", name, split, note or data.note, seed, {"predictions": predictions, "prepared": prepared}
    )
    content |= {"targets": data.targets, "flags": given.flags, "coverage": {}}
    bounded = given.lower is not None
    likeness = nearest_identity(rows, train, seed) if bounded else None
    fits = load_facts(model).get("conformal") or {} if model is not None and bounded else {}
    content["cautions"] += trained_on(split) if len(train) else []
    if model is not None and not (len(train) and split in ("train", "all")):
        content["cautions"] += seen_cautions(find_model(model), rows)
    if model is None and table:
        content["cautions"].append("Whether the model was trained on these rows is unknown; --model MODEL tells.")
    if bounded and split == "valid":
        content["cautions"].append(
            "Intervals are calibrated on validation rows unless `biorrn evaluate calibrate` was given others: on these "
            "rows they hold as often as they should. `biorrn evaluate calibrate` measures them on folds left out."
        )
    if names and not len(train):
        content["cautions"].append(NO_BASELINE if table else NOTHING_FITTED)
    groups = rows.proteins()
    for column, entry in enumerate(data.targets):
        measured, values = rows.targets[:, column], given.values[:, column]
        content["metrics"][entry["name"]] = evaluate(measured, values, seed=seed, groups=groups)
        if bounded:
            content["coverage"][entry["name"]] = coverage_of(
                rows, given, column, level=level, entry=fits.get(entry["name"]), likeness=likeness
            )
        if names and len(train):
            content["baselines"][entry["name"]] = compare(train, rows, values, column, seed, threads, names)
    return content, rows.targets, given
