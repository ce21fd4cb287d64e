"""Metrics of classes against scikit-learn's, resampling = repeated rows, reliability, sets."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from biorrn.stats.classification import (
    RESAMPLED,
    by_class,
    confusion,
    coverage,
    differences,
    evaluate,
    reliability,
    score,
)

THEIRS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy_score,
    "macro_f1": lambda true, found: f1_score(true, found, average="macro", zero_division=0),
    "mcc": matthews_corrcoef,
}
CASES = [(3, 40, 0), (7, 200, 1), (2, 9, 2), (30, 60, 3)]


def drawn(classes: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, rows)
    return true, np.where(rng.random(rows) < 0.6, true, rng.integers(0, classes, rows))


def test_every_metric_has_its_reference() -> None:
    assert set(THEIRS) == set(RESAMPLED)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", RESAMPLED)
def test_as_scikit_learn(name: str, case: tuple[int, int, int]) -> None:
    true, found = drawn(*case)
    assert score(true, found)[name] == pytest.approx(THEIRS[name](true, found))


@pytest.mark.parametrize("name", RESAMPLED)
def test_a_resample_is_its_rows_repeated(name: str) -> None:
    true, found = drawn(4, 25, 5)
    counts = np.random.default_rng(6).multinomial(25, np.full(25, 1 / 25), size=3).astype(float)
    values = RESAMPLED[name](true, found, counts)
    for own, value in zip(counts.astype(int), values, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert value == pytest.approx(THEIRS[name](np.repeat(true, own), np.repeat(found, own)))


@pytest.mark.parametrize("name", RESAMPLED)
def test_all_right_and_all_of_one_class(name: str) -> None:
    true = np.array([0, 1, 2, 2])
    assert score(true, true)[name] == 1
    assert score(true, np.zeros(4, int))[name] == pytest.approx(THEIRS[name](true, np.zeros(4, int)))
    assert np.isnan(score(true[:0], true[:0])[name])


def test_interval_holds_the_value_and_a_difference_to_itself_is_none() -> None:
    true, found = drawn(5, 150, 8)
    for name, one in evaluate(true, found, resamples=200).items():
        assert one["low"] < one["value"] < one["high"], name
        assert one["n"] == 150
    for one in differences(true, found, found, resamples=50).values():
        assert (one["value"], one["low"], one["high"]) == (0, 0, 0)


def test_worked_tables() -> None:
    true, found = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2])
    assert confusion(true, found, ["a", "b", "c"]) == {"a": {"a": 1, "c": 1}, "c": {"a": 0, "c": 2}}
    table = by_class(true, found, ["a", "b", "c"])
    assert list(table) == ["a", "c"]
    assert table["a"] == {"rows": 2, "predicted": 1, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}


def test_reliability_is_zero_where_the_promise_is_kept() -> None:
    right = np.array([True, False] * 50)
    kept = reliability(right, np.full(100, 0.5), "proteins")
    assert kept["calibration_error"] == pytest.approx(0)
    assert kept["bins"] == [{"from": 0.5, "to": 0.6, "proteins": 100, "confidence": 0.5, "accuracy": 0.5}]
    assert reliability(right, np.full(100, 0.8), "proteins")["calibration_error"] == pytest.approx(0.3)
    assert reliability(right[:0], np.zeros(0), "proteins") == {}


def test_coverage_of_sets() -> None:
    found = coverage(np.array([True, True, False, True]), np.array([1, 2, 0, 1]))
    assert (found["value"], found["n"], found["size"]) == (0.75, 4, 1.0)
