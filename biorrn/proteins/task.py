"""Training task of protein properties: tokens in, one value per target out; data, losses, validation score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.lookup import lookup
from biorrn.config.recipe import Model, Recipe, Variant
from biorrn.nn.batch import Batch
from biorrn.nn.frontends import settle
from biorrn.nn.heads import Regression
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import models_of
from biorrn.sequences.alphabets import RESIDUES, consensus, sequence
from biorrn.stats.metrics import mean_metrics
from biorrn.training.batches import Batches, ProteinDataset

FARTHEST = 1e30  # in place of infinity in differences


@dataclass(frozen=True, slots=True)
class Loss:
    """Loss: of each value (from its error), of the order of pairs of rows, or both.

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


unit = "sequences"
monitor = "spearman"

VALID_BATCH = 512
FEWEST = 10  # measured validation rows that a line is fitted to


class ProteinData(Batches):
    """The rows of a prepared protein file that are fitted, and those of split valid, on which the model is scored."""

    rows: ProteinDataset

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        self.rows = ProteinDataset(path, recipe.fitted)
        self.held_out = ProteinDataset(path, "valid")
        if not self.rows.names:
            raise InputError(path, "holds proteins without values (--no-target); task regression needs a target")
        classes = [name for name, own in zip(self.rows.names, self.rows.classes, strict=True) if own]
        if classes:
            raise InputError(path, f"holds classes of '{classes[0]}'; task regression needs numbers")
        self.batch_size, self.valid_batch = recipe.training.batch_size, VALID_BATCH
        self.training_size = len(self.rows)
        self.facts: dict[str, Any] = {
            "task": "regression",
            "outputs": len(self.rows.names),
            "targets": [{"name": n, "unit": u} for n, u in zip(self.rows.names, self.rows.units, strict=True)],
            "min_length": int(self.rows.lengths.min()),
            "max_length": int(self.rows.lengths.max()),
            "alphabet": RESIDUES,
        }


def open_data(path: str | Path, recipe: Recipe) -> ProteinData:
    """Open a prepared protein file."""
    return ProteinData(path, recipe)


def make_model(recipe: Recipe, data: ProteinData) -> SequenceModel:
    """Return an untrained model whose head has mean and scale of the training targets."""
    lookup(LOSSES, recipe.training.loss, f"recipe '{recipe.name}': loss")
    network = with_reference(recipe.network, data.rows)
    model = build_model(network, data.facts["outputs"], given=models_of(network.frontend))
    settle(model.frontend, data.rows.flat, data.rows.lengths)
    if not isinstance(model.head, Regression):
        raise ConfigError(f"recipe '{recipe.name}': task regression needs head 'regression'")
    values = data.rows.targets  # (N, K), NaN where missing
    model.head.shift.copy_(torch.as_tensor(np.nanmean(values, axis=0)))
    model.head.scale.copy_(torch.as_tensor(np.maximum(np.nanstd(values, axis=0), 1e-6)))
    return model


def with_reference(network: Model, rows: ProteinDataset) -> Model:
    """Return the network with the consensus of the training rows as reference, if the front end needs one."""
    frontend = network.frontend
    if not isinstance(frontend, Variant) or frontend.reference is not None:
        return network
    found = sequence(consensus(rows.flat, rows.lengths))
    return network.model_copy(update={"frontend": frontend.model_copy(update={"reference": found})})


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the weighted mean loss over the targets that are there, in standard deviations of each target."""
    assert batch.targets is not None
    scale = model.head.scale
    settings = recipe.training
    given = LOSSES[settings.loss]
    return given(outputs, batch.targets, batch.weights, scale, settings.rank_weight, batch.bounds)  # type: ignore[arg-type]


def share(batch: Batch, recipe: Recipe) -> float | None:
    """Return the weight of the targets that are there; None where the loss compares rows."""
    if LOSSES[recipe.training.loss].pairs:
        return None
    assert batch.targets is not None
    counts = batch.targets.isfinite().double().sum(1)
    if batch.bounds is not None:
        counts = counts + (~batch.bounds.isnan()).any(2).double().sum(1)
    return float((counts if batch.weights is None else counts * batch.weights).sum())


def fit_unit(model: SequenceModel, recipe: Recipe, data: ProteinData) -> None:
    """Fit scale and shift of the head to the validation rows, if the loss compared pairs of rows only."""
    if LOSSES[recipe.training.loss].point is not None:
        return
    head, device = model.head, next(model.parameters()).device
    assert isinstance(head, Regression)
    parts = []
    with torch.inference_mode():
        for batch in data.valid():
            outputs, lengths = model.eval()(batch.x.to(device), batch.lengths.to(device))
            parts.append(collect(outputs, lengths, batch))
    predicted, true = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    for k in range(true.shape[1]):
        there = np.isfinite(true[:, k])
        slope, offset = unit_line(predicted[there, k], true[there, k])
        head.scale[k] *= slope
        head.shift[k] = head.shift[k] * slope + offset


def unit_line(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Return the rising line, slope and offset, from predictions (N,) to measured values (N,); (1, 0) for none."""
    if len(true) < FEWEST or np.ptp(predicted) == 0:
        return 1.0, 0.0
    slope, offset = np.polyfit(predicted.astype(np.float64), true.astype(np.float64), 1)
    # a falling line means a wrong order, which no unit corrects
    return (float(slope), float(offset)) if slope > 0 else (1.0, 0.0)


def collect(outputs: Tensor, lengths: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and targets, each (B, K)."""
    assert batch.targets is not None
    return outputs.float().cpu().numpy(), batch.targets.cpu().numpy()


def keep(collected: list[Any]) -> np.ndarray:
    """Return what an epoch predicted of the validation rows, float32 (N, K), in the order of `ProteinData.valid`.

    With those of all epochs the best epoch can be chosen again without some of the rows; see
    `proteins.uncertainty.replay`.
    """
    return np.concatenate([predicted for predicted, _ in collected]).astype(np.float32)


def score(collected: list[Any]) -> dict[str, float]:
    """Return each metric, averaged over the targets."""
    predicted, true = (np.concatenate(parts) for parts in zip(*collected, strict=True))
    return mean_metrics(true, predicted)


def size(batch: Batch) -> int:
    """Return the number of sequences."""
    return len(batch)
