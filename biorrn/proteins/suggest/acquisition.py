"""Batch acquisition of Bayesian optimisation: upper confidence bound, expected improvement, Thompson sampling, greedy.

A batch is measured at once, so its members must not all say the same. The first two choose one after another and
condition the process on each choice as if it had been measured and found at its mean: the mean stays, what is similar
becomes less uncertain (GP-BUCB: Desautels, Krause and Burdick 2014, JMLR 15:3873; kriging believer: Ginsbourger, Le
Riche and Carraro 2010). Thompson sampling draws one function from the joint posterior for each choice and takes the
best candidate of each (Kandasamy et al. 2018, AISTATS).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SHORTLIST = 2000  # candidates whose joint covariance is computed
WIDE = 3.0  # deviations above the mean that make a candidate one of them
JITTER = 1e-6
EXPLORE = 2.0  # deviations above the mean in the upper confidence bound


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of M candidates; higher is better.

    Attributes
    ----------
    mean, deviation : float64 arrays (M,).
    covariance : returns the covariance of the candidates at these indices, int64 (S,) -> float64 (S, S).
    best : float: mean of the best of the measured.
    noise : float: variance of a measurement.
    """

    mean: np.ndarray
    deviation: np.ndarray
    covariance: Callable[[np.ndarray], np.ndarray]
    best: float
    noise: float

    def __len__(self) -> int:
        return len(self.mean)

    def shortlist(self, count: int) -> np.ndarray:
        """Return the indices of the candidates that may be chosen, int64 (S,), the most promising first."""
        return np.argsort(-(self.mean + WIDE * self.deviation), kind="stable")[: max(SHORTLIST, 2 * count)]


def choose(
    belief: Belief, count: int, acquisition: str, rng: np.random.Generator, explore: float = EXPLORE
) -> np.ndarray:
    """Return the indices of a batch of candidates, int64 (`count`,), in the order of choice; fewer if there are fewer.

    Parameters
    ----------
    acquisition : str: one of `ACQUISITIONS`.
    explore : float: standard deviations above the mean, of "ucb".
    """
    return ACQUISITIONS[acquisition](belief, min(count, len(belief)), rng, explore)


def _greedy(belief: Belief, count: int, rng: np.random.Generator, explore: float) -> np.ndarray:
    return np.argsort(-belief.mean, kind="stable")[:count]


def _upper_confidence(belief: Belief, count: int, rng: np.random.Generator, explore: float) -> np.ndarray:
    return _one_by_one(belief, count, lambda mean, deviation, best: mean + explore * deviation)


def _expected_improvement(belief: Belief, count: int, rng: np.random.Generator, explore: float) -> np.ndarray:
    return _one_by_one(belief, count, log_expected_improvement)


def _thompson(belief: Belief, count: int, rng: np.random.Generator, explore: float) -> np.ndarray:
    near = belief.shortlist(count)
    covariance = belief.covariance(near)
    factor = np.linalg.cholesky(covariance + JITTER * max(1.0, float(np.diag(covariance).max())) * np.eye(len(near)))
    left, chosen = np.ones(len(near), bool), []
    for _ in range(count):
        drawn = belief.mean[near] + factor @ rng.standard_normal(len(near))
        pick = int(np.where(left, drawn, -np.inf).argmax())
        left[pick] = False
        chosen.append(near[pick])
    return np.array(chosen, np.int64)


def _one_by_one(belief: Belief, count: int, score: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> np.ndarray:
    """Return the candidates of the best score, each after conditioning on the choices before it."""
    near = belief.shortlist(count)
    covariance, mean, best = belief.covariance(near).copy(), belief.mean[near], belief.best
    left, chosen = np.ones(len(near), bool), []
    for _ in range(count):
        deviation = np.sqrt(np.maximum(covariance.diagonal(), JITTER))
        pick = int(np.where(left, score(mean, deviation, best), -np.inf).argmax())
        left[pick] = False
        chosen.append(near[pick])
        column = covariance[:, pick].copy()
        covariance -= np.outer(column, column / (column[pick] + belief.noise + JITTER))
        best = max(best, float(mean[pick]))
    return np.array(chosen, np.int64)


def chance(belief: Belief) -> np.ndarray:
    """Return the probability of each candidate to be better than the best of the measured, float64 (M,)."""
    from scipy.special import ndtr

    return ndtr((belief.mean - belief.best) / np.maximum(belief.deviation, 1e-12))  # type: ignore[no-any-return]


def log_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the logarithm of the expected improvement over `best`, float64 (M,); the logarithm does not underflow.

    The expectation is deviation * (z * Phi(z) + phi(z)) with z = (mean - best) / deviation (Jones, Schonlau and Welch
    1998); far below the best it tends to phi(z) / z ** 2 (Ament et al. 2023, NeurIPS 36).

    >>> log_expected_improvement(np.array([1.0, -50.0]), np.array([1.0, 1.0]), 0.0).round(2)
    array([  0.08, -1258.74])
    """
    from scipy.special import ndtr

    z = (mean - best) / deviation
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore"):
        plain = np.log(np.maximum(z * ndtr(z) + density, 0))
    far = np.minimum(z, -5.0)
    tail = -0.5 * far * far - 0.5 * np.log(2 * np.pi) - 2 * np.log(-far)
    return np.log(deviation) + np.where(z > -5.0, plain, tail)


# name -> f(belief, count, rng, explore) -> indices of the batch
ACQUISITIONS: dict[str, Callable[[Belief, int, np.random.Generator, float], np.ndarray]] = {
    "ucb": _upper_confidence,
    "ei": _expected_improvement,
    "thompson": _thompson,
    "greedy": _greedy,
}
