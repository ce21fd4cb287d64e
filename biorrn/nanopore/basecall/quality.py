"""Phred qualities of called bases, and their calibration by a generalised additive model of the odds of an error.

The probability that a model gives a base is not its observed accuracy. The input of the calibration are two
probabilities per base from the decoder. `features` derives from them those of the base and the next bases, the
homopolymer around it, and a mean over the read, which indicates noise and other chemistries. Each feature adds a
piecewise linear term to the log-odds of an error (Hastie and Tibshirani 1986, Statistical Science 1:297). A final
monotone piecewise linear map transforms their sum. `biorrn evaluate calibrate` fits the terms to reads of a known
genome; they are stored with the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError

LOWEST, HIGHEST = 1, 40  # Phred, of raw and of calibrated qualities
LONGEST_RUN = 12  # bases; longer homopolymers count as this long
MOST_KNOTS = 100
DORADO_POWER = 0.4  # of a posterior probability, before its Phred score; dorado/decode/beam_search.cpp
# columns of `features`, each with the sign of the change in the odds of an error when it increases; 0: either.
# Probabilities are in Phred: -10 log10(1 - p)
FEATURES: dict[str, int] = {
    "state": -1,  # posterior of the state that the base leads to
    "next_state": -1,  # of the next base, whose state includes this one; then of the one after it
    "second_state": -1,
    "share": -1,  # share of the base in the posterior of the moves around it
    "run": 0,  # bases of the homopolymer
    "place": 0,  # of the base in it, from 0
    "read_share": 1,  # mean over the read of 1 - share, a probability: high for noise and other chemistries
}


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear function of value `gives` (K,) at increasing knots `at` (K,), constant outside them."""

    at: np.ndarray
    gives: np.ndarray


@dataclass(frozen=True, slots=True)
class Calibration:
    """Model of the probability that a base is wrong; see the module.

    Attributes
    ----------
    intercept : float: log-odds.
    terms : Curve of each feature used, by its name.
    final : Curve from the sum of intercept and terms to the log-odds of an error.
    """

    intercept: float
    terms: dict[str, Curve]
    final: Curve

    def sums(self, features: np.ndarray) -> np.ndarray:
        """Return the sum of intercept and terms, float64 (L,), for `features` (L, F)."""
        total = np.full(len(features), self.intercept)
        for name, curve in self.terms.items():
            total += np.interp(features[:, list(FEATURES).index(name)], curve.at, curve.gives)
        return total

    def errors(self, features: np.ndarray) -> np.ndarray:
        """Return the probability float64 (L,) that each base is wrong."""
        return np.asarray(1 / (1 + np.exp(-np.interp(self.sums(features), self.final.at, self.final.gives))))

    def qualities(self, bases: str, evidence: np.ndarray) -> np.ndarray:
        """Return the calibrated quality of each base of a whole read, uint8 (L,), 1 to 40."""
        return phred(1.0 - self.errors(features(bases, evidence)))


@dataclass(frozen=True, slots=True)
class Line:
    """Calibration of an imported model: the Phred score of a base's own probability, times `scale`, plus `bias`.

    `own` is the column of the evidence that holds the probability (see `decode.Decoded`), which is first raised to
    `power`. Dorado raises the posterior of a state, with that of its neighbours, to `DORADO_POWER`.
    """

    scale: float
    bias: float
    own: int = 0
    power: float = 1.0

    def qualities(self, bases: str, evidence: np.ndarray) -> np.ndarray:
        """Return the quality of each base of a whole read, uint8 (L,), 1 to 40."""
        found = self.scale * own_q(evidence[:, self.own] ** self.power).astype(np.float64) + self.bias
        return np.rint(np.clip(found, LOWEST, HIGHEST)).astype(np.uint8)


def _runs(letters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the length of the homopolymer around each letter (L,), and the letter's place in it."""
    starts = np.flatnonzero(np.concatenate([[True], letters[1:] != letters[:-1]]))
    counts = np.diff(starts, append=len(letters))
    places = np.arange(len(letters)) - np.repeat(starts, counts)
    return np.minimum(np.repeat(counts, counts), LONGEST_RUN), np.minimum(places, LONGEST_RUN)


def features(bases: str, evidence: np.ndarray) -> np.ndarray:
    """Return the features of a calibration, float32 (L, F), one column for each of `FEATURES`.

    Parameters
    ----------
    bases : str: the call of a whole read, of L bases.
    evidence : float32 array (L, 2): see `decode.Decoded`.
    """
    found = np.empty((len(bases), len(FEATURES)), np.float32)
    if not len(bases):
        return found
    share, state = own_q(evidence[:, 0]), own_q(evidence[:, 1])
    found[:, 0], found[:, 3] = state, share
    found[:-1, 1], found[-1, 1] = state[1:], state[-1]
    found[:-1, 2], found[-1, 2] = found[1:, 1], state[-1]
    found[:, 4], found[:, 5] = _runs(np.frombuffer(bases.encode("ascii"), np.uint8))
    found[:, 6] = 1 - evidence[:, 0].mean(dtype=np.float64)
    return found


def own_q(probabilities: np.ndarray) -> np.ndarray:
    """Return -10 log10(1 - p), clipped to 0 to 40, float32."""
    wrong = np.float32(1) - np.asarray(probabilities, np.float32)
    return np.float32(-10) * np.log10(np.clip(wrong, np.float32(10 ** (-HIGHEST / 10)), np.float32(1)))


def calibration_of(facts: Mapping[str, Any]) -> Calibration | Line | None:
    """Return the calibration in the facts of a model, `qscore`; None without one. Raises `ConfigError` if invalid."""
    found = facts.get("qscore")
    if found is None:
        return None
    try:
        if {"scale", "bias"} <= set(found) <= {"scale", "bias", "own", "power"}:
            own, power = int(found.get("own", 0)), float(found.get("power", 1))
            line = Line(float(found["scale"]), float(found["bias"]), own, power)
            if not np.isfinite([line.scale, line.bias]).all() or line.scale <= 0 or own not in (0, 1) or not power > 0:
                raise ValueError("scale, bias, own or power")
            return line
        terms = {str(term["feature"]): _curve(term) for term in found["terms"]}
        made = Calibration(float(found["intercept"]), terms, _curve(found["final"]))
        odd = [name for name in terms if name not in FEATURES]
        fault = f"feature '{odd[0]}' is unknown" if odd else "" if np.isfinite(made.intercept) else "intercept"
        fault = fault or ("" if (np.diff(made.final.gives) >= 0).all() else "the final map falls")
    except (TypeError, KeyError, ValueError, IndexError, AttributeError, OverflowError) as error:
        fault = " ".join(f"{type(error).__name__} {error}".split())[:80]
    if fault:
        raise ConfigError(
            f"model: its calibration of Q-scores cannot be used ({fault}); biorrn evaluate calibrate makes a new one"
        )
    return made


def _curve(entry: Mapping[str, Any]) -> Curve:
    at, gives = np.array(entry["at"], np.float64), np.array(entry["gives"], np.float64)
    if at.ndim != 1 or at.shape != gives.shape or not 1 <= len(at) <= MOST_KNOTS:
        raise ValueError(f"knots of shapes {at.shape} and {gives.shape}")
    if not (np.isfinite(at).all() and np.isfinite(gives).all() and all(a < b for a, b in pairwise(at))):
        raise ValueError("knots that do not rise")
    return Curve(at, gives)


def entry_of(calibration: Calibration) -> dict[str, Any]:
    """Return a calibration as plain numbers, for the facts of a model; see `calibration_of`."""

    def plain(curve: Curve) -> dict[str, list[float]]:
        return {"at": curve.at.tolist(), "gives": curve.gives.tolist()}

    terms = [{"feature": name} | plain(curve) for name, curve in calibration.terms.items()]
    return {"intercept": calibration.intercept, "terms": terms, "final": plain(calibration.final)}


def phred(probabilities: np.ndarray) -> np.ndarray:
    """Return the quality of each base as uint8: -10 log10(1 - p), rounded and clipped to 1 to 40.

    Parameters
    ----------
    probabilities : float array (L,): probability that each base is right.

    >>> phred(np.array([0.0, 0.5, 0.9, 0.999, 1.0])).tolist()
    [1, 3, 10, 30, 40]
    """
    wrong = np.clip(1.0 - np.asarray(probabilities, np.float64), 1e-9, 1.0)
    return np.rint(np.clip(-10.0 * np.log10(wrong), LOWEST, HIGHEST)).astype(np.uint8)
