"""Reads on their way in: numbers, choice by id, what an earlier run has done, and the table of ids."""

from pathlib import Path

import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.basecall.intake import Intake, read_ids
from biorrn.nanopore.readers.files import read_all


@pytest.fixture
def folder(root: Path) -> Path:
    """Return a folder in which read ids occur twice: the same reads in several formats."""
    return root / "data" / "simulated_reads"


def ids(folder: Path) -> list[str]:
    return [record.read_id for record in read_all([folder])]


def fail(problem: InputError) -> None:
    raise problem


def test_all_reads_in_order_with_their_numbers(folder: Path) -> None:
    intake = Intake([folder])
    taken = list(intake.reads(fail))
    assert [record.read_id for record in taken] == ids(folder)
    assert [record.number for record in taken] == list(range(len(taken)))
    assert intake.expected() == sum(len(record.raw) for record in taken)


def test_chosen_ids_and_those_that_are_not_there(folder: Path) -> None:
    wanted = ids(folder)[3]
    intake = Intake([folder], {wanted, "nobody", "no-one"})
    assert {record.read_id for record in intake.reads(fail)} == {wanted}
    assert intake.missing() == ["no-one", "nobody"]


def test_numbers_do_not_depend_on_what_is_done(folder: Path) -> None:
    every = [record.number for record in Intake([folder]).reads(fail)]
    done = set(every[1:5])
    rest = Intake([folder], done=done)
    taken = list(rest.reads(fail))
    assert [record.number for record in taken] == [number for number in every if number not in done]
    assert rest.expected() == sum(len(record.raw) for record in taken)


@pytest.mark.parametrize("done", [set(), {0, 1}, {0, 1, 2}])
def test_a_limit_counts_what_is_done(folder: Path, done: set[int]) -> None:
    intake = Intake([folder], limit=3, done=done)
    assert [record.number for record in intake.reads(fail)] == sorted({0, 1, 2} - done)
    assert intake.missing() == []


def test_a_read_that_cannot_be_used_has_a_number_too(tmp_path: Path, root: Path) -> None:
    text = (
        "#slow5_version\t0.2.0\n#num_read_groups\t1\n#char*\tuint32_t\tdouble\tdouble\tdouble\tdouble\tuint64_t\tint16_t*\n"
        "#read_id\tread_group\tdigitisation\toffset\trange\tsampling_rate\tlen_raw_signal\traw_signal\n"
    )
    text += "".join(
        f"{name}\t0\t8192\t{offset}\t1400\t4000\t3\t1,2,3\n" for name, offset in (("a", 1), ("b", "nan"), ("c", 2))
    )
    (tmp_path / "r.slow5").write_text(text)
    intake = Intake([tmp_path])
    problems: list[tuple[int, str | None]] = []
    taken = list(intake.reads(lambda problem: problems.append((intake.count, problem.record))))
    assert [(record.read_id, record.number) for record in taken] == [("a", 0), ("c", 2)]
    assert problems == [(1, "b")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("r1\nr2\n\n r3 \r\n", {"r1", "r2", "r3"}),
        ("r1", {"r1"}),
        ("filename\tread_id\tn\na.pod5\tr1\t5\nb.pod5\tr2\t6\n", {"r1", "r2"}),
        ("read_id\nr1\nr1\n", {"r1"}),
    ],
)
def test_ids_of_a_list_or_a_table(tmp_path: Path, text: str, found: set[str]) -> None:
    (tmp_path / "ids").write_text(text)
    assert read_ids(tmp_path / "ids") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no read id"),
        ("read_id\tn\n", "holds no read id"),
        ("r1\nr2 r3\n", "line 2: found 'r2 r3'; allowed is one id a line"),
        ("n\tread_id\n1\n", "line 2 has no cell in the column read_id"),
    ],
)
def test_tables_of_ids_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ids").write_text(text)
    with pytest.raises(InputError, match=message):
        read_ids(tmp_path / "ids")
