"""Training task tagging: a state, or values, for each residue of a protein or base of DNA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.config.recipe import Recipe
from biorrn.kernels.chain import chain_loss
from biorrn.nn.batch import Batch
from biorrn.nn.ensemble import probabilities
from biorrn.nn.frontends import settle
from biorrn.nn.heads import TagsCRF, Values
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import models_of
from biorrn.sequences.alphabets import RESIDUES, STANDARD
from biorrn.stats.metrics import mean_metrics
from biorrn.tagging.data import (
    NO_TARGET,
    Change,
    Mutants,
    Substitution,
    TagDataset,
    batches,
    cut,
    number_of_batches,
    whole,
)

unit = "residues"
monitor = "agreement"  # accuracy_residue for states, spearman for values

VALID_RESIDUES = 16384  # padded steps per validation batch
FEWEST = 20  # values of a sequence whose order is scored


class TagData:
    """The train and valid splits of a prepared file of tags."""

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        self.rows, self.held_out = TagDataset(path, "train"), TagDataset(path, "valid")
        self.settings = recipe.training
        self.training_size = int(self.rows.lengths.sum())
        self.change: Change | None = None
        rate = self.settings.augment.substitute
        if rate and self.rows.effect:
            self.change = Mutants(rate)
        elif rate:
            if self.rows.alphabet != RESIDUES:
                raise ConfigError(
                    f"recipe '{recipe.name}': training.augment.substitute is for proteins; {path} holds DNA"
                )
            counts = np.bincount(self.rows.flat, minlength=len(RESIDUES) + 1)
            self.change = Substitution(rate, counts[1 : len(STANDARD) + 1].astype(np.float64))
        states = self.rows.states
        self.facts: dict[str, Any] = {
            "task": "tagging",
            "kind": "states" if states else "values",
            "outputs": len(states["states"]) if states else len(self.rows.targets),
            "targets": self.rows.targets,
            "min_length": int(self.rows.lengths.min()),
            "max_length": int(self.rows.lengths.max()),
            "alphabet": self.rows.alphabet,
        }
        if self.rows.effect:
            self.facts["effect"] = {"name": self.rows.effect}
        if states:
            self.facts |= {"name": states["name"], "states": states["states"], "state_names": states["names"]}

    def steps(self) -> int:
        return number_of_batches(self.rows.lengths, self.settings.batch_size, self.settings.batch_residues)

    def train(self, epoch: int, seed: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, epoch])
        pieces = cut(self.rows.lengths, self.settings.crop, rng)
        for part in batches(pieces, self.steps(), self.settings.batch_residues is None, rng):
            yield self.rows.collate(part, self.change, rng)

    def valid(self) -> Iterator[Batch]:
        count = number_of_batches(self.held_out.lengths, 1, VALID_RESIDUES)
        for part in batches(whole(self.held_out.lengths), count, False, None):
            yield self.held_out.collate(part)


def open_data(path: str | Path, recipe: Recipe) -> TagData:
    """Open a prepared file of tags."""
    return TagData(path, recipe)


def make_model(recipe: Recipe, data: TagData) -> SequenceModel:
    """Return an untrained tagging model; outputs of values are in the units of the training targets.

    Raises
    ------
    ConfigError: head or loss do not fit the data, or the front end has residue features and the data is DNA.
    """
    kind, head = data.facts["kind"], recipe.network.head.name
    lookup(LOSSES, recipe.training.loss, f"recipe '{recipe.name}': loss")
    allowed = [loss for loss, (other, needed, _) in LOSSES.items() if other == kind and needed == head]
    if recipe.training.loss not in allowed:
        fitting = [f"{needed} with {loss}" for loss, (other, needed, _) in LOSSES.items() if other == kind]
        raise ConfigError(
            f"recipe '{recipe.name}': head '{head}' with training.loss {recipe.training.loss}; the data holds {kind}, "
            f"for which allowed is {', '.join(fitting)}"
        )
    if recipe.training.loss == "crf" and data.rows.probabilities is not None:
        raise ConfigError(
            f"recipe '{recipe.name}': training.loss crf is of labels; the data has probabilities by a model too, for "
            "which allowed is tags with cross_entropy"
        )
    if recipe.training.label_smoothing and recipe.training.loss != "cross_entropy":
        raise ConfigError(f"recipe '{recipe.name}': training.label_smoothing is for loss cross_entropy")
    if data.facts["alphabet"] != RESIDUES:
        table = getattr(recipe.network.frontend, "table", "none")
        if recipe.network.frontend.name not in ("onehot", "embedding", "dilated") or table != "none":
            raise ConfigError(
                f"recipe '{recipe.name}': front end '{recipe.network.frontend.name}' has features of residues; for DNA "
                "allowed is onehot, or embedding or dilated without a table"
            )
    model = build_model(recipe.network, data.facts["outputs"], given=models_of(recipe.network.frontend))
    settle(model.frontend, data.rows.flat, data.rows.lengths)
    if isinstance(model.head, Values):
        for part, of in ((model.head.shift, np.nanmean), (model.head.scale, np.nanstd)):
            known = [column[np.isfinite(column)] for column in data.rows.tags.T]
            found = [of(column if len(column) else data.rows.tags) for column in known]  # a column may be empty
            part.copy_(torch.as_tensor(np.array(found)))
        model.head.scale.clamp_(min=1e-6)
    return model


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the mean loss per labelled residue: states in nats, values in standard deviations."""
    return LOSSES[recipe.training.loss][2](model, outputs, lengths, batch, recipe) / max(1.0, share(batch, recipe))


def _cross_entropy(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    assert batch.targets is not None
    scores, smoothing = outputs.transpose(1, 2), recipe.training.label_smoothing
    known = F.cross_entropy(scores, batch.targets, ignore_index=NO_TARGET, label_smoothing=smoothing, reduction="sum")
    if batch.probabilities is None:
        return known
    return known - (batch.probabilities * torch.log_softmax(outputs, -1)).sum()


def _crf(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    assert batch.targets is not None
    head = model.head
    assert isinstance(head, TagsCRF)
    return chain_loss(outputs, lengths, batch.targets, head.transitions, head.start, head.end).sum()


def _squares(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    return _errors(model, outputs, batch).square().sum()


def _huber(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    errors = _errors(model, outputs, batch)
    return F.huber_loss(errors, torch.zeros_like(errors), reduction="sum")


def _errors(model: SequenceModel, outputs: Tensor, batch: Batch) -> Tensor:
    """Return the errors (B, T, K) in standard deviations of each target, 0 where missing."""
    assert batch.targets is not None
    scale = model.head.scale
    assert isinstance(scale, Tensor)
    return (outputs - batch.targets).where(batch.targets.isfinite(), 0.0) / scale


def _huber_and_order(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the sum over sequences of the mean Huber loss of their values and of 1 - r between outputs and values.

    Pearson's r of each sequence rewards the order within it; each sequence counts once, however many values it has.
    """
    assert batch.targets is not None
    there = batch.targets.isfinite().flatten(1).float()  # (B, T * K)
    errors = _errors(model, outputs, batch).flatten(1)
    counts = there.sum(1)
    huber = F.huber_loss(errors, torch.zeros_like(errors), reduction="none").sum(1) / counts.clamp(min=1)
    centred = []
    for values in (outputs.flatten(1), batch.targets.flatten(1).nan_to_num()):
        mean = (values * there).sum(1) / counts.clamp(min=1)
        centred.append((values - mean[:, None]) * there)
    norms = centred[0].square().sum(1) * centred[1].square().sum(1)
    r = (centred[0] * centred[1]).sum(1) * torch.rsqrt(norms + 1e-6)
    return (huber + recipe.training.rank_weight * (1 - r) * (counts > 2))[counts > 0].sum()


def share(batch: Batch, recipe: Recipe) -> float:
    """Return the number of labels or values, including pseudo-labels; of sequences where the loss counts these."""
    assert batch.targets is not None
    if recipe.training.loss == "huber+order":
        return float(batch.targets.isfinite().flatten(1).any(1).sum())
    known = batch.targets.isfinite() if batch.targets.is_floating_point() else batch.targets != NO_TARGET
    pseudo = 0.0 if batch.probabilities is None else float(batch.probabilities.sum())
    return float(known.sum()) + pseudo


def collect_from(
    model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe | None = None
) -> Any:
    """Return the input of `score` for a batch: as `collect`, with the states that a CRF head decodes."""
    if isinstance(model.head, TagsCRF):
        called, marginals = model.head.decode(outputs, lengths)
        return _counts(called, marginals.clamp(min=1e-12).log(), batch)
    if recipe is not None and recipe.training.loss == "huber+order":
        assert batch.targets is not None
        there = batch.targets.isfinite()
        rows = zip(outputs.float(), batch.targets, there, strict=True)
        return [(found[known].cpu().numpy(), true[known].cpu().numpy()) for found, true, known in rows]
    return collect(outputs, lengths, batch)


def collect(outputs: Tensor, lengths: Tensor, batch: Batch) -> Any:
    """Return the counts of a batch of states, see `score`; or predicted and true values, each (n, K)."""
    assert batch.targets is not None
    if not batch.targets.is_floating_point():
        return _counts(outputs.argmax(-1), torch.log_softmax(outputs.float(), -1), batch)
    some = batch.targets.isfinite().any(-1)
    return outputs.float()[some].cpu().numpy(), batch.targets[some].cpu().numpy()


def averaged(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, S), which an ensemble averages, and true states (n,) of the labelled residues.

    For values: predicted and true values, each (n, K).
    """
    assert batch.targets is not None
    if batch.targets.is_floating_point():
        found: tuple[np.ndarray, np.ndarray] = collect(outputs, lengths, batch)
        return found
    known = batch.targets != NO_TARGET
    return probabilities(model, outputs, lengths)[known].cpu().numpy(), batch.targets[known].cpu().numpy()


def _counts(called: Tensor, logs: Tensor, batch: Batch) -> dict[str, Any]:
    """Return the confusion matrix (S, S), true by predicted, the sum of -log p, and the accuracy of each row."""
    assert batch.targets is not None
    known, states = batch.targets != NO_TARGET, logs.shape[2]
    true, found = batch.targets[known], called[known]
    confusion = torch.bincount(true * states + found, minlength=states**2).view(states, states)
    nats = -float(logs.detach()[known].gather(1, true[:, None]).double().sum())
    right, counts = ((called == batch.targets) & known).sum(1), known.sum(1)
    rows = (right / counts.clamp(min=1))[counts > 0]
    return {"confusion": confusion.cpu().numpy(), "nats": nats, "rows": rows.double().cpu().numpy()}


def score(collected: list[Any]) -> dict[str, float]:
    """Return the metrics of states: accuracy over residues, its mean over proteins, cross-entropy (nats per residue).

    For values: those of `stats.metrics` over all residues, averaged over the targets. `agreement`, which selects the
    best epoch, is accuracy_residue for states and the Spearman correlation for values: where the loss counts the order
    within a sequence, the mean of that of each sequence, and `spearman` is that of all values together.
    """
    if collected and isinstance(collected[0], list):
        of_rows = [row for part in collected for row in part]
        within = [mean_metrics(t[:, None], p[:, None])["spearman"] for p, t in of_rows if len(t) >= FEWEST]
        own = [value for value in within if np.isfinite(value)]
        predicted, true = (np.concatenate(values)[:, None] for values in zip(*of_rows, strict=True))
        return {"agreement": float(np.mean(own)) if own else float("nan")} | mean_metrics(true, predicted)
    if collected and not isinstance(collected[0], dict) and collected[0][1].ndim == 1:  # from `averaged`
        hits = np.concatenate([predicted.argmax(1) == true for predicted, true in collected])
        return {"agreement": float(hits.mean())}
    if collected and isinstance(collected[0], dict):
        confusion = np.sum([part["confusion"] for part in collected], axis=0)
        known = max(1, int(confusion.sum()))
        accuracy = float(np.trace(confusion) / known)
        return {
            "agreement": accuracy,
            "accuracy_residue": accuracy,
            "accuracy_protein": float(np.mean(np.concatenate([part["rows"] for part in collected]))),
            "cross_entropy": float(sum(part["nats"] for part in collected) / known),
        }
    predicted, true = (np.concatenate(parts) for parts in zip(*collected, strict=True))
    values = mean_metrics(true, predicted)
    return {"agreement": values["spearman"]} | values


def size(batch: Batch) -> int:
    """Return the number of residues."""
    return int(batch.lengths.sum())


# loss -> kind of data, head, and the sum of the loss over the residues of a batch
LOSSES = {
    "cross_entropy": ("states", "tags", _cross_entropy),
    "crf": ("states", "tags_crf", _crf),
    "mse": ("values", "values", _squares),
    "huber": ("values", "values", _huber),
    "huber+order": ("values", "values", _huber_and_order),
}
