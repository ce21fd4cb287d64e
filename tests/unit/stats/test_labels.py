"""Metrics of sets of labels: scikit-learn's values, F-max by hand, resampling = repeated rows, the best threshold."""

import numpy as np
import pytest

from biorrn.stats import labels

Sets = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def drawn() -> Sets:
    """Return true labels, calls and probabilities, with ties, of 200 rows; some rows have no label."""
    rng = np.random.default_rng(0)
    true = rng.random((200, 8)) < 0.15
    sure = np.clip(0.4 * true + 0.6 * rng.random(true.shape), 0, 1).round(2)
    return true, sure >= 0.5, sure


def test_values_of_scikit_learn(drawn: Sets) -> None:
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score

    true, called, sure = drawn
    found = labels.score(*drawn)
    assert found["macro_ap"] == pytest.approx(average_precision_score(true, sure, average="macro"))
    assert found["micro_f1"] == pytest.approx(f1_score(true, called, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(true, called, average="macro"))
    assert found["subset_accuracy"] == pytest.approx(accuracy_score(true, called))


def test_f_max_is_over_proteins_and_their_calls() -> None:
    true = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]]) > 0
    sure = np.array([[0.9, 0.2, 0.6], [0.1, 0.1, 0.1], [0.05, 0.0, 0.0]])
    best = 0.0
    for least in labels.STEPS:
        calls = sure >= least
        given, made = true.any(1), calls.any(1)
        right = (calls & true).sum(1)
        precision = (right[made] / calls[made].sum(1)).mean() if made.any() else 0.0
        recall = (right[given] / true[given].sum(1)).mean()
        best = max(best, 2 * precision * recall / max(precision + recall, 1e-9))
    assert labels.score(true, sure >= 0.5, sure)["f_max"] == pytest.approx(best)
    assert 0.5 < best < 1


@pytest.mark.parametrize("name", labels.RESAMPLED)
def test_a_resample_is_the_rows_repeated(name: str, drawn: Sets) -> None:
    rows = np.random.default_rng(1).integers(0, 200, 200)
    counts = np.bincount(rows, minlength=200)[None].astype(float)
    again = labels.RESAMPLED[name](*(part[rows] for part in drawn), np.ones((1, 200)))
    assert labels.RESAMPLED[name](*drawn, counts) == pytest.approx(again)


@pytest.mark.parametrize("name", labels.RESAMPLED)
def test_one_label_that_no_row_has_and_no_rows(name: str) -> None:
    none = np.zeros((4, 3), bool)
    value = labels.score(none, none, none.astype(float))[name]
    assert value == {"macro_ap": pytest.approx(np.nan, nan_ok=True), "subset_accuracy": 1.0}.get(name, 0.0)
    assert np.isnan(labels.evaluate(none[:0], none[:0], none[:0].astype(float))[name]["value"])


def test_intervals_hold_the_value_and_a_better_model_is_better(drawn: Sets) -> None:
    true, called, sure = drawn
    for entry in labels.evaluate(*drawn, resamples=200).values():
        assert entry["low"] <= entry["value"] <= entry["high"]
    noise = np.random.default_rng(2).random(sure.shape)
    gaps = labels.differences(true, (called, sure), (noise >= 0.5, noise), resamples=200)
    assert gaps["f_max"]["low"] > 0
    assert next(iter(gaps)) == "f_max"


def test_the_best_threshold_has_the_best_micro_f1(drawn: Sets) -> None:
    true, _, sure = drawn
    least = labels.best_threshold(true, sure)
    every = [labels.score(true, sure >= one, sure)["micro_f1"] for one in np.unique(sure)]
    assert labels.score(true, sure >= least, sure)["micro_f1"] == pytest.approx(max(every))
    assert labels.best_threshold(np.zeros((3, 2), bool), np.ones((3, 2))) == 0.5


def test_each_label(drawn: Sets) -> None:
    true = np.array([[1, 0], [1, 1], [0, 0]]) > 0
    called = np.array([[1, 0], [0, 1], [1, 0]]) > 0
    found = labels.by_label(true, called, np.where(called, 0.9, 0.1), ["a", "b"])
    assert found["a"] == {
        "rows": 2,
        "predicted": 2,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "average_precision": pytest.approx((0.5 + 2 / 3) / 2),
    }
    assert found["b"]["f1"] == found["b"]["average_precision"] == 1
