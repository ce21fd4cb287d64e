"""Metrics of numbers: worked examples, what has no answer, and what must not change an answer."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from biorrn.stats.metrics import METRICS, RESAMPLED, evaluate

TRUE = np.array([1.0, 2.0, 3.0, 4.0])
PREDICTED = np.array([1.0, 3.0, 2.0, 6.0])
WORKED = {
    "spearman": 0.8,  # ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * 2 / (4 * 15)
    "pearson": 7.0 / np.sqrt(5.0 * 14.0),  # sums of products and squares around the means 2.5 and 3
    "rmse": np.sqrt(6.0 / 4.0),  # errors 0 1 -1 2
    "mae": 1.0,
    "r2": 1.0 - 6.0 / 5.0,
}


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", METRICS)
def test_worked_example(name: str) -> None:
    assert METRICS[name](TRUE, PREDICTED) == pytest.approx(WORKED[name])


@pytest.mark.parametrize("name", METRICS)
def test_missing_targets_are_dropped(name: str) -> None:
    true = np.array([1.0, np.nan, 2.0, 3.0, 4.0, np.nan])
    predicted = np.array([1.0, 50.0, 3.0, 2.0, 6.0, np.nan])
    assert METRICS[name](true, predicted) == pytest.approx(WORKED[name])


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("true", [np.zeros(0), np.array([np.nan, np.nan])])
def test_no_pairs_is_nan(name: str, true: np.ndarray) -> None:
    assert np.isnan(METRICS[name](true, np.zeros(len(true))))
    found = evaluate(true, np.zeros(len(true)))[name]
    assert found["n"] == 0
    assert np.isnan([found["value"], found["low"], found["high"]]).all()


@pytest.mark.parametrize("name", METRICS)
def test_ties(name: str) -> None:
    true, predicted = np.array([1.0, 1.0, 2.0, 2.0, 3.0]), np.array([2.0, 1.0, 2.0, 3.0, 3.0])
    expected = {
        "spearman": stats.spearmanr(true, predicted)[0],
        "pearson": stats.pearsonr(true, predicted)[0],
        "rmse": np.sqrt(2 / 5),
        "mae": 2 / 5,
        "r2": 1 - 2 / 2.8,
    }
    assert METRICS[name](true, predicted) == pytest.approx(expected[name])


@pytest.mark.parametrize("name", METRICS)
def test_constant_prediction(name: str) -> None:
    value = METRICS[name](TRUE, np.full(4, 0.1))
    assert np.isnan(value) == (name in ("spearman", "pearson"))
    found = evaluate(np.tile(TRUE, 2), np.full(8, 0.1))[name]
    assert np.isnan(found["low"]) == (name in ("spearman", "pearson"))


@pytest.mark.parametrize("name", METRICS)
def test_constant_target(name: str) -> None:
    value = METRICS[name](np.full(4, 0.1), PREDICTED)
    assert np.isnan(value) == (name in ("spearman", "pearson", "r2"))


@pytest.mark.parametrize("name", METRICS)
def test_prediction_that_is_not_a_number_is_no_score(name: str) -> None:
    assert np.isnan(METRICS[name](TRUE, np.array([1.0, np.nan, 2.0, 6.0])))
    assert np.isnan(METRICS[name](TRUE, np.array([1.0, np.inf, 2.0, 6.0])))


@pytest.mark.parametrize("name", METRICS)
def test_perfect_prediction(name: str) -> None:
    assert METRICS[name](TRUE, TRUE) == pytest.approx(0.0 if name in ("rmse", "mae") else 1.0)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(3,\)"):
        METRICS["mae"](TRUE, TRUE[:3])


pairs = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_spearman_sees_only_the_order(rows: list[tuple[int, int]]) -> None:
    true, predicted = np.array(rows, dtype=float).T
    plain = METRICS["spearman"](true, predicted)
    assert METRICS["spearman"](np.exp(true / 10), predicted**3 + 5) == pytest.approx(plain, nan_ok=True)
    assert METRICS["spearman"](true, -predicted) == pytest.approx(-plain, nan_ok=True)
    assert METRICS["spearman"](predicted, true) == pytest.approx(plain, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(pairs, st.floats(0.01, 1e6), st.floats(-1e6, 1e6))
def test_pearson_sees_no_scale_and_no_offset(rows: list[tuple[int, int]], scale: float, shift: float) -> None:
    true, predicted = np.array(rows, dtype=float).T
    plain = METRICS["pearson"](true, predicted)
    assert METRICS["pearson"](true, predicted * scale + shift) == pytest.approx(plain, nan_ok=True, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_agrees_with_scipy(rows: list[tuple[int, int]]) -> None:
    true, predicted = np.array(rows, dtype=float).T
    if np.ptp(true) and np.ptp(predicted):
        assert METRICS["spearman"](true, predicted) == pytest.approx(stats.spearmanr(true, predicted)[0], abs=1e-12)
        assert METRICS["pearson"](true, predicted) == pytest.approx(stats.pearsonr(true, predicted)[0], abs=1e-12)


@pytest.mark.parametrize("name", RESAMPLED)
def test_counts_are_repeated_rows(name: str) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 8, 30).astype(float)
    predicted = true + rng.integers(-2, 3, 30)
    counts = rng.integers(0, 4, (5, 30)).astype(float)
    found = RESAMPLED[name](true, predicted, counts)
    for value, row in zip(found, counts.astype(int), strict=True):
        assert value == pytest.approx(METRICS[name](np.repeat(true, row), np.repeat(predicted, row)))


def test_evaluate_is_repeatable_and_its_interval_holds_the_value() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(size=200)
    predicted = true + rng.normal(size=200)
    first, second = evaluate(true, predicted, seed=4), evaluate(true, predicted, seed=4)
    assert first == second
    assert set(first) == set(METRICS)
    for entry in first.values():
        assert entry["low"] < entry["value"] < entry["high"]
        assert entry["n"] == 200


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_no_number_is_not_left_out(bad: float) -> None:
    true, predicted = np.arange(8.0), np.arange(8.0)[::-1].copy()
    predicted[3] = bad
    found = evaluate(true, predicted, resamples=20)
    for name, entry in found.items():
        assert entry["n"] == 8
        assert np.isnan([entry["value"], entry["low"], entry["high"], METRICS[name](true, predicted)]).all()
    true[3] = np.nan  # nothing was measured: then it does not matter
    assert np.isfinite(evaluate(true, predicted, resamples=20)["rmse"]["value"])


def test_few_rows_have_no_interval() -> None:
    """The correlation of two rows would be 1, from 1 to 1."""
    few = evaluate(np.arange(4.0), np.arange(4.0) + 1)
    assert few["spearman"]["value"] == 1
    assert all(np.isnan([entry["low"], entry["high"]]).all() for entry in few.values())
    assert np.isfinite(evaluate(np.arange(5.0), np.arange(5.0) + 1)["rmse"]["low"])


def test_replicates_do_not_narrow_an_interval() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=30)
    predicted = true + rng.normal(size=30)
    one = evaluate(true, predicted)["pearson"]
    rows = np.append(np.repeat(np.arange(30), 3), 0)
    replicates = true[rows]
    replicates[-1] = np.nan  # not measured
    found = evaluate(replicates, predicted[rows], groups=rows)["pearson"]
    assert found == pytest.approx(one | {"n": 90})
    assert evaluate(replicates, predicted[rows])["pearson"]["low"] > found["low"] + 0.05
