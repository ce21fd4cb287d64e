"""Baselines learn what they can, and a model that does not beat them is told so."""

import numpy as np
import pytest

from biorrn.encoders.residues import tokens
from biorrn.errors import BiorrnError
from biorrn.evaluation import baselines
from biorrn.evaluation.baselines import BASELINES, compare, composition, difference, one_hot, verdict
from biorrn.evaluation.predictions import Proteins


def proteins(sequences: list[str], targets: list[float], weights: list[float] | None = None) -> Proteins:
    coded = [tokens(sequence) for sequence in sequences]
    return Proteins(
        np.array([f"p{i}" for i in range(len(sequences))], dtype=object),
        np.concatenate(coded),
        np.array([len(code) for code in coded]),
        np.array(targets, dtype=float)[:, None],
        np.ones(len(sequences)) if weights is None else np.array(weights),
    )


def random_proteins(n: int, seed: int) -> Proteins:
    """Return proteins whose target is their alanines less the tryptophans at position 0."""
    rng = np.random.default_rng(seed)
    sequences = ["".join(rng.choice(list("ACDEW"), int(rng.integers(8, 12)))) for _ in range(n)]
    return proteins(sequences, [s.count("A") / len(s) - 2.0 * (s[0] == "W") for s in sequences])


def test_one_hot_is_by_position_and_cut_at_the_longest() -> None:
    dense = one_hot(proteins(["AC", "CAW"], [0, 0]), longest=2).toarray()
    assert dense.shape == (2, 44)
    assert np.flatnonzero(dense[0]).tolist() == [1, 22 + 2]
    assert np.flatnonzero(dense[1]).tolist() == [2, 22 + 1]


def test_composition_sums_to_one_and_ends_with_the_length() -> None:
    table = composition(proteins(["AAC", "W"], [0, 0]))
    assert table[:, :-1].sum(axis=1) == pytest.approx([1, 1])
    assert table[:, -1].tolist() == [3, 1]
    assert table[0, 1] == pytest.approx(2 / 3)


def test_select_keeps_sequences_with_their_rows() -> None:
    rows = proteins(["AAC", "W", "CC"], [1, 2, 3]).select(np.array([False, True, True]))
    assert rows.tokens.tolist() == [*tokens("W"), *tokens("CC")]
    assert rows.targets[:, 0].tolist() == [2, 3]


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_gives_one_finite_number_a_row_and_is_repeatable(name: str) -> None:
    train, rows = random_proteins(60, 0), random_proteins(9, 1)
    first = BASELINES[name](train, train.targets[:, 0], rows, 0, 1)
    second = BASELINES[name](train, train.targets[:, 0], rows, 0, 1)
    assert first.predicted.shape == (9,)
    assert np.isfinite(first.predicted).all()
    assert np.array_equal(first.predicted, second.predicted)
    assert "60" in first.description


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_copes_with_one_training_row(name: str) -> None:
    train = proteins(["ACD"], [2.0])
    found = BASELINES[name](train, train.targets[:, 0], proteins(["ACDEFG", "W"], [0, 0]), 0, 1)
    assert np.isfinite(found.predicted).all()


def test_mean_is_weighted() -> None:
    train = proteins(["A", "C"], [0.0, 4.0], [3.0, 1.0])
    assert BASELINES["mean"](train, train.targets[:, 0], train, 0, 1).predicted.tolist() == [1.0, 1.0]


def test_ridge_learns_a_position_and_forest_a_composition() -> None:
    train, rows = random_proteins(400, 0), random_proteins(100, 1)
    ridge = BASELINES["ridge"](train, train.targets[:, 0], rows, 0, 1).predicted
    assert np.corrcoef(ridge, rows.targets[:, 0])[0, 1] > 0.95
    alanines = train.targets[:, 0] + 2.0 * (train.tokens[np.cumsum(train.lengths) - train.lengths] == tokens("W")[0])
    forest = BASELINES["forest"](train, alanines, train, 0, 1).predicted
    assert np.corrcoef(forest, alanines)[0, 1] > 0.95


def test_forest_says_how_many_rows_it_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "FOREST_ROWS", 20)
    train = random_proteins(50, 0)
    assert "20 of 50" in BASELINES["forest"](train, train.targets[:, 0], train, 0, 1).description


def test_a_perfect_model_beats_and_a_random_one_does_not() -> None:
    train, rows = random_proteins(200, 0), random_proteins(150, 1)
    perfect = compare(train, rows, rows.targets[:, 0], 0)
    assert set(perfect) == set(BASELINES)
    assert all(entry["beats"] for entry in perfect.values())
    noise = compare(train, rows, np.random.default_rng(0).normal(size=150), 0)
    assert not noise["ridge"]["beats"]
    assert "does not beat" in noise["ridge"]["sentence"]
    assert "worse" in noise["ridge"]["sentence"]
    constant = compare(train, rows, np.zeros(150), 0)
    assert not constant["mean"]["beats"]  # both rank nothing


def test_training_rows_without_the_target_are_left_out() -> None:
    train = proteins(["A", "C", "D"], [1.0, np.nan, 3.0])
    found = compare(train, train, np.zeros(3), 0)
    assert "2 training rows" in found["mean"]["description"]
    with pytest.raises(BiorrnError, match="no-baselines"):
        compare(proteins(["A"], [np.nan]), train, np.zeros(3), 0)


def test_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=100)
    predicted = true + rng.normal(size=100)
    same = difference("spearman", true, predicted, predicted.copy())
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    assert verdict("twin", same)[0] is False
    assert difference("rmse", true, predicted, np.zeros(100))["n"] == 100


def test_verdict_on_too_few_rows() -> None:
    beats, sentence = verdict("mean", difference("spearman", np.zeros(0), np.zeros(0), np.zeros(0)))
    assert not beats
    assert "too few" in sentence


@pytest.mark.parametrize(
    ("low", "high", "beats", "words"),
    [(0.01, 0.2, True, "beats"), (-0.01, 0.2, False, "may be chance"), (-0.3, -0.1, False, "is worse")],
)
def test_only_a_whole_interval_above_zero_beats(low: float, high: float, beats: bool, words: str) -> None:
    found, sentence = verdict("ridge", {"n": 50, "value": (low + high) / 2, "low": low, "high": high})
    assert found is beats
    assert words in sentence
    assert sentence.startswith(f"The model {'beats' if beats else 'does not beat'} the baseline 'ridge'")
