"""Weights of members and knots of a calibration, from what is known of rows that no member was trained on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.nn.ensemble import KNOTS
from biorrn.training.ensemble import FEWEST, rising_knots, stacked_weights


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_weights_are_shares_and_no_worse_than_equal_ones(seed: int, members: int) -> None:
    rng = np.random.default_rng(seed)
    true = rng.normal(50, 3, 80)
    values = true + rng.normal(0, rng.uniform(0.5, 5, (members, 1)), (members, 80))
    weights = stacked_weights(values, true)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)

    def error(shares: np.ndarray) -> float:
        return float(np.square(shares @ values - true).mean())

    assert error(weights) <= error(np.full(members, 1 / members)) * (1 + 1e-4)


def test_a_perfect_member_gets_all() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(60, 5, 100)
    assert stacked_weights(np.stack([rng.normal(60, 5, 100), true]), true) == pytest.approx([0, 1], abs=1e-3)


def test_too_few_rows_are_not_fitted() -> None:
    true = np.array([1.0, 2.0, np.nan, np.nan, 3.0])
    assert stacked_weights(np.arange(10.0).reshape(2, 5), true).tolist() == [0.5, 0.5]
    x, y = rising_knots(np.arange(FEWEST - 1.0), np.arange(FEWEST - 1.0) * 3)
    assert x.tolist() == y.tolist() == list(range(KNOTS))


@pytest.mark.parametrize("true", [-np.arange(200.0), np.ones(200), np.full(200, np.nan)])
def test_what_does_not_rise_is_not_fitted(true: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        x, y = rising_knots(np.arange(200.0), true)
    assert np.array_equal(x, y)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 1.0, 100.0]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_knots_rise_strictly(seed: int, spread: float, rounded: bool) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0.5, spread, 300)
    true = values + rng.normal(0, spread, 300)
    if rounded:
        values = np.round(values / spread) * spread  # many ties
    x, y = rising_knots(values, true)
    assert x.dtype == y.dtype == np.float32
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()


def test_a_bent_scale_is_straightened() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 8, 2000)
    x, y = rising_knots(np.log(true), true)  # predicted as if on another scale
    assert np.abs(y - np.exp(x)).max() < 0.6
    assert np.abs(y - np.exp(x)).mean() < 0.2
