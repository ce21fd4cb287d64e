"""Metrics of tags: worked examples, ties with scikit-learn, intervals over proteins."""

import numpy as np
import pytest

from biorrn.stats.metrics import METRICS as NUMBERS
from biorrn.tagging.metrics import (
    METRICS,
    NUMBER_METRICS,
    RESAMPLED,
    STATE_METRICS,
    by_state,
    difference,
    estimate_numbers,
    evaluate,
    score,
)

TRUE = np.array([0, 0, 0, 1, 1, -1, 2, 2])
CALLED = np.array([0, 0, 1, 1, 0, 2, 2, 2])
LENGTHS = np.array([5, 3])
WORKED = {
    "accuracy_residue": 5 / 7,
    "accuracy_protein": (3 / 5 + 2 / 2) / 2,
    # of the first protein: state 0 has an overlap of 2 and an extent of 3, state 1 of 1 and 3; 1 is added to both
    "sov": ((3 + 4 / 3) / 5 + 1) / 2,
}


@pytest.mark.parametrize("name", METRICS)
def test_worked_example(name: str) -> None:
    assert METRICS[name](score(TRUE, CALLED, LENGTHS, 3)) == pytest.approx(WORKED[name])


@pytest.mark.parametrize("name", METRICS)
def test_no_labels(name: str) -> None:
    found = score(np.full(4, -1), np.zeros(4, int), np.array([4]), 3)
    assert len(found) == 0
    assert np.isnan(METRICS[name](found))


@pytest.mark.parametrize("name", RESAMPLED)
def test_counts_are_copies(name: str) -> None:
    """A protein that counts twice is as one that is there twice."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 6)
    true, called = rng.integers(-1, 3, lengths.sum()), rng.integers(0, 3, lengths.sum())
    counts = np.array([0, 2, 1, 0, 3, 1])
    ends = np.cumsum(lengths)
    parts = [np.arange(end - size, end) for end, size in zip(ends, lengths, strict=True)]
    known = [part for part in parts if (true[part] >= 0).any()]
    order = np.concatenate([part for part, times in zip(known, counts, strict=False) for _ in range(times)])
    sizes = np.concatenate([[len(part)] * times for part, times in zip(known, counts, strict=False)]).astype(int)
    whole, copied = score(true, called, lengths, 3), score(true[order], called[order], sizes, 3)
    weights = counts[: len(whole)].astype(float)[None]
    assert RESAMPLED[name](*whole.arrays, weights)[0] == pytest.approx(METRICS[name](copied))


@pytest.mark.parametrize("seed", range(4))
def test_states_by_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, called = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    found = by_state(score(true, called, np.array([15, 25]), 3), "HEC", resamples=2)
    for place, letter in enumerate("HEC"):
        right = int(((true == place) & (called == place)).sum())
        known, named = int((true == place).sum()), int((called == place).sum())
        values = {name: found[letter][name]["value"] for name in STATE_METRICS}
        assert values["precision"] == pytest.approx(right / named)
        assert values["recall"] == pytest.approx(right / known)
        assert values["f1"] == pytest.approx(2 * right / (named + known))
        assert 0 <= values["sov"] <= 1
        assert (found[letter]["residues"], found[letter]["predicted"]) == (known, named)


def test_difference_is_paired() -> None:
    rng = np.random.default_rng(1)
    lengths = np.full(40, 20)
    true = rng.integers(0, 3, 800)
    good, bad = (np.where(rng.random(800) < part, true, (true + 1) % 3) for part in (0.9, 0.7))
    ours, theirs = (score(true, called, lengths, 3) for called in (good, bad))
    gap = difference("accuracy_residue", ours, theirs)
    assert gap["value"] == pytest.approx(METRICS["accuracy_residue"](ours) - METRICS["accuracy_residue"](theirs))
    assert 0 < gap["low"] < gap["value"] < gap["high"]
    same = difference("sov", ours, ours)
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)


def test_intervals_are_over_proteins() -> None:
    """Residues that are all right or all wrong in a protein say no more than one residue each would."""
    right = np.repeat(np.arange(20) % 2, 50)
    found = evaluate(score(np.zeros(1000, int), 1 - right, np.full(20, 50), 2))["accuracy_residue"]
    assert found["n"] == 20
    assert found["high"] - found["low"] > 0.3


@pytest.mark.parametrize("name", NUMBER_METRICS)
def test_numbers_are_those_of_regression(name: str) -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(size=300)
    predicted = true + rng.normal(size=300)
    true[::7] = np.nan
    found = estimate_numbers(name, np.full(30, 10), true, predicted, resamples=50)
    assert found["value"] == pytest.approx(NUMBERS[name](true, predicted))
    assert found["n"] == 30
    assert found["low"] < found["value"] < found["high"]
    gap = estimate_numbers(name, np.full(30, 10), true, predicted, predicted, resamples=5)
    assert (gap["value"], gap["low"], gap["high"]) == (0, 0, 0)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="3 true and 2 predicted"):
        score(np.zeros(3), np.zeros(2), np.array([3]), 2)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        score(np.zeros(3), np.full(3, 2), np.array([3]), 2)
