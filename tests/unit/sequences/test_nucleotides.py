"""Called reads as letters."""

import gzip
from pathlib import Path

import pytest

from biorrn.base.errors import InputError
from biorrn.sequences.fastq import read_bases
from biorrn.sequences.rows import read_proteins

GOOD = {
    "fasta": (">a one\nacg\nTT\n>b\nNNU\n", [("a", "ACGTT"), ("b", "NNT")]),
    "fasta without a last line end": (">a\nACG", [("a", "ACG")]),
    "an empty read": (">a\n>b\nA\n", [("a", ""), ("b", "A")]),
    "fastq": ("@a x\nACG\n+\n>@I\n@b\nT\n+b\n@\n", [("a", "ACG"), ("b", "T")]),
}
BAD = {
    "nothing": ("", "holds no reads"),
    "neither": ("ACGT\n", "line 1 starts with 'A'"),
    "no id": (">a\nA\n>\nC\n", "line 3: a header without an id"),
    "a letter": (">a\nACXG\n", "record 'a': base 'X' at position 3 is not one of ACGTUN"),
    "FASTQ of another kind": ("@a\nACG\n+\nIII\n>b\nA\n", "a FASTQ record starts with '@'"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", GOOD)
def test_good(case: str, packed: bool, tmp_path: Path) -> None:
    text, expected = GOOD[case]
    path = tmp_path / "reads"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert list(read_bases(path)) == expected


@pytest.mark.parametrize("case", BAD)
def test_bad(case: str, tmp_path: Path) -> None:
    text, message = BAD[case]
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
