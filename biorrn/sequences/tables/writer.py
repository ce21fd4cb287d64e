"""Tables of results in TSV, CSV, Excel or parquet, by the suffix of the file; written atomically."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.files import atomic_path, one_line, write_text

DIGITS = 5  # significant digits of a number in text; float32 arithmetic itself is good for about six
ROWS = 50_000  # of parquet, written together
EXCEL_ROWS = 1_048_576  # that a sheet has, the header included

Row = Sequence[Any]
Columns = Sequence[Sequence[Any] | np.ndarray]  # a block of rows: the cells of each column, or a float array
Add = Callable[[Columns], None]
Item = TypeVar("Item")


class Memory:
    """A table in memory, for `open_table` in place of a path; its numbers keep all digits."""

    def __init__(self) -> None:
        self.columns: Mapping[str, type] = {}
        self.rows: list[Row] = []

    def __str__(self) -> str:
        return "table"

    def frame(self) -> Any:
        """Return it as a pandas DataFrame: float64, int64 (Int64 where a cell is empty) and text."""
        import pandas as pd

        made = {}
        for place, (name, kind) in enumerate(self.columns.items()):
            cells = [row[place] for row in self.rows]
            whole = "Int64" if None in cells else "int64"
            made[name] = pd.Series(cells, dtype={float: "float64", int: whole, str: "object"}[kind])
        return pd.DataFrame(made)

    def add(self, columns: Columns) -> None:
        """Add a block of rows."""
        self.rows += zip(*map(_cells, columns), strict=True)


@dataclass(frozen=True, slots=True)
class Table:
    """An open table: `add` writes a block of rows by columns, a call writes one row."""

    add: Add

    def __call__(self, row: Row) -> None:
        """Write a row, one value a column."""
        self.add([(cell,) for cell in row])


@contextlib.contextmanager
def open_table(path: str | Path | Memory, columns: Mapping[str, type]) -> Iterator[Table]:
    """Open a table to write to.

    Parameters
    ----------
    path : see `table_format`, text ends in .gz to be packed; or a table in memory.
    columns : name -> str, int or float. Floats have five significant digits in text and in Excel, and are float32 in
        parquet. A cell that is None is empty.

    Raises
    ------
    ConfigError: another suffix.
    BiorrnError: the file cannot be written.
    """
    if isinstance(path, Memory):
        path.columns = columns
        yield Table(path.add)
        return
    with FORMATS[table_format(path)](path, columns) as add:
        yield Table(add)


@contextlib.contextmanager
def late(
    open: Callable[[Item | None], contextlib.AbstractContextManager[Table]],
    put: Callable[[Table, Item], None],
    left_out: Callable[[Item], bool] = lambda item: item.left_out,  # type: ignore[attr-defined]
) -> Iterator[Callable[[Item], None]]:
    """Yield `write(item)` to a table that is opened with the first item that is not left out.

    An error of the input thus precedes any output. Where all items are left out the table is opened at the end, unless
    the block ends with an error.

    Parameters
    ----------
    open : opens the table; called with the first usable item, which may decide the columns, or None.
    put : writes an item; called once the table is open.
    """
    opened: list[Table] = []
    held: list[Item] = []
    with contextlib.ExitStack() as stack:

        def flush() -> None:
            opened.append(stack.enter_context(open(held[-1] if held else None)))
            for item in held:
                put(opened[0], item)
            held.clear()

        def write(item: Item) -> None:
            if opened:
                put(opened[0], item)
                return
            held.append(item)
            if not left_out(item):
                flush()

        yield write
        if not opened:
            flush()


def table_format(path: str | Path) -> str:
    """Return the entry of `FORMATS` for a table's name; without a suffix, and for `-`, it is TSV.

    Raises
    ------
    ConfigError: another suffix, or .gz of a format that is packed in itself.

    >>> table_format("x.csv.gz"), table_format("-"), table_format("runs/predictions")
    ('.csv', '.tsv', '.tsv')
    >>> table_format("x.xl")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    biorrn.base.errors.ConfigError: x.xl: found the suffix '.xl'; allowed is .csv, .tsv, ..., text also with .gz
    """
    name = Path(path)
    packed = name.suffix.lower() == ".gz"
    suffix = (name.with_suffix("") if packed else name).suffix.lower()
    if suffix and suffix not in FORMATS:
        listed = ", ".join(FORMATS)
        raise ConfigError(f"{path}: found the suffix '{suffix}'; allowed is {listed}, text also with .gz")
    if packed and FORMATS.get(suffix) in (_parquet, _excel):
        raise ConfigError(f"{path}: {suffix.removeprefix('.')} is packed in itself; leave out .gz")
    return suffix or ".tsv"


def _cells(column: Sequence[Any] | np.ndarray) -> Sequence[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _texts(column: Sequence[Any] | np.ndarray) -> list[str]:
    if not isinstance(column, np.ndarray):
        return [
            "" if cell is None or cell != cell else f"{cell:.{DIGITS}g}" if isinstance(cell, float) else str(cell)
            for cell in column
        ]
    texts = list(map(f"%.{DIGITS}g".__mod__, column.tolist()))
    for place in np.flatnonzero(np.isnan(column)).tolist():
        texts[place] = ""
    return texts


def _one_line(texts: list[str]) -> list[str]:
    return texts if "".join(texts).isprintable() else list(map(one_line, texts))


@contextlib.contextmanager
def _csv(path: str | Path, columns: Mapping[str, type]) -> Iterator[Add]:
    with write_text(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        yield lambda block: writer.writerows(zip(*map(_texts, block), strict=True))


@contextlib.contextmanager
def _tsv(path: str | Path, columns: Mapping[str, type]) -> Iterator[Add]:
    with write_text(path) as stream:

        def add(block: Columns) -> None:
            rows = zip(*(_one_line(_texts(column)) for column in block), strict=True)
            stream.writelines(["\t".join(row) + "\n" for row in rows])

        add([(name,) for name in columns])
        yield add


@contextlib.contextmanager
def _parquet(path: str | Path, columns: Mapping[str, type]) -> Iterator[Add]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float32()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    rows: list[Row] = []
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:

        def flush() -> None:
            cells = zip(*rows[:ROWS], strict=True) if rows else [[]] * len(schema)
            arrays = [pa.array(list(column), kind) for column, kind in zip(cells, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            del rows[:ROWS]

        def add(block: Columns) -> None:
            rows.extend(zip(*map(_cells, block), strict=True))
            while len(rows) >= ROWS:
                flush()

        yield add
        flush()


@contextlib.contextmanager
def _excel(path: str | Path, columns: Mapping[str, type]) -> Iterator[Add]:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    with atomic_path(path) as temporary:
        book = Workbook(write_only=True)
        sheet = book.create_sheet("biorrn")
        count = 0

        def cell_of(value: Any) -> Any:
            if isinstance(value, float):
                return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
            if not isinstance(value, str):
                return value
            cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub(" ", value))
            cell.data_type = "s"  # or an id that begins with = would be a formula
            return cell

        def add(block: Columns) -> None:
            nonlocal count
            for row in zip(*map(_cells, block), strict=True):
                count += 1
                if count > EXCEL_ROWS:
                    raise BiorrnError(f"{path}: a sheet of Excel has {EXCEL_ROWS:,} rows; write .tsv, .csv or .parquet")
                sheet.append([cell_of(value) for value in row])

        add([(name,) for name in columns])
        yield add
        book.save(temporary)


# suffix -> context manager of (path, columns)
FORMATS: dict[str, Callable[..., contextlib.AbstractContextManager[Add]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".txt": _tsv,
    ".tab": _tsv,
    ".parquet": _parquet,
    ".pq": _parquet,
    ".xlsx": _excel,
}
