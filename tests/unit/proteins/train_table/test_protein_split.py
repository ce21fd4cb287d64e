"""Splits of a user's own table: whole groups, every part filled, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.proteins.train_table.table import (
    FRACTIONS,
    Columns,
    choose_split,
    fold_splits,
    folds,
    look,
    read_table,
    shares,
)
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.similarity import families

GROUPS = st.lists(st.integers(0, 12), min_size=6, max_size=60).filter(lambda entry: len(set(entry)) >= 4)


@given(GROUPS, st.integers(0, 5))
def test_groups_are_whole_and_every_part_has_rows(numbers: list[int], seed: int) -> None:
    groups = np.array(numbers)
    codes = shares(groups, FRACTIONS, seed)
    assert set(codes.tolist()) == {0, 1, 2}
    assert all(len(set(codes[groups == number].tolist())) == 1 for number in set(numbers))
    assert (codes == shares(groups, FRACTIONS, seed)).all()


@given(GROUPS, st.integers(2, 4), st.integers(0, 3))
def test_every_row_is_tested_in_one_fold(numbers: list[int], number: int, seed: int) -> None:
    groups = np.array(numbers)
    tested = np.zeros(len(groups), int)
    if len(np.unique(groups)) < number or min(len(np.unique(groups[folds(groups, number, seed) != k]))
                                              for k in range(number)) < 2:  # fmt: skip
        with pytest.raises(ConfigError, match="--folds"):
            list(fold_splits(groups, number, seed))
        return
    for codes in fold_splits(groups, number, seed):
        tested += codes == 2
        assert set(codes.tolist()) == {0, 1, 2}
        for code in range(3):
            assert not set(groups[codes == code]) & set(groups[codes != code])
    assert (tested == 1).all()


def test_parts_are_near_what_is_asked() -> None:
    codes = shares(np.arange(1000), FRACTIONS, 0)
    assert np.bincount(codes).tolist() == [800, 100, 100]
    assert np.bincount(folds(np.arange(100), 5, 0)).tolist() == [20] * 5


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ConfigError, match="found 2 groups; expected at least 3"):
        shares(np.array([0, 0, 1, 1]), FRACTIONS, 0)
    with pytest.raises(ConfigError, match="--folds: found 5; allowed is 2 to 3"):
        folds(np.array([0, 1, 2]), 5, 0)


def random_proteins(number: int, length: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)) for _ in range(number)]


def test_families_hold_relatives_and_no_strangers() -> None:
    parents = random_proteins(8, 150)
    rng = np.random.default_rng(1)
    members = []
    for parent in parents:  # 75 % identity
        letters = np.array(list(parent))
        letters[rng.permutation(150)[:37]] = "G"
        members.append("".join(letters))
    coded = [tokens(text) for text in [*parents, *members, parents[0]]]
    offsets = np.concatenate([[0], np.cumsum([len(entry) for entry in coded])])
    found = families(np.concatenate(coded), offsets, 0.05)
    assert (found[:8] == found[8:16]).all()
    assert len(set(found.tolist())) == 8
    assert found[16] == found[0]


@pytest.mark.parametrize("length", [1, 4, 5])
def test_short_proteins_have_families_of_their_own(length: int) -> None:
    coded = [tokens("ACDEF"[:length]), tokens("ACDEF"[:length]), tokens("WYKRH"[:length])]
    offsets = np.concatenate([[0], np.cumsum([len(entry) for entry in coded])])
    found = families(np.concatenate(coded), offsets, 0.05)
    assert found[0] == found[1] != found[2]


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
    texts = random_proteins(40, 60)
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
