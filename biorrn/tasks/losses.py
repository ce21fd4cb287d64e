"""Losses of regression: of each value, and of each pair of rows of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FARTHEST = 1e30  # stands for infinity in differences


@dataclass(frozen=True, slots=True)
class Loss:
    """What is minimised: the loss of each value (from its error), that of the order of pairs, or both.

    With `pairs` alone the outputs have an order but no unit; the task gives them one after training.
    """

    point: Callable[[Tensor], Tensor] | None
    pairs: bool

    def __call__(
        self,
        outputs: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        scale: Tensor,
        share: float,
        bounds: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted mean over the targets that are there, a scalar.

        Parameters
        ----------
        outputs, targets : float tensors (B, K), in the target's unit; NaN in `targets` is missing.
        weights : float tensor (B,): of each row; None is 1.
        scale : float tensor (K,): one unit of the loss, in the target's unit.
        share : float: weight of the pairs where they stand beside the values.
        bounds : float tensor (B, K, 2), optional: the lowest and highest value of each censored target, NaN of others.
            Such a target costs nothing while the output keeps to its bound, and as much as a value at the bound where
            it does not: the one-sided loss of regression on censored data (Powell 1984, Journal of Econometrics
            25:303). Of pairs, it is above all that its bound is above.
        """
        there = targets.isfinite()
        error = (outputs - targets).where(there, 0.0)
        lows, highs = targets, targets
        if bounds is not None:
            low, high = bounds.unbind(-1)  # (B, K, 2) -> (B, K) twice
            short = (outputs - low).clamp(max=0).where(low.isfinite(), 0.0)
            over = (outputs - high).clamp(min=0).where(high.isfinite(), 0.0)
            censored = ~there & ~low.isnan()
            error = error.where(~censored, short + over)
            lows, highs = targets.where(~censored, low), targets.where(~censored, high)
            there = there | censored
        error = error / scale
        counts = there.to(error.dtype)
        if weights is not None:
            counts = counts * weights[:, None]
        if self.point is None:
            return pairwise(outputs / scale, lows / scale, counts, highs / scale)
        loss = (self.point(error) * counts).sum() / counts.sum().clamp(min=1e-6)
        return loss + share * pairwise(outputs / scale, lows / scale, counts, highs / scale) if self.pairs else loss


def pairwise(scores: Tensor, targets: Tensor, weights: Tensor, highest: Tensor | None = None) -> Tensor:
    """Return the mean logistic loss of the order of all pairs of rows (Bradley and Terry 1952; Burges et al. 2005).

    The probability that row i is above row j is the logistic function of the difference of their scores. A pair counts
    by the difference of its measured values, so that pairs whose order is noise hardly count, and by both weights.

    Parameters
    ----------
    scores : float tensor (B, K).
    targets : float tensor (B, K): measured values; NaN is missing. Of a censored one, the lowest that it may be.
    highest : float tensor (B, K), optional: the same, but of a censored one the highest that it may be.
    weights : float tensor (B, K): 0 or more; 0 where the target is missing.

    Returns
    -------
    scalar tensor: 0 where no two rows differ.
    """
    highs = (targets if highest is None else highest).where(weights > 0, 0.0).clamp(max=FARTHEST)
    lows = targets.where(weights > 0, 0.0).clamp(min=-FARTHEST)
    gaps = lows[:, None] - highs[None]  # (B, K) -> (B, B, K): by how much one is above the other at the least
    counts = gaps.clamp(min=0) * weights[:, None] * weights[None]  # each pair once: from its upper row
    losses = F.softplus(scores[None] - scores[:, None])
    return (losses * counts).sum() / counts.sum().clamp(min=1e-6)


def _huber(error: Tensor) -> Tensor:
    return F.huber_loss(error, torch.zeros_like(error), reduction="none")


LOSSES = {
    "mse": Loss(torch.square, False),
    "huber": Loss(_huber, False),
    "rank": Loss(None, True),
    "mse+rank": Loss(torch.square, True),
    "huber+rank": Loss(_huber, True),
}
