"""`biorrn basecall`: formats, alignment, selection of reads, summary, and resume after kill -9."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pysam
import pytest

from biorrn.kernels.lstm.layers import kinds
from biorrn.nanopore.basecall.caller import Caller
from biorrn.nanopore.reads.qc import read_qc

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--decoder", "greedy", "--threads", 1, "--min-length", 0)  # an untrained model calls few bases


@pytest.fixture
def biorrn(biorrn: Run) -> Run:
    """Return a function that runs `biorrn basecall` and returns its exit code, stdout and stderr."""
    return partial(biorrn, "basecall")


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "data" / "simulated_reads"


@pytest.fixture(scope="module")
def reads(folder: Path) -> Path:
    return folder / "simulated.blow5"


@pytest.fixture(scope="module")
def few(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with short reads: cut from the example's, twice the same ids, one without samples."""
    import h5py

    from biorrn.nanopore.readers.files import read_all

    place = tmp_path_factory.mktemp("few")
    for name in ("a.fast5", "b.fast5"):
        with h5py.File(place / name, "w") as file:
            for number, record in enumerate(read_all([folder / "simulated.blow5"])):
                group = file.create_group(f"read_{record.read_id}")
                group["Raw/Signal"] = record.raw[: 0 if number == 2 else 1500 + 100 * number]
                group["Raw"].attrs["read_id"] = record.read_id
                tracking = {"run_id": f"run_{name[0]}", "flow_cell_product_code": "FLO-MIN106"}
                group.create_group("tracking_id").attrs.update(tracking)
                channel = group.create_group("channel_id").attrs
                channel["offset"], channel["sampling_rate"] = record.offset, record.sample_rate
                channel["digitisation"], channel["range"] = 8192.0, 8192.0 * record.scale
    return place


def parse(fastq: str) -> list[tuple[str, str, str]]:
    lines = fastq.splitlines()
    return [(lines[i][1:].split("\t")[0], lines[i + 1], lines[i + 3]) for i in range(0, len(lines), 4)]


def records(path: Path, **more: str) -> list[pysam.AlignedSegment]:
    with pysam.AlignmentFile(str(path), check_sq=False, **more) as file:
        return list(file.fetch(until_eof=True))


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.mark.parametrize("kind", ["sam", "bam", "cram"])
def test_every_format_holds_the_same_reads(biorrn: Run, model: Path, few: Path, tmp_path: Path, kind: str) -> None:
    _, fastq, _ = biorrn(few, "--model", model, *QUICK)
    code, out, err = biorrn(few, "--model", model, *QUICK, "-o", tmp_path / f"c.{kind}")
    assert (code, out) == (0, ""), err
    found = records(tmp_path / f"c.{kind}")
    letters = [pysam.qualities_to_qualitystring(record.query_qualities) for record in found]
    assert [(r.query_name, r.query_sequence, q) for r, q in zip(found, letters, strict=True)] == parse(fastq)
    for record in found:
        stride, *moves = record.get_tag("mv")
        assert sum(moves) == record.query_length
        assert len(moves) == (record.get_tag("ns") - record.get_tag("ts")) // stride
    assert [path.name for path in tmp_path.iterdir()] == [f"c.{kind}"]
    with pysam.AlignmentFile(str(tmp_path / f"c.{kind}"), check_sq=False) as file:
        assert [group["ID"] for group in file.header.to_dict()["RG"]] == ["run_a_tiny", "run_b_tiny"]
        assert "biorrn basecall" in file.header.to_dict()["PG"][0]["CL"]
        assert "\tDS:engine: torch, cpu" in str(file.header)
    assert "biorrn basecall: engine: torch, cpu\n" in err


def test_the_engine_is_named_in_the_log_and_in_the_header(
    biorrn: Run, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", *(["float32"] if kinds() else [])):
        monkeypatch.setenv("BIORRN_ENGINE", name)
        code, _, err = biorrn(
            few, "--model", "dna_r9.4.1_fast", "--max-reads", 3, "--device", "cpu", "-o", tmp_path / f"{name}.sam"
        )
        assert code == 0, err
        said = (tmp_path / f"{name}.sam").read_text().split("\tDS:engine: ")[1].split("\n")[0]
        assert said.startswith(name)
        assert f"biorrn basecall: engine: {said}\n" in err


def test_stdout_takes_any_format(biorrn: Run, model: Path, few: Path, tmp_path: Path) -> None:
    code, sam, _ = biorrn(few, "--model", model, *QUICK, "--emit", "sam", "--no-moves")
    assert code == 0
    (tmp_path / "c.sam").write_text(sam)
    _, fastq, _ = biorrn(few, "--model", model, *QUICK, "--emit", "fastq")
    assert [record.query_name for record in records(tmp_path / "c.sam")] == [name for name, _, _ in parse(fastq)]
    assert not any(record.has_tag("mv") for record in records(tmp_path / "c.sam"))


def test_binary_goes_to_a_pipe_whole(
    biorrn: Run, model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", pipe)
    assert biorrn(few, "--model", model, *QUICK, "--emit", "bam", "--max-reads", 3)[0] == 0
    (tmp_path / "c.bam").write_bytes(pipe.buffer.getvalue())
    assert len(records(tmp_path / "c.bam")) == 2  # the third read has no samples


def test_reads_are_aligned_and_the_summary_says_where(biorrn: Run, folder: Path, reads: Path, tmp_path: Path) -> None:
    reference = folder / "reference.fasta"
    code, _, err = biorrn(reads, "-o", tmp_path / "c.bam", "--reference", reference, "--summary", tmp_path / "s.tsv")
    assert code == 0, err
    assert "model dna_r9.4.1_" in err.splitlines()[0]
    primary = [record for record in records(tmp_path / "c.bam") if not record.is_supplementary]
    rows = table(tmp_path / "s.tsv")
    assert [row["read_id"] for row in rows] == [record.query_name for record in primary]
    mapped = [record for record in primary if not record.is_unmapped]
    assert len(mapped) >= 0.9 * len(primary)
    for row, record in zip(rows, primary, strict=True):
        assert (row["passes_filtering"], row["status"]) == ("TRUE", "called")
        assert int(row["sequence_length_template"]) == record.query_length
        assert float(row["mean_qscore_template"]) == pytest.approx(record.get_tag("qs"), abs=1e-4)
        assert (int(row["num_samples"]), int(row["samples_trimmed"])) == (record.get_tag("ns"), record.get_tag("ts"))
        if record.is_unmapped:
            assert row["alignment_genome"] == "*"
            continue
        place = (row["alignment_genome"], int(row["alignment_start"]), int(row["alignment_end"]))
        assert place == (record.reference_name, record.reference_start, record.reference_end)
        assert row["alignment_strand"] == ("-" if record.is_reverse else "+")
        coverage = record.query_alignment_length / record.query_length
        assert float(row["alignment_coverage"]) == pytest.approx(coverage, abs=1e-4)
        columns = sum(length for operation, length in record.cigartuples if operation in (0, 1, 2, 7, 8))
        assert float(row["alignment_identity"]) == pytest.approx(1 - record.get_tag("NM") / columns, abs=1e-4)


def test_what_is_left_out_is_in_the_summary_with_its_reason(
    biorrn: Run, model: Path, few: Path, tmp_path: Path
) -> None:
    biorrn(few, "--model", model, *QUICK, "-o", tmp_path / "all.fastq", "--summary", tmp_path / "all.tsv")
    every = table(tmp_path / "all.tsv")
    quality = sorted(float(row["mean_qscore_template"]) for row in every)
    limit = quality[len(quality) // 2]
    files = ["-o", tmp_path / "some.fastq", "--summary", tmp_path / "some.tsv"]
    code, _, err = biorrn(few, "--model", model, *QUICK, "--min-qscore", limit, *files)
    assert code == 0
    rows = table(tmp_path / "some.tsv")
    assert [row["read_id"] for row in rows] == [row["read_id"] for row in every]  # in the order of the input
    for row in rows:
        empty = row["num_samples"] == "0"
        low = float(row["mean_qscore_template"]) < limit
        status = "no samples" if empty else f"mean quality below {limit:g}" if low else "called"
        assert (row["status"], row["passes_filtering"]) == (status, "TRUE" if status == "called" else "FALSE")
    names = [name for name, _, _ in parse((tmp_path / "some.fastq").read_text())]
    assert names == [row["read_id"] for row in rows if row["status"] == "called"]
    assert 0 < len(names) < len(every)
    assert f"mean quality below {limit:g}: " in err.splitlines()[-1]
    assert "no samples: 2" in err.splitlines()[-1]


def test_a_threshold_above_all_reads_leaves_an_empty_output(
    biorrn: Run, model: Path, few: Path, tmp_path: Path
) -> None:
    code, _, err = biorrn(few, "--model", model, *QUICK, "--min-qscore", 90, "-o", tmp_path / "c.bam")
    assert (code, records(tmp_path / "c.bam")) == (0, [])
    assert "basecall: 0 reads" in err.splitlines()[-1]


def test_a_damaged_read_has_a_row(biorrn: Run, model: Path, few: Path, tmp_path: Path) -> None:
    import shutil

    import h5py

    shutil.copy(few / "a.fast5", tmp_path / "a.fast5")
    with h5py.File(tmp_path / "a.fast5", "r+") as file:
        name = list(file)[1]
        file[name]["channel_id"].attrs["digitisation"] = -1.0
    code, _, err = biorrn(tmp_path / "a.fast5", "--model", model, *QUICK, "--summary", tmp_path / "s.tsv")
    assert code == 0
    [row] = [row for row in table(tmp_path / "s.tsv") if row["read_id"] == name.removeprefix("read_")]
    assert (row["filename"], row["passes_filtering"]) == ("a.fast5", "FALSE")
    assert "digitisation" in row["status"]
    assert "unusable read: 1" in err.splitlines()[-1]


def test_chosen_reads(biorrn: Run, model: Path, few: Path, tmp_path: Path) -> None:
    _, fastq, _ = biorrn(few, "--model", model, *QUICK)
    wanted = sorted({name for name, _, _ in parse(fastq)})[3:6]
    (tmp_path / "ids.txt").write_text("\n".join([*wanted, "nobody"]))
    chosen = ("--read-ids", tmp_path / "ids.txt", "--summary", tmp_path / "s.tsv")
    code, out, err = biorrn(few, "--model", model, *QUICK, *chosen)
    assert code == 0
    rows = [line.split("\t") for line in (tmp_path / "s.tsv").read_text().splitlines()[1:]]
    assert [(row[1], row[-1]) for row in rows][-1] == ("nobody", "read id not found")
    assert {row[1] for row in rows} == {*wanted, "nobody"}
    content, _ = read_qc(tmp_path / "s.tsv", name="s")
    assert content["counts"]["left_out"] == 1
    assert "" not in [file["name"] for file in content["files"]]
    assert parse(out) == [record for record in parse(fastq) if record[0] in wanted]  # from both files
    assert "biorrn basecall: read id not found: 1 (nobody)" in err
    assert "read id not found: 1" in err.splitlines()[-1]
    (tmp_path / "ids.tsv").write_text("n\tread_id\n" + "".join(f"1\t{name}\n" for name in wanted))
    assert biorrn(few, "--model", model, *QUICK, "--read-ids", tmp_path / "ids.tsv")[1] == out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "c.sam", "--emit", "bam"], "--emit: found bam, where the output c.sam is sam"),
        (["--emit", "bem"], "--emit: format 'bem' is unknown; did you mean 'bam'?"),
        (["-o", "c.bam.gz"], "c.bam.gz: found the suffix '.bam.gz'; allowed is"),
        (["--resume"], "--resume: standard output cannot be resumed"),
        (["--reference", "{reference}"], "--reference: FASTQ holds no alignments"),
        (["--reference", "no.fa", "-o", "{d}/c.bam"], "no.fa: cannot be read"),
        (["--read-ids", "{d}/empty"], "empty: holds no read id"),
        (["--read-ids", "{d}/unknown"], "no read could be called; skipped 1 (read id not found: 1)"),
        (["--summary", "-"], "--summary: found -, which is also the output"),
        (["-o", "{d}/folder.bam"], "folder.bam: cannot be written: it is a folder"),
        (["-o", "{d}/empty/c.bam"], "cannot be written"),
        (["-o", "{d}/c.bam", "--summary", "{d}/empty/s.tsv"], "s.tsv: cannot be written"),
    ],
)
def test_contradictions_are_one_line(
    biorrn: Run, model: Path, few: Path, folder: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "unknown").write_text("nobody\n")
    (tmp_path / "folder.bam").mkdir()
    words = [word.format(d=tmp_path, reference=folder / "reference.fasta") for word in arguments]
    code, out, err = biorrn(few / "a.fast5", "--model", model, *QUICK, *words)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert err.startswith(("biorrn: error: ", "biorrn basecall: read id not found"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "folder.bam", "unknown"]


@pytest.fixture
def unfinished(biorrn: Run, model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the arguments of a run whose output could not be written, but whose journal is there."""
    from biorrn.nanopore.basecall.output import CallOutput

    arguments = [few, "--model", model, *QUICK, "-o", tmp_path / "c.sam", "--summary", tmp_path / "s.tsv", "--resume"]
    with monkeypatch.context() as patch:
        patch.setattr(CallOutput, "finish", lambda self, summary: (_ for _ in ()).throw(KeyboardInterrupt))
        code, _, err = biorrn(*arguments)
    assert code == 130
    assert "c.sam.partial: keeps" in err
    return arguments


def test_a_journal_cut_anywhere_gives_the_same_bytes(biorrn: Run, unfinished: list[object], tmp_path: Path) -> None:
    partial = tmp_path / "c.sam.partial"
    data = partial.read_bytes()
    partial.unlink()
    assert biorrn(*unfinished)[0] == 0
    whole = [(tmp_path / name).read_bytes() for name in ("c.sam", "s.tsv")]
    assert not partial.exists()
    for cut in [0, 20, len(data), *np.random.default_rng(0).integers(20, len(data), 6)]:
        partial.write_bytes(data[:cut])
        code, _, err = biorrn(*unfinished)
        assert code == 0, err
        assert [(tmp_path / name).read_bytes() for name in ("c.sam", "s.tsv")] == whole
        assert not partial.exists()
        if cut == len(data):
            assert "resumed: 16 reads already done, 14 of them called" in err
            assert "no samples: 2" in err.splitlines()[-1]


def test_other_settings_or_no_word_of_resuming_are_refused(
    biorrn: Run, unfinished: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (tmp_path / "c.sam.partial").read_bytes()
    code, _, err = biorrn(*unfinished[:-1])
    assert (code, err.count("\n")) == (2, 1)
    assert "is the partial output of an interrupted run; add --resume to continue, or delete it" in err
    code, _, err = biorrn(*unfinished, "--decoder", "beam")
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be resumed: --decoder was greedy and is now beam" in err
    with monkeypatch.context() as patch:
        patch.setattr(Caller, "engine", "float32, AVX2")
        code, _, err = biorrn(*unfinished)
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be resumed: engine was torch, cpu and is now float32, AVX2" in err
    assert (tmp_path / "c.sam.partial").read_bytes() == data
    assert biorrn(*unfinished, "--batch-size", 3)[0] == 0  # this one does not matter


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_the_output_is_that_of_one_run(
    biorrn: Run, folder: Path, tmp_path: Path
) -> None:
    """With the shipped model, on the example's reads; each kill is while calling, at a moment drawn by chance."""
    output = tmp_path / "c.bam"
    partial = Path(f"{output}.partial")
    arguments = [folder, "-o", output, "--summary", tmp_path / "s.tsv", "--resume", "--batch-size", 8, *QUICK]
    assert biorrn(*arguments)[0] == 0
    whole = [path.read_bytes() for path in (output, tmp_path / "s.tsv")]
    output.unlink()
    rng = np.random.default_rng(os.getpid())
    kills = 0
    for _ in range(12):  # a process may end before its kill: then there is nothing to resume, and another is started
        process = subprocess.Popen(
            [sys.executable, "-m", "biorrn", "basecall", *map(str, arguments)], stderr=subprocess.DEVNULL
        )
        before = partial.stat().st_size if partial.exists() else 0
        while process.poll() is None and (not partial.exists() or partial.stat().st_size <= before + 5000):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += partial.exists()
        if kills >= 2 and partial.exists():
            break
    assert kills >= 2
    code, _, err = biorrn(*arguments)
    assert code == 0
    assert "resumed: " in err
    assert [path.read_bytes() for path in (output, tmp_path / "s.tsv")] == whole
    assert len(records(output)) == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == [output.name, "s.tsv"]
