"""Predictions meet the prepared rows by id, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError, InputError
from biorrn.proteins.evaluate import evaluate_regression
from biorrn.proteins.predictions import join, read_prepared
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prediction_files import in_split
from biorrn.sequences.prepared.files import protein_writer

Table = Callable[[str], Path]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    path = tmp_path / "set.h5"
    with protein_writer(path, [{"name": "tm", "unit": "°C"}, {"name": "yield", "unit": ""}]) as writer:
        for number in range(12):
            values = [float(number), np.nan if number == 9 else 1.0 * (number % 5)]
            writer.add(f"p{number}", tokens("ACD" + "A" * number), values, 1.0, 0 if number < 6 else 1)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def write(text: str) -> Path:
        path = tmp_path / "predictions.tsv"
        path.write_text(text)
        return path

    return write


def rows(order: list[int], flags: str = ".") -> str:
    head = "id\tlength\ttm\tyield\tflags\n"
    return head + "".join(f"p{n}\t{3 + n}\t{n + 0.5}\t{n % 5}\t{flags}\n" for n in order)


def valid_rows(prepared: Path, text: Path) -> np.ndarray:
    data = read_prepared(prepared)
    return join(text, data.rows.select(in_split(data, "valid", prepared)), data.targets, prepared).values


def test_joined_by_id_whatever_the_order(prepared: Path, table: Table) -> None:
    forward = valid_rows(prepared, table(rows(list(range(12)))))
    assert forward[:, 0].tolist() == [6.5, 7.5, 8.5, 9.5, 10.5, 11.5]
    assert np.array_equal(valid_rows(prepared, table(rows(list(range(11, -1, -1))))), forward)


def test_flags_are_counted_by_row(prepared: Path, table: Table) -> None:
    data = read_prepared(prepared)
    mask = in_split(data, "valid", prepared)
    found = join(table(rows(list(range(12)), "empty,unknown_residues")), data.rows.select(mask), data.targets, prepared)
    assert found.flags == {"empty": 6, "unknown_residues": 6}
    assert join(table(rows(list(range(12)))), data.rows.select(mask), data.targets, prepared).flags == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows([6, 7, 8, 9, 10]), "record 'p11': no prediction for 1 of 6 rows of set.h5"),
        (rows([]), "the table has no rows"),
        ("", "the table is empty"),
        (rows(list(range(12))).replace("\tyield", "\tyeild"), "column 'yield' is missing; did you mean 'yeild'?"),
        (rows(list(range(12))).replace("9.5", "warm"), "record 'p9': column 'tm': found 'warm'"),
        (rows(list(range(12))).replace("9.5", "nan"), "record 'p9': column 'tm': found 'nan'"),
        (rows([*range(12)]) + "p7\t10\t0\t0\t.\n", "record 'p7': has two different predictions"),
        (rows([*range(12)]).replace("p8\t11", "p8\t12"), "record 'p8': found length 12; the prepared row has 11"),
        (rows(list(range(12))) + "p6\n", "row 13 has 1 cells; the header names 5 columns; it is line 14"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(prepared: Path, table: Table, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        valid_rows(prepared, table(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_and_empty_splits(prepared: Path) -> None:
    data = read_prepared(prepared)
    with pytest.raises(ConfigError, match="'holdout'; allowed is one of train, valid, test, all"):
        in_split(data, "holdout", prepared)
    with pytest.raises(InputError, match="no rows in split 'test'; it has train, valid"):
        in_split(data, "test", prepared)
    assert in_split(data, "all", prepared).sum() == 12


def test_evaluation_of_two_targets(prepared: Path, table: Table) -> None:
    content, true, found = evaluate_regression(table(rows(list(range(12)))), prepared, name="x")
    assert true.shape == found.values.shape == (6, 2)
    assert content["metrics"]["tm"]["mae"]["value"] == pytest.approx(0.5)
    assert content["metrics"]["tm"]["spearman"]["value"] == pytest.approx(1.0)
    assert content["metrics"]["yield"]["mae"] == {"n": 5, "value": 0.0, "low": 0.0, "high": 0.0}  # p9 has no yield
    assert set(content["baselines"]) == {"tm", "yield"}
    assert [caution.partition(" (")[0] for caution in content["cautions"]] == [
        "Split 'valid' holds the rows that chose the model"
    ]


def test_training_rows_are_called_so(prepared: Path, table: Table) -> None:
    content = evaluate_regression(
        table(rows(list(range(12)))), prepared, name="x", split="train", baselines="none", note="made up"
    )[0]
    assert "trained on" in content["cautions"][0]
    assert content["note"] == "made up"
    assert content["baselines"] == {}
