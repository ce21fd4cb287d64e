"""Proteins to predict, from a sequence file or from a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from biorrn.errors import ConfigError, InputError
from biorrn.readers import tables
from biorrn.readers.fasta import Item, read_fasta, usable
from biorrn.readers.fields import OnProblem, stop
from biorrn.readers.ids import Ids
from biorrn.readers.records import ProteinRecord
from biorrn.readers.tables import Reading, column_names, is_table, matching
from biorrn.readers.targets import read_targets


def read_proteins(
    path: str | Path,
    *,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    sheet: str | None = None,
    on_problem: OnProblem = stop,
    on_repeat: Callable[[str], None] | None = None,
    keep: bool = False,
    carry: Sequence[str] = (),
) -> Iterator[ProteinRecord]:
    """Yield the proteins of a sequence file or of a table with a column of sequences, one in memory at a time.

    Parameters
    ----------
    path : a sequence file, see `readers.fasta`, `-` for standard input; or a table, see `readers.tables.is_table`.
    sequence_column, id_column : of a table; ids are by default the column "id", or row1, row2, ... where there is none.
    sheet : of an Excel workbook, see `readers.tables.Reading`.
    on_problem : takes what is wrong with one record or row; where it returns, that record is left out.
    on_repeat : takes each id that came before, and the record is yielded; without it that is an error.
    keep : bool: a record that is left out is yielded too, without sequence and with `problem` set.
    carry : columns of a table whose cells each record gets, see `other_columns`.

    Raises
    ------
    InputError: the file cannot be used, its first records are DNA or RNA, or `on_problem` raises.
    """
    if is_table(path):
        return usable(path, _rows(path, sequence_column, id_column, sheet, on_repeat, carry), on_problem, keep)
    if sheet is not None:
        raise ConfigError(f"--sheet: is for an Excel workbook; {path} is read as FASTA")
    if id_column is not None:
        raise ConfigError(f"--id: is for a table; {path} is read as FASTA, whose headers hold the ids")
    return read_fasta(path, on_problem, on_repeat, keep)


def other_columns(
    path: str | Path, sequence_column: str = "sequence", id_column: str | None = None, sheet: str | None = None
) -> list[str]:
    """Return the columns of a table that hold neither ids nor sequences; none of a sequence file.

    Raises
    ------
    InputError: the table cannot be read, or has no column of sequences.
    """
    if not is_table(path):
        return []
    names, used = _columns(path, sequence_column, id_column, Reading(sheet))
    return [name for name in dict.fromkeys(names) if name and name not in used and names.count(name) == 1]


def _columns(
    path: str | Path, sequence_column: str, id_column: str | None, reading: Reading
) -> tuple[list[str], list[str | None]]:
    """Return the columns of a table, and which of them hold ids (None: the rows are numbered) and sequences."""
    names = column_names(path, reading)
    found = matching(id_column or "id", names)
    ids = names[found[0]] if found else id_column
    return names, [ids, tables.sequence_column(path, names, sequence_column)]


def _rows(
    path: str | Path,
    sequence_column: str,
    id_column: str | None,
    sheet: str | None,
    on_repeat: Callable[[str], None] | None,
    carry: Sequence[str],
) -> Iterator[Item]:
    reading = Reading(sheet, strict=True)
    _, (ids, sequences) = _columns(path, sequence_column, id_column, reading)
    held: list[InputError] = []  # what is wrong with rows since the last one

    def other() -> Iterator[Item]:
        for problem in held:
            yield problem, ProteinRecord(problem.record or ".", "", problem=problem.flag, cells=("",) * len(carry))
        held.clear()

    seen = Ids()
    rows = read_targets(path, [], ids, sequences, cells=carry, reading=reading, on_problem=held.append, keep=True)
    for number, row in enumerate(rows, 1):
        own = held.pop() if row.problem else None
        yield from other()
        before = 0 if own else seen.seen(row.id, number)
        if before and on_repeat is not None:
            on_repeat(row.id)
        elif before:
            problem = f"the id is given twice, in rows {before} and {number}"
            own = InputError(path, problem, row.id, "id_given_before")
        if own is not None:
            yield own, ProteinRecord(row.id, "", problem=own.flag, cells=row.cells)
            continue
        sequence = row.sequence or ""
        changes = (*row.changes, *(["id_given_before"] if before else []))
        yield ProteinRecord(row.id, sequence, "", sequence.count("X"), changes, cells=row.cells)
    yield from other()
