"""`biorrn scan` and `biorrn explain`: tables, figures, lists of mutations, exit codes."""

import csv
import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

Run = Callable[..., tuple[int, str, str]]
PIN1 = "MADEEKLPPGWEKRMSRSSGRVYYFNHITNASQWERPSGGSNGSGNGSSG"


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "pin1.fa"
    path.write_text(f">pin1 WW domain\n{PIN1}\n")
    return path


def test_the_shipped_model_scans_a_protein(biorrn: Run, fasta: Path, tmp_path: Path) -> None:
    code, out, err = biorrn("scan", "stability", fasta, "-o", tmp_path / "s.tsv", "--figure", tmp_path / "s.svg")
    assert (code, out) == (0, "")
    table = pd.read_csv(tmp_path / "s.tsv", sep="\t")
    assert len(table) == 19 * len(PIN1)
    assert list(table)[:7] == [
        "id", "position", "wild_type", "mutant", "mutation", "stability", "stability_difference",
    ]  # fmt: skip
    assert "".join(table.drop_duplicates("position")["wild_type"]) == PIN1
    np.testing.assert_allclose((table["stability"] - table["stability_difference"]).std(), 0, atol=1e-3)
    # the first tryptophan of the WW domain holds the fold together, its disordered tail does not
    mean = table.groupby("position")["stability_difference"].mean()
    assert mean[11] < mean[38:].min()
    assert "record 'pin1': wild type stability" in err
    assert "scan: 950 mutants, 1 protein in" in err
    assert (tmp_path / "s.svg").read_text().startswith("<?xml")


def test_a_scan_agrees_with_predict(biorrn: Run, fasta: Path, tmp_path: Path) -> None:
    (tmp_path / "mutant.fa").write_text(f">W11A\n{PIN1[:10]}A{PIN1[11:]}\n")
    _, predicted, _ = biorrn("predict", "stability", tmp_path / "mutant.fa", "--precision", 32)
    _, scanned, _ = biorrn("scan", "stability", fasta, "--mutations", "W11A", "--batch-size", 3)
    value = [next(csv.DictReader(io.StringIO(text), delimiter="\t"))["stability"] for text in (predicted, scanned)]
    assert value[0] == value[1]


def test_a_mutation_left_out_has_a_row(biorrn: Run, fasta: Path) -> None:
    code, out, err = biorrn("scan", "stability", fasta, "--mutations", "A3G,W11A,E12*")
    rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
    assert [row["mutation"] for row in rows] == ["A3G", "W11A", "E12*"]
    assert [row["flags"].split(",")[-1] for row in rows][::2] == ["wild_type_differs", "stop_codon"]
    assert [bool(row["stability"]) for row in rows] == [False, True, False]
    assert code == 0
    assert "skipped 2 (wild_type_differs: 1, stop_codon: 1)" in err


def test_lists_of_mutations(biorrn: Run, fasta: Path, tmp_path: Path) -> None:
    listed = "A2G,p.Trp11Phe:Glu12del,G10_W11insPP"
    code, out, _ = biorrn("scan", "stability", fasta, "--mutations", listed)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
    assert [row["mutation"] for row in rows] == ["A2G", "W11F:E12del", "G10_W11insPP"]
    assert [row["position"] for row in rows] == ["2", "11:12", "11"]
    (tmp_path / "list.csv").write_text("mutant,score\nA2G,1\nW11F:E12del,2\nG10_W11insPP,3\n")
    assert biorrn("scan", "stability", fasta, "--mutations", tmp_path / "list.csv")[1] == out
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress(b"A1002G\nW1011F:E1012del\nG1010_W1011insPP\n"))
    _, moved, _ = biorrn("scan", "stability", fasta, "--mutations", tmp_path / "list.txt.gz", "--offset", 1000)
    values = [[row["stability"] for row in csv.DictReader(io.StringIO(text), delimiter="\t")] for text in (out, moved)]
    assert values[0] == values[1]


def test_several_proteins_positions_and_formats(biorrn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f">a\n{PIN1}\n>b\n{PIN1[::-1]}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(text))))
    options = ("--positions", "3-4,9", "--deletions", "--insertions", "--figure", tmp_path / "pictures")
    code, _, err = biorrn("scan", "stability", "-", "-o", tmp_path / "s.parquet", *options)
    assert code == 0
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert table.groupby("id").size().to_dict() == {"a": 3 * 40, "b": 3 * 40}
    assert sorted(table["position"].unique()) == [3, 4, 9]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["a.svg", "b.svg"]
    assert err.count("wild type stability") == 2


def test_a_model_that_reads_what_others_tell_has_no_gradients(biorrn: Run, fasta: Path) -> None:
    code, out, err = biorrn("explain", "stability", fasta, "--method", "gradients")
    assert (code, out) == (2, "")
    assert "has no gradients by residue; use --method occlusion" in err


@pytest.mark.parametrize("method", ["auto", "occlusion"])
def test_explain(biorrn: Run, fasta: Path, tmp_path: Path, method: str) -> None:
    table, picture = tmp_path / "e.csv", tmp_path / "e.png"
    code, out, err = biorrn(
        "explain", "stability", fasta, "--method", method, "--baseline", "X", "-o", table, "--figure", picture
    )
    assert (code, out) == (0, "")
    found = pd.read_csv(table)
    assert "".join(found["residue"]) == PIN1
    assert found["position"].tolist() == list(range(1, 51))
    assert found["stability_attribution"].idxmax() in (10, 22, 23, 24)  # W11, Y23, Y24, F25: the core of a WW domain
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "attributions sum to" not in err
    assert "explain: 1 protein, 50 residues in" in err


BAD = [
    ("scan", ["--mutations", "A3G"], "mutation 'A3G': found 'D' at position 3 of the wild type, expected 'A'"),
    ("scan", ["--mutations", "W11*"], "mutation 'W11*': stop codon"),
    ("scan", ["--mutations", "none.csv"], "none.csv: cannot be read"),
    ("scan", ["--mutations", "A2G:A2W"], "of one variant overlap"),
    ("scan", ["--positions", "40-60"], "--positions: found 40-60; record 'pin1' has residues 1 to 50"),
    ("scan", ["--positions", "ten"], "--positions: found 'ten'; allowed is"),
    ("scan", ["--figure", "scan.jpg"], "--figure: found 'scan.jpg'; allowed is a name with .svg or .png"),
    ("scan", ["--mutations", "A2G:D3G", "--figure", "x.svg"], "no mutant of a single residue"),
    ("scan", ["--level", "1.5"], "--level: found 1.5"),
    ("scan", ["--batch-size", "0"], "--batch-size: found 0"),
    ("explain", ["--method", "ocluson"], "--method 'ocluson' is unknown; did you mean 'occlusion'?"),
    ("explain", ["--baseline", "zero"], "--baseline: found 'zero'; allowed is one of mean, X"),
    ("explain", ["--figure", "e.pdf"], "--figure: found 'e.pdf'; allowed is"),
    ("explain", ["-o", "e.parquet.gz"], "parquet is packed in itself"),
]


@pytest.mark.parametrize(("command", "options", "message"), BAD)
def test_bad_input_is_one_line(
    biorrn: Run,
    fasta: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = options if "-o" in options else ["-o", "out.tsv", *options]
    code, out, err = biorrn(command, "stability", fasta, *arguments)
    assert (code, out) == (2, "")
    *said, last = err.splitlines()
    assert last.startswith("biorrn: error: ")
    assert message in last
    assert all(line.startswith(f"biorrn {command}: record") for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["pin1.fa"]


def test_a_model_of_effects_points_to_scan(biorrn: Run, fasta: Path) -> None:
    code, out, err = biorrn("explain", "ddg", fasta)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "ddg: is a model of effects of substitutions, see biorrn scan ddg; " in err
    assert "pretrained" not in err


@pytest.mark.parametrize("command", ["scan", "explain"])
def test_a_basecaller_is_refused(biorrn: Run, fasta: Path, command: str) -> None:
    code, _, err = biorrn(command, "dna_r9.4.1_fast", fasta)
    assert code == 2
    assert "is a model for basecalling" in err
