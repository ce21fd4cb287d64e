"""Drawing the next symbol from the scores of a language model: temperature, top-k, top-p. Pure functions.

Scores are first divided by the temperature, then cut to the k best, then to the nucleus of those, as is customary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from biorrn.errors import ConfigError

ROUNDING = 1e-7  # of probabilities from float32 scores: 0.4 + 0.3 + 0.2 is 0.9, though not in binary


@dataclass(frozen=True, slots=True)
class Sampling:
    """How symbols are drawn.

    Attributes
    ----------
    temperature : float: 1 draws as the model says, less sharpens, more flattens, 0 takes the likeliest symbol.
    top_k : int: only the k likeliest symbols; 0 is all.
    top_p : float in (0, 1]: only the fewest symbols, likeliest first, whose mass is p or more; 1 is all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        ConfigError: one is out of range.
        """
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"--temperature: found {self.temperature:g}; allowed is 0 or more")
        if self.top_k < 0:
            raise ConfigError(f"--top-k: found {self.top_k}; allowed is 0 (all symbols) or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"--top-p: found {self.top_p:g}; allowed is above 0, at most 1")


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities, float64 (..., S), of scores (..., S); a score of minus infinity has probability 0.

    >>> softmax(np.log([1.0, 3.0])).round(6).tolist()
    [0.25, 0.75]
    """
    shifted = np.asarray(scores, np.float64)
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def top_k(probabilities: np.ndarray, k: int) -> np.ndarray:
    """Return probabilities (..., S) of the k likeliest symbols, summing to one; of equals the lower code is kept.

    >>> top_k(np.array([0.2, 0.5, 0.2, 0.1]), 2).round(6).tolist()
    [0.285714, 0.714286, 0.0, 0.0]
    """
    return _first(probabilities, np.full(probabilities.shape[:-1], k))


def top_p(probabilities: np.ndarray, p: float) -> np.ndarray:
    """Return probabilities (..., S) of the nucleus, summing to one (Holtzman et al. 2020, ICLR, section 3.1).

    The nucleus is the smallest set of symbols whose mass is p or more, up to rounding; of equals the lower code is
    kept.

    >>> top_p(np.array([0.125, 0.5, 0.25, 0.125]), 0.75).round(6).tolist()
    [0.0, 0.666667, 0.333333, 0.0]
    >>> top_p(np.array([0.4, 0.3, 0.2, 0.1]), 0.9).round(6).tolist()
    [0.444444, 0.333333, 0.222222, 0.0]
    """
    if p >= 1:  # every symbol, however rare
        return np.asarray(probabilities / probabilities.sum(-1, keepdims=True))
    mass = np.cumsum(-np.sort(-probabilities, axis=-1), axis=-1)
    return _first(probabilities, (mass < p - ROUNDING).sum(-1) + 1)


def _first(probabilities: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return probabilities with only the likeliest `counts` (...) symbols of each row, summing to one."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    kept = np.where(rank < np.asarray(counts)[..., None], probabilities, 0.0)
    return np.asarray(kept / kept.sum(-1, keepdims=True))


def distribution(scores: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return what is drawn from, float64 (..., S), given raw scores (..., S); minus infinity is never drawn.

    With temperature 0 all mass is on the likeliest symbol, of equals the one with the lowest code.

    >>> distribution(np.log([1.0, 3.0]), Sampling(temperature=0.5)).round(6).tolist()
    [0.1, 0.9]
    """
    scores = np.asarray(scores, np.float64)
    if sampling.temperature == 0:
        return np.eye(scores.shape[-1])[scores.argmax(-1)]
    # the best score is taken away first, or a small temperature would make all of them infinite
    found = softmax((scores - scores.max(-1, keepdims=True)) / sampling.temperature)
    if sampling.top_k:
        found = top_k(found, sampling.top_k)
    if sampling.top_p < 1:
        found = top_p(found, sampling.top_p)
    return found


def draw(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return a symbol a row, int64 (...), where each row's number in [0, 1) falls among its probabilities (..., S).

    A symbol without mass is never drawn.

    >>> draw(np.array([[0.25, 0.0, 0.75]] * 3), np.array([0.0, 0.2499, 0.25])).tolist()
    [0, 0, 2]
    """
    mass = np.cumsum(probabilities, axis=-1)
    place = (mass <= np.asarray(uniform)[..., None] * mass[..., -1:]).sum(-1)
    # rounding of u * mass may reach the end: the last symbol that has mass
    last = probabilities.shape[-1] - 1 - (probabilities[..., ::-1] > 0).argmax(-1)
    return np.minimum(place, last)


def uniforms(seed: int, first: int, rows: int, steps: int) -> np.ndarray:
    """Return a number in [0, 1) a step, (rows, steps), from one random stream a sequence.

    Sequence i has the stream of (seed, i), so what it draws depends neither on the batch nor on how many others follow.
    """
    streams = [np.random.default_rng([seed, first + row]) for row in range(rows)]
    return np.array([stream.random(steps) for stream in streams]).reshape(rows, steps)
