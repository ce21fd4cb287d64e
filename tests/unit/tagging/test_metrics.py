"""Metrics of tags: residues and segments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    segment_overlap,
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


STATES = "HEC"


def codes(text: str) -> np.ndarray:
    return np.array([STATES.find(letter) for letter in text])


def overlap_of(true: str, predicted: str) -> float:
    rows = np.zeros(len(true), int)
    return float(segment_overlap(codes(true), codes(predicted), rows, 1, 3).of_proteins()[0])


def segments(text: str) -> list[tuple[str, int, int]]:
    found, start = [], 0
    for place in range(1, len(text) + 1):
        if place == len(text) or text[place] != text[start]:
            found.append((text[start], start, place))
            start = place
    return found


def by_definition(true: str, predicted: str) -> float:
    """The formula of Zemla et al. 1999, word for word, over all states."""
    total, scored = 0, 0.0
    for state, a, b in segments(true):
        pairs = [(c, d) for other, c, d in segments(predicted) if other == state and min(b, d) > max(a, c)]
        total += (b - a) * max(1, len(pairs))
        for c, d in pairs:
            minov, maxov = min(b, d) - max(a, c), max(b, d) - min(a, c)
            delta = min(maxov - minov, minov, int(0.5 * (b - a)), int(0.5 * (d - c)))
            scored += (minov + delta) / maxov * (b - a)
    return scored / total


# the table of the paper: predictions of one helix with capping coil, and the percentages it gives
@pytest.mark.parametrize(
    ("predicted", "per_cent"),
    [
        ("CHCHCHCHCHCC", 12.5),
        ("CCCHHHHHCCCC", 63.2),
        ("CHHHCHHHCHHC", 40.6),
        ("CHHCCHHHHHCC", 52.3),
        ("CCCHHHHHHCCC", 80.6),
    ],
)
def test_published_examples(predicted: str, per_cent: float) -> None:
    assert round(100 * overlap_of("CHHHHHHHHHHC", predicted), 1) == pytest.approx(per_cent, abs=0.051)


CHAINS = st.lists(st.tuples(st.sampled_from(STATES), st.integers(1, 6)), min_size=1, max_size=12).map(
    lambda runs: "".join(letter * count for letter, count in runs)
)


@given(CHAINS, CHAINS)
def test_is_the_definition(one: str, other: str) -> None:
    size = min(len(one), len(other))
    assert overlap_of(one[:size], other[:size]) == pytest.approx(by_definition(one[:size], other[:size]))


@given(CHAINS)
def test_perfect_is_one(chain: str) -> None:
    assert overlap_of(chain, chain) == pytest.approx(1.0)


@given(st.lists(st.tuples(CHAINS, CHAINS), min_size=1, max_size=5))
def test_proteins_do_not_touch(pairs: list[tuple[str, str]]) -> None:
    """Together as alone, though one ends in the state with which the next begins."""
    cut = [(one[: len(other)], other[: len(one)]) for one, other in pairs]
    true, predicted = (codes("".join(side)) for side in zip(*cut, strict=True))
    rows = np.repeat(np.arange(len(cut)), [len(one) for one, _ in cut])
    found = segment_overlap(true, predicted, rows, len(cut), 3).of_proteins()
    assert found == pytest.approx([overlap_of(*pair) for pair in cut])


@given(CHAINS, CHAINS)
def test_unknown_residues_are_ends(one: str, other: str) -> None:
    """A gap of unknown residues between two chains is as the end of one and the begin of the next."""
    true, predicted = codes(f"{one}-{other}"), codes(f"{one}H{other}")
    together = segment_overlap(true, predicted, np.zeros(len(true), int), 1, 3)
    rows = np.repeat([0, 1], [len(one), len(other)])
    apart = segment_overlap(codes(one + other), codes(one + other), rows, 2, 3)
    assert together.scored[0] == pytest.approx(apart.scored.sum(axis=0))
    assert together.possible[0] == pytest.approx(apart.possible.sum(axis=0))


def test_nothing_known_is_undefined() -> None:
    assert np.isnan(overlap_of("---", "HHH"))
    assert segment_overlap(np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), 0, 3).of_proteins().tolist() == []
