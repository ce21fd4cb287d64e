"""Tables of results: CSV, TSV or parquet, by the suffix of the file; each appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from biorrn.errors import ConfigError
from biorrn.files import atomic_path, write_text

DIGITS = 5  # significant digits of a number in text; float32 arithmetic itself is good for about six
ROWS = 50_000  # of parquet, written together

_PLAIN = str.maketrans("\t\r\n", "   ")  # in a table of tabs and lines, a cell holds neither

Row = Sequence[Any]


@contextlib.contextmanager
def open_table(path: str | Path, columns: Mapping[str, type]) -> Iterator[Callable[[Row], None]]:
    """Open a table and yield `write(row)`, one value a column.

    Parameters
    ----------
    path : .csv, .parquet or .pq; any other name, and `-` for standard output, is TSV. Text ends in .gz to be packed.
    columns : name -> str, int or float. Floats have five significant digits in text, and are float32 in parquet.

    Raises
    ------
    ConfigError: parquet that ends in .gz.
    BiorrnError: the file cannot be written.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = suffixes[-1:] == [".gz"]
    opener = FORMATS.get("".join(suffixes[-2:-1] if packed else suffixes[-1:]), _tsv)
    if packed and opener is _parquet:
        raise ConfigError(f"{path}: parquet is packed in itself; leave out .gz")
    with opener(path, columns) as write:
        yield write


def _cells(row: Row) -> list[str]:
    return [f"{cell:.{DIGITS}g}" if isinstance(cell, float) else str(cell) for cell in row]


@contextlib.contextmanager
def _csv(path: str | Path, columns: Mapping[str, type]) -> Iterator[Callable[[Row], None]]:
    with write_text(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        yield lambda row: writer.writerow(_cells(row))


@contextlib.contextmanager
def _tsv(path: str | Path, columns: Mapping[str, type]) -> Iterator[Callable[[Row], None]]:
    with write_text(path) as stream:

        def write(row: Row) -> None:
            stream.write("\t".join(cell.translate(_PLAIN) for cell in _cells(row)) + "\n")

        write(list(columns))
        yield write


@contextlib.contextmanager
def _parquet(path: str | Path, columns: Mapping[str, type]) -> Iterator[Callable[[Row], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float32()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    rows: list[Row] = []
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:

        def flush() -> None:
            cells = zip(*rows, strict=True) if rows else [[]] * len(schema)
            arrays = [pa.array(list(column), kind) for column, kind in zip(cells, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows.clear()

        def write(row: Row) -> None:
            rows.append(row)
            if len(rows) == ROWS:
                flush()

        yield write
        flush()


# suffix -> context manager of (path, columns)
FORMATS: dict[str, Callable[..., contextlib.AbstractContextManager[Callable[[Row], None]]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".pq": _parquet,
}
