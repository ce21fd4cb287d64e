"""How likely a language model finds sequences: -log p of every symbol, each sequence read whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biorrn.config import sees
from biorrn.datasets.next_symbols import IGNORED, SymbolDataset
from biorrn.datasets.proteins import ProteinDataset, ordered_batches
from biorrn.datasets.streams import whole
from biorrn.errors import ConfigError
from biorrn.inference.generate import tokeniser_of
from biorrn.models.sequence import SequenceModel
from biorrn.models.stepper import carries, hand_on
from biorrn.models.store import Stored

ROWS, STEPS = 64, 512  # of a forward pass


def symbols_of(stored: Stored, rows: ProteinDataset) -> SymbolDataset:
    """Return rows as a language model reads them.

    Raises
    ------
    ConfigError: a model for another task, or of other letters than those of the rows.
    """
    tokeniser = tokeniser_of(stored)
    if tokeniser.alphabet != rows.alphabet:
        raise ConfigError(f"{stored.path}: is a model of letters {tokeniser.alphabet}; the rows have {rows.alphabet}")
    backward = sees(stored.recipe.network.core) == "backward"
    return SymbolDataset(rows, tokeniser, backward, int(rows.lengths.max()) + 2)


def symbol_nats(
    model: SequenceModel, data: SymbolDataset, advance: Callable[[int], None] = lambda sequences: None
) -> np.ndarray:
    """Return -log p of each id of `data.flat`, float64 (total,), in nats; NaN of what is not to be told.

    That are the ids that the model begins with, and letters that are not known. A recurrent model reads in windows and
    hands its state on; any other reads each sequence at once.

    Parameters
    ----------
    model : in evaluation mode.
    data : whole sequences, see `symbols_of`.
    """
    device = next(model.parameters()).device
    found = np.full(len(data.flat), np.nan)
    starts, ends = data.offsets[:-1], data.offsets[1:]
    with torch.inference_mode():
        if not carries(model):
            for places in ordered_batches(data.steps, ROWS):
                batch = data.collate(places)
                scores = model(batch.x.to(device), batch.lengths.to(device))[0].cpu()
                nats, first = _nats(scores, batch.targets), starts[places] + (0 if data.backward else 1)
                for row, place in enumerate(first):
                    found[place : place + int(batch.lengths[row])] = nats[row, : int(batch.lengths[row])]
                advance(len(places))
            return found
        states: Any = None
        for rows, places, batch in whole(data, ROWS, STEPS):
            there = batch.to(device)
            assert there.carried is not None
            scores, _, states = model.go_on(there.x, there.lengths, hand_on(states, there.carried))
            nats, counts = _nats(scores.cpu(), batch.targets), batch.lengths.tolist()
            for row in np.flatnonzero(rows >= 0).tolist():
                told, first = nats[row, : counts[row]], int(places[row]) + 1
                if data.backward:
                    end = int(ends[rows[row]]) - first
                    found[end - len(told) : end] = told[::-1]
                else:
                    start = int(starts[rows[row]]) + first
                    found[start : start + len(told)] = told
            advance(int(((rows >= 0) & (places == 0)).sum()))
    return found


def _nats(scores: Tensor, targets: Tensor | None) -> np.ndarray:
    """Return -log p of the targets (B, T) by scores (B, T, S), NaN where there is none."""
    assert targets is not None
    nats = F.cross_entropy(scores.double().transpose(1, 2), targets, reduction="none", ignore_index=IGNORED)
    return nats.masked_fill(targets == IGNORED, float("nan")).numpy()
