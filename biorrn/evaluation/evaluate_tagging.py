"""The evaluation of a tagging model, or of its predictions: what `evaluation.described` says of tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.errors import InputError
from biorrn.evaluation.baselines_tagging import TagProblem, choose
from biorrn.evaluation.compare_tagging import compare
from biorrn.evaluation.described import NOTHING_FITTED, common, trained_on
from biorrn.evaluation.predictions import in_split
from biorrn.evaluation.tagging import NUMBER_METRICS, by_state, estimate_numbers, evaluate, score
from biorrn.evaluation.tagging_rows import (
    PreparedTags,
    Tagged,
    TagPredictions,
    join_tags,
    read_prepared_tags,
)
from biorrn.evaluation.tagging_tables import confidence_table, confusion_table, length_table
from biorrn.inference.tagging import tag, tag_columns
from biorrn.models import store
from biorrn.models.store import WEIGHTS, Stored, find_model, load_model
from biorrn.progress import progress
from biorrn.readers.records import ProteinRecord


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows that were evaluated and what a model said of them, for the figures."""

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
) -> tuple[dict[str, Any], Judged]:
    """Return the evaluation of predictions of residues, and the rows behind it.

    Parameters
    ----------
    predictions : table of `biorrn predict`; or a model folder or the id of a shipped model, which is then run.
    baselines : "all", "none" or names of `evaluation.baselines_tagging`, with commas between.
    threads, device : of the model, where it is run.

    Raises
    ------
    InputError: a file cannot be used, or the two do not fit together.
    ConfigError: the split's name, or a baseline's, is unknown, or the model is not one for tagging.
    """
    data = read_prepared_tags(prepared)
    mask = in_split(data, split, prepared)
    rows, train = data.rows.select(mask), data.rows.select(data.split == 0)
    names = choose(baselines, bool(rows.states))
    given, source = _given(predictions, data, rows, prepared, threads, device)
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
    (_states if rows.states else _values)(content, data, rows, train, given, names, seed)
    return content, Judged(rows, given)


def _states(
    content: dict[str, Any],
    data: PreparedTags,
    rows: Tagged,
    train: Tagged,
    given: TagPredictions,
    names: tuple[str, ...],
    seed: int,
) -> None:
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


def _values(
    content: dict[str, Any],
    data: PreparedTags,
    rows: Tagged,
    train: Tagged,
    given: TagPredictions,
    names: tuple[str, ...],
    seed: int,
) -> None:
    for column, target in enumerate(data.targets):
        arrays = (rows.lengths, rows.values[:, column], given.scores[:, column])
        metrics = {metric: estimate_numbers(metric, *arrays, seed=seed) for metric in NUMBER_METRICS}
        content["metrics"][target["name"]] = metrics
        if names:
            problem = TagProblem(train, rows, seed, column)
            content["baselines"][target["name"]] = compare(problem, names, given.scores[:, column])


def _given(
    path: Path, data: PreparedTags, rows: Tagged, prepared: Path, threads: int, device: str
) -> tuple[TagPredictions, Path]:
    """Return predictions from a table, or by running a model, and the file that they come from."""
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
    # in the order of the file's states, which may be another than the model's
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
