"""How far back the gradient reaches in each recurrent layer of a trained model, and of the same model untrained.

Each layer is looked at alone, on what it is given of real sequences: its own state at the last step is read out, and
only its own recurrence leads back. A layer that runs backward counts its steps the way it reads them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from biorrn.batch import Batch
from biorrn.config import Recipe
from biorrn.errors import ConfigError, InputError
from biorrn.evaluation.gradient_flow import Curve, Reach, reach
from biorrn.evaluation.gradient_flow_cells import ROWS
from biorrn.inference.gradients import networks
from biorrn.models.build import build
from biorrn.models.recurrent import CELLS, Layer, reverse
from biorrn.models.sequence import SequenceModel
from biorrn.models.store import Stored

EACH = 4  # sequences of a batch that are looked at
WAYS = {"f": "forward", "b": "backward"}


def first_recipe(stored: Stored) -> Recipe:
    """Return the recipe by which a model's data is opened: of an ensemble, that of its first member.

    Raises
    ------
    ConfigError: a part of the model is no network with a recurrent layer.
    """
    found = networks(stored.model) or []
    if not found or not all(any(isinstance(part, Layer) for part in one.core.modules()) for one in found):
        raise ConfigError(
            f"model '{stored.path.name}': has a part without a recurrent layer; MODEL is a network with one"
        )
    recipe = stored.recipe if stored.recipe.members is None else stored.recipe.members[0].recipe
    assert isinstance(recipe, Recipe)  # as in every model folder
    return recipe


def longest_rows(batches: Iterable[Batch], rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Return the longest of a few sequences of each batch, as one batch: x (B, T, ...), 0-padded, and lengths (B,)."""
    found: list[Tensor] = []
    for batch in batches:
        places = torch.linspace(0, len(batch) - 1, min(EACH, len(batch))).round().long().tolist()
        found += [batch.x[place, : int(batch.lengths[place])] for place in places]
        found = sorted(found, key=len, reverse=True)[:rows]
    x = nn.utils.rnn.pad_sequence(found, batch_first=True)
    return x, torch.tensor([len(row) for row in found])


def layer_inputs(network: SequenceModel, x: Tensor, lengths: Tensor) -> list[tuple[Layer, Tensor, Tensor]]:
    """Return each recurrent layer of the core, in order, with what it is given: (B, T, F) and lengths (B,)."""
    seen: list[tuple[Layer, Tensor, Tensor]] = []

    def look(layer: nn.Module, given: tuple[Any, ...]) -> None:
        assert isinstance(layer, Layer)
        seen.append((layer, *given))

    handles = [module.register_forward_pre_hook(look) for module in network.core.modules() if isinstance(module, Layer)]
    try:
        with torch.no_grad():
            network.eval()(x, lengths)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def network_curves(network: SequenceModel, x: Tensor, lengths: Tensor, length: int, seed: int) -> dict[str, Reach]:
    """Return the reach of each layer and direction of a network, by its name, such as "lstm 2 backward"."""
    found = {}
    for number, (layer, given, steps) in enumerate(layer_inputs(network, x, lengths), 1):
        for way, cell in zip(layer.directions, layer.cells, strict=True):
            name = next((name for name, kind in CELLS.items() if type(cell) is kind), type(cell).__name__)
            seen = given if way == "f" else reverse(given, steps)
            own = copy.deepcopy(cell).double()
            last, state = last_steps(own, seen.double(), steps, length)
            generator = torch.Generator().manual_seed(seed)
            found[f"{name} {number} {WAYS[way]}"] = reach([own], last, generator, state=state)
    return found


def last_steps(cell: nn.Module, x: Tensor, lengths: Tensor, length: int) -> tuple[Tensor, Any]:
    """Return the last steps of each row, (B, W, F), and the cell's state before them.

    W is `length`, or that of the shortest row.
    """
    width = min(length, int(lengths.min()))
    starts = (lengths - width).tolist()
    with torch.no_grad():
        _, first = cell(x[:1, :1])
        zero = tuple(map(torch.zeros_like, first)) if isinstance(first, tuple) else torch.zeros_like(first)
        states: list[Any] = [cell(x[row : row + 1, :start])[1] if start else zero for row, start in enumerate(starts)]
    if isinstance(first, tuple):
        state: Any = tuple(torch.cat(parts, dim=1) for parts in zip(*states, strict=True))
    else:
        state = torch.cat(states, dim=1)
    return torch.stack([x[row, start : start + width] for row, start in enumerate(starts)]), state


def untrained(stored: Stored, seed: int) -> list[SequenceModel]:
    """Return the networks of a model with a core as before training; front ends and heads are as they are now."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = networks(build(stored.recipe, stored.facts))
    trained = networks(stored.model)
    assert fresh is not None
    assert trained is not None
    twins = []
    for new, old in zip(fresh, trained, strict=True):
        twin = copy.deepcopy(old)
        twin.core.load_state_dict(new.core.state_dict())
        twins.append(twin)
    return twins


def model_curves(
    stored: Stored,
    batches: Iterable[Batch],
    *,
    length: int,
    seeds: int,
    advance: Callable[[int], None] = lambda done: None,
) -> list[Curve]:
    """Return the curves of a model's recurrent layers, trained and untrained.

    Parameters
    ----------
    stored : of which `first_recipe` is known; the members of an ensemble are the runs of a curve.
    batches : sequences it was made for; the longest few are used.
    length : int: steps back.
    seeds : int: of first weights, and of read-outs.

    Raises
    ------
    ConfigError: a number is out of range.
    InputError: no sequence has two steps when it reaches the core.
    """
    for option, value, least in (("length", length, 2), ("seeds", seeds, 1)):
        if value < least:
            raise ConfigError(f"--{option}: found {value}; allowed is {least} or more")
    trained = networks(stored.model) or []
    x, lengths = longest_rows(batches)
    found: dict[tuple[str, str], list[Reach]] = {}
    for seed in range(seeds):
        for panel, parts in (("trained", trained), ("untrained", untrained(stored, seed))):
            for network in parts:
                for name, one in network_curves(network, x, lengths, length, seed).items():
                    if len(one.norms) < 2:
                        raise InputError(stored.path, "no sequence of the prepared file has two steps at its core")
                    found.setdefault((panel, name), []).append(one)
                advance(1)
    shortest = {key: min(len(one.norms) for one in runs) for key, runs in found.items()}
    return [
        Curve(*key, tuple(Reach(one.norms[: shortest[key]], one.gradient) for one in found[key]))
        for key in sorted(found, key=lambda key: key[0])
    ]
