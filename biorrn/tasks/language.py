"""A language model of proteins: tokens in, scores of the next residue (or the end) at each step out.

The core runs one way, so that no step has seen what it is to tell; `direction: backward` reads from the end and tells
the residue before. Its hidden states are features for other models: front end `language_model`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from biorrn.batch import Batch
from biorrn.config import Recipe
from biorrn.datasets.next_symbols import IGNORED, SymbolDataset
from biorrn.datasets.proteins import Batches
from biorrn.encoders.alphabets import N_TOKENS, PADDING, RESIDUES
from biorrn.errors import ConfigError
from biorrn.lookup import lookup
from biorrn.models.heads import Tokens
from biorrn.models.sequence import SequenceModel, build_model

unit = "residues"
monitor = "log2_likelihood"

VALID_BATCH = 256


class LanguageData(Batches):
    """The train and valid splits of a prepared protein file, with targets or without."""

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        backward = recipe.network.core.direction == "backward"
        self.rows = SymbolDataset(path, "train", backward)
        self.held_out = SymbolDataset(path, "valid", backward)
        self.batch_size, self.valid_batch = recipe.training.batch_size, VALID_BATCH
        self.training_size = int(self.rows.lengths.sum())
        self.facts: dict[str, Any] = {
            "task": "language",
            "outputs": N_TOKENS,
            "alphabet": RESIDUES,
            "min_length": self.rows.shortest_protein,
            "max_length": self.rows.longest_protein,
        }


def open_data(path: str | Path, recipe: Recipe) -> LanguageData:
    """Open a prepared protein file."""
    return LanguageData(path, recipe)


def make_model(recipe: Recipe, data: LanguageData) -> SequenceModel:
    """Return an untrained language model.

    Raises
    ------
    ConfigError: another loss or head, a core that runs both ways, or features that look ahead.
    """
    lookup(LOSSES, recipe.training.loss, f"recipe '{recipe.name}': loss")
    parts = recipe.network
    if parts.core.direction not in ("forward", "backward"):
        raise ConfigError(
            f"recipe '{recipe.name}': model.core.direction: found {parts.core.direction}; allowed in task language is "
            "forward or backward, since a core that runs both ways has seen what it is to tell"
        )
    if parts.frontend.name not in FRONTENDS or getattr(parts.frontend, "layers", []):
        raise ConfigError(
            f"recipe '{recipe.name}': model.frontend.name: found {parts.frontend.name}; allowed in task language is "
            f"one of {', '.join(FRONTENDS)} without layers, which sees one residue at a time"
        )
    model = build_model(parts, data.facts["outputs"])
    if not isinstance(model.head, Tokens):
        raise ConfigError(f"recipe '{recipe.name}': task language needs head 'tokens'; found '{parts.head.name}'")
    return model


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the mean cross-entropy of a symbol, in nats; residues that are not known have none."""
    assert batch.targets is not None
    return F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)


def share(batch: Batch, recipe: Recipe) -> float:
    """Return the number of symbols that are told."""
    assert batch.targets is not None
    return float((batch.targets != IGNORED).sum())


def collect(outputs: Tensor, lengths: Tensor, batch: Batch) -> np.ndarray:
    """Return of the batch's residues, ends left out: their number, the sum of -log p in nats, how many were first."""
    assert batch.targets is not None
    there = (batch.targets != IGNORED) & (batch.targets != PADDING)
    scores, targets = outputs.float()[there], batch.targets[there]
    hits = (scores.argmax(1) == targets).sum()
    return np.array([len(targets), float(F.cross_entropy(scores, targets, reduction="sum")), float(hits)])


def score(collected: list[Any]) -> dict[str, float]:
    """Return perplexity, log2-likelihood a residue (bits) and how often the likeliest symbol was the true one.

    >>> round(score([np.array([10.0, 10 * math.log(20), 1.0])])["perplexity"], 6)
    20.0
    """
    residues, nats, hits = np.sum(collected, axis=0)
    mean = nats / max(residues, 1.0)
    return {
        "log2_likelihood": -mean / math.log(2),
        "perplexity": math.exp(mean),
        "accuracy": hits / max(residues, 1.0),
    }


def size(batch: Batch) -> int:
    """Return the number of steps: residues and one end a protein."""
    return int(batch.lengths.sum())


LOSSES = {"cross_entropy": F.cross_entropy}
FRONTENDS = ("onehot", "blosum62", "scales", "embedding")
