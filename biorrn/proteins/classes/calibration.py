"""Calibration of classes: temperature scaling, conformal prediction sets, and a flag of proteins of no known class.

All three are fitted to rows that neither trained the model nor chose anything of it. One temperature divides the scores
of all classes (Guo et al. 2017, ICML 70:1321). A set has each class whose probability is at least 1 - q, with q the
conformal quantile of 1 - probability of the true class (Sadinle, Lei and Wasserman 2019, J Am Stat Assoc 114:223): it
holds the true class of new rows of the same distribution as often as its level says. Where the model is right more
often than the level asks, some sets are empty: then no class is likely enough. A protein whose most probable class is
less probable than that of `FLAGGED` of the calibration rows is flagged as of no known class (Hendrycks and Gimpel 2017,
ICLR). On domains of families that were held out, this found more of them than the energy of the scores, distances in
the space of the last layer, or the nearest training row by k-mers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from biorrn.proteins.uncertainty.conformal import FOLDS, LEVELS, check_level, dealt, quantile
from biorrn.stats.classification import reliability

FEWEST = 10  # rows of a calibration; from so few on there is a quantile at 90 %
PRIOR = 0.5  # standard deviation of the logarithm of the temperature, before any row is seen
FLAGGED = 0.1  # part of the calibration rows that has the flag
FLAG = "of_no_known_class"
WARMEST = 20.0  # temperature; the coldest is the inverse
DIGITS = 6  # of a stored number


def softmax(logs: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the probabilities, float64 (N, C), of scores (N, C) at a temperature."""
    scaled = logs / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_temperature(logs: np.ndarray, true: np.ndarray) -> float:
    """Return the most probable temperature given the true classes (N,), from scores (N, C).

    A log-normal prior around 1 keeps few rows that are all right from making every probability 1.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(true))

    def nats(power: float) -> float:
        sure = softmax(logs, np.exp(power))[rows, true]
        return power**2 / (2 * PRIOR**2) - float(np.log(np.maximum(sure, 1e-300)).sum())

    ends = (-np.log(WARMEST), np.log(WARMEST))
    return float(np.exp(minimize_scalar(nats, bounds=ends, method="bounded", options={"xatol": 1e-4}).x))


def out_of_fold(logs: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) of scores (N, C): those of each fold at the temperature of the others."""
    found = np.empty(logs.shape)
    for part in dealt(np.arange(len(true)), FOLDS):
        rest = np.setdiff1d(np.arange(len(true)), part)
        found[part] = softmax(logs[part], fit_temperature(logs[rest], true[rest]))
    return found


def fit(logs: np.ndarray, true: np.ndarray) -> dict[str, Any] | None:
    """Return the fact `class_calibration` of a model; None for fewer than `FEWEST` rows.

    Parameters
    ----------
    logs : float array (N, C): logarithms of probabilities, or scores.
    true : int array (N,).
    """
    if len(true) < FEWEST:
        return None
    found = out_of_fold(logs, true)
    errors = 1 - found[np.arange(len(true)), true]
    quantiles = [quantile(errors, level) for level in LEVELS]
    return {
        "rows": len(true),
        "temperature": _short(fit_temperature(logs, true)),
        "quantiles": [None if found is None else _short(max(found, 0.0)) for found in quantiles],
        "doubt": _short(float(np.quantile(found.max(axis=1), FLAGGED))),
    }


SHOWN = (0.5, 0.8, 0.9, 0.95)  # levels of the summary


def fit_lines(entry: Mapping[str, Any], logs: np.ndarray, true: np.ndarray) -> list[str]:
    """Return a calibration in lines: temperature, calibration error, and coverage and size of sets, out of fold."""
    found = out_of_fold(logs, true)
    rows = np.arange(len(true))
    error = reliability(found.argmax(1) == true, found.max(1), "rows")["calibration_error"]
    before = reliability(logs.argmax(1) == true, softmax(logs).max(1), "rows")["calibration_error"]
    lines = [
        f"{entry['rows']:,} rows; temperature {entry['temperature']:.3f}; calibration error {before:.3f} before, "
        f"{error:.3f} after (out of fold)",
        "level\theld\tmean_size",
    ]
    for level in SHOWN:
        held, sizes = np.zeros(len(true), bool), np.zeros(len(true), np.int64)
        for part in dealt(rows, FOLDS):
            rest = np.setdiff1d(rows, part)
            most = quantile(1 - found[rest, true[rest]], level)
            sets = found[part] >= (1 - most if most is not None else 0.0)
            held[part], sizes[part] = sets[np.arange(len(part)), true[part]], sets.sum(1)
        lines.append(f"{level:g}\t{held.mean():.3f}\t{sizes.mean():.2f}")
    return lines


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the scores of a model become, at a level.

    Attributes
    ----------
    temperature : float.
    least : float, optional: the least probability of a class in a set; None where the model has no sets.
    doubt : float: a protein whose most probable class is less probable than this is flagged.
    """

    temperature: float
    least: float | None
    doubt: float

    @classmethod
    def of(cls, facts: Mapping[str, Any], level: float) -> Calibrated | None:
        """Return that of the facts of a model; None of one that predicts no classes.

        Raises
        ------
        ConfigError: the level is out of range.
        """
        place = LEVELS.index(check_level(level))
        if facts.get("task") != "classification":
            return None
        entry = facts.get("class_calibration")
        if not entry:
            return cls(1.0, None, 0.0)
        most = entry["quantiles"][place]
        return cls(entry["temperature"], None if most is None else 1.0 - most, entry["doubt"])

    def __call__(self, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (N, C), and the bool array (N,) of proteins of no known class.

        Parameters
        ----------
        logs : float array (N, C): logarithms of probabilities before calibration; NaN for a record that was left out.
        """
        probabilities = softmax(logs, self.temperature)
        return probabilities, probabilities.max(axis=1) < self.doubt

    def sets(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Return the bool array (N, C) of the classes in each set; None where the model has no sets."""
        # rounding must not empty a set whose class lies on the border
        return None if self.least is None else probabilities >= self.least - 1e-12
