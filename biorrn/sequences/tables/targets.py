"""Tables of measured values: rows with ids, sequences, numbers, weights and splits; warnings about odd values."""

from __future__ import annotations

import datetime
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from biorrn.base.errors import ConfigError, Fault, InputError, OnProblem, faults
from biorrn.sequences.fasta import Cleaned, cleaned
from biorrn.sequences.records import ProteinRow
from biorrn.sequences.tables.classes import Classes
from biorrn.sequences.tables.numbers import Convention, Infinite, Number, is_missing, text_of
from biorrn.sequences.tables.reader import Odd, Reading, Row, find_column, header_unit, numbered_cells, open_table

NO_BOUNDS = (math.nan, math.nan)
_EXCEL_DATE = re.compile(
    r"\d{1,2}-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)-\d\d",
    re.IGNORECASE,
)


def read_targets(
    path: str | Path,
    target_columns: Sequence[str],
    id_column: str | None = "id",
    sequence_column: str | None = None,
    weight_column: str | None = None,
    split_column: str | None = None,
    cells: Sequence[str] = (),
    reading: Reading | None = None,
    on_problem: OnProblem | None = None,
    keep: bool = False,
) -> Iterator[ProteinRow]:
    """Yield the rows of a table, one (of parquet: one batch) in memory at a time.

    A table with columns of numbers is read twice: the decimal sign and the unit are decided from a whole column.
    Standard input is then held in memory.

    Parameters
    ----------
    path : text, an Excel workbook or parquet, see `sequences.tables.reader`; `-` for standard input.
    target_columns : columns of numbers, in the notations of `sequences.tables.numbers`; or of classes, where
        `reading.type` allows them: the value is then the index of a class, see `sequences.tables.classes`. A bound
        such as `>90` is a missing value with an entry in the row's `bounds`. An error as in `54.8 ± 0.3`, and `~50`,
        give a weight (`Convention.weight`); the row has their mean over the columns.
    id_column : column of ids, which may repeat; None numbers the rows: row1, row2, ...
    sequence_column : column of proteins, cleaned as in FASTA.
    weight_column : column of numbers of 0 or more.
    split_column : column of text that names the split.
    cells : further columns, as text.
    reading : how to read; receives what was found in the cells. Without it, the first bad row is an error.
    on_problem : called with the error of a row, which is then left out; default: `reading.problem`.
    keep : bool: a row that is left out is yielded too, with id and cells alone and `problem` set.

    Columns are found regardless of case, spaces and units: `tm` matches `Tm (°C)`.

    Raises
    ------
    InputError: a column is missing (the nearest name is given); a number is infinite; half of the cells of a column, or
        of the rows, cannot be used; the decimal sign is ambiguous, or units differ; the table has no rows. Where the
        first bad row is an error: a row of another width than the header, a cell that is no number, an empty id, a
        sequence that cannot be cleaned.
    ConfigError: no column is asked for.
    """
    reading = reading or Reading(strict=True)
    reading.check()
    fault = on_problem or reading.problem
    wanted = [*target_columns, id_column, sequence_column, weight_column, split_column, *cells]
    columns = list(dict.fromkeys(name for name in wanted if name is not None))
    if not columns:
        raise ConfigError(f"{path}: no column is asked for; name at least one target column")
    numbers = list(dict.fromkeys([*target_columns, *([weight_column] if weight_column else [])]))
    rows: Iterable[tuple[int, Row]]
    if numbers and str(path) == "-":
        held: list[tuple[int, Row]] = list(numbered_cells(path, columns, reading, fault))
        shared = _conventions(path, numbers, held, reading, ",", targets=target_columns)
        rows = held
    else:
        shared = survey(path, numbers, reading, target_columns) if numbers else {}
        rows = numbered_cells(path, columns, reading, fault)
    reading.conventions |= shared
    seen = _CellRecord(path, reading, [name for name in (id_column, split_column, *cells) if name], target_columns)
    taken, before = 0, reading.dropped
    for number, row in rows:
        name = f"row{number}" if id_column is None else text_of(row[id_column])
        try:
            if not name:
                raise InputError(path, f"row {number}: column '{id_column}' is empty; allowed is an id", flag="no_id")
            protein = None
            if sequence_column is not None:
                with faults(path, name):
                    protein = _sequence(sequence_column, row[sequence_column])
            weight = 1.0 if weight_column is None else _weight(path, number, weight_column, row, shared)
            found = [seen.number(number, column, row[column], shared[column]) for column in target_columns]
        except InputError as error:
            fault(error)
            if keep:
                texts = tuple(text_of(row[column]) for column in cells)
                yield ProteinRow(name or ".", "", (), cells=texts, problem=error.flag)
            continue
        seen.text(number, row)
        taken += 1
        if found:
            weight *= sum(
                shared[column].weight(cell) for column, cell in zip(target_columns, found, strict=True)
            ) / len(found)
        bounds = tuple(bounds_of(cell) for cell in found) if any(cell.side for cell in found) else ()
        yield ProteinRow(
            name,
            protein.residues if protein else "",
            tuple(math.nan if cell.side else cell.value for cell in found),
            weight,
            "" if split_column is None else text_of(row[split_column]),
            tuple(text_of(row[column]) for column in cells),
            bounds,
            changes=protein.changes if protein else (),
        )
    seen.finish()
    dropped = reading.dropped - before
    if dropped and dropped >= taken and reading.left_out:
        first = reading.left_out[0]
        problem = first.problem if first.record is None else f"record '{first.record}': {first.problem}"
        raise InputError(path, f"{dropped} of {dropped + taken} rows cannot be used; the first: {problem}")


Column = Convention | Classes


def survey(
    path: str | Path, columns: Sequence[str], reading: Reading, targets: Sequence[str] = ()
) -> dict[str, Column]:
    """Return the notation of each column of numbers or classes, from a first pass over the table.

    Parameters
    ----------
    targets : those of the columns that may hold classes, see `Reading.type`.

    Raises
    ------
    InputError: a column is missing, a cell is infinite, the decimal sign is ambiguous, or units differ.
    """
    look = Reading(reading.sheet)
    with open_table(path, look) as grid:
        separator = grid.separator
        units = {name: header_unit(grid.names[find_column(path, name, grid.names, look)])[1] for name in columns}
    rows = numbered_cells(path, columns, Reading(reading.sheet), lambda error: None)
    return _conventions(path, columns, rows, reading, separator, units, targets)


def _conventions(
    path: str | Path,
    columns: Sequence[str],
    rows: Iterable[tuple[int, Row]],
    reading: Reading,
    separator: str,
    units: dict[str, str] | None = None,
    targets: Sequence[str] = (),
) -> dict[str, Column]:
    asked = reading.type in ("class", "set")
    numbers = {name: Convention(name) for name in columns if not (asked and name in targets)}
    classes = {name: Classes(name) for name in columns if reading.type != "number" and name in targets}
    for number, row in rows:
        for name, convention in numbers.items():
            try:
                convention.see(number, row[name])
            except Infinite as fault:
                raise InputError(path, f"row {number}: column '{name}': {fault}") from fault
        for name, kinds in classes.items():
            kinds.see(row[name])
    found: dict[str, Column] = {}
    for name in columns:
        with faults(path):
            try:
                own = classes.get(name)
                if own is not None and (asked or own.likely(numbers[name], reading.whole)):
                    own.decide(reading.type)
                    if alike := own.alike():
                        reading.warn(
                            f"column '{name}': {', '.join(alike[:6])}{', ...' if len(alike) > 6 else ''} differ in "
                            "upper and lower case alone and are different classes; if not, write each in one way"
                        )
                    found[name] = own
                else:
                    labels = list(own.labels()) if own is not None else []
                    if own is not None and len(labels) < 2:
                        has = f"one class alone, '{labels[0]}'" if labels else "no class"
                        reading.hints[name] = f"; the column has {has}, and a model of classes needs two or more"
                    elif own is not None:
                        reading.hints[name] = (
                            f"; {len(own.counts):,} different words in {own.cells:,} rows, which hardly repeat; "
                            "--target-type class takes them for classes"
                        )
                    numbers[name].decide(separator, reading.decimal_sign, (units or {}).get(name, ""))
                    found[name] = numbers[name]
            except Fault as fault:
                raise Fault(f"column '{name}': {fault}") from fault
    for one in found.values():
        said: dict[str, list[str]] = {}
        for line in one.notes:
            column, _, what = line.partition(": ")
            said.setdefault(f"{'classes' if isinstance(one, Classes) else 'numbers'} of {column}", []).append(what)
        reading.facts |= {column: "; ".join(lines) for column, lines in said.items()}
    return found


class _CellRecord:
    """A record of the cells of a table, for its `Reading`."""

    def __init__(self, path: str | Path, reading: Reading, texts: Sequence[str], targets: Sequence[str]) -> None:
        self.path, self.reading, self.texts = path, reading, texts
        self.values = {name: array("d") for name in targets}
        self.rows = {name: array("q") for name in targets}
        self.cells: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self.dates: dict[str, list[Any]] = {}

    def number(self, row: int, column: str, cell: Any, convention: Column) -> Number:
        """Return a cell as a number.

        Raises
        ------
        InputError: it is none.
        """
        try:
            found = convention.read(cell)
        except Fault as fault:
            self.cells[column] += 1
            self.bad[column] += 1
            problem = f"row {row}: column '{column}': {fault}"
            self.first.setdefault(column, problem)
            raise InputError(self.path, problem) from fault
        if found.kind != "missing":
            self.cells[column] += 1
            if not found.side and isinstance(convention, Convention):
                self.values[column].append(found.value)
                self.rows[column].append(row)
        if found.side and self.reading.censored == "drop":
            found = Number(math.nan, kind="bound", taken="missing (--censored drop)")
        if found.kind:
            self.reading.note(Odd(row, column, "" if cell is None else str(cell).strip(), found.taken, found.kind))
        return found

    def text(self, row: int, cells: Row) -> None:
        """Find dates in columns of text, which Excel makes of names."""
        for column in self.texts:
            cell = cells[column]
            if isinstance(cell, datetime.date | datetime.datetime) or (
                isinstance(cell, str) and 5 <= len(cell) <= 6 and _EXCEL_DATE.fullmatch(cell)
            ):
                self.dates.setdefault(column, [0, row, text_of(cell)])[0] += 1

    def finish(self) -> None:
        """Add the warnings about whole columns.

        Raises
        ------
        InputError: half of a column or more are no numbers.
        """
        for column, bad in self.bad.items():
            if 2 * bad >= self.cells[column]:
                raise InputError(
                    self.path,
                    f"column '{column}': {bad} of {self.cells[column]} cells are no numbers; {self.first[column]}"
                    + self.reading.hints.get(column, ""),
                )
        for column, (count, row, cell) in self.dates.items():
            self.reading.warn(
                f"column '{column}': {count} cell{'s are dates' if count > 1 else ' is a date'}, which Excel may have "
                f"made of what was typed; the first in row {row}: {cell}"
            )
        for column, values in self.values.items():
            for line in doubtful(values, self.rows[column]):
                self.reading.warn(f"column '{column}': {line}")


SENTINELS = frozenset([-1, 0, 99, 999, 9999, 99999, -9, -99, -999, -9999, -99999, 1e6, -1e6, 999999, -999999])
LEAST_REPEATS = 3
FAR = 10.0  # robust standard deviations from the median: a gross outlier


def doubtful(values: Sequence[float], rows: Sequence[int]) -> list[str]:
    """Return a line for each value that may stand for a missing one, and one for gross outliers; none is dropped.

    A sentinel comes in three rows or more and in 2 % of them, and lies beyond all other values by more than the range
    of their middle half; of the usual ones (`SENTINELS`: -999, -1, 0, 9999, ...) that is enough, any other number must
    lie five times as far. An outlier is more than ten robust standard deviations (1.4826 times the median absolute
    deviation) from the median, also of the logarithms where all values are above 0.

    >>> doubtful([-999.0] * 3 + [50.0, 51.0, 52.0, 54.0] * 5, list(range(1, 24)))
    ['-999 stands in 3 rows, far below all other values (50 to 54): rows 1, 2, 3; if it means missing, write NA']
    """
    import numpy as np

    found = np.asarray(values, float)
    places = np.asarray(rows)
    if len(found) < 8:
        return []
    lines = []
    for _ in range(3):  # the lowest and the highest, and one more behind
        distinct, counts = np.unique(found, return_counts=True)
        if len(distinct) < 4:
            break
        low, high = np.quantile(found, [0.25, 0.75])
        for place, inner in ((0, 1), (-1, -2)):
            value, count = float(distinct[place]), int(counts[place])
            rest = found[found != value]
            low, high = np.quantile(rest, [0.25, 0.75])
            gap = abs(value - float(distinct[inner]))
            needed = max(float(high - low), 1e-9) * (1 if value in SENTINELS else 5)
            if count >= max(LEAST_REPEATS, 0.02 * len(found)) and gap > needed:
                where = places[found == value]
                lines.append(
                    f"{value:g} stands in {count} rows, far {'below' if place == 0 else 'above'} all other values "
                    f"({rest.min():.6g} to {rest.max():.6g}): rows {_listed(where)}; if it means missing, write NA"
                )
                places, found = places[found != value], rest
                break
        else:
            break
    far = _far(found)
    if len(found) and found.min() > 0:
        far &= _far(np.log(found))
    if far.any():
        order = np.argsort(-np.abs(found - np.median(found)) * far)[: int(far.sum())]
        lines.append(
            f"{int(far.sum())} value{'s lie' if far.sum() > 1 else ' lies'} far from all others (median "
            f"{np.median(found):.6g}): {', '.join(f'{found[at]:g} in row {places[at]}' for at in order[:5])}"
            + (", ..." if far.sum() > 5 else "")
        )
    return lines


def _far(values: Any) -> Any:
    import numpy as np

    middle = np.median(values) if len(values) else 0.0
    spread = 1.4826 * np.median(np.abs(values - middle)) if len(values) else 0.0
    return np.abs(values - middle) > FAR * spread if spread > 0 else np.zeros(len(values), bool)


def _listed(rows: Any) -> str:
    return ", ".join(str(row) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")


def bounds_of(cell: Number) -> tuple[float, float]:
    """Return the lowest and the highest value that a bound allows; NaN twice of a value that is no bound."""
    return {0: NO_BOUNDS, 1: (cell.value, math.inf), -1: (-math.inf, cell.value)}[cell.side]


def _sequence(column: str, cell: Any) -> Cleaned:
    written = text_of(cell)
    if written and is_missing(written):
        problem = f"column '{column}': found '{written}', which means missing; expected a protein"
        raise Fault(problem, "missing")
    return cleaned(written)


def _weight(path: str | Path, row: int, column: str, cells: Row, shared: dict[str, Column]) -> float:
    try:
        found = shared[column].read(cells[column])
    except Fault as fault:
        raise InputError(path, f"row {row}: column '{column}': {fault}") from fault
    if found.side or not found.value >= 0:
        problem = f"row {row}: column '{column}': found {found.value:g}; allowed is a number of 0 or more"
        raise InputError(path, problem)
    return found.value
