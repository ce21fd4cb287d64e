"""Realignment of known bases: brute force on tiny cases, and what holds on any."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from biorrn.nanopore.simulate.estimate import realign

COST = -np.log(np.array([1e-9, 0.1, 0.2, 0.3, 0.25, 0.15]))


def cost(signal: np.ndarray, levels: np.ndarray, spreads: np.ndarray, edges: tuple[int, ...]) -> float:
    total = 0.0
    for base, (start, end) in enumerate(pairwise(edges)):
        total += ((signal[start:end] - levels[base]) ** 2).sum() / (2 * spreads[base] ** 2)
        total += COST[min(end - start, len(COST) - 1)]
    return total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("band", [1, 3, 12])
def test_least_cost_among_all_alignments_in_the_band(seed: int, band: int) -> None:
    rng = np.random.default_rng(seed)
    samples, bases = 11, 4
    signal = rng.normal(size=samples).astype(np.float32)
    levels, spreads = rng.normal(size=bases), rng.uniform(0.3, 1, bases)
    edges = np.array([0, *sorted(rng.choice(np.arange(1, samples), bases - 1, replace=False)), samples])
    found = realign(signal, levels, spreads, edges, np.array([0, bases]), COST, band)
    allowed = [
        (0, *inner, samples)
        for inner in combinations(range(1, samples), bases - 1)
        if (np.abs(np.array(inner) - edges[1:-1]) <= band).all()
    ]
    best = min(cost(signal.astype(float), levels, spreads, choice) for choice in allowed)
    assert tuple(found) in allowed
    assert cost(signal.astype(float), levels, spreads, tuple(found)) == pytest.approx(best)


def test_boundaries_of_clear_steps_are_found_and_segments_stay_apart() -> None:
    rng = np.random.default_rng(0)
    dwell = rng.integers(3, 9, 60)
    levels = np.resize([0.0, 2.0, -1.0], 60)
    signal = (np.repeat(levels, dwell) + rng.normal(0, 0.1, dwell.sum())).astype(np.float32)
    right = np.concatenate([[0], np.cumsum(dwell)])
    segments = np.array([0, 25, 60])
    wrong = right.copy()
    wrong[1:25] += rng.integers(-1, 2, 24)
    wrong[26:60] += rng.integers(-1, 2, 34)
    for threads in (1, 2):
        found = realign(signal, levels, np.full(60, 0.1), wrong, segments, COST, threads=threads)
        np.testing.assert_array_equal(found, right)


def test_one_base_and_no_segments() -> None:
    edges = np.array([0, 5])
    signal = np.zeros(5, np.float32)
    np.testing.assert_array_equal(realign(signal, np.ones(1), np.ones(1), edges, np.array([0, 1]), COST), edges)
    none = realign(signal[:0], np.ones(0), np.ones(0), np.array([0]), np.array([0]), COST)
    assert none.tolist() == [0]
