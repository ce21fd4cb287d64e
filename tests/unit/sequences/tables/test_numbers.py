"""Numbers as people write them: each habit by its rule, and what only a whole column decides."""

import math

import pytest

from biorrn.base.errors import Fault
from biorrn.sequences.tables.numbers import MISSING, Convention, Infinite, parse_cell, unit_of
from biorrn.sequences.tables.reader import header_unit


def read(*cells, separator="", decimal=None, unit=""):
    """Return the numbers of a column, and its convention."""
    convention = Convention("y")
    for row, cell in enumerate(cells, 1):
        convention.see(row, cell)
    convention.decide(separator, decimal, unit)
    return [convention.read(cell) for cell in cells], convention


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("54.793", 54.793),
        (" -3 ", -3.0),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("1.2E-03", 1.2e-3),
        ("54,8", 54.8),
        ("0,125", 0.125),
        ("1,2e-3", 1.2e-3),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1.234.567", 1234567.0),
        ("1,234,567", 1234567.0),
        ("1 234", 1234.0),
        ("1 234,5", 1234.5),
        ("1'234.5", 1234.5),
        ("1\u2019234", 1234.0),
        ("1\u2009234,5", 1234.5),
        ("12\u202f345", 12345.0),
        ("1\u00a0234", 1234.0),
        ("\u22127.92", -7.92),
        ("\u20137,92", -7.92),
        ("1\u00d710^-3", 1e-3),
        ("1.2 x 10-3", 1.2e-3),
        ("1.2 \u00d7 10\u207b\u00b3", 1.2e-3),
        ("10^4", 1e4),
        ("'54.3", 54.3),
        ('="54.3"', 54.3),
        ("54.3*", 54.3),
        ("54.3 \u00b1 NA", 54.3),
        ("54.3 \u00b1", 54.3),
        ("\uff15\uff14\uff0e\uff13", 54.3),
        (54, 54.0),
        (54.5, 54.5),
    ],
)
def test_one_number_in_many_spellings(cell, value):
    (found,), _ = read(cell)
    assert (found.value, found.side) == (pytest.approx(value, rel=1e-12), 0)
    assert math.isnan(found.error)


@pytest.mark.parametrize("cell", [*sorted(MISSING), "NaN", " N.D. ", "#N/A", "None", "\u2014", None, math.nan])
def test_missing_words_hold_no_value(cell):
    (found,), convention = read(cell)
    assert math.isnan(found.value)
    assert found.kind == "missing"
    assert convention.cells == 0


@pytest.mark.parametrize(
    ("cell", "value", "side"),
    [
        *((">90", 90, 1), (">= 90", 90, 1), ("\u226590 \u00b0C", 90, 1)),
        *(("<5", 5, -1), ("\u2264 5,5", 5.5, -1), ("< 1.234,5", 1234.5, -1)),
    ],
)
def test_a_bound_is_no_value(cell, value, side):
    (found,), _ = read(cell)
    assert (found.value, found.side, found.kind) == (value, side, "bound")
    assert found.taken.startswith("at least" if side > 0 else "at most")


@pytest.mark.parametrize("cell", ["~50", "ca. 50", "\u2248 50", "approx. 50", "circa 50"])
def test_an_approximate_value_has_half_the_weight(cell):
    (found,), convention = read(cell)
    assert (found.value, found.side, convention.weight(found)) == (50.0, 0, 0.5)


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("54.8 \u00b1 0.3", 0.3),
        ("54.8\u00b10.3", 0.3),
        ("54.8 +/- 0.3", 0.3),
        ("54,8 \u00b1 0,3", 0.3),
        ("54.8 (0.3)", 0.3),
        ("54.8 (\u00b1 3)", 3.0),
        ("54.8(3)", 0.3),
        ("54.8 \u00b0C \u00b1 0.3", 0.3),
        ("54.8 \u00b1 0.3 \u00b0C", 0.3),
    ],
)
def test_an_error_stands_beside_the_value(cell, error):
    (found,), _ = read(cell)
    assert (found.value, found.error) == (54.8, pytest.approx(error))


def test_the_weight_falls_with_the_error_and_is_one_at_the_median():
    found, convention = read("1 \u00b1 0.1", "2 \u00b1 0.2", "3 \u00b1 0.4", "4", "5 \u00b1 0")
    weights = [convention.weight(number) for number in found]
    assert weights[1] == pytest.approx(2 * 0.04 / (0.04 + 0.04)) == 1.0
    assert 2 > weights[0] > weights[1] > weights[2] > 0
    assert weights[3] == 1.0
    assert weights[4] == 2.0


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("45-50", "a range"),
        ("45\u201350", "a range"),
        ("45 to 50", "a range"),
        ("1/2", "a fraction"),
        ("2024-01-02", "a date"),
        ("1-Mar", "a date"),
        ("Mar-01", "a date"),
        ("12:30", "a date"),
        ("1.2.2024", "a date"),
        ("high", "'high'"),
        ("54.8 (3)", "an error or a count"),
        ("(54.8)", "'(54.8)'"),
        ("1_000", "'1_000'"),
        ("1,23,456", "'1,23,456'"),
        ("5 6", "'5 6'"),
        ("1e999", "'1e999'"),
        ("54 .3", "'54 .3'"),
        ("0x1F", "'x1F'"),
        ("x" * 10_000, "'xxx"),
        ("1" * 10_000, "'111"),
    ],
)
def test_what_is_no_number_says_so(cell, said):
    with pytest.raises(Fault) as error:
        read(cell)[1].read(cell)
    assert said in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("cell", ["inf", "-Inf", "Infinity", "\u221e", math.inf])
def test_infinite_is_always_an_error(cell):
    with pytest.raises(Infinite, match="allowed is a finite number"):
        read("1", cell)


# -- what only the column tells --------------------------------------------------------------------------------------
def values(*cells, **options):
    return [number.value for number in read(*cells, **options)[0]]


def test_another_cell_tells_what_a_comma_is():
    assert values("1,234", "5,6") == [1.234, 5.6]
    assert values("1,234", "5.6") == [1234.0, 5.6]
    assert values("1,234", "1,234,567") == [1234.0, 1234567.0]
    assert values("1.234", "5,6") == [1234.0, 5.6]
    assert values("1.234", "5.6") == [1.234, 5.6]
    assert values("1.234", "1.235") == [1.234, 1.235]


def test_else_the_separator_tells():
    assert values("1,234", "5,678", separator=",") == [1234.0, 5678.0]
    assert values("1,234", "5,678", separator=";") == [1.234, 5.678]


@pytest.mark.parametrize("separator", ["\t", "|", ""])
def test_else_the_user_must(separator):
    with pytest.raises(Fault, match="--decimal point or --decimal comma decides"):
        read("1,234", separator=separator)
    assert values("1,234", separator=separator, decimal=",") == [1.234]
    assert values("1,234", separator=separator, decimal=".") == [1234.0]


def test_two_habits_with_a_doubtful_cell_are_an_error_that_names_rows():
    with pytest.raises(Fault, match=r"row 1 has a decimal point \('5.6'\), row 2 a decimal comma \('5,6'\), and row 3"):
        read("5.6", "5,6", "1,234")
    assert values("5.6", "5,6") == [5.6, 5.6]  # none is doubtful


def test_one_unit_in_all_rows():
    found, convention = read("54 \u00b0C", "55 C", "56")
    assert [number.value for number in found] == [54.0, 55.0, 56.0]
    assert convention.unit == "\u00b0C"
    assert any("1 cells have no unit" in line for line in convention.notes)
    with pytest.raises(Fault, match=r"'54 \u00b0C' in row 1 and '327 K' in row 2; allowed is one unit"):
        read("54 \u00b0C", "327 K")
    with pytest.raises(Fault, match=r"K in its name"):
        read("54 \u00b0C", unit="K")
    assert read("54", unit="K")[1].unit == "K"


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("rate (\u00b5M/min)", "\u00b5M/min"),
        ("rate [nmol min-1 mg-1]", "nmol/min/mg"),
        ("activity (U/L)", "U/L"),
        ("score (log2)", ""),
        ("score (min/max)", ""),
    ],
)
def test_a_unit_in_a_header_is_kept_or_told(header, unit):
    convention = read("54", "55", unit=header_unit(header)[1])[1]
    assert convention.unit == unit
    assert any("no known unit" in line for line in convention.notes) == (not unit)
    assert read("54 K", "55 K", unit="log2")[1].unit == "K"


def test_percent_is_a_unit_and_never_mixed_with_bare_numbers():
    assert values("54 %", "5,5%") == [54.0, 5.5]
    with pytest.raises(Fault, match=r"'54 %' in row 1 and '0.54' without % in row 2"):
        read("54 %", "0.54")


def test_a_word_after_one_number_is_no_unit():
    with pytest.raises(Fault, match="'maybe' is no unit of the column"):
        read("54", "55 maybe", "56")
    assert values("54 widgets", "55 widgets") == [54.0, 55.0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("kcal mol-1", "kcal/mol"), ("Kcal/mol", "kcal/mol"), ("kcal\u00b7mol\u207b\u00b9", "kcal/mol")),
        *(("C", "\u00b0C"), ("uM", "\u03bcM"), ("s^-1", "/s")),
    ],
)
def test_units_in_several_spellings(one, other):
    assert unit_of(one) == unit_of(other)
    assert unit_of("mM") != unit_of("MM")


def test_every_plain_number_is_what_python_reads():
    for cell in ("0", "-0.0", "1e5", "3.25", "1E-30", "12345678"):
        (found,), _ = read(cell)
        assert found.value == float(cell)
        assert found.kind == ""
    assert parse_cell("") is None
