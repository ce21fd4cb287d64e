"""Resamples are counts, and the same for one seed."""

import numpy as np
import pytest

from biorrn.stats import bootstrap
from biorrn.stats.bootstrap import estimate, interval, resample_counts, resampled


def mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return counts @ values / counts.sum(axis=1)


def test_every_resample_has_as_many_rows_as_the_data() -> None:
    counts = np.concatenate(list(resample_counts(7, resamples=50, seed=3)))
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert (counts >= 0).all()


def test_blocks_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "CELLS", 20)
    assert [block.shape for block in resample_counts(8, resamples=5)] == [(2, 8), (2, 8), (1, 8)]


def test_same_seed_gives_paired_resamples() -> None:
    x = np.arange(10.0)
    gap = resampled(mean, x + 2, seed=1) - resampled(mean, x, seed=1)
    assert np.allclose(gap, 2)
    assert not np.allclose(resampled(mean, x, seed=1), resampled(mean, x, seed=2))


def test_interval_agrees_with_the_standard_error_of_a_mean() -> None:
    x = np.random.default_rng(0).normal(size=400)
    found = estimate(mean, x)
    half = 1.96 * x.std() / 20
    assert found["value"] == pytest.approx(x.mean())
    assert found["low"] == pytest.approx(x.mean() - half, abs=0.25 * half)
    assert found["high"] == pytest.approx(x.mean() + half, abs=0.25 * half)


def test_nothing_gives_nan_and_one_row_no_interval() -> None:
    empty = estimate(mean, np.zeros(0))
    assert empty["n"] == 0
    assert np.isnan([empty["value"], empty["low"], empty["high"]]).all()
    one = estimate(mean, np.array([5.0]))
    assert one["value"] == 5
    assert np.isnan([one["low"], one["high"]]).all()
    assert np.isnan(interval(np.full(3, np.nan))).all()


def test_repeats_of_one_item_are_drawn_together() -> None:
    once = np.arange(20.0)
    thrice, groups = np.repeat(once, 3), np.repeat(np.arange(20), 3)
    alone, together = estimate(mean, once), estimate(mean, thrice, groups=groups)
    assert together == alone | {"n": 60}
    assert estimate(mean, thrice)["high"] < together["high"]  # as if there were three times as many
    assert estimate(mean, once, groups=np.arange(20)) == alone
    assert np.isnan(estimate(mean, thrice[:3], groups=groups[:3])["low"])
