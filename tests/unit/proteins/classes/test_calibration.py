"""Calibration of classes: temperature, coverage of sets on new rows, the flag, and models without a calibration."""

import numpy as np
import pytest

from biorrn.base.errors import ConfigError
from biorrn.proteins.classes.calibration import (
    FEWEST,
    FLAGGED,
    SHIFT,
    Calibrated,
    fit,
    fit_lines,
    fit_platt,
    fit_temperature,
    kept,
    sigmoid,
    softmax,
)
from biorrn.proteins.uncertainty.conformal import LEVELS
from biorrn.stats.classification import reliability

CLASSES = 6


def drawn(rows: int, seed: int, heat: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return scores whose softmax at temperature `heat` has the true probabilities, and classes drawn from these."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(0, 2, (rows, CLASSES))
    shares = softmax(logs).cumsum(axis=1)
    true = (rng.random(rows)[:, None] > shares).sum(axis=1).clip(max=CLASSES - 1)
    return logs * heat, true


@pytest.mark.parametrize("heat", [0.4, 1.0, 3.0])
def test_the_temperature_is_found(heat: float) -> None:
    logs, true = drawn(4000, 0, heat)
    assert fit_temperature(logs, true) == pytest.approx(heat, rel=0.06)


def test_probabilities_of_new_rows_are_as_promised_after_and_not_before() -> None:
    (logs, true), (new, truth) = drawn(2000, 1, 3.0), drawn(4000, 2, 3.0)
    entry = fit(logs, true)
    assert entry is not None
    errors = {}
    for name, temperature in (("before", 1.0), ("after", entry["temperature"])):
        found = softmax(new, temperature)
        errors[name] = reliability(found.argmax(1) == truth, found.max(1), "rows")["calibration_error"]
    assert errors["after"] < 0.03 < 0.1 < errors["before"]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_sets_hold_as_often_as_promised(level: float) -> None:
    """Over many calibrations of 100 rows, the mean coverage of new rows is the level."""
    held = []
    for seed in range(40):
        logs, true = drawn(100, 10 + seed, 2.0)
        entry = fit(logs, true)
        made = Calibrated.of({"task": "classification", "class_calibration": entry}, level)
        assert made is not None
        new, truth = drawn(500, 1000 + seed, 2.0)
        sets = made.sets(made(new)[0])
        assert sets is not None
        held.append(sets[np.arange(len(truth)), truth].mean())
    assert np.mean(held) == pytest.approx(level, abs=0.02)


@pytest.mark.filterwarnings("error")
def test_probabilities_of_extreme_logits() -> None:
    logits = np.array([[1e308, -1e308, np.inf, -np.inf, 0.0]])
    assert sigmoid(logits).tolist() == [[1.0, 0.0, 1.0, 0.0, 0.5]]
    assert sigmoid(logits[:, -1:].astype(np.float32)).dtype == np.float64


def test_a_higher_level_has_larger_sets() -> None:
    logs, true = drawn(300, 3)
    entry = fit(logs, true)
    sizes = []
    for level in (0.5, 0.7, 0.9, 0.99):
        made = Calibrated.of({"task": "classification", "class_calibration": entry}, level)
        assert made is not None
        sets = made.sets(made(logs)[0])
        assert sets is not None
        sizes.append(sets.sum())
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_the_flag_is_of_as_many_rows_as_it_says_and_of_rows_without_a_favourite() -> None:
    logs, true = drawn(1000, 4, 2.0)
    made = Calibrated.of({"task": "classification", "class_calibration": fit(logs, true)}, 0.9)
    assert made is not None
    assert made(logs)[1].mean() == pytest.approx(FLAGGED, abs=0.01)
    assert made(np.zeros((3, CLASSES)))[1].all()
    assert not made(np.eye(CLASSES) * 50)[1].any()


def test_too_few_rows() -> None:
    logs, true = drawn(FEWEST - 1, 5)
    assert fit(logs, true) is None
    entry = fit(*drawn(FEWEST, 5))
    assert entry is not None
    assert entry["quantiles"][LEVELS.index(0.9)] is not None
    assert entry["quantiles"][-1] is None  # so few rows say nothing of 99 %


def test_without_a_calibration_there_are_probabilities_alone() -> None:
    made = Calibrated.of({"task": "classification"}, 0.9)
    assert made is not None
    logs, _ = drawn(5, 6)
    probabilities, strange = made(logs)
    assert probabilities == pytest.approx(softmax(logs))
    assert made.sets(probabilities) is None
    assert not strange.any()
    assert Calibrated.of({"task": "regression"}, 0.9) is None


def test_a_record_that_was_left_out_is_not_flagged() -> None:
    logs, true = drawn(100, 7)
    made = Calibrated.of({"task": "classification", "class_calibration": fit(logs, true)}, 0.9)
    assert made is not None
    probabilities, strange = made(np.full((1, CLASSES), np.nan))
    assert np.isnan(probabilities).all()
    assert not strange.any()


def test_level_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"--level: found 0\.3; allowed is 0\.5 to 0\.99"):
        Calibrated.of({"task": "classification"}, 0.3)


def test_lines_tell_coverage_out_of_fold() -> None:
    logs, true = drawn(500, 8, 3.0)
    entry = fit(logs, true)
    assert entry is not None
    first, header, *rows = fit_lines(entry, logs, true)
    assert first.startswith("500 rows; temperature ")
    assert header == "level\theld\tmean_size"
    for level, held, size in (map(float, row.split("\t")) for row in rows):
        assert held == pytest.approx(level, abs=0.05)
        assert 0 < size <= CLASSES


@pytest.mark.parametrize("several", [False, True])
def test_sets_hold_for_new_groups_of_relatives(several: bool) -> None:
    """Relatives share an error. Of new groups, each counted once, the mean coverage is the level."""
    held = []
    for seed in range(30):
        rng = np.random.default_rng(seed)

        def groups(
            number: int, rng: np.random.Generator = rng, seed: int = seed
        ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            sizes = rng.choice([1, 2, 30], number, p=[0.7, 0.2, 0.1])
            own = np.repeat(np.arange(number), sizes)
            logits = rng.normal(0, 2, (number, CLASSES))
            true = rng.random((number, CLASSES)) < sigmoid(logits - 1) if several else drawn(number, seed)[1]
            if not several:
                logits = rng.normal(0, 1, (number, CLASSES)) + 2 * np.eye(CLASSES)[true]
            return (logits[own] + 0.1 * rng.normal(size=(len(own), CLASSES))), true[own], own

        entry = fit(*groups(60))
        assert entry is not None
        assert entry["clusters"] == 60
        facts = {"task": "classification", "class_calibration": entry}
        made = Calibrated.of(facts | ({"sets": True, "classes": ["x"] * CLASSES} if several else {}), 0.8)
        assert made is not None
        logits, true, own = groups(400)
        sets = made.sets(made(logits)[0])
        assert sets is not None
        share = kept(sets, true)
        there = np.isfinite(share)
        held.append(np.mean([share[there & (own == one)].mean() for one in np.unique(own[there])]))
    assert 0.77 < np.mean(held) < 0.85


def test_few_groups_count_by_rows() -> None:
    logs, true = drawn(100, 3)
    assert fit(logs, true, np.zeros(100, int))["quantiles"] == fit(logs, true)["quantiles"]  # type: ignore[index]


def drawn_sets(rows: int, seed: int, heat: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits whose probabilities are right when cooled and shifted, and sets drawn from these."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 2, (rows, CLASSES))
    return (logits - shift) * heat, rng.random(logits.shape) < sigmoid(logits)


def test_temperature_and_shifts_of_sets_are_found() -> None:
    logits, true = drawn_sets(4000, 0, 2.0, 0.7)
    temperature, shifts = fit_platt(logits, true)
    assert temperature == pytest.approx(2.0, rel=0.06)
    assert shifts == pytest.approx(np.full(CLASSES, 0.7), abs=0.15)


def test_a_class_that_no_row_has_keeps_its_logit_near() -> None:
    logits, true = drawn_sets(40, 1)
    true[:, 0] = False
    assert -4 * SHIFT < fit_platt(logits, true)[1][0] < 0


@pytest.mark.parametrize("level", [0.7, 0.9])
def test_sets_of_labels_miss_as_few_as_promised(level: float) -> None:
    """Over many calibrations of 100 rows, the mean share of the true classes in the sets is at least the level."""
    held = []
    for seed in range(40):
        entry = fit(*drawn_sets(100, 10 + seed, 2.0))
        facts = {"task": "classification", "sets": True, "classes": ["x"] * CLASSES, "class_calibration": entry}
        made = Calibrated.of(facts, level)
        assert made is not None
        new, truth = drawn_sets(500, 1000 + seed, 2.0)
        sets = made.sets(made(new)[0])
        assert sets is not None
        held.append(np.nanmean(kept(sets, truth)))
    assert level - 0.01 < np.mean(held) < level + 0.03


def test_the_share_that_sets_hold_by_hand() -> None:
    sets, true = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]]) > 0, np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]]) > 0
    assert kept(sets, true)[:2].tolist() == [0.5, 0.0]
    assert np.isnan(kept(sets, true)[2])
    assert kept(sets, np.array([0, 1, 2])).tolist() == [1, 0, 1]


def test_a_set_is_called_from_a_threshold_on() -> None:
    entry = fit(*drawn_sets(300, 4))
    assert entry is not None
    facts = {"task": "classification", "sets": True, "classes": ["x"] * CLASSES, "class_calibration": entry}
    made = Calibrated.of(facts, 0.9)
    assert made is not None
    assert 0.2 < entry["threshold"] < 0.7
    assert made.called(np.full((1, CLASSES), entry["threshold"])).all()
    assert not made.called(np.full((1, CLASSES), entry["threshold"] - 0.01)).any()
    assert made.called(np.array([[0.2, 0.5, 0.3, 0, 0, 0]])).shape == (1, CLASSES)


def test_few_rows_that_are_all_right_do_not_make_the_model_certain() -> None:
    logs = np.log(np.where(np.eye(CLASSES)[np.arange(12) % CLASSES] > 0, 0.8, 0.2 / (CLASSES - 1)))
    entry = fit(logs, np.arange(12) % CLASSES)
    assert entry is not None
    assert 0.3 < entry["temperature"] < 1
