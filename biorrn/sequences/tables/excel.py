"""Excel workbooks (.xlsx, .xlsm): the rows of a sheet, with notes on merged and hidden cells.

Values are those that Excel has stored. Merged cells, hidden columns and rows, and formulas without a stored value are
read from the XML, since openpyxl's streaming mode does not report them.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from biorrn.base.errors import InputError, faults, guarded

MOST_BYTES = 1 << 30  # of one part of a workbook, unpacked: a kilobyte of zip may stand for a terabyte
# what openpyxl and zipfile raise on a damaged workbook
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, ParseError, KeyError, ValueError, TypeError, AttributeError, IndexError),
    *(OSError, EOFError, NotImplementedError, OverflowError),
)
CHUNK = 1 << 20

_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*ref="([A-Z]{1,3}\d+:[A-Z]{1,3}\d+)"')
_HIDDEN_COLUMN = re.compile(rb'<(?:\w+:)?col\s(?=[^>]*hidden="(?:1|true)")[^>]*>')
_HIDDEN_ROW = re.compile(rb'<(?:\w+:)?row\s(?=[^>]*hidden="(?:1|true)")[^>]*>')
_FORMULA = re.compile(rb'<c\s[^>]*?r="([A-Z]{1,3}\d+)"[^>]*>\s*<f[^<]*(?:</f>|/>)?\s*(?:<v\s*/>|<v></v>)?\s*</c>')


@dataclass
class Hidden:
    """Merged cells, hidden columns and rows, and formulas of a sheet."""

    merged: list[tuple[int, int, int, int]] = field(default_factory=list)  # first column, row, last column, row; from 1
    columns: list[tuple[int, int]] = field(default_factory=list)
    rows: int = 0
    formulas: set[tuple[int, int]] = field(default_factory=set)  # (row, column) of those without a stored value


def check_workbook(path: str | Path) -> None:
    """Check that a zip archive is a workbook that is read.

    Raises
    ------
    InputError: another kind of archive.
    """
    with faults(path, None, *DAMAGE), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if any(entry.file_size > MOST_BYTES for entry in archive.infolist()):
            raise InputError(path, f"holds a part of more than {MOST_BYTES:,} bytes; save the sheet as .csv")
        if "xl/workbook.xml" in names:
            return
        kind = archive.read("mimetype")[:100] if "mimetype" in names else b""
    if b"opendocument" in kind:
        raise InputError(path, "is an OpenDocument table (.ods), which is not read; save it as .xlsx or .csv")
    if "xl/workbook.bin" in names:
        raise InputError(path, "is a binary Excel workbook (.xlsb), which is not read; save it as .xlsx or .csv")
    if any(name.startswith("Index/") for name in names):
        raise InputError(path, "is a Numbers table, which is not read; export it as .xlsx or .csv")
    raise InputError(path, "is a zip archive, not a table; unpack it and name the table in it")


@contextlib.contextmanager
def open_sheet(
    path: str | Path, sheet: str | None = None
) -> Iterator[tuple[Iterator[tuple[int, list[Any]]], dict[str, str]]]:
    """Yield the rows of a sheet as (row of the sheet, cells), and what was found of it.

    Parameters
    ----------
    sheet : its name, or its number from 1; None is the first.

    Cells are None, text, numbers, or dates. A percentage, which Excel stores as a fraction, is text such as `54 %`, as
    people see it. Cells that are merged downwards have the value of the topmost.

    Raises
    ------
    InputError: the workbook is damaged, or has no such sheet.
    """
    import openpyxl

    # opened here: openpyxl goes by the suffix of a name, and a workbook may have any
    with open(path, "rb") as file:
        # openpyxl warns of what it does not keep, which is nothing of the cells
        with faults(path, None, *DAMAGE), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        chosen = _choose(path, book.worksheets, sheet)
        names = [found.title for found in book.worksheets]
        facts = {"sheet": f"'{chosen.title}'"}
        if len(names) > 1:
            listed = ", ".join(names)[:200]
            facts["sheet"] += (
                f" of {len(names)}: {listed}" if sheet else f", the first of {len(names)}: {listed} (--sheet)"
            )
        hidden = _hidden(path, getattr(chosen, "_worksheet_path", None))
        if hidden.merged:
            facts["merged cells"] = f"{len(hidden.merged)}; those below the first have its value"
        if hidden.columns or hidden.rows:
            count = sum(last - first + 1 for first, last in hidden.columns)
            facts["hidden"] = f"columns {count}, rows {hidden.rows} hidden in Excel; they are read too"
        if hidden.formulas:
            facts["formulas"] = f"{len(hidden.formulas)} without a stored value; open and save the workbook in Excel"
        chosen.reset_dimensions()  # what some programs write there is wrong
        yield _rows(path, chosen, hidden), facts


def _choose(path: str | Path, sheets: list[Any], wanted: str | None) -> Any:
    names = [sheet.title for sheet in sheets]
    if not sheets:
        raise InputError(path, "holds no sheet with cells")
    if wanted is None:
        return sheets[0]
    for fits in (lambda name: name == wanted, lambda name: name.strip().casefold() == wanted.strip().casefold()):
        for name, sheet in zip(names, sheets, strict=True):
            if fits(name):
                return sheet
    if wanted.isdecimal() and 1 <= int(wanted) <= len(sheets):
        return sheets[int(wanted) - 1]
    raise InputError(path, f"has no sheet '{wanted}'; its sheets are {', '.join(names)[:300]}")


def _hidden(path: str | Path, part: str | None) -> Hidden:
    found = Hidden()
    if part is None:
        return found
    with faults(path, None, *DAMAGE), zipfile.ZipFile(path) as archive, archive.open(part.lstrip("/")) as stream:
        rest = b""
        while chunk := stream.read(CHUNK):
            # cut between two elements, so that none is counted twice or missed
            text = rest + chunk
            cut = max(text.rfind(b"</row>"), text.rfind(b"<mergeCell ")) if len(chunk) == CHUNK else len(text)
            cut = cut if cut > 0 else len(text)
            _look(text[:cut], found)
            rest = text[cut:]
        _look(rest, found)
    return found


def _look(text: bytes, found: Hidden) -> None:
    for match in _MERGED.finditer(text):
        start, end = (_place(part) for part in match[1].decode().split(":"))
        found.merged.append((*start, *end))
    for match in _HIDDEN_COLUMN.finditer(text):
        ends = [re.search(rf'{name}="(\d+)"'.encode(), match[0]) for name in ("min", "max")]
        if ends[0] and ends[1]:
            found.columns.append((int(ends[0][1]), min(int(ends[1][1]), int(ends[0][1]) + 999)))
    found.rows += sum(1 for _ in _HIDDEN_ROW.finditer(text))
    found.formulas |= {_place(match[1].decode())[::-1] for match in _FORMULA.finditer(text)}


def _place(reference: str) -> tuple[int, int]:
    """Return column and row of a cell, from 1.

    >>> _place("AB12")
    (28, 12)
    """
    letters = reference.rstrip("0123456789")
    column = 0
    for letter in letters:
        column = 26 * column + ord(letter) - ord("A") + 1
    return column, int(reference[len(letters) :])


def _rows(path: str | Path, sheet: Any, hidden: Hidden) -> Iterator[tuple[int, list[Any]]]:
    downwards = [area for area in hidden.merged if area[3] > area[1]]
    topmost: dict[tuple[int, int, int, int], Any] = {}
    for number, cells in enumerate(guarded(sheet.iter_rows(), path, *DAMAGE), 1):
        row = [_value(cell) for cell in cells]
        for column in range(len(row)):
            if (number, column + 1) in hidden.formulas:
                row[column] = "a formula without a stored value"
        for area in downwards:
            first, top, _, bottom = area
            if number == top:
                topmost[area] = row[first - 1] if first <= len(row) else None
            elif top < number <= bottom:
                row += [None] * (first - len(row))
                row[first - 1] = topmost.get(area)
        yield number, row


def _value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float | int):
        if "%" in (cell.number_format or "") and '"' not in cell.number_format:
            return f"{100 * value:.12g} %"
        # ids that look like numbers are stored as floats
        return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date()
    return value
