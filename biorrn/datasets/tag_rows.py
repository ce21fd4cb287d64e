"""Sequences and what is known of each of their residues: from FASTA, an archive of it, or a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.encoders.alphabets import DNA, RESIDUES
from biorrn.encoders.bases import base_tokens
from biorrn.encoders.residues import tokens
from biorrn.encoders.states import NO_STATE, States
from biorrn.errors import BiorrnError, InputError
from biorrn.readers.fields import Fault
from biorrn.readers.ids import Ids
from biorrn.readers.labels import Letters, members, one_a_label, read_letters
from biorrn.readers.numbers import MISSING
from biorrn.readers.tables import column_names, matching, read_cells

ALPHABETS = {"protein": RESIDUES, "dna": DNA}
ARCHIVE = {"sequences": "sequences", "labels": "sampled", "mask": "mask"}  # what FLIP calls the files of an archive


@dataclass(frozen=True, slots=True)
class TagRow:
    """One sequence.

    Attributes
    ----------
    id : str.
    tokens : uint8 array (T,): index in the alphabet + 1.
    tags : uint8 array (T,) of states, `NO_STATE` where unknown; or float32 (T, K) of values, NaN where missing.
    said : str: what says its split: the rest of the header of its labels, or a cell of a table.
    split : int: its code, where the rows were cut by it.
    origin : str: the sequence that it is a window of, "" where it is whole.
    """

    id: str
    tokens: np.ndarray
    tags: np.ndarray
    said: str = ""
    split: int | None = None
    origin: str = ""


def encode_sequence(path: str | Path, name: str, written: str, alphabet: str) -> np.ndarray:
    """Return the tokens uint8 (T,) of a sequence as it is written.

    Raises
    ------
    InputError: a letter that is not in the alphabet, a gap, or an empty sequence.
    """
    try:
        if alphabet == "protein":
            return tokens(one_a_label(written))
        if not (packed := "".join(written.split())):
            raise Fault("the sequence is empty")
        return base_tokens(packed)
    except (Fault, BiorrnError) as error:
        raise InputError(path, str(error), name) from error


def archive_files(path: str | Path) -> dict[str, str]:
    """Return "sequences", "labels" and, where it is there, "mask" -> the FASTA files of a folder or zip archive.

    Raises
    ------
    InputError: it lacks the sequences or the labels, or has one of them more than once.
    """
    found = {}
    inside = members(path)
    for role, stem in ARCHIVE.items():
        fitting = [name for name in inside if Path(name.rpartition(":")[2]).name in (f"{stem}.fasta", f"{stem}.fa")]
        if len(fitting) > 1 or (not fitting and role != "mask"):
            raise InputError(path, f"holds {len(fitting)} files named {stem}.fasta; expected one, with the {role}")
        if fitting:
            found[role] = fitting[0]
    return found


def rows_of_fasta(
    source: str | Path, labels: str | Path, mask: str | Path | None, states: States, alphabet: str
) -> Iterator[TagRow]:
    """Yield the sequences of a FASTA file with the labels of the same id in another; the labels are held in memory.

    Parameters
    ----------
    mask : FASTA of 1 and 0: where a residue has a label.

    Raises
    ------
    InputError: an id is in one file only, lengths differ, or a letter is not allowed; see the readers.
    """
    known = {record.id: record for record in read_letters(labels)}
    masks = {record.id: record for record in read_letters(mask)} if mask is not None else {}
    for record in read_letters(source):
        label = known.pop(record.id, None)
        if label is None:
            raise InputError(labels, f"has no labels of this sequence of {source}", record.id)
        codes = encode_sequence(source, record.id, record.letters, alphabet)
        tags = _states(labels, label, states, len(codes), source)
        if mask is not None:
            hidden = masks.pop(record.id, None)
            if hidden is None:
                raise InputError(mask, f"has no mask of this sequence of {source}", record.id)
            tags[~_mask(mask, hidden, len(codes), source)] = NO_STATE
        yield TagRow(record.id, codes, tags, label.description)
    for path, left in ((labels, known), (mask, masks)):
        if left:
            raise InputError(str(path), f"is of no sequence in {source}", next(iter(left)))


def _states(path: str | Path, label: Letters, states: States, length: int, source: str | Path) -> np.ndarray:
    try:
        found = states.encode(label.letters)
    except BiorrnError as error:
        raise InputError(path, str(error), label.id) from error
    if len(found) != length:
        raise InputError(path, f"found {len(found)} labels; the sequence in {source} has {length} letters", label.id)
    return found


def _mask(path: str | Path, record: Letters, length: int, source: str | Path) -> np.ndarray:
    letters = record.letters.strip()
    odd = letters.strip("01")
    if odd:
        raise InputError(path, f"found {odd[0]!r}; allowed in a mask are 0 and 1", record.id)
    if len(letters) != length:
        raise InputError(path, f"found {len(letters)} letters; the sequence in {source} has {length}", record.id)
    return np.frombuffer(letters.encode(), np.uint8) == ord("1")


def rows_of_table(
    path: str | Path,
    states: States,
    alphabet: str,
    label_column: str = "labels",
    values: Sequence[str] = (),
    sequence_column: str = "sequence",
    split_column: str | None = None,
) -> Iterator[TagRow]:
    """Yield the rows of a table of id, sequence, and labels (a letter a residue) or values (numbers, comma separated).

    Parameters
    ----------
    values : columns of numbers; with any, there are no labels. NA, NaN or nothing between two commas is missing.

    Raises
    ------
    InputError: a column is missing, an id comes twice, lengths differ, or a letter or number is not allowed.
    """
    ids = Ids()
    named = bool(matching("id", column_names(path)))
    columns = [*(["id"] if named else []), sequence_column, *(values or [label_column])]
    columns += [split_column] if split_column else []
    for line, row in enumerate(read_cells(path, columns), 1):
        name = str(row["id"]).strip() if named else f"row{line}"
        if not name or ids.seen(name, line):
            problem = f"row {line}: the id is given twice" if name else f"row {line}: column 'id' is empty"
            raise InputError(path, problem, name or None)
        codes = encode_sequence(path, name, str(row[sequence_column] or ""), alphabet)
        if values:
            columns_of = [_numbers(path, name, column, row[column], len(codes)) for column in values]
            tags = np.stack(columns_of, 1)
        else:
            tags = _states(path, Letters(name, str(row[label_column] or "")), states, len(codes), path)
        yield TagRow(name, codes, tags, str(row[split_column]) if split_column else "")


def _numbers(path: str | Path, name: str, column: str, cell: object, length: int) -> np.ndarray:
    parts = [part.strip() for part in str(cell or "").split(",")]
    if len(parts) != length:
        raise InputError(path, f"column '{column}': found {len(parts)} values for {length} residues", name)
    found = np.full(length, np.nan, np.float32)
    for place, part in enumerate(parts):
        if part.lower() in MISSING:
            continue
        try:
            value = math.inf if "_" in part else float(np.float32(part))
        except ValueError:
            value = math.inf
        if not math.isfinite(value):
            raise InputError(
                path, f"column '{column}': found '{part[:40]}' at position {place + 1}; expected a number", name
            )
        found[place] = value
    return found
