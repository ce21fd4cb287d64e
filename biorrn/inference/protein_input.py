"""Proteins to predict, from FASTA or from a table, and what is said where they are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from biorrn.errors import ConfigError, InputError
from biorrn.readers import tables
from biorrn.readers.fasta import read_fasta
from biorrn.readers.fields import OnProblem, stop
from biorrn.readers.ids import Ids
from biorrn.readers.records import ProteinRecord
from biorrn.readers.sequences import DNA_LENGTH, DNA_PART, NUCLEOTIDES
from biorrn.readers.tables import Reading, column_names, is_table, matching
from biorrn.readers.targets import read_targets

FIRST = 100  # records whose letters tell whether a file is DNA


def read_proteins(
    path: str | Path,
    *,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    sheet: str | None = None,
    on_problem: OnProblem = stop,
    on_repeat: Callable[[str], None] | None = None,
) -> Iterator[ProteinRecord]:
    """Yield the proteins of a FASTA file or of a table with a column of sequences, one in memory at a time.

    Parameters
    ----------
    path : FASTA, `-` for standard input; or a table, see `readers.tables.is_table`.
    sequence_column, id_column : of a table; ids are by default the column "id", or row1, row2, ... where there is none.
    sheet : of an Excel workbook, see `readers.tables.Reading`.
    on_problem : takes what is wrong with one record or row; where it returns, that record is left out.
    on_repeat : takes each id that came before, and the record is yielded; without it that is an error.

    Raises
    ------
    InputError: the file cannot be used, its first records are DNA or RNA, or `on_problem` raises.
    """
    if is_table(path):
        records = _table(path, sequence_column, id_column, sheet, on_problem, on_repeat)
    else:
        if sheet is not None:
            raise ConfigError(f"--sheet: is for an Excel workbook; {path} is read as FASTA")
        if id_column is not None:
            raise ConfigError(f"--id: is for a table; {path} is read as FASTA, whose headers hold the ids")
        records = read_fasta(path, on_problem, on_repeat)
    return _not_dna(path, records)


def _table(
    path: str | Path,
    sequence_column: str,
    id_column: str | None,
    sheet: str | None,
    on_problem: OnProblem,
    on_repeat: Callable[[str], None] | None,
) -> Iterator[ProteinRecord]:
    reading = Reading(sheet, strict=True)
    names = column_names(path, reading)
    if id_column is None and matching("id", names):
        id_column = "id"
    sequence_column = tables.sequence_column(path, names, sequence_column, reading)
    ids = Ids()
    rows = read_targets(path, [], id_column, sequence_column, reading=reading, on_problem=on_problem)
    for number, row in enumerate(rows, 1):
        before = ids.seen(row.id, number)
        if before and on_repeat is not None:
            on_repeat(row.id)
        elif before:
            raise InputError(path, f"the id is given twice, in rows {before} and {number}", row.id)
        sequence = row.sequence or ""
        yield ProteinRecord(row.id, sequence, unknown=sequence.count("X"))


def _not_dna(path: str | Path, records: Iterator[ProteinRecord]) -> Iterator[ProteinRecord]:
    """Yield the records, unless the first of them together are nucleotides: each alone may be too short to tell."""
    first = list(islice(records, FIRST))
    letters: Counter[str] = Counter()
    for record in first:
        letters.update(record.sequence)
    letters["N"] += letters.pop("X", 0)  # the reader has made X of U; a protein of nothing but X is no protein either
    total = letters.total()
    part = sum(letters[letter] for letter in NUCLEOTIDES) / max(total, 1)
    if total >= DNA_LENGTH and part >= DNA_PART and sum(letters[letter] > 0 for letter in "ACGT") >= 3:
        raise InputError(
            path,
            f"looks like DNA or RNA: {100 * part:.0f} % of the {total} letters of the first {len(first)} records are "
            "A, C, G, T, U or N; needed are proteins",
        )
    yield from first
    yield from records
