"""Learning rates and gradient clipping: numbers from the past of a run."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def warmup_cosine(step: int, steps: int, warmup: float, final: float) -> float:
    """Return the learning rate at `step` of `steps`, as a part of its peak: a linear rise, then half a cosine.

    >>> [round(warmup_cosine(step, 100, 0.1, 0.0), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.48, 0.0]
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    done = min(1.0, (step + 1 - rise) / max(1, steps - rise))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


class QuantileClip:
    """Clips gradients at a quantile of the recent norms, so that one odd batch cannot throw a run off.

    Parameters
    ----------
    quantile : float: of the last `memory` norms above 0; 1 clips at the largest of them.
    memory : int: how many norms are kept.
    start : float: the bound until ten norms are known.
    """

    def __init__(self, quantile: float, memory: int = 100, start: float = 2.0) -> None:
        self.quantile, self.start = quantile, start
        self.norms: deque[float] = deque(maxlen=memory)

    @property
    def bound(self) -> float:
        """The largest norm that passes unchanged now."""
        if len(self.norms) < 10:
            return self.start
        return float(torch.tensor(list(self.norms)).quantile(self.quantile))

    def __call__(self, parameters: Iterable[nn.Parameter], measured: Tensor | None = None) -> float:
        """Clip in place and return the norm before; a norm that is not finite sets the gradients to zero.

        Parameters
        ----------
        measured : scalar tensor, optional: the norm of all gradients, where it is known.
        """
        parameters = list(parameters)
        bound = self.bound
        if measured is None:
            measured = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        nn.utils.clip_grads_with_norm_(parameters, bound, measured)
        norm = float(measured)
        if math.isfinite(norm):
            if norm > 0:  # a step in which nothing was learned says nothing, and a bound of 0 would stay 0
                # an outlier must not lift the bound by its full size
                self.norms.append(min(norm, 4 * bound))
        else:
            for parameter in parameters:
                parameter.grad = None
        return norm
