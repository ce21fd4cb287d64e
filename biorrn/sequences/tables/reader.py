"""Table reader: text with any separator, Excel workbooks, parquet.

Separator, encoding, comment lines, titles above the header and empty rows and columns are found from the first lines,
and recorded in a `Reading`.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from biorrn.base.errors import ConfigError, InputError, OnProblem, faults, guarded, stop
from biorrn.base.files import encoding_of, open_text, suffix_of
from biorrn.base.lookup import nearest
from biorrn.base.terminal import plural
from biorrn.sequences.fasta import fasta_records, first_word
from biorrn.sequences.tables.classes import TYPES, Classes
from biorrn.sequences.tables.numbers import KINDS, Convention, unit_of

TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
EXCEL = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
# columns that may hold proteins, where none is named; compared without case and spaces
SEQUENCES = (
    *("sequence", "seq", "protein", "protein_sequence", "aa_sequence", "aa_seq", "mutated_sequence", "primary"),
    *("mutant_sequence", "mut_sequence", "mut_seq", "variant_sequence"),
)
# and mutations, the best first
MUTATIONS = (
    *("mutation", "mutations", "mutant", "mutants", "variant", "variants", "hgvs_pro", "hgvsp", "hgvs_p", "hgvs"),
    *("mut", "muts", "substitution", "substitutions", "aa_change", "aa_changes", "amino_acid_change", "aa_mutation"),
    *("aa_mutations", "aa_substitution", "aa_substitutions", "protein_change", "protein_variant", "protein_mutation"),
    *("mutation_string", "mutant_name", "mut_info", "mutation_info", "aa_variant", "variant_aa", "variant_name"),
)
DAMAGE = (OSError, ValueError, NotImplementedError, LookupError, TypeError, OverflowError)  # what Arrow raises on it
SEPARATORS = {"\t": "tab", ",": "','", ";": "';'", "|": "'|'", " ": "spaces"}
SAMPLE = 200  # lines that are examined
TITLES = 20  # lines above the header that may be titles
FORM = ("encoding", "separator", "sheet")  # facts that are reported in one line
SHOWN = 20  # odd cells of one kind that are shown
Row = Mapping[str, Any]

_UNIT = re.compile(r"(?P<name>.*?\S)\s*(?:\((?P<a>[^()]*)\)|\[(?P<b>[^\[\]]*)\]|[,/]\s+(?P<c>\S+))\s*")
_LABEL = re.compile(r"(?<=\s)([A-Za-z_]\w*)=(\S*)")
_NUMERIC = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_RESIDUES = re.compile(r"[ACDEFGHIKLMNPQRSTVWYX*-]{15,}")


@dataclass(frozen=True, slots=True)
class Odd:
    """A cell that is no plain number, and the value taken; `row` counts rows of data from 1."""

    row: int
    column: str
    found: str
    taken: str
    kind: str


@dataclass
class Reading:
    """Options for reading a table, and a record of what was found.

    Attributes
    ----------
    sheet : str, optional: of a workbook, by name or by number from 1; None is the first.
    decimal : str, optional: "point" or "comma"; None finds it.
    censored : str: "use" keeps `>90` as a bound, "drop" takes it for missing.
    strict : bool: the first row that cannot be used ends the reading; else it is left out and counted.
    type : str: of target columns: "number", "class", "set" (several classes a row), or "auto": classes where the cells
        are words that repeat.
    whole : bool: "auto" takes few whole numbers for classes too.
    facts : what was found of the file: separator, encoding, sheet, decimal sign, the columns meant.
    odd : list of Odd: at most `SHOWN` of a kind and column; `counts` counts all, by (column, kind).
    left_out : list of InputError: the first `SHOWN` rows that were left out; `dropped` counts all.
    warnings : sentinels, outliers, dates that Excel made.
    conventions : column -> the notation of its numbers, or its classes.
    hints : column -> what a message adds where its cells are no numbers.
    """

    sheet: str | None = None
    decimal: str | None = None
    censored: str = "use"
    strict: bool = False
    type: str = "number"
    whole: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    odd: list[Odd] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    left_out: list[InputError] = field(default_factory=list)
    dropped: int = 0
    warnings: list[str] = field(default_factory=list)
    conventions: dict[str, Convention | Classes] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ConfigError for an unknown choice."""
        for option, value, allowed in (
            ("--decimal", self.decimal, ("point", "comma", None)),
            ("--censored", self.censored, ("use", "drop")),
            ("--target-type", self.type, TYPES),
        ):
            if value not in allowed:
                names = " or ".join(name for name in allowed if name)
                raise ConfigError(f"{option}: found '{value}'; allowed is {names}")

    @property
    def decimal_sign(self) -> str | None:
        """Return the decimal sign that the user chose: "." or ",", or None."""
        return {"point": ".", "comma": ",", None: None}[self.decimal]

    def problem(self, error: InputError) -> None:
        """Raise the error of a row when strict, else record it."""
        if self.strict:
            raise error
        self.dropped += 1
        if len(self.left_out) < SHOWN:
            self.left_out.append(error)

    def note(self, odd: Odd) -> None:
        """Count an odd cell, and keep it among the first of its kind."""
        self.counts[odd.column, odd.kind] += 1
        if self.counts[odd.column, odd.kind] <= SHOWN:
            self.odd.append(odd)

    def warn(self, text: str) -> None:
        """Keep a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def lines(self) -> list[str]:
        """Return the record in lines."""
        form = [f"{name} {self.facts[name]}" for name in FORM if name in self.facts]
        lines = [", ".join(form)] if form else []
        lines += [
            f"{name}: {text}" for name, text in self.facts.items() if name not in ("encoding", "separator", "sheet")
        ]
        for (column, kind), count in self.counts.items():
            found = dict.fromkeys(odd.found or "empty" for odd in self.odd if (odd.column, odd.kind) == (column, kind))
            listed = "; ".join(islice(found, 4)) + ("; ..." if len(found) > 4 else "")
            text = f"column '{column}': {plural(count, 'cell')} ({listed}): {KINDS[kind]}"
            if kind == "bound":
                text += (
                    "; it is left out (--censored drop)"
                    if self.censored == "drop"
                    else "; networks learn it as such, all else and all metrics leave it out"
                )
            lines.append(text)
        lines += [f"warning: {text}" for text in self.warnings]
        lines += [f"warning: left out: {error}" for error in self.left_out]
        if self.dropped > len(self.left_out):
            lines.append(f"warning: left out: {self.dropped - len(self.left_out):,} more rows")
        return lines

    def table(self) -> list[str]:
        """Return the odd cells as the lines of a table: row, column, found, taken as; the first `SHOWN` of a kind."""
        if not self.odd:
            return []
        cells = [("row", "column", "found", "taken as")]
        cells += [(str(odd.row), odd.column, odd.found[:30] or "(empty)", odd.taken) for odd in self.odd]
        widths = [max(len(row[place]) for row in cells) for place in range(3)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in cells
        ]
        more = sum(self.counts.values()) - len(self.odd)
        return lines + ([f"... and {more:,} more of these kinds"] if more > 0 else [])

    def unit(self, column: str) -> str:
        """Return the unit that the header or the cells of a column of numbers give, "" where none."""
        convention = self.conventions.get(column)
        return convention.unit if convention is not None else ""

    def classes(self, column: str) -> list[str]:
        """Return the classes of a column of classes, or the sets of one of sets, by index; of any other column none."""
        convention = self.conventions.get(column)
        return convention.names if isinstance(convention, Classes) else []

    def target(self, column: str, name: str | None = None) -> dict[str, Any]:
        """Return {"name", "unit"} of a target column, as a prepared file keeps it.

        One of classes has "classes" too; where a protein may have several, these are the sets, and "sets" is true.
        """
        convention, classes = self.conventions.get(column), self.classes(column)
        entry: dict[str, Any] = {"name": name or column, "unit": self.unit(column)}
        several = {"sets": True} if isinstance(convention, Classes) and convention.sets else {}
        return entry | {"classes": classes} | several if classes else entry


@dataclass(frozen=True)
class Grid:
    """An open table.

    Attributes
    ----------
    names : the columns, in order.
    separator : key of `SEPARATORS`; "" of a workbook or parquet.
    rows : f(places of columns) -> rows as (line of the file or sheet, cells), one cell a name; those of other columns
        may be None. A row of another width has as many cells as it has.
    keeps_empty : bool: a row without any cell is a row.
    """

    names: list[str]
    separator: str
    rows: Callable[[Sequence[int]], Iterator[tuple[int, list[Any]]]]
    keeps_empty: bool = False


def is_table(path: str | Path) -> bool:
    """Return whether a file is a table: by its suffix, else by a first line that names a column of proteins."""
    if suffix_of(path) in TABLES:
        return True
    if str(path) == "-" or not Path(path).is_file():
        return False
    try:
        with open_text(path) as file:
            first = next((line for line in islice(file, TITLES) if line.strip() and line[0] != "#"), "")
    except InputError:
        return False  # its own reader says what is wrong with it
    if first[:1] in (">", ";", "@"):
        return False  # FASTA or FASTQ, whose headers may hold any word
    cells = re.split(r"[\t,;|]", first)
    return len(cells) > 1 and any(plain(cell.strip(' "\ufeff\r\n')) in PROTEINS_PLAIN for cell in cells)


@contextlib.contextmanager
def open_table(path: str | Path, reading: Reading | None = None) -> Iterator[Grid]:
    """Open a table; its format is found by its first bytes, that of text by its lines.

    Raises
    ------
    InputError: it cannot be read, is empty, or is of a format that is not read (.xls, .ods).
    ConfigError: a sheet is asked for of a file without sheets.
    """
    reading = reading or Reading()
    kind = _kind(path)
    if reading.sheet is not None and kind != "workbook":
        raise ConfigError(f"--sheet: needs an Excel workbook; {path} is {'parquet' if kind == 'parquet' else 'text'}")
    if kind == "parquet":
        with _open_parquet(path) as file:
            yield Grid(list(file.schema_arrow.names), "", lambda wanted: _parquet_rows(path, file, wanted), True)
    elif kind == "workbook":
        from biorrn.sequences.tables.excel import open_sheet

        with open_sheet(path, reading.sheet) as (rows, facts):
            reading.facts |= facts
            names, lines = _header(path, rows, "", reading)
            yield Grid(names, "", lambda wanted: lines)
    else:
        with open_text(path) as file:
            sample = list(islice(file, SAMPLE))
            _refuse_markup(path, sample)
            labels = _labels(sample)
            if labels:
                reading.facts["layout"] = "FASTA whose headers hold values, as biotrainer has it"
                reading.facts["encoding"] = _encoding(file)
                yield Grid(["id", "sequence", *labels], "\t", lambda wanted: _labelled(chain(sample, file), labels))
                return
            separator, quoting, skipped = _sniff(path, sample, len(sample) < SAMPLE)
            rows = _text_rows(path, chain(sample[skipped:], file), separator, quoting, skipped)
            names, lines = _header(path, rows, separator, reading)
            reading.facts["separator"] = SEPARATORS[separator]
            if skipped:
                reading.facts["skipped"] = f"{skipped} line{'s' * (skipped > 1)} of comments above the header"
            reading.facts["encoding"] = _encoding(file)
            yield Grid(names, separator, lambda wanted: lines)
            reading.facts["encoding"] = _encoding(file)  # what is not UTF-8 may come late


def is_labelled(path: str | Path) -> bool:
    """Return whether a file is FASTA whose headers hold values: `>id TARGET=0.5 SET=train VALIDATION=False`.

    Such a file is also a table, with the columns id, sequence, TARGET, SET and others of the first header.
    """
    if str(path) == "-" or not Path(path).is_file():
        return False
    try:
        with open_text(path) as file:
            return bool(_labels(list(islice(file, SAMPLE))))
    except InputError:
        return False  # a prepared file, or no text: its own reader says what is wrong with it


def _labels(sample: Sequence[str]) -> list[str]:
    """Return the names of the values in the first header, none where there is no SET or TARGET among them."""
    first = next((line.strip() for line in sample if line.strip()), "")
    found = [key for key, _ in _LABEL.findall(first)] if first.startswith(">") else []
    return list(dict.fromkeys(found)) if {"SET", "TARGET"} & set(map(str.upper, found)) else []


def _labelled(lines: Iterable[str], labels: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    """Yield the records of FASTA as rows of a table: id, sequence and the values of the header."""
    for number, header, parts in fasta_records(enumerate(lines, 1), "FASTA"):
        values = dict(_LABEL.findall(header))
        sequence = "".join(text for text in map(str.strip, parts) if text[:1] not in ("", ";"))
        yield number, [first_word(header), sequence, *(values.get(name, "") for name in labels)]


def _encoding(file: IO[str]) -> str:
    found = encoding_of(file)
    return {"ascii": "UTF-8", "cp1252": "Windows-1252 (Latin-1)"}.get(found, found.upper())


def column_names(path: str | Path, reading: Reading | None = None) -> list[str]:
    """Return the columns of a table, from its header alone.

    Raises
    ------
    InputError: the file cannot be read, or is empty.
    """
    with open_table(path, reading) as grid:
        return grid.names


def read_cells(path: str | Path, columns: Sequence[str], reading: Reading | None = None) -> Iterator[Row]:
    """Yield the cells of the columns named, as the table has them, a row at a time.

    Raises
    ------
    InputError: a column is missing, a row has another number of cells than the header, or the table has no rows.
    """
    for _, row in numbered_cells(path, columns, reading):
        yield row


def numbered_cells(
    path: str | Path, columns: Sequence[str], reading: Reading | None = None, on_problem: OnProblem = stop
) -> Iterator[tuple[int, Row]]:
    """Yield the number of each row, from 1, and its cells in the columns named; see `read_cells`.

    Empty rows are skipped, but not those of parquet, where they are no blank lines. `on_problem` is called for a row
    that is too long or too short.
    """
    reading = reading or Reading()
    with open_table(path, reading) as grid:
        places = [find_column(path, name, grid.names, reading) for name in columns]
        number, width = 0, len(grid.names)
        for line, cells in grid.rows(places):
            if len(cells) != width:
                cells = _fitted(cells, grid)
            if not grid.keeps_empty and not any(cell is not None and str(cell).strip() for cell in cells):
                continue
            number += 1
            if len(cells) != width:
                problem = f"row {number} has {len(cells)} cells; the header names {width} columns; it is line {line}"
                if len(cells) > width and grid.separator == ",":
                    problem += "; a comma inside a cell, such as a decimal comma, needs quotes round the cell"
                on_problem(InputError(path, problem))
                continue
            yield number, {name: cells[place] for name, place in zip(columns, places, strict=True)}
    if not number:
        raise InputError(path, "the table has no rows")


def _fitted(cells: list[Any], grid: Grid) -> list[Any]:
    """Return a row at the width of the header where that needs only empty cells: more of them, or fewer."""
    width = len(grid.names)
    while len(cells) > width and not str("" if cells[-1] is None else cells[-1]).strip():
        cells = cells[:-1]
    if len(cells) < width and (not grid.separator or not any(grid.names[len(cells) :])):
        cells = [*cells, *[""] * (width - len(cells))]
    return cells


def plain(name: str) -> str:
    """Return the name of a column without case, spaces, underscores and the like.

    >>> plain(" Protein Sequence"), plain("protein_sequence")
    ('proteinsequence', 'proteinsequence')
    """
    return re.sub(r"[\s_.\-]+", "", name).casefold()


PROTEINS_PLAIN = tuple(plain(name) for name in (*SEQUENCES, *MUTATIONS))


def header_unit(name: str) -> tuple[str, str]:
    """Return the name of a column and the unit in it.

    >>> header_unit("Tm (°C)"), header_unit("kcat, /s"), header_unit("tm")
    (('Tm', '°C'), ('kcat', '/s'), ('tm', ''))
    """
    match = _UNIT.fullmatch(name)
    if match is None:
        return name, ""
    return match["name"].rstrip(" ,"), unit_of((match["a"] or match["b"] or match["c"] or "").strip())


LEVELS: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: name.strip().casefold(),
    plain,
    lambda name: plain(header_unit(name)[0]),
)


def matching(wanted: str, names: Sequence[str]) -> list[int]:
    """Return the places of the columns that a name means: as written, else without case, spaces, unit.

    >>> matching("tm", ["id", "Tm (°C)"]), matching("tm", ["TM", "tm"]), matching("tm", ["id"])
    ([1], [1], [])
    """
    for level in LEVELS:
        found = [place for place, name in enumerate(names) if level(name) == level(wanted)]
        if found:
            return found
    return []


def find_column(path: str | Path, wanted: str, names: Sequence[str], reading: Reading | None = None) -> int:
    """Return the place of a column.

    Raises
    ------
    InputError: it is missing (the nearest one and all that there are are named), or more than one could be meant.
    """
    found = matching(wanted, names)
    if not found:
        raise InputError(path, missing_column(wanted, names) + other_sheets(reading))
    if len(found) > 1:
        if all(names[place] == names[found[0]] for place in found):
            raise InputError(path, f"column '{wanted}' is given twice; allowed is once")
        several = "' and '".join(names[place] for place in found[:2])
        raise InputError(path, f"column '{wanted}' may be '{several}'; give the name as the table has it")
    if reading is not None and names[found[0]] != wanted:
        reading.facts[f"column {wanted}"] = f"'{names[found[0]]}' in the header"
    return found[0]


def other_sheets(reading: Reading | None) -> str:
    """Return which sheets a workbook has, where the first was read and there are others."""
    sheet = reading.facts.get("sheet", "") if reading is not None else ""
    return f"; the sheet is {sheet}" if "--sheet" in sheet else ""


def missing_column(wanted: str, names: Sequence[str]) -> str:
    """Return what is wrong where a column is not there."""
    listed = ", ".join(name or "(no name)" for name in names)[:200] or "none"
    data = next((name for name in names if looks_like_data(name)), None)
    if data is not None:
        return (
            f"column '{wanted}' is missing, and the first line looks like data (found '{data[:30]}'); a table needs a "
            "first line that names its columns"
        )
    close = nearest(wanted, [name for name in names if name])
    hint = f"; did you mean '{close}'?" if close else "."
    return f"column '{wanted}' is missing{hint} Columns: {listed}"


def sequence_column(
    path: str | Path, names: Sequence[str], asked: str | None = None, reading: Reading | None = None
) -> str:
    """Return the column of sequences: the one asked for, else the first of `SEQUENCES` that the table has.

    Raises
    ------
    InputError: there is none.
    """
    for name in [asked or SEQUENCES[0], *(SEQUENCES if asked in (None, SEQUENCES[0]) else ())]:
        found = matching(name, names)
        if found:
            return names[found[0]]
    if asked not in (None, SEQUENCES[0]) or any(map(looks_like_data, names)):
        raise InputError(path, missing_column(asked or SEQUENCES[0], names) + other_sheets(reading))
    listed = ", ".join(name for name in names if name)[:200]
    problem = f"no column of sequences is found; name it with --sequence-column. Columns: {listed}"
    raise InputError(path, problem + other_sheets(reading))


def looks_like_data(cell: str) -> bool:
    """Return whether the name of a column is a number or a protein: the table then has no header."""
    cell = cell.strip()
    return bool(_NUMERIC.fullmatch(cell) or _RESIDUES.fullmatch(cell))


def _kind(path: str | Path) -> str:
    """Return "text", "workbook" or "parquet", by the first bytes; another kind of file is an error."""
    if str(path) == "-":
        return "text"
    with faults(path, None, OSError), open(path, "rb") as file:
        start = file.read(8)
    if start[:4] == b"PAR1" or (suffix_of(path) in (".parquet", ".pq")):
        return "parquet"
    if start[:4] == b"PK\x03\x04":
        from biorrn.sequences.tables.excel import check_workbook

        check_workbook(path)
        return "workbook"
    if start == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise InputError(
            path, "is an Excel file of before 2007 (.xls), or locked by a password; save it as .xlsx or .csv"
        )
    if suffix_of(path) in EXCEL and not start[:8]:
        raise InputError(path, "is empty; expected a workbook or text")
    return "text"


# -- text -------------------------------------------------------------------------------------------------------------
def _refuse_markup(path: str | Path, sample: Sequence[str]) -> None:
    """Raise InputError where the first character of a file is that of a web page, XML or JSON."""
    first = next((text for line in sample if (text := line.strip().lstrip("\ufeff").lstrip())), "")
    if first.startswith("<") and re.match(r"<[!?A-Za-z]", first):
        raise InputError(path, "is a web page or XML, not a table; open it in Excel and save it as .xlsx or .csv")
    if re.match(r'\{\s*($|")|\[\s*($|[{\["])', first):
        raise InputError(path, "is JSON, not a table; write it as .csv, as pandas.read_json(FILE).to_csv() does")


def _sniff(path: str | Path, sample: list[str], whole: bool) -> tuple[str, bool, int]:
    """Return the separator, whether quotes enclose cells, and the number of comment lines above the header.

    The separator is the one by which most lines have as many cells as the header, and the header the most. One that
    fits every line, from the first on, goes before one that passes over lines, as `;` does where cells are `a;b;c`.
    """
    filled = [place for place, line in enumerate(sample) if line.strip()]
    if not filled:
        raise InputError(path, "the table is empty; its first line names the columns")
    names = (place for place in filled if not sample[place].lstrip("\ufeff").startswith("#"))
    skipped = next(names, filled[-1])
    named = re.fullmatch(r"sep=(.)\s*", sample[skipped].lstrip("\ufeff"), re.IGNORECASE)
    if named and named[1] in "\t,;|":  # what Excel writes above a table
        return named[1], True, skipped + 1
    lines = [line for line in sample[skipped:] if line.strip()]
    best: tuple[tuple[bool, bool, int, bool], str, bool] = ((False, False, 1, False), _default(path), True)
    for separator in "\t,;|":
        quoting = separator != "\t" or _quoted(lines)
        rows = _split(lines if whole else lines[:-1] or lines, separator, quoting)
        width, share = _width(rows)
        even = share == 1 and _header_row(rows) == 0
        score = (share >= 0.8, even, width, separator == _default(path))
        if width > 1 and score > best[0]:
            best = (score, separator, quoting)
    separator, quoting = best[1], best[2]
    if best[0][2] == 1 and len(lines) > 1:
        for pattern in (r"\s{2,}", r"\s+"):
            head, *below = [len(_cells(pattern, line)) for line in lines[: None if whole else -1]]
            # R's write.table has one name less than cells
            if len(set(below)) == 1 and head > 1 and below[0] in (head, head + 1):
                return " ", False, _header_in_comment(sample, skipped, " ")
    return separator, quoting, _header_in_comment(sample, skipped, separator)


def _header_in_comment(sample: list[str], skipped: int, separator: str) -> int:
    """Return how many lines to skip: one less where the last comment holds the header, as in `#id,tm`."""
    if skipped and sample[skipped - 1].startswith("#"):
        above, below = (_split([line.lstrip("#")], separator, True)[0] for line in sample[skipped - 1 : skipped + 1])
        if len(above) == len(below) > 1 and any(map(looks_like_data, below)) and not any(map(looks_like_data, above)):
            return skipped - 1
    return skipped


def _default(path: str | Path) -> str:
    suffix = suffix_of(path)
    return "\t" if suffix in (".tsv", ".tab") else ","


def _quoted(lines: Sequence[str]) -> bool:
    """Return whether quotes in tab-separated lines enclose cells: a cell begins with one, and they come in pairs."""
    return any(line.startswith('"') or '\t"' in line for line in lines) and "".join(lines).count('"') % 2 == 0


def _split(lines: Sequence[str], separator: str, quoting: bool) -> list[list[str]]:
    if separator == " ":
        return [_spaced(line) for line in lines]
    try:
        rows = list(csv.reader(lines, **_dialect(separator, quoting)))
    except csv.Error:
        return []
    return [row for row in rows if any(cell.strip() for cell in row)]


def _spaced(line: str) -> list[str]:
    """Return the cells of a line that is separated by two or more spaces, or by single ones where there are none."""
    return _cells(r"\s{2,}" if "  " in line.strip() else r"\s+", line)


def _cells(pattern: str, line: str) -> list[str]:
    """Return the cells of a line separated by white space; quotes enclose a cell, as R writes it."""
    line = line.strip()
    if line.startswith('"') or ' "' in line:
        return next(csv.reader([" ".join(line.split())], delimiter=" "))
    return re.split(pattern, line)


def _dialect(separator: str, quoting: bool) -> dict[str, Any]:
    return {
        "delimiter": separator,
        "quoting": csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
        "skipinitialspace": separator != "\t",
    }


def _width(rows: list[list[str]]) -> tuple[int, float]:
    """Return how many cells the header has, and the share of the rows below it that are as wide."""
    start = _header_row(rows)
    if start is None:
        return 1, 0.0
    width, below = len(rows[start]), rows[start + 1 :]
    named = max(place for place, cell in enumerate(rows[start], 1) if cell.strip())
    fits = sum(len(row) in (width, width + 1) for row in below)
    return named, fits / len(below) if below else 1.0


def _header_row(rows: Sequence[Sequence[Any]]) -> int | None:
    """Return the place of the header; None without one.

    It is the first row with two cells or more. Where rows at least as wide, without numbers and proteins, name a column
    of proteins, it is the first of the widest of them; the rows above are titles or names of groups of columns.
    """
    filled = [[str(cell) for cell in row if cell is not None and str(cell).strip()] for row in rows[:TITLES]]
    first = next((place for place, cells in enumerate(filled) if len(cells) > 1), None)
    if first is None:
        return None
    named = [
        place
        for place, cells in enumerate(filled)
        if len(cells) >= len(filled[first])
        and any(plain(cell.strip(' "#\ufeff')) in PROTEINS_PLAIN for cell in cells)
        and not any(map(looks_like_data, cells))
    ]
    return max(named, key=lambda place: (len(filled[place]), -place), default=first)


def _text_rows(
    path: str | Path, lines: Iterable[str], separator: str, quoting: bool, skipped: int
) -> Iterator[tuple[int, list[Any]]]:
    if separator == " ":
        for number, text in enumerate(lines, skipped + 1):
            if text.strip():
                yield number, list(_spaced(text))
        return
    reader = csv.reader(lines, **_dialect(separator, quoting))
    line = skipped + 1
    for cells in guarded(reader, path, csv.Error):
        if cells:
            yield line, list(cells)
        line = skipped + reader.line_num + 1


def _header(
    path: str | Path, rows: Iterator[tuple[int, list[Any]]], separator: str, reading: Reading
) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """Return the names of the columns and the rows below; titles above the header are passed over.

    Columns without a name and without a cell in the first rows are dropped; one more cell a row than names is a column
    of row names, as R writes it.
    """
    first = list(islice(rows, SAMPLE))
    filled = [entry for entry in first if any(cell is not None and str(cell).strip() for cell in entry[1])]
    if not filled:
        raise InputError(path, "the table is empty; its first line names the columns")
    start = _header_row([cells for _, cells in filled])
    if start is None:
        start = 0
    if start:
        titles = "; ".join(str(next(cell for cell in cells if cell)).strip()[:40] for _, cells in filled[:start])
        reading.facts["title"] = f"{start} line{'s' * (start > 1)} above the header: {titles[:120]}"
    names = ["" if cell is None else str(cell).strip().strip("\ufeff").strip() for cell in filled[start][1]]
    if start == 0 and names and separator != "":
        names[0] = names[0].lstrip("#").strip()
    below = [cells for _, cells in filled[start + 1 :]]
    # with commas one more cell a row is rather a decimal comma without quotes
    if (
        separator
        and below
        and all(len(cells) == len(names) + 1 for cells in below)
        and any(str(cells[-1]).strip() for cells in below)
        and (separator != "," or _shifted(names, below))
    ):
        names = ["", *names]
        reading.facts["row names"] = "the first column has no name: R writes its row names so"
    while len(names) > 1 and not names[-1] and not any(_has(cells, len(names) - 1) for cells in below):
        names.pop()
    return names, chain(iter(filled[start + 1 :]), rows)


def _shifted(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Return whether the proteins of each row are one place to the right of their column."""
    wanted = [place for place, name in enumerate(names) if plain(name) in map(plain, SEQUENCES)]
    return bool(wanted) and all(
        bool(_RESIDUES.fullmatch(str(row[wanted[0] + 1]))) and not _RESIDUES.fullmatch(str(row[wanted[0]]))
        for row in rows
    )


def _has(cells: Sequence[Any], place: int) -> bool:
    return place < len(cells) and cells[place] is not None and bool(str(cells[place]).strip())


# -- parquet ----------------------------------------------------------------------------------------------------------
def _open_parquet(path: str | Path) -> Any:
    import pyarrow.parquet

    with faults(path, None, *DAMAGE):
        return pyarrow.parquet.ParquetFile(path)


def _parquet_rows(path: str | Path, file: Any, wanted: Sequence[int]) -> Iterator[tuple[int, list[Any]]]:
    names = file.schema_arrow.names
    unique = list(dict.fromkeys(names[place] for place in wanted))
    batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=4096, columns=unique))
    line = 0
    for rows in guarded(batches, path, *DAMAGE):
        for row in rows:
            line += 1
            yield line, [row.get(name) for name in names]
