"""Preparation of labelled sequences: conversion to a prepared HDF5 file of tags with a split, and its summary."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import sha256
from biorrn.base.lookup import lookup
from biorrn.sequences.alphabets import NO_STATE, RESIDUES, STANDARD, States
from biorrn.sequences.prepared.files import SequenceFile, Writer, new_file
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.prepared.summary import account, bin_edges, histogram, moments, parts, spread
from biorrn.sequences.rows import TableOptions, is_fasta
from biorrn.sequences.similarity import protein_leakage
from biorrn.sequences.splits import Cluster, Column, Random, Reference, Rows, parse_split, split_called
from biorrn.sequences.tables.reader import Reading, column_names, matching, read_cells
from biorrn.tagging.readers import (
    ALPHABETS,
    TagRow,
    archive_files,
    cut_windows,
    is_archive,
    rows_of_fasta,
    rows_of_mutations,
    rows_of_segments,
    rows_of_table,
    segment_states,
)

YES = ("true", "yes", "1")


@dataclass(frozen=True, slots=True)
class Header:
    """`header:SET`: headers of the labels contain `SET=train` or `SET=test`; with `VALIDATION=True`, train is valid."""

    name: str

    def code(self, description: str) -> int | None:
        """Return the code of the split in a header, or None.

        >>> Header("SET").code("SET=train VALIDATION=True")
        1
        """
        fields = dict(word.split("=", 1) for word in description.split() if "=" in word)
        code = split_called(fields.get(self.name, ""))
        return 1 if code == 0 and fields.get("VALIDATION", "").lower() in YES else code


@dataclass(frozen=True, slots=True)
class Table:
    """`file:PATH`: a table with the columns `id` and `split`; the second may have any name."""

    path: str
    codes: dict[str, int] = field(default_factory=dict)

    def code(self, name: str) -> int | None:
        """Return the code of the split of an id, or None if the table does not have it."""
        return self.codes.get(name)


TagSplitter = Header | Table | Column | Random | Cluster | Reference


def parse_tag_split(text: str, seed: int = 0) -> TagSplitter:
    """Parse the option `--split` of `biorrn prepare tags`.

    Raises
    ------
    ConfigError: the name is unknown, or its arguments are invalid.
    InputError: the table of `file:PATH` cannot be read.

    >>> parse_tag_split("header:SET")
    Header(name='SET')
    """
    name, _, rest = text.partition(":")
    if name in ("header", "file") and not rest:
        raise ConfigError(f"--split {text}: names no {'key' if name == 'header' else 'file'}; allowed is {name}:NAME")
    if name == "header":
        return Header(rest)
    if name == "file":
        return Table(rest, _table(rest))
    if name not in ("column", "random", "cluster", "reference"):
        raise ConfigError(f"--split '{name}' is unknown. Known: header, file, column, random, cluster, reference")
    found = parse_split(text, "signal" if name == "reference" else "protein", seed)
    assert isinstance(found, TagSplitter)
    return found


def _table(path: str) -> dict[str, int]:
    names = column_names(Path(path))
    own = {names[place] for place in matching("id", names)}
    others = [name for name in names if name not in own]
    if not own or not others:
        raise InputError(path, f"found the columns {', '.join(names)[:200]}; expected id and split")
    column = next((others[place] for place in matching("split", others)), others[0])
    codes: dict[str, int] = {}
    for row in read_cells(path, ["id", column]):
        name, value = str(row["id"]).strip(), str(row[column])
        code = split_called(value)
        if code is None:
            raise InputError(path, f"column '{column}': found '{value[:40]}'; allowed is {', '.join(SPLITS)}", name)
        if name in codes:
            raise InputError(path, "the id is given twice; allowed is once", name)
        codes[name] = code
    return codes


class TagWriter(Writer):
    """Writer of sequences with labels or values; see `tag_writer`."""

    def add(
        self, id: str, tokens: np.ndarray, tags: np.ndarray, split: int = 0, pseudo: np.ndarray | None = None
    ) -> None:
        """Append one sequence: tokens uint8 (T,), tags uint8 (T,) or values float32 (T, K), code of the split.

        `pseudo` uint8 (T, S): probabilities in 1/255, for a file that has them; None: zeros.
        """
        row = {"id": id, "tokens": tokens, "labels" if tags.ndim == 1 else "values": tags, "split": split}
        if "probabilities" in self._fields:
            row["probabilities"] = np.zeros((len(tokens), self.columns), np.uint8) if pseudo is None else pseudo
        self._append(row, {"offsets": len(tokens)})


@contextlib.contextmanager
def tag_writer(
    path: str | Path,
    alphabet: str,
    states: States | None = None,
    targets: Sequence[Mapping[str, str]] = (),
    probabilities: bool = False,
) -> Iterator[TagWriter]:
    """Open a new file of tags; it is moved into place when it is complete.

    Parameters
    ----------
    path : HDF5 file to write.
    alphabet : str: token t is the letter alphabet[t - 1].
    states : States of the labels; None for values.
    targets : list of {"name", "unit"}: the columns of values.
    probabilities : bool: also store pseudo-labels.
    """
    with new_file(path) as file:
        file.attrs["alphabet"], file.attrs["sources"] = alphabet, "{}"
        if states is not None:
            tags = {"name": states.name, "states": states.letters, "names": list(states.names)}
            file.attrs["tags"] = json.dumps(tags)
        else:
            file.attrs["targets"] = json.dumps(list(targets))
        columns = len(states.letters) if states is not None else len(targets)
        kinds = ["values"] if states is None else ["labels", "probabilities"] if probabilities else ["labels"]
        writer = TagWriter(file, "tags", columns, kinds)
        yield writer
        writer.flush()


class TagFile(SequenceFile):
    """A prepared file of tags, open for reading."""

    kind = "tags"

    @property
    def tags(self) -> dict[str, Any] | None:
        """{"name", "states", "names"} of labels; None if the file holds values."""
        return dict(json.loads(self.file.attrs["tags"])) if "tags" in self.file.attrs else None

    @property
    def effect(self) -> str:
        """Name of the value that a residue gives a protein in the place of another; "" if the file has no such."""
        return str(self.file.attrs.get("effect", ""))

    def labels(self, row: int) -> np.ndarray:
        """Return the states of a row, uint8 (T,), `alphabets.NO_STATE` where unknown; or its values, float32 (T, K)."""
        start, end = self.file["offsets"][row : row + 2]
        return np.asarray(self.file["values" if self.tags is None else "labels"][start:end])


WINDOW, OVERLAP = 4096, 512  # bases: defaults for DNA


@dataclass(frozen=True, slots=True)
class TagInput:
    """The input of `biorrn prepare tags`.

    Attributes
    ----------
    source : FASTA of sequences, a table, or a folder or zip archive of FLIP.
    labels, mask : for FASTA: FASTA of one letter per residue.
    bed : for FASTA: BED of segments, instead of labels.
    alphabet : "protein" or "dna".
    states : States of the labels.
    label_column, sequence_column : for a table.
    values : for a table: columns of numbers, instead of labels.
    wild_type, offset : for a table of mutants with one value each: where their wild types are, and what is added to a
        place in one, counted from 1, to give its number.
    reading : how that table is read; receives what was found in it.
    background : str: state of a base outside all segments.
    """

    source: str | Path
    labels: str | Path | None = None
    mask: str | Path | None = None
    bed: str | Path | None = None
    alphabet: str = "protein"
    states: States | None = None
    label_column: str = "labels"
    values: Sequence[str] = ()
    sequence_column: str = "sequence"
    background: str = "none"
    wild_type: str | None = None
    offset: int = 0
    reading: Reading = field(default_factory=Reading)

    @property
    def columns(self) -> list[str]:
        """Return the names of the values of a residue: of mutants, the residue that replaces it."""
        return list(self.values) if self.wild_type is None else list(STANDARD)

    def open(self, split_column: str | None, counts: Counter[str]) -> tuple[Iterator[TagRow], States | None, list[str]]:
        """Return the rows, their states (None for values), and the input files.

        Parameters
        ----------
        counts : receives what is left out.

        Raises
        ------
        ConfigError: options that exclude each other.
        InputError: a file cannot be used; see `tagging.readers`.
        """
        lookup(ALPHABETS, self.alphabet, "--alphabet")
        archive = is_archive(self.source)
        fasta = not archive and is_fasta(self.source)
        if self.wild_type is not None and (archive or fasta or len(self.values) != 1 or self.alphabet != "protein"):
            raise ConfigError("--wild-type: is for a table of mutants of proteins with one --value")
        given = {"--labels": self.labels, "--mask": self.mask, "--bed": self.bed, "--value": self.values}
        allowed = {"--labels", "--mask", "--bed"} if fasta else set() if archive else {"--value"}
        wrong = [name for name, value in given.items() if value and name not in allowed]
        if wrong:
            kind = "FASTA" if fasta else "an archive" if archive else "a table"
            raise ConfigError(f"{wrong[0]}: does not go with {self.source}, which is {kind}")
        if split_column is not None and (fasta or archive):
            raise ConfigError(f"--split column:{split_column}: needs a table; with FASTA use header:KEY or file:PATH")
        files = [str(path) for path in (self.source, self.labels, self.mask, self.bed) if path is not None]
        if self.bed is not None:
            if self.labels is not None or self.mask is not None:
                raise ConfigError("--bed: cannot be with --labels or --mask; allowed is one of them")
            named, segments = segment_states(self.bed, self.background)
            return rows_of_segments(self.source, self.bed, named, segments, self.alphabet), named, files
        states = self.states
        if self.wild_type is not None:
            options = TableOptions(self.sequence_column, None, None, self.wild_type, self.offset)
            return (
                rows_of_mutations(self.source, self.values[0], options, counts, split_column, self.reading),
                None,
                files,
            )
        if not (archive or fasta):
            rows = rows_of_table(
                self.source, _needed(states, self.values), self.alphabet, self.label_column, self.values,
                self.sequence_column, split_column,
            )  # fmt: skip
            return rows, None if self.values else states, files
        parts: dict[str, Any] = {"sequences": self.source, "labels": self.labels, "mask": self.mask}
        if archive:
            parts = {"mask": None} | archive_files(self.source)
            if Path(self.source).is_dir():
                files = [str(path) for path in parts.values() if path]
        if parts["labels"] is None:
            raise ConfigError(f"{self.source}: is FASTA, which holds no labels; name them with --labels or --bed")
        rows = rows_of_fasta(parts["sequences"], parts["labels"], parts["mask"], _needed(states), self.alphabet)
        return rows, states, files


def _needed(states: States | None, values: Sequence[str] = ()) -> States:
    if states is None and not values:
        raise ConfigError("--states: names no states; allowed is 3, 8 or letters")
    return states or States("", "", ())


def prepare_tags(
    given: TagInput,
    out: str | Path,
    splitter: TagSplitter,
    *,
    window: int | None = None,
    overlap: int | None = None,
    note: str = "",
    advance: Callable[[int], None] = lambda sequences: None,
) -> dict[str, Any]:
    """Write labelled sequences to a prepared file and return its summary.

    A sequence without labels or without known residues is left out and counted.

    Parameters
    ----------
    out : HDF5 file to write.
    splitter : from `tagging.prepare.parse_tag_split`.
    window, overlap : int: longer sequences are cut, see `tagging.readers.cut_windows`. Default: `WINDOW`, `OVERLAP` for
        DNA; proteins are not cut.

    Raises
    ------
    ConfigError: options that exclude each other.
    InputError: a file cannot be used, a row has no split, or no sequence can be used.
    """
    if isinstance(splitter, Cluster) and given.alphabet != "protein":
        raise ConfigError(f"--split cluster: is for proteins; found --alphabet {given.alphabet}")
    counts: Counter[str] = Counter()
    rows, states, files = given.open(splitter.name if isinstance(splitter, Column) else None, counts)
    size = window or (WINDOW if given.alphabet == "dna" else None)
    regions = splitter if isinstance(splitter, Reference) else None
    if given.wild_type is not None and isinstance(splitter, Table):
        raise ConfigError(
            "--split file: needs ids, and the proteins of a table of mutants have none; name a column that holds the "
            "split, column:NAME"
        )
    if size is None and (overlap is not None or regions is not None):
        raise ConfigError("--overlap and --split reference: are for sequences cut with --window")
    if size is not None:
        shared = min(OVERLAP, size // 8) if overlap is None else overlap
        rows = (part for row in rows for part in cut_windows(row, size, shared, regions))
    targets = [{"name": name, "unit": ""} for name in given.columns]
    with tag_writer(out, ALPHABETS[given.alphabet], states, targets) as writer:
        writer.file.attrs["note"] = note
        if given.wild_type is not None:
            writer.file.attrs["effect"] = given.values[0]
        unknown = len(ALPHABETS[given.alphabet])
        _write(writer, rows, splitter, counts, str(given.labels or given.source), unknown, advance)
        writer.file.attrs["sources"] = json.dumps({path: sha256(path) for path in files if Path(path).is_file()})
    return account(out, counts, note)


def _write(
    writer: TagWriter,
    rows: Iterable[TagRow],
    splitter: TagSplitter,
    counts: Counter[str],
    source: str,
    unknown: int,
    advance: Callable[[int], None],
) -> None:
    origins = []
    for row in rows:
        advance(1)
        known = (row.tags != NO_STATE) if row.tags.ndim == 1 else np.isfinite(row.tags)
        if not known.any() or (row.tokens == unknown).all():
            counts["dropped: no label" if not known.any() else "dropped: no known residue"] += 1
            continue
        code = _code(splitter, row)
        if code is None:
            text = f"'{row.split_text[:60]}'" if isinstance(splitter, Header | Column) else "no row with this id"
            where = splitter.path if isinstance(splitter, Table) else source
            key = splitter.name if isinstance(splitter, Header | Column) else ""
            problem = f"{key}: found {text}; allowed is {', '.join(SPLITS)}".lstrip(": ")
            raise InputError(where, problem, row.id)
        counts["kept"] += 1
        origins.append(row.origin or row.id)  # windows of a sequence stay in one split
        writer.add(row.id, row.tokens, row.tags, code)
    writer.flush()
    if not writer.rows:
        reasons = ", ".join(f"{name} {number}" for name, number in counts.items()) or "it holds none"
        raise InputError(source, f"no sequence could be used ({reasons})")
    if not isinstance(splitter, Header | Table | Column | Reference):
        file = writer.file
        found = Rows(origins, (), file["tokens"][:], file["offsets"][:])
        file["split"][:] = splitter.assign(found)


def _code(splitter: TagSplitter, row: TagRow) -> int | None:
    """Return the code of a row's split: 0 if it is assigned after all rows are read, None if it is not given."""
    if row.split is not None:
        return row.split
    if isinstance(splitter, Header | Column):
        return splitter.code(row.split_text)
    return splitter.code(row.origin or row.id) if isinstance(splitter, Table) else 0


def tag_summary(path: str | Path) -> dict[str, Any]:
    """Return for each split: counts, lengths, composition, and fractions of states or moments of values.

    Histograms are {"edges": (n + 1,), "counts": (n,)}, with the same edges for all splits.
    """
    with TagFile(path) as prepared:
        file, letters, tags = prepared.file, prepared.alphabet, prepared.tags
        codes, lengths = file["split"][:], np.diff(file["offsets"][:])
        tokens, owner = file["tokens"][:], np.repeat(codes, lengths)
        found = file["labels" if tags else "values"][:]
        pseudo = file["probabilities"][:].any(1) if "probabilities" in file else None
        names = [target["name"] for target in prepared.targets]
    summary: dict[str, Any] = {"alphabet": letters, "tags": tags, "targets": {}}
    summary |= {"splits": {}, "lengths": {}, "composition": {}} | ({"states": {}} if tags else {})
    for code in range(len(SPLITS)):
        here, mine = codes == code, owner == code
        if not here.any():
            continue
        known = found[mine] != NO_STATE if tags else np.isfinite(found[mine]).any(1)
        summary["splits"][SPLITS[code]] = {
            "sequences": int(here.sum()),
            "residues": int(lengths[here].sum()),
            "labelled": int(known.sum()),
            **({} if pseudo is None else {"labelled_by_model": int(pseudo[mine].sum())}),
            **spread(lengths[here], "length"),
        }
        summary["lengths"][SPLITS[code]] = histogram(lengths[here], bin_edges(lengths, whole=True))
        counts = np.bincount(tokens[mine], minlength=len(letters) + 1)[1:]
        summary["composition"][SPLITS[code]] = parts(counts, letters)
        if tags:
            states = np.bincount(found[mine][known], minlength=len(tags["states"]))
            summary["states"][SPLITS[code]] = parts(states, tags["states"])
    for place, name in enumerate(names):
        column = found[:, place].astype(np.float64)
        entry: dict[str, Any] = {"statistics": {}, "histograms": {}}
        bounds = bin_edges(column[np.isfinite(column)])
        for split in summary["splits"]:
            mine = column[owner == SPLITS.index(split)]
            known = mine[np.isfinite(mine)]
            entry["statistics"][split] = {"n": len(known), "missing": len(mine) - len(known)} | moments(known)
            entry["histograms"][split] = histogram(known, bounds)
        summary["targets"][name] = entry
    return summary


def tag_leakage(path: str | Path) -> dict[str, Any]:
    """Return the leakage between splits: similar proteins, see `protein_leakage`; for DNA, equal sequences."""
    with TagFile(path) as file:
        protein = file.alphabet == RESIDUES
    return protein_leakage(path, opened=TagFile, near=protein)
