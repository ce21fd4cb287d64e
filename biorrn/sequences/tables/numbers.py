"""Numbers in tables: decimal commas, thousands separators, units, errors, bounds, missing values.

`parse_cell` parses one cell. `Convention` decides for a whole column what a cell leaves open: whether `1,234` is a
thousand or one, and the common unit.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from biorrn.base.errors import Fault

# words for a cell that holds no value, in any case; Excel's errors among them
_WORDS = "na n/a #n/a #na n.a. n.a nan null none nil - -- --- ? . n.d. n.d nd n/d n.m. nm missing"
_EXCEL = "#div/0! #ref! #value! #name? #null! #num! <na>"
MISSING = frozenset(["", "not determined", "not detected", *_WORDS.split(), *_EXCEL.split()])
LARGEST = 1e37  # values are kept as float32, and their squares summed in float64
ALLOWED = "a finite number, one such as 1,234.5, 1.2e-3, >90, 54.8 ± 0.3 or 54 %, or NA where it is missing"

_PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?")
_TRANSLATED = str.maketrans(
    dict.fromkeys("\u2212\u2013\u2014\u2012\u2010\u2011\ufe63\uff0d", "-")  # minus signs and dashes
    | dict.fromkeys("\u00a0\u2009\u202f\u2007\u2006\u2005\u3000\t\n\r", " ")  # spaces that do not break, or are narrow
    | dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'")
    | {"\u03bc": "\u00b5", "\u00ba": "\u00b0", "\u02da": "\u00b0", "\u212b": "\u00c5", "\u2103": "\u00b0C"}
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
    | {"\uff05": "%", "\uff0c": ",", "\uff0e": "."}
    | {"\u200b": "", "\ufeff": "", "\u200e": "", "\u200f": ""}
)
_RAISED = str.maketrans("\u207b\u207a\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-+0123456789")
_NUMBER = r"[+-]?\s?(?:\d(?:[\d.,' ]*\d)?[.,]?|[.,]\d+)"
_POWER = r"(?:\s?[eE]\s?[+-]?\d{1,4}(?![\w.])|\s?[x×*·]\s?10\s?(?:\^|\*\*)?\s?[+-]?\d{1,3}(?![\w.]))?"
_UNIT = r"(?:[%‰°µÅΩA-Za-z]|/(?=[A-Za-z]))(?:[\w%°µÅΩ/·*^. -]*[\w%])?\.?"
_CELL = re.compile(
    rf"(?P<side>>=|=>|<=|=<|>|<|≥|≤|⩾|⩽|≧|≦|~|≈|∼|(?:ca|approx|about|circa|around)\b\.?)?\s*"
    rf"(?P<number>{_NUMBER})(?P<power>{_POWER})\s*(?P<unit>{_UNIT})?\s*"
    rf"(?:(?:±|\+/-|\+-)\s*(?P<error>{_NUMBER})(?P<error_power>{_POWER})"
    rf"|(?P<gap>)\(\s*(?P<pm>±|\+/-|\+-)?\s*(?P<bracket>{_NUMBER})\s*\))?"
    rf"\s*(?P<unit_after>{_UNIT})?\s*(?P<mark>[*†‡§#]+)?",
    re.IGNORECASE,
)
_TEN = re.compile(r"(?P<sign>[+-]?)10\s?(?:\^|\*\*)\s?(?P<power>[+-]?\d{1,3})")
_NO_ERROR = re.compile(r"\s*(?:±|\+/-)\s*(?:na|nan|n/a|n\.?d\.?|-)?$", re.IGNORECASE)  # of one measurement
_EXPONENT = re.compile(r"[+-]?\d+$")
_INFINITE = re.compile(r"[+-]?\s*(?:inf|infinity|∞)", re.IGNORECASE)
_MONTH = (
    "(?:jan(?:uary?)?|feb(?:ruary?)?|mar(?:ch)?|märz?|apr(?:il)?|ma[iy]|jun[ei]?|jul[iy]?|aug(?:ust)?"
    "|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_DATE = re.compile(
    rf"\d{{1,4}}[-/.]\d{{1,2}}[-/.]\d{{1,4}}(?:[ T].*)?|\d{{1,2}}[-. /]?\s?{_MONTH}\.?(?:[-. /]\d{{2,4}})?"
    rf"|{_MONTH}[-. /]\d{{1,4}}|\d{{1,2}}:\d\d(?::\d\d)?",
    re.IGNORECASE,
)
_RANGE = re.compile(r"[+-]?[\d.,]+\s*(?:-|to|\.\.\.?|…|:)\s*[+-]?[\d.,]+.*", re.IGNORECASE)
_FRACTION = re.compile(r"[+-]?\d+\s*/\s*\d+")
_GROUPS = re.compile(r"\d{1,3}(?:([.,' ])\d{3})(?:\1\d{3})*")
SIDES = dict.fromkeys([">", ">=", "=>", "≥", "⩾", "≧"], 1) | dict.fromkeys(["<", "<=", "=<", "≤", "⩽", "≦"], -1)

# units that are one even where a single cell has it; any other word is one where most cells of the column have it
_UNITS = """
    % ‰ °C °F K kcal/mol kJ/mol cal/mol J/mol kcal kJ mol M mM µM nM pM fM s ms µs ns min h d /s /min /h 1/s 1/min /M/s
    /s/M /mM/s mg/ml µg/ml ng/ml g/l mg/l kDa Da U U/mg U/ml nm µm Å mV V eV kT RFU AU a.u fold x bits nmol/min
    µmol/min pmol mg µg ng g ml µl l
"""
UNITS = frozenset(_UNITS.split())
# and what units of several parts are made of besides, as µM/min or nmol/min/mg
_PARTS = UNITS | frozenset(["mmol", "µmol", "nmol", "fmol", "cm", "mm", "m", "L", "mL", "µL"])
_SPELLINGS = {
    "C": "°C",
    "F": "°F",
    "degC": "°C",
    "Celsius": "°C",
    "celsius": "°C",
    "percent": "%",
    "pct": "%",
    "Kelvin": "K",
}
APPROXIMATE = 0.5  # weight of a row whose value is written ~50


@dataclass(frozen=True, slots=True)
class ParsedCell:
    """A parsed cell; the meaning of its commas is not decided yet.

    Attributes
    ----------
    number, power : str: digits with marks and sign; the exponent of ten, "" where there is none.
    side : int: 1 a lower bound (`>90`), -1 an upper bound (`<5`), 0 a value.
    approximate : bool: `~50`.
    error, error_power : str: of `54.8 ± 0.3`; `concise`: it is in units of the last digit, as in 54.8(3).
    unit, mark : str: "" where there is none; a mark is that of a footnote.
    """

    number: str
    power: str = ""
    side: int = 0
    approximate: bool = False
    error: str = ""
    error_power: str = ""
    concise: bool = False
    unit: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """The value of a cell.

    Attributes
    ----------
    value : float: NaN where it is missing.
    side : int: 1 where the true value is at or above it, -1 at or below, 0 where it is the value.
    error : float: standard error or deviation as written, NaN where there is none.
    kind : str: what was odd about the cell, "" of a plain number; a key of `KINDS`.
    taken : str: what it was taken as, where it was odd.
    """

    value: float
    side: int = 0
    error: float = math.nan
    kind: str = ""
    taken: str = ""


# what was odd about a cell -> the value taken
KINDS = {
    "missing": "no value",
    "bound": "a bound, beyond which the true value is",
    "approximate": f"the value, at weight {APPROXIMATE:g}",
    "error": "the value; its error becomes a weight",
    "unit": "the number; the unit is that of the column",
    "decimal comma": "the number",
    "thousands": "the number without the marks",
    "footnote": "the number without the mark",
    "typed": "the number; signs and spaces as a program writes them",
}


def parse_cell(cell: str) -> ParsedCell | None:
    """Parse a cell; None where it is missing.

    Raises
    ------
    Fault: it is no number: a word, a range, a fraction, a date, infinite.

    >>> parse_cell("≥ 1 234,5 °C")
    ParsedCell(number='1 234,5', power='', side=1, approximate=False, error='', error_power='', concise=False, \
unit='°C', mark='')
    >>> parse_cell("45-50")
    Traceback (most recent call last):
    biorrn.base.errors.Fault: found '45-50', a range; allowed is a finite number, one such as 1,234.5, 1.2e-3, \
>90, 54.8 ± 0.3 or 54 %, or NA where it is missing
    """
    text = tidy(cell)
    if is_missing(text):
        return None
    if len(text) > 60:
        raise Fault(f"found {text[:40]!r}...; allowed is {ALLOWED}")
    if _INFINITE.fullmatch(text):
        raise Infinite(f"found {text!r}; allowed is a finite number")
    text = _NO_ERROR.sub("", text)
    ten = _TEN.fullmatch(text)
    if ten:
        return ParsedCell(ten["sign"] + "1", ten["power"])
    match, other = _CELL.fullmatch(text), _other(text)
    if match is None or other:
        raise Fault(f"found {text[:40]!r}{other}; allowed is {ALLOWED}")
    if match["unit"] and match["unit_after"] and unit_of(match["unit"]) != unit_of(match["unit_after"]):
        raise Fault(f"found {text[:40]!r} with two units; allowed is {ALLOWED}")
    side = (match["side"] or "").lower()
    bracket, number = match["bracket"] or "", match["number"]
    concise = False
    if bracket and not match["pm"]:
        attached = not text[: match.start("gap")].endswith(" ")
        concise = attached and bracket.isdecimal() and any(mark in number for mark in ".,")
        if bracket.isdecimal() and not concise and any(mark in number for mark in ".,"):
            raise Fault(f"found {text[:40]!r}: is the number in brackets an error or a count? Allowed is {ALLOWED}")
    return ParsedCell(
        re.sub(r"(?<=^[+-])\s", "", number),
        _power(match["power"]),
        SIDES.get(side, 0),
        bool(side) and side not in SIDES,
        match["error"] or bracket,
        _power(match["error_power"] or ""),
        concise,
        unit_of(match["unit"] or match["unit_after"] or ""),
        match["mark"] or "",
    )


class Infinite(Fault):
    """A cell is infinite: a fault of the program that wrote the table."""


def tidy(cell: str) -> str:
    """Return a cell with plain minus signs, spaces and exponents, without quotes that Excel takes for text."""
    text = cell if cell.isascii() else cell.translate(_TRANSLATED)
    text = text.strip()
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1].strip()
    text = text.removeprefix("'").strip() if text[:1] == "'" else text
    if not text.isascii():
        text = re.sub(r"10([⁻⁺⁰¹²³⁴-⁹]+)", lambda found: "10^" + found[1].translate(_RAISED), text)
    return text


def is_missing(text: str) -> bool:
    """Return whether a cell is one of the words for a missing value.

    >>> is_missing("N.D."), is_missing("-"), is_missing("0")
    (True, True, False)
    """
    text = text.strip()
    return len(text) <= 14 and text.lower() in MISSING


def text_of(cell: Any) -> str:
    """Return a cell as text: no value is empty, a whole number has no decimals."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell).strip()


def _other(text: str) -> str:
    """Return ", a date", ", a fraction" or ", a range" for such a text, else ""."""
    for pattern, what in ((_DATE, "a date"), (_FRACTION, "a fraction"), (_RANGE, "a range")):
        if pattern.fullmatch(text):
            return f", {what}"
    return ""


def _power(text: str) -> str:
    found = _EXPONENT.search(text.replace(" ", ""))
    power = found[0] if found and text.strip() else ""
    # x10-3 without a sign of a power: the digits after 10
    if power and text.strip()[:1] not in "eE" and "^" not in text and "**" not in text:
        power = re.sub(r"^10", "", power) or "1"
    return power


def unit_of(text: str) -> str:
    """Return a unit in one spelling.

    >>> unit_of("kcal mol-1"), unit_of("Kcal/mol"), unit_of("C"), unit_of("uM"), unit_of("s^-1")
    ('kcal/mol', 'kcal/mol', '°C', 'µM', '/s')
    """
    if not text:
        return ""
    text = text.translate(_TRANSLATED).translate(_RAISED).replace("^", "").replace("**", "").strip(" .")
    text = re.sub(r"(?:^|(?<=[\w%°])[ ·*.]?)([A-Za-zµÅ]+)-1\b", r"/\1", text).replace(" ", "").replace("·", "")
    text = re.sub(r"^u(?=[MmglLs]\w{0,1}\b)", "µ", text)
    text = _SPELLINGS.get(text, text)
    text = re.sub(r"/per", "/", text)
    if len(text) > 3:  # letters of short units differ in meaning: mM and MM
        text = {"kcal/mol": "kcal/mol", "kj/mol": "kJ/mol", "mg/ml": "mg/ml"}.get(text.lower(), text)
    return text


def _is_unit(unit: str, count: int, cells: int) -> bool:
    """Return whether the text after `count` numbers of a column is a unit: a known one, or a word of most cells."""
    return unit in UNITS or (2 * count >= cells and not any(letter.isdecimal() for letter in unit))


def mantissa(text: str, decimal: str) -> float | None:
    """Return the digits of a number as one, given the decimal sign; None where marks stand at wrong places.

    >>> mantissa("1.234,5", ","), mantissa("1.234,5", "."), mantissa("12,34", ".")
    (1234.5, None, None)
    """
    sign = -1.0 if text[:1] == "-" else 1.0
    text = text.lstrip("+-")
    whole, _, part = text.partition(decimal)
    if part and not part.isdecimal():
        return None
    if whole and not whole.isdecimal():
        if not _GROUPS.fullmatch(whole):
            return None
        whole = re.sub(r"\D", "", whole)
    if not whole and not part:
        return None
    return sign * float(f"{whole or '0'}.{part or '0'}")


def decimal_sign(number: str, power: str = "") -> str:
    """Return the decimal sign that a number shows: "." or ","; "?." or "?," where it may also mark thousands; else "".

    >>> [decimal_sign(text) for text in ("54,8", "1,234.5", "1.234.567", "1,234", "1.234", "0,123", "12")]
    [',', '.', ',', '?,', '?.', ',', '']
    """
    text = number.lstrip("+-")
    dots, commas = text.count("."), text.count(",")
    if dots and commas:
        return "." if text.rfind(".") > text.rfind(",") else ","
    if not dots and not commas:
        return ""
    mark = "." if dots else ","
    if dots + commas > 1:
        return "," if dots else "."
    whole, _, part = text.partition(mark)
    may_be_thousands = 1 <= len(whole) <= 3 and whole.isdecimal() and whole[0] != "0" and len(part) == 3 and not power
    return f"?{mark}" if may_be_thousands else mark


@dataclass
class Convention:
    """The notation of a column of numbers; `see` each cell, then `decide`, then `read` each.

    Attributes
    ----------
    name : str: the column.
    decimal : str: "." or ",".
    unit : str: that of the column, "" where there is none.
    error : float: the median error, NaN where no cell has one.
    """

    name: str
    decimal: str = "."
    unit: str = ""
    error: float = math.nan
    notes: list[str] = field(default_factory=list)
    cells: int = 0
    unread: list[tuple[int, str]] = field(default_factory=list)
    _shown: Counter[str] = field(default_factory=Counter)
    _first: dict[str, tuple[int, str]] = field(default_factory=dict)
    _units: Counter[str] = field(default_factory=Counter)
    _errors: list[float] = field(default_factory=list)
    _bare: tuple[int, str] | None = None

    def see(self, row: int, cell: Any) -> None:
        """Record what a cell shows of the notation.

        Raises
        ------
        Infinite: the cell is infinite.
        """
        if cell is None:
            return
        if isinstance(cell, int | float):
            if math.isinf(cell):
                raise Infinite(f"found {cell}; allowed is a finite number")
            self.cells += not math.isnan(cell)
            self._bare = self._bare or (row, f"{cell:g}")
            return
        text = str(cell)
        if _PLAIN.fullmatch(text):  # as most cells of most tables are
            self.cells += 1
            self._bare = self._bare or (row, text)
            shown = decimal_sign(text, "e" if "e" in text or "E" in text else "") if "." in text else ""
            if shown:
                self._shown[shown] += 1
                self._first.setdefault(shown, (row, text))
            return
        try:
            written = parse_cell(text)
        except Infinite:
            raise
        except Fault as fault:
            self.cells += 1
            self.unread.append((row, str(fault)))
            return
        if written is None:
            return
        self.cells += 1
        if written.unit:
            self._units[written.unit] += 1
            self._first.setdefault(f"unit {written.unit}", (row, text))
        elif written.side == 0 and self._bare is None:
            self._bare = (row, text)
        for number, power in ((written.number, written.power), (written.error, written.error_power)):
            shown = decimal_sign(number, power)
            if shown:
                self._shown[shown] += 1
                self._first.setdefault(shown, (row, text))
        if written.error:
            errors = [mantissa(written.error, sign) for sign in ".,"]
            if errors[0] is not None or errors[1] is not None:
                self._errors.append(next(error for error in errors if error is not None))

    def decide(self, separator: str = "", decimal: str | None = None, header_unit: str = "") -> None:
        """Decide the decimal sign and the unit.

        Parameters
        ----------
        separator : str: of the table: `,` goes with a decimal point, `;` with a decimal comma.
        decimal : the user's choice.
        header_unit : str: in the name of the column.

        Raises
        ------
        Fault: the decimal sign is ambiguous, or cells have different units.
        """
        self.decimal = decimal or self._decimal(separator)
        commas = self._shown["?,"] + self._shown[","]
        if self.decimal == "," and (commas or decimal):
            self.notes.append(f"column '{self.name}': decimal comma" + (" (--decimal)" if decimal else ""))
        elif self._shown["?,"]:
            why = " (--decimal)" if decimal else "" if self._shown["."] else " (the separator is a comma too)"
            self.notes.append(f"column '{self.name}': decimal point; the comma marks thousands{why}")
        elif separator == ";" and self._shown["?."] and not self._shown["."] and not decimal:
            self.notes.append(f"column '{self.name}': decimal point; where it marks thousands, give --decimal comma")
        self._decide_unit(unit_of(header_unit))
        known = [error for error in self._errors if error > 0]
        if known:
            self.error = statistics.median(known)

    def _decimal(self, separator: str) -> str:
        point, comma = self._shown["."], self._shown[","]
        doubtful = self._shown["?,"] or (comma and self._shown["?."])
        if not doubtful or max(point, comma) >= 20 * min(point, comma) > 0 or (point > 0) != (comma > 0):
            return "," if comma > point else "."
        row, cell = self._first["?,"] if self._shown["?,"] else self._first["?."]
        if point and comma:
            problem = (
                f"row {self._first['.'][0]} has a decimal point ('{self._first['.'][1]}'), row {self._first[','][0]} a "
                f"decimal comma ('{self._first[','][1]}'), and row {row} may be either: found '{cell}'"
            )
            raise Fault(f"{problem}; --decimal point or --decimal comma decides")
        if separator in (",", ";") and not self._shown["?."]:
            return {",": ".", ";": ","}[separator]
        raise Fault(
            f"row {row}: found '{cell}', and no cell tells a decimal comma from one that marks thousands; "
            "--decimal point or --decimal comma decides"
        )

    def _decide_unit(self, header: str) -> None:
        units = [unit for unit, count in self._units.items() if _is_unit(unit, count, self.cells)]
        known = header in UNITS or ("/" in header and all(part in _PARTS for part in header.split("/") if part))
        if header and known:
            units = [header, *(unit for unit in units if unit != header)]
        if len(units) > 1:
            places = [
                f"'{self._first[f'unit {unit}'][1]}' in row {self._first[f'unit {unit}'][0]}"
                if f"unit {unit}" in self._first
                else f"{unit} in its name"
                for unit in units[:2]
            ]
            raise Fault(f"found {places[0]} and {places[1]}; allowed is one unit in all rows")
        self.unit = units[0] if units else ""
        if header and not units:
            self.notes.append(f"column '{self.name}': what follows its name is no known unit: the values have none")
        if self._units[self.unit] and self._bare is not None and self.unit != header:
            row, cell = self._bare
            if self.unit in ("%", "‰"):
                first = self._first[f"unit {self.unit}"]
                raise Fault(
                    f"found '{first[1]}' in row {first[0]} and '{cell}' without {self.unit} in row {row}; allowed is "
                    "one unit in all rows"
                )
            bare = self.cells - self._units.total()
            self.notes.append(
                f"column '{self.name}': {bare} cells have no unit, the first in row {row}: taken as {self.unit}"
            )

    def read(self, cell: Any) -> Number:
        """Return the value of a cell.

        Raises
        ------
        Fault: it is no number by the column's convention.
        """
        if cell is None:
            return Number(math.nan, kind="missing", taken="missing")
        if isinstance(cell, int | float):
            if math.isnan(cell):
                return Number(math.nan, kind="missing", taken="missing")
            if not abs(cell) < LARGEST:
                raise Fault(f"found {cell:g}; allowed is {ALLOWED}")
            return Number(float(cell))
        text = str(cell)
        if self.decimal == "." and _PLAIN.fullmatch(text):
            value = float(text)
            if abs(value) < LARGEST:
                return Number(value)
        written = parse_cell(text)
        if written is None:
            return Number(math.nan, kind="missing", taken="missing")
        return self._value(written, text)

    def _value(self, written: ParsedCell, text: str) -> Number:
        wrong = f"found {text.strip()[:40]!r}; allowed is {ALLOWED}"
        if written.unit and written.unit != self.unit:
            problem = f"found {text.strip()[:40]!r}, where '{written.unit}' is no unit of the column"
            raise Fault(f"{problem}; allowed is {ALLOWED}")
        value, sign = self._mantissa(written.number, written.power)
        if value is None:
            raise Fault(wrong)
        error = math.nan
        if written.error:
            found, _ = self._mantissa(written.error, written.error_power)
            if found is None or found < 0:
                raise Fault(wrong)
            if written.concise:
                found = float(f"{found:g}e-{len(re.split('[.,]', written.number)[-1])}")
            if written.power and not written.error_power and written.concise:
                found *= 10.0 ** int(written.power)
            error = found
        if not abs(value) < LARGEST:
            raise Fault(wrong)
        marks = written.number.lstrip("+-")
        kind = (
            "bound"
            if written.side
            else "approximate"
            if written.approximate
            else "error"
            if written.error
            else "unit"
            if written.unit
            else "decimal comma"
            if sign == "," and "," in marks
            else "thousands"
            if not marks.replace(".", "", 1).isdecimal()
            else "footnote"
            if written.mark
            else "typed"
        )
        taken = f"{value:.10g}"
        if written.side:
            taken = f"{'at least' if written.side > 0 else 'at most'} {taken}"
        elif written.approximate:
            taken += f", weight {APPROXIMATE:g}"
        if error == error:
            taken += f", error {error:.6g}"
        if written.unit:
            taken += f" {written.unit}"
        return Number(value, written.side, error, kind, taken)

    def _mantissa(self, number: str, power: str) -> tuple[float | None, str]:
        """Return a number, and the decimal sign it was read with: its own where it shows one, else the column's."""
        shown = decimal_sign(number, power)
        # an unambiguous cell is read by its own marks, whatever the column's
        sign = shown if shown in (".", ",") else self.decimal
        value = mantissa(number, sign)
        if value is not None and power:
            value = float(f"{value!r}e{int(power)}") if abs(int(power)) < 400 else math.inf
        return value, sign

    def weight(self, number: Number) -> float:
        """Return the weight of a value by its error e: 2 m² / (m² + e²), with m the median error of the column.

        A value of the median error, and one without an error, has weight 1; none has more than 2, so that one cell
        with a tiny error does not take all. One that is written ~50 has `APPROXIMATE` of it.
        """
        weight = 1.0
        if self.error > 0 and number.error >= 0:
            middle = self.error * self.error
            weight = 2 * middle / (middle + number.error * number.error)
        return weight * (APPROXIMATE if number.kind == "approximate" else 1.0)
