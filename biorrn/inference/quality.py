"""Qualities of called bases on the Phred scale, and the line that makes them mean what they say.

A decoder knows how sure the model is of a base, which is not how often such a base is right. A calibration is two
numbers, fitted on reads of a known genome by `biorrn calibrate` and kept with the model:
Q = slope * (-10 log10(1 - p)) + shift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from biorrn.errors import ConfigError

LOWEST, HIGHEST = 1, 40  # Phred; of what a model says and of what is written


@dataclass(frozen=True, slots=True)
class Calibration:
    """The line from a model's own Q to a calibrated one; rising or flat, so that the order of bases stays.

    >>> Calibration(0.5, 3.0).apply(np.array([1.0, 20.0, 40.0])).tolist()
    [3.5, 13.0, 23.0]
    """

    slope: float = 1.0
    shift: float = 0.0

    def apply(self, q: np.ndarray) -> np.ndarray:
        """Return calibrated qualities, float64 and kept within 1 to 40, of a model's own ones (any shape)."""
        return np.clip(self.slope * np.asarray(q, np.float64) + self.shift, LOWEST, HIGHEST)


def calibration_of(facts: Mapping[str, Any]) -> Calibration | None:
    """Return the calibration among the facts of a model, `{"qscore": {"slope", "shift"}}`; None where there is none.

    Raises
    ------
    ConfigError: not two finite numbers, or a slope below 0.
    """
    found = facts.get("qscore")
    if found is None:
        return None
    try:
        made = Calibration(float(found["slope"]), float(found["shift"]))
        usable = made.slope >= 0 and math.isfinite(made.slope + made.shift)
    except (TypeError, KeyError, ValueError):
        usable = False
    if not usable:
        raise ConfigError(f"model: qscore: found {found!r}; allowed are a 'slope' of 0 or more and a 'shift'")
    return made


def phred(probabilities: np.ndarray, calibration: Calibration | None = None) -> np.ndarray:
    """Return the quality of each base as uint8: -10 log10(1 - p), calibrated, rounded, and kept within 1 to 40.

    Parameters
    ----------
    probabilities : float array (L,): how sure the model is of each base, 0 to 1.
    calibration : Calibration, optional: see `calibration_of`; without one the model's own Q is returned.

    >>> phred(np.array([0.0, 0.5, 0.9, 0.999, 1.0])).tolist()
    [1, 3, 10, 30, 40]
    >>> phred(np.array([0.0, 0.5, 0.9, 0.999, 1.0]), Calibration(0.5, 3.0)).tolist()
    [4, 5, 8, 18, 23]
    """
    wrong = np.clip(1.0 - np.asarray(probabilities, np.float64), 1e-9, 1.0)
    q = np.clip(-10.0 * np.log10(wrong), LOWEST, HIGHEST)
    return np.rint((calibration or Calibration()).apply(q)).astype(np.uint8)
