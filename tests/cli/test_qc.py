"""`biorrn qc`: its statistics agree with the table."""

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biorrn.nanopore.basecall.summary import columns
from biorrn.nanopore.reads.qc import qc_figures, qc_lines, read_qc

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def qc(biorrn: Run) -> Run:
    return partial(biorrn, "qc")


def made(number: int, called: bool = True, **more: Any) -> dict[str, Any]:
    """Return a row of a summary: read `number` has 100 * number bases, 400 a second, Q5 and up."""
    bases = 100 * number if called else 0
    return {
        "filename": f"file{number % 3}.pod5", "read_id": f"r{number}", "run_id": "run", "channel": number, "mux": 1,
        "start_time": 60.0 * number, "duration": number / 4 + 1, "num_samples": 1000 * number + 4000,
        "template_start": 60.0 * number + 1, "template_duration": number / 4, "samples_trimmed": 4000,
        "sequence_length_template": bases, "mean_qscore_template": 5 + number if called else 0,
        "passes_filtering": str(called).upper(), "chemistry": "dna_r9.4.1_e8", "warning": "",
        "bases_cut_start": 30 * called, "bases_cut_end": number % 2,
        "status": "called" if called else "no bases in the signal", **more,
    }  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]], names: list[str] | None = None) -> Path:
    names = names or columns(False)
    text = "".join(
        "\t".join(str(cell) for cell in cells) + "\n" for cells in [names, *([r[n] for n in names] for r in rows)]
    )
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


ROWS = [made(number) for number in range(1, 11)] + [made(11, called=False), made(12, called=False)]


OPTIONAL = [name for name in columns(True) if name not in ("sequence_length_template", "mean_qscore_template")]


@pytest.mark.parametrize("absent", OPTIONAL)
def test_each_column_that_may_be_absent_may_be_so_alone(absent: str, tmp_path: Path) -> None:
    aligned = {"alignment_start": 1, "alignment_end": 90, "alignment_strand": "+", "alignment_coverage": 0.9}
    rows = [
        row | aligned | {"alignment_genome": "chr" if place % 2 else "*", "alignment_identity": "0.93" if place else ""}
        for place, row in enumerate(ROWS)
    ]
    table = write(tmp_path / "s.tsv", rows, [name for name in columns(True) if name != absent])
    content, counted = read_qc(table, name="x")
    assert content["counts"]["called"] == 10
    assert (content["alignment"] is None) == (absent == "alignment_genome")
    if absent == "alignment_identity":
        assert content["alignment"]["mapped"] == 5
        assert np.isnan(content["alignment"]["median_identity"])
    assert qc_figures(content, counted)  # painted
    assert qc_lines(content)


def test_the_numbers_are_those_of_the_table(qc: Run, tmp_path: Path) -> None:
    table = write(tmp_path / "s.tsv.gz", ROWS)
    code, out, err = qc(table, "-o", tmp_path / "qc.json", "--figures", tmp_path / "figures", "--name", "mine")
    assert code == 0, err
    found = json.loads((tmp_path / "qc.json").read_text())
    assert (found["kind"], found["name"]) == ("qc", "mine")
    assert found["counts"] == {"rows": 12, "called": 10, "left_out": 2, "files_left_out": 0, "bases": 5500,
                               "samples": 126_000, "runs": 1, "files": 3,
                               "signal_hours": pytest.approx((78 / 4 + 12) / 3600)}  # fmt: skip
    assert found["reasons"] == {"no bases in the signal": 2}
    assert (
        found["length"]["n50"] == 700
    )  # 1,000 + 900 + 800 are 2,700 of 5,500 bases, less than half; with 700 more than half
    assert (found["length"]["shortest"], found["length"]["longest"], found["length"]["mean"]) == (100, 1000, 550)
    assert found["length"]["quantiles"]["50"] == 550
    assert found["quality"]["quantiles"]["50"] == pytest.approx(10.5)
    assert found["quality"]["promised_identity"] == pytest.approx(1 - np.mean(10.0 ** (-np.arange(6, 16) / 10)))
    assert {row["q"]: (row["reads"], row["bases"]) for row in found["quality"]["at_least"]}[10] == (6, 4500)
    assert found["speed"]["quantiles"]["50"] == 400
    assert found["time"]["curve"][-1] == {"hours": pytest.approx(601 / 3600), "reads": 10, "bases": 5500}
    assert found["channels"]["used"] == 12  # those of reads left out too
    assert [row["rows"] for row in found["files"]] == [4, 4, 4]
    assert sum(row["bases"] for row in found["files"]) == 5500
    assert found["alignment"] is None
    for figure in found["figures"]:
        assert (tmp_path / figure["path"]).read_text().lstrip().startswith("<?xml")
        assert figure["caption"].endswith(".")
    assert "reads called" in out


def test_chunks_do_not_change_the_numbers(qc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import biorrn.nanopore.reads.qc as table_of

    table = write(tmp_path / "s.tsv", ROWS * 3)
    found = []
    for rows in (5, 1000):
        monkeypatch.setattr(table_of, "ROWS", rows)
        assert qc(table, "-o", tmp_path / f"{rows}.json", "--name", "x")[0] == 0
        found.append(json.loads((tmp_path / f"{rows}.json").read_text()) | {"command": ""})
    assert found[0] == found[1]


def test_the_table_alone_goes_to_the_terminal(qc: Run, tmp_path: Path) -> None:
    table = write(tmp_path / "s.tsv", ROWS)
    code, out, _ = qc(table, "-o", "-")
    assert code == 0
    assert dict(line.rsplit(maxsplit=1) for line in out.splitlines())["bases"] == "5,500"
    assert [path.name for path in tmp_path.iterdir()] == ["s.tsv"]


@pytest.mark.parametrize("rows", [[], ROWS[-2:], [made(1, start_time="nan", duration="nan", channel=0)]],
                         ids=["no row", "nothing called", "no time"])  # fmt: skip
def test_little_to_show_is_shown(qc: Run, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    table = write(tmp_path / "s.tsv", rows)
    code, _, err = qc(table, "-o", tmp_path / "qc.json", "--figures", tmp_path / "figures")
    assert code == 0, err
    assert json.loads((tmp_path / "qc.json").read_text())["counts"]["rows"] == len(rows)
    figures = {path.stem for path in (tmp_path / "figures").glob("*.svg")} - {"cut"}  # if a read was cut
    assert len(figures) == 6


def test_tables_of_other_basecallers(qc: Run, tmp_path: Path) -> None:
    names = ["read_id", "channel", "sequence_length_template", "mean_qscore_template", "passes_filtering"]
    table = write(tmp_path / "sequencing_summary.txt", ROWS, names)
    assert qc(table, "-o", tmp_path / "qc.json", "--figures", tmp_path / "figures")[0] == 0
    found = json.loads((tmp_path / "qc.json").read_text())
    assert (found["counts"]["called"], found["reasons"]) == (10, {"no bases": 2})
    assert found["speed"]["mean"] is None


def test_alignments_are_counted(qc: Run, tmp_path: Path) -> None:
    place = {"alignment_start": 0, "alignment_end": 9, "alignment_strand": "+", "alignment_coverage": 1}
    rows = [row | place | {"alignment_genome": "x" if number % 2 else "*", "alignment_identity": 0.9 + number / 100}
            for number, row in enumerate(ROWS[:5])]  # fmt: skip
    table = write(tmp_path / "s.tsv", rows, columns(True))
    assert qc(table, "-o", tmp_path / "qc.json")[0] == 0
    assert json.loads((tmp_path / "qc.json").read_text())["alignment"] == {"mapped": 2, "median_identity": 0.92}


def test_barcodes_are_counted(qc: Run, tmp_path: Path) -> None:
    rows = [row | {"barcode": "K_barcode02" if number % 3 else "", "unclassified": "" if number % 3 else "no barcode"}
            for number, row in enumerate(ROWS)]  # fmt: skip
    table = write(tmp_path / "s.tsv", rows, columns(False, True))
    code, out, _ = qc(table, "-o", tmp_path / "qc.json", "--figures", tmp_path / "figures")
    assert code == 0
    called = rows[:10]
    own = [row["sequence_length_template"] for row in called if row["barcode"]]
    none = [row["sequence_length_template"] for row in called if not row["barcode"]]
    assert json.loads((tmp_path / "qc.json").read_text())["barcodes"] == [
        {"name": "K_barcode02", "reads": len(own), "bases": sum(own)},
        {"name": "unclassified", "reads": len(none), "bases": sum(none)},
    ]
    assert f"reads of K_barcode02 {len(own)}" in " ".join(out.split())
    assert f"unclassified: no barcode {len(none)}" in " ".join(out.split())
    assert (tmp_path / "figures" / "barcodes.svg").is_file()


def test_barcodes_have_the_aliases_of_the_sheet(qc: Run, biorrn: Run, tmp_path: Path) -> None:
    """As `demux` sorts the reads: those of other barcodes are unclassified, and a sample may have none."""
    names = ["K_barcode01"] * 5 + ["K_barcode02"] * 3 + [""] * 4
    rows = [row | {"barcode": name, "unclassified": "" if name else "no barcode"}
            for row, name in zip(ROWS, names, strict=True)]  # fmt: skip
    table, sheet = write(tmp_path / "s.tsv", rows, columns(False, True)), tmp_path / "sheet.csv"
    sheet.write_text("barcode;alias\n1;liver\n3;kidney\n")
    code, out, err = qc(table, "-o", tmp_path / "qc.json", "--sample-sheet", sheet, "--figures", tmp_path / "f")
    assert code == 0, err
    content = json.loads((tmp_path / "qc.json").read_text())
    assert [(row["name"], row["alias"], row["reads"]) for row in content["barcodes"]] == [
        ("K_barcode01", "liver", 5), ("K_barcode03", "kidney", 0), ("unclassified", "", 5)
    ]  # fmt: skip
    assert content["unclassified"] == {"barcode02 is not in the sample sheet": 3, "no barcode": 2}
    assert "reads of liver (K_barcode01) 5" in " ".join(out.split())
    assert "liver (K_barcode01)" in (tmp_path / "f" / "barcodes.svg").read_text()
    assert biorrn("report", "--qc", tmp_path / "qc.json", "-o", tmp_path / "report.html")[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert all(word in page for word in ("<td>liver</td>", "barcode02 is not in the sample sheet"))
    code, _, err = qc(write(tmp_path / "t.tsv", ROWS), "-o", "-", "--sample-sheet", sheet)
    assert (code, "column 'barcode' is missing, which --sample-sheet needs" in err) == (2, True)


def test_what_was_cut_is_counted_of_called_reads(qc: Run, tmp_path: Path) -> None:
    table = write(tmp_path / "s.tsv", ROWS, columns(False))
    assert qc(table, "-o", tmp_path / "qc.json", "--figures", tmp_path / "figures")[0] == 0
    cut = json.loads((tmp_path / "qc.json").read_text())["cut"]
    called = [row for row in ROWS if row["status"] == "called"]
    assert (cut["start"]["reads"], cut["start"]["mean"]) == (len(called), 30)
    assert cut["end"]["bases"] == sum(row["bases_cut_end"] for row in called)
    assert (tmp_path / "figures" / "cut.svg").is_file()


HEADER = "\t".join(columns(False)) + "\n"
GOOD = "\t".join(str(cell) for cell in made(1).values()) + "\n"
BAD: dict[str, tuple[str | list[dict[str, Any]], str]] = {
    "nothing": ("", "the file is empty"),
    "another table": ("a\tb\n1\t2\n", "column 'sequence_length_template' is missing"),
    "a word": ([made(1, channel="one")], "could not convert string to float: 'one'"),
    "a length below 0": ([made(1), made(2, sequence_length_template=-5)], "line 3: sequence_length_template is -5"),
    "a length beyond reason": ([made(1, sequence_length_template=10**12)], "allowed is 0 to 2e+07"),
    "a quality beyond reason": ([made(1, mean_qscore_template=1e9)], "mean_qscore_template is 1e+09"),
    "a row with few cells": (HEADER + GOOD + "file\tr1\n", "line 3 has 2 cells, the header 19"),
    "a row with many cells": (HEADER + "1\t" * 40 + "\n", "line 2 has 41 cells, the header 19"),
    "a row cut off": (HEADER + GOOD + GOOD[:-3], "line 3 has 19 cells, the header 19, or is cut off"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_summary_is_one_line(qc: Run, tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    table = tmp_path / "s.tsv"
    if isinstance(content, str):
        table.write_text(content)
    else:
        write(table, content)
    code, out, err = qc(table, "-o", tmp_path / "qc.json")
    assert (code, out) == (2, "")
    assert err.startswith(f"biorrn: error: {table}: ")
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s.tsv"]


def test_the_flow_cell_can_be_named(qc: Run, tmp_path: Path) -> None:
    table = write(tmp_path / "s.tsv", ROWS)
    for name, shown in (("auto", "Flongle"), ("minion", "MinION"), ("promethion", "PromethION")):
        assert qc(table, "-o", tmp_path / "qc.json", "--flow-cell", name)[0] == 0
        assert json.loads((tmp_path / "qc.json").read_text())["channels"]["flow_cell"] == shown
    assert "did you mean 'minion'?" in qc(table, "-o", "-", "--flow-cell", "minoin")[2]
    table = write(tmp_path / "s.tsv", [made(1, channel=4000)])
    assert "which has 126 channels; there are reads of 4000" in qc(table, "-o", "-", "--flow-cell", "flongle")[2]
    assert qc(table, "-o", "-", "--figures", tmp_path / "figures")[0] == 0  # a flow cell that is not known


@pytest.mark.parametrize("name", ["flongle", "minion", "promethion"])
def test_every_channel_has_one_place(name: str) -> None:
    from biorrn.nanopore.reads.qc import FLOW_CELLS

    most, _, plan = FLOW_CELLS[name]
    assert sorted(plan()[plan() > 0]) == list(range(1, most + 1))


def test_files_left_out_are_no_reads_and_unknown_cells_may_be_empty(qc: Run, tmp_path: Path) -> None:
    from biorrn.nanopore.basecall.summary import unread

    names = columns(False)
    file = dict(zip(names, unread("bad.fast5", "", "cut short"), strict=True))
    lost = dict(zip(names, unread("a.fast5", "r9", "no signal"), strict=True))
    bare = made(3) | dict.fromkeys(("channel", "mux", "start_time", "template_start"), "")
    code, out, err = qc(write(tmp_path / "s.tsv", [file, lost, bare, made(4)]), "-o", tmp_path / "qc.json")
    assert code == 0, err
    found = json.loads((tmp_path / "qc.json").read_text())
    counts = found["counts"]
    assert (counts["rows"], counts["called"], counts["left_out"], counts["files_left_out"]) == (3, 2, 1, 1)
    assert found["reasons"] == {"cut short": 1, "no signal": 1}
    assert (found["channels"]["used"], found["time"]["without_time"]) == (1, 1)
    assert "files left out" in out
