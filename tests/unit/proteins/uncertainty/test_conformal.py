"""Intervals hold as often as they say, on rows that they were not calibrated on."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.proteins.uncertainty import conformal
from biorrn.proteins.uncertainty.conformal import (
    LEVELS,
    Intervals,
    check_level,
    choose_floor,
    cross_coverage,
    fit,
    quantile,
)


def rows(count: int, seed: int = 0, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return measured values, predictions and spreads; the error grows with the spread, on top of some noise."""
    rng = np.random.default_rng(seed)
    spread = rng.gamma(2.0, 0.3, count)
    predicted = rng.normal(size=count)
    return predicted + np.hypot(2 * spread, noise) * rng.normal(size=count), predicted, spread


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=40), st.sampled_from(LEVELS))
def test_quantile_lies_between_the_scores_of_the_ranks_around_it(scores: list[float], level: float) -> None:
    found = quantile(np.array(scores), level)
    rank = (len(scores) + 1) * level
    below, above = int(np.floor(rank + 1e-9)), int(np.ceil(rank - 1e-9))
    if above > len(scores) or below < 1:
        assert found is None
    else:
        assert found is not None
        ordered = sorted(scores)
        assert ordered[below - 1] <= found <= ordered[above - 1] * (1 + 1e-9)


@pytest.mark.parametrize("with_spread", [False, True])
def test_intervals_widen_with_the_level_and_enclose_the_value(with_spread: bool) -> None:
    true, predicted, spread = rows(300)
    entry = fit(true, predicted, spread if with_spread else None)
    assert entry is not None
    assert json.loads(json.dumps(entry)) == entry
    assert entry["rows"] == 300
    assert (entry["floor"] is not None) == with_spread
    found = [value for value in entry["quantiles"] if value is not None]
    assert found == sorted(found)
    facts = {"conformal": {"a": entry}}
    widths = []
    for level in (0.5, 0.8, 0.9, 0.95):
        intervals = Intervals.of(facts, ["a"], level)
        assert intervals is not None
        lower, upper = intervals(predicted[:, None], spread[:, None] if with_spread else None)
        assert (lower <= predicted[:, None]).all()
        assert (predicted[:, None] <= upper).all()
        held = np.mean((true >= lower[:, 0]) & (true <= upper[:, 0]))
        assert level - 0.005 <= held <= level + 0.02  # on the rows of the calibration themselves
        widths.append(float(np.mean(upper - lower)))
    assert widths == sorted(widths)


def test_coverage_on_rows_left_out() -> None:
    true, predicted, spread = rows(2000, noise=0.3)
    for given_spread in (None, spread):
        found = cross_coverage(true, predicted, given_spread, folds=5)
        assert found["rows"] == 2000
        assert [entry["level"] for entry in found["levels"]] == list(LEVELS)
        for entry in found["levels"]:
            assert abs(entry["coverage"] - entry["level"]) < 0.02
            assert len(entry["folds"]) == 5
        assert found == cross_coverage(true, predicted, given_spread, folds=5)


def test_a_spread_that_tells_the_error_makes_intervals_narrower() -> None:
    true, predicted, spread = rows(2000)
    own, same = (cross_coverage(true, predicted, given, levels=[0.9])["levels"][0] for given in (spread, None))
    assert own["width"] < 0.95 * same["width"]


def test_a_spread_that_says_nothing_is_drowned_by_the_floor() -> None:
    rng = np.random.default_rng(1)
    spread = rng.gamma(0.5, 1.0, 2000)
    assert choose_floor(np.abs(rng.normal(size=2000)), spread) > 4 * np.median(spread)


@pytest.mark.parametrize("spread", [np.zeros(50), np.full(50, 1e-12)])
def test_members_that_agree_everywhere(spread: np.ndarray) -> None:
    true, predicted, _ = rows(50)
    entry = fit(true, predicted, spread)
    assert entry is not None
    assert entry["floor"] > 0
    assert np.isfinite([value for value in entry["quantiles"] if value is not None]).all()


def test_a_model_without_errors() -> None:
    values = np.arange(30.0)
    entry = fit(values, values, np.zeros(30))
    assert entry is not None
    assert entry["quantiles"][0] == 0.0


def test_missing_values_are_left_out_and_few_are_too_few() -> None:
    true, predicted, spread = rows(40)
    true[5:] = np.nan
    assert fit(true, predicted, spread) is None
    assert fit(true[:0], predicted[:0]) is None
    true, predicted, _ = rows(40)
    holed = np.append(true, np.nan)
    assert fit(holed, np.append(predicted, 0.0)) == fit(true, predicted)
    entry = fit(true[:12], predicted[:12])
    assert entry is not None
    assert entry["quantiles"][LEVELS.index(0.9)] is not None
    assert entry["quantiles"][-1] is None
    assert Intervals.of({"conformal": {"a": entry}}, ["a"], 0.99) is None


@pytest.mark.parametrize("facts", [{}, {"conformal": None}, {"conformal": {}}, {"conformal": {"b": None}}])
def test_a_model_that_carries_none(facts: dict) -> None:
    assert Intervals.of(facts, ["a"]) is None


@pytest.mark.parametrize(("asked", "used"), [(0.5, 0.5), (0.9, 0.9), (0.901, 0.91), (0.99, 0.99), (0.683, 0.69)])
def test_the_next_level_that_is_known(asked: float, used: float) -> None:
    assert check_level(asked) == used


@pytest.mark.parametrize("level", [0.0, 0.49, 0.995, 1.0, float("nan")])
def test_levels_out_of_range(level: float) -> None:
    with pytest.raises(ConfigError, match=r"--level: found .*; allowed is 0.5 to 0.99"):
        check_level(level)


@pytest.mark.parametrize(("count", "folds"), [(100, 1), (100, 0), (12, 2), (0, 5)])
def test_too_few_folds_or_rows(count: int, folds: int) -> None:
    true, predicted, _ = rows(count)
    with pytest.raises(ConfigError, match="--folds"):
        cross_coverage(true, predicted, folds=folds)


def test_level_is_one_that_models_carry() -> None:
    assert conformal.LEVEL in LEVELS


@pytest.mark.parametrize("kind", ["no spread", "a spread that tells the error", "a spread that says nothing"])
@pytest.mark.parametrize(("count", "seeds"), [(40, 150), (80, 100), (200, 60), (1000, 15)])
def test_mean_coverage_of_new_rows_is_the_level_however_few_calibrate(kind: str, count: int, seeds: int) -> None:
    held = []
    for seed in range(seeds):
        rng = np.random.default_rng([count, seed])
        spread = rng.gamma(2.0, 0.3, count + 1000)
        scale = np.hypot(2 * spread, 0.3) if "tells" in kind else 1.0
        errors = scale * rng.normal(size=len(spread))
        own = None if kind == "no spread" else spread
        entry = fit(errors[:count], np.zeros(count), None if own is None else own[:count])
        assert entry is not None
        half = conformal.half_widths(entry, 0.9, np.zeros(1000), None if own is None else own[count:])
        held.append(np.mean(np.abs(errors[count:]) <= half))
    assert 0.88 <= np.mean(held) <= 0.92


@pytest.mark.parametrize("with_spread", [False, True])
def test_intervals_hold_as_often_for_high_values_as_for_low_ones(with_spread: bool) -> None:
    true, predicted, spread = rows(4000, noise=1.0)
    true = predicted + (true - predicted) * np.where(predicted > 0, 2.0, 0.5)
    half = conformal.cross_half_widths(true, predicted, spread if with_spread else None)
    assert half is not None
    held = np.abs(true - predicted) <= half
    assert held.mean() == pytest.approx(0.9, abs=0.01)
    for part in (predicted < -0.5, predicted > 0.5):
        assert held[part].mean() == pytest.approx(0.9, abs=0.03)
    entry = fit(true, predicted, spread if with_spread else None)
    assert entry is not None
    assert entry["profile"]["at"] == sorted(entry["profile"]["at"])
    assert "profile" not in (fit(true[:400], predicted[:400]) or {})  # too few rows to tell


def test_the_interval_of_a_row_does_not_depend_on_its_own_error() -> None:
    true, predicted, spread = rows(60)
    half = conformal.cross_half_widths(true, predicted, spread)
    assert half is not None
    other = true.copy()
    part = conformal.dealt(np.arange(60), conformal.FOLDS)[0]
    other[part] += 100.0
    again = conformal.cross_half_widths(other, predicted, spread)
    assert again is not None
    np.testing.assert_array_equal(again[part], half[part])
    rest = np.setdiff1d(np.arange(60), part)
    assert (again[rest] > half[rest]).all()
    assert conformal.cross_half_widths(true[:11], predicted[:11]) is None
