"""FASTA of labels, archives of it, and BED."""

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.sequences.alphabets import STANDARD, sequence
from biorrn.sequences.rows import TableOptions
from biorrn.sequences.tables.reader import Reading
from biorrn.tagging.readers import (
    is_archive,
    members,
    one_a_label,
    read_letters,
    read_segments,
    rows_of_mutations,
)


def written(folder: Path, text: str, name: str = "l.fasta") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_letters_are_kept_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, ">a SET=train  VALIDATION=False\nHH \n EC\n>b\n\n>c\n  \n")
    found = list(read_letters(path))
    assert [(one.id, one.letters, one.description) for one in found] == [
        ("a", "HH  EC", "SET=train VALIDATION=False"),
        ("b", "", ""),
        ("c", "  ", ""),
    ]


def test_an_archive_is_read_as_its_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "splits"
    folder.mkdir()
    path = written(folder, ">a\nHEC\n", "sampled.fasta")
    archive = tmp_path / "splits.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.write(path, "splits/sampled.fasta")
        opened.writestr("__MACOSX/sampled.fasta", "odd")
    assert is_archive(folder)
    assert is_archive(archive)
    assert members(folder) == [str(path)]
    assert members(archive) == [f"{archive}:splits/sampled.fasta"]
    assert list(read_letters(members(archive)[0])) == list(read_letters(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("HHH\n>a\n", "before the first header"),
        (">\nHHH\n", "a header without an id"),
        (">a\nHH\n>a\nEE\n", "record 'a': the id is given twice, on lines 1 and 3"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=problem):
        list(read_letters(path))


@pytest.mark.parametrize("damage", ["cut", "no archive", "no member", "not text"])
def test_a_damaged_archive_is_one_error(tmp_path: Path, damage: str) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("x.fasta", b">a\n\x00\xff\xfe\n" if damage == "not text" else b">a\nHHH\n")
    if damage == "cut":
        archive.write_bytes(archive.read_bytes()[:-30])
    if damage == "no archive":
        archive.write_text("text")
    with pytest.raises(InputError, match=r"a\.zip"):
        list(read_letters(f"{archive}:{'y.fasta' if damage == 'no member' else 'x.fasta'}"))


def test_nothing_of_a_labelled_sequence_is_left_out() -> None:
    assert one_a_label(" mkv\nu") == "MKVX"


def test_bed(tmp_path: Path) -> None:
    path = written(tmp_path, "#c\ntrack x\nchr1\t10\t20\tb\t0\t+\n\nchr1 0 5 a\nchr2\t0\t1\ta\n", "s.bed")
    found = read_segments(path)
    assert [(one.start, one.end, one.name, one.line) for one in found["chr1"]] == [(0, 5, "a", 5), (10, 20, "b", 3)]
    assert list(found) == ["chr1", "chr2"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no segment"),
        ("chr1\t1\t2\n", "line 1: found 3 columns"),
        ("chr1\t5\t5\ta\n", "line 1: found the span 5 to 5"),
        ("chr1\t-1\t5\ta\n", "line 1: found the span -1 to 5"),
        ("chr1\tx\t5\ta\n", "line 1: found the span x to 5"),
    ],
)
def test_bed_that_is_none(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_segments(written(tmp_path, text, "s.bed"))


def test_mutants_become_a_row_a_wild_type(tmp_path: Path) -> None:
    table = tmp_path / "mutants.csv"
    table.write_text(
        "wt,mutation,ddg,split\nMKV,K2A,-1,train\nMKV,K2A,-3,train\nMKV,V3L,0.5,train\nMKV,M1A:K2C,2,train\n"
        "ACD,C2W,1.5,valid\nACD,C2del,1,valid\nACD,D3X,1,valid\n"
    )
    counts: Counter[str] = Counter()
    options = TableOptions("sequence", None, None, "wt", 0)
    reading = Reading()
    one, other = rows_of_mutations(table, "ddg", options, counts, "split", reading)
    assert (sequence(one.tokens), sequence(other.tokens)) == ("MKV", "ACD")
    assert (one.split_text, other.split_text) == ("train", "valid")
    assert one.tags.shape == (3, 20)
    known = np.argwhere(np.isfinite(one.tags))
    found = {(int(place), STANDARD[residue]): one.tags[place, residue] for place, residue in known}
    assert found == {(1, "A"): -2, (2, "L"): 0.5}  # the mean of two measurements; two mutations at once are no effect
    assert np.argwhere(np.isfinite(other.tags)).tolist() == [[1, STANDARD.index("W")]]
    assert sum(counts.values()) == 3
    assert "D3X" in str(reading.left_out[0])
    with pytest.raises(InputError, match="D3X"):
        list(rows_of_mutations(table, "ddg", options, counts, "split"))


def test_the_mutants_of_a_protein_have_one_split(tmp_path: Path) -> None:
    table = tmp_path / "mutants.csv"
    table.write_text("wt,mutation,ddg,split\nMKV,K2A,-1,train\nMKV,K2C,-3,valid\n")
    with pytest.raises(InputError, match="'valid' and 'train'; the mutants of a protein have one"):
        list(rows_of_mutations(table, "ddg", TableOptions("sequence", None, None, "wt", 0), Counter(), "split"))
