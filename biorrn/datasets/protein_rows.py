"""Proteins and their measured values, from one table or from FASTA joined with a table by id."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from biorrn.errors import ConfigError, InputError
from biorrn.files import open_text
from biorrn.readers.fasta import read_fasta
from biorrn.readers.records import TargetRecord
from biorrn.readers.targets import column_names, read_targets

TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq")
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
    """

    id: str
    sequence: str
    targets: Sequence[float]
    weight: float = 1.0
    split: str = ""


def is_fasta(path: str | Path) -> bool:
    """Tell whether an input is FASTA: by its suffix, else by its first character."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() != ".gz"]
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
        rows = _joined(path, table, targets, counts, id_column or "id", weight_column, split_column)
    else:
        if table is not None:
            raise ConfigError(f"--targets {table}: is for FASTA input; {path} is a table and holds the values itself")
        records = read_targets(path, targets, _id_column(path, id_column), sequence_column, weight_column, split_column)
        rows = (_row(record, record.sequence or "") for record in records)
    return distinct(rows, counts)


def _id_column(path: str | Path, asked: str | None) -> str | None:
    """Return the id column: the one asked for, else "id" where the table has it, else None, which numbers the rows."""
    if asked is not None or str(path) == "-":
        return asked
    return "id" if "id" in column_names(path) else None


def _row(record: TargetRecord, sequence: str) -> ProteinRow:
    return ProteinRow(record.id, sequence, record.values, record.weight, record.split)


def _joined(
    path: str | Path,
    table: str | Path,
    targets: Sequence[str],
    counts: Counter[str],
    id_column: str,
    weight_column: str | None,
    split_column: str | None,
) -> Iterator[ProteinRow]:
    values: dict[str, TargetRecord] = {}
    for record in read_targets(table, targets, id_column, None, weight_column, split_column):
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
