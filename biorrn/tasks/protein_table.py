"""A user's own table of proteins, read whole: which columns it has, and which rows can be learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from biorrn.datasets.protein_rows import CHOOSING, LAYOUTS, SETS, YES, ProteinRow, is_fasta, layout_of, protein_rows
from biorrn.datasets.schema import SPLITS
from biorrn.datasets.splits import Column
from biorrn.encoders.residues import tokens
from biorrn.errors import ConfigError, InputError
from biorrn.readers.tables import Reading, column_names, find_column, is_labelled, plain

NO_SPLIT = len(SPLITS)  # code of a row that no column has placed
LEAST_ROWS = 12  # fewer measured proteins than this can train nothing that could be checked


@dataclass(frozen=True, slots=True)
class Columns:
    """What the user says of the input.

    Attributes
    ----------
    path : str: a table with sequences, or FASTA; then `values` is the table.
    targets : names of the columns to learn.
    sequence, id : columns; None finds them. That of sequences may hold mutations.
    wild_type, offset : for a table of mutations; see `datasets.protein_rows.protein_columns`.
    weight, groups : columns; None is none.
    split : the column that says train, valid or test; None looks for one of `SETS`.
    sheet, decimal, censored, strict : how the table is read, see `readers.tables.Reading`.
    """

    path: str
    targets: tuple[str, ...]
    values: str | None = None
    sequence: str | None = None
    id: str | None = None
    weight: str | None = None
    groups: str | None = None
    split: str | None = None
    wild_type: str | None = None
    offset: int = 0
    sheet: str | None = None
    decimal: str | None = None
    censored: str = "use"
    strict: bool = False

    @property
    def table(self) -> str:
        """Return the file that holds the values."""
        return self.values if self.values is not None else self.path


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that can be learned from.

    Attributes
    ----------
    rows : list of ProteinRow (N,).
    targets : float64 array (N, K): NaN is missing.
    tokens, offsets : uint8 (total,), int64 (N + 1,): the sequences.
    codes : uint8 array (N,): split that a column says, `NO_SPLIT` where none does.
    groups : int64 array (N,), or None: rows of one number stay on one side of any split.
    split_column : str, "" where no column says the split.
    counts : what was dropped, by reason.
    reading : Reading: what was found of the table, and made of its odd cells.
    """

    rows: list[ProteinRow]
    targets: np.ndarray
    tokens: np.ndarray
    offsets: np.ndarray
    codes: np.ndarray
    groups: np.ndarray | None = None
    split_column: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        """Return the residues of each row, int64 (N,)."""
        return np.diff(self.offsets)

    def sequence(self, row: int) -> np.ndarray:
        """Return the tokens of one row, uint8 (T,)."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]


def read_table(columns: Columns) -> Table:
    """Read a table, or FASTA with a table of values.

    Raises
    ------
    ConfigError: no target is named, or standard input is given.
    InputError: a column is missing, a cell cannot be used, a target is constant, or too few rows have one.
    """
    if "-" in (columns.path, columns.values):
        raise ConfigError("biorrn train-table reads its table more than once; found standard input, give a file")
    if columns.values is None and is_fasta(columns.path) and not is_labelled(columns.path):
        raise ConfigError(f"{columns.path}: is FASTA, which holds no values; name their table with --targets")
    reading = Reading(columns.sheet, columns.decimal, columns.censored, columns.strict)
    names = column_names(columns.table, reading)
    if not columns.targets:
        layout = layout_of(names)
        hint = f"; {layout} has its values in '{LAYOUTS[layout][1]}'" if layout else ""
        raise ConfigError(
            f"--target: found none; name a column of numbers of {columns.table}: {', '.join(names)[:200]}{hint}"
        )
    counts: Counter[str] = Counter()
    sets = [columns.split] if columns.split else [name for name in names if plain(name) in SETS]
    choosing = [name for name in names if plain(name) in map(plain, CHOOSING)]
    more = [*sets, *choosing, *([columns.groups] if columns.groups is not None else [])]
    for name in more:
        find_column(columns.table, name, names, reading)
    rows = list(
        protein_rows(
            columns.path,
            columns.targets,
            counts,
            table=columns.values,
            sequence_column=columns.sequence,
            id_column=columns.id,
            weight_column=columns.weight,
            cells=more,
            reading=reading,
            wild_type=columns.wild_type,
            offset=columns.offset,
        )
    )
    if reading.dropped:
        counts["dropped: row cannot be used"] = reading.dropped
    values = np.array([row.targets for row in rows], np.float64).reshape(len(rows), len(columns.targets))
    cells = {name: [row.cells[place] for row in rows] for place, name in enumerate(more)}
    split, codes = _splits(columns, rows, cells, sets, choosing)
    groups = None
    if columns.groups is not None:
        groups = np.unique(cells[columns.groups], return_inverse=True)[1]
    usable = np.isfinite(values).any(axis=1) | np.array([bool(row.bounds) for row in rows], bool)
    if not usable.all():
        counts["dropped: no target value"] = int((~usable).sum())
    known = np.array([bool(row.sequence.strip("X")) for row in rows], bool)
    if not known.all():
        counts["dropped: no known residue"] = int((~known).sum())
    kept = np.flatnonzero(usable & known)
    _check(columns, values[kept])
    sequences = [tokens(rows[place].sequence) for place in kept]
    return Table(
        [rows[place] for place in kept],
        values[kept],
        np.concatenate(sequences),
        np.concatenate([[0], np.cumsum([len(entry) for entry in sequences])]).astype(np.int64),
        codes[kept],
        None if groups is None else groups[kept],
        split,
        {reason: number for reason, number in counts.items() if number},
        reading,
    )


def distinct(table: Table) -> np.ndarray:
    """Return a number for each row, the same for rows of the same sequence: int64 (N,)."""
    whole = table.tokens.tobytes()
    texts = [whole[start:end] for start, end in pairwise(table.offsets.tolist())]
    place: dict[bytes, int] = {}
    return np.array([place.setdefault(text, len(place)) for text in texts], np.int64)


def _splits(
    columns: Columns,
    rows: Sequence[ProteinRow],
    cells: dict[str, list[str]],
    sets: Sequence[str],
    choosing: Sequence[str],
) -> tuple[str, np.ndarray]:
    """Return the column that says the split and the code of each row."""
    for name in sets:
        column = Column(name)
        found = [column.code(cell) for cell in cells[name]]
        if None in found:
            if columns.split:
                row = found.index(None)
                problem = f"column '{name}': found '{cells[name][row]}'; allowed is {', '.join(SPLITS)}"
                raise InputError(columns.table, problem, rows[row].id)
            continue
        codes = np.array(found, np.uint8)
        if not (codes == 0).any():
            raise InputError(columns.table, f"column '{name}' puts no row into train; --split overrides it")
        for other in choosing:
            marked = np.array([cell.lower() in YES for cell in cells[other]], bool)
            codes[marked & (codes == 0)] = 1
        if len(set(codes.tolist())) > 1:
            return name, codes
    return "", np.full(len(rows), NO_SPLIT, np.uint8)


def _check(columns: Columns, values: np.ndarray) -> None:
    for place, name in enumerate(columns.targets):
        known = values[np.isfinite(values[:, place]), place]
        if len(known) < LEAST_ROWS:
            raise InputError(
                columns.table,
                f"column '{name}': {len(known)} proteins have a value; expected at least {LEAST_ROWS} to learn "
                "and to check",
            )
        if np.ptp(known) == 0:
            raise InputError(
                columns.table, f"column '{name}': every value is {known[0]:g}; nothing can be learned of it"
            )


def sources(columns: Columns) -> list[Path]:
    """Return the files that are read."""
    given = [Path(path) for path in (columns.path, columns.values) if path is not None]
    wild_type = Path(columns.wild_type or "")
    return [*given, wild_type] if wild_type.is_file() else given
