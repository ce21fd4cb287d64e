"""Baselines of classes: each is repeatable, predicts known classes, and k-mers find families."""

from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import ConfigError
from biorrn.proteins.classes.baselines import BASELINES, SETS, ClassProblem, choose, compare, kmers
from biorrn.proteins.predictions import Proteins, read_prepared
from biorrn.sequences.alphabets import N_TOKENS, tokens


def of(sequences: list[str]) -> Proteins:
    parts = [tokens(one) for one in sequences]
    empty = np.zeros((len(parts), 1))
    lengths = np.array([len(part) for part in parts], np.int64)
    return Proteins(np.arange(len(parts)).astype(object), np.concatenate(parts), lengths, empty, empty[:, 0] + 1)


@pytest.fixture
def problem(tiny_classes: Path) -> ClassProblem:
    data = read_prepared(tiny_classes)
    train, test = (data.rows.select(data.split == code) for code in (0, 2))
    return ClassProblem(train, train.targets[:, 0].astype(np.int64), test)


def test_words_of_three_residues_within_each_row() -> None:
    found = kmers(of(["ACDACD", "AC", "CDA"])).toarray()
    assert found.sum(axis=1).tolist() == [4, 0, 1]
    first, second, third = tokens("ACD").astype(int).tolist()
    assert found[0, (first * N_TOKENS + second) * N_TOKENS + third] == 2
    assert found.max() == 2


@pytest.mark.parametrize("name", BASELINES)
def test_repeatable_and_of_known_classes(name: str, problem: ClassProblem) -> None:
    first = BASELINES[name](problem)
    second = BASELINES[name](ClassProblem(problem.train, problem.classes, problem.rows))
    assert first.predicted.tolist() == second.predicted.tolist()
    assert set(first.predicted.tolist()) <= set(problem.classes.tolist())
    assert len(first.predicted) == len(problem.rows)


@pytest.mark.parametrize("name", BASELINES)
def test_one_training_row_and_rows_without_a_word(name: str, problem: ClassProblem) -> None:
    small = ClassProblem(of(["ACDEFG"]), np.array([2]), of(["AC", "GGGG", "ACDEFG"]))
    assert BASELINES[name](small).predicted.tolist() == [2, 2, 2]


def test_words_find_families_and_the_majority_does_not(problem: ClassProblem) -> None:
    true = problem.rows.targets[:, 0].astype(np.int64)
    found = compare(problem, true, true, SETS["all"])
    assert list(found)[-1] == "majority"
    for name in ("kmer", "neighbour"):
        assert found[name]["metrics"]["accuracy"]["value"] > 0.8
    assert found["majority"]["metrics"]["accuracy"]["value"] == pytest.approx(1 / 3, abs=0.05)
    assert found["majority"]["beats"]


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'kmer'"):
        choose("kmers")
