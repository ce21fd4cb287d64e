"""Calls in FASTQ, SAM, BAM, CRAM and FAST5."""

import gzip
import math
from pathlib import Path

import h5py
import numpy as np
import pysam
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.readers.calls import (
    PACKED,
    BamCalls,
    BaseCall,
    Moves,
    has_moves,
    mean_phred,
    read_calls,
    read_sequences,
)
from biorrn.nanopore.readers.fast5 import read_calls as fast5_calls
from biorrn.sequences.fastq import reference_lengths
from biorrn.sequences.records import ReadCall


def test_fasta_and_fastq_give_the_same_calls(tmp_path):
    (tmp_path / "a.fa").write_text(">r1 some words\nACG\nTN\n>r2\nuu\n")
    (tmp_path / "a.fq").write_text("@r1\tqs:f:9\nACGTN\n+\n+++++\n@r2\nTT\n+r2\n5?\n")
    one, other = read_sequences(tmp_path / "a.fa"), read_sequences(tmp_path / "a.fq")
    assert list(one) == list(other) == ["r1", "r2"]
    assert one["r1"].bases.tolist() == other["r1"].bases.tolist() == [1, 2, 3, 4, 0]
    assert one["r2"].bases.tolist() == other["r2"].bases.tolist() == [4, 4]
    assert math.isnan(one["r1"].mean_q)
    assert other["r1"].mean_q == pytest.approx(10)
    assert other["r2"].mean_q == pytest.approx(-10 * math.log10((0.01 + 0.001) / 2))
    assert one["r1"].starts is None


def test_mean_quality_of_nothing_is_unknown():
    assert math.isnan(mean_phred(None))
    assert math.isnan(mean_phred(np.zeros(0)))
    assert mean_phred(np.array([10, 10], np.uint8)) == pytest.approx(10.0)
    assert mean_phred(np.array([10, 30], np.uint8)) == pytest.approx(12.967, abs=1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\n", "starts with 'hello"),
        (">r1\nACZ\n", "record 'r1': base 'Z' at position 3"),
        (">r1\nA\n>r1\nA\n", "record 'r1': the id is given twice"),
        (">\nA\n", "a header has no id"),
        ("@r1\nACG\n+\n!!\n", "record 'r1': has 3 bases and 2 qualities"),
        ("@r1\nACG\n!!!\n+\n", "record 'r1': line 3 starts with '!'"),
    ],
)
def test_files_that_hold_no_calls(tmp_path, content, message):
    (tmp_path / "a").write_text(content)
    with pytest.raises(InputError, match=message):
        read_sequences(tmp_path / "a")


def paf(tmp_path, steps="10,5,2I3,2D5,", start=20, end=45, first=0, last=6, name="r1", tag="ss:Z:"):
    row = ["r1", 100, start, end, "+", name, 6, first, last, 6, 6, 255, f"{tag}{steps}"]
    (tmp_path / "m.paf").write_text("\t".join(map(str, row)) + "\n")
    return tmp_path / "m.paf"


CALL = ReadCall(np.array([1, 2, 3, 4, 1, 2], np.uint8), mean_q=12.0)


def test_moves_place_each_base(tmp_path):
    moves = Moves(paf(tmp_path))
    assert ("r1" in moves, "r2" in moves, len(moves)) == (True, False, 1)
    placed = moves.place("r1", CALL)
    assert placed.starts.tolist() == [20, 30, 37, 40, 40, 40]  # 2I: no base; 2D: two bases without samples
    assert (placed.end, placed.mean_q) == (45, 12.0)
    assert placed.bases.tolist() == CALL.bases.tolist()


def test_moves_may_reach_a_part_of_the_call(tmp_path):
    placed = Moves(paf(tmp_path, "10,10,", end=40, first=2, last=4)).place("r1", CALL)
    assert placed.bases.tolist() == [3, 4]
    assert placed.starts.tolist() == [20, 30]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end": 46}, "gives 6 bases up to sample 45; its row and the call say bases 0 to 6 of 6 up to sample 46"),
        ({"last": 5}, "gives 6 bases"),
        ({"steps": "10,x5,"}, "holds more than numbers"),
        ({"first": 6, "last": 0}, "as RNA does; allowed is DNA"),
    ],
)
def test_moves_that_contradict_are_one_line(tmp_path, change, message):
    moves = Moves(paf(tmp_path, **change))
    with pytest.raises(InputError, match=f"record 'r1': .*{message}"):
        moves.place("r1", CALL)


@pytest.mark.parametrize("change", [{"tag": "cg:Z:"}, {"start": "x"}])
def test_paf_without_moves_is_refused(tmp_path, change):
    with pytest.raises(InputError, match="row 1"):
        Moves(paf(tmp_path, **change))


def test_rows_on_a_reference_are_passed_over(tmp_path):
    assert len(Moves(paf(tmp_path, name="chr1"))) == 0


def write_bam(path, records, header=None, mode="wb"):
    """Write records: dicts of name, bases and, as wanted, quals, flag, start, cigar and tags."""
    header = header or {"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": 1000}]}
    with pysam.AlignmentFile(str(path), mode, header=header) as file:
        for row in records:
            record = pysam.AlignedSegment(file.header)
            record.query_name, record.flag = row["name"], row.get("flag", 4)
            record.query_sequence = row["bases"]
            if row.get("quals"):
                record.query_qualities = pysam.qualitystring_to_array(row["quals"])
            if "cigar" in row:
                record.reference_id, record.reference_start, record.cigarstring = 0, row["start"], row["cigar"]
                record.mapping_quality = 60
            for name, value in row.get("tags", {}).items():
                record.set_tag(name, value)
            file.write(record)
    return path


def table(stride, moves):
    import array

    return array.array("b", [stride, *moves])


ROWS = [
    {"name": "r1", "bases": "ACG", "quals": "+++", "tags": {"mv": table(5, [1, 0, 1, 1, 0]), "ts": 20}},
    # the other strand: the file holds the reverse complement of what was read, TTGCA
    {
        "name": "r2",
        "bases": "TGCAA",
        "flag": 16,
        "start": 100,
        "cigar": "1S2M1D1M1S",
        "tags": {"mv": table(6, [1, 1, 1, 1, 1])},
    },
    {"name": "r2", "bases": "TG", "flag": 2048, "start": 5, "cigar": "2M3H"},
    {"name": "r3", "bases": "AC", "tags": {"qs": 9.5}},
    {"name": "part1", "bases": "AC", "tags": {"pi": "whole", "sp": 0, "ts": 3, "mv": table(5, [1, 1])}},
    {"name": "part2", "bases": "GT", "tags": {"pi": "whole", "sp": 50, "ts": 3, "mv": table(5, [0, 1, 1])}},
]


@pytest.mark.parametrize(("name", "mode"), [("a.bam", "wb"), ("a.sam", "w")])
def test_calls_of_bam_are_in_the_order_of_the_signal(tmp_path, name, mode):
    with BamCalls(write_bam(tmp_path / name, ROWS, mode=mode)) as file:
        assert (len(file), "r1" in file, "part1" in file) == (4, True, False)
        ((call, hit),) = file.calls("r1")
        assert call.bases.tolist() == [1, 2, 3]
        assert (call.starts.tolist(), call.end, hit) == ([20, 30, 35], 45, None)
        assert call.mean_q == pytest.approx(10)
        ((call, hit),) = file.calls("r2")
        assert call.bases.tolist() == [4, 4, 3, 2, 1]
        assert call.starts.tolist() == [0, 6, 12, 18, 24]
        assert (hit.reference, hit.ref_start, hit.ref_end, hit.strand, hit.start) == ("chr1", 100, 104, "-", 1)
        assert hit.cigar == ((1, 0), (1, 2), (2, 0))  # in the direction of the read, without clips
        ((call, _),) = file.calls("r3")
        assert (call.starts, call.mean_q) == (None, 9.5)
        first, second = file.calls("whole")  # a split read keeps its place in the whole
        assert (first[0].starts.tolist(), second[0].starts.tolist()) == ([3, 8], [58, 63])
        assert list(file.calls("r4")) == []


def test_bam_faults_are_one_line(tmp_path):
    path = write_bam(tmp_path / "a.bam", [{"name": "r1", "bases": "ACG", "tags": {"mv": table(5, [1, 1])}}])
    with BamCalls(path) as file, pytest.raises(InputError, match=r"record 'r1': tag mv gives 2 bases"):
        list(file.calls("r1"))
    rna = {"HD": {"VN": "1.6"}, "RG": [{"ID": "a", "DS": "basecall_model=rna004_130bps_hac@v5"}]}
    with pytest.raises(InputError, match="RNA, whose signal runs against"):
        BamCalls(write_bam(tmp_path / "rna.bam", [], rna))
    (tmp_path / "text.bam").write_text("hello\n")
    for name in ("text.bam", "missing.bam"):
        with pytest.raises(InputError, match=f"^{tmp_path / name}: [^\n]+$"):
            BamCalls(tmp_path / name)
    cut = tmp_path / "cut.bam"
    cut.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"^.*cut\.bam: [^\n]+$"):
        BamCalls(cut)


def write_fast5(path, fastq=b"@r1\nACGT\n+\n++++\n", moves=None, stride=5, first=10, samples=100, number="000"):
    with h5py.File(path, "w") as file:
        group = file.create_group("read_r1")
        group["Raw/Signal"] = np.arange(samples, dtype=np.int16)
        group["Raw"].attrs["read_id"] = "r1"
        for name, value in {"digitisation": 8192.0, "range": 1024.0, "offset": 20.0, "sampling_rate": 4000.0}.items():
            group.require_group("channel_id").attrs[name] = value
        if fastq is not None:
            group[f"Analyses/Basecall_1D_{number}/BaseCalled_template/Fastq"] = np.bytes_(fastq)
        if moves is not None:
            group[f"Analyses/Basecall_1D_{number}/BaseCalled_template/Move"] = np.array(moves, np.uint8)
            summary = group.create_group(f"Analyses/Basecall_1D_{number}/Summary/basecall_1d_template")
            summary.attrs["block_stride"] = np.uint64(stride)
            segmented = group.create_group(f"Analyses/Segmentation_{number}/Summary/segmentation")
            segmented.attrs["first_sample_template"] = np.uint64(first)
    return path


def test_the_call_inside_fast5(tmp_path):
    ((record, call),) = fast5_calls(write_fast5(tmp_path / "a.fast5"))
    assert (record.read_id, call.bases.tolist(), call.starts) == ("r1", [1, 2, 3, 4], None)
    assert call.mean_q == pytest.approx(10)
    ((_, call),) = fast5_calls(write_fast5(tmp_path / "b.fast5", moves=[1, 0, 1, 2, 0], number="001"))
    assert (call.starts.tolist(), call.end) == ([10, 20, 25, 25], 35)
    assert [call for _, call in fast5_calls(write_fast5(tmp_path / "c.fast5", None))] == [None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fastq": b"ACGT"}, "is not FASTQ"),
        ({"fastq": b"@r1\nACGT\n+\n++\n"}, "is not FASTQ"),
        ({"fastq": b"@r1\nACG!\n+\n++++\n"}, "base '!' at position 4"),
        ({"moves": [1, 1, 1]}, "the move table gives 3 bases; the call has 4"),
        ({"moves": [1, 1, 1, 1], "stride": 50}, "runs to sample 160; the signal has 100 samples"),
    ],
)
def test_a_damaged_call_inside_fast5_is_one_line(tmp_path, change, message):
    problems = []
    assert list(fast5_calls(write_fast5(tmp_path / "a.fast5", **change), problems.append)) == []
    assert message in str(problems[0])


GENOME = "".join(np.random.default_rng(5).choice(list("ACGT"), 400))
READS = {"forward": GENOME[10:60], "back": reverse_complement(GENOME[100:180]), "free": "ACGTN" * 4, "empty": ""}


def quals(bases: str) -> np.ndarray:
    return np.arange(len(bases), dtype=np.uint8) % 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the reads in each format, aligned where that can be said; one record is supplementary."""
    folder = tmp_path_factory.mktemp("calls")
    (folder / "genome.fa").write_text(f">g\n{GENOME}\n")
    letters = {id: "".join(chr(33 + q) for q in quals(bases)) for id, bases in READS.items()}
    (folder / "calls.fastq").write_text("".join(f"@{id}\n{bases}\n+\n{letters[id]}\n" for id, bases in READS.items()))
    lines = [
        f"forward\t0\tg\t11\t60\t50M\t*\t0\t0\t{READS['forward']}\t{letters['forward']}",
        f"back\t16\tg\t101\t60\t80M\t*\t0\t0\t{GENOME[100:180]}\t{letters['back'][::-1]}",
        f"back\t2064\tg\t301\t60\t70H10M\t*\t0\t0\t{GENOME[300:310]}\t{letters['back'][:10]}",
        f"free\t4\t*\t0\t0\t*\t*\t0\t0\t{READS['free']}\t{letters['free']}",
        "empty\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*",
    ]
    text = "\n".join(["@HD\tVN:1.6", f"@SQ\tSN:g\tLN:{len(GENOME)}", *lines]) + "\n"
    (folder / "calls.sam").write_text(text)
    for suffix, mode in ((".bam", "wb"), (".cram", "wc")):
        with (
            pysam.AlignmentFile(str(folder / "calls.sam"), check_sq=False) as given,
            pysam.AlignmentFile(
                str(folder / f"calls{suffix}"), mode, header=given.header, reference_filename=str(folder / "genome.fa")
            ) as packed,
        ):
            for record in given:
                packed.write(record)
    return folder


@pytest.mark.parametrize("suffix", [".fastq", *PACKED])
def test_each_format_gives_the_reads_as_they_were_called(folder: Path, suffix: str) -> None:
    found: list[BaseCall] = list(read_calls(folder / f"calls{suffix}", folder / "genome.fa"))
    assert {call.id: call.bases for call in found} == READS
    for call in found:
        assert call.quals.dtype == np.uint8
        assert call.quals.tolist() == quals(call.bases).tolist()
    assert has_moves(f"calls{suffix}") == (suffix != ".fastq")


def broken(folder: Path, case: str) -> Path:
    name = folder / f"{case}.bam"
    if case == "no reads":
        with pysam.AlignmentFile(str(name), "wb", header={"HD": {"VN": "1.6"}}):
            pass
    elif case == "cut off":
        name.write_bytes((folder / "calls.bam").read_bytes()[:-60])
    elif case == "text":
        name.write_text("id\tbases\nr\tACGT\n")
    elif case != "missing":
        name = folder / f"{case}.sam"
        sequence = {"no qualities": "ACGT\t*", "ambiguous": "ACRT\t!!!!"}[case]
        name.write_text(f"@HD\tVN:1.6\nr\t4\t*\t0\t0\t*\t*\t0\t0\t{sequence}\n")
    return name


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no reads", "holds no reads"),
        ("cut off", "cut off.bam: "),
        ("text", "text.bam: "),
        ("missing", "missing.bam: "),
        ("no qualities", "record 'r': holds no qualities"),
        ("ambiguous", "record 'r': base 'R' is not one of ACGTUN"),
    ],
)
def test_what_cannot_be_used_is_one_error(folder: Path, case: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_calls(broken(folder, case)))


GOOD = "@r1 runid=x\nACGT\n+\n!I~5\n@r2\nacgun\n+r2\nIIIII\n@r3\n\n+\n\n"


def test_fastq_plain_and_gzip(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.fastq", tmp_path / "a.fastq.gz"
    plain.write_text(GOOD)
    packed.write_bytes(gzip.compress(GOOD.encode()))
    for path in (plain, packed):
        calls = list(read_calls(path))
        assert [call.id for call in calls] == ["r1", "r2", "r3"]
        assert [call.bases for call in calls] == ["ACGT", "ACGTN", ""]
        assert calls[0].quals.tolist() == [0, 40, 93, 20]


def test_fastq_without_a_last_newline_and_with_crlf(tmp_path: Path) -> None:
    path = tmp_path / "a.fastq"
    path.write_bytes(b"@r1\r\nAC\r\n+\r\nII")
    assert [(call.bases, len(call.quals)) for call in read_calls(path)] == [("AC", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no reads"),
        ("\n\n", "holds no reads"),
        (">r1\nACGT\n", "line 1 starts with '>' (that is FASTA)"),
        ("@\tch:i:4\nAC\n+\nII\n", "a header without an id before its tags"),
        ("@r1\nACXT\n+\nIIII\n", "record 'r1': base 'X' at position 3 is not one of ACGTUN"),
    ],
)
def test_bad_fastq(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.fastq"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        list(read_calls(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_truncated_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.fastq.gz"
    path.write_bytes(gzip.compress((GOOD * 200).encode())[:-20])
    with pytest.raises(InputError, match="damaged gzip"):
        list(read_calls(path))


def test_reference_lengths(tmp_path: Path) -> None:
    path = tmp_path / "ref.fa"
    path.write_text(">a first\nACGT\nNNRY\n\n>b\nacgu\n")
    assert reference_lengths(path) == {"a": 8, "b": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no sequence"),
        ("ACGT\n", "line 1 starts with 'A'; a FASTA file starts with '>'"),
        (">a\nAC\n>a\nAC\n", "record 'a': appears twice"),
        (">a\nAC\n>b\n", "record 'b': has no bases"),
        (">\nAC\n", "line 1 has no name"),
        (">a\nACGT\nMEEPQ\n", "record 'a': 'E' on line 3 is not a base"),
    ],
)
def test_bad_reference(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ref.fa"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        reference_lengths(path)
    assert message in str(caught.value)
