"""Training task translation: an encoder-decoder with attention, from one sequence to another of any length.

Two kinds of prepared data: pairs of sequences in any two alphabets, and signal, whose chunks are translated to bases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.config.recipe import Recipe
from biorrn.kernels.ctc.loss import ctc_loss
from biorrn.kernels.distance import distance
from biorrn.nanopore.dataset import FEWEST
from biorrn.nanopore.task import SignalData
from biorrn.nn.batch import Batch, valid
from biorrn.nn.beam_search import greedy
from biorrn.nn.decoder import END, Decoder
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.training.batches import Batches, ordered_batches
from biorrn.training.task import Data
from biorrn.translation.data import PairDataset

unit = "symbols"
monitor = "symbol_accuracy"

NONE = -1  # target of padding
VALID_BATCH = 64
VALID_PAIRS = 512  # maximum validation pairs; more are thinned evenly


class PairData(Batches):
    """The train and valid splits of a prepared file of pairs."""

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        self.rows = pairs = PairDataset(path, "train")
        self.held_out = PairDataset(path, "valid")
        self.batch_size, self.valid_batch = recipe.training.batch_size, VALID_BATCH
        self.training_size = int(pairs.target_lengths.sum())
        self.facts: dict[str, Any] = {
            "task": "translation",
            "outputs": len(pairs.target.symbols) + 1,
            "source": pairs.source.name,
            "target": pairs.target.name,
            "symbols_a_step": float((pairs.target_lengths / pairs.lengths).max()),
        }

    def valid(self) -> Iterator[Batch]:
        kept = np.arange(len(self.held_out))
        if len(kept) > VALID_PAIRS:
            kept = np.linspace(0, len(kept) - 1, VALID_PAIRS).round().astype(int)
        for indices in ordered_batches(self.held_out.lengths[kept], self.valid_batch):
            yield self.held_out.collate(kept[indices])


def open_data(path: str | Path, recipe: Recipe) -> Data:
    """Open a prepared file of pairs, or of signal."""
    if _kind(path) != "signal":
        return PairData(path, recipe)
    data = SignalData(path, recipe)
    windows = data.windows
    data.training_size = int(data.training_size * windows.bases.sum() / windows.lengths.sum())
    data.facts |= {"task": "translation", "source": "signal", "target": "bases", "symbols_a_step": 1 / FEWEST}
    return data


def _kind(path: str | Path) -> str:
    """Return the kind of a prepared file, "" if it has none or cannot be read (opening it later gives the error)."""
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("kind", ""))
    except OSError:
        return ""


def make_model(recipe: Recipe, data: Data) -> SequenceModel:
    """Return an untrained encoder and decoder.

    Raises
    ------
    ConfigError: the loss, head or front end does not fit the data.
    """
    lookup(LOSSES, recipe.training.loss, f"recipe '{recipe.name}': loss")
    parts = recipe.network
    if parts.head.name != "decoder":
        raise ConfigError(f"recipe '{recipe.name}': task translation needs head 'decoder'; found '{parts.head.name}'")
    signal = data.facts["source"] == "signal"
    if (parts.frontend.name in FRONTENDS["signal"]) != signal:
        allowed = FRONTENDS["signal" if signal else "pairs"]
        what = f"{data.facts['source']} in"
        raise ConfigError(
            f"recipe '{recipe.name}': model.frontend.name: found {parts.frontend.name}; allowed for {what} the data is "
            f"one of {', '.join(allowed)}"
        )
    if not signal:
        if parts.head.ctc:
            raise ConfigError(
                f"recipe '{recipe.name}': model.head.ctc: found {parts.head.ctc:g}; allowed is 0 where the data is no "
                "signal, since a target may have as many symbols as its source"
            )
        letters, known = len(data.rows.source.symbols), getattr(parts.frontend, "symbols", 0)  # type: ignore[attr-defined]
        if known != letters:
            raise ConfigError(
                f"recipe '{recipe.name}': model.frontend.symbols: found {known}; the sources are {data.facts['source']}"
                f", which needs {letters}"
            )
    model = build_model(parts, data.facts["outputs"])
    if signal:
        data.facts["stride"] = model.stride
    return model


def teaching(targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of the decoder for teacher forcing, each (B, U + 1); padding of the targets is `NONE`.

    Parameters
    ----------
    targets, lengths : int64 tensors (B, U) and (B,), as in a batch.
    """
    ends = F.pad(targets, (0, 1), value=END)
    given = F.pad(targets, (1, 0), value=END)
    return given, ends.masked_fill(~valid(lengths + 1, ends.shape[1]), NONE)


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the mean cross-entropy per symbol, including the end, in nats.

    In training, with `sampling` of the head above 0, a fraction of the inputs are the decoder's own predictions, from a
    first pass over the true ones (scheduled sampling, Bengio et al. 2015; in parallel, Mihaylova and Martins 2019).
    With `ctc` above 0, that fraction of the loss is CTC on the outputs of the encoder, which helps before the attention
    has learned to align (Kim, Hori and Watanabe 2017).
    """
    assert batch.targets is not None
    assert batch.target_lengths is not None
    head = model.head
    assert isinstance(head, Decoder)
    given, wanted = teaching(batch.targets, batch.target_lengths)
    if model.training and head.recipe.sampling:
        with torch.no_grad():
            own = head.teacher_force(outputs, lengths, given)[0].argmax(-1)
        own = F.pad(own[:, :-1], (1, 0), value=END)
        chosen = torch.rand(given.shape, device=given.device) < head.recipe.sampling
        given = torch.where(chosen, own, given)
    scores, _ = head.teacher_force(outputs, lengths, given)
    smoothing = head.recipe.smoothing if model.training else 0.0
    found = F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=NONE, label_smoothing=smoothing)
    part = head.recipe.ctc if model.training else 0.0
    if not part:
        return found
    rows = ctc_loss(head.step_scores(outputs), lengths, batch.targets, batch.target_lengths)
    return (1 - part) * found + part * (rows / batch.target_lengths.clamp(min=1)).mean()


def share(batch: Batch, recipe: Recipe) -> float:
    """Return the number of targets: symbols and ends."""
    assert batch.target_lengths is not None
    return float((batch.target_lengths + 1).sum())


def collect_from(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> np.ndarray:
    """Return for each row, decoded greedily: edits, target length, and whether it is exact; int64 (B, 3)."""
    assert batch.targets is not None
    assert batch.target_lengths is not None
    assert isinstance(model.head, Decoder)
    # at most a tenth longer than the targets: outputs without an end cost time in the first epochs
    most = torch.full_like(lengths, math.ceil(1.1 * int(batch.target_lengths.max())) + 5)
    found = greedy(model.head, outputs, lengths, most)
    rows = []
    for row, sequence in enumerate(found):
        wanted = batch.targets[row, : int(batch.target_lengths[row])].tolist()
        edits = distance(sequence.symbols, wanted)
        rows.append((edits, len(wanted), int(edits == 0 and sequence.ended)))
    return np.array(rows, np.int64).reshape(-1, 3)


def score(collected: list[Any]) -> dict[str, float]:
    """Return the symbol error rate (edits / target symbols), 1 minus that, and the fraction of exact sequences.

    >>> score([np.array([[1, 8, 0], [0, 2, 1]])])
    {'symbol_accuracy': 0.9, 'symbol_error_rate': 0.1, 'exact': 0.5}
    """
    edits, symbols, right = np.concatenate(collected).T
    rate = float(edits.sum() / max(1, symbols.sum()))
    return {"symbol_accuracy": 1 - rate, "symbol_error_rate": rate, "exact": float(right.mean())}


def size(batch: Batch) -> int:
    """Return the number of symbols of the targets."""
    assert batch.target_lengths is not None
    return int(batch.target_lengths.sum())


LOSSES = {"cross_entropy": F.cross_entropy}
FRONTENDS = {"signal": ("conv", "residual", "separable"), "pairs": ("embedding",)}
