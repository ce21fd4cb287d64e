"""Several models of one property as one: their weighted mean, then where wanted a rising line back to the unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from biorrn.models.heads import TagsCRF
from biorrn.models.neighbours import Neighbours

KNOTS = 32  # of a calibration


class Calibration(nn.Module):
    """A strictly rising piecewise-linear map of each target's value; beyond its knots it goes on with slope 1.

    `x` and `y`, both (K, `KNOTS`) and rising along the second axis, are its knots in the target's unit. As made, it
    changes nothing but for rounding.
    """

    x: Tensor
    y: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        knots = torch.arange(KNOTS, dtype=torch.float32).repeat(outputs, 1)
        self.register_buffer("x", knots)
        self.register_buffer("y", knots.clone())

    def forward(self, values: Tensor) -> Tensor:
        columns = values.T.contiguous()  # (B, K) -> (K, B)
        right = torch.searchsorted(self.x, columns).clamp(1, KNOTS - 1)
        x0, x1 = self.x.gather(1, right - 1), self.x.gather(1, right)
        y0, y1 = self.y.gather(1, right - 1), self.y.gather(1, right)
        # rounding must not lift the end of one piece above the start of the next
        inside = torch.minimum(torch.maximum(y0 + (columns - x0) * ((y1 - y0) / (x1 - x0)), y0), y1)
        below, above = self.y[:, :1] + (columns - self.x[:, :1]), self.y[:, -1:] + (columns - self.x[:, -1:])
        found = torch.where(columns < self.x[:, :1], below, torch.where(columns > self.x[:, -1:], above, inside))
        return found.T  # (K, B) -> (B, K)


class Ensemble(nn.Module):
    """Maps `(x, lengths)` to `(values, lengths)`: the weighted mean (B, K) of the members, in the targets' units.

    Parameters
    ----------
    members : models that map x int64 (B, T) and lengths (B,) to values (B, K) and lengths; their units agree.
    outputs : int: K.
    calibrated : bool: a `Calibration` follows the mean.
    neighbours : Neighbours, optional: what it gives is added to each member's values.

    Attributes
    ----------
    weights : float tensor (M, K): of each member in each target's mean; each column sums to one.
    """

    stride = 1
    weights: Tensor

    def __init__(
        self,
        members: Sequence[nn.Module],
        outputs: int,
        calibrated: bool = False,
        neighbours: Neighbours | None = None,
    ) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.full((len(members), outputs), 1 / len(members)))
        self.calibration = Calibration(outputs) if calibrated else None

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.combine(each(self, x, lengths)), lengths

    def combine(self, values: Tensor) -> Tensor:
        """Return the ensemble's values (B, K) from those of its members, (M, B, K)."""
        # one after the other: `sum` may add in an order that depends on the number of rows
        mean = values[0] * self.weights[0]
        for value, weight in zip(values[1:], self.weights[1:], strict=True):
            mean = mean + value * weight
        return mean if self.calibration is None else self.calibration(mean)


class TagEnsemble(Ensemble):
    """Maps `(x, lengths)` to `(scores, lengths)`: the log of the weighted mean (B, T, S) of the members' probabilities.

    A softmax of the scores gives that mean back.
    """

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.combine(torch.stack([probabilities(member, *member(x, lengths)) for member in self.members]))
        return mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), lengths


def probabilities(model: nn.Module, outputs: Tensor, steps: Tensor) -> Tensor:
    """Return the probability of each state at each step, float32 (B, T, S), from what a tagger gave.

    Of one with scores of neighbouring states it is the marginal probability.
    """
    head = getattr(model, "head", None)
    return head.probabilities(outputs, steps) if isinstance(head, TagsCRF) else torch.softmax(outputs.float(), -1)


def ensemble_for(facts: Mapping[str, Any]) -> type[Ensemble]:
    """Return the class of an ensemble of models with these facts."""
    return TagEnsemble if facts.get("kind") == "states" else Ensemble


def each(model: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """Return the values of each member of a regression model, (M, B, K), before any calibration of their mean.

    What an ensemble's near training rows add is in each.

    M is 1 for a model that is no ensemble. `combine` makes the model's own values of them, without a second pass.
    """
    members = model.members if isinstance(model, Ensemble) else [model]
    values = torch.stack([member(x, lengths)[0] for member in members])
    if isinstance(model, Ensemble) and model.neighbours is not None:
        values = values + model.neighbours(x, lengths)
    return values


def combine(model: nn.Module, values: Tensor) -> Tensor:
    """Return the values (B, K) of a model from those that `each` gave, (M, B, K)."""
    return model.combine(values) if isinstance(model, Ensemble) else values[0]
