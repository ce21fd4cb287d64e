"""`biorrn prepare signal` with labels from calls, `prepare mix`, `export` and `import`."""

import array
import json

import h5py
import numpy as np
import pysam
import pytest

from biorrn.sequences.prepared.files import SignalFile

LEVELS = np.array([0, 300, 400, 500, 600])
STRIDE, TRIMMED = 5, 20
NAMES = ("r1", "r2", "r3", "r4")


@pytest.fixture
def run(biorrn, monkeypatch, tmp_path):
    """Return the `biorrn` function in a folder with reads.fast5 (four reads) and calls.bam (three of them)."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    with (
        h5py.File("reads.fast5", "w") as file,
        pysam.AlignmentFile("calls.bam", "wb", header={"HD": {"VN": "1.6"}}) as bam,
    ):
        for name in NAMES:
            bases = rng.integers(1, 5, 300)
            dwell = rng.integers(1, 4, 300)
            raw = np.concatenate([np.full(TRIMMED, 450), np.repeat(LEVELS[bases], STRIDE * dwell)])
            group = file.create_group(f"read_{name}")
            group["Raw/Signal"] = (raw + rng.integers(-5, 6, len(raw))).astype(np.int16)
            group["Raw"].attrs["read_id"] = name
            values = {"digitisation": 8192.0, "range": 1024.0, "offset": 20.0, "sampling_rate": 4000.0}
            group.create_group("channel_id").attrs.update(values)
            if name == "r4":
                continue
            record = pysam.AlignedSegment(bam.header)
            record.query_name, record.flag = name, 4
            record.query_sequence = "".join("-ACGT"[base] for base in bases)
            record.query_qualities = pysam.qualitystring_to_array(("&" if name == "r3" else "5") * 300)
            moves = np.zeros(dwell.sum(), np.int8)
            moves[np.cumsum(dwell) - dwell] = 1
            record.set_tag("mv", array.array("b", [STRIDE, *moves]))
            record.set_tag("ts", TRIMMED)
            bam.write(record)
    return biorrn


def prepare(run, *words, split="random:0.5,0.5,0"):
    return run("prepare", "signal", "reads.fast5", "--split", split, *words)


def test_bam_writes_file_report_and_table(run, tmp_path):
    code, out, err = prepare(
        run,
        *["--labels", "bam", "--bam", "calls.bam", "--min-mean-q", "9"],
        *["-o", "s.h5", "--report", "s.json", "--table", "s.tsv"],
    )
    assert (code, err) == (0, "")
    assert "reads kept: 2" in out
    rows = [line.split("\t") for line in (tmp_path / "s.tsv").read_text().splitlines()]
    assert [(row[0], row[1], row[2]) for row in rows[1:]] == [
        ("r1", "kept", "."),
        ("r2", "kept", "."),
        ("r3", "dropped", "mean quality below 9"),
        ("r4", "dropped", "no call in the file of calls"),
    ]
    report = json.loads((tmp_path / "s.json").read_text())
    assert report["counts"]["reads dropped: mean quality below 9"] == 1
    assert (report["bam"], report["min_mean_q"]) == ("calls.bam", 9)
    assert {entry["path"] for entry in report["inputs"]} == {"calls.bam", "reads.fast5"}
    with SignalFile("s.h5") as file:
        assert file.file.attrs["labels"] == "bam"
        assert set(file.strings("read_id")) == {"r1", "r2"}
        assert len(file.labels(0)[0]) == int(rows[1][6])


def test_mix_export_and_import(run, tmp_path):
    assert prepare(run, "--labels", "bam", "--bam", "calls.bam", "-o", "a.h5", split="random:1,0,0")[0] == 0
    assert prepare(run, "--labels", "bam", "--bam", "calls.bam", "-o", "b.h5")[0] == 0
    code, out, err = run("prepare", "mix", "a.h5=3", "b.h5", "-o", "m.h5", "--report", "m.json", "--note", "both")
    assert (code, err) == (0, "")
    assert "share of a.h5, per mille: 750" in out
    report = json.loads((tmp_path / "m.json").read_text())
    assert report["note"] == "both"
    assert {entry["path"] for entry in report["inputs"]} == {"calls.bam", "reads.fast5"}
    code, out, err = run("prepare", "export", "m.h5", "-o", "chunks", "--samples", "600")
    assert (code, err) == (0, "")
    assert "chunks/validation: valid" in out
    code, out, err = run("prepare", "import", "chunks", "-o", "i.h5", "--report", "i.json")
    assert (code, err) == (0, "")
    with SignalFile("i.h5") as file:
        assert len(file) == len(np.load("chunks/chunks.npy")) + len(np.load("chunks/validation/chunks.npy"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("prepare signal reads.fast5 --split random -o x.h5 --labels bam", "name it with --bam"),
        (
            "prepare signal reads.fast5 --split random -o x.h5 --labels bootstrap",
            "needs the sequenced genome as --reference",
        ),
        ("prepare signal reads.fast5 --split random -o x.h5 --bam calls.bam", "--bam: is for --labels bam"),
        ("prepare signal reads.fast5 --split random -o x.h5 --labels bam --bam no.bam", "no.bam: "),
        (
            "prepare signal reads.fast5 --split random -o x.h5 --labels calls",
            "found no read with labels (reads dropped: no call in the FAST5 4)",
        ),
        (
            "prepare signal reads.fast5 --split random -o x.h5 --labels bam --bam calls.bam --min-mean-q 50",
            "reads dropped: mean quality below 50 3",
        ),
        (
            "prepare signal reads.fast5 --split random -o x.h5 --labels calls --calls reads.fast5",
            "reads.fast5: ",
        ),
        ("prepare mix a.h5=x -o x.h5", "found the weight 'x'"),
        ("prepare mix missing.h5 -o x.h5", "missing.h5: cannot be read"),
        ("prepare export reads.fast5 -o x", "reads.fast5: "),
        ("prepare import . -o x.h5", "holds no chunks.npy"),
        ("prepare import . -o x.h5 --split reference:a:0-9=valid", "chunks have no reference position"),
    ],
)
def test_faults_are_one_line(run, tmp_path, words, message):
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("biorrn: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "x.h5").exists()
