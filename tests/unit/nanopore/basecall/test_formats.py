"""Calls as FASTQ: whole or not at all, read back as written, tags where aligners look for them."""

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError
from biorrn.base.journal import SUFFIX
from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.basecall.formats import FORMATS, WRITERS, Style, check_uracil, fastq_text, format_of, write_fastq
from biorrn.nanopore.basecall.output import open_output
from biorrn.nanopore.basecall.sam import tags
from biorrn.sequences.records import SignalRecord
from biorrn.sequences.tally import SHOWN, Tally


def call(name: str = "r1", bases: str = "ACGT", quals: tuple[int, ...] = (1, 10, 20, 40)) -> Call:
    record = SignalRecord(name, np.zeros(0, np.int16), 0.0, 1.0, 4000.0, 12, 3, 77, 123456)
    return Call(name, bases, np.array(quals, np.uint8), np.zeros(8, np.uint8), 5, 4321, 50, record)


def write_calls(path: Path | str, calls: Iterable[Call], style: Style | None = None) -> None:
    """Write calls as `biorrn basecall` does, to the format of the suffix."""
    style = style or Style()
    with open_output(str(path), format_of(path), style, {}) as out:
        for one in calls:
            out.write(one, style.mapper.hits(one.bases) if style.mapper else None)
        out.finish()


def parse(text: str) -> list[tuple[str, str, list[int]]]:
    lines = text.splitlines()
    assert len(lines) % 4 == 0
    return [
        (lines[i], lines[i + 1], [ord(letter) - 33 for letter in lines[i + 3]])
        for i in range(0, len(lines), 4)
        if lines[i + 2] == "+"
    ]


def test_fastq_record() -> None:
    [(header, bases, quals)] = parse(fastq_text(call()))
    assert header == "@r1\tqs:f:6.46\tns:i:4321\tts:i:50\tch:i:12\tmx:i:3\trn:i:77\ts0:i:123456\tdu:f:1.08025"
    assert bases == "ACGT"
    assert quals == [1, 10, 20, 40]


def test_uracil_is_for_rna_in_fastq() -> None:
    assert fastq_text(call(bases="TTAC"), uracil=True).splitlines()[1] == "UUAC"
    check_uracil("fastq", {"reversed": True}, "rna004_fast")
    with pytest.raises(ConfigError, match="--uracil: found the format bam, which has no letter U; allowed is fastq"):
        check_uracil("bam", {"reversed": True}, "rna004_fast")
    with pytest.raises(ConfigError, match="--uracil: mine is a model of DNA; allowed is one of RNA"):
        check_uracil("fastq", {}, "mine")


def test_a_quality_beyond_the_format_is_kept_within_it() -> None:
    assert fastq_text(call(bases="A", quals=(200,))).splitlines()[3] == "~"


@pytest.mark.parametrize("suffix", FORMATS["fastq"].suffixes)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_what_is_written_reads_back(tmp_path: Path, suffix: str, packed: str) -> None:
    path = tmp_path / f"calls{suffix}{packed}"
    write_calls(path, [call("r1"), call("r2", "GG", (5, 6))])
    text = gzip.decompress(path.read_bytes()).decode() if packed else path.read_text()
    assert [(header.split("\t")[0], bases, quals) for header, bases, quals in parse(text)] == [
        ("@r1", "ACGT", [1, 10, 20, 40]),
        ("@r2", "GG", [5, 6]),
    ]


@pytest.mark.parametrize("calls", [0, 1, 700])
def test_gzip_of_many_blocks_is_one_file_the_same_for_any_number_of_threads(tmp_path: Path, calls: int) -> None:
    texts = [fastq_text(call(f"r{number}", "ACGT" * 1000, (9,) * 4000)) for number in range(calls)]
    for threads in (1, 3):
        write_fastq(str(tmp_path / f"{threads}.fastq.gz"), texts, threads)
    one, three = ((tmp_path / f"{threads}.fastq.gz").read_bytes() for threads in (1, 3))
    assert one == three
    assert gzip.decompress(one).decode() == "".join(texts)


def test_optional_tags_are_there_where_the_file_knows() -> None:
    known = call()
    record = replace(
        known.record, run_id="run1", source=Path("deep/a b.pod5"), run_start=datetime(2024, 1, 1, tzinfo=UTC)
    )
    found = tags(replace(known, record=record), "fast model")
    assert "st:Z:2024-01-01T00:00:30.864+00:00" in found  # 123,456 samples at 4 kHz after midnight
    assert {"du:f:1.08025", "fn:Z:a b.pod5", "RG:Z:run1_fast_model"} < set(found)
    assert not [tag for tag in tags(known) if tag[:2] in ("st", "fn", "RG")]


def test_numbers_beyond_a_tag_are_left_out() -> None:
    late = call()
    late = replace(late, record=replace(late.record, start_time=2**60, run_start=datetime(2024, 1, 1, tzinfo=UTC)))
    assert not [tag for tag in tags(late) if tag[:2] in ("st", "s0")]


@pytest.mark.parametrize("name", ["calls.fastq", "calls.fq.gz"])
def test_nothing_is_left_when_calling_fails(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("from before")

    def fail_half_way() -> Iterator[Call]:
        yield call()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_calls(tmp_path / name, fail_half_way())
    assert {path.name for path in tmp_path.iterdir()} == {name, name + SUFFIX}  # the journal, to go on from
    assert (tmp_path / name).read_text() == "from before"


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_calls("-", [call()])
    assert capsys.readouterr().out == fastq_text(call())


@pytest.mark.parametrize("name", ["calls.fasta", "calls", "calls.gz", "calls.bam.gz", "calls.sam.gz"])
def test_an_unknown_suffix_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"found the suffix '.*'; allowed is \.fastq, \.fq"):
        write_calls(tmp_path / name, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("emit", [None, *FORMATS])
def test_suffix_and_emit_agree_or_are_refused(suffix: str, emit: str | None) -> None:
    if emit in (None, WRITERS[suffix]):
        assert format_of(f"calls{suffix}", emit) == WRITERS[suffix]
    else:
        with pytest.raises(ConfigError, match=f"--emit: found {emit}, where the output calls{suffix} is"):
            format_of(f"calls{suffix}", emit)
    assert format_of("-", emit) == (emit or "fastq")


def test_tally_reports_a_reason_ten_times_and_counts_it_always(capsys: pytest.CaptureFixture[str]) -> None:
    def record(name: str) -> SignalRecord:
        return SignalRecord(name, np.zeros(0, np.int16), 0.0, 1.0, 4000.0, source=Path("a/b.fast5"))

    tally = Tally("basecall", "reads")
    for number in range(SHOWN + 5):
        tally.skip_read(record(f"r{number}"), "no samples")
    tally.skip_read(record("last"), "no bases in the signal")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == SHOWN + 1
    assert lines[0] == "biorrn basecall: skipped: a/b.fast5: record 'r0': no samples"
    assert lines[-1] == "biorrn basecall: skipped: a/b.fast5: record 'last': no bases in the signal"
    assert tally.line(1.0).endswith(f"skipped {SHOWN + 6} (no samples: {SHOWN + 5}, no bases in the signal: 1)")
