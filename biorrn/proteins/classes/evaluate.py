"""Evaluation of predicted classes: metrics, confusion, calibration of probabilities, coverage of sets, baselines.

Where a protein may have several classes, a row has a set of them, and the metrics are those of `stats.labels`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.compute import device_name
from biorrn.base.errors import InputError
from biorrn.nn.facts import wild_type_of
from biorrn.nn.store import WEIGHTS, Stored, find_model, is_model, load_facts
from biorrn.proteins.classes.baselines import ClassProblem, choose, compare
from biorrn.proteins.classes.calibration import SEEN, Calibrated, kept
from biorrn.proteins.classes.predict import NONE
from biorrn.proteins.evaluate import seen_cautions
from biorrn.proteins.predict import load_for, open_embeddings, predict
from biorrn.proteins.predicted import UNKNOWN
from biorrn.proteins.predictions import Proteins, read_measured
from biorrn.proteins.uncertainty.conformal import LEVEL
from biorrn.sequences import embeddings as vectors
from biorrn.sequences.prediction_files import finite, in_split, prediction_rows
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.classes import BETWEEN, labels_of
from biorrn.sequences.tables.reader import column_names, is_labelled, is_table
from biorrn.stats import labels as sets_of_labels
from biorrn.stats.bootstrap import estimate, proportion
from biorrn.stats.classification import by_class, confusion, coverage, evaluate, reliability
from biorrn.stats.results import NO_BASELINE, NOTHING_FITTED, common, trained_on

PAIRS = 20  # of classes that are confused most, which are listed


@dataclass(frozen=True, slots=True)
class ClassPredictions:
    """Predictions of each row, in the order of the rows.

    Attributes
    ----------
    called : list of tuple of str (N,): the classes that were predicted; one each, where a protein has one.
    probability : list of dict (N,): the probability of these, and of others that are listed.
    sets : list of tuple of str (N,), or None: the classes of each set.
    marks : list of list of str: the flags of each row.
    """

    called: list[tuple[str, ...]]
    probability: list[dict[str, float]]
    sets: list[tuple[str, ...]] | None
    marks: list[list[str]]


def predicted_class(path: str | Path) -> str:
    """Return what a table of predictions, or a model, has the classes of.

    Raises
    ------
    InputError: it has none.
    """
    return _predicted(path)[0]


def _predicted(path: str | Path) -> tuple[str, bool]:
    """Return what the classes are of, and whether a protein may have several."""
    if is_model(path):
        facts = load_facts(path)
        if facts.get("task") != "classification":
            raise InputError(path, f"is a model for {facts.get('task')}; needed here is one for classification")
        return str(facts["name"]), bool(facts.get("sets"))
    names = column_names(path)
    for several, ending in ((False, "probability"), (True, "probabilities")):
        for name in names:
            if f"{name}_{ending}" in names:
                return name, several
    raise InputError(path, "has no column of classes with one of probabilities beside it, as biorrn predict writes")


def _listed(cell: str) -> tuple[str, ...]:
    return () if cell in (NONE, "") else tuple(cell.split(BETWEEN))


def join_classes(
    path: str | Path, rows: Proteins, name: str, prepared: str | Path, several: bool = False
) -> ClassPredictions:
    """Read a table of classes, as `biorrn predict` writes it, in the order of `rows`; other ids are ignored.

    Raises
    ------
    InputError: a column or an id is missing, an id has two different predictions, or a probability is no number.
    """
    sure = f"{name}_{'probabilities' if several else 'probability'}"
    columns, table = prediction_rows(path, ["id", name, sure])
    given = f"{name}_set" in columns
    wanted, found = set(rows.ids), dict[str, tuple[str, ...]]()
    for row in table:
        id = row["id"]
        if id not in wanted:
            continue
        if not row[name]:
            raise InputError(path, f"column '{name}' is empty: {row.get('flags') or 'no class'}", id)
        if not several:
            finite(path, row, sure)
        entry = (row[name], row[sure], row[f"{name}_set"] if given else "", row.get("flags") or "")
        if found.setdefault(id, entry) != entry:
            raise InputError(path, "has two different predictions", id)
    missing = [id for id in rows.ids if id not in found]
    if missing:
        file = Path(prepared).name
        raise InputError(path, f"no prediction for {len(missing):,} of {len(rows):,} rows of {file}", missing[0])
    entries = [found[id] for id in rows.ids]

    def probabilities(id: str, called: str, cell: str) -> dict[str, float]:
        if not several:
            return {called: float(cell)}
        pairs = [part.rpartition("=") for part in _listed(cell)]
        try:
            return {label: float(number) for label, _, number in pairs}
        except ValueError:
            raise InputError(path, f"column '{sure}': found {cell[:60]!r}; allowed is name=number;...", id) from None

    return ClassPredictions(
        [_listed(entry[0]) if several else (entry[0],) for entry in entries],
        [probabilities(id, *entry[:2]) for id, entry in zip(rows.ids, entries, strict=True)],
        [_listed(entry[2]) for entry in entries] if given else None,
        [[mark for mark in entry[3].split(",") if mark.strip(" .-")] for entry in entries],
    )


def run_model(stored: Stored, rows: Proteins, level: float, **settings: Any) -> ClassPredictions:
    """Predict rows with a model of classes; settings as of `proteins.predict.predict_windows`."""
    calibrated, names = Calibrated.of(stored.facts, level), stored.facts["classes"]
    assert calibrated is not None
    records = (ProteinRecord(str(name), text) for name, text in zip(rows.ids, rows.sequences(), strict=True))
    found = list(predict(stored, records, level=level, **settings))
    values = np.array([one.values for one in found])

    def listed(held: np.ndarray) -> list[tuple[str, ...]]:
        return [tuple(names[k] for k in np.flatnonzero(row)) for row in held]

    held, several = calibrated.sets(values), bool(stored.facts.get("sets"))
    called = listed(calibrated.called(values))
    if several:
        sure = [dict(zip(names, row.tolist(), strict=True)) for row in values]
    else:
        sure = [{own[0]: float(row.max())} for own, row in zip(called, values, strict=True)]
    return ClassPredictions(called, sure, None if held is None else listed(held), [one.flags for one in found])


def _reads(predictions: Path, given: str | None, rows: Proteins, device: str) -> tuple[Stored | None, Any]:
    """Open the embeddings, and return the model, if it is one, with width and language model of what is read."""
    stored = load_for(predictions, given) if is_model(predictions) else None
    if stored is not None and (reads := vectors.wanted(stored.recipe)):
        sources, found = open_embeddings(stored, given, device), reads[0][:2]
    elif given is None:
        return stored, None
    else:
        from biorrn.proteins.plm import LanguageModel, is_plm

        if is_plm(given):
            live = LanguageModel.load(given, device)
            vectors.use_live(live)
            return stored, (live.width, live.model)
        sources = [vectors.use(given)]
        found = (sources[0].width, sources[0].model)
    for source in sources:
        for id, text in zip(rows.ids, rows.sequences(), strict=True):
            if not source.join(str(id), text):
                raise InputError(source.path, "holds no embedding of it; --embeddings needs one of each row", str(id))
    return stored, found


def evaluate_classes(
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
    device: str = "cpu",
    embeddings: str | None = None,
) -> dict[str, Any]:
    """Return the evaluation of predicted classes, see `stats.results`.

    Rows of a class that the training rows, or the model, do not have are counted in "flagged" alone; of sets, such a
    class is left out of the set, and rows without another are.

    Parameters
    ----------
    predictions : table of `biorrn predict`; or a model folder or the name of a shipped model, to run on the rows.
    split : of the rows; None is test, of a table all.
    target : NAME=COLUMN: the column of a table that holds the classes NAME.
    wild_type, offset : of a table of mutations, see `proteins.predictions.read_measured`.
    baselines : which to fit beside the model: a name of `baselines.SETS`, or names separated by commas.
    level : float: what the sets of the table were made for.
    threads, device : for running the model.
    embeddings : str, optional: of the rows, for a model that reads them and for baselines; a file or language model.

    Raises
    ------
    InputError: a file cannot be used, or the two do not fit together.
    ConfigError: the split's name, a baseline's, or the level cannot be; or the model needs embeddings.
    """
    choose(baselines, embedded=True)
    what, several = _predicted(predictions)
    kind = "set" if several else "class"
    of_model = wild_type_of(load_facts(predictions)) if is_model(predictions) else ""
    data = read_measured(prepared, [what], target, wild_type=wild_type, offset=offset, known=of_model, type=kind)
    places = [place for place, entry in enumerate(data.targets) if entry.get("classes") and entry["name"] == what]
    if not places:
        others = ", ".join(entry["name"] for entry in data.targets)
        raise InputError(prepared, f"has the targets {others[:200]}; the predictions are classes of '{what}'")
    if data.targets[places[0]].get("sets") and not several:
        raise InputError(prepared, f"holds sets of classes of '{what}'; the predictions are one class a protein")
    classes, values = list(data.targets[places[0]]["classes"]), data.rows.targets[:, places[0]]
    table = is_table(prepared) or is_labelled(prepared)
    split = split or ("all" if table else "test")
    known = np.isfinite(values)
    mask = in_split(data, split, prepared) & known
    if not mask.any():
        raise InputError(prepared, f"no row of split '{split}' has a class")
    where = device_name(device)
    stored, reads = _reads(predictions, embeddings, data.rows.select(mask | ((data.split == 0) & known)), where)
    chosen = choose(baselines, embedded=reads is not None)
    rows, train = data.rows.select(mask), data.rows.select((data.split == 0) & known)
    given = (
        join_classes(predictions, rows, what, prepared, several)
        if stored is None
        else run_model(stored, rows, level, threads=threads, device=where)
    )
    source = find_model(predictions) / WEIGHTS if stored is not None else predictions
    inputs = {"predictions": source, "prepared": prepared}
    content = common("classification", name, split, note or data.note, seed, inputs)
    content["flags"] = dict(Counter(mark for marks in given.marks for mark in marks))
    content["cautions"] += trained_on(split) if len(train) else []
    if stored is not None:
        if not (len(train) and split in ("train", "all")):
            content["cautions"] += seen_cautions(find_model(predictions), rows)
        if split == "valid":
            content["cautions"].append("Half of the validation rows calibrated the probabilities and the sets.")
    if chosen and not len(train):
        content["cautions"].append(NO_BASELINE if table else NOTHING_FITTED)
    true, trained = (values[part].astype(np.int64) for part in (mask, (data.split == 0) & known))
    learned = None if stored is None else list(stored.facts["classes"])
    scored = _Scored(what, classes, true, trained, learned, given, level, seed)
    problem = None
    if chosen and len(train):
        problem = lambda kept_rows, own: ClassProblem(train, own, rows.select(kept_rows), seed, reads)  # noqa: E731
    return content | (_several if several else _one)(scored, content, chosen, problem)


@dataclass(frozen=True, slots=True)
class _Scored:
    """What is evaluated: true values of the rows (N,) and the training rows, as indices of `classes`; predictions."""

    what: str
    classes: list[str]
    true: np.ndarray
    trained: np.ndarray
    learned: list[str] | None  # by a model; of a table the classes of the training rows, if there are any
    given: ClassPredictions
    level: float
    seed: int


def _one(
    scored: _Scored, content: dict[str, Any], chosen: Sequence[str], problem: Callable[..., ClassProblem] | None
) -> dict[str, Any]:
    """Return the part of an evaluation that is of classes, one a protein."""
    what, classes, true, given = scored.what, scored.classes, scored.true, scored.given
    seen = scored.learned or [classes[k] for k in np.unique(scored.trained)] or classes
    first = [own[0] for own in given.called]
    names = [*classes, *sorted(set(first) - set(classes))]
    place_of = {one: place for place, one in enumerate(names)}
    called = np.array([place_of[one] for one in first])
    ours = np.isin(np.array(classes, object)[true], np.array(seen, object))
    counts = {
        "proteins": len(true),
        "classes": len(np.unique(true)),
        "of classes not trained": int((~ours).sum()),
    }
    found: dict[str, Any] = {"counts": counts, "flagged": _flagged(given.marks, ours)}
    if not ours.any():
        return found | {"by_class": {}, "confused": [], "confusion": {}, "confidence": {}, "sets": {}}
    truth, own = true[ours], called[ours]
    found["metrics"] = content["metrics"] | {what: evaluate(truth, own, seed=scored.seed)}
    if problem is not None:
        compared = compare(problem(ours, scored.trained), truth, own, chosen)
        found["baselines"] = content["baselines"] | {what: compared}
    table = confusion(truth, own, names)
    sure = np.array([row[one] for row, one in zip(given.probability, first, strict=True)])
    found["confidence"] = reliability(truth == own, sure[ours], "proteins")
    if given.sets is not None:
        held = np.array([classes[k] in part for k, part in zip(true, given.sets, strict=True)])[ours]
        sizes = np.array([len(part) for part in given.sets])[ours]
        found["sets"] = {"level": scored.level, **coverage(held, sizes), "empty": int((sizes == 0).sum())}
    return found | {"by_class": by_class(truth, own, names), "confused": _confused(table), "confusion": table}


def _several(
    scored: _Scored, content: dict[str, Any], chosen: Sequence[str], problem: Callable[..., ClassProblem] | None
) -> dict[str, Any]:
    """Return the part of an evaluation that is of sets of classes."""
    what, given = scored.what, scored.given
    labels, members = labels_of(scored.classes)
    table = np.zeros((len(members), len(labels)), bool)
    for row, places in zip(table, members, strict=True):
        row[places] = True
    every, train = table[scored.true], table[scored.trained]
    seen = scored.learned or [labels[k] for k in np.flatnonzero(train.any(axis=0))] or labels
    names = sorted({*seen, *(label for own in given.probability for label in own)})
    place_of = {name: place for place, name in enumerate(names)}

    def aligned(rows: np.ndarray) -> np.ndarray:
        made = np.zeros((len(rows), len(names)), bool)
        for column, label in enumerate(labels):
            if label in place_of:
                made[:, place_of[label]] = rows[:, column]
        return made

    truth = aligned(every)
    ours = truth.any(axis=1) | ~every.any(axis=1)
    counts = {
        "proteins": len(truth),
        "classes": int(every.any(axis=0).sum()),
        "classes a protein": float(every.sum(axis=1).mean()),
        "of classes not trained": int((~ours).sum()),
        "classes not trained": int((every.any(axis=0) & ~np.isin(labels, names)).sum()),
    }
    found: dict[str, Any] = {"counts": counts, "flagged": _flagged(given.marks, ours), "confused": [], "confusion": {}}
    if not ours.any():
        return found | {"by_class": {}, "confidence": {}, "sets": {}}
    called, held = (np.zeros(truth.shape, bool) for _ in range(2))
    sure = np.zeros(truth.shape)
    for place, (labelled, chances) in enumerate(zip(given.called, given.probability, strict=True)):
        called[place, [place_of[label] for label in labelled if label in place_of]] = True
        for label, chance in chances.items():
            sure[place, place_of[label]] = chance
    truth, called, sure = truth[ours], called[ours], sure[ours]
    found["metrics"] = content["metrics"] | {what: sets_of_labels.evaluate(truth, called, sure, seed=scored.seed)}
    if problem is not None:
        compared = compare(problem(ours, aligned(train)), truth, (called, sure), chosen)
        found["baselines"] = content["baselines"] | {what: compared}
    shown = sure >= SEEN
    found["confidence"] = reliability(truth[shown], sure[shown], "classes")
    if given.sets is not None:
        for place, part in enumerate(given.sets):
            held[place, [place_of[label] for label in part if label in place_of]] = True
        own, sizes = kept(held[ours], truth), held[ours].sum(axis=1)
        share = estimate(_mean, own[np.isfinite(own)], seed=scored.seed)
        more = {"size": float(sizes.mean()), "empty": int((sizes == 0).sum()), "several": True}
        found["sets"] = {"level": scored.level, **share, **more}
    return found | {"by_class": sets_of_labels.by_label(truth, called, sure, names)}


def _mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return counts @ values / counts.sum(axis=1)


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
