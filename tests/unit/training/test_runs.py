"""Run folders, whole, unfinished and wrong."""

from pathlib import Path

import pytest

from biorrn.base.errors import InputError
from biorrn.training.runs import read_history, read_run


def test_an_unfinished_run_has_a_history_and_no_provenance(tmp_path: Path) -> None:
    (tmp_path / "history.tsv").write_text("epoch\ttrain_loss\n0\t1.5\n1\tnan\n")
    run = read_run(tmp_path)
    assert run.history["train_loss"][0] == 1.5
    assert run.history["epoch"].tolist() == [0, 1]
    assert run.provenance == {}
    assert run.recipe == ""


def test_a_history_without_epochs(tmp_path: Path) -> None:
    (tmp_path / "history.tsv").write_text("epoch\ttrain_loss\n")
    assert read_history(tmp_path / "history.tsv")["train_loss"].shape == (0,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 'epoch' is missing"),
        ("loss\n1\n", "column 'epoch' is missing"),
        ("epoch\tloss\n0\n", "line 2 has 1 cells; the first line has 2"),
        ("epoch\tloss\n0\tlow\n", "line 2: could not convert string to float: 'low'"),
    ],
)
def test_bad_history(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "history.tsv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_run(tmp_path)
    assert message in str(caught.value)


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither history.tsv nor provenance.json"):
        read_run(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        read_run(tmp_path / "missing")
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(InputError, match="not JSON at line 1"):
        read_run(tmp_path)


def test_warnings_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "history.tsv").write_text("epoch\ttrain_loss\n0\t1.5\n")
    assert read_run(tmp_path).warnings == []
    path = tmp_path / "warnings.tsv"
    path.write_text("epoch\tkind\tmessage\n1\texploding\ttoo fast: try training.lr 0.1\n")
    assert read_run(tmp_path).warnings == [("1", "too fast: try training.lr 0.1")]
    path.write_text("epoch\tkind\tmessage\n1\texploding\n")
    with pytest.raises(InputError, match=r"line 2 has 2 cells; allowed are 3"):
        read_run(tmp_path)
