"""Prepared proteins, measured values and predictions: readers, and the join of predictions by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError, InputError
from biorrn.nn.store import load_facts
from biorrn.sequences.alphabets import sequence, tokens
from biorrn.sequences.prediction_files import finite, prediction_rows
from biorrn.sequences.prepared.files import ProteinFile
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.repeats import distinct
from biorrn.sequences.rows import SETS, TableOptions, protein_columns, table_rows
from biorrn.sequences.splits import Column
from biorrn.sequences.tables.reader import Reading, column_names, is_labelled, is_table, matching, other_sheets
from biorrn.sequences.variants import named_column


@dataclass(frozen=True, slots=True)
class Proteins:
    """Rows of a prepared protein file.

    Attributes
    ----------
    ids : str array (N,).
    tokens : uint8 array (total,): residues of all rows, one after another; 1..21.
    lengths : int64 array (N,): residues of each row.
    targets : float64 array (N, K): NaN is missing.
    weights : float64 array (N,).
    bounds : float32 array (N, K, 2), optional: of censored targets, see `batch.Batch`.
    """

    ids: np.ndarray
    tokens: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    bounds: np.ndarray | None = None

    def select(self, rows: np.ndarray) -> Proteins:
        """Return the rows where the bool array `rows` (N,) is True."""
        residues = np.repeat(rows, self.lengths)
        return Proteins(
            self.ids[rows],
            self.tokens[residues],
            self.lengths[rows],
            self.targets[rows],
            self.weights[rows],
            None if self.bounds is None else self.bounds[rows],
        )

    def __len__(self) -> int:
        return len(self.ids)

    def proteins(self) -> np.ndarray:
        """Return a number for each row, the same for rows of one sequence: int64 (N,)."""
        return distinct(self.tokens, np.append(0, np.cumsum(self.lengths)))

    def sequences(self) -> list[str]:
        """Return the sequence of each row."""
        ends = np.cumsum(self.lengths)
        return [sequence(self.tokens[end - size : end]) for end, size in zip(ends, self.lengths, strict=True)]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared protein file: all rows, the split of each, the targets' names and units, and its note."""

    rows: Proteins
    split: np.ndarray  # uint8 (N,)
    targets: list[dict[str, Any]]  # {"name", "unit"} for each of the K targets; "classes" of one of classes
    note: str  # as "simulated"; "" for none


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of each row, in the order of the rows.

    Attributes
    ----------
    values : float64 array (N, K).
    flags : dict: how often each flag was set.
    marks : list of list of str: the flags of each row.
    lower, upper : float64 arrays (N, K), the ends of the intervals; None where the table does not have them.
    """

    values: np.ndarray
    flags: dict[str, int]
    marks: list[list[str]] = field(default_factory=list)
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None


def read_prepared(path: str | Path) -> Prepared:
    """Read a prepared protein file whole; it is small beside the model that was trained on it.

    Raises
    ------
    InputError: the file is missing, is not HDF5, or is not a prepared protein file.
    """
    with ProteinFile(path) as prepared:
        file = prepared.file
        ids = np.array(prepared.strings("id"), dtype=object)
        rows = Proteins(
            ids,
            file["tokens"][:],
            np.diff(file["offsets"][:].astype(np.int64)),
            file["targets"][:].astype(np.float64),
            file["weights"][:].astype(np.float64),
            prepared.bounds,
        )
        return Prepared(rows, file["split"][:], prepared.targets, str(file.attrs.get("note", "")))


def read_measured(
    path: str | Path,
    predicted: Sequence[str],
    chosen: Sequence[str] = (),
    *,
    wild_type: str | None = None,
    offset: int = 0,
    known: str = "",
    type: str = "number",
) -> Prepared:
    """Read the rows that predictions are compared with: of a prepared file, or of a table of sequences or mutations.

    Parameters
    ----------
    predicted : names of the targets that are predicted; the columns of a table are those of these names.
    chosen : NAME=COLUMN: the column of the table that holds the target NAME.
    wild_type, offset, known : of a table with mutations; see `sequences.rows.TableOptions`.
    type : of the columns of a table, see `sequences.tables.reader.Reading`.

    Rows of a table are in the split that its column says, or else all in test.

    Raises
    ------
    ConfigError: an option for a prepared file, a target that is not predicted, or a table without any target.
    InputError: the file cannot be used.
    """
    if not (is_table(path) or is_labelled(path)):
        for option, given in (("--wild-type", wild_type), ("--target", chosen), ("--offset", offset)):
            if given:
                raise ConfigError(f"{option}: needs a table; {path} is read as a prepared file")
        return read_prepared(path)
    look = Reading()
    names = column_names(path, look)
    columns = {name: name for name in predicted if matching(name, names)}
    for text in chosen:
        name, _, column = text.partition("=")
        if name not in predicted:
            raise ConfigError(f"--target: '{name}' is not predicted; allowed is one of {', '.join(predicted)}")
        columns[name] = column or name
    if not columns:
        raise ConfigError(
            f"{path}: has no column named {' or '.join(predicted)[:200]}, which is predicted; name the measured values "
            f"with --target {predicted[0] if predicted else 'NAME'}=COLUMN"
            + other_sheets(look).replace("(--sheet)", "(only the first is read)")
        )
    found = protein_columns(path, TableOptions(wild_type=wild_type, offset=offset, known=known))
    split = named_column(names, SETS)
    reading = Reading(type=type)
    rows = list(table_rows(path, list(columns.values()), found, split_column=split, reading=reading))
    codes = [Column(split).code(row.split) if split else None for row in rows]
    if None in codes:
        codes = [SPLITS.index("test")] * len(rows)
    encoded = [tokens(row.sequence) for row in rows]
    if not encoded:
        raise InputError(path, f"no row can be used; {reading.dropped:,} are left out")
    return Prepared(
        Proteins(
            np.array([row.id for row in rows], dtype=object),
            np.concatenate(encoded),
            np.array([len(one) for one in encoded], np.int64),
            np.array([row.targets for row in rows], np.float64).reshape(len(rows), len(columns)),
            np.array([row.weight for row in rows], np.float64),
        ),
        np.array(codes, np.uint8),
        [reading.target(column, name) for name, column in columns.items()],
        "",
    )


def predicted_names(path: str | Path) -> list[str]:
    """Return the targets that a table of predictions has, or the model of a run folder.

    Raises
    ------
    InputError: it cannot be read, or holds classes.
    """
    if Path(path).is_dir():
        return [str(target["name"]) for target in load_facts(path).get("targets", ())]
    names = column_names(path)
    if classes := [name for name in names if {f"{name}_probability", f"{name}_probabilities"} & set(names)]:
        raise InputError(path, f"column '{classes[0]}' holds classes; biorrn evaluate classification compares these")
    return [name for name in names if f"{name}_lower" in names] or [
        name for name in names if name not in ("id", "length", "flags", "mutation")
    ]


def rows_in(path: str | Path, rows: Proteins) -> np.ndarray:
    """Return which rows a table of predictions has, by their ids: bool (N,)."""
    there = {row["id"] for row in prediction_rows(path, ["id"])[1]}
    return np.array([str(name) in there for name in rows.ids], bool)


def join(path: str | Path, rows: Proteins, targets: list[dict[str, str]], prepared: str | Path) -> Predictions:
    """Read predictions, as `biorrn predict` writes them (TSV, CSV or parquet), and put them in the order of `rows`.

    Rows of the table that are not asked for are ignored; a flags column holds flags separated by commas or semicolons.
    The ends of intervals are read where the table has both for every target.

    Raises
    ------
    InputError: a column or an id is missing, an id has two different predictions or the length of another sequence, or
    a value is not a number.
    """
    names = [target["name"] for target in targets]
    lengths = dict(zip(rows.ids, rows.lengths, strict=True))
    values: dict[str, tuple[float, ...]] = {}
    flags: dict[str, list[str]] = {}
    columns, table = prediction_rows(path, ["id", *names])
    ends = [f"{name}_{end}" for end in ("lower", "upper") for name in names]
    bounded = all(end in columns for end in ends)
    for row in table:
        id = row["id"]
        if id not in lengths:
            continue
        length = str(row.get("length") or "")
        if length.isdecimal() and (length.lstrip("0") or "0") != str(lengths[id]):
            raise InputError(path, f"found length {length[:20]}; the prepared row has {lengths[id]} residues", id)
        found = tuple(finite(path, row, name) for name in names)
        # a protein that the model does not know may have no interval
        found += tuple(_end(path, row, name) for name in (ends if bounded else []))
        if not np.array_equal(values.setdefault(id, found), found, equal_nan=True):
            raise InputError(path, "has two different predictions", record=id)
        marks = (row.get("flags") or "").replace(";", ",").split(",")
        flags[id] = [mark.strip() for mark in marks if mark.strip(" .-")]
    missing = [id for id in rows.ids if id not in values]
    if missing:
        name = Path(prepared).name
        raise InputError(path, f"no prediction for {len(missing)} of {len(rows)} rows of {name}", record=missing[0])
    marks_of = [flags[id] for id in rows.ids]
    parts = np.array([values[id] for id in rows.ids]).reshape(len(rows), 3 if bounded else 1, len(names))
    return Predictions(
        parts[:, 0],
        dict(Counter(mark for marks in marks_of for mark in marks)),
        marks_of,
        *((parts[:, 1], parts[:, 2]) if bounded else ()),
    )


def _end(path: str | Path, row: Mapping[str, Any], name: str) -> float:
    return np.nan if row[name] in ("", "nan", None) else finite(path, row, name)
