"""Layout of stored networks: which tensors hold the layers of a recipe, so that kernels need no torch module.

The names are those of the modules that `nn.sequence.build_model` makes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from biorrn.config.network import ChainHead, Core, CRFHead, PlainHead, SelfAttention
from biorrn.kernels.lstm import Direction

Tensors = Mapping[str, np.ndarray]


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
    return [linear(tensors, f"head.output.{place}") for place in ((1, 3) if head.hidden else (1,))]


def unsupported_core(core: Core | SelfAttention | list[Core | SelfAttention]) -> str | None:
    """Return which part of a core the kernels of `kernels.lstm` do not support, or None."""
    if not isinstance(core, Core):
        return "core of another kind than recurrent layers"
    if not core.layers:
        return "core without layers"
    if core.skip or core.layer_norm:
        return "skip connections or layer norm"
    return None if core.cell == "lstm" else "recurrent layers other than LSTM"
