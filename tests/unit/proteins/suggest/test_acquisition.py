"""Batch acquisition on small Gaussian beliefs."""

import numpy as np
import pytest

from biorrn.proteins.suggest.acquisition import ACQUISITIONS, Belief, chance, choose, log_expected_improvement


def belief(mean: list[float], covariance: np.ndarray, best: float = 0.0, noise: float = 0.01) -> Belief:
    deviation = np.sqrt(covariance.diagonal())
    return Belief(np.array(mean), deviation, lambda rows: covariance[np.ix_(rows, rows)], best, noise)


def some(size: int = 60, seed: int = 0) -> Belief:
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((size, 5))
    return belief(rng.standard_normal(size).tolist(), factor @ factor.T + 0.1 * np.eye(size))


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_a_batch_is_of_different_candidates_and_repeatable(name: str) -> None:
    first, again = (choose(some(), 20, name, np.random.default_rng(3)) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert len(set(first.tolist())) == 20
    assert len(choose(some(), 1000, name, np.random.default_rng(3))) == 60  # all that there are


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_without_uncertainty_all_take_the_best_means(name: str) -> None:
    certain = belief([0.1, 0.9, 0.5, 0.7], 1e-12 * np.eye(4))
    assert set(choose(certain, 2, name, np.random.default_rng(0)).tolist()) == {1, 3}


@pytest.mark.parametrize("name", ["ucb", "ei"])
def test_a_copy_of_a_choice_is_not_the_next(name: str) -> None:
    """0 and 1 are nearly the same protein; once 0 is chosen, little is left to learn from 1."""
    covariance = np.array([[1.0, 0.999, 0.0], [0.999, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert choose(belief([1.0, 0.99, 0.8], covariance), 2, name, np.random.default_rng(0)).tolist() == [0, 2]
    assert choose(belief([1.0, 0.99, 0.8], covariance), 2, "greedy", np.random.default_rng(0)).tolist() == [0, 1]


def test_exploring_more_takes_the_uncertain() -> None:
    unlike = belief([1.0, 0.5], np.diag([0.01, 1.0]))
    assert choose(unlike, 1, "ucb", np.random.default_rng(0), explore=0.0).tolist() == [0]
    assert choose(unlike, 1, "ucb", np.random.default_rng(0), explore=2.0).tolist() == [1]


def test_thompson_chooses_as_often_as_a_candidate_is_the_best() -> None:
    even = belief([0.0, 0.0, -3.0], np.eye(3))
    first = [int(choose(even, 1, "thompson", np.random.default_rng(seed))[0]) for seed in range(400)]
    shares = np.bincount(first, minlength=3) / 400
    assert shares[:2] == pytest.approx([0.5, 0.5], abs=0.1)
    assert shares[2] < 0.05


def test_log_of_the_expected_improvement() -> None:
    rng = np.random.default_rng(0)
    for mean in (-1.0, 0.0, 2.0):
        drawn = np.maximum(rng.normal(mean, 1.5, 400_000), 0).mean()
        found = log_expected_improvement(np.array([mean]), np.array([1.5]), 0.0)
        assert np.exp(found[0]) == pytest.approx(drawn, rel=0.02)
    fall = log_expected_improvement(np.linspace(-30, 3, 500), np.ones(500), 0.0)
    assert np.isfinite(fall).all()
    assert (np.diff(fall) > 0).all()  # across the change of the formula too


def test_chance() -> None:
    found = chance(belief([0.0, 1.0, -1.0], np.eye(3)))
    assert found == pytest.approx([0.5, 0.8413, 0.1587], abs=1e-4)


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_no_substitution_is_in_more_than_its_share(name: str) -> None:
    """The best candidates all hold A1W; with a share there are others, beyond the shortlist too."""
    rng = np.random.default_rng(0)
    size = 3000
    holds = [["A1W" if k < 2500 else "A1G", f"C2{k}"] for k in range(size)]
    mean = np.where(np.arange(size) < 2500, 5.0, 0.0) + 0.1 * rng.standard_normal(size)
    own = Belief(mean, np.full(size, 0.1), lambda rows: 0.01 * np.eye(len(rows)), 0.0, 0.01)
    free, limited = (
        choose(own, 20, name, np.random.default_rng(1), 1.0, holds if share < 1 else None, share)
        for share in (1.0, 0.3)
    )
    assert (free < 2500).all()
    assert len(limited) == len(set(limited.tolist()))
    assert (limited < 2500).sum() == 6
    assert (limited >= 2500).sum() == 6  # A1G has its share too, and no more are left
