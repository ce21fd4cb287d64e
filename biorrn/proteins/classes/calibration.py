"""Calibration of classes: temperature scaling, conformal prediction sets, and a flag of proteins of no known class.

All three are fitted to rows that neither trained the model nor chose anything of it. One temperature divides the scores
of all classes (Guo et al. 2017, ICML 70:1321). A set has each class whose probability is at least 1 - q, with q the
conformal quantile of 1 - probability of the true class (Sadinle, Lei and Wasserman 2019, J Am Stat Assoc 114:223): it
holds the true class of new rows of the same distribution as often as its level says. Where the model is right more
often than the level asks, some sets are empty: then no class is likely enough. The evidence of a protein is the
log-sum-exp of its scores, the mean over the members of an ensemble (the energy score of Liu et al. 2020, NeurIPS
33:21464); one with less of it than `FLAGGED` of the calibration rows is flagged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from biorrn.proteins.uncertainty.conformal import FOLDS, LEVELS, check_level, dealt, quantile

FEWEST = 20  # rows of a calibration
FLAGGED = 0.05  # part of the calibration rows that has the flag
FLAG = "of_no_known_class"
WARMEST = 20.0  # temperature; the coldest is the inverse
DIGITS = 6  # of a stored number


def softmax(logs: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the probabilities, float64 (N, C), of scores (N, C) at a temperature."""
    scaled = logs / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_temperature(logs: np.ndarray, true: np.ndarray) -> float:
    """Return the temperature of the highest likelihood of the true classes (N,), from scores (N, C)."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(true))

    def nats(power: float) -> float:
        return -float(np.log(np.maximum(softmax(logs, np.exp(power))[rows, true], 1e-300)).mean())

    ends = (-np.log(WARMEST), np.log(WARMEST))
    return float(np.exp(minimize_scalar(nats, bounds=ends, method="bounded", options={"xatol": 1e-4}).x))


def out_of_fold(logs: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) of scores (N, C): those of each fold at the temperature of the others."""
    found = np.empty(logs.shape)
    for part in dealt(np.arange(len(true)), FOLDS):
        rest = np.setdiff1d(np.arange(len(true)), part)
        found[part] = softmax(logs[part], fit_temperature(logs[rest], true[rest]))
    return found


def fit(logs: np.ndarray, evidence: np.ndarray, true: np.ndarray) -> dict[str, Any] | None:
    """Return the fact `class_calibration` of a model; None for fewer than `FEWEST` rows.

    Parameters
    ----------
    logs : float array (N, C): logarithms of probabilities, or scores.
    evidence : float array (N,): log-sum-exp of the scores.
    true : int array (N,).
    """
    if len(true) < FEWEST:
        return None
    errors = 1 - out_of_fold(logs, true)[np.arange(len(true)), true]
    quantiles = [quantile(errors, level) for level in LEVELS]
    return {
        "rows": len(true),
        "temperature": _short(fit_temperature(logs, true)),
        "quantiles": [None if found is None else _short(max(found, 0.0)) for found in quantiles],
        "evidence": _short(float(np.quantile(evidence, FLAGGED))),
    }


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the scores of a model become, at a level.

    Attributes
    ----------
    temperature : float.
    least : float, optional: the least probability of a class in a set; None where the model has no sets.
    evidence : float: below it a protein is of no known class.
    """

    temperature: float
    least: float | None
    evidence: float

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
            return cls(1.0, None, -np.inf)
        most = entry["quantiles"][place]
        return cls(entry["temperature"], None if most is None else 1.0 - most, entry["evidence"])

    def __call__(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (N, C), and the bool array (N,) of proteins of no known class.

        Parameters
        ----------
        values : float array (N, C + 1): scores, and the evidence; NaN for a record that was left out.
        """
        with np.errstate(invalid="ignore"):
            return softmax(values[:, :-1], self.temperature), values[:, -1] < self.evidence

    def sets(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Return the bool array (N, C) of the classes in each set; None where the model has no sets."""
        # rounding must not empty a set whose class lies on the border
        return None if self.least is None else probabilities >= self.least - 1e-12
