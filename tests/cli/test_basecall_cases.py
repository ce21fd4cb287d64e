"""`biorrn basecall` on unusual files of other tools and old sequencers: every read is called or reported.

Each case makes its condition itself, from the example's reads, and has a good read beside the odd one.
"""

import csv
import gzip
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pysam
import pytest

from biorrn.nanopore.readers.files import read_all, read_signal
from biorrn.nanopore.simulate.writers import open_signal
from biorrn.sequences.records import SignalRecord

Run = Callable[..., tuple[int, str, str]]
Change = Callable[[h5py.File], None]
RAW = "Raw/Reads/Read_7"


@pytest.fixture
def basecall(biorrn: Run, tmp_path: Path) -> Run:
    """Return a function that calls `tmp_path / "in"` into BAM, and returns exit code, records, summary rows, stderr."""

    def run(*more: object, output: str = "c.bam") -> tuple[int, list[pysam.AlignedSegment], list[dict[str, str]], str]:
        out, summary = tmp_path / output, tmp_path / "c.tsv"
        options = ("-o", out, "--summary", summary, "--decoder", "greedy", "--threads", 1, *more)
        code, _, err = biorrn("basecall", tmp_path / "in", *options)
        found = []
        if out.exists() and output.endswith("bam"):
            with pysam.AlignmentFile(str(out), check_sq=False) as file:
                found = list(file.fetch(until_eof=True))
        with open(summary, newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        return code, found, rows, err

    (tmp_path / "in").mkdir()
    return partial(run)


@pytest.fixture(scope="module")
def reads(root: Path) -> list[SignalRecord]:
    """Return two of the example's reads, cut short."""
    found = list(read_all([root / "data" / "simulated_reads" / "simulated.blow5"]))[:2]
    return [replace(record, raw=record.raw[:6000].copy()) for record in found]


def single(path: Path, record: SignalRecord, change: Change = lambda file: None) -> None:
    """Write a read as a FAST5 of one read, as sequencers did until 2018, and change it."""
    with h5py.File(path, "w") as file:
        raw = file.create_group(RAW)
        raw["Signal"] = record.raw
        raw.attrs.update({"read_id": record.read_id, "read_number": np.int32(7), "start_mux": np.uint8(2)})
        raw.attrs["start_time"] = np.uint64(8000)
        channel = file.create_group("UniqueGlobalKey/channel_id").attrs
        channel.update({"channel_number": "485", "offset": record.offset, "sampling_rate": record.sample_rate})
        channel.update({"digitisation": 8192.0, "range": 8192.0 * record.scale})
        tracking = file.create_group("UniqueGlobalKey/tracking_id").attrs
        tracking.update({"run_id": "run", "exp_start_time": "2024-01-01T00:00:00Z", "sample_id": "blood"})
        tracking.update({"device_id": "MN1", "flow_cell_id": "FAB1"})
        change(file)


def attribute(group: str, name: str, value: object = None) -> Change:
    """Return a change that sets an attribute, or deletes it."""

    def change(file: h5py.File) -> None:
        if value is None:
            del file[group].attrs[name]
        else:
            file[group].attrs[name] = value

    return change


def both(*changes: Change) -> Change:
    return lambda file: [change(file) for change in changes] and None


def int32(file: h5py.File) -> None:
    samples = file[f"{RAW}/Signal"][:].astype(np.int32)
    del file[f"{RAW}/Signal"]
    file[f"{RAW}/Signal"] = samples


CHANNEL, TRACKING = "UniqueGlobalKey/channel_id", "UniqueGlobalKey/tracking_id"
NUMBERS = ("start_mux", "read_number")
TAGS = {"ch": 485, "mx": 2, "rn": 7, "s0": 8000, "st": "2024-01-01T00:00:02.000+00:00"}
# name -> the change, the tags that are not there or differ, the read's name, and what the warning says ("": none)
ODD: dict[str, tuple[Change, dict[str, object], str, str]] = {
    "no read id": (attribute(RAW, "read_id"), {}, "odd", "'Raw/read_id': found none; the read is named 'odd'"),
    "read id with a space": (attribute(RAW, "read_id", "a b"), {}, "odd", "'Raw/read_id': found 'a b'"),
    "no start time": (attribute(RAW, "start_time"), {"s0": None, "st": None}, "", ""),
    "start time is text": (attribute(RAW, "start_time", "8000"), {}, "", "'Raw/start_time': found str 8000"),
    "start time is a word": (
        attribute(RAW, "start_time", "noon"),
        {"s0": None, "st": None},
        "",
        "'Raw/start_time': found str noon; allowed is a whole number",
    ),
    "no run start": (attribute(TRACKING, "exp_start_time"), {"st": None}, "", ""),
    "channel is text": (attribute(CHANNEL, "channel_number", "ch12"), {"ch": None}, "", "found str ch12"),
    "no channel, mux, number": (
        both(attribute(CHANNEL, "channel_number"), *(attribute(RAW, name) for name in NUMBERS)),
        {"ch": None, "mx": None, "rn": None},
        "",
        "",
    ),
    "tab in the sample id": (attribute(TRACKING, "sample_id", "my\tsample"), {}, "", "found the control character"),
    "int32 signal": (int32, {}, "", "'Raw/Signal': found int32"),
    "mux is not a number": (attribute(RAW, "start_mux", np.nan), {"mx": None}, "", "found float64 nan"),
}


@pytest.mark.parametrize("case", ODD)
def test_a_read_with_a_fault_in_its_metadata_is_called(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path, case: str
) -> None:
    change, differ, name, warning = ODD[case]
    single(tmp_path / "in" / "good.fast5", reads[0])
    single(tmp_path / "in" / "odd.fast5", reads[1], change)
    code, found, rows, err = basecall()
    assert code == 0, err
    assert [record.query_name for record in found] == [reads[0].read_id, name or reads[1].read_id]
    for record, wanted in zip(found, (TAGS, TAGS | differ), strict=True):
        assert {tag: record.get_tag(tag) if record.has_tag(tag) else None for tag in TAGS} == wanted
        assert record.query_length > 100
    assert [row["status"] for row in rows] == ["called", "called"]
    cells = {"ch": "channel", "mx": "mux", "s0": "start_time"}
    assert {tag: rows[1][cell] == "" for tag, cell in cells.items()} == {
        tag: tag in differ and differ[tag] is None for tag in cells
    }
    assert (rows[1]["template_start"] == "") == (rows[1]["start_time"] == "")
    said = [line for line in err.splitlines() if "warning: 1 read with a fault" in line]
    assert len(said) == bool(warning)
    assert warning in "".join(said)


def test_faults_of_one_kind_are_one_warning_with_a_count(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path
) -> None:
    for number in range(3):
        single(tmp_path / "in" / f"{number}.fast5", reads[0], both(attribute(RAW, "read_id", f"r{number}"),
               attribute(CHANNEL, "channel_number", f"ch{number}")))  # fmt: skip
    code, found, _, err = basecall()
    assert (code, len(found)) == (0, 3)
    assert [line for line in err.splitlines() if "warning" in line and "ch0" in line and "3 reads" in line]
    assert err.count("with a fault in what calling does not need") == 1


def test_a_read_with_several_faults_of_a_field_counts_once(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path
) -> None:
    for number, odd in enumerate(("a\tb", 7, "", np.array([1, 2]))):
        single(tmp_path / "in" / f"{number}.fast5", reads[0], attribute(RAW, "read_id", odd))
    code, found, _, err = basecall()
    assert (code, [record.query_name for record in found]) == (0, ["0", "1", "2", "3"])
    assert [line for line in err.splitlines() if "fault" in line and "4 reads" in line and "named '0'" in line]
    assert err.count("with a fault in what calling does not need") == 1


def test_a_file_whose_name_is_no_utf8_is_called_and_has_a_row(
    basecall: Run, biorrn: Run, reads: list[SignalRecord], tmp_path: Path
) -> None:
    single(tmp_path / "a.fast5", reads[0])
    (tmp_path / "a.fast5").rename(os.fsdecode(os.fsencode(tmp_path / "in") + b"/caf\xe9.fast5"))
    code, [record], [row], err = basecall()
    assert code == 0, err
    assert (row["filename"], record.get_tag("fn")) == ("caf\\udce9.fast5", "caf?.fast5")
    code, out, err = biorrn("reads", tmp_path / "in")
    assert (code, "caf\\udce9.fast5" in out) == (0, True), err


@pytest.mark.parametrize("suffix", [".fast5", ".pod5", ".blow5"])
def test_what_no_format_holds_has_no_tag_and_an_empty_cell(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path, suffix: str
) -> None:
    bare = replace(reads[0], channel=None, mux=None, read_number=None, start_time=None)
    with open_signal(tmp_path / "in" / f"a{suffix}") as write:
        write(bare)
    [back] = read_signal(tmp_path / "in" / f"a{suffix}")
    assert (back.channel, back.mux, back.faults) == (None, None, ())
    code, [record], [row], err = basecall()
    assert code == 0, err
    assert not record.has_tag("ch")
    assert not record.has_tag("mx")
    assert (row["channel"], row["mux"]) == ("", "")
    if suffix != ".pod5":  # which has no missing read number and start
        assert (back.read_number, back.start_time) == (None, None)
        assert not any(record.has_tag(tag) for tag in ("rn", "s0", "st"))
        assert (row["start_time"], row["template_start"]) == ("", "")


def test_lossy_slow5(basecall: Run, shared_data: Path, tmp_path: Path) -> None:
    for path in (shared_data / "nanopore" / "formats" / "slow5").glob("one_fast5__exp_1_lossy*"):
        [read] = read_signal(path)
        assert (read.channel, read.mux, read.read_number, read.start_time, read.faults) == (None, None, None, None, ())
    shutil.copy(path, tmp_path / "in")
    code, [record], [row], err = basecall()
    assert code == 0, err
    assert not any(record.has_tag(tag) for tag in TAGS)
    assert (row["channel"], row["mux"], row["start_time"]) == ("", "", "")


@pytest.mark.parametrize(("name", "reason"), [("x" * 300, "read id of 300 characters"), ("r@1", "read id with '@'")])
def test_an_id_that_sam_does_not_allow_is_left_out_of_it_alone(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path, name: str, reason: str
) -> None:
    single(tmp_path / "in" / "good.fast5", reads[0])
    single(tmp_path / "in" / "odd.fast5", reads[1], attribute(RAW, "read_id", name))
    for output in ("c.bam", "c.sam", "c.cram"):
        code, found, rows, err = basecall(output=output)
        assert code == 0, err
        assert reason in rows[1]["status"]
        assert reason in err
        assert (rows[0]["status"], rows[1]["passes_filtering"]) == ("called", "FALSE")
        assert output != "c.bam" or [record.query_name for record in found] == [reads[0].read_id]
        assert (tmp_path / output).exists()
    code, _, rows, _ = basecall(output="c.fastq")
    assert (code, [row["status"] for row in rows]) == (0, ["called", "called"])
    assert f"@{name}\t" in (tmp_path / "c.fastq").read_text()


def test_each_file_that_was_left_out_has_a_row_also_where_nothing_was_called(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path
) -> None:
    single(tmp_path / "whole.fast5", reads[0])
    content = (tmp_path / "whole.fast5").read_bytes()
    for number in range(12):
        (tmp_path / "in" / f"bad{number:02}.fast5").write_bytes(content[:3000])
    code, found, rows, err = basecall()
    assert (code, found) == (2, [])
    assert not (tmp_path / "c.bam").exists()
    assert [row["filename"] for row in rows] == [f"bad{number:02}.fast5" for number in range(12)]
    assert all(row["read_id"] == "" and row["status"].startswith("truncated: the file is smaller") for row in rows)
    code, found, rows, _ = basecall("--allow-empty")
    assert (code, found, len(rows)) == (0, [], 12)
    (tmp_path / "in" / "good.fast5").write_bytes(content)
    code, found, rows, err = basecall()
    assert (code, len(found), len(rows)) == (0, 1, 13)
    assert "unusable file: 12" in err
    for path in (tmp_path / "in").glob("*[!0].fast5"):
        path.unlink()
    (tmp_path / "in" / "bad10.fast5").unlink()
    code, _, rows, err = basecall()  # the only problem of all is one line, and a row
    assert (code, len(rows)) == (2, 1)
    assert "Traceback" not in err


def test_reads_that_give_no_call_have_rows_where_nothing_was_called(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path
) -> None:
    single(tmp_path / "in" / "a.fast5", replace(reads[0], raw=reads[0].raw[:0]))
    single(tmp_path / "in" / "b.fast5", reads[1], attribute(CHANNEL, "range"))
    code, _, rows, err = basecall()
    assert code == 2, err
    assert [row["read_id"] for row in rows] == [read.read_id for read in reads]
    assert [row["status"] for row in rows] == ["no samples", "attribute 'channel_id/range' is missing"]


def test_archives_and_broken_links_of_a_folder_are_named(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path
) -> None:
    single(tmp_path / "a.fast5", reads[0])
    with gzip.open(tmp_path / "in" / "a.fast5.gz", "wb") as stream:
        stream.write((tmp_path / "a.fast5").read_bytes())
    for name in ("b.tar", "c.tar.gz"):
        with tarfile.open(tmp_path / "in" / name, "w:gz" if name.endswith("gz") else "w") as file:
            file.add(tmp_path / "a.fast5", "a.fast5")
    (tmp_path / "in" / "calls.fastq.gz").write_bytes(b"")  # no signal in it
    code, _, rows, err = basecall()
    assert code == 2
    assert "3 archives (a.fast5.gz, b.tar, c.tar.gz); unpack first" in err
    assert [row["filename"] for row in rows] == ["a.fast5.gz", "b.tar", "c.tar.gz"]
    assert all(row["status"].startswith("archive; unpack first") for row in rows)
    (tmp_path / "in" / "d.fast5").symlink_to(tmp_path / "gone.fast5")
    shutil.copy(tmp_path / "a.fast5", tmp_path / "in")
    code, found, rows, err = basecall()
    assert (code, len(found)) == (0, 1), err
    assert {row["filename"]: row["status"].partition(";")[0] for row in rows} == {
        "a.fast5": "called", "a.fast5.gz": "archive", "b.tar": "archive", "c.tar.gz": "archive",
        "d.fast5": "broken link",
    }  # fmt: skip
    assert err.count("3 archives") == err.count("1 broken link (d.fast5)") == 1


def test_ids_given_twice_are_one_warning_and_nothing_is_lost(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path
) -> None:
    single(tmp_path / "in" / "a.fast5", reads[0])
    with open_signal(tmp_path / "in" / "b.fast5") as write:
        for record in reads:
            write(record)
    shutil.copy(tmp_path / "in" / "a.fast5", tmp_path / "in" / "c.fast5")
    code, found, rows, err = basecall()
    assert (code, len(found), len(rows)) == (0, 4, 4)
    assert [line for line in err.splitlines() if "warning: 2 reads have ids that another read had before" in line]
    assert f"'{reads[0].read_id}' in b.fast5" in err


@pytest.mark.parametrize("samples", [20, 50, 1000])
@pytest.mark.parametrize("current", ["open pore", "saturated", "noise"])
def test_no_record_of_a_few_bases_comes_from_a_pore_without_a_strand(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path, samples: int, current: str
) -> None:
    rng = np.random.default_rng(samples)
    picoamperes = {"open pore": rng.normal(220, 3, samples), "saturated": np.full(samples, 1400.0),
                   "noise": rng.normal(90, 14, samples)}[current]  # fmt: skip
    raw = np.rint(picoamperes / reads[1].scale - reads[1].offset).clip(-32768, 32767).astype(np.int16)
    single(tmp_path / "in" / "good.fast5", reads[0])
    single(tmp_path / "in" / "odd.fast5", replace(reads[1], raw=raw))
    code, found, rows, err = basecall()
    assert code == 0, err
    assert [record.query_name for record in found] == [reads[0].read_id]
    assert rows[1]["status"] in ("shorter than 50 bases", "no bases in the signal", "nothing left after trimming")
    if rows[1]["status"].startswith("shorter"):
        code, found, rows, _ = basecall("--min-length", 0)
        assert (code, len(found), rows[1]["status"]) == (0, 2, "called")


def test_a_killed_run_with_odd_reads_goes_on(
    basecall: Run, reads: list[SignalRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of files and of ids that SAM does not allow come once, whatever was done before the end."""
    from biorrn.nanopore.basecall.output import CallOutput

    single(tmp_path / "in" / "b_good.fast5", reads[0])
    single(tmp_path / "in" / "c_odd.fast5", reads[1], attribute(RAW, "read_id", "x" * 300))
    (tmp_path / "in" / "a_bad.fast5").write_bytes(b"nothing")
    (tmp_path / "in" / "d_bad.fast5").write_bytes(b"nothing")
    (tmp_path / "in" / "e.tar").write_bytes(b"nothing")
    code, whole, wanted, err = basecall()
    assert (code, len(whole), len(wanted)) == (0, 1, 5), err
    (tmp_path / "c.bam").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(CallOutput, "finish", lambda self, summary: (_ for _ in ()).throw(KeyboardInterrupt))
        assert basecall()[0] == 130
    assert (tmp_path / "c.bam.partial").exists()
    code, found, rows, err = basecall("--resume")
    assert (code, rows) == (0, wanted), err
    assert [record.to_string() for record in found] == [record.to_string() for record in whole]
    assert not (tmp_path / "c.bam.partial").exists()
