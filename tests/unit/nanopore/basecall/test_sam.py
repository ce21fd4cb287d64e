"""SAM, BAM and CRAM, read back by htslib: the same reads as FASTQ, tags, move tables, alignments, header."""

import gzip
import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pysam
import pytest

from biorrn.nanopore.alignment import Mapper, reverse_complement
from biorrn.nanopore.basecall.caller import Call
from biorrn.nanopore.basecall.formats import FORMATS, Style, format_of
from biorrn.nanopore.basecall.output import open_output
from biorrn.nanopore.basecall.sam import sam_header, sam_text
from biorrn.nanopore.signal import Scaling
from biorrn.sequences.records import SignalRecord

ALIGNED = [name for name in FORMATS if name != "fastq"]
GENOME = "".join(np.random.default_rng(5).choice(list("ACGT"), 9000))
STRIDE, TRIMMED = 5, 50
STYLE = Style("fast", command="biorrn basecall\treads")


def call(name: str, bases: str, run: str = "run1", flow_cell: str = "FAB1") -> Call:
    rng = np.random.default_rng(len(bases))
    moves = np.zeros(2 * len(bases), np.uint8)
    moves[[0, *(1 + rng.choice(len(moves) - 1, len(bases) - 1, replace=False))]] = 1
    record = SignalRecord(name, np.zeros(0, np.int16), 0.0, 1.0, 4000.0, 12, 3, 77, 8000, run, flow_cell)
    record = replace(record, source=Path("a.pod5"), run_start=datetime(2024, 1, 1, tzinfo=UTC), sample_id="blood")
    quals = rng.integers(1, 40, len(bases)).astype(np.uint8)
    return Call(name, bases, quals, moves, STRIDE, TRIMMED + STRIDE * len(moves) + 3, TRIMMED, record,
                Scaling(85.5, 14.25, "med_mad"))  # fmt: skip


@pytest.fixture(scope="module")
def mapper(tmp_path_factory: pytest.TempPathFactory) -> Mapper:
    path = tmp_path_factory.mktemp("reference") / "g.fa"
    path.write_text(f">empty_handed some words\n{'ACGT' * 30}\n>g\n{GENOME}\n")
    return Mapper(path)


def write(path: Path, calls: list[Call], style: Style = STYLE) -> None:
    with open_output(str(path), format_of(path), style, {}) as out:
        for one in calls:
            out.write(one, style.mapper.hits(one.bases) if style.mapper else None)
        out.finish()


def read(path: Path, reference: Path | None = None) -> tuple[dict, list[pysam.AlignedSegment]]:
    more = {"reference_filename": str(reference)} if reference else {}
    with pysam.AlignmentFile(str(path), check_sq=False, **more) as file:
        return file.header.to_dict(), list(file.fetch(until_eof=True))


def forward(record: pysam.AlignedSegment) -> tuple[str, list[int]]:
    return record.get_forward_sequence(), list(record.get_forward_qualities())


@pytest.mark.parametrize("kind", ALIGNED)
def test_unmapped_records_hold_what_fastq_holds(tmp_path: Path, kind: str) -> None:
    calls = [call("r1", "ACGTAC"), call("r2", "G", "run2", "FAB2"), call("r3", "TTT")]
    write(tmp_path / f"c.{kind}", calls)
    write(tmp_path / "c.fastq.gz", calls)
    header, records = read(tmp_path / f"c.{kind}")
    assert [record.flag for record in records] == [4, 4, 4]
    with gzip.open(tmp_path / "c.fastq.gz", "rt") as stream:
        lines = stream.read().splitlines()
    for number, record in enumerate(records):
        name, *tags = lines[4 * number][1:].split("\t")
        assert record.query_name == name
        assert record.query_sequence == lines[4 * number + 1]
        assert pysam.qualities_to_qualitystring(record.query_qualities) == lines[4 * number + 3]
        found = {tag: value for tag, value in record.get_tags() if tag != "mv"}
        wanted = {tag[:2]: {"i": int, "f": np.float32, "Z": str}[tag[3]](tag[5:]) for tag in tags}
        assert found == wanted
        assert {"ts", "ns", "qs", "mx", "ch", "st", "du", "rn", "fn", "RG", "sm", "sd", "sv"} <= found.keys()
    assert header["HD"] == {"VN": "1.6", "SO": "unknown"}
    assert [group["ID"] for group in header["RG"]] == ["run1_fast", "run2_fast"]
    assert header["RG"][0] == {
        "ID": "run1_fast",
        "PU": "FAB1",
        "DT": "2024-01-01T00:00:00.000+00:00",
        "PL": "ONT",
        "DS": "basecall_model=fast runid=run1",
        "LB": "blood",
        "SM": "blood",
    }
    [program] = header["PG"]
    assert (program["PN"], program["CL"]) == ("biorrn", "biorrn basecall?reads")


@pytest.mark.parametrize("kind", ALIGNED)
@pytest.mark.parametrize("moves", [True, False])
def test_move_table_spans_the_signal_and_counts_the_bases(
    tmp_path: Path, mapper: Mapper, kind: str, moves: bool
) -> None:
    calls = [call("r1", "ACGTAC"), call("r2", GENOME[:900]), call("r3", reverse_complement(GENOME[3000:4000]))]
    write(tmp_path / f"c.{kind}", calls, replace(STYLE, mapper=mapper, moves=moves))
    _, records = read(tmp_path / f"c.{kind}", mapper.path)
    for one, record in zip(calls, records, strict=True):
        assert record.has_tag("mv") == moves
        if moves:
            stride, *table = record.get_tag("mv")
            assert stride == STRIDE
            assert table == one.moves.tolist()  # in the order of the signal, on either strand
            assert sum(table) == len(record.query_sequence)
            assert len(table) == (record.get_tag("ns") - record.get_tag("ts")) // stride
            assert table[0] == 1


@pytest.mark.parametrize("kind", ALIGNED)
def test_alignments(tmp_path: Path, mapper: Mapper, kind: str) -> None:
    noise = "".join(np.random.default_rng(2).choice(list("ACGT"), 60))
    plus = GENOME[100:500] + GENOME[503:900]  # three bases are missing
    minus = reverse_complement(GENOME[2000:2800])
    both = GENOME[4000:5000] + reverse_complement(GENOME[7000:7600])
    calls = [call("plus", noise + plus), call("minus", noise + minus), call("lost", noise), call("both", both)]
    write(tmp_path / f"c.{kind}", calls, replace(STYLE, mapper=mapper))
    header, records = read(tmp_path / f"c.{kind}", mapper.path)
    assert [(entry["SN"], entry["LN"]) for entry in header["SQ"]] == [("empty_handed", 120), ("g", len(GENOME))]
    named = {(record.query_name, record.is_supplementary): record for record in records}
    assert [record.query_name for record in records] == ["plus", "minus", "lost", "both", "both"]
    for one in calls:
        record = named[one.read_id, False]
        assert forward(record) == (one.bases, one.quals.tolist())
    found = named["plus", False]
    assert (found.flag, found.reference_name, found.reference_start, found.reference_end) == (0, "g", 100, 900)
    assert found.mapping_quality == 60
    assert (found.get_tag("NM"), found.cigarstring) == (3, "60S400M3D397M")
    assert (found.get_tag("AS"), found.get_tag("MD")) == (2 * 797 - (4 + 2 * 3), f"400^{GENOME[500:503]}397")
    found = named["minus", False]
    assert (found.flag, found.reference_start, found.reference_end) == (16, 2000, 2800)
    assert (found.get_tag("NM"), found.cigarstring) == (0, "800M60S")
    assert (found.get_tag("AS"), found.get_tag("MD")) == (1600, "800")
    found = named["lost", False]
    assert (found.flag, found.reference_id, found.cigarstring, found.mapping_quality) == (4, -1, None, 0)
    first, second = named["both", False], named["both", True]
    assert (first.flag, second.flag) == (0, 2048 | 16)
    assert (second.reference_start, second.reference_end, second.cigarstring) == (7000, 7600, "600M1000H")
    assert forward(second)[0] == both[1000:]
    assert first.get_tag("SA") == "g,7001,-,600M1000S,60,0;"
    assert second.get_tag("SA") == f"g,4001,+,{first.cigarstring},60,{first.get_tag('NM')};"
    assert not second.has_tag("mv")


@pytest.mark.parametrize("packed", [False, True])
def test_cram_names_its_reference_and_leaves_its_folder_alone(tmp_path: Path, packed: bool) -> None:
    folder = tmp_path / "reference"
    folder.mkdir()
    text = f">g first\n{GENOME[:5000].lower()}\n{GENOME[5000:]}\n".encode()
    path = folder / "g.fa"
    path.write_bytes(gzip.compress(text) if packed else text)
    write(tmp_path / "c.cram", [call("r", GENOME[100:900])], replace(STYLE, mapper=Mapper(path)))
    assert list(folder.iterdir()) == [path]
    assert "REF_PATH" not in os.environ
    (tmp_path / "plain.fa").write_bytes(text)
    header, [record] = read(tmp_path / "c.cram", tmp_path / "plain.fa")
    assert record.query_sequence == GENOME[100:900]
    assert header["SQ"][0]["UR"] == str(path)
    assert header["SQ"][0]["M5"] == hashlib.md5(GENOME.encode(), usedforsecurity=False).hexdigest()
    assert (tmp_path / "c.cram").stat().st_size < 3000  # differences alone: 800 qualities, 1,600 moves, the tags


def test_a_read_of_an_unknown_run_has_a_read_group_too(tmp_path: Path) -> None:
    one = call("r1", "ACGT", "", "")
    one = replace(one, record=replace(one.record, run_start=None, sample_id=""))
    write(tmp_path / "c.bam", [one])
    header, [record] = read(tmp_path / "c.bam")
    assert header["RG"] == [{"ID": "unknown_fast", "PL": "ONT", "DS": "basecall_model=fast"}]
    assert record.get_tag("RG") == "unknown_fast"


def test_no_read_makes_a_header_alone(tmp_path: Path) -> None:
    for kind in ALIGNED:
        write(tmp_path / f"c.{kind}", [])
        header, records = read(tmp_path / f"c.{kind}")
        assert not records
        assert header["PG"][0]["PN"] == "biorrn"


def test_text_is_valid_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "c.sam"
    path.write_text(sam_header([]) + sam_text(call("r", "ACGT")))
    _, [record] = read(path)
    assert not record.has_tag("RG")
