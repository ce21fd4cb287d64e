"""Sequences with a state or values for each residue -> a prepared file of tags, and its account."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.datasets.account import account
from biorrn.datasets.protein_rows import is_fasta
from biorrn.datasets.schema import SPLITS
from biorrn.datasets.splits import Cluster, Column, Reference, Rows
from biorrn.datasets.tag_file import TagWriter, tag_writer
from biorrn.datasets.tag_rows import ALPHABETS, TagRow, archive_files, rows_of_fasta, rows_of_table
from biorrn.datasets.tag_segments import cut_windows, rows_of_segments, segment_states
from biorrn.datasets.tag_splits import Header, Table, TagSplitter
from biorrn.encoders.states import NO_STATE, States
from biorrn.errors import ConfigError, InputError
from biorrn.files import sha256
from biorrn.lookup import lookup
from biorrn.readers.labels import is_archive

WINDOW, OVERLAP = 4096, 512  # bases; of DNA where nothing else is asked for


@dataclass(frozen=True, slots=True)
class TagInput:
    """What `biorrn prepare tags` reads.

    Attributes
    ----------
    source : a FASTA file of sequences, a table, or a folder or zip archive of FLIP's FASTA files.
    labels, mask : FASTA of one letter a residue, with a FASTA source.
    bed : segments, with a FASTA source, in place of labels.
    alphabet : "protein" or "dna".
    states : States: of the labels.
    label_column, sequence_column : of a table.
    values : columns of a table with numbers; with any there are no labels.
    background : str: state of a base in no segment.
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

    def open(self, split_column: str | None) -> tuple[Iterator[TagRow], States | None, list[str]]:
        """Return the rows, their states (None: values), and the files that they come from.

        Raises
        ------
        ConfigError: options that do not go together.
        InputError: a file cannot be used; see `datasets.tag_rows`.
        """
        lookup(ALPHABETS, self.alphabet, "--alphabet")
        archive = is_archive(self.source)
        fasta = not archive and is_fasta(self.source)
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
    """Write sequences with tags to a prepared file and return its account.

    A sequence without a single label or value, or without a known residue, is left out and counted.

    Parameters
    ----------
    out : the HDF5 file to write.
    splitter : from `datasets.tag_splits.parse_tag_split`.
    window, overlap : int: longer sequences are cut; see `datasets.tag_segments`. Default for DNA: `WINDOW`, `OVERLAP`;
        proteins stay whole.

    Raises
    ------
    ConfigError: options that do not go together.
    InputError: a file cannot be used, a row names no split, or no sequence could be used.
    """
    if isinstance(splitter, Cluster) and given.alphabet != "protein":
        raise ConfigError(f"--split cluster: is for proteins; found --alphabet {given.alphabet}")
    rows, states, files = given.open(splitter.name if isinstance(splitter, Column) else None)
    size = window or (WINDOW if given.alphabet == "dna" else None)
    regions = splitter if isinstance(splitter, Reference) else None
    if size is None and (overlap is not None or regions is not None):
        raise ConfigError("--overlap and --split reference: are for sequences cut with --window")
    if size is not None:
        shared = min(OVERLAP, size // 8) if overlap is None else overlap
        rows = (part for row in rows for part in cut_windows(row, size, shared, regions))
    counts: Counter[str] = Counter()
    targets = [{"name": name, "unit": ""} for name in given.values]
    with tag_writer(out, ALPHABETS[given.alphabet], states, targets) as writer:
        writer.file.attrs["note"] = note
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
            said = f"'{row.said[:60]}'" if isinstance(splitter, Header | Column) else "no row with this id"
            where = splitter.path if isinstance(splitter, Table) else source
            key = splitter.name if isinstance(splitter, Header | Column) else ""
            problem = f"{key}: found {said}; allowed is {', '.join(SPLITS)}".lstrip(": ")
            raise InputError(where, problem, row.id)
        counts["kept"] += 1
        origins.append(row.origin or row.id)  # windows of a sequence stay together where chance splits
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
    """Return the code of a row's split, 0 where it is chosen once all rows are known; None where nothing names it."""
    if row.split is not None:
        return row.split
    if isinstance(splitter, Header | Column):
        return splitter.code(row.said)
    return splitter.code(row.origin or row.id) if isinstance(splitter, Table) else 0
