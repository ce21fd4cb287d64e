"""Baselines of classes: each is repeatable, predicts known classes, and k-mers find families."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.proteins.classes.baselines import BASELINES, EMBEDDED, ClassProblem, choose, compare, kmers
from biorrn.proteins.predictions import Proteins, read_prepared
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import N_TOKENS, tokens


def of(sequences: list[str]) -> Proteins:
    parts = [tokens(one) for one in sequences]
    empty = np.zeros((len(parts), 1))
    lengths = np.array([len(part) for part in parts], np.int64)
    return Proteins(np.arange(len(parts)).astype(object), np.concatenate(parts), lengths, empty, empty[:, 0] + 1)


class Composition:
    """A language model whose embedding is the share of each residue."""

    width, model = 22, "composition"

    def vectors(self, rows: Sequence[np.ndarray], mean: bool) -> list[np.ndarray]:
        return [np.bincount(row, minlength=22)[:22] / max(1, len(row)) for row in rows]


@pytest.fixture(autouse=True)
def opened() -> Iterator[None]:
    embeddings.use_live(Composition())
    yield
    embeddings.release()


READS = (22, "composition")


@pytest.fixture
def problem(tiny_classes: Path) -> ClassProblem:
    data = read_prepared(tiny_classes)
    train, test = (data.rows.select(data.split == code) for code in (0, 2))
    return ClassProblem(train, train.targets[:, 0].astype(np.int64), test, reads=READS)


def test_words_of_three_residues_within_each_row() -> None:
    found = kmers(of(["ACDACD", "AC", "CDA"])).toarray()
    assert found.sum(axis=1).tolist() == [4, 0, 1]
    first, second, third = tokens("ACD").astype(int).tolist()
    assert found[0, (first * N_TOKENS + second) * N_TOKENS + third] == 2
    assert found.max() == 2


@pytest.mark.parametrize("name", BASELINES)
def test_repeatable_and_of_known_classes(name: str, problem: ClassProblem) -> None:
    first = BASELINES[name](problem)
    second = BASELINES[name](replace(problem))
    assert first.predicted.tolist() == second.predicted.tolist()
    assert set(first.predicted.tolist()) <= set(problem.classes.tolist())
    assert len(first.predicted) == len(problem.rows)


@pytest.mark.parametrize("name", BASELINES)
def test_one_training_row_and_rows_without_a_word(name: str, problem: ClassProblem) -> None:
    small = ClassProblem(of(["ACDEFG"]), np.array([2]), of(["AC", "GGGG", "ACDEFG"]), reads=READS)
    assert BASELINES[name](small).predicted.tolist() == [2, 2, 2]


def test_words_find_families_and_the_majority_does_not(problem: ClassProblem) -> None:
    true = problem.rows.targets[:, 0].astype(np.int64)
    found = compare(problem, true, true, choose("all"))
    assert list(found)[-1] == "majority"
    for name in ("kmer", "neighbour"):
        assert found[name]["metrics"]["accuracy"]["value"] > 0.8
    assert found["majority"]["metrics"]["accuracy"]["value"] == pytest.approx(1 / 3, abs=0.05)
    assert found["majority"]["beats"]


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'kmer'"):
        choose("kmers")


def test_those_on_embeddings_need_them(problem: ClassProblem) -> None:
    assert not set(choose("all")) & set(EMBEDDED)
    assert set(choose("all", embedded=True)) == set(BASELINES)
    with pytest.raises(ConfigError, match="--baselines plm_logistic: reads embeddings; give their file with --embed"):
        choose("plm_logistic,kmer")
    with pytest.raises(BiorrnError, match="--embeddings"):
        BASELINES["plm_logistic"](replace(problem, reads=None))


def test_embeddings_that_tell_the_class_find_it() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 120)
    rows = of(["".join(rng.choice(list("ACDEFGHIKL" + "WYV"[k] * 6), 40)) for k in classes])
    mask = np.arange(120) < 80
    problem = ClassProblem(rows.select(mask), classes[mask], rows.select(~mask), reads=READS)
    for name in EMBEDDED:
        assert (BASELINES[name](problem).predicted == classes[~mask]).mean() > 0.9


@pytest.fixture
def several() -> tuple[ClassProblem, np.ndarray]:
    """Return a problem of sets, and the true sets of its rows."""
    rng, motifs = np.random.default_rng(0), ["WWHWC", "CPPCW", "HKHKH"]
    true = rng.random((150, 3)) < 0.4
    spaces = ["".join(rng.choice(list("ADEGILNQST"), 6)) for _ in range(150)]
    told = ["".join(motif for motif, own in zip(motifs, row, strict=True) if own) for row in true]
    texts = [space + own for space, own in zip(spaces, told, strict=True)]
    rows, mask = of(texts), np.arange(150) < 100
    return ClassProblem(rows.select(mask), true[mask], rows.select(~mask), reads=READS), true[~mask]


@pytest.mark.parametrize("name", BASELINES)
def test_of_sets_there_are_calls_and_probabilities(name: str, several: tuple[ClassProblem, np.ndarray]) -> None:
    problem, true = several
    called, sure = BASELINES[name](problem).predicted
    assert called.shape == sure.shape == true.shape
    assert ((sure >= 0) & (sure <= 1)).all()
    assert set(np.unique(called)) <= {0, 1}
    if not name.endswith("neighbour"):  # which call what the nearest row has, however far it is
        assert sure[called > 0].min(initial=1.0) >= sure[called == 0].max(initial=0.0)


def test_sets_are_compared_by_f_max(several: tuple[ClassProblem, np.ndarray]) -> None:
    problem, true = several
    found = compare(problem, true, (true, true.astype(float)), choose("all"))
    assert list(found)[-1] == "majority"
    assert found["kmer"]["metrics"]["f_max"]["value"] > 0.8
    assert found["majority"]["beats"]
    assert next(iter(found["kmer"]["difference"])) == "f_max"
