"""Calibration of classes: temperature scaling, conformal prediction sets, and a flag of proteins of no known class.

Where a protein may have several classes, the logit of each is divided by one temperature and moved by a shift of its
own (Platt scaling, with shifts drawn towards 0, as a class has few rows); a class is called from the probability on
at which micro F1 of the calibration rows is best. Its sets miss on average at most 1 - level of the true classes of a
protein that has any (conformal risk control, Angelopoulos et al. 2022, arXiv:2208.02814).

All three are fitted to rows that neither trained the model nor chose anything of it. One temperature divides the scores
of all classes (Guo et al. 2017, ICML 70:1321). A set has each class whose probability is at least 1 - q, with q the
conformal quantile of 1 - probability of the true class (Sadinle, Lei and Wasserman 2019, J Am Stat Assoc 114:223): it
holds the true class of new rows of the same distribution as often as its level says. Relatives count together, each
group once, as a new protein without a relative is drawn like a group and not like a row. Where the model is right more
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

from biorrn.proteins.uncertainty.conformal import FOLDS, LEVELS, check_level, dealt
from biorrn.stats.classification import reliability
from biorrn.stats.labels import best_threshold

FEWEST = 10  # rows of a calibration; from so few on there is a quantile at 90 %
PRIOR = 0.5  # standard deviation of the logarithm of the temperature, before any row is seen
SHIFT = 1.0  # standard deviation of a shift of a logit, before any row is seen
FLAGGED = 0.1  # part of the calibration rows that has the flag
GROUPS = 20  # groups of relatives from which on each counts once in the sets
FLAG = "of_no_known_class"
SEEN = 0.01  # least probability of a class that counts in the reliability of sets
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


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities, float64 (N, C), of logits (N, C)."""
    from scipy.special import expit  # silent at any logit

    return np.asarray(expit(logits), np.float64)


def fit_platt(logits: np.ndarray, true: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the most probable temperature and shifts (C,) given the true sets, bool (N, C), from logits (N, C).

    The priors are log-normal around 1 and normal around 0: a class without rows keeps its logit, but for the
    temperature.
    """
    from scipy.optimize import minimize

    def nats(at: np.ndarray) -> tuple[float, np.ndarray]:
        power, shifts = at[0], at[1:]
        scaled = logits * np.exp(-power) + shifts
        lost = np.logaddexp(0.0, scaled) - true * scaled
        slope = sigmoid(scaled) - true
        value = lost.sum() + power**2 / (2 * PRIOR**2) + (shifts**2).sum() / (2 * SHIFT**2)
        first = -(slope * logits).sum() * np.exp(-power) + power / PRIOR**2
        return float(value), np.concatenate([[first], slope.sum(axis=0) + shifts / SHIFT**2])

    ends = [(-np.log(WARMEST), np.log(WARMEST)), *[(None, None)] * logits.shape[1]]
    found = minimize(nats, np.zeros(logits.shape[1] + 1), jac=True, method="L-BFGS-B", bounds=ends).x
    return float(np.exp(found[0])), np.asarray(found[1:])


def fit_scaling(scores: np.ndarray, true: np.ndarray) -> tuple[float, np.ndarray | None]:
    """Return the temperature, and of sets the shifts (C,); from true classes (N,) or sets (N, C)."""
    return fit_platt(scores, true) if true.ndim == 2 else (fit_temperature(scores, true), None)


def scaled(scores: np.ndarray, temperature: float, shifts: np.ndarray | None) -> np.ndarray:
    """Return the probabilities (N, C) of scores (N, C); `shifts` (C,) of sets, None of one class a row."""
    return softmax(scores, temperature) if shifts is None else sigmoid(scores / temperature + shifts)


def out_of_fold(logs: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) of scores (N, C): those of each fold at the temperature of the others."""
    found = np.empty(logs.shape)
    for part in dealt(np.arange(len(true)), FOLDS):
        rest = np.setdiff1d(np.arange(len(true)), part)
        found[part] = scaled(logs[part], *fit_scaling(logs[rest], true[rest]))
    return found


def least_of(found: np.ndarray, true: np.ndarray, level: float, groups: np.ndarray | None = None) -> float | None:
    """Return the least probability of a class in a set for a level; None where the rows are too few.

    Parameters
    ----------
    found : float array (N, C): probabilities that the true classes, int (N,), or sets, bool (N, C), had no part in.
    groups : int array (N,), optional: of relatives; see `weights_of`.
    """
    several = true.ndim == 2
    given = true.sum(axis=1) if several else np.ones(len(true), np.int64)
    rows, classes = np.nonzero(true) if several else (np.arange(len(true)), true)
    own, number = weights_of(np.arange(len(true)) if groups is None else groups, given > 0)
    order = np.argsort(found[rows, classes], kind="stable")
    sure, weights = found[rows, classes][order], (own / np.maximum(given, 1))[rows][order]
    if not several:
        reached = np.cumsum(weights[::-1]) / (number + 1)  # by sets that go down to each probability, of the highest on
        if not len(reached) or reached[-1] < level - 1e-9:
            return None
        return float(np.interp(level, reached, sure[::-1]))
    missed = np.cumsum(weights) - weights  # what the sets miss that begin at each probability
    missed = missed[np.searchsorted(sure, sure, side="left")]
    allowed = np.flatnonzero(missed + 1 <= (1 - level) * (number + 1) + 1e-9)
    return float(sure[allowed[-1]]) if len(allowed) else None


def weights_of(groups: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the weight of each row, and the number of groups: each group counts once (Lee, Barber and Willett 2023).

    Rows of relatives are not drawn one by one, and one large group would decide. Where fewer than `GROUPS` groups are
    there, each row is its own.

    Parameters
    ----------
    groups : int array (N,); there : bool array (N,): rows that count.
    """
    _, place, sizes = np.unique(groups[there], return_inverse=True, return_counts=True)
    found = np.zeros(len(groups))
    if len(sizes) < GROUPS:
        found[there] = 1.0
        return found, int(there.sum())
    found[there] = 1 / sizes[place]
    return found, len(sizes)


def kept(sets: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the share of the true classes that sets, bool (N, C), hold: 0 or 1 for one class a row; NaN for none.

    Parameters
    ----------
    true : int array (N,), or bool array (N, C).
    """
    if true.ndim == 1:
        return np.asarray(sets[np.arange(len(true)), true], np.float64)
    given = true.sum(axis=1)
    return np.where(given > 0, (sets & true).sum(axis=1) / np.maximum(given, 1), np.nan)


def fit(logs: np.ndarray, true: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Any] | None:
    """Return the fact `class_calibration` of a model; None for fewer than `FEWEST` rows.

    Parameters
    ----------
    logs : float array (N, C): logarithms of probabilities, or scores; of sets logits.
    true : int array (N,), or of sets bool array (N, C).
    groups : int array (N,), optional: of relatives, which count together in the sets.
    """
    several = true.ndim == 2
    labelled = true.any(axis=1) if several else np.ones(len(true), bool)
    if labelled.sum() < FEWEST:
        return None
    found = out_of_fold(logs, true)
    least = [least_of(found, true, level, groups) for level in LEVELS]
    temperature, shifts = fit_scaling(logs, true)
    own = {}
    if shifts is not None:
        own = {"shifts": [_short(shift) for shift in shifts], "threshold": _short(best_threshold(true, found))}
    return {
        "rows": len(true),
        **({} if groups is None else {"clusters": len(np.unique(groups))}),
        "temperature": _short(temperature),
        **own,
        "quantiles": [None if one is None else _short(max(1 - one, 0.0)) for one in least],
        "doubt": _short(float(np.quantile(found.max(axis=1), FLAGGED))),
    }


SHOWN = (0.5, 0.8, 0.9, 0.95)  # levels of the summary


def fit_lines(
    entry: Mapping[str, Any], logs: np.ndarray, true: np.ndarray, groups: np.ndarray | None = None
) -> list[str]:
    """Return a calibration in lines: temperature, calibration error, and coverage and size of sets, out of fold."""
    clusters = np.arange(len(true)) if groups is None else groups
    found = out_of_fold(logs, true)
    rows = np.arange(len(true))
    raw = scaled(logs, 1.0, np.zeros(logs.shape[1]) if true.ndim == 2 else None)
    before, error = (confidence(one, true)["calibration_error"] for one in (raw, found))
    said = f"; called from {entry['threshold']:.3f} on" if true.ndim == 2 else ""
    lines = [
        f"{entry['rows']:,} rows; temperature {entry['temperature']:.3f}{said}; calibration error {before:.3f} before, "
        f"{error:.3f} after (out of fold)",
        "level\theld\tmean_size",
    ]
    for level in SHOWN:
        held, sizes = np.zeros(len(true)), np.zeros(len(true), np.int64)
        for part in dealt(rows, FOLDS):
            rest = np.setdiff1d(rows, part)
            sets = found[part] >= (least_of(found[rest], true[rest], level, clusters[rest]) or 0.0)
            held[part], sizes[part] = kept(sets, true[part]), sets.sum(1)
        lines.append(f"{level:g}\t{np.nanmean(held):.3f}\t{sizes.mean():.2f}")
    return lines


def confidence(probabilities: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """Return `reliability` of the most probable class of each row; of sets, of each class of `SEEN` or more.

    Parameters
    ----------
    probabilities : float array (N, C); true : int array (N,), or of sets bool array (N, C).
    """
    if true.ndim == 2:
        shown = probabilities >= SEEN
        return reliability(true[shown], probabilities[shown], "rows")
    return reliability(probabilities.argmax(1) == true, probabilities.max(1), "rows")


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
    shifts : float array (C,) of a model of sets, optional: added to its logits; None of one of one class a protein.
    threshold : float: the least probability of a class that is called, of sets.
    """

    temperature: float
    least: float | None
    doubt: float
    shifts: np.ndarray | None = None
    threshold: float = 0.5

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
        none = np.zeros(len(facts["classes"])) if facts.get("sets") else None
        if not entry:
            return cls(1.0, None, 0.0, none)
        most, shifts = entry["quantiles"][place], entry.get("shifts")
        least = None if most is None else 1.0 - most
        shifts = none if not shifts else np.array(shifts, np.float64)
        return cls(entry["temperature"], least, entry["doubt"], shifts, entry.get("threshold", 0.5))

    def __call__(self, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return probabilities (N, C), and the bool array (N,) of proteins of no known class.

        Parameters
        ----------
        logs : float array (N, C): logarithms of probabilities before calibration, or logits; NaN for a record that was
            left out.
        """
        probabilities = scaled(logs, self.temperature, self.shifts)
        return probabilities, probabilities.max(axis=1) < self.doubt

    def called(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the bool array (N, C) of the classes that are predicted: the most probable, or of sets the likely."""
        if self.shifts is not None:
            return probabilities >= self.threshold
        return np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]

    def sets(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Return the bool array (N, C) of the classes in each set; None where the model has no sets."""
        # rounding must not empty a set whose class lies on the border
        return None if self.least is None else probabilities >= self.least - 1e-12
