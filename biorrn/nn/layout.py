"""Layout of stored networks: names and shapes of the tensors of a recipe, so that kernels need no torch module.

It knows the networks that the CPU engines run, and ensembles of them. The names are those of the modules that
`nn.sequence.build` makes; a test compares both for each recipe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from biorrn.config.network import ChainHead, Conv, ConvLayer, Core, CRFHead, Embedding, PlainHead, SelfAttention
from biorrn.config.recipe import Model, Recipe
from biorrn.kernels.lstm.layers import Direction
from biorrn.sequences.alphabets import TABLES

Tensors = Mapping[str, np.ndarray]
KNOTS = 32  # of a `nn.ensemble.Calibration`
PLAIN_POOLS = ("last", "mean", "max", "sum")  # without weights


class Slot(NamedTuple):
    """What a tensor must be: its shape, and whether it holds floating-point numbers."""

    shape: tuple[int, ...]
    floating: bool = True


def slots(recipe: Recipe, facts: Mapping[str, Any]) -> dict[str, Slot] | None:
    """Return the tensors of a model by name, or None for a network that only torch runs.

    Parameters
    ----------
    facts : as `nn.sequence.build` takes them.
    """
    outputs = int(facts.get("outputs", 1))
    if recipe.members is not None:
        return _ensemble(recipe, facts, outputs)
    network = recipe.model
    if not isinstance(network, Model) or unsupported_core(network.core) is not None:
        return None
    pooled = network.head.name == "regression"
    if network.head.name not in ("ctc", "crf", "regression") or pooled != bool(network.pool):
        return None
    if type(network.frontend) not in (Conv, Embedding) or not set(network.pool) <= set(PLAIN_POOLS):
        return None
    return dict(_network(network, outputs))


def _network(network: Any, outputs: int) -> Iterator[tuple[str, Slot]]:
    width = 1
    if isinstance(network.frontend, Embedding):
        width = network.frontend.width
        yield "frontend.learned.weight", Slot((network.frontend.symbols + 1, width))
        if network.frontend.table != "none":
            width += sum(TABLES[name].shape[1] for name in network.frontend.table.split("+"))
    layers: list[ConvLayer] = network.frontend.layers
    for place, layer in enumerate(layers):
        yield from _linear(f"frontend.layers.{place}", layer.width, width, layer.kernel)
        width = layer.width
    core: Core = network.core
    for number in range(core.layers):
        ways = core.directions(number)
        for place in range(len(ways)):
            cell = f"core.layers.{number}.cells.{place}."
            yield cell + "weight_ih_l0", Slot((4 * core.hidden, width))
            yield cell + "weight_hh_l0", Slot((4 * core.hidden, core.hidden))
            yield from ((cell + bias, Slot((4 * core.hidden,))) for bias in ("bias_ih_l0", "bias_hh_l0"))
        width = core.hidden * len(ways)
    if network.steps:
        yield from _linear("steps", network.steps, width)
        width = network.steps
    width *= max(1, len(network.pool))
    head: PlainHead | CRFHead = network.head
    if isinstance(head, CRFHead):
        moves = outputs - (head.blank is not None)
        outputs = (outputs - 1) ** head.state_len * moves
    elif head.name == "regression":
        yield from ((f"head.{name}", Slot((outputs,))) for name in ("shift", "scale"))
    widths = [width, *([head.hidden] if head.hidden else []), outputs]
    names = _head_names(head)
    for place, name in enumerate(names):
        both = dict(_linear(name, widths[place + 1], widths[place]))
        if name == names[-1] and not getattr(head, "bias", True):
            del both[f"{name}.bias"]
        yield from both.items()


def _linear(name: str, *shape: int) -> Iterator[tuple[str, Slot]]:
    yield f"{name}.weight", Slot(shape)
    yield f"{name}.bias", Slot(shape[:1])


def _ensemble(recipe: Recipe, facts: Mapping[str, Any], outputs: int) -> dict[str, Slot] | None:
    members = recipe.members or []
    own = facts.get("members") or [{}] * len(members)
    sizes = facts.get("neighbours")
    if len(own) != len(members) or (recipe.neighbours is not None and not sizes):
        return None  # `nn.sequence.build` says what is wrong
    found = {"weights": Slot((len(members), outputs))}
    for place, (member, more) in enumerate(zip(members, own, strict=True)):
        part = None if isinstance(member.recipe, str) else slots(member.recipe, {**facts, **more})
        if part is None:
            return None
        found |= {f"members.{place}.{name}": slot for name, slot in part.items()}
    if recipe.calibrate == "monotone":
        found |= {f"calibration.{name}": Slot((outputs, KNOTS)) for name in "xy"}
    if recipe.neighbours is not None and sizes:
        rows, longest = map(int, sizes)
        found |= {"neighbours.tokens": Slot((rows, longest), False), "neighbours.residuals": Slot((rows, outputs))}
    return found


def stride(recipe: Recipe) -> int:
    """Return the input steps of one output step."""
    frontend = getattr(recipe.model, "frontend", None)
    return math.prod(layer.stride for layer in frontend.layers) if isinstance(frontend, Conv) else 1


def under(tensors: Tensors, place: str) -> dict[str, np.ndarray]:
    """Return the tensors of a part of a model by their names in that part."""
    start = f"{place}."
    return {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}


def linear(tensors: Tensors, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a linear layer or convolution, float32; zeros for a layer without bias."""
    weight = tensors[f"{name}.weight"].astype(np.float32)
    bias = tensors.get(f"{name}.bias")
    return weight, np.zeros(len(weight), np.float32) if bias is None else bias.astype(np.float32)


def lstm_layers(core: Core, tensors: Tensors) -> list[list[Direction]]:
    """Return the weights of a core for which `unsupported_core` returns None: the directions of each layer."""
    return [
        [_direction(way == "b", tensors, f"core.layers.{layer}.cells.{place}.") for place, way in enumerate(ways)]
        for layer, ways in enumerate(map(core.directions, range(core.layers)))
    ]


def _direction(backward: bool, tensors: Tensors, cell: str) -> Direction:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    inputs, recurrent, one, other = (tensors[cell + name].astype(np.float32) for name in names)
    return Direction(backward, inputs, recurrent, one + other)


def head_layers(head: PlainHead | ChainHead | CRFHead, tensors: Tensors) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weight and bias of each linear layer of a head."""
    return [linear(tensors, name) for name in _head_names(head)]


def _head_names(head: PlainHead | ChainHead | CRFHead) -> list[str]:
    return [f"head.output.{place}" for place in ((1, 3) if head.hidden else (1,))]  # dropout and SiLU are 0 and 2


def stacked(recipe: Recipe) -> bool:
    """Return whether a network is plain convolutions, LSTM layers of one direction each, and a head of each step."""
    network = recipe.model
    if not isinstance(network, Model) or not isinstance(network.frontend, Conv) or unsupported_core(network.core):
        return False
    core: Any = network.core
    return len(core.directions(0)) == 1 and not network.steps and not network.pool


def unsupported_core(core: Core | SelfAttention | list[Core | SelfAttention]) -> str | None:
    """Return which part of a core the kernels of `kernels.lstm` do not support, or None."""
    if not isinstance(core, Core):
        return "core of another kind than recurrent layers"
    if not core.layers:
        return "core without layers"
    if core.skip or core.layer_norm:
        return "skip connections or layer norm"
    return None if core.cell == "lstm" else "recurrent layers other than LSTM"
