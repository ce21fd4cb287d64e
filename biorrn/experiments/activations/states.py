"""Hidden states of a recurrent layer along sequences, for models of proteins or DNA."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.language.generate import tokeniser_of
from biorrn.nn.cells import Layer
from biorrn.nn.gradients import networks
from biorrn.nn.sequence import SequenceModel
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.sequence_set import SequenceSet
from biorrn.sequences.tokenisers import BOS, EOS, Tokeniser
from biorrn.training.batches import pad_tokens

MOST = 1 << 28  # states in memory, a gigabyte
TASKS = ("language", "regression", "tagging")  # of models that read sequences


@dataclass(frozen=True, slots=True)
class States:
    """The states of one sequence.

    Attributes
    ----------
    id, sequence : str: T letters.
    values : float32 array (T, H): the state of each unit after each letter; the letters of one symbol share its state.
    """

    id: str
    sequence: str
    values: np.ndarray


@dataclass(frozen=True)
class Watched:
    """A model and its observed part.

    Attributes
    ----------
    model : SequenceModel in evaluation mode.
    part : module of the model whose output is observed.
    name : str: "layer 2 of 2" or "core".
    directions : str: "f", "b" or "fb"; units of both directions are concatenated.
    alphabet : str: letters of the input.
    tokeniser : Tokeniser or None: of a language model.
    """

    model: SequenceModel
    part: torch.nn.Module
    name: str
    directions: str
    alphabet: str
    tokeniser: Tokeniser | None

    @property
    def width(self) -> int:
        """Return the number of units."""
        return int(self.part.width)  # type: ignore[arg-type]

    def direction(self, unit: int) -> str:
        """Return the reading direction of a unit: "forward" or "backward"."""
        way = self.directions[unit * len(self.directions) // self.width]
        return {"f": "forward", "b": "backward"}[way]


def watch(stored: Stored, layer: int | None = None, member: int = 1) -> Watched:
    """Return a model with the part to observe.

    Parameters
    ----------
    layer : int: recurrent layer, from 1; None for the last, 0 for the output of the core.
    member : int: of an ensemble, from 1.

    Raises
    ------
    ConfigError: the model reads no sequences, or has no such member or layer.
    """
    task = stored.facts.get("task")
    found = networks(stored.model) if task in TASKS else None
    if found is None:
        raise ConfigError(f"{stored.path}: expected a model of a network for {', '.join(TASKS)}; found task {task}")
    if not 1 <= member <= len(found):
        raise ConfigError(f"--member: found {member}; allowed is 1 to {len(found)}")
    model = found[member - 1]
    layers = [part for part in model.core.modules() if isinstance(part, Layer)]
    if layer != 0 and not layers:
        raise ConfigError(f"{stored.path}: has no recurrent layer; allowed is --layer 0, what its core gives")
    if layer is not None and not 0 <= layer <= len(layers):
        raise ConfigError(f"--layer: found {layer}; allowed is 1 to {len(layers)}, or 0 for the core as a whole")
    place = len(layers) if layer is None else layer
    part: Any = model.core if place == 0 else layers[place - 1]
    name = "core" if place == 0 else f"layer {place} of {len(layers)}"
    directions = part.directions if isinstance(part, Layer) else str(getattr(part, "directions", "f"))
    tokeniser = tokeniser_of(stored) if task == "language" else None
    alphabet = tokeniser.alphabet if tokeniser else str(stored.facts.get("alphabet") or RESIDUES)
    return Watched(model, part, name, directions, alphabet, tokeniser)


def check_size(watched: Watched, sequences: SequenceSet) -> None:
    """Raise BiorrnError if the states of all units are more than `MOST`."""
    size = len(sequences.tokens) * watched.width
    if size > MOST:
        raise BiorrnError(
            f"{len(sequences.tokens):,} letters of {watched.width:,} units are {size:,} states; allowed are {MOST:,}: "
            "give fewer sequences"
        )


def activations(
    watched: Watched, sequences: SequenceSet, *, batch_size: int = 64, device: torch.device | str = "cpu"
) -> Iterator[States]:
    """Yield the states of each sequence, in order.

    Raises
    ------
    ConfigError: a batch size below 1.
    BiorrnError: the model does not have one feature per letter, as models of variants of one protein.
    """
    if batch_size < 1:
        raise ConfigError(f"--batch-size: found {batch_size}; allowed is 1 or more")
    watched.model.to(device)
    for first in range(0, len(sequences), batch_size):
        rows = range(first, min(first + batch_size, len(sequences)))
        tokens = [sequences.one(row) for row in rows]
        for row, own, values in zip(rows, tokens, _states(watched, tokens, sequences.ids[first], device), strict=True):
            yield States(sequences.ids[row], "".join(watched.alphabet[token - 1] for token in own), values)


def _states(
    watched: Watched, tokens: Sequence[np.ndarray], id: str, device: torch.device | str
) -> Iterator[np.ndarray]:
    """Yield the states (T, H) of each sequence of a batch."""
    inputs, letters = list(tokens), [np.ones(len(own), np.int64) for own in tokens]
    bounds = int(watched.tokeniser is not None)  # a language model begins and ends with a symbol of its own
    if watched.tokeniser is not None:
        ids = [watched.tokeniser.encode_tokens(own) for own in tokens]
        letters = [watched.tokeniser.letters[own] for own in ids]
        inputs = [np.concatenate([[BOS], own, [EOS]]) for own in ids]
    x, lengths = pad_tokens(inputs)
    found: list[Tensor] = []
    handle = watched.part.register_forward_hook(
        lambda part, given, output: found.append(output if isinstance(output, Tensor) else output[0])
    )
    try:
        with torch.inference_mode():
            features, steps = watched.model.frontend(x.to(device), lengths.to(device))
            if features.shape[1] != x.shape[1] or not torch.equal(steps.cpu(), lengths):
                raise BiorrnError(f"record '{id}': the model's features are not one a letter")
            watched.model.core(features, steps)
    finally:
        handle.remove()
    values = found[-1].float().cpu().numpy()  # (B, T, H)
    for row, counts in enumerate(letters):
        yield np.repeat(values[row, bounds : bounds + len(counts)], counts, axis=0)
