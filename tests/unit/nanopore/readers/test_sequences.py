"""FASTQ and FASTA are read strictly: what is odd is named, not guessed."""

import gzip
from pathlib import Path

import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.readers.calls import read_calls
from biorrn.sequences.fastq import reference_lengths

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
