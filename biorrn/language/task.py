"""Training task language: prediction of the next symbol of a sequence.

The core is unidirectional, so that no step sees its target; `direction: backward` reads from the end and predicts the
previous symbol. The hidden states are features for other models: front end `language_model`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.config import recipe as config
from biorrn.config.recipe import Recipe, cores, sees
from biorrn.language.data import IGNORED, SymbolDataset, count, windows
from biorrn.nn.batch import Batch, valid
from biorrn.nn.heads import Tokens
from biorrn.nn.sequence import SequenceModel, build_model, carries
from biorrn.sequences.prepared.files import offsets_of
from biorrn.sequences.tokenisers import SPECIAL, make_tokeniser
from biorrn.training.batches import Batches, ProteinDataset

unit = "symbols"
monitor = "log2_likelihood"

VALID_BATCH = 256


class LanguageData(Batches):
    """The train and valid splits of a prepared protein file; its targets are not used."""

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        asked = _frontend(recipe).tokens
        train, valid = ProteinDataset(path, "train"), ProteinDataset(path, "valid")
        offsets = offsets_of(train.lengths)
        tokeniser = make_tokeniser(asked.name, asked.k, asked.merges, train.alphabet, train.flat, offsets)
        backward = sees(recipe.network.core) == "backward"
        self.rows: SymbolDataset = SymbolDataset(train, tokeniser, backward)
        self.held_out = SymbolDataset(valid, tokeniser, backward)
        self.batch_size, self.valid_batch = recipe.training.batch_size, VALID_BATCH
        self.bptt = recipe.training.bptt
        self.sized = not self.bptt
        self.training_size = int(self.rows.lengths.sum())
        self.facts: dict[str, Any] = {
            "task": "language",
            "outputs": tokeniser.size,
            "alphabet": tokeniser.alphabet,
            "tokeniser": tokeniser.to_dict(),
            "min_length": int(train.lengths.min()),
            "max_length": int(train.lengths.max()),
        }

    def steps(self) -> int:
        return count(self.rows, self.batch_size, self.bptt) if self.bptt else super().steps()

    def train(self, epoch: int, seed: int) -> Iterator[Batch]:
        return windows(self.rows, self.batch_size, self.bptt, epoch, seed) if self.bptt else super().train(epoch, seed)


def open_data(path: str | Path, recipe: Recipe) -> LanguageData:
    """Open a prepared file of proteins or bases; byte pairs are learned from its training rows.

    Raises
    ------
    ConfigError: the front end is not 'tokens', or the tokeniser does not fit the alphabet.
    InputError: not a prepared protein file, or a split is empty.
    """
    return LanguageData(path, recipe)


def _frontend(recipe: Recipe) -> config.Tokens:
    frontend = recipe.network.frontend
    if not isinstance(frontend, config.Tokens):
        raise ConfigError(
            f"recipe '{recipe.name}': model.frontend.name: found {frontend.name}; allowed in task language is tokens"
        )
    return frontend


def make_model(recipe: Recipe, data: LanguageData) -> SequenceModel:
    """Return an untrained language model.

    Raises
    ------
    ConfigError: the loss or head is unsuitable, the core is bidirectional, or bptt is set and the core has no state.
    """
    lookup(LOSSES, recipe.training.loss, f"recipe '{recipe.name}': loss")
    parts = recipe.network
    if sees(parts.core) == "both":
        found = ", then ".join(core.direction for core in cores(parts.core))
        raise ConfigError(
            f"recipe '{recipe.name}': model.core.direction: found {found}; allowed in task language is forward or "
            "backward (self_attention with causal: true is forward), since a core that sees both sides has seen what "
            "it is to tell"
        )
    sized = _frontend(recipe).model_copy(update={"size": data.facts["outputs"]})
    model = build_model(parts.model_copy(update={"frontend": sized}), data.facts["outputs"])
    if not isinstance(model.head, Tokens):
        raise ConfigError(f"recipe '{recipe.name}': task language needs head 'tokens'; found '{parts.head.name}'")
    if recipe.training.bptt and not carries(model):
        raise ConfigError(
            f"recipe '{recipe.name}': training.bptt: found {recipe.training.bptt}; allowed is 0 for this core, which "
            "has no state to hand on; a recurrent one with at least one layer has"
        )
    model.frontend.settled = sized  # type: ignore[assignment]  # no part of the network
    model.head.keep = bool(recipe.training.activation or recipe.training.activation_change)
    return model


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the mean cross-entropy per symbol, in nats; unknown letters are left out.

    In training, plus activation regularisation (AR: mean square of the hidden states below the head, after dropout)
    and temporal activation regularisation (TAR: of their change between steps, before dropout), Merity et al. 2018.
    """
    assert batch.targets is not None
    known = batch.targets != IGNORED
    found = F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)
    head = cast(Tokens, model.head)
    kept, head.kept = head.kept, None
    if kept is None or not model.training:
        return found
    hidden, dropped = (part.float() for part in kept)  # (B, T, H)
    there = valid(lengths, hidden.shape[1])[:, :, None]
    change = (hidden[:, 1:] - hidden[:, :-1]) * there[:, 1:]
    scale = known.sum().clamp(min=1) * hidden.shape[2]  # the divisor of the first term, so that batches can be split
    settings = recipe.training
    found = found + settings.activation * (dropped * there).square().sum() / scale
    return found + settings.activation_change * change.square().sum() / scale


def share(batch: Batch, recipe: Recipe) -> float:
    """Return the number of targets."""
    assert batch.targets is not None
    return float((batch.targets != IGNORED).sum())


def collect(outputs: Tensor, lengths: Tensor, batch: Batch) -> np.ndarray:
    """Return for a batch, without ends: letters, sum of -log p (nats), symbols predicted correctly, symbols."""
    assert batch.targets is not None
    assert batch.target_lengths is not None
    there = batch.targets >= SPECIAL
    scores, targets = outputs.float()[there], batch.targets[there]
    hits = (scores.argmax(1) == targets).sum()
    nats = F.cross_entropy(scores, targets, reduction="sum")
    return np.array([float(batch.target_lengths.sum()), float(nats), float(hits), len(targets)])


def score(collected: list[Any]) -> dict[str, float]:
    """Return perplexity and log2-likelihood per letter (bits), and the accuracy of the likeliest symbol.

    >>> round(score([np.array([10.0, 10 * math.log(20), 1.0, 10.0])])["perplexity"], 6)
    20.0
    """
    letters, nats, hits, symbols = np.sum(collected, axis=0)
    mean = nats / max(letters, 1.0)
    return {
        "log2_likelihood": -mean / math.log(2),
        "perplexity": math.exp(min(mean, 700.0)),
        "accuracy": hits / max(symbols, 1.0),
    }


def size(batch: Batch) -> int:
    """Return the number of steps: symbols, and one end per sequence."""
    return int(batch.lengths.sum())


LOSSES = {"cross_entropy": F.cross_entropy}
