"""Qualities of bases with and without a calibration."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.errors import ConfigError
from biorrn.inference.quality import HIGHEST, LOWEST, Calibration, calibration_of, phred

LINES = st.builds(Calibration, st.floats(0, 3), st.floats(-30, 30))


@given(st.lists(st.floats(0, 1, width=32), max_size=50), st.none() | LINES)
def test_one_quality_a_base_in_range_and_in_order(values: list[float], line: Calibration | None) -> None:
    probabilities = np.sort(np.array(values, np.float32))
    found = phred(probabilities, line)
    assert found.dtype == np.uint8
    assert found.shape == probabilities.shape
    assert ((found >= LOWEST) & (found <= HIGHEST)).all()
    assert (np.diff(found.astype(int)) >= 0).all()


def test_the_line_of_no_change_changes_nothing() -> None:
    probabilities = np.linspace(0, 1, 200)
    assert phred(probabilities, Calibration()).tolist() == phred(probabilities).tolist()


def test_calibration_is_of_the_unrounded_quality() -> None:
    assert phred(np.array([1 - 10**-1.04, 1 - 10**-1.049]), Calibration(10.0, -100.0)).tolist() == [4, 5]


def test_calibration_among_the_facts_of_a_model() -> None:
    assert calibration_of({"task": "basecalling"}) is None
    written = json.loads(json.dumps({"qscore": {"slope": 0.5, "shift": 3}}))
    assert calibration_of(written) == Calibration(0.5, 3.0)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"slope": 1},
        {"slope": -1, "shift": 0},
        {"slope": float("nan"), "shift": 0},
        {"slope": "x", "shift": 0},
        3,
        [],
    ],
)
def test_calibration_that_is_none_is_one_line(found: object) -> None:
    with pytest.raises(ConfigError, match=r"qscore: found .*; allowed are a 'slope' of 0 or more and a 'shift'"):
        calibration_of({"qscore": found})
