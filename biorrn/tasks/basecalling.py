"""Basecalling: signal in, scores of each step out, trained by CTC (Graves et al. 2006) or CTC-CRF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from biorrn.batch import Batch
from biorrn.config import Chunks, Recipe
from biorrn.datasets.chunks import ChunkDataset
from biorrn.encoders.alphabets import BASES
from biorrn.errors import ConfigError
from biorrn.inference.decoders import DECODERS, remembered
from biorrn.kernels.crf import crf_loss
from biorrn.kernels.ctc import ctc_loss
from biorrn.kernels.distance import identity
from biorrn.lookup import lookup
from biorrn.models.sequence import SequenceModel, build_model
from biorrn.readers.chemistry import trained_for

unit = "samples"
monitor = "identity"

VALID_BATCH = 64
VALID_WINDOWS = 512  # a validation set larger than this is thinned evenly


class SignalData:
    """Random windows of the training segments and fixed windows of the validation segments."""

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        chunks = recipe.chunks or Chunks()
        context = state_len(recipe)
        self.windows = ChunkDataset(path, "train", chunks.samples, recipe.training.augment, context)
        self.held_out = ChunkDataset(path, "valid", chunks.samples, None, context)
        self.chunks = chunks
        self.batch_size = recipe.training.batch_size
        self.training_size = self.steps() * self.batch_size * chunks.samples
        self.facts: dict[str, Any] = {
            "task": "basecalling",
            "outputs": len(BASES),
            "normaliser": self.windows.normaliser,
            "sample_rate": self.windows.sample_rate,
        }
        if known := trained_for(self.windows.chemistry):
            self.facts["chemistry"] = known

    def steps(self) -> int:
        return max(1, self.chunks.epoch // self.batch_size)

    def train(self, epoch: int, seed: int) -> Iterator[Batch]:
        windows = self.windows.windows(epoch, seed, self.steps() * self.batch_size)
        for start in range(0, len(windows), self.batch_size):
            yield self.windows.collate(windows[start : start + self.batch_size])

    def valid(self) -> Iterator[Batch]:
        tiles = self.held_out.tiles(VALID_WINDOWS)
        for start in range(0, len(tiles), VALID_BATCH):
            yield self.held_out.collate(tiles[start : start + VALID_BATCH])


def open_data(path: str | Path, recipe: Recipe) -> SignalData:
    """Open a prepared signal file."""
    return SignalData(path, recipe)


def make_model(recipe: Recipe, data: SignalData) -> SequenceModel:
    """Return an untrained basecaller."""
    lookup(LOSSES, recipe.training.loss, f"recipe '{recipe.name}': loss")
    head = recipe.network.head.name
    if head not in LOSSES or head != recipe.training.loss:
        raise ConfigError(
            f"recipe '{recipe.name}': task basecalling needs one of {', '.join(LOSSES)} both as model.head.name and as "
            f"training.loss; found {head} and {recipe.training.loss}"
        )
    model = build_model(recipe.network, len(BASES))
    data.facts["stride"] = model.stride
    return model


def state_len(recipe: Recipe) -> int:
    """Return how many bases a state of the model's CRF remembers; 0 for CTC."""
    return getattr(recipe.network.head, "state_len", 0)


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the mean over the rows of the loss a base, in nats."""
    assert batch.targets is not None
    assert batch.target_lengths is not None
    if recipe.training.loss == "crf":
        rows = crf_loss(outputs, lengths, batch.targets, batch.target_lengths, state_len(recipe))
    else:
        rows = ctc_loss(outputs, lengths, batch.targets, batch.target_lengths)
    return (rows / batch.target_lengths.clamp(min=1)).mean()


def share(batch: Batch, recipe: Recipe) -> float:
    """Return the number of rows."""
    return float(len(batch))


def collect(outputs: Tensor, lengths: Tensor, batch: Batch) -> list[float]:
    """Return the identity of the best path of each window with its label."""
    assert batch.targets is not None
    assert batch.target_lengths is not None
    found = []
    scores = outputs.float().cpu().numpy()
    context = remembered(scores.shape[2])
    decode = DECODERS["greedy"]
    for row in range(len(batch)):
        call = decode(scores[row, : int(lengths[row])]).bases
        label = batch.targets[row, context : int(batch.target_lengths[row])].tolist()
        found.append(identity(call, "".join(BASES[base] for base in label)))
    return found


def score(collected: list[Any]) -> dict[str, float]:
    """Return the median and mean identity over the windows."""
    values = np.concatenate([np.asarray(part) for part in collected])
    return {"identity": float(np.median(values)), "mean_identity": float(values.mean())}


def size(batch: Batch) -> int:
    """Return the number of samples, padding included."""
    return int(batch.x.shape[0] * batch.x.shape[1])


LOSSES = {"ctc": ctc_loss, "crf": crf_loss}
