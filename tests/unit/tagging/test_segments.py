"""Segment overlap: the published examples, the definition written as loops, and what always holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.tagging.metrics import segment_overlap

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
