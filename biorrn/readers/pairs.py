"""Pairs of sequences as text: a table with two columns, or two FASTA files joined by id."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from biorrn.errors import InputError
from biorrn.readers.fasta import read_entries
from biorrn.readers.tables import read_cells


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sequences as written, and what the table says of their split."""

    id: str
    source: str
    target: str
    split: str = ""


def read_pair_table(
    path: str | Path,
    source_column: str = "source",
    target_column: str = "target",
    id_column: str | None = None,
    split_column: str | None = None,
) -> Iterator[Pair]:
    """Yield the rows of a table (CSV, TSV, parquet); without a column of ids they are row1, row2, ...

    Raises
    ------
    InputError: a column is missing, an id is empty, or the table has no rows.
    """
    columns = [name for name in (source_column, target_column, id_column, split_column) if name is not None]
    for number, row in enumerate(read_cells(path, columns), 1):
        cells = {name: "" if row[name] is None else str(row[name]).strip() for name in columns}
        name = f"row{number}" if id_column is None else cells[id_column]
        if not name:
            raise InputError(path, f"row {number}: column '{id_column}' is empty; allowed is an id")
        yield Pair(name, cells[source_column], cells[target_column], cells.get(split_column or "", ""))


def read_pair_fasta(sources: str | Path, targets: str | Path) -> Iterator[Pair]:
    """Yield the pairs of two FASTA files, in the order of the first; those of the second are held in memory.

    Raises
    ------
    InputError: a file is no FASTA, an id comes twice, or a source has no target of its id.
    """
    known: dict[str, str] = {}
    for name, text in read_entries(targets):
        if name in known:
            raise InputError(targets, "the id is given twice; allowed is once", name)
        known[name] = text
    for name, text in read_entries(sources):
        if name not in known:
            raise InputError(sources, f"has no record of this id in {targets}; each source needs its target", name)
        yield Pair(name, text, known[name])
