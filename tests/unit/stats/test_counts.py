"""Exact distributions of whole numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.stats.counts import Counts

NUMBERS = st.lists(st.integers(0, 300), min_size=1, max_size=60)


def counted(*blocks: list[int]) -> Counts:
    counts = Counts()
    for block in blocks:
        counts.add(np.array(block, np.int64))
    return counts


@given(NUMBERS, NUMBERS, st.floats(0, 1))
def test_counts_are_what_numpy_says_of_the_numbers(one: list[int], two: list[int], part: float) -> None:
    counts, numbers = counted(one, two), np.array(one + two)
    assert counts.total == len(numbers)
    assert counts.sum == numbers.sum()
    assert counts.mean() == pytest.approx(numbers.mean())
    assert counts.ends() == (numbers.min(), numbers.max())
    assert counts.quantile(part) == pytest.approx(np.quantile(numbers, part))
    edges = np.linspace(0, 300, 8)
    assert counts.binned(edges) == pytest.approx(np.histogram(numbers, edges)[0])
    assert counts.binned(edges, weighted=True).sum() == pytest.approx(numbers.sum())


@given(NUMBERS, st.sampled_from([0.5, 0.9]))
def test_n50_holds_its_part_and_the_next_longer_does_not(numbers: list[int], part: float) -> None:
    n50, total = counted(numbers).n50(part), sum(numbers)
    if not total:
        assert n50 == 0
        return
    assert n50 in numbers
    assert sum(number for number in numbers if number >= n50) >= part * total
    assert sum(number for number in numbers if number > n50) < part * total


def test_nothing_has_no_mean() -> None:
    counts = counted([])
    assert (counts.total, counts.sum, counts.n50(), counts.ends()) == (0, 0, 0, (0, 0))
    assert np.isnan([counts.mean(), counts.quantile(0.5)]).all()
