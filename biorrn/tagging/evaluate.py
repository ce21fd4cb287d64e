"""Evaluation of a tagging model, or of its predictions, against known states or values.

Metrics with bootstrap intervals, confusion matrix, accuracy by sequence length and by confidence, and baselines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import BiorrnError, InputError
from biorrn.base.lookup import lookup
from biorrn.base.terminal import progress
from biorrn.nn import store
from biorrn.nn.store import WEIGHTS, Stored, find_model, load_model
from biorrn.sequences.prediction_files import finite, in_split, prediction_rows
from biorrn.sequences.records import ProteinRecord
from biorrn.stats.baselines import entry_of
from biorrn.stats.classification import reliability
from biorrn.stats.results import NOTHING_FITTED, common, trained_on
from biorrn.tagging.baselines import BASELINES, VALUE_BASELINES, TagProblem, choose
from biorrn.tagging.data import PreparedTags, Tagged, read_prepared_tags
from biorrn.tagging.metrics import (
    NUMBER_METRICS,
    RESAMPLED,
    Scored,
    by_state,
    difference,
    estimate_numbers,
    evaluate,
    ratio,
    score,
)
from biorrn.tagging.predict import tag, tag_columns

LENGTHS = (0, 100, 200, 300, 500, 1_000)  # residues: edges of the length classes


@dataclass(frozen=True, slots=True)
class TagPredictions:
    """Predictions of each residue, in the order of the rows.

    Attributes
    ----------
    states : int64 array (total,): index of the predicted state; empty for values.
    scores : float32 array (total, S): probabilities, NaN if the table has none; or values (total, K).
    flags : dict: the number of sequences with each flag.
    """

    states: np.ndarray
    scores: np.ndarray
    flags: dict[str, int]


def join_tags(path: str | Path, rows: Tagged, targets: Sequence[str], prepared: str | Path) -> TagPredictions:
    """Read a table of `biorrn predict`, in the order of `rows`.

    Records that are not in `rows` are ignored. Probabilities are optional.

    Parameters
    ----------
    targets : the columns of values; empty for states.

    Raises
    ------
    InputError: a column, an id or a residue is missing; a residue has two different predictions or another letter; a
        state is unknown; or a value is not a number.
    """
    states = {state: place for place, state in enumerate(rows.states)}
    begins = np.cumsum(rows.lengths) - rows.lengths
    where = dict(zip(rows.ids, zip(begins.tolist(), rows.lengths.tolist(), strict=True), strict=True))
    called = np.full(len(rows.tokens), -1)
    scores = np.full((len(rows.tokens), len(states) or len(targets)), np.nan, np.float32)
    seen = np.zeros(len(rows.tokens), bool)
    columns, table = prediction_rows(path, ["id", "position", *(["state"] if states else targets)])
    names = [f"p_{state}" for state in states] if states else list(targets)
    given = all(name in columns for name in names)
    for row in table:
        begin, length = where.get(row["id"], (0, 0))
        if not length:
            continue
        place = begin + _position(path, row, length) - 1
        _check_residue(path, row, rows, place)
        found = [finite(path, row, name) for name in names] if given else []
        state = _state(path, row, states) if states else -1
        if seen[place] and (state != called[place] or (given and not np.allclose(scores[place], found))):
            raise InputError(path, f"position {row['position']} has two different predictions", row["id"])
        seen[place], called[place] = True, state
        if given:
            scores[place] = found
    if not seen.all():
        place = int(np.argmin(seen))
        row_at = int(np.searchsorted(begins, place, side="right")) - 1
        missing = f"no prediction for {int((~seen).sum()):,} of {len(seen):,} residues of {Path(prepared).name}"
        raise InputError(path, f"{missing}, the first at position {place - int(begins[row_at]) + 1}", rows.ids[row_at])
    return TagPredictions(called if states else called[:0], scores, {})


def _check_residue(path: str | Path, row: Mapping[str, Any], rows: Tagged, place: int) -> None:
    """Check the residue in the table, if it has one, against that of the prepared row."""
    residue, own = row.get("residue"), rows.alphabet[rows.tokens[place] - 1]
    if residue and residue != own:
        found = f"position {row['position']}: found residue '{residue}'; the prepared row has '{own}'"
        raise InputError(path, found, row["id"])


def _state(path: str | Path, row: Mapping[str, Any], states: Mapping[str, int]) -> int:
    state = states.get(str(row["state"]))
    if state is None:
        allowed = f"allowed is one of {''.join(states)}"
        raise InputError(path, f"position {row['position']}: found state '{row['state']}'; {allowed}", row["id"])
    return state


def _position(path: str | Path, row: Mapping[str, Any], length: int) -> int:
    text = str(row["position"])
    position = int(text) if text.isdecimal() and len(text) < 10 else 0
    if not 1 <= position <= length:
        raise InputError(path, f"found position '{text[:20]}'; the prepared row has {length} residues", row["id"])
    return position


def confusion_table(found: Scored, states: str) -> dict[str, dict[str, int]]:
    """Return {true state: {predicted state: residues}}."""
    whole = found.confusion.sum(axis=0).astype(int).tolist()
    return {true: dict(zip(states, row, strict=True)) for true, row in zip(states, whole, strict=True)}


def length_table(rows: Tagged, called: np.ndarray) -> list[dict[str, Any]]:
    """Return one entry per length class with proteins: proteins, residues, accuracy, mean SOV.

    Parameters
    ----------
    called : int array (total,): predicted states.
    """
    table = []
    for low, high in zip(LENGTHS, [*LENGTHS[1:], None], strict=True):
        inside = (rows.lengths > low) & (True if high is None else rows.lengths <= high)
        if not inside.any():
            continue
        part, own = rows.select(inside), called[np.repeat(inside, rows.lengths)]
        found = score(part.labels, own, part.lengths, len(rows.states))
        whole = found.confusion.sum(axis=0)
        overlap = ratio(found.scored.sum(axis=1), found.possible.sum(axis=1))
        table.append(
            {
                "from": low + 1,
                "to": high,
                "proteins": int(inside.sum()),
                "residues": int(whole.sum()),
                "accuracy_residue": float(np.trace(whole) / whole.sum()) if whole.any() else float("nan"),
                "sov": float(overlap.mean()) if len(found) else float("nan"),
            }
        )
    return table


def confidence_table(labels: np.ndarray, called: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Return the `reliability` of the predicted states over labelled residues.

    Parameters
    ----------
    labels, called : int arrays (total,).
    scores : float array (total, S): probabilities. If all are NaN, the result is empty.
    """
    known = (labels >= 0) & ~np.isnan(scores).any(axis=1)
    return reliability(labels[known] == called[known], scores[known, called[known]], "residues")


def compare(
    problem: TagProblem, names: Sequence[str], ours: np.ndarray, found: Scored | None = None
) -> dict[str, dict[str, Any]]:
    """Fit baselines and compare each with the model, by paired bootstrap over proteins.

    Parameters
    ----------
    ours : array (total,): the model's predictions for `problem.rows`.
    found : Scored, optional: the counts of the model; None for values.

    Raises
    ------
    BiorrnError: no training residue has a label.
    """
    if names and not len(problem.fit[0]):
        raise BiorrnError("baselines need labelled residues in the training rows and found none; use --baselines none")
    table = BASELINES if problem.column is None else VALUE_BASELINES
    results: dict[str, dict[str, Any]] = {}
    with progress("baselines", "fits") as advance:
        for name in names:
            fitted = lookup(table, name, "baseline")(problem)
            given = (problem, fitted.predicted)
            metrics, gaps = _compare_states(*given, found) if found is not None else _compare_values(*given, ours)
            results[name] = entry_of(name, fitted.description, metrics, gaps, "proteins")
            advance(1)
    return dict(sorted(results.items(), key=lambda item: _rank(item[1])))


def _compare_states(problem: TagProblem, predicted: np.ndarray, ours: Scored) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = problem.rows
    theirs = score(rows.labels, predicted, rows.lengths, len(rows.states))
    gaps = {metric: difference(metric, ours, theirs, seed=problem.seed) for metric in RESAMPLED}
    return evaluate(theirs, seed=problem.seed), gaps


def _compare_values(
    problem: TagProblem, predicted: np.ndarray, ours: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = problem.rows
    true = rows.values[:, problem.column]
    own, gaps = (
        {name: estimate_numbers(name, rows.lengths, true, *given, seed=problem.seed) for name in NUMBER_METRICS}
        for given in ((predicted,), (ours, predicted))
    )
    return own, gaps


def _rank(entry: dict[str, Any]) -> float:
    value = float(next(iter(entry["metrics"].values()))["value"])
    return -value if np.isfinite(value) else np.inf


@dataclass(frozen=True, slots=True)
class EvaluatedRows:
    """The evaluated rows and their predictions, for the figures."""

    rows: Tagged
    given: TagPredictions


def evaluate_tagging(
    predictions: Path,
    prepared: Path,
    *,
    name: str,
    split: str = "valid",
    baselines: str = "all",
    note: str = "",
    seed: int = 0,
    threads: int = 1,
    device: str = "cpu",
) -> tuple[dict[str, Any], EvaluatedRows]:
    """Return the evaluation of a tagging model as a result (see `stats.results`), and its rows for the figures.

    Parameters
    ----------
    predictions : table of `biorrn predict`; or a model folder or the name of a shipped model, to run on the rows.
    baselines : "all", "none" or comma-separated names of `tagging.baselines`.
    threads, device : for running the model.

    Raises
    ------
    InputError: a file cannot be used, or predictions and prepared file do not match.
    ConfigError: the split or a baseline is unknown, or the model is not a tagging model.
    """
    data = read_prepared_tags(prepared)
    mask = in_split(data, split, prepared)
    rows, train = data.rows.select(mask), data.rows.select(data.split == 0)
    names = choose(baselines, bool(rows.states))
    given, source = _predictions(predictions, data, rows, prepared, threads, device)
    content = common("tagging", name, split, note or data.note, seed, {"predictions": source, "prepared": prepared})
    content |= {
        "tags": data.name,
        "states": rows.states,
        "state_names": data.state_names,
        "targets": data.targets,
        "flags": given.flags,
        "by_state": {},
        "confusion": {},
        "lengths": [],
        "confidence": {},
    }
    content["cautions"] += trained_on(split)
    if names and not len(train):
        content["cautions"].append(NOTHING_FITTED)
        names = ()
    labelled = int((rows.labels >= 0).sum()) if rows.states else int((~np.isnan(rows.values)).any(axis=1).sum())
    content["counts"] = {"proteins": len(rows), "residues": len(rows.tokens), "labelled": labelled}
    if not labelled:
        raise InputError(prepared, f"has no labelled residue in split '{split}'")
    if not rows.states:
        for column, target in enumerate(data.targets):
            arrays = (rows.lengths, rows.values[:, column], given.scores[:, column])
            content["metrics"][target["name"]] = {
                metric: estimate_numbers(metric, *arrays, seed=seed) for metric in NUMBER_METRICS
            }
            if names:
                problem = TagProblem(train, rows, seed, column)
                content["baselines"][target["name"]] = compare(problem, names, given.scores[:, column])
        return content, EvaluatedRows(rows, given)
    found = score(rows.labels, given.states, rows.lengths, len(rows.states))
    key = data.name or "state"
    content["metrics"][key] = evaluate(found, seed=seed)
    if names:
        content["baselines"][key] = compare(TagProblem(train, rows, seed), names, given.states, found)
    content |= {
        "by_state": by_state(found, rows.states, seed=seed),
        "confusion": confusion_table(found, rows.states),
        "lengths": length_table(rows, given.states),
        "confidence": confidence_table(rows.labels, given.states, given.scores),
    }
    return content, EvaluatedRows(rows, given)


def _predictions(
    path: Path, data: PreparedTags, rows: Tagged, prepared: Path, threads: int, device: str
) -> tuple[TagPredictions, Path]:
    """Read predictions from a table, or run a model; return them and the path of the table or the weights."""
    targets = [target["name"] for target in data.targets]
    if not path.is_dir() and str(path) not in store.shipped_models():
        return join_tags(path, rows, targets, prepared), path
    stored = load_model(path)
    _check_fit(stored, data, rows, prepared, targets)
    called, scores = np.zeros(len(rows.tokens) if rows.states else 0, np.int64), []
    states = {state: place for place, state in enumerate(rows.states)}
    flags: Counter[str] = Counter()
    start = 0
    with progress("predict", "residues", len(rows.tokens)) as advance:
        for found in tag(stored, _records(rows), threads=threads, device=device):
            if rows.states:
                called[start : start + len(found.states)] = [states[state] for state in found.states]
            scores.append(found.scores)
            flags.update(found.flags)
            start += len(found.sequence)
            advance(len(found.sequence))
    own, _ = tag_columns(stored)
    table = np.concatenate(scores)
    # columns in the order of the file's states, which may differ from that of the model
    table = table[:, [own.index(state) for state in rows.states]] if rows.states else table
    return TagPredictions(called, table, dict(flags)), find_model(path) / WEIGHTS


def _records(rows: Tagged) -> Iterator[ProteinRecord]:
    unknown = rows.alphabet[-1]
    for id, sequence in zip(rows.ids, rows.sequences(), strict=True):
        yield ProteinRecord(str(id), sequence, unknown=sequence.count(unknown))


def _check_fit(stored: Stored, data: PreparedTags, rows: Tagged, prepared: Path, targets: list[str]) -> None:
    states, columns = tag_columns(stored)
    if rows.states and sorted(states) != sorted(rows.states):
        raise InputError(prepared, f"has the states {rows.states}; the model {stored.path} has {states or 'values'}")
    if not rows.states and columns != targets:
        raise InputError(prepared, f"has the values {', '.join(targets)}; the model {stored.path} {', '.join(columns)}")
    alphabet = stored.facts.get("alphabet")
    if alphabet not in (None, rows.alphabet):
        raise InputError(prepared, f"has the letters {rows.alphabet}; the model {stored.path} reads {alphabet}")
