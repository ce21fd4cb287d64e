"""Ensembles: weighted mean of several models, correction by neighbouring training rows, monotone calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.config.recipe import Recipe
from biorrn.nn.engine import PropertyEngine, unsupported
from biorrn.nn.heads import Labels, TagsCRF
from biorrn.nn.layout import KNOTS
from biorrn.nn.neighbours import Kriging

EDGE = 1e-7  # probabilities of labels are kept so far from 0 and 1


class Neighbours(nn.Module):
    """`nn.neighbours.Kriging` of `rows` training rows of at most `longest` residues and `outputs` targets.

    Attributes
    ----------
    tokens : uint8 tensor (N, L); residuals : float16 tensor (N, K).
    """

    tokens: Tensor
    residuals: Tensor

    def __init__(
        self, rows: int, longest: int, outputs: int, mismatches: int = 3, noise: float = 1.0, decay: float = 0.1
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"mismatches": mismatches, "noise": noise, "decay": decay}
        self.register_buffer("tokens", torch.zeros(rows, longest, dtype=torch.uint8))
        self.register_buffer("residuals", torch.zeros(rows, outputs, dtype=torch.float16))
        self._kriging: Kriging | None = None

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the correction of the model's values, float (B, K); 0 for a row without neighbours."""
        if self._kriging is None:
            self._kriging = Kriging(self.tokens.cpu().numpy(), self.residuals.cpu().numpy(), **self.settings)
        return torch.from_numpy(self._kriging(x.cpu().numpy(), lengths.cpu().numpy())).to(x.device)


class Calibration(nn.Module):
    """A strictly rising piecewise-linear map of the values of each target, with slope 1 beyond the knots.

    `x` and `y`, both (K, `KNOTS`) and rising along the second axis, are the knots in the target's unit. A new one is
    the identity up to rounding.
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
        # clamped, so that rounding keeps the map monotone across knots
        inside = torch.minimum(torch.maximum(y0 + (columns - x0) * ((y1 - y0) / (x1 - x0)), y0), y1)
        below, above = self.y[:, :1] + (columns - self.x[:, :1]), self.y[:, -1:] + (columns - self.x[:, -1:])
        found = torch.where(columns < self.x[:, :1], below, torch.where(columns > self.x[:, -1:], above, inside))
        return found.T  # (K, B) -> (B, K)


class Ensemble(nn.Module):
    """Maps `(x, lengths)` to `(values, lengths)`: the weighted mean (B, K) of the members, in the targets' units.

    Parameters
    ----------
    members : models that map x int64 (B, T) and lengths (B,) to values (B, K) and lengths, all in the same units.
    outputs : int: K.
    calibrated : bool: apply a `Calibration` to the mean.
    neighbours : Neighbours, optional: its correction is added to each member's values.

    Attributes
    ----------
    weights : float tensor (M, K): weight of each member for each target; each column sums to one.
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
        # a loop, since `sum` may add in an order that depends on the number of rows
        mean = values[0] * self.weights[0]
        for value, weight in zip(values[1:], self.weights[1:], strict=True):
            mean = mean + value * weight
        return mean if self.calibration is None else self.calibration(mean)


class ProbabilityEnsemble(Ensemble):
    """Maps `(x, lengths)` to `(scores, lengths)`: the log of the weighted mean of the members' probabilities.

    Of states of residues (B, T, S), or of classes of rows (B, C). The softmax of the scores is that mean.
    """

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.combine(torch.stack([probabilities(member, *member(x, lengths)) for member in self.members]))
        return mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), lengths


class LabelEnsemble(Ensemble):
    """Maps `(x, lengths)` to `(logits, lengths)`: of the mean of the members' probabilities of labels (B, C)."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.combine(torch.stack([probabilities(member, *member(x, lengths)) for member in self.members]))
        return torch.logit(mean, eps=EDGE), lengths


def probabilities(model: nn.Module, outputs: Tensor, steps: Tensor) -> Tensor:
    """Return the probability of each state or class, float32 (B, T, S) or (B, C), from a model's outputs.

    For a linear-chain CRF these are the marginal probabilities; of labels each has its own.
    """
    head = getattr(model, "head", None)
    if isinstance(head, TagsCRF):
        return head.probabilities(outputs, steps)
    return torch.sigmoid(outputs.float()) if isinstance(head, Labels) else torch.softmax(outputs.float(), -1)


def ensemble_for(facts: Mapping[str, Any]) -> type[Ensemble]:
    """Return the class of an ensemble of models with these facts."""
    if facts.get("sets"):
        return LabelEnsemble
    apart = facts.get("kind") == "states" or facts.get("task") == "classification"
    return ProbabilityEnsemble if apart else Ensemble


def each(model: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """Return the values of each member of a regression model, (M, B, K), before the calibration of their mean.

    The correction by neighbours is included. M is 1 for a single model. `combine` turns them into the model's values
    without a second pass.
    """
    members = model.members if isinstance(model, Ensemble) else [model]
    values = torch.stack([member(x, lengths)[0] for member in members])
    if isinstance(model, Ensemble) and model.neighbours is not None:
        values = values + model.neighbours(x, lengths)
    return values


def combine(model: nn.Module, values: Tensor) -> Tensor:
    """Return the values (B, K) of a model from those of `each`, (M, B, K)."""
    return model.combine(values) if isinstance(model, Ensemble) else values[0]


class Accelerated(nn.Module):
    """A `PropertyEngine` with the call of the model."""

    stride = 1

    def __init__(self, engine: PropertyEngine) -> None:
        super().__init__()
        self.engine = engine

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.engine(x.numpy(), lengths.numpy())), lengths


def accelerated(model: nn.Module, recipe: Recipe, kind: np.dtype) -> nn.Module:
    """Return the model of a recipe with each supported member replaced by its engine; the model is not changed."""
    if isinstance(model, Ensemble):
        recipes = [member.recipe for member in recipe.members or ()]
        members = [
            member if isinstance(own, str) else accelerated(member, own, kind)
            for member, own in zip(model.members, recipes, strict=True)
        ]
        fast = Ensemble(members, model.weights.shape[1], model.calibration is not None, model.neighbours)
        fast.weights.copy_(model.weights)
        fast.calibration = model.calibration
        return fast.eval()
    if unsupported(recipe):
        return model
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return Accelerated(PropertyEngine.of(recipe.network, tensors, kind)).eval()
