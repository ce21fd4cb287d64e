"""`biorrn demux`, `trim` and `split` on files: nothing is lost, tags fit, a second run changes nothing."""

import csv
import gzip
import os
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysam
import pytest

from biorrn.kernels.lstm.native import kernels
from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.chemistry import stated_kit
from biorrn.nanopore.readers.calls import called_reads
from biorrn.nanopore.readers.files import read_signal
from biorrn.nanopore.reads.kits import find_kit
from biorrn.nanopore.simulate.molecules import ends
from biorrn.nanopore.simulate.writers import open_signal
from biorrn.sequences.alphabets import decode_bases

Run = Callable[..., tuple[int, str, str]]
KIT = "SQK-NBD114-24"
ADAPTER, TAIL = "AATGTACTTCGTTCAGTTACGTATTGCT", "GCAATACGTAACTGAACGAAGT"


@pytest.fixture
def reads(tmp_path: Path) -> Path:
    """Return a BAM of 60 made-up reads with move tables: of three barcodes, and without."""
    rng, kit = np.random.default_rng(0), find_kit(KIT)
    (before, after), names = kit.flanks[0], ["barcode01", "barcode02", "barcode24", ""]
    path = tmp_path / "reads.bam"
    header = {"HD": {"VN": "1.6"}, "RG": [{"ID": "run_model", "PL": "ONT", "SM": "pool"}]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for number in range(60):
            inside = "".join(rng.choice(list("ACGT"), 200))
            name = names[number % 4]
            own = before + kit.barcodes[name] + after if name else ""
            bases = "CTTCGTTCAGTTACGT" * bool(name) + own + inside + reverse_complement(own)
            moves = [5] + [bit for _ in bases for bit in (1, 0)]
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.query_sequence, read.flag = f"r{number}_{name or 'none'}", bases, 4
            read.query_qualities = pysam.qualitystring_to_array("5" * len(bases))
            read.set_tags([("RG", "run_model"), ("ts", 10), ("ns", 10 + 10 * len(bases) + 3)])
            read.set_tag("mv", array("b", moves))
            file.write(read)
    return path


def table_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_each_read_is_in_the_file_of_its_barcode(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    code, out, err = biorrn("demux", reads, "--kit", KIT, "-o", tmp_path / "d")
    assert code == 0, err
    assert "barcode24\t15 reads" in out
    assert "no barcode\t15 reads" in out
    rows = {row["read_id"]: row for row in table_of(tmp_path / "d" / "reads.tsv.gz")}
    assert len(rows) == 60
    seen = 0
    for name in ("barcode01", "barcode02", "barcode24", "unclassified"):
        with pysam.AlignmentFile(str(tmp_path / "d" / f"{name}.bam"), check_sq=False) as file:
            groups = {group["ID"]: group for group in file.header.to_dict()["RG"]}
            for read in file:
                seen += 1
                assert read.query_name.endswith(name if name != "unclassified" else "none")
                assert rows[read.query_name]["barcode"] == name
                assert read.get_tag("RG") in groups
                if name != "unclassified":
                    assert read.get_tag("BC") == f"{KIT}_{name}"
                    assert groups[read.get_tag("RG")]["BC"] == find_kit(KIT).barcodes[name]
                    assert abs(len(read.query_sequence) - 200) <= 4
                moves = read.get_tag("mv")
                assert sum(moves[1:]) == len(read.query_sequence)
                assert (read.get_tag("ns") - read.get_tag("ts")) // moves[0] == len(moves) - 1
    assert seen == 60
    assert (tmp_path / "d" / "barcodes.png").stat().st_size > 1000


def test_a_second_run_changes_nothing(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    assert biorrn("demux", reads, "--kit", KIT, "-o", tmp_path / "a")[0] == 0
    assert biorrn("demux", tmp_path / "a" / "barcode02.bam", "--kit", KIT, "-o", tmp_path / "b")[0] == 0
    one, two = (list(called_reads(tmp_path / name / "barcode02.bam")) for name in "ab")
    assert [(read.id, read.bases, set(read.tags)) for read in one] == [
        (read.id, read.bases, set(read.tags)) for read in two
    ]
    with pysam.AlignmentFile(str(tmp_path / "b" / "barcode02.bam"), check_sq=False) as file:
        groups = {group["ID"] for group in file.header.to_dict()["RG"]}
        assert {read.get_tag("RG") for read in file} == groups == {f"run_model_{KIT}_barcode02"}
    assert biorrn("trim", reads, "-o", tmp_path / "t.sam", "--kit", "any")[0] == 0
    code, _, err = biorrn("trim", tmp_path / "t.sam", "-o", tmp_path / "u.sam", "--kit", "any")
    assert code == 0
    assert "; 45 reads with the tag xt not searched again" in err
    assert [read.bases for read in called_reads(tmp_path / "t.sam")] == [
        read.bases for read in called_reads(tmp_path / "u.sam")
    ]


@pytest.fixture
def hard(reads: Path, tmp_path: Path) -> Path:
    """Return a BAM of those reads, two that are nothing but adapters, and one of two molecules."""
    rng, path = np.random.default_rng(1), tmp_path / "hard.bam"
    parts = ["".join(rng.choice(list("ACGT"), 500)) for _ in range(2)]
    more = {"adapter1": ADAPTER, "adapter2": ADAPTER, "two": TAIL.join(parts).replace(TAIL, TAIL + ADAPTER)}
    with (
        pysam.AlignmentFile(str(reads), check_sq=False) as old,
        pysam.AlignmentFile(str(path), "wb", template=old) as file,
    ):
        for read in old:
            file.write(read)
        for name, bases in more.items():
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.query_sequence, read.flag = name, bases, 4
            read.query_qualities = pysam.qualitystring_to_array("5" * len(bases))
            read.set_tag("RG", "run_model")
            file.write(read)
    return path


def written(place: Path, kind: str) -> list[pysam.AlignedSegment | pysam.FastxRecord]:
    """Return the records that htslib reads in a file, or in the files of a folder."""
    found: list[pysam.AlignedSegment | pysam.FastxRecord] = []
    for path in sorted(place.glob(f"*.{kind}")) if place.is_dir() else [place]:
        if kind == "bam":
            pysam.quickcheck("-u", str(path))
            with pysam.AlignmentFile(str(path), check_sq=False) as file:
                found += file.fetch(until_eof=True)
        else:
            with pysam.FastxFile(str(path)) as lines:
                found += [copy(record) for record in lines]
    return found


@pytest.mark.parametrize("kind", ["bam", "fastq.gz"])
@pytest.mark.parametrize("command", ["trim", "split", "demux"])
def test_reads_in_are_reads_out_and_left_out_with_a_reason(
    command: str, kind: str, biorrn: Run, hard: Path, tmp_path: Path
) -> None:
    given, out, table = tmp_path / f"given.{kind}", tmp_path / f"out.{kind}", tmp_path / "table.tsv"
    assert biorrn("trim", hard, "-o", given, "--kit", KIT, "--trim", "none")[0] == 0
    words: tuple[object, ...] = ("-o", out, "--summary", table)
    if command == "demux":
        out, table = tmp_path / "out", tmp_path / "out" / "reads.tsv.gz"
        words = ("-o", out)
    words += () if command == "split" else ("--kit", KIT)
    assert biorrn(command, given, *words)[0] == 0
    rows = table_of(table) if table.suffix == ".gz" else list(csv.DictReader(table.open(), delimiter="\t"))
    before = {read.id: read for read in called_reads(given)}
    # each read has a row, or rows of its parts, and a record unless the row says why it has none
    assert {row.get("parent_id") or row["read_id"] for row in rows} == set(before)
    left = [row["read_id"] for row in rows if row.get("status", "").startswith("left out: ")]
    assert left == (["adapter1", "adapter2"] if command == "trim" else [])
    records = written(out, kind)
    names = [getattr(record, "query_name", None) or record.name for record in records]
    assert sorted(names) == sorted(row["read_id"] for row in rows if row["read_id"] not in left)
    assert len(rows) == len(before) + (command == "split")
    # each base is in a record, or counted as cut
    of = {row["read_id"]: row for row in rows}
    for name, record in zip(names, records, strict=True):
        row, bases = of[name], getattr(record, "query_sequence", None) or record.sequence
        start, end = int(row.get("trimmed_start", row.get("start", 0))), int(row.get("trimmed_end", 0))
        whole = before[row.get("parent_id") or name].bases
        assert bases == whole[start : start + len(bases)]
        if command != "split":
            assert start + len(bases) + end == len(whole)
    # a second run changes nothing
    if command == "demux":
        for path in out.glob(f"*.{kind}"):
            if path.name.startswith("barcode"):
                assert biorrn("demux", path, *words[2:], "-o", tmp_path / "again" / path.name)[0] == 0
                assert same(path, tmp_path / "again" / path.name / path.name)
    else:
        assert biorrn(command, out, "-o", tmp_path / f"again.{kind}", *words[4:])[0] == 0
        assert same(out, tmp_path / f"again.{kind}")


def same(one: Path, other: Path) -> bool:
    """Return whether two files hold the same reads with the same tags."""
    first, second = (
        [(read.id, read.bases, read.letters, set(read.tags)) for read in called_reads(path)] for path in (one, other)
    )
    return first == second


def test_a_header_has_each_group_once(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    """Reads of several barcodes in one file, as `basecall --kit` writes them."""
    assert biorrn("demux", reads, "--kit", KIT, "-o", tmp_path / "a")[0] == 0
    parts = [tmp_path / "a" / f"{name}.bam" for name in ("barcode01", "barcode02", "unclassified")]
    assert biorrn("merge", *parts, "-o", tmp_path / "all.bam")[0] == 0
    assert biorrn("demux", tmp_path / "all.bam", "--kit", KIT, "-o", tmp_path / "b")[0] == 0
    for name in ("barcode01", "barcode02"):
        with pysam.AlignmentFile(str(tmp_path / "b" / f"{name}.bam"), check_sq=False) as file:
            assert [group["ID"] for group in file.header.to_dict()["RG"]] == [f"run_model_{KIT}_{name}"]
            assert {read.get_tag("RG") for read in file} == {f"run_model_{KIT}_{name}"}


def test_aliases_name_the_files_and_other_barcodes_are_unclassified(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("barcode,alias\nbarcode01,liver\nbarcode24,kidney\n")
    words = ("--kit", KIT, "--sample-sheet", sheet, "--emit", "fastq", "--no-trim")
    code, out, err = biorrn("demux", reads, *words, "-o", tmp_path / "d")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "d").glob("*.fastq.gz")} == {
        "liver.fastq.gz",
        "kidney.fastq.gz",
        "unclassified.fastq.gz",
    }
    assert "barcode02 is not in the sample sheet\t15 reads" in out
    first = next(called_reads(tmp_path / "d" / "liver.fastq.gz"))
    assert len(first.bases) > 280
    assert f"BC:Z:{KIT}_barcode01" in first.tags


def test_named_reads_that_get_no_barcode_say_why(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    """A pool whose reads have barcodes in their tags, by a sheet without some of them, and by another kit."""
    assert biorrn("demux", reads, "--kit", KIT, "-o", tmp_path / "a")[0] == 0
    assert biorrn("merge", *sorted((tmp_path / "a").glob("*.bam")), "-o", tmp_path / "named.bam")[0] == 0
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("barcode,alias\nbarcode01,liver\n")
    words = ("demux", tmp_path / "named.bam", "--kit", KIT, "--sample-sheet", sheet, "-o", tmp_path / "b")
    code, out, err = biorrn(*words)
    assert code == 0, err
    assert "barcode02 is not in the sample sheet\t15 reads" in out
    with pysam.AlignmentFile(str(tmp_path / "b" / "unclassified.bam"), check_sq=False) as file:
        groups = {group["ID"] for group in file.header.to_dict()["RG"]}
        found = list(file)
    assert len(found) == 45
    assert not any(read.has_tag("BC") for read in found)
    assert {read.get_tag("RG") for read in found} == {"run_model"} <= groups
    code, out, _ = biorrn("demux", tmp_path / "named.bam", "--kit", "SQK-RBK114-24", "-o", tmp_path / "c")
    assert code == 0
    assert f"has a barcode of another kit: {KIT}_barcode02\t15 reads" in out


def test_a_summary_of_trimming_has_each_read(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    words = ("trim", reads, "-o", tmp_path / "t.fastq.gz", "--kit", "SQK-LSK114", "--trim", "adapters")
    code, _, err = biorrn(*words, "--summary", tmp_path / "t.tsv")
    assert code == 0, err
    assert "trim: 45 reads cut at the start" in err
    rows = list(csv.DictReader((tmp_path / "t.tsv").open(), delimiter="\t"))
    assert len(rows) == 60
    assert {row["status"] for row in rows} == {"written"}
    made = {read.id: read for read in called_reads(tmp_path / "t.fastq.gz")}
    assert all(len(made[row["read_id"]].bases) == int(row["length"]) - int(row["trimmed_start"])
               - int(row["trimmed_end"]) for row in rows)  # fmt: skip


@pytest.mark.parametrize("kind", ["sam", "bam", "cram"])
@pytest.mark.parametrize("command", ["trim", "split", "demux"])
def test_the_group_of_a_record_is_in_the_header(command: str, kind: str, biorrn: Run, reads: Path, tmp_path: Path
                                                ) -> None:  # fmt: skip
    """FASTQ has no header, but its reads have groups."""
    assert biorrn("trim", reads, "-o", tmp_path / "reads.fastq", "--trim", "none")[0] == 0
    out = ("-o", tmp_path / "d", "--kit", KIT, "--emit", kind) if command == "demux" else ("-o", tmp_path / f"o.{kind}")
    assert biorrn(command, tmp_path / "reads.fastq", *out)[0] == 0
    files = list(tmp_path.glob(f"d/*.{kind}")) if command == "demux" else [tmp_path / f"o.{kind}"]
    seen = 0
    for path in files:
        with pysam.AlignmentFile(str(path), check_sq=False) as file:
            groups = {group["ID"]: group for group in file.header.to_dict()["RG"]}
            for read in file.fetch(until_eof=True):
                seen += 1
                group = groups[read.get_tag("RG")]
                assert group["ID"].startswith("run_model")
                if read.has_tag("BC"):
                    assert group["BC"] == find_kit(KIT).barcodes[str(read.get_tag("BC")).rpartition("_")[2]]
    assert seen == 60
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_records_without_qualities_forward_and_reverse(biorrn: Run, tmp_path: Path) -> None:
    path = tmp_path / "reads.bam"
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "c", "LN": 1000}]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for number, flag in enumerate((0, 16)):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.query_sequence, read.flag = f"r{number}", "ACCGT" * 40, flag
            read.reference_id, read.reference_start, read.cigarstring = 0, 10, "200M"
            file.write(read)
    code, _, err = biorrn("trim", path, "-o", tmp_path / "t.fastq")
    assert code == 0, err
    made = list(called_reads(tmp_path / "t.fastq"))
    assert [read.bases for read in made] == ["ACCGT" * 40, "ACGGT" * 40]
    assert [set(read.quals.tolist()) for read in made] == [{1}, {1}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("demux", "{reads}", "--kit", "SQK-NBD11424", "-o", "{new}"), "did you mean 'SQK-NBD114-24'"),
        (("demux", "{reads}", "--kit", "SQK-LSK109", "-o", "{new}"), "SQK-LSK109 has no barcodes"),
        (("demux", "{reads}", "--kit", KIT, "-o", "{full}"), "holds files; allowed is a new or an empty folder"),
        (("demux", "{reads}", "--kit", KIT, "--emit", "fasta", "-o", "{new}"), "--emit: format 'fasta' is unknown"),
        (("trim", "{reads}", "--kit", "SQK-RNA004", "--trim", "primers", "-o", "{new}.fq"), "has no primers"),
        (("trim", "{reads}", "--summary", "-"), "--summary: found -, which is also the output"),
        (("split", "{reads}", "--summary", "-"), "--summary: found -, which is also the output"),
        (("demux", "{reads}", "--kit", KIT, "-o", "-"), "-o -: found standard output; demux writes a folder"),
        (("trim", "{reads}", "--trim", "ends", "-o", "{new}.fq"), "found 'ends'; allowed is adapters, primers, all"),
    ],
)
def test_bad_settings_are_one_line(words: tuple[str, ...], message: str, biorrn: Run, reads: Path, tmp_path: Path
                                   ) -> None:  # fmt: skip
    code, _, err = biorrn(*(word.format(reads=reads, new=tmp_path / "new", full=tmp_path) for word in words))
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "new").exists()


def test_simulated_pools_have_the_barcodes_of_the_truth(biorrn: Run, tmp_path: Path) -> None:
    kit, signal, truth = find_kit(KIT), tmp_path / "pool.pod5", tmp_path / "pool.tsv"
    words = ("simulate", "--random-genome", 5000, "--reads", 6, "--length-mean", 200, "--length-shape", 50)
    assert biorrn(*words, "--kit", KIT, "-o", signal, "--truth", truth)[0] == 0
    rows = list(csv.DictReader(truth.open(), delimiter="\t"))
    assert {row["barcode"] for row in rows} <= set(kit.barcodes)
    around = ends(kit, None, seed=0, number=0)
    front, rear = decode_bases(around.front), decode_bases(around.rear)
    own = kit.barcodes[rows[0]["barcode"]]
    assert front == "AATGTACTTCGTTCAGTTACGTATTGCTAAGGTTAA" + own + "CAGCACCT"
    assert rear == "AGGTGCTG" + reverse_complement(own) + "TTAACCTTAGCAATACGTAACTGAACGAAGT"
    assert biorrn(*words, "-o", tmp_path / "alone.pod5", "--truth", tmp_path / "alone.tsv")[0] == 0
    alone = list(csv.DictReader((tmp_path / "alone.tsv").open(), delimiter="\t"))
    assert [row["bases"] for row in alone] == [row["bases"] for row in rows]


@pytest.mark.parametrize("suffix", [".pod5", ".blow5", ".fast5"])
def test_simulated_signal_names_its_kit(suffix: str, biorrn: Run, tmp_path: Path) -> None:
    """But not one of another chemistry than the pore model, by which all reads would be refused."""
    words = ("simulate", "--random-genome", 5000, "--reads", 2, "--length-mean", 300)
    for kit, stated in (("EXP-NBD104", "EXP-NBD104"), (KIT, "")):
        signal = tmp_path / f"{kit}{suffix}"
        code, _, err = biorrn(*words, "--kit", kit, "-o", signal)
        assert (code, "the metadata name no kit" in err) == (0, not stated)
        assert {stated_kit(record.run_tags) for record in read_signal(signal)} == {stated}
        code, _, err = biorrn("basecall", signal, "--model", "fast", "-o", tmp_path / "c.fastq", "--min-length", 0)
        assert code == 0, err
        assert ("kit EXP-NBD104: 2 reads, adapters cut from" in err) == bool(stated)


@pytest.mark.parametrize("suffix", [".pod5", ".blow5", ".fast5"])
def test_basecall_cuts_the_adapters_of_the_kit_in_the_metadata(
    suffix: str, biorrn: Run, root: Path, tmp_path: Path
) -> None:
    signal, tags = tmp_path / f"reads{suffix}", {"flow_cell_product_code": "FLO-MIN106", "sequencing_kit": "SQK-LSK109"}
    with open_signal(signal) as write:
        for record in list(read_signal(root / "data/simulated_reads/simulated.blow5"))[:3]:
            write(replace(record, run_tags=tags, kit="SQK-LSK109"))
    found = {}
    for what in ("adapters", "none"):
        words = ("--trim", "none") if what == "none" else ()
        out, table = tmp_path / f"{what}.bam", tmp_path / f"{what}.tsv"
        code, _, err = biorrn("basecall", signal, "--model", "fast", "-o", out, "--summary", table, *words)
        assert code == 0, err
        assert ("kit SQK-LSK109: 3 reads, adapters cut from 3" in err) == (what == "adapters")
        rows = {row["read_id"]: row for row in csv.DictReader(table.open(), delimiter="\t")}
        found[what] = {read.id: (read, rows[read.id]) for read in called_reads(out)}
    for name, (whole, _) in found["none"].items():
        cut, row = found["adapters"][name]
        start, end = int(row["bases_cut_start"]), int(row["bases_cut_end"])
        assert start > 10
        assert cut.bases == whole.bases[start : len(whole.bases) - end]
        assert f"xt:B:I,{start},{end}" in cut.tags


@pytest.mark.parametrize("kind", ["sam", "bam", "cram", "fastq", "fastq.gz"])
def test_standard_input_may_be_any_format(
    kind: str, biorrn: Run, reads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / f"given.{kind}"
    assert biorrn("trim", reads, "-o", given, "--trim", "none")[0] == 0
    with open(given) as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", stream)
        code, _, err = biorrn("demux", "-", "--kit", KIT, "-o", tmp_path / "d")
    assert code == 0, err
    suffix = "fastq.gz" if kind.startswith("fastq") else kind
    made = [
        read for name in ("barcode01", "unclassified") for read in called_reads(tmp_path / "d" / f"{name}.{suffix}")
    ]
    assert len(made) == 30
    assert all(any(tag.startswith("mv:") for tag in read.tags) for read in made)


@pytest.mark.parametrize("name", ["simulated.pod5", "simulated.blow5", "simulated.fast5"])
@pytest.mark.parametrize("standard", [True, False])
def test_raw_signal_is_told(
    standard: bool, name: str, biorrn: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "data/simulated_reads" / name
    with open(path) as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", stream)
        code, _, err = biorrn("trim", "-" if standard else path)
    assert code == 2
    assert f"{'standard input' if standard else path}: is raw signal (" in err
    assert "which biorrn basecall calls" in err


def test_numbers_keep_their_digits(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    """htslib writes six digits of a number of BAM, which are too few for picoamperes and seconds."""
    path, values = tmp_path / "r.bam", {"sm": 93.692314, "du": 1234.5678, "sd": 1.5e-7}
    with (
        pysam.AlignmentFile(str(reads), check_sq=False) as old,
        pysam.AlignmentFile(str(path), "wb", template=old) as file,
    ):
        for read in old:
            for tag, value in values.items():
                read.set_tag(tag, value, "f")
            read.set_tag("xf", array("f", values.values()))
            file.write(read)
    for name in ("t.fastq", "t.bam"):
        assert biorrn("trim", path, "-o", tmp_path / name, "--trim", "none")[0] == 0
        for call in called_reads(tmp_path / name):
            found = {tag[:2]: tag[5:] for tag in call.tags}
            assert {tag: np.float32(found[tag]) for tag in values} == {tag: np.float32(v) for tag, v in values.items()}
            assert [np.float32(each) for each in found["xf"].split(",")[1:]] == [np.float32(v) for v in values.values()]


def test_split_does_without_numba(reads: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    one, two = ("".join(rng.choice(list("ACGT"), 500)) for _ in range(2))
    (tmp_path / "two.fastq").write_text(f"@two\n{one + TAIL + ADAPTER + two}\n+\n{'5' * 1050}\n")
    words = ["split", str(tmp_path / "two.fastq"), "-o", str(tmp_path / "parts.fastq")]
    code = f"import sys; from biorrn.cli.main import main; sys.argv = ['biorrn', *{words}]\n"
    code += "try: main()\nexcept SystemExit: pass\nprint('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "1 of 1 read split, into 2" in done.stderr
    library = kernels()
    assert done.stdout.strip() == str(library is None or not library.has_edits)


def test_the_help_names_each_word_of_trim(biorrn: Run) -> None:
    """One that is missing there is found only by a wrong one."""
    for command in ("trim", "basecall"):
        _, out, _ = biorrn(command, "--help")
        shown = " ".join(out.replace("│", " ").split())
        assert "primers, all or none" in shown


def test_a_fault_of_standard_input_names_it(
    biorrn: Run, reads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cut.bam").write_bytes(reads.read_bytes()[:400])
    with open(tmp_path / "cut.bam") as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", stream)
        code, _, err = biorrn("trim", "-", "-o", tmp_path / "t.fastq")
    assert (code, "error: standard input: cannot be read" in err) == (2, True)


def test_a_bad_record_of_standard_input_names_it(biorrn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = "\t4\t*\t0\t0\t*\t*\t0\t0\t"
    (tmp_path / "r.sam").write_text(f"@HD\tVN:1.6\na{free}A=\tII\nb{free}AC\tII\n")
    with open(tmp_path / "r.sam") as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", stream)
        code, _, err = biorrn("trim", "-", "-o", tmp_path / "t.fastq")
    assert (code, "skipped: standard input: record 'a': base '=' is not one of ACGTUN" in err) == (0, True)


def test_a_named_pipe_is_read_from_its_start(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    given, pipe = tmp_path / "given.fastq", tmp_path / "pipe"
    assert biorrn("trim", reads, "-o", given, "--trim", "none")[0] == 0
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(given.read_bytes()), daemon=True)
    feeder.start()
    assert biorrn("trim", pipe, "-o", tmp_path / "t.fastq", "--trim", "none")[0] == 0
    feeder.join()
    assert (tmp_path / "t.fastq").read_bytes() == given.read_bytes()


def test_bam_of_another_name_is_told(biorrn: Run, reads: Path, tmp_path: Path) -> None:
    code, _, err = biorrn("trim", reads.rename(tmp_path / "reads.fastq"))
    assert (code, "is BAM; give it a name that ends in .bam" in err) == (2, True)


def test_words_of_a_header_that_are_no_tags_are_told(biorrn: Run, tmp_path: Path) -> None:
    path = tmp_path / "reads.fastq"
    record = "\n" + "ACGT" * 30 + "\n+\n" + "5" * 120 + "\n"
    path.write_text(f"@a runid=7 ch=12\tRG:Z:g{record}@b\tch:i:4{record}@c\tno tag\tch:i:x{record}")
    code, _, err = biorrn("trim", path, "-o", tmp_path / "t.fastq")
    assert code == 0
    assert "2 reads with words in the header that are no SAM tags, left out, such as 'runid=7 ch=12'" in err
    assert "1 tag left out, which SAM cannot hold, such as 'ch:i:x'" in err
    assert [read.tags for read in called_reads(tmp_path / "t.fastq")] == [("RG:Z:g",), ("ch:i:4",), ()]


@pytest.mark.parametrize("odd", ["ts:A:+", "ts:f:1.5", "mv:Z:x", "mv:B:c", "ns:Z:x", "du:Z:x", "ML:Z:a,b"])
@pytest.mark.parametrize("command", ["trim", "demux"])
def test_a_tag_of_another_kind_is_left_out(command: str, odd: str, biorrn: Run, reads: Path, tmp_path: Path) -> None:
    """As `samtools fastq -T '*'` writes the ts of spliced alignments, which is a strand."""
    given, out = tmp_path / "given.fastq", tmp_path / "out"
    [read] = [read for read in called_reads(reads) if read.id == "r1_barcode02"]
    tags = [tag for tag in (*read.tags, "MM:Z:C+m?,0;", "du:f:1.5") if tag[:2] != odd[:2]]
    given.write_text("\t".join([f"@{read.id}", *tags, odd]) + f"\n{read.bases}\n+\n{read.letters}\n")
    code, _, err = biorrn(command, given, "--kit", KIT, "-o", out if command == "demux" else tmp_path / "out.bam")
    assert code == 0, err
    [made] = called_reads(out / "barcode02.fastq.gz" if command == "demux" else tmp_path / "out.bam")
    assert 0 < len(made.bases) < len(read.bases)
    assert odd not in made.tags


def test_a_closed_pipe_of_the_summary_is_no_fault_of_the_output(reads: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "biorrn", "split", str(reads), "-o", str(tmp_path / "s.bam"), "--summary", "-"]
    receive, send = os.pipe()
    os.close(receive)
    done = subprocess.run(words, stdout=send, stderr=subprocess.PIPE, text=True, check=False)
    os.close(send)
    assert (done.returncode, "error" in done.stderr) == (141, False)


@pytest.mark.parametrize("name", ["@r", "r" * 300])
@pytest.mark.parametrize("command", ["trim", "demux"])
def test_an_id_that_sam_cannot_hold_is_told(command: str, name: str, biorrn: Run, tmp_path: Path) -> None:
    (tmp_path / "r.fastq").write_text(f"@{name}\nACGT\n+\nIIII\n")
    more = ("--emit", "sam", "-o", tmp_path / "d") if command == "demux" else ("-o", tmp_path / "t.sam")
    code, _, err = biorrn(command, tmp_path / "r.fastq", "--kit", KIT, *more)
    assert (code, f"skipped: {tmp_path / 'r.fastq'}: record '{name}': its id fits no SAM, BAM or CRAM" in err) == (
        2,
        True,
    )
    assert "holds no reads that can be used; skipped 1 (not_an_id: 1)" in err
    assert [path.name for path in tmp_path.iterdir()] == ["r.fastq"]


FAULTS = {
    "more": ("ACGT", "IIIII", "has 4 bases and 5 qualities"),
    "fewer": ("ACGT", "", "has 4 bases and 0 qualities"),
    "letter": ("AC=T", "IIII", "line 10: base '=' at position 3 is no letter"),
    "code": ("ACRT", "IIII", "base 'R' at position 3 is not one of ACGTUN"),
    "quality": ("ACGT", "II I", "line 20: quality ' ' is not a letter from '!' to '~'"),
    "": ("ACGT", "IIII", "line 21: a header without an id; allowed is @ and an id"),
    "\u00e9": (
        "ACGT",
        "IIII",
        "its id fits no SAM, BAM or CRAM; allowed are at most 254 letters of ASCII, the first not '@'",
    ),
    "@": (
        "ACGT",
        "IIII",
        "its id fits no SAM, BAM or CRAM; allowed are at most 254 letters of ASCII, the first not '@'",
    ),
}


def faulty(path: Path, good: int = 2) -> Path:
    """Return a FASTQ of one record of each fault, and good ones before and behind."""
    rng = np.random.default_rng(2)
    records = [f"@{name}\n{bases}\n+\n{letters}\n" for name, (bases, letters, _) in FAULTS.items()]
    fine = [f"@good{number}\n{''.join(rng.choice(list('ACGT'), 300))}\n+\n{'5' * 300}\n" for number in range(good)]
    path.write_text("".join([*records, *fine]))
    return path


def words_of(command: str, out: Path, kind: str = "bam") -> tuple[tuple[object, ...], Path]:
    """Return the options of a command, and its table of reads."""
    if command == "demux":
        return ("--kit", KIT, "--emit", kind.removesuffix(".gz"), "-o", out), out / "reads.tsv.gz"
    return ("-o", out.with_suffix(f".{kind}"), "--summary", out.with_suffix(".tsv")), out.with_suffix(".tsv")


def rows_of(table: Path) -> list[dict[str, str]]:
    return table_of(table) if table.suffix == ".gz" else list(csv.DictReader(table.open(), delimiter="\t"))


@pytest.mark.parametrize("kind", ["bam", "fastq.gz"])
@pytest.mark.parametrize("command", ["trim", "split", "demux"])
def test_bad_records_among_good_are_named_counted_and_in_the_table(
    command: str, kind: str, biorrn: Run, tmp_path: Path
) -> None:
    given = faulty(tmp_path / "r.fastq")
    words, table = words_of(command, tmp_path / "out", kind)
    code, _, err = biorrn(command, given, *words)
    assert code == 0, err
    ids_fit = kind != "bam"
    bad = {name: why for name, (_, _, why) in FAULTS.items() if not (ids_fit and "its id" in why)}
    rows = {row["read_id"]: row["reason" if command == "demux" else "status"] for row in rows_of(table)}
    assert {name: why for name, why in rows.items() if why.startswith("left out: ")} == {
        name: f"left out: {why}" for name, why in bad.items()
    }
    assert all(f"record '{name}': {why}" in err if name else why in err for name, why in bad.items())
    counts = {"other_qualities: 2", "not_a_base: 2", "not_a_quality: 1", "no_id: 1"} | (
        set() if ids_fit else {"not_an_id: 2"}
    )
    assert set(err.split(f"skipped {len(bad)} (")[1].split(")")[0].split(", ")) == counts
    place = tmp_path / "out" if command == "demux" else tmp_path / f"out.{kind}"
    names = {getattr(record, "query_name", None) or record.name for record in written(place, kind)}
    assert names == set(rows) - set(bad) == {"good0", "good1"} | (set(FAULTS) - set(bad))
    assert "--strict" not in err


@pytest.mark.parametrize("command", ["trim", "split", "demux"])
@pytest.mark.parametrize("text", ["", "\n\n", "@a\nAC\n+\nI\n@b\nA=\n+\nII\n", "@HD\tVN:1.6\n"])
def test_a_file_without_a_usable_read_is_an_error(command: str, text: str, biorrn: Run, tmp_path: Path) -> None:
    given = tmp_path / ("r.sam" if text.startswith("@HD") else "r.fastq")
    given.write_text(text)
    code, _, err = biorrn(command, given, *words_of(command, tmp_path / "out")[0])
    assert (code, f"error: {given}: holds no reads that can be used" in err) == (2, True)
    assert ("; skipped 2 (other_qualities: 1, not_a_base: 1)" in err) == text.startswith("@a")
    assert list(tmp_path.iterdir()) == [given]


@pytest.mark.parametrize("command", ["trim", "split", "demux"])
@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("@c\nACGT\n+\nII", "record 'c': has 4 bases and 2 qualities (the file is cut off)"),
        ("@c\nACGT\n", "record 'c': is cut off after line 6; the line '+' is missing"),
        ("@c\nAC\n+\n@d\nAC\n+\nII\n", "line 9 starts with 'A'; a FASTQ record starts with '@'"),
        ("ACGT\n", "line 5 starts with 'A'; a FASTQ record starts with '@'"),
    ],
)
def test_a_file_that_is_cut_or_no_fastq_stays_an_error(
    command: str, end: str, message: str, biorrn: Run, tmp_path: Path
) -> None:
    given = tmp_path / "r.fastq"
    given.write_text(f"@good\nACGT\n+\nIIII\n{end}")
    code, _, err = biorrn(command, given, *words_of(command, tmp_path / "out")[0])
    assert (code, f"error: {given}: {message}" in err) == (2, True)
    assert list(tmp_path.iterdir()) == [given]


@pytest.mark.parametrize("command", ["trim", "split", "demux"])
def test_bases_that_are_not_given_in_bam(command: str, biorrn: Run, reads: Path, tmp_path: Path) -> None:
    """`=` stands for the base of the reference, which we do not read."""
    path = tmp_path / "equal.bam"
    with (
        pysam.AlignmentFile(str(reads), check_sq=False) as old,
        pysam.AlignmentFile(str(path), "wb", template=old) as file,
    ):
        for number, read in enumerate(old):
            if number == 7:
                quals, read.query_sequence = read.query_qualities, read.query_sequence[:-1] + "="
                read.query_qualities = quals
            file.write(read)
    words, table = words_of(command, tmp_path / "out")
    code, _, err = biorrn(command, path, *words)
    assert code == 0, err
    rows = {row["read_id"]: row["reason" if command == "demux" else "status"] for row in rows_of(table)}
    left = {name: why for name, why in rows.items() if why.startswith("left out: ")}
    assert left == {"r7_none": "left out: base '=' is not one of ACGTUN"}
    place = tmp_path / "out" if command == "demux" else tmp_path / "out.bam"
    assert {record.query_name for record in written(place, "bam")} == set(rows) - set(left)
    assert len(rows) == 60


def test_one_read_is_one_read(biorrn: Run, tmp_path: Path) -> None:
    (tmp_path / "r.fastq").write_text(f"@a\n{ADAPTER}{'ACGGT' * 40}\n+\n{'5' * 228}\n")
    code, _, err = biorrn("trim", tmp_path / "r.fastq", "--kit", "SQK-LSK114", "-o", tmp_path / "t.fastq")
    assert (code, "trim: 1 read cut at the start, 0 at the end; 28 bases" in err) == (0, True)
    code, _, err = biorrn("trim", tmp_path / "t.fastq", "--kit", "SQK-LSK114", "-o", tmp_path / "u.fastq")
    assert (code, "0 bases; 1 read with the tag xt not searched again" in err) == (0, True)


def test_reads_of_adapters_alone_are_no_fault_of_the_file(biorrn: Run, tmp_path: Path) -> None:
    (tmp_path / "r.fastq").write_text(f"@a\n{ADAPTER}\n+\n{'5' * len(ADAPTER)}\n")
    code, _, err = biorrn("trim", tmp_path / "r.fastq", "--kit", "SQK-LSK114", "-o", tmp_path / "t.fastq")
    assert (code, "skipped 1 (nothing between the adapters: 1)" in err) == (0, True)
    assert (tmp_path / "t.fastq").read_text() == ""


def test_reads_without_qualities_do_not_raise_the_mean(biorrn: Run, tmp_path: Path) -> None:
    (tmp_path / "r.fastq").write_text("@a\nACGT\n+\n++++\n@empty\n\n+\n\n")
    assert biorrn("demux", tmp_path / "r.fastq", "--kit", KIT, "-o", tmp_path / "d")[0] == 0
    [row] = csv.DictReader((tmp_path / "d" / "barcodes.tsv").open(), delimiter="\t")
    assert (row["reads"], row["mean_qscore"]) == ("2", "10.00")
