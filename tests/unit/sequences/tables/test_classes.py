"""Columns of classes: which columns are taken for classes, their order, missing cells, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.tables.classes import labels_of
from biorrn.sequences.tables.reader import Reading
from biorrn.sequences.tables.targets import read_targets

SEQUENCE = "MKTAYIAKQR"


def table(folder: Path, cells: list[str]) -> Path:
    path = folder / "x.csv"
    path.write_text("id,sequence,y\n" + "".join(f'p{n},{SEQUENCE},"{cell}"\n' for n, cell in enumerate(cells)))
    return path


def read(path: Path, **settings: object) -> tuple[list[float], Reading]:
    reading = Reading(**settings)  # type: ignore[arg-type]
    return [row.targets[0] for row in read_targets(path, ["y"], "id", "sequence", reading=reading)], reading


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["b", "a", "b", "a"], ["a", "b"]),
        (["1.1.1.1", "2.7.1.1", "1.1.1.1", "2.7.1.1", "3", "3"], ["1.1.1.1", "2.7.1.1", "3"]),
        (["membrane", "NA", "membrane", "cytosol", "", "cytosol"], ["cytosol", "membrane"]),
        (["0", "1"] * 20, None),  # numbers, unless asked
        (["0.5", "1.5", "2.5"], None),
    ],
)
def test_what_is_taken_for_classes(cells: list[str], names: list[str] | None, tmp_path: Path) -> None:
    values, reading = read(table(tmp_path, cells), type="auto")
    assert reading.classes("y") == (names or [])
    if names:
        missing = ("", "NA")
        found = [None if np.isnan(value) else names[int(value)] for value in values]
        assert found == [None if cell in missing else cell for cell in cells]


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["0", "1"] * 20, ["0", "1"]),
        (["2", "10", "1"] * 20, ["1", "2", "10"]),  # by size
        ([str(n) for n in range(11)] * 20, []),  # too many
        (["1", "2"] * 5, []),  # too few rows
        (["0.5", "1"] * 20, []),
    ],
)
def test_few_whole_numbers(cells: list[str], classes: list[str], tmp_path: Path) -> None:
    values, reading = read(table(tmp_path, cells), type="auto", whole=True)
    assert reading.classes("y") == classes
    told = [line for line in reading.lines() if "--target-type number" in line]
    assert bool(told) == bool(classes)
    if classes:
        assert [classes[int(value)] for value in values] == cells


@pytest.mark.parametrize("cells", [["x1", "x2", "x3", "x4"], ["a", "b", "b", "c", "d"]])
def test_words_that_hardly_repeat_are_names(cells: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cells are no numbers"):
        read(table(tmp_path, cells), type="auto")


@pytest.mark.parametrize("cells", [["x;y"], ["x;y", "z|x"]])
def test_cells_of_several_words_are_sets_however_few(cells: list[str], tmp_path: Path) -> None:
    values, reading = read(table(tmp_path, cells), type="auto")
    assert reading.classes("y") == ["x;y", "x;z"][: len(cells)]
    assert values == [0.0, 1.0][: len(cells)]


def test_measurements_in_one_cell_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cells are no numbers"):
        read(table(tmp_path, ["3.1;3.2", "4.5;4.6"]), type="auto")


def test_numbers_are_classes_when_asked(tmp_path: Path) -> None:
    values, reading = read(table(tmp_path, ["3", "-1", "3", "-1"]), type="class")
    assert reading.classes("y") == ["-1", "3"]
    assert values == [1.0, 0.0, 1.0, 0.0]
    assert reading.target("y") == {"name": "y", "unit": "", "classes": ["-1", "3"]}


def test_a_class_is_no_number_when_numbers_are_asked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cells are no numbers"):
        read(table(tmp_path, ["a", "b", "a", "b"]), type="number")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["a", "a"], "column 'y': found 1 different classes ('a'); allowed is 2 to 5,000"),
        (["a;a", "a", "{}"], "column 'y': found 1 different classes ('a'); allowed is 2 to 5,000"),
    ],
)
def test_what_cannot_be_classes(cells: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(table(tmp_path, cells), type="class")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "message"), [(["a", "a"], "has one class alone, 'a', and"), (["{}", "{}"], "has no class, and")]
)
def test_one_class_alone_is_said(cells: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(table(tmp_path, cells), type="auto")


def test_unknown_type(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--target-type: found 'kind'; allowed is auto or number or class or set"):
        read(table(tmp_path, ["a", "b"]), type="kind")


@pytest.mark.parametrize(
    ("cells", "sets"),
    [
        (["a;b", "b ; a", "a", "b"], ["a;b", "a;b", "a", "b"]),  # order and spaces do not matter
        (["a|b", "a;a;", "b", "a"], ["a;b", "a", "b", "a"]),
        (["a,b", "a", "b", "b, a"], ["a;b", "a", "b", "a;b"]),  # the parts stand alone too
        (["kinase, type 1", "globin", "kinase, type 1", "globin"], None),  # a name with a comma
        (["a,b;c", "c", "a,b", "c"], ["a,b;c", "c", "a,b", "c"]),  # where ; separates, commas do not
        (["a", "{}", "b", "a", "b"], ["a", "{}", "b", "a", "b"]),
        (["a", "", "a;b", "NA", "b"], ["a", None, "a;b", None, "b"]),  # missing is not the set of none
        (["{a,b}", "{b}", "{ }", "{a|b}", "a"], ["a;b", "b", "{}", "a;b", "a"]),
        (["a", "b", "a", "b"], None),
    ],
)
def test_sets_of_classes(cells: list[str], sets: list[str | None] | None, tmp_path: Path) -> None:
    values, reading = read(table(tmp_path, cells), type="auto")
    assert bool(reading.target("y").get("sets")) == (sets is not None)
    if sets:
        names = reading.classes("y")
        assert [None if np.isnan(value) else names[int(value)] for value in values] == sets
        assert any("sets of" in line for line in reading.lines())


def test_one_class_a_row_is_a_set_when_asked_and_commas_separate_then(tmp_path: Path) -> None:
    values, reading = read(table(tmp_path, ["x,y", "z", "z"]), type="set")
    assert reading.target("y") == {"name": "y", "unit": "", "classes": ["x;y", "z"], "sets": True}
    assert values == [0.0, 1.0, 1.0]


def test_labels_of_sets_and_what_is_forgotten(tmp_path: Path) -> None:
    _, reading = read(table(tmp_path, ["10;9", "9", "{}", "10"]), type="class")
    column = reading.conventions["y"]
    assert labels_of(column.names)[0] == ["9", "10"]  # type: ignore[union-attr]
    column.forget({"9"})  # type: ignore[union-attr]
    assert sorted(labels_of(column.names)[0]) == ["10"]  # type: ignore[union-attr]
    assert len(column.names) == 4  # type: ignore[union-attr]


def test_classes_that_differ_in_case_alone_are_told(tmp_path: Path) -> None:
    _, reading = read(table(tmp_path, ["Yes", "yes ", "no", "no"] * 3), type="auto")
    assert reading.classes("y") == ["Yes", "no", "yes"]
    (line,) = reading.warnings
    assert line.startswith("column 'y': Yes, yes differ in upper and lower case alone")
    assert not read(table(tmp_path, ["yes", "no"] * 6), type="auto")[1].warnings
