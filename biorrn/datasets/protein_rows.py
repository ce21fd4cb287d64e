"""Proteins and their measured values, from one table or from FASTA joined with a table by id."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from biorrn.errors import ConfigError, InputError
from biorrn.files import open_text
from biorrn.readers import tables
from biorrn.readers.fasta import read_fasta
from biorrn.readers.records import TargetRecord
from biorrn.readers.tables import PACKED, TABLES, Reading, column_names, matching
from biorrn.readers.targets import read_targets

FASTA = (".fa", ".fasta", ".faa", ".fas", ".fna", ".pep")


@dataclass(frozen=True, slots=True)
class ProteinRow:
    """One protein with its values.

    Attributes
    ----------
    id, sequence : str: as in `readers.records.ProteinRecord`.
    targets : one float a target column, NaN where missing.
    weight : float: weight in the loss.
    split : str: the cell of the split column, "" where there is none.
    cells : tuple of str: further columns that were asked for.
    bounds : as in `readers.records.TargetRecord`: of values written as `>90`.
    """

    id: str
    sequence: str
    targets: Sequence[float]
    weight: float = 1.0
    split: str = ""
    cells: tuple[str, ...] = ()
    bounds: tuple[tuple[float, float], ...] = ()


def is_fasta(path: str | Path) -> bool:
    """Tell whether an input is FASTA: by its suffix, else by its first character."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() not in PACKED]
    if suffixes and suffixes[-1] in TABLES:
        return False
    if suffixes and suffixes[-1] in FASTA:
        return True
    if str(path) == "-":
        return False
    with open_text(path) as file:
        return file.read(1) == ">"


def protein_rows(
    path: str | Path,
    targets: Sequence[str],
    counts: Counter[str],
    *,
    table: str | Path | None = None,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    weight_column: str | None = None,
    split_column: str | None = None,
    unlabelled: bool = False,
    cells: Sequence[str] = (),
    reading: Reading | None = None,
) -> Iterator[ProteinRow]:
    """Yield proteins with their values.

    Parameters
    ----------
    path : a table with a column of sequences, or FASTA; then `table` holds the values and is joined by id.
    targets : names of the target columns; none with `unlabelled`.
    counts : takes what was left out or changed, by reason.
    table : only with FASTA; it is held in memory, its ids must differ.
    unlabelled : bool: sequences without values are what is wanted, as for a language model.
    id_column : default "id" where the table has it; a table of sequences without it gets row1, row2, ...
    cells : further columns of the table, whose cells come as text.
    reading : how the table is read; takes what was made of it, and rows that cannot be used. Without it, the first
        such row is an error.

    An id that came before gets #2, #3, ... at its end, so that predictions can be joined by id.

    Raises
    ------
    ConfigError: no target, FASTA without a table, or a table with a table; values asked for of `unlabelled` proteins.
    InputError: a file, a column or a cell cannot be used; see `readers.targets` and `readers.fasta`.
    """
    if not targets and not unlabelled:
        raise ConfigError("--target: found none; name at least one column of numbers, or --no-target")
    if unlabelled and (targets or table is not None):
        raise ConfigError("--no-target: cannot be with --target or --targets; allowed is one of them")
    twice = [name for name in targets if list(targets).count(name) > 1]
    if twice:
        raise ConfigError(f"--target: '{twice[0]}' is given twice; allowed is once")
    if is_fasta(path):
        if unlabelled:
            if split_column is not None or weight_column is not None:
                raise ConfigError(f"{path}: is FASTA, which has no column '{split_column or weight_column}'")
            return distinct((ProteinRow(record.id, record.sequence, ()) for record in read_fasta(path)), counts)
        if table is None:
            raise ConfigError(f"{path}: is FASTA, which holds no values; name their table with --targets")
        columns = (id_column or "id", None, weight_column, split_column, cells)
        records = read_targets(table, targets, *columns, reading=reading)
        rows = _joined(path, table, records, counts, id_column or "id")
    else:
        if table is not None:
            raise ConfigError(f"--targets {table}: is for FASTA input; {path} is a table and holds the values itself")
        named, sequences = _columns(path, id_column, sequence_column, reading)
        columns = (named, sequences, weight_column, split_column, cells)
        records = read_targets(path, targets, *columns, reading=reading)
        rows = (_row(record, record.sequence or "") for record in records)
    return distinct(rows, counts)


def _columns(path: str | Path, id: str | None, sequence: str, reading: Reading | None) -> tuple[str | None, str]:
    """Return the columns of ids and of sequences; without ids, None, which numbers the rows."""
    if str(path) == "-":
        return id, sequence
    look = Reading(reading.sheet if reading is not None else None)
    names = column_names(path, look)
    return id or ("id" if matching("id", names) else None), tables.sequence_column(path, names, sequence, look)


def _row(record: TargetRecord, sequence: str) -> ProteinRow:
    return ProteinRow(record.id, sequence, record.values, record.weight, record.split, record.cells, record.bounds)


def _joined(
    path: str | Path,
    table: str | Path,
    records: Iterable[TargetRecord],
    counts: Counter[str],
    id_column: str,
) -> Iterator[ProteinRow]:
    values: dict[str, TargetRecord] = {}
    for record in records:
        if record.id in values:
            raise InputError(table, f"column '{id_column}': the id is given twice; allowed is once", record.id)
        values[record.id] = record
    found = 0
    for protein in read_fasta(path):
        record_or_none = values.pop(protein.id, None)
        if record_or_none is None:
            counts["dropped: no row in the table"] += 1
            continue
        found += 1
        yield _row(record_or_none, protein.sequence)
    if not found and values:
        example = next(iter(values))
        raise InputError(
            path, f"no id of the FASTA is in column '{id_column}' of {table}, which has ids as '{example}'"
        )
    if values:
        counts["table rows without a protein"] += len(values)


def distinct(rows: Iterator[ProteinRow], counts: Counter[str]) -> Iterator[ProteinRow]:
    """Yield the rows with every id once."""
    seen: Counter[str] = Counter()
    for row in rows:
        name = row.id
        while name in seen:
            seen[row.id] += 1
            name = f"{row.id}#{seen[row.id]}"
        seen[name] = 1
        if name != row.id:
            counts["renamed: id came before"] += 1
            row = replace(row, id=name)
        yield row
