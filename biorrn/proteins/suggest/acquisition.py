"""Batch acquisition of Bayesian optimisation: upper confidence bound, expected improvement, Thompson sampling, greedy.

A batch is measured at once, so its members must not all say the same. The first two choose one after another and
condition the process on each choice as if it had been measured and found at its mean: the mean stays, what is similar
becomes less uncertain (GP-BUCB: Desautels, Krause and Burdick 2014, JMLR 15:3873; kriging believer: Ginsbourger, Le
Riche and Carraro 2010). Thompson sampling draws one function from the joint posterior for each choice and takes the
best candidate of each (Kandasamy et al. 2018, AISTATS).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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

    def promising(self) -> np.ndarray:
        """Return the indices of the candidates, int64 (M,), the most promising first."""
        return np.argsort(-(self.mean + WIDE * self.deviation), kind="stable")


Holds = Sequence[Sequence[str]]  # the substitutions of each candidate


class Quota:
    """The candidates that may still be chosen, where no substitution may be in more than a share of the batch.

    Parameters
    ----------
    order : int64 array: indices of candidates, the most promising first. The first `SHORTLIST` are kept in `near`, in
        which the share holds too, lest a substitution that is used up leaves none.
    count : int: of the batch.
    holds, share : substitutions of each candidate, and the largest share; None for no limit.
    """

    def __init__(self, order: np.ndarray, count: int, holds: Holds | None, share: float) -> None:
        self.holds, self.most = holds, max(1, int(share * count))
        size = max(SHORTLIST, 2 * count)
        if holds is None:
            self.near = order[:size]
        else:
            counts, kept = Counter[str](), list[int]()
            for k in order.tolist():
                if all(counts[one] < share * size for one in holds[k]):
                    counts.update(holds[k])
                    kept.append(k)
                if len(kept) == size:
                    break
            self.near = np.array(kept, np.int64)
        self.left = np.ones(len(self.near), bool)
        self.used = Counter[str]()

    def take(self, scores: np.ndarray) -> int | None:
        """Return the place in `near` of the best candidate left, float array (S,), and count it; None for none left."""
        if not self.left.any():
            return None
        pick = int(np.where(self.left, scores, -np.inf).argmax())
        self.left[pick] = False
        if self.holds is not None:
            own = self.holds[self.near[pick]]
            self.used.update(own)
            if full := {one for one in own if self.used[one] >= self.most}:
                self.left &= np.array([full.isdisjoint(self.holds[k]) for k in self.near.tolist()], bool)
        return pick


def choose(
    belief: Belief,
    count: int,
    acquisition: str,
    rng: np.random.Generator,
    explore: float = EXPLORE,
    holds: Holds | None = None,
    share: float = 1.0,
) -> np.ndarray:
    """Return the indices of a batch of candidates, int64 (`count`,), in the order of choice; fewer if there are fewer.

    Parameters
    ----------
    acquisition : str: one of `ACQUISITIONS`.
    explore : float: standard deviations above the mean, of "ucb".
    holds : the substitutions of each candidate, optional: none is in more than `share` of the batch.
    """
    promising = np.argsort(-belief.mean, kind="stable") if acquisition == "greedy" else belief.promising()
    quota = Quota(promising, count, holds, share)
    chosen = list(itertools.islice(ACQUISITIONS[acquisition](belief, quota, rng, explore), count))
    return quota.near[np.array(chosen, np.int64)]


def _greedy(belief: Belief, quota: Quota, rng: np.random.Generator, explore: float) -> Iterator[int]:
    while (pick := quota.take(belief.mean[quota.near])) is not None:
        yield pick


def _upper_confidence(belief: Belief, quota: Quota, rng: np.random.Generator, explore: float) -> Iterator[int]:
    return _one_by_one(belief, quota, lambda mean, deviation, best: mean + explore * deviation)


def _expected_improvement(belief: Belief, quota: Quota, rng: np.random.Generator, explore: float) -> Iterator[int]:
    return _one_by_one(belief, quota, log_expected_improvement)


def _thompson(belief: Belief, quota: Quota, rng: np.random.Generator, explore: float) -> Iterator[int]:
    covariance = belief.covariance(quota.near)
    size = len(covariance)
    factor = np.linalg.cholesky(covariance + JITTER * max(1.0, float(np.diag(covariance).max())) * np.eye(size))
    while (pick := quota.take(belief.mean[quota.near] + factor @ rng.standard_normal(size))) is not None:
        yield pick


def _one_by_one(
    belief: Belief, quota: Quota, score: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
) -> Iterator[int]:
    """Yield the candidates of the best score, each after conditioning on the choices before it."""
    covariance, mean, best = belief.covariance(quota.near).copy(), belief.mean[quota.near], belief.best
    while True:
        deviation = np.sqrt(np.maximum(covariance.diagonal(), JITTER))
        pick = quota.take(score(mean, deviation, best))
        if pick is None:
            return
        yield pick
        column = covariance[:, pick].copy()
        covariance -= np.outer(column, column / (column[pick] + belief.noise + JITTER))
        best = max(best, float(mean[pick]))


def chance(belief: Belief) -> np.ndarray:
    """Return the probability of each candidate to be better than the best of the measured, float64 (M,)."""
    from scipy.special import ndtr

    return ndtr((belief.mean - belief.best) / np.maximum(belief.deviation, 1e-12))  # type: ignore[no-any-return]


def log_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the logarithm of the expected improvement over `best`, float64 (M,); the logarithm does not underflow.

    The expectation is deviation * (z * Phi(z) + phi(z)) with z = (mean - best) / deviation (Jones, Schonlau and Welch
    1998); far below the best it tends to phi(z) / z ** 2 (Ament et al. 2023, NeurIPS 36).

    >>> log_expected_improvement(np.array([1.0, -50.0]), np.array([1.0, 1.0]), 0.0).round(2).tolist()
    [0.08, -1258.74]
    """
    from scipy.special import ndtr

    z = (mean - best) / deviation
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore"):
        plain = np.log(np.maximum(z * ndtr(z) + density, 0))
    far = np.minimum(z, -5.0)
    tail = -0.5 * far * far - 0.5 * np.log(2 * np.pi) - 2 * np.log(-far)
    return np.log(deviation) + np.where(z > -5.0, plain, tail)


Acquisition = Callable[[Belief, Quota, np.random.Generator, float], Iterator[int]]
# name -> f(belief, quota, rng, explore), which yields places in `quota.near`
ACQUISITIONS: dict[str, Acquisition] = {
    "ucb": _upper_confidence,
    "ei": _expected_improvement,
    "thompson": _thompson,
    "greedy": _greedy,
}
