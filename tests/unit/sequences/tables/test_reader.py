"""Tables as people have them: separators, headers, titles, empty rows and columns, encodings, workbooks."""

import bz2
import csv
import datetime
import gzip
import io
import lzma
import zipfile

import openpyxl
import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.tables.reader import Reading, column_names, is_table, matching, read_cells
from biorrn.sequences.tables.targets import doubtful, read_targets

SEQUENCE = "MTYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"
HEADER = ["variant", "sequence", "tm"]
ROWS = [[f"K{n}A", SEQUENCE[: 30 + n], f"{50 + n / 8}"] for n in range(1, 9)]
VALUES = [50 + n / 8 for n in range(1, 9)]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def joined(separator, header=HEADER, rows=ROWS):
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def read(path, **options):
    """Return the values of column tm, the sequences, and what was made of the table."""
    reading = Reading(**options)
    rows = list(read_targets(path, ["tm"], None, "sequence", reading=reading))
    return [row.targets[0] for row in rows], [row.sequence for row in rows], reading


def check(path, **options):
    values, sequences, reading = read(path, **options)
    assert values == VALUES
    assert sequences == [row[1] for row in ROWS]
    return reading


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_whatever_the_name(separator, name, tmp_path):
    reading = check(write(tmp_path / name, joined(separator)))
    assert reading.facts["separator"] == {"\t": "tab"}.get(separator, f"'{separator}'")


def test_spaces_separate_where_every_line_has_as_many_cells(tmp_path):
    lines = [HEADER, *ROWS]
    aligned = "\n".join("".join(cell.ljust(60) for cell in row).rstrip() for row in lines)
    single = "\n".join(" ".join(row) for row in lines)
    for text in (aligned, single, aligned.replace("tm", "tm  (\u00b0C)".replace("  ", " "))):
        assert check(write(tmp_path / "a.txt", text)).facts["separator"] == "spaces"


def test_as_many_semicolons_in_each_cell_do_not_hide_the_comma(tmp_path):
    path = write(tmp_path / "a.csv", "id,sequence,sites\n" + "".join(f"p{n},{SEQUENCE},a;b;c{n};d\n" for n in range(9)))
    assert column_names(path) == ["id", "sequence", "sites"]


def test_decimal_commas_with_semicolons_tabs_and_in_quotes(tmp_path):
    rows = [[*row[:2], row[2].replace(".", ",")] for row in ROWS]
    for separator in (";", "\t", ","):
        check(write(tmp_path / "a.csv", joined(separator, rows=rows)))


def test_a_comma_in_the_header_does_not_hide_the_semicolon(tmp_path):
    rows = [[*row[:2], row[2].replace(".", ",")] for row in ROWS]
    check(write(tmp_path / "a.csv", joined(";", ["variant", "sequence", "Tm, \u00b0C"], rows)))


@pytest.mark.parametrize(
    "header",
    [
        ["Variant", "Sequence", "Tm (\u00b0C)"],
        ["variant ", " sequence ", " TM "],
        ["variant", "SEQUENCE", "Tm [C]"],
        ["variant", "aa_seq", "T_m"],
        ["variant", "Protein Sequence", "Tm / \u00b0C"],
        ["variant", "sequence", "tm"],
    ],
)
def test_headers_differ_in_case_spaces_and_unit(header, tmp_path):
    names = column_names(write(tmp_path / "a.csv", joined(",", header)))
    assert names == [name.strip() for name in header]
    rows = list(
        read_targets(tmp_path / "a.csv", ["tm"], None, "protein_sequence" if "Protein" in header[1] else header[1])
    )
    assert [row.targets[0] for row in rows] == VALUES


def test_the_name_as_written_comes_first_and_two_that_fit_are_an_error():
    assert matching("tm", ["Tm", "tm", "TM"]) == [1]
    assert matching("T m", ["tm", "t_m"]) == [0, 1]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["sequence", "tm", "tm"], "column 'tm' is given twice"),
        (["sequence", "Tm", "TM"], "column 'tm' may be 'Tm' and 'TM'|column 'tm' may be 'Tm' or|may be 'Tm' and 'TM'"),
        (["sequence", "temp", "x"], "column 'tm' is missing"),
    ],
)
def test_what_cannot_be_told_is_one_line(header, message, tmp_path):
    path = write(tmp_path / "a.csv", joined(",", header, [[SEQUENCE, "1", "2"]] * 3))
    with pytest.raises(InputError) as error:
        read(path)
    assert any(part in str(error.value) for part in message.split("|")) or "may be 'Tm' and 'TM'" in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: "# made by a program\n# units: C\n" + text,
        lambda text: "\n\n" + text,
        lambda text: "sep=,\n" + text,
        lambda text: "Melting temperatures of 2024,,\n\n" + text,
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("\n", ",,\n"),
        lambda text: text + ",,\n" * 30,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(",", " , "),
        lambda text: text.rstrip("\n"),
        lambda text: "Table S3, of the supplement\nMelting temperatures, in C\n\n" + text,
        lambda text: "Sample,,Stability\n" + text,
        lambda text: "Protein,,Stability\n" + text,
        lambda text: "#" + text,
        lambda text: text.replace("K3A", '"K3A\nsecond line"'),
        lambda text: text.replace("K3A", '"K3A, and ""more"""'),
    ],
)
def test_what_surrounds_the_cells_does_not_matter(change, tmp_path):
    check(write(tmp_path / "a.csv", change(joined(","))))


def test_row_names_as_r_writes_them(tmp_path):
    rows = [[str(number), *row] for number, row in enumerate(ROWS, 1)]
    reading = check(write(tmp_path / "a.txt", joined("\t", rows=rows)))
    assert "R writes its row names" in reading.facts["row names"]
    for separator in " ,;":  # write.table with its defaults, and with sep=
        lines = [HEADER, *rows]
        text = "\n".join(separator.join(f'"{cell}"' for cell in row[:-1]) + f"{separator}{row[-1]}" for row in lines)
        reading = check(write(tmp_path / "b.txt", text))
        assert "R writes its row names" in reading.facts["row names"]


def test_a_value_below_the_header_is_no_header(tmp_path):
    """A cell that is a name of columns too, in a wider row."""
    rows = [["1", *row, "mutant"] for row in ROWS]
    check(write(tmp_path / "a.csv", joined(",", ["", *HEADER, ""], rows)))


def test_quotes_in_a_table_of_tabs_that_are_none(tmp_path):
    rows = [[*row, '5" tube' if n == 2 else ""] for n, row in enumerate(ROWS)]
    text = "\n".join("\t".join(row) for row in [[*HEADER, "note"], *rows])
    check(write(tmp_path / "a.tsv", text))


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_packed_and_in_other_encodings(suffix, pack, tmp_path):
    text = joined(";", ["Varianté", "sequence", "Tm (°C)"])
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        check(write(tmp_path / f"{encoding}.csv{suffix}", pack(text.encode(encoding))))
        check(write(tmp_path / f"{encoding}.txt", text.encode(encoding)))


def test_a_ragged_row_is_named_with_its_line_and_left_out(tmp_path):
    path = write(tmp_path / "a.csv", joined(",").replace("K3A,", "K3A,,extra,"))
    values, _, reading = read(path)
    assert values == [*VALUES[:2], *VALUES[3:]]
    assert "row 3 has 5 cells; the header names 3 columns; it is line 4" in str(reading.left_out[0])
    with pytest.raises(InputError, match="row 3 has 5 cells"):
        read(path, strict=True)


def test_decimal_commas_without_quotes_are_no_columns(tmp_path):
    rows = [f"{row[1]},{row[2].replace('.', ',')}\n" for row in ROWS]
    with pytest.raises(InputError, match=r"rows cannot be used; .*has 3 cells.*needs quotes round the cell"):
        read(write(tmp_path / "a.csv", "sequence,tm\n" + "".join(rows)))


def test_a_table_without_a_header_says_so(tmp_path):
    path = write(tmp_path / "a.csv", joined(",", ROWS[0], ROWS[1:]))
    with pytest.raises(InputError, match=r"the first line looks like data .* a first line that names its columns"):
        read(path)


# -- cells -----------------------------------------------------------------------------------------------------------
def cells(path, *written):
    """Write a table of plain values in which some cells are replaced."""
    rows = [[*row[:2], cell] for row, cell in zip(ROWS * 3, [*written, *(["50.5"] * 20)], strict=False)]
    return write(path / "a.csv", joined(";", rows=rows))


def test_one_odd_cell_among_many_is_named_and_left_out(tmp_path):
    path = cells(tmp_path, "50.1", "high", "45-50")
    values, _, reading = read(path)
    assert len(values) == 21
    assert reading.dropped == 2
    assert "row 2: column 'tm': found 'high'; allowed is" in str(reading.left_out[0])
    assert "found '45-50', a range" in str(reading.left_out[1])
    assert any("left out" in line for line in reading.lines())
    with pytest.raises(InputError, match="row 2: column 'tm': found 'high'"):
        read(path, strict=True)


def test_a_column_of_odd_cells_is_an_error(tmp_path):
    path = write(tmp_path / "a.csv", joined(",", rows=[[*row[:2], "high"] for row in ROWS]))
    with pytest.raises(InputError, match="column 'tm': 8 of 8 cells are no numbers; row 1: column 'tm': found 'high'"):
        read(path)


def test_infinite_always_ends(tmp_path):
    with pytest.raises(InputError, match="row 2: column 'tm': found 'inf'; allowed is a finite number"):
        read(cells(tmp_path, "50.1", "inf"))


def test_what_was_made_of_each_odd_cell_is_told(tmp_path):
    _, _, reading = read(cells(tmp_path, "n.d.", ">90", "<20", "~50", "50,5", "51 \u00b1 1", ""))
    assert [(odd.row, odd.found, odd.taken) for odd in reading.odd] == [
        (1, "n.d.", "missing"),
        (2, ">90", "at least 90"),
        (3, "<20", "at most 20"),
        (4, "~50", "50, weight 0.5"),
        (5, "50,5", "50.5"),
        (6, "51 \u00b1 1", "51, error 1"),
        (7, "", "missing"),
    ]
    lines = reading.table()
    assert lines[0].split() == ["row", "column", "found", "taken", "as"]
    assert len(lines) == 8
    assert any("2 cells (n.d.; empty): no value" in line for line in reading.lines())


def test_bounds_are_missing_values_with_a_bound(tmp_path):
    path = cells(tmp_path, ">90", "<20", "50")
    rows = list(read_targets(path, ["tm"], None, reading=Reading()))
    assert rows[0].targets[0] != rows[0].targets[0]
    assert [row.bounds for row in rows[:3]] == [((90.0, float("inf")),), ((float("-inf"), 20.0),), ()]
    dropped = list(read_targets(path, ["tm"], None, reading=Reading(censored="drop")))
    assert all(row.bounds == () for row in dropped)
    with pytest.raises(ConfigError, match="--censored: found 'hide'; allowed is use or drop"):
        list(read_targets(path, ["tm"], None, reading=Reading(censored="hide")))


def test_a_missing_word_is_no_peptide(tmp_path):
    rows = [
        [row[0], "NaN" if n == 1 else "NA" if n == 2 else "" if n == 3 else row[1], row[2]]
        for n, row in enumerate(ROWS)
    ]
    values, sequences, reading = read(write(tmp_path / "a.csv", joined(",", rows=rows)))
    assert len(values) == 5
    assert "NAN" not in sequences
    assert "NA" not in sequences
    assert "found 'NaN', which means missing" in str(reading.left_out[0])


def test_the_decimal_sign_is_asked_for_where_nothing_tells_it(tmp_path):
    path = write(tmp_path / "a.tsv", joined("\t", rows=[[*row[:2], f"{n + 1},234"] for n, row in enumerate(ROWS)]))
    with pytest.raises(InputError, match="--decimal point or --decimal comma decides"):
        read(path)
    assert read(path, decimal="comma")[0][0] == 1.234
    assert read(path, decimal="point")[0][0] == 1234.0


@pytest.mark.parametrize("value", [-999.0, -1.0, 0.0, 9999.0, 12345.0])
def test_sentinels_are_warned_of_and_kept(value, tmp_path):
    written = [f"{value:g}", "50.5", "51", "52", "49.5", "50"]
    path = write(tmp_path / "a.csv", joined(",", rows=[[*ROWS[n % 8][:2], written[n % 6]] for n in range(60)]))
    values, _, reading = read(path)
    assert values.count(value) == 10
    assert any(f"{value:g} stands in 10 rows" in line and "rows 1, 7, 13" in line for line in reading.warnings)


def test_gross_outliers_are_warned_of():
    found = [50.0 + n % 7 for n in range(100)]
    assert doubtful(found, range(1, 101)) == []
    found[41] = 5000.0
    assert doubtful(found, range(1, 101)) == ["1 value lies far from all others (median 53): 5000 in row 42"]


def test_wide_but_smooth_values_are_no_outliers():
    assert doubtful([10.0 ** (n / 20) for n in range(100)], range(100)) == []
    assert doubtful([0.0, 1.0] * 30, range(60)) == []
    assert doubtful([1.0] * 30, range(30)) == []


# -- workbooks -------------------------------------------------------------------------------------------------------
def workbook(path, rows, more=None, change=None):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Data"
    for row in rows:
        sheet.append(row)
    for name, other in (more or {}).items():
        page = book.create_sheet(name)
        for row in other:
            page.append(row)
    if change:
        change(sheet)
    book.save(path)
    return path


NUMBERS = [HEADER, *[[*row[:2], float(row[2])] for row in ROWS]]


def test_a_workbook_gives_its_first_sheet(tmp_path):
    reading = check(workbook(tmp_path / "a.xlsx", NUMBERS))
    assert reading.facts["sheet"] == "'Data'"
    check(workbook(tmp_path / "b.xlsx", [HEADER, *ROWS]))  # numbers as text
    check(workbook(tmp_path / "c.xlsx", [["Measured in 2024"], [], *NUMBERS, [], ["", "", ""]]))
    assert is_table(tmp_path / "a.xlsx")


def test_a_sheet_by_name_or_number(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["about", "this"], ["a", "b"]], {"Tm values": NUMBERS, "more": [["x"]]})
    for sheet in ("Tm values", "tm VALUES", "2"):
        check(path, sheet=sheet)
    with pytest.raises(InputError, match="has no sheet 'tms'; its sheets are Data, Tm values, more"):
        read(path, sheet="tms")
    with pytest.raises(InputError, match=r"column 'tm' is missing.*the first of 3: Data, Tm values, more \(--sheet\)"):
        read(path)
    with pytest.raises(ConfigError, match="--sheet: needs an Excel workbook"):
        read(write(tmp_path / "a.csv", joined(",")), sheet="1")


def test_merged_hidden_and_percent_cells(tmp_path):
    def change(sheet):
        sheet.merge_cells("A2:A4")
        sheet.column_dimensions["C"].hidden = True
        sheet.row_dimensions[3].hidden = True
        for row in range(2, 10):
            sheet.cell(row, 4).value, sheet.cell(row, 4).number_format = 0.5 + row / 100, "0.0%"

    rows = [[*HEADER, "part"], *[[*row, None] for row in NUMBERS[1:]]]
    path = workbook(tmp_path / "a.xlsx", rows, change=change)
    reading = check(path)
    assert "columns 1, rows 1 hidden" in reading.facts["hidden"]
    found = list(read_targets(path, ["part"], "variant"))
    assert [row.id for row in found[:4]] == ["K1A", "K1A", "K1A", "K4A"]
    assert found[0].targets[0] == pytest.approx(52.0)


def test_dates_and_formulas_of_excel(tmp_path):
    rows = [list(row) for row in NUMBERS]
    rows[3][0] = datetime.datetime(2024, 9, 1)
    rows[5][2] = "=B2*2"
    path = workbook(tmp_path / "a.xlsx", rows)
    reading = Reading()
    found = list(read_targets(path, ["tm"], "variant", reading=reading))
    assert len(found) == 7
    assert any("column 'variant': 1 cell is a date, which Excel may have made" in line for line in reading.warnings)
    assert "a formula without a stored value" in str(reading.left_out[0])
    rows[2][2] = datetime.datetime(2024, 3, 1)
    reading = Reading()
    list(read_targets(workbook(tmp_path / "b.xlsx", rows), ["tm"], None, reading=reading))
    assert "found '2024-03-01', a date" in str(reading.left_out[0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "before 2007 (.xls), or locked by a password; "),
        ("a.xls", b"<html><table></table></html>", "is a web page or XML, not a table"),
        ("a.xls", b"\n  <meta charset=utf-8><table></table>", "is a web page or XML, not a table"),
        ("a.csv", b"\xef\xbb\xbf<!doctype html><html></html>", "is a web page or XML, not a table"),
        ("a.csv", b'[{"id": "a", "y": 1}]', "is JSON, not a table"),
        ("a.csv", b'{\n"id": ["a", "b"]}', "is JSON, not a table"),
        ("a.xlsx", b"PK\x03\x04 and no more", "damaged"),
        ("a.xlsx", b"", "empty"),
    ],
)  # fmt: skip
def test_files_that_are_not_read_name_the_way_out(name, content, message, tmp_path):
    with pytest.raises(InputError) as error:
        column_names(write(tmp_path / name, content))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}, "(.ods), which is not read; save it as .xlsx"),
        ({"xl/workbook.bin": ""}, "(.xlsb), which is not read"),
        ({"Index/Document.iwa": ""}, "Numbers table"),
        ({"a.csv": "id,y"}, "is a zip archive, not a table; unpack it"),
        ({"xl/workbook.xml": "<no"}, "damaged"),
    ],
)
def test_archives_that_are_no_workbook(parts, message, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    with pytest.raises(InputError) as error:
        list(read_cells(path, ["id"]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_a_table_by_its_first_line(tmp_path):
    assert is_table(write(tmp_path / "a.txt", joined("\t")))
    assert is_table(write(tmp_path / "b", "# note\n" + joined(";")))
    assert not is_table(write(tmp_path / "a.fa", ">p1, sequence, 3\nMKV\n"))
    assert not is_table(write(tmp_path / "c", "MKVLA\n"))
    assert not is_table("-")
    assert not is_table(tmp_path / "absent")
