"""`biorrn merge`: merged shards equal the output of one process."""

import csv
import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import pytest

from biorrn.nanopore.basecall.sam import counted_warning

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--decoder", "greedy", "--threads", 1, "--min-length", 0)  # an untrained model calls few bases
KINDS = ("fastq", "fastq.gz", "sam", "bam", "cram")


@pytest.fixture
def merge(biorrn: Run) -> Run:
    return partial(biorrn, "merge")


@pytest.fixture(scope="module")
def model(make_caller: Callable[..., Path]) -> Path:
    return make_caller()


@pytest.fixture(scope="module")
def shards(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return eight files of the example's reads, of four runs: one without a usable read, one with an id twice."""
    from dataclasses import replace

    from biorrn.nanopore.readers.files import read_all
    from biorrn.nanopore.simulate.writers import open_signal

    place = tmp_path_factory.mktemp("shards")
    reads = list(read_all([root / "data" / "simulated_reads" / "simulated.blow5"]))
    files = [place / f"{number}.blow5" for number in range(8)]
    for number, path in enumerate(files):
        run = {"run_id": f"run{number // 2}"}
        mine = [replace(read, raw=read.raw[: 0 if number == 3 else 2500], **run) for read in reads[number::8]]
        with open_signal(path) as write:
            for read in [*mine, *([replace(reads[0], raw=reads[0].raw[:1500], **run)] if number == 6 else [])]:
                write(read)
    files[5].write_bytes(files[5].read_bytes()[:-40])  # cut off in its only read
    return files


def call(biorrn: Run, model: Path, files: list[Path], output: Path, *more: Any) -> Path:
    """Call files and return the summary."""
    table = output.with_name(f"{output.name}.summary.tsv")
    code, _, err = biorrn("basecall", *files, "--model", model, *QUICK, "-o", output, "--summary", table, *more)
    assert code == 0, err
    return table


def records(path: Path) -> list[str]:
    with pysam.AlignmentFile(str(path), check_sq=False) as file:
        return [record.to_string() for record in file.fetch(until_eof=True)]


def content(path: Path) -> Any:
    """Return all that a file of calls says of its reads, and the read groups of its header."""
    if path.suffix in (".gz", ".fastq"):
        return path.read_bytes()
    with pysam.AlignmentFile(str(path), check_sq=False) as file:
        groups = file.header.to_dict().get("RG")
    return groups, records(path)


@pytest.mark.parametrize("parts", [1, 3, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_scattered_and_joined_is_one_process(
    biorrn: Run, merge: Run, model: Path, shards: list[Path], tmp_path: Path, kind: str, parts: int
) -> None:
    whole = tmp_path / f"whole.{kind}"
    table = call(biorrn, model, shards, whole)
    words: list[Path] = []
    for number, files in enumerate(np.array_split(np.array(shards, dtype=object), parts)):
        part = tmp_path / f"part{number}.{kind}"
        words += [part, call(biorrn, model, list(files), part, "--allow-empty")]
    code, out, err = merge(*words, "-o", tmp_path / f"joined.{kind}", "--summary", tmp_path / "joined.tsv")
    assert (code, out) == (0, ""), err
    assert content(tmp_path / f"joined.{kind}") == content(whole)
    assert (tmp_path / "joined.tsv").read_bytes() == table.read_bytes()
    with open(table, newline="") as stream:
        status = [row["status"] for row in csv.DictReader(stream, delimiter="\t")]
    assert (status.count("called"), "no samples" in status) == (7, True)  # of 9: one has no samples, one is cut off


def test_aligned_parts(biorrn: Run, merge: Run, root: Path, tmp_path: Path) -> None:
    """The reference sequences stay, and CRAM still knows what it is aligned to."""
    reference = tmp_path / "genome.fasta"
    reference.write_text((root / "data" / "simulated_reads" / "reference.fasta").read_text())
    for kind in ("bam", "cram"):
        parts = [tmp_path / f"{number}.{kind}" for number in (1, 2)]
        call_some(parts[0], reference, range(2))
        call_some(parts[1], reference, range(2, 3))
        call_some(tmp_path / f"whole.{kind}", reference, range(3))
        code, _, err = merge(*parts, "-o", tmp_path / f"joined.{kind}")
        assert code == 0, err
        assert records(tmp_path / f"joined.{kind}") == records(tmp_path / f"whole.{kind}")
        assert len(records(tmp_path / f"joined.{kind}")) == 3
    assert not list(tmp_path.glob("*.fai")) or kind == "cram"  # nothing is written beside the reference
    with pysam.AlignmentFile(str(tmp_path / "joined.cram")) as file:
        assert file.header.to_dict()["SQ"][0]["UR"] == str(reference)
    reference.rename(tmp_path / "moved.fasta")
    parts = [tmp_path / "1.cram", tmp_path / "2.cram"]
    assert "name the reference with --reference" in merge(*parts, "-o", tmp_path / "again.cram")[2]
    assert merge(*parts, "-o", tmp_path / "again.cram", "--reference", tmp_path / "moved.fasta")[0] == 0
    reference.write_text((tmp_path / "moved.fasta").read_text())  # for the reader here
    assert records(tmp_path / "again.cram") == records(tmp_path / "whole.cram")


def call_some(path: Path, reference: Path, which: range) -> None:
    """Write records as aligned reads would be: pieces of the reference itself."""
    from biorrn.nanopore.basecall.sam import sam_header, write_packed

    sequence = "".join(reference.read_text().splitlines()[1:])
    name = reference.read_text().split()[0][1:]
    lines = [
        "\t".join([f"r{number}", "0", name, str(100 * number + 1), "60", "50M", "*", "0", "0",
                   sequence[100 * number : 100 * number + 50], "I" * 50]) + "\n"
        for number in which
    ]  # fmt: skip
    header = sam_header([{"ID": "x"}], [(name, len(sequence))], f"some {which}")
    write_packed(str(path), header, lines, path.suffix[1:], 1, reference if path.suffix == ".cram" else None)


def test_compressed_parts_can_be_copied(merge: Run, tmp_path: Path) -> None:
    text = "".join(f"@r{number}\nACGT\n+\nIIII\n" for number in range(9))
    parts = [tmp_path / f"{number}.fastq.gz" for number in range(3)]
    for path, part in zip(parts, (text[:32], "", text[32:]), strict=True):
        path.write_bytes(gzip.compress(part.encode(), mtime=0))
    assert merge(*parts, "-o", tmp_path / "all.fq.gz", "--copy")[0] == 0
    assert gzip.decompress((tmp_path / "all.fq.gz").read_bytes()).decode() == text
    assert (tmp_path / "all.fq.gz").stat().st_size == sum(parts[place].stat().st_size for place in (0, 2))
    assert merge(parts[1], "-o", tmp_path / "none.fq.gz", "--copy", "--allow-empty")[0] == 0
    assert gzip.decompress((tmp_path / "none.fq.gz").read_bytes()) == b""
    parts[1].write_bytes(gzip.compress(text[:31].encode()))  # its last line has no end: another part cannot follow
    code, _, err = merge(parts[1], parts[2], "-o", tmp_path / "all.fq.gz", "--copy")
    assert (code, "1.fastq.gz: its last line has no end" in err) == (2, True)
    assert merge(parts[1], parts[2], "-o", tmp_path / "all.fq.gz")[0] == 0
    assert gzip.decompress((tmp_path / "all.fq.gz").read_bytes()).decode() == text


def test_programs_of_one_id_are_told_apart(merge: Run, tmp_path: Path) -> None:
    line = "{}\t4\t*\t0\t0\t*\t*\t0\t0\tAC\tII\tPG:Z:call\tqs:f:9.50\n"
    for number in (1, 2):
        head = f"@HD\tVN:1.6\tSO:coordinate\n@PG\tID:call\tCL:number {number}\n@PG\tID:after\tPP:call\n@CO\tsame\n"
        (tmp_path / f"{number}.sam").write_text(head + line.format(f"r{number}"))
    assert merge(tmp_path / "1.sam", tmp_path / "2.sam", "-o", tmp_path / "all.sam")[0] == 0
    lines = (tmp_path / "all.sam").read_text().splitlines()
    assert lines[0] == "@HD\tVN:1.6\tSO:unknown"
    assert lines[1:5] == [
        "@PG\tID:call\tCL:number 1",
        "@PG\tID:after\tPP:call",
        "@PG\tID:call.1\tCL:number 2",
        "@PG\tID:after.1\tPP:call.1",
    ]
    assert lines[5].startswith("@PG\tID:merge\tPN:biorrn\t")
    assert lines[6:] == ["@CO\tsame", line.format("r1").rstrip(), line.format("r2").replace("Z:call", "Z:call.1")[:-1]]


def test_warnings_that_count_reads_are_added_up(merge: Run, tmp_path: Path) -> None:
    for number, count in enumerate((27, 4, 27)):
        said = [counted_warning("calls by --force", count), "same", *([counted_warning("other: x", 1)] * (number == 1))]
        (tmp_path / f"{number}.sam").write_text("".join(f"@CO\t{line}\n" for line in said))
    parts = [tmp_path / f"{number}.sam" for number in range(3)]
    assert merge(*parts, "-o", tmp_path / "all.sam", "--allow-empty")[0] == 0
    lines = (tmp_path / "all.sam").read_text().splitlines()
    assert [line for line in lines if line.startswith("@CO")] == [
        "@CO\tbiorrn warning: calls by --force: 58 reads",
        "@CO\tsame",
        "@CO\tbiorrn warning: other: x: 1 reads",
    ]


BAD: dict[str, tuple[str, str]] = {
    "no such part": ("no.fastq -o all.fastq", "no.fastq: cannot be read: No such file"),
    "a part twice": ("a.fastq a.fastq -o all.fastq", "a.fastq: is given twice"),
    "a folder": ("folder.fastq -o all.fastq", "is a folder"),
    "another suffix": ("a.fasta -o all.fastq", "found the suffix '.fasta'"),
    "two formats": ("a.fastq a.sam -o all.fastq", "a.sam: is sam where"),
    "another output": ("a.fastq -o all.bam", "the parts are fastq"),
    "a part as the output": ("a.fastq b.fastq -o b.fastq", "--output b.fastq: is the input b.fastq"),
    "an id twice": ("a.fastq b.fastq -o all.fastq --unique", "b.fastq: record 'r1': the read id occurs twice"),
    "FASTQ cut off": (
        "cut.fastq -o all.fastq",
        "cut.fastq: record 'r1': has 2 bases and 1 qualities (the file is cut",
    ),
    "gzip cut off": ("cut.fastq.gz -o all.fastq.gz", "cut.fastq.gz: damaged gzip"),
    "gzip of nothing": ("empty.fastq.gz -o all.fastq.gz", "empty.fastq.gz: is empty"),
    "SAM cut off": ("cut.sam -o all.sam", "line 2 is not a whole SAM record"),
    "BAM cut off": ("cut.bam -o all.bam", "cut.bam: cannot be read"),
    "no BAM": ("text.bam -o all.bam", "text.bam: cannot be read"),
    "other references": ("a.sam other.sam -o all.sam", "other.sam: its reference sequences (@SQ) are not those of"),
    "an empty table": ("empty.tsv -o all.tsv", "empty.tsv: holds no table"),
    "other columns": ("a.tsv other.tsv -o all.tsv", "other.tsv: its columns are not those of"),
    "a short row": ("cut.tsv -o all.tsv", "cut.tsv: line 2 has 1 cells"),
    "a table of another kind": ("kind.tsv -o all.tsv", "kind.tsv: column 'status' is missing"),
    "no record": ("none.fastq -o all.fastq", "no record in 1 parts: no read could be called"),
    "both without --summary": ("a.fastq a.tsv -o all.fastq", "name an output for the summaries too"),
    "--summary without both": ("a.fastq -o all.fastq --summary all.tsv", "is for parts that are calls and summaries"),
    "a shard left out": ("a.fastq a.tsv b.tsv -o all.fastq --summary all.tsv", "hold 1 reads but the summaries list 2"),
    "BAM to a terminal": ("whole.bam -o -", "BAM is binary"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from biorrn.nanopore.basecall.sam import sam_header, write_packed

    monkeypatch.chdir(tmp_path)
    record = "r{}\t4\t*\t0\t0\t*\t*\t0\t0\tAC\tII\n"
    texts = {
        "a.fasta": ">r1\nAC\n",
        "a.fastq": "@r1\nAC\n+\nII\n",
        "b.fastq": "@r1 again\nAC\n+\nII\n",
        "cut.fastq": "@r1\nAC\n+\nI",
        "none.fastq": "",
        "empty.fastq.gz": "",
        "a.sam": "@HD\tVN:1.6\n" + record.format(1),
        "cut.sam": "@HD\tVN:1.6\n" + record.format(1)[:-3],
        "other.sam": "@SQ\tSN:x\tLN:9\n" + record.format(1),
        "text.bam": "not BAM\n",
        "empty.tsv": "",
        "kind.tsv": "read_id\tx\n",
        "a.tsv": "read_id\tx\tstatus\nr1\t1\tcalled\n",
        "b.tsv": "read_id\tx\tstatus\nr1\t1\tcalled\n",
        "other.tsv": "read_id\ty\tstatus\n",
        "cut.tsv": "read_id\tx\tstatus\nr1",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder.fastq").mkdir()
    (tmp_path / "cut.fastq.gz").write_bytes(gzip.compress(b"@r1\nAC\n+\nII\n" * 50)[:-9])
    write_packed("whole.bam", sam_header([]), [record.format(number) for number in range(9)], "bam")
    (tmp_path / "cut.bam").write_bytes((tmp_path / "whole.bam").read_bytes()[:-28])
    return tmp_path


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_joined_is_one_line(merge: Run, folder: Path, name: str) -> None:
    command, message = BAD[name]
    before = sorted(folder.iterdir())
    code, out, err = merge(*command.split())
    assert (code, out) == (2, "")
    assert err.startswith("biorrn: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before
    assert (folder / "b.fastq").read_text().startswith("@r1 again")


def test_an_id_twice_is_kept_twice(merge: Run, folder: Path) -> None:
    assert merge("a.fastq", "b.fastq", "-o", "-")[:2] == (0, "@r1\nAC\n+\nII\n@r1 again\nAC\n+\nII\n")
