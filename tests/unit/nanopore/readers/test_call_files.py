"""Called reads from FASTQ, SAM, BAM and CRAM: the same reads from each, and what is refused."""

from pathlib import Path

import numpy as np
import pysam
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.readers.calls import PACKED, BaseCall, has_moves, read_calls

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
