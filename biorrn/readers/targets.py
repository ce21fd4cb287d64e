"""Tables of measured values: CSV, TSV or parquet."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from biorrn.errors import ConfigError, InputError
from biorrn.files import open_text
from biorrn.lookup import nearest
from biorrn.readers.fields import faults, guarded
from biorrn.readers.records import TargetRecord
from biorrn.readers.sequences import clean_sequence

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})  # a cell that holds no value, in any case
DAMAGE = (OSError, ValueError, NotImplementedError, LookupError, TypeError, OverflowError)  # what Arrow raises on it
Row = Mapping[str, Any]


def read_targets(
    path: str | Path,
    target_columns: Sequence[str],
    id_column: str | None = "id",
    sequence_column: str | None = None,
    weight_column: str | None = None,
    split_column: str | None = None,
    cells: Sequence[str] = (),
) -> Iterator[TargetRecord]:
    """Yield the rows of a table, one (of parquet: one batch) in memory at a time.

    Parameters
    ----------
    path : a .parquet file; else text with a header line, gzip by content, `-` for standard input. A name with .csv
        has commas, one with .tsv or .tab has tabs; else the header tells.
    target_columns : the columns of numbers; an empty cell, NA, NaN, null or None is missing.
    id_column : the column of ids, which are not checked for repeats; None numbers the rows: row1, row2, ...
    sequence_column : a column of proteins, cleaned as in FASTA.
    weight_column : a column of numbers of 0 or more.
    split_column : a column of text that says the split.
    cells : further columns, whose cells come as text.

    Raises
    ------
    InputError: a column is missing (the nearest name is given), a row has another number of cells than the header, a
        cell is not a number, an id is empty, a sequence cannot be cleaned, or the table has no rows.
    ConfigError: no column is asked for.
    """
    wanted = [*target_columns, id_column, sequence_column, weight_column, split_column, *cells]
    columns = [name for name in wanted if name is not None]
    if not columns:
        raise ConfigError(f"{path}: no column is asked for; name at least one target column")
    reader = READERS.get(Path(path).suffix.lower(), _read_text)
    number = 0
    for number, row in enumerate(reader(path, columns), 1):
        name = f"row{number}" if id_column is None else _text(row[id_column])
        if not name:
            raise InputError(path, f"row {number}: column '{id_column}' is empty; allowed is an id")
        sequence = None
        if sequence_column is not None:
            with faults(path, name):
                sequence = clean_sequence(_text(row[sequence_column]))[0]
        weight = 1.0 if weight_column is None else _number(path, number, weight_column, row[weight_column])
        if not weight >= 0:
            problem = f"row {number}: column '{weight_column}': found {weight:g}; allowed is a number of 0 or more"
            raise InputError(path, problem)
        values = tuple(_number(path, number, column, row[column]) for column in target_columns)
        split = "" if split_column is None else _text(row[split_column])
        yield TargetRecord(name, values, sequence, weight, split, tuple(_text(row[column]) for column in cells))
    if not number:
        raise InputError(path, "the table has no rows")


def read_cells(path: str | Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the cells of the columns named, as the table has them, a row at a time; see `read_targets` for formats.

    Raises
    ------
    InputError: a column is missing, a row has another number of cells than the header, or the table has no rows.
    """
    reader, empty = READERS.get(Path(path).suffix.lower(), _read_text), True
    for row in reader(path, columns):
        empty = False
        yield {name: row[name] for name in columns}
    if empty:
        raise InputError(path, "the table has no rows")


def column_names(path: str | Path) -> list[str]:
    """Return the columns of a table, from its header alone.

    Raises
    ------
    InputError: the file cannot be read, or is empty.
    """
    if READERS.get(Path(path).suffix.lower()) is _read_parquet:
        with _open_parquet(path) as table:
            return list(table.schema_arrow.names)
    with open_text(path) as file:
        return _header(path, file)[0]


def _number(path: str | Path, row: int, column: str, cell: Any) -> float:
    """Return a cell as a number, NaN where it is missing."""
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
        return math.nan
    try:
        value = math.inf if "_" in str(cell) else float(cell)  # Python reads 1_000 as a number; no table means that
    except (TypeError, ValueError):
        value = math.inf
    if math.isinf(value):
        raise InputError(path, f"row {row}: column '{column}': found {str(cell)[:40]!r}; allowed is a finite number")
    return value


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def check_columns(path: str | Path, wanted: Iterable[str], found: Sequence[str]) -> None:
    """Check that a table has the columns that are needed, each once.

    Raises
    ------
    InputError: names the first that is missing, the nearest one and all that there are; or one that stands twice.
    """
    for name in wanted:
        if name not in found:
            close = nearest(name, found)
            hint = f"; did you mean '{close}'?" if close else "."
            raise InputError(path, f"column '{name}' is missing{hint} Columns: {', '.join(found)[:200] or 'none'}")
        if list(found).count(name) > 1:
            raise InputError(path, f"column '{name}' is given twice; allowed is once")


def _read_text(path: str | Path, columns: Sequence[str]) -> Iterator[Row]:
    with open_text(path) as file:
        names, delimiter = _header(path, file)
        check_columns(path, columns, names)
        rows = guarded(csv.reader(_without_blanks(file), delimiter=delimiter), path, csv.Error)
        for number, cells in enumerate(rows, 1):
            if len(cells) != len(names):
                raise InputError(path, f"row {number} has {len(cells)} cells; the header names {len(names)} columns")
            yield dict(zip(names, cells, strict=True))


def _header(path: str | Path, file: IO[str]) -> tuple[list[str], str]:
    """Return the names of the columns, from the first line, and what parts them."""
    header = file.readline().lstrip("\ufeff").rstrip("\r\n")
    if not header:
        raise InputError(path, "the table is empty; its first line names the columns")
    delimiter = _delimiter(path, header)
    with faults(path, None, csv.Error):
        return next(csv.reader([header], delimiter=delimiter)), delimiter


def _without_blanks(file: IO[str]) -> Iterator[str]:
    return (line for line in file if line.strip())


def _delimiter(path: str | Path, header: str) -> str:
    suffixes = {suffix.lower() for suffix in Path(path).suffixes}
    if ".csv" in suffixes:
        return ","
    return "\t" if suffixes & {".tsv", ".tab"} or "\t" in header else ","


def _open_parquet(path: str | Path) -> Any:
    import pyarrow.parquet

    with faults(path, None, *DAMAGE):
        return pyarrow.parquet.ParquetFile(path)


def _read_parquet(path: str | Path, columns: Sequence[str]) -> Iterator[Row]:
    with _open_parquet(path) as file:
        check_columns(path, columns, file.schema_arrow.names)
        unique = list(dict.fromkeys(columns))
        batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=4096, columns=unique))
        for rows in guarded(batches, path, *DAMAGE):
            yield from rows


READERS = {".parquet": _read_parquet, ".pq": _read_parquet}
