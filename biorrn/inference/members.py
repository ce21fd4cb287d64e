"""What one forward pass of a regression model gives: its values, and how far its members disagree."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biorrn.models.ensemble import Ensemble, combine, each


def has_spread(model: nn.Module) -> bool:
    """Tell whether `values_and_spread` gives spreads for a model."""
    return hasattr(model, "with_variance") or (isinstance(model, Ensemble) and len(model.members) > 1)


def values_and_spread(model: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return a model's values (B, K), and their spread (B, K) in the same unit, None for a model that has none.

    The spread is the standard deviation over the members of an ensemble, weights aside and before any calibration of
    their mean; for a Gaussian process it is the square root of the variance that it gives with its mean.

    Parameters
    ----------
    x : int64 tensor (B, T) of tokens, 0 is padding; lengths : int64 tensor (B,).
    """
    with_variance = getattr(model, "with_variance", None)
    if with_variance is not None:
        mean, variance = with_variance(x, lengths)
        return mean, variance.clamp(min=0).sqrt()
    members = each(model, x, lengths)  # (M, B, K)
    return combine(model, members), deviation(members) if len(members) > 1 else None


def deviation(members: Tensor) -> Tensor:
    """Return the standard deviation over the first axis, (M, B, K) -> (B, K).

    >>> deviation(torch.tensor([[[1.0]], [[3.0]]])).tolist()
    [[1.0]]
    """
    # one after the other: `std` may add in an order that depends on the number of rows
    mean = torch.zeros_like(members[0])
    for values in members:
        mean = mean + values
    mean = mean / len(members)
    squares = torch.zeros_like(mean)
    for values in members:
        squares = squares + (values - mean).square()
    return (squares / len(members)).sqrt()
