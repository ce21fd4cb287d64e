"""The split of a user's table fits the kind of data, or what is asked for."""

from pathlib import Path

import numpy as np
import pytest

from biorrn.proteins.train_table.partition import choose_split, train_every_class
from biorrn.proteins.train_table.table import Columns, look, read_table
from biorrn.sequences.alphabets import STANDARD


@pytest.mark.parametrize(
    ("extra", "asked", "how"),
    [
        ({}, None, "whole families"),
        ({}, "random:0.5,0.25,0.25", "at random"),
        ({}, "cluster:0.5", "clusters of 0.5 identity"),
        ({"groups": "family"}, None, "whole groups"),
        ({}, "column:set", "column 'set'"),
    ],
)
def test_the_split_fits_the_data_or_the_wish(tmp_path: Path, extra: dict, asked: str | None, how: str) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(STANDARD), 60)) for _ in range(40)]
    rows = [f"p{i},{text},{i},f{i % 5},{'test' if i > 30 else 'train'}" for i, text in enumerate(texts)]
    column = "set" if asked == "column:set" else "id,"
    (tmp_path / "t.csv").write_text(
        "\n".join([f"id,sequence,y,family,{'set' if column == 'set' else 'which'}", *rows]) + "\n"
    )
    columns = Columns(str(tmp_path / "t.csv"), ("y",), split="set" if column == "set" else None, **extra)
    read = read_table(columns)
    split = choose_split(read, look(read, ("y",)), asked)
    assert how in split.how
    assert set(split.codes.tolist()) == {0, 1, 2}
    assert split.held_out == "test"
    if how == "column 'set'":
        assert (split.codes == 2).tolist() == [i > 30 for i in range(40)]


def test_a_class_without_training_rows_is_moved_there() -> None:
    codes, groups = np.array([0, 0, 1, 2], np.uint8), np.arange(4)
    members = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], bool)
    assert train_every_class(codes, groups, members) == 1
    assert codes.tolist() == [0, 0, 1, 0]
