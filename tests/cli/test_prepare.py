"""`biorrn prepare`: outputs, messages, and one line and exit code 2 for each invalid input."""

import json

import numpy as np
import pytest

from biorrn.sequences.fasta import read_fasta
from biorrn.sequences.prepared.files import ProteinFile, SignalFile

TABLE = "id,sequence,tm,set\n" + "".join(
    f"p{i},{'ACDEFGHIKLMNPQRSTVWY'[i:]}{'MKV' * i},{i / 2},{('train', 'train', 'valid', 'test')[i % 4]}\n"
    for i in range(16)
)


@pytest.fixture
def run(biorrn, monkeypatch, tmp_path):
    """Return the `biorrn` function, which runs the command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return biorrn


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    return tmp_path / "t.csv"


def test_protein_writes_file_report_and_fasta(run, table, tmp_path):
    code, out, _ = run(
        *["prepare", "protein", "t.csv", "--target", "tm", "--split", "column:set", "-o", "out/p.h5"],
        *["--report", "out/p.json", "--export-fasta", "valid=out/v.fasta", "--note", "made up"],
    )
    assert code == 0
    assert "train: 8 proteins" in out
    with ProteinFile("out/p.h5") as file:
        assert len(file) == 16
        assert file.targets == [{"name": "tm", "unit": ""}]
        assert list(file.sources) == ["t.csv"]
        held = [file.strings("id")[row] for row in file.rows("valid")]
    assert [record.id for record in read_fasta("out/v.fasta")] == held == ["p2", "p6", "p10", "p14"]
    report = json.loads((tmp_path / "out" / "p.json").read_text())
    assert report["counts"] == {"kept": 16}
    assert {"splits", "lengths", "composition", "targets", "leakage", "split", "seed", "inputs"} <= set(report)
    assert (report["note"], report["split"]) == ("made up", "column:set")
    assert len(report["inputs"][0]["sha256"]) == 64


@pytest.mark.parametrize("split", ["random:0.5,0.25,0.25", "random", "cluster:0.9:0.5,0.25,0.25"])
def test_protein_is_the_same_for_the_same_seed(run, table, split):
    for name in ("a.h5", "b.h5"):
        assert run("prepare", "protein", "t.csv", "--target", "tm", "--split", split, "--seed", 3, "-o", name)[0] == 0
    with ProteinFile("a.h5") as a, ProteinFile("b.h5") as b:
        assert np.array_equal(a.file["split"][:], b.file["split"][:])
        assert len(a.rows("valid"))


def test_protein_from_fasta_and_table(run, table, tmp_path):
    (tmp_path / "p.fa").write_text(">p1\nMKV\n>p2\nACD\n>other\nACD\n")
    words = [
        "prepare",
        "protein",
        "p.fa",
        "--targets",
        "t.csv",
        "--target",
        "tm",
        "--split",
        "column:set",
        "-o",
        "p.h5",
    ]
    code, out, _ = run(*words)
    assert code == 0
    assert "dropped: no row in the table: 1" in out
    with ProteinFile("p.h5") as file:
        assert file.strings("id") == ["p1", "p2"]
        assert file.file["targets"][:, 0].tolist() == [0.5, 1.0]


GOOD = {"INPUT": "t.csv", "--target": "tm", "--split": "column:set", "-o": "p.h5"}
BAD_PROTEIN = {
    "unknown target": ({"--target": "tn"}, "t.csv: column 'tn' is missing; did you mean 'tm'?"),
    "unknown sequence column": (
        {"--sequence-column": "sequnce"},
        "column 'sequnce' is missing; did you mean 'sequence'?",
    ),
    "unknown id column": ({"--id-column": "name"}, "column 'name' is missing"),
    "unknown weight column": ({"--weight": "w"}, "column 'w' is missing"),
    "unknown split column": ({"--split": "column:sett"}, "column 'sett' is missing; did you mean 'set'?"),
    "unknown splitter": ({"--split": "colum:set"}, "--split 'colum' is unknown; did you mean 'column'?"),
    "a splitter of signal": ({"--split": "reference:a:0-1=valid"}, "'reference' cannot split protein data"),
    "a column that says no split": ({"--split": "column:id"}, "record 'p0': column 'id': found 'p0'; allowed is train"),
    "parts that do not sum to 1": ({"--split": "random:0.5,0.1,0.1"}, "allowed is three parts that sum to 1"),
    "an identity in per cent": ({"--split": "cluster:50"}, "found identity '50'; allowed is 0.3 to 1"),
    "a target of text": (
        {"--target": "set", "--target-type": "number"},
        "row 1: column 'set': found 'train'; allowed is a finite number",
    ),
    "no such file": ({"INPUT": "absent.csv"}, "absent.csv: cannot be read: No such file or directory"),
    "a folder": ({"INPUT": "."}, "cannot be read: Is a directory"),
    "a table with a table": ({"--targets": "t.csv"}, "is for FASTA input"),
    "an export of an unknown split": ({"--export-fasta": "vald=v.fa"}, "did you mean 'valid'?"),
    "an export without a path": ({"--export-fasta": "valid"}, "allowed is SPLIT=PATH"),
    "an output that is a folder's file": ({"-o": "t.csv/p.h5"}, "cannot be written"),
}


def words(options):
    return [options["INPUT"], *[word for name, value in options.items() if name != "INPUT" for word in (name, value)]]


@pytest.mark.parametrize("case", BAD_PROTEIN)
def test_a_fault_is_one_line_and_exit_2(run, table, tmp_path, case):
    changes, message = BAD_PROTEIN[case]
    before = set(tmp_path.iterdir())
    code, out, err = run("prepare", "protein", *words({**GOOD, **changes}))
    assert (code, out) == (2, "")
    assert message in err
    assert [line for line in err.splitlines() if line.startswith("biorrn: error: ")] == err.splitlines()[-1:]
    assert "Traceback" not in err
    assert set(tmp_path.iterdir()) == before  # no half-written file


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("q,MK7V,1,train", "record 'q': residue '7' at position 3 is not one of ACDEF"),
        ("q,MKV,high,train", "column 'tm': found 'high'; allowed is a finite number"),
        ("q,MKV,1", "row 17 has 3 cells; the header names 4 columns"),
        ("q,,1,train", "record 'q': the sequence is empty"),
    ],
)
def test_a_bad_row_is_named_and_left_out_or_ends_the_run_when_strict(run, table, row, message):
    table.write_text(TABLE + row + "\n")
    code, out, err = run("prepare", "protein", *words(GOOD))
    assert code == 0
    assert message in err
    assert "dropped: row cannot be used: 1" in out
    code, _, err = run("prepare", "protein", *words(GOOD), "--strict")
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("q,MKV,inf,train", "column 'tm': found 'inf'"),
        ("q,MKV,1,holdout", "record 'q': column 'set': found 'holdout'; allowed is train, valid, test"),
    ],
)
def test_some_faults_are_no_slip_of_one_row(run, table, row, message):
    table.write_text(TABLE + row + "\n")
    code, _, err = run("prepare", "protein", *words(GOOD))
    assert code == 2
    assert message in err


def test_fasta_needs_a_table(run, table, tmp_path):
    (tmp_path / "p.fa").write_text(">p1\nMKV\n")
    code, _, err = run("prepare", "protein", *words({**GOOD, "INPUT": "p.fa"}))
    assert code == 2
    assert "p.fa: is FASTA, which holds no values; name their table with --targets" in err


@pytest.mark.parametrize("group", [[], ["protein"], ["signal"]])
def test_help(run, group):
    code, out, _ = run("prepare", *group, "--help")
    assert code == 0
    assert "Usage: " in out
    assert not group or "Examples:\n" in out


@pytest.fixture
def simulated(root):
    return root / "data" / "simulated_reads"


def test_signal_with_truth(run, simulated, tmp_path):
    truth = simulated / "truth.tsv"
    code, out, err = run(
        *["prepare", "signal", simulated, "--labels", "truth", "--truth", truth, "-o", "s.h5"],
        *["--split", "reference:simulated_reference:0-3000=valid", "--report", "s.json"],
    )
    assert code == 0, err
    assert "train: " in out
    report = json.loads((tmp_path / "s.json").read_text())
    assert report["leakage"]["valid"]["covered_by_train"] == 0
    assert report["counts"]["reads kept"] == sum(1 for _ in truth.open()) - 1
    with SignalFile("s.h5") as file:
        assert len(file.rows("train"))
        assert (file.file["ref_end"][:][file.rows("valid")] <= 3000).all()
        assert (file.file["ref_start"][:][file.rows("train")] >= 3000).all()
        assert any(name.endswith("truth.tsv") for name in file.sources)


def test_signal_with_events(run, shared_data, tmp_path):
    files = sorted((shared_data / "nanopore" / "lambda_r941" / "fast5").iterdir())[2:6]
    (tmp_path / "bad.fast5").write_bytes(b"no")
    code, out, err = run("prepare", "signal", *files, "bad.fast5", "--split", "random:0.5,0.25,0.25", "-o", "s.h5")
    assert code == 0
    assert "reads kept: 4" in out
    assert "bad.fast5: " in err
    with SignalFile("s.h5") as file:
        assert all(len(file.rows(name)) for name in ("train", "valid", "test"))


NAME = "simulated_reference"
BAD_SIGNAL = {
    "a region beyond the reference": (
        ["--split", "reference:simulated_reference:10000000-10000009=valid"],
        "no base lies in",
    ),
    "an unknown reference": (["--split", "reference:other:0-9=valid"], f"the reads cover {NAME}:"),
    "a split that is none": (["--split", f"reference:{NAME}:0-9=vald"], "did you mean 'valid'?"),
    "a span that is none": (["--split", f"reference:{NAME}:9-9=valid"], "its start must be before its end"),
    "a splitter of proteins": (["--split", "cluster:0.5"], "'cluster' cannot split signal data"),
    "unknown labels": (["--labels", "truths"], "--labels 'truths' is unknown; did you mean 'truth'?"),
    "unknown normaliser": (["--normaliser", "madmed"], "normaliser 'madmed' is unknown"),
    "no truth table": (["--truth", "absent.tsv"], "absent.tsv: cannot be read"),
    "events with a truth table": (["--labels", "events"], "is for --labels truth"),
}


@pytest.mark.parametrize("case", BAD_SIGNAL)
def test_a_fault_of_signal_is_one_line_and_exit_2(run, simulated, tmp_path, case):
    changes, message = BAD_SIGNAL[case]
    reads, truth = simulated / "simulated.fast5", simulated / "truth.tsv"
    options = ["--labels", "truth", "--truth", truth, "--split", "random", "-o", "s.h5"]
    code, out, err = run("prepare", "signal", reads, *options, *changes)
    assert (code, out) == (2, "")
    assert message in err
    assert err.splitlines()[-1].startswith("biorrn: error: ")
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["absent.fast5", "t.csv", "."])
def test_no_signal_file(run, table, path):
    code, _, err = run("prepare", "signal", path, "--split", "random", "-o", "s.h5")
    assert code == 2
    assert err.startswith("biorrn: error: ")


def test_reads_without_events(run, simulated):
    code, _, err = run("prepare", "signal", simulated / "simulated.fast5", "--split", "random", "-o", "s.h5")
    assert code == 2
    assert "holds no labels" in err


def test_events_of_another_format(run, simulated):
    code, _, err = run("prepare", "signal", simulated / "simulated.blow5", "--split", "random", "-o", "s.h5")
    assert code == 2
    assert "holds no events; --labels events needs FAST5" in err
