"""FASTQ and files of nucleotides."""

import gzip
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from biorrn.base.errors import Fault, InputError
from biorrn.nanopore.readers import fast5 as guppy
from biorrn.nanopore.readers.calls import called_reads, fastq_parts, read_calls, read_sequences
from biorrn.sequences.fastq import fastq_records, read_bases
from biorrn.sequences.rows import read_proteins

# what is read -> (id, bases) and qualities
GOOD = {
    "plain": ("@r1 x\nACGT\n+\n!I~5\n@r2\nGG\n+r2\n@+\n", [("r1", "ACGT", "!I~5"), ("r2", "GG", "@+")]),
    "blank lines between": ("\n@r1\nAC\n+\nII\n\n  \n@r2\nG\n+\nI\n\n", [("r1", "AC", "II"), ("r2", "G", "I")]),
    "no last newline": ("@r1\nAC\n+\nII", [("r1", "AC", "II")]),
    "CRLF": ("@r1\r\nAC\r\n+\r\nII\r\n@r2\r\nG\r\n+\r\nI", [("r1", "AC", "II"), ("r2", "G", "I")]),
    "wrapped": ("@r1\nACG\nTA\n+r1\n@II\n+I\n@r2\nG\n+\nI\n", [("r1", "ACGTA", "@II+I"), ("r2", "G", "I")]),
    "an empty read": ("@r1\n\n+\n\n@r2\nG\n+\nI\n", [("r1", "", ""), ("r2", "G", "I")]),
    "an empty read without lines": ("@r1\n+\n@r2\nG\n+\nI\n", [("r1", "", ""), ("r2", "G", "I")]),
}
BAD = {
    "FASTA": (">r1\nACGT\n", "line 1 starts with '>' (that is FASTA); a FASTQ record starts with '@'"),
    "another line": ("@r1\nAC\n+\nII\nr2\n", "line 5 starts with 'r'"),
    "no id": ("@r1\nAC\n+\nII\n@ \nAC\n+\nII\n", "line 5: a header without an id"),
    "no plus": ("@r1\nACGT\n@r2\nACGT\n+\nIIII\n", "record 'r1': line 3 starts with '@'; allowed is '+' or more bases"),
    "a base": ("@r1\nAC\nG7\n+\nII\nII\n", "record 'r1': line 3: base '7' at position 4 is no letter"),
    "prose": ("@r1\nto be, or\nnot to be\n", "record 'r1': line 2: base ' ' at position 3 is no letter"),
    "more qualities": ("@r1\nACGT\n+\nIIIII\n", "record 'r1': has 4 bases and 5 qualities"),
    "fewer qualities": ("@r1\nACGT\n+\nII\n@r2\nAC\n+\nII\n", "record 'r1': has 4 bases and 2 qualities"),
    "wrapped otherwise": ("@r1\nAC\nGT\n+\nIII\nI\n", "record 'r1': has 4 bases and 4 qualities; a wrapped record has"),
    "below !": ("@r1\nACGT\n+\nII I\n", "record 'r1': line 4: quality ' ' is not a letter from '!' to '~'"),
    "control": ("@r1\nACGT\n+\nII\x1fI\n", "record 'r1': line 4: quality '\\x1f' is not"),
    "beyond ~": ("@r1\nACGT\n+\nIIéI\n", "record 'r1': line 4: quality 'é' is not"),
    "cut in the qualities": (
        "@r0\nA\n+\nI\n@r1\nACGT\n+\nII",
        "has 4 bases and 2 qualities (the file is cut off)",
    ),
    "cut before the qualities": ("@r1\nACGT\n+\n", "record 'r1': is cut off after line 3; qualities are missing"),
    "cut before the plus": ("@r1\nACGT\n", "record 'r1': is cut off after line 2; the line '+' is missing"),
    "cut in a wrapped record": ("@r1\nAC\nGT\n+\nII\n", "record 'r1': is cut off after line 5; qualities are missing"),
}


def of_fast5(path: Path) -> list[tuple[str, str]]:
    """Return what the reader of calls inside FAST5 makes of the first record."""
    records = list(fastq_records(path.read_text().splitlines(keepends=True), path))
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        group = "Analyses/Basecall_1D_000/BaseCalled_template"
        file[f"{group}/Fastq"] = np.bytes_(records[0].text.replace("\n", "\r\n").encode())
        call = guppy.call(file, 100)
    assert call is not None
    return [(records[0].id, "".join("NACGT"[code] for code in call.bases))]


READERS: dict[str, Callable[[Path], list[tuple[str, str]]]] = {
    "map, assemble": lambda path: [(read.id, read.bases) for read in called_reads(path)],
    "merge": lambda path: [(record.id, record.bases) for record in fastq_parts(path, lambda path, name: None)],
    "evaluate": lambda path: [(call.id, call.bases) for call in read_calls(path)],
    "bases": lambda path: list(read_bases(path)),
    "labels": lambda path: [
        (name, "".join("NACGT"[code] for code in call.bases)) for name, call in read_sequences(path).items()
    ],
}


@pytest.mark.parametrize("case", GOOD)
def test_all_readers_give_one_answer(case: str, tmp_path: Path) -> None:
    text, expected = GOOD[case]
    path, packed = tmp_path / "reads.fastq", tmp_path / "reads.fastq.gz"
    path.write_bytes(text.encode())
    packed.write_bytes(gzip.compress(text.encode()))
    with open(path) as stream:
        records = list(fastq_records(stream, path))
    assert [(record.id, record.bases, record.letters) for record in records] == expected
    assert all(len(record.quals) == len(record.bases) for record in records)
    assert [record.whole for record in records] == [True] * (len(records) - 1) + [text.endswith("\n")]
    assert list(fastq_records("".join(record.text for record in records).splitlines(True), "")) == [
        type(record)(record.header, record.bases, record.letters) for record in records
    ]
    for read in READERS.values():
        assert read(path) == read(packed) == [(name, bases) for name, bases, _ in expected]
    assert of_fast5(path) == [expected[0][:2]]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", BAD)
def test_all_readers_refuse_alike(case: str, reader: str, tmp_path: Path) -> None:
    text, message = BAD[case]
    if text[0] == ">" and reader in ("bases", "labels"):
        return  # which read FASTA too
    path = tmp_path / "reads.fastq"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        READERS[reader](path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"@r1\nAC\n+\nI \n", "the call in the file is not FASTQ: line 4: quality ' '"),
        (b"@r1\nAC\n+\nII\n@r2\nAC\n+\nII\n", "not one record of FASTQ"),
        (b"", "not one record of FASTQ"),
    ],
)
def test_calls_inside_fast5_are_read_as_strictly(text: bytes, message: str) -> None:
    with pytest.raises(Fault, match=message):
        guppy._fastq(text)


ONE_BAD = (
    "no id",
    "a base",
    "more qualities",
    "fewer qualities",
    "wrapped otherwise",
    "below !",
    "control",
    "beyond ~",
)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_record_is_left_out_and_a_file_that_is_no_fastq_is_not(case: str) -> None:
    good, problems = "@good\nAC\n+\nII\n", list[InputError]()
    text = good + BAD[case][0] + good * (not case.startswith("cut"))
    records = fastq_records(text.splitlines(True), "", problems.append)
    if case in ONE_BAD:
        ids = [record.id for record in records]
        assert ids[0] == ids[-1] == "good"
        assert len(ids) == 2 + (case in ("no id", "fewer qualities"))
        assert [problem.flag for problem in problems] == [
            {"no id": "no_id", "a base": "not_a_base", "below !": "not_a_quality", "control": "not_a_quality",
             "beyond ~": "not_a_quality"}.get(case, "other_qualities")
        ]  # fmt: skip
    else:
        with pytest.raises(InputError):
            list(records)
        assert not problems


def test_qualities_are_what_the_letters_say() -> None:
    [record] = fastq_records(["@r\n", "ACGT\n", "+\n", "!I~5\n"], "")
    assert record.quals.tolist() == [0, 40, 93, 20]
    assert record.quals.dtype == np.uint8


GOOD_NUCLEOTIDES = {
    "fasta": (">a one\nacg\nTT\n>b\nNNU\n", [("a", "ACGTT"), ("b", "NNT")]),
    "fasta without a last line end": (">a\nACG", [("a", "ACG")]),
    "an empty read": (">a\n>b\nA\n", [("a", ""), ("b", "A")]),
    "fastq": ("@a x\nACG\n+\n>@I\n@b\nT\n+b\n@\n", [("a", "ACG"), ("b", "T")]),
}
BAD_NUCLEOTIDES = {
    "nothing": ("", "holds no reads"),
    "neither": ("ACGT\n", "line 1 starts with 'A'"),
    "no id": (">a\nA\n>\nC\n", "line 3: a header without an id"),
    "a letter": (">a\nACXG\n", "record 'a': base 'X' at position 3 is not one of ACGTUN"),
    "FASTQ of another kind": ("@a\nACG\n+\nIII\n>b\nA\n", "a FASTQ record starts with '@'"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", GOOD_NUCLEOTIDES)
def test_good(case: str, packed: bool, tmp_path: Path) -> None:
    text, expected = GOOD_NUCLEOTIDES[case]
    path = tmp_path / "reads"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert list(read_bases(path)) == expected


@pytest.mark.parametrize("case", BAD_NUCLEOTIDES)
def test_bad(case: str, tmp_path: Path) -> None:
    text, message = BAD_NUCLEOTIDES[case]
    path = tmp_path / "reads"
    path.write_text(text)
    with pytest.raises(InputError, match="reads: ") as stopped:
        list(read_bases(path))
    assert message in str(stopped.value)


def test_a_bad_record_among_many_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "reads.fa"
    path.write_text(">a\nACG\n>b\nACXG\n>\nAC\n>c\nTT\n")
    problems: list[InputError] = []
    assert list(read_bases(path, problems.append)) == [("a", "ACG"), ("c", "TT")]
    assert [(problem.record, problem.flag) for problem in problems] == [("b", "not_a_base"), (None, "no_id")]


def test_one_that_is_to_be_tagged_has_a_place(tmp_path: Path) -> None:
    path = tmp_path / "reads.fa"
    path.write_text(">a\nACG\n>b\nACXG\n>c\nTT\n")
    problems: list[InputError] = []
    rows = list(read_proteins(path, alphabet="ACGTN", on_problem=problems.append, keep=True))
    assert [(row.id, row.sequence, row.problem) for row in rows] == [
        ("a", "ACG", ""), ("b", "", "not_a_base"), ("c", "TT", ""),
    ]  # fmt: skip
    with pytest.raises(InputError, match="record 'b': base 'X'"):
        list(read_proteins(path, alphabet="ACGTN"))
