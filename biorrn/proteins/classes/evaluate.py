"""Evaluation of predicted classes: metrics, confusion, calibration of probabilities, coverage of sets, baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.compute import device_name
from biorrn.base.errors import InputError
from biorrn.nn.store import WEIGHTS, find_model, is_model, load_facts, load_model
from biorrn.proteins.classes.baselines import ClassProblem, choose, compare
from biorrn.proteins.classes.calibration import Calibrated
from biorrn.proteins.classes.predict import NONE
from biorrn.proteins.evaluate import refit_cautions
from biorrn.proteins.predict import predict
from biorrn.proteins.predicted import UNKNOWN
from biorrn.proteins.predictions import Proteins, read_measured
from biorrn.proteins.uncertainty.conformal import LEVEL
from biorrn.sequences.prediction_files import finite, in_split, prediction_rows
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.classes import BETWEEN
from biorrn.sequences.tables.reader import column_names, is_table
from biorrn.stats.bootstrap import proportion
from biorrn.stats.classification import by_class, confusion, coverage, evaluate, reliability
from biorrn.stats.results import NOTHING_FITTED, common, trained_on

PAIRS = 20  # of classes that are confused most, which are listed


@dataclass(frozen=True, slots=True)
class ClassPredictions:
    """Predictions of each row, in the order of the rows.

    Attributes
    ----------
    called : list of str (N,): the class.
    probability : float64 array (N,).
    sets : list of tuple of str (N,), or None: the classes of each set.
    marks : list of list of str: the flags of each row.
    """

    called: list[str]
    probability: np.ndarray
    sets: list[tuple[str, ...]] | None
    marks: list[list[str]]


def predicted_class(path: str | Path) -> str:
    """Return what a table of predictions, or a model, has the classes of.

    Raises
    ------
    InputError: it has none.
    """
    if is_model(path):
        facts = load_facts(path)
        if facts.get("task") != "classification":
            raise InputError(path, f"is a model for {facts.get('task')}; needed here is one for classification")
        return str(facts["name"])
    names = column_names(path)
    found = [name for name in names if f"{name}_probability" in names]
    if not found:
        raise InputError(path, "has no column of classes with one of probabilities beside it, as biorrn predict writes")
    return found[0]


def join_classes(path: str | Path, rows: Proteins, name: str, prepared: str | Path) -> ClassPredictions:
    """Read a table of classes, as `biorrn predict` writes it, in the order of `rows`; other ids are ignored.

    Raises
    ------
    InputError: a column or an id is missing, an id has two different predictions, or a probability is no number.
    """
    columns, table = prediction_rows(path, ["id", name, f"{name}_probability"])
    given = f"{name}_set" in columns
    wanted, found = set(rows.ids), dict[str, tuple[str, float, str, str]]()
    for row in table:
        id = row["id"]
        if id not in wanted:
            continue
        if not row[name]:
            raise InputError(path, f"column '{name}' is empty: {row.get('flags') or 'no class'}", id)
        own = (row[name], finite(path, row, f"{name}_probability"), row[f"{name}_set"] if given else "")
        entry = (*own, row.get("flags") or "")
        if found.setdefault(id, entry) != entry:
            raise InputError(path, "has two different predictions", id)
    missing = [id for id in rows.ids if id not in found]
    if missing:
        file = Path(prepared).name
        raise InputError(path, f"no prediction for {len(missing):,} of {len(rows):,} rows of {file}", missing[0])
    entries = [found[id] for id in rows.ids]
    return ClassPredictions(
        [entry[0] for entry in entries],
        np.array([entry[1] for entry in entries]),
        [() if entry[2] == NONE else tuple(entry[2].split(BETWEEN)) for entry in entries] if given else None,
        [[mark for mark in entry[3].split(",") if mark.strip(" .-")] for entry in entries],
    )


def run_model(model: str | Path, rows: Proteins, level: float, **settings: Any) -> ClassPredictions:
    """Predict rows with a model of classes; settings as of `proteins.predict.predict_windows`."""
    stored = load_model(model)
    calibrated, names = Calibrated.of(stored.facts, level), stored.facts["classes"]
    assert calibrated is not None
    records = (ProteinRecord(str(name), text) for name, text in zip(rows.ids, rows.sequences(), strict=True))
    found = list(predict(stored, records, level=level, **settings))
    values = np.array([one.values for one in found])
    held = calibrated.sets(values)
    sets = None if held is None else [tuple(names[k] for k in np.flatnonzero(row)) for row in held]
    best = values.argmax(1)
    return ClassPredictions([names[k] for k in best], values.max(1), sets, [one.flags for one in found])


def evaluate_classes(
    predictions: Path,
    prepared: Path,
    *,
    name: str,
    split: str | None = None,
    target: Sequence[str] = (),
    baselines: str = "all",
    note: str = "",
    seed: int = 0,
    threads: int = 1,
    level: float = LEVEL,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return the evaluation of predicted classes, see `stats.results`.

    Rows of a class that the training rows, or the model, do not have are counted in "flagged" alone.

    Parameters
    ----------
    predictions : table of `biorrn predict`; or a model folder or the name of a shipped model, to run on the rows.
    split : of the rows; None is test, of a table all.
    target : NAME=COLUMN: the column of a table that holds the classes NAME.
    baselines : which to fit beside the model: a name of `baselines.SETS`, or names separated by commas.
    level : float: what the sets of the table were made for.
    threads, device : for running the model.

    Raises
    ------
    InputError: a file cannot be used, or the two do not fit together.
    ConfigError: the split's name, a baseline's, or the level cannot be.
    """
    chosen = choose(baselines)
    what = predicted_class(predictions)
    data = read_measured(prepared, [what], target, type="class")
    places = [place for place, entry in enumerate(data.targets) if entry.get("classes") and entry["name"] == what]
    if not places:
        others = ", ".join(entry["name"] for entry in data.targets)
        raise InputError(prepared, f"has the targets {others[:200]}; the predictions are classes of '{what}'")
    classes, values = list(data.targets[places[0]]["classes"]), data.rows.targets[:, places[0]]
    split = split or ("all" if is_table(prepared) else "test")
    known = np.isfinite(values)
    mask = in_split(data, split, prepared) & known
    if not mask.any():
        raise InputError(prepared, f"no row of split '{split}' has a class")
    rows, train = data.rows.select(mask), data.rows.select((data.split == 0) & known)
    true, trained = (values[part].astype(np.int64) for part in (mask, (data.split == 0) & known))
    given = (
        run_model(predictions, rows, level, threads=threads, device=device_name(device))
        if is_model(predictions)
        else join_classes(predictions, rows, what, prepared)
    )
    source = find_model(predictions) / WEIGHTS if is_model(predictions) else predictions
    inputs = {"predictions": source, "prepared": prepared}
    content = common("classification", name, split, note or data.note, seed, inputs)
    content["flags"] = dict(Counter(mark for marks in given.marks for mark in marks))
    content["cautions"] += trained_on(split) if len(train) else []
    if is_model(predictions):
        content["cautions"] += refit_cautions(find_model(predictions), rows)
        if split == "valid":
            content["cautions"].append("Half of the validation rows calibrated the probabilities and the sets.")
    if chosen and not len(train):
        content["cautions"].append(NOTHING_FITTED)
    seen = [classes[k] for k in np.unique(trained)]
    seen = list(load_facts(predictions)["classes"]) if is_model(predictions) else seen or classes
    names = [*classes, *sorted(set(given.called) - set(classes))]
    place_of = {one: place for place, one in enumerate(names)}
    called = np.array([place_of[one] for one in given.called])
    ours = np.isin(np.array(classes, object)[true], np.array(seen, object))
    content["counts"] = {
        "proteins": len(rows),
        "classes": len(np.unique(true)),
        "of classes not trained": int((~ours).sum()),
    }
    content["flagged"] = _flagged(given.marks, ours)
    if not ours.any():
        return content | {"by_class": {}, "confused": [], "confusion": {}, "confidence": {}, "sets": {}}
    truth, found = true[ours], called[ours]
    content["metrics"][what] = evaluate(truth, found, seed=seed)
    if chosen and len(train):
        problem = ClassProblem(train, trained, rows.select(ours), seed)
        content["baselines"][what] = compare(problem, truth, found, chosen)
    table = confusion(truth, found, names)
    content["confidence"] = reliability(truth == found, given.probability[ours], "proteins")
    if given.sets is not None:
        held = np.array([classes[k] in own for k, own in zip(true, given.sets, strict=True)])[ours]
        sizes = np.array([len(own) for own in given.sets])[ours]
        content["sets"] = {"level": level, **coverage(held, sizes), "empty": int((sizes == 0).sum())}
    return content | {"by_class": by_class(truth, found, names), "confused": _confused(table), "confusion": table}


def _flagged(marks: list[list[str]], ours: np.ndarray) -> dict[str, Any]:
    """Return the share of rows flagged as unknown to the model, of its own classes and of others."""
    flagged = np.array([bool(set(own) & set(UNKNOWN)) for own in marks])
    parts = {"known classes": ours, "other classes": ~ours}
    return {key: proportion(int(flagged[part].sum()), int(part.sum())) for key, part in parts.items() if part.any()}


def _confused(table: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """Return the pairs of classes that were confused most: {"true", "predicted", "rows"}."""
    pairs = [
        (true, other, rows) for true, row in table.items() for other, rows in row.items() if rows and other != true
    ]
    pairs.sort(key=lambda pair: (-pair[2], pair[:2]))
    return [{"true": true, "predicted": other, "rows": rows} for true, other, rows in pairs[:PAIRS]]
