"""Layers of a trained model, packed for the kernels of `lstm_numba`: convolution, LSTM, linear.

A convolution over channels-last signal is a dense layer whose rows overlap: output t reads the `kernel * channels`
values that begin at `t * stride * channels`. So one dense kernel serves all three.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from biorrn.kernels.lstm_ir import GATES, HAS_BF16, LANES, ROWS
from biorrn.kernels.lstm_numba import dense, lstm

FLOAT, BFLOAT = np.dtype(np.float32), np.dtype(np.uint16)  # bfloat16 as its bits
NONE, SILU, TANH = 0, 1, 2
__all__ = [
    "BFLOAT",
    "FLOAT",
    "HAS_BF16",
    "LANES",
    "LSTM",
    "NONE",
    "ROWS",
    "SILU",
    "TANH",
    "Dense",
    "Layers",
    "array",
    "padded",
    "to_bfloat",
    "unsupported_core",
]


def padded(width: int) -> int:
    """Return the next multiple of the floats that a vector register holds."""
    return -(-width // LANES) * LANES


def to_bfloat(values: np.ndarray) -> np.ndarray:
    """Return the bits, uint16, of float32 values rounded to bfloat16 (nearest, ties to even).

    >>> to_bfloat(np.array([1.0, -2.0], np.float32)).tolist() == [0x3F80, 0xC000]
    True
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _packed(matrix: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Return weights (groups, outputs of a group, K) in the order in which a tile reads them."""
    groups, outputs, depth = matrix.shape
    if kind == FLOAT:
        return np.ascontiguousarray(matrix.transpose(0, 2, 1))
    even = np.pad(matrix, ((0, 0), (0, 0), (0, depth % 2)))
    pairs = even.reshape(groups, outputs, -1, 2).transpose(0, 2, 1, 3)  # two inputs side by side
    return to_bfloat(pairs).reshape(groups, -1, 2 * outputs)


@dataclass(frozen=True)
class Dense:
    """A linear layer or convolution: `weights`, `bias` packed, of `width` outputs, then an activation."""

    weights: np.ndarray
    bias: np.ndarray
    width: int
    activation: int = NONE
    scale: float = 1.0

    @classmethod
    def of(
        cls, matrix: np.ndarray, bias: np.ndarray, kind: np.dtype, activation: int = NONE, scale: float = 1.0
    ) -> Dense:
        """Pack a matrix (O, K) and a bias (O,) for inputs of type `kind`."""
        outputs = len(matrix)
        group = LANES * min((4, 3, 1), key=lambda vectors: -(-outputs // (vectors * LANES)) * vectors)
        more = -outputs % group
        matrix = np.pad(matrix, ((0, more), (0, 0))).reshape(-1, group, matrix.shape[1])
        flat = np.pad(bias, (0, more)).astype(np.float32).reshape(-1, group)
        return cls(_packed(matrix.astype(np.float32), kind), flat, outputs, activation, scale)

    @classmethod
    def head(cls, modules: Iterable[Any], kind: np.dtype, activation: int = NONE, scale: float = 1.0) -> list[Dense]:
        """Pack the linear layers among modules: SiLU after each but the last, `activation` and `scale` after that."""
        layers = [(array(layer.weight), array(layer.bias)) for layer in modules if isinstance(layer, nn.Linear)]
        packed = [cls.of(*layer, kind, SILU) for layer in layers[:-1]]
        return [*packed, cls.of(*layers[-1], kind, activation, scale)]

    def __call__(self, x: np.ndarray, start: int, step: int, out: np.ndarray) -> None:
        """Fill out (N, at most a group wider than `width`): row i reads the flat x from `start + i * step` on."""
        dense(x, start, step, self.weights, self.bias, self.activation, np.float32(self.scale), out)


@dataclass(frozen=True)
class LSTM:
    """One direction of an LSTM layer; `width` is its state's, a multiple of LANES, zeros past the hidden units."""

    weights: np.ndarray
    bias: np.ndarray
    width: int
    backward: bool

    @classmethod
    def of(
        cls,
        inputs: np.ndarray,
        recurrent: np.ndarray,
        bias: np.ndarray,
        input_width: int,
        kind: np.dtype,
        backward: bool,
    ) -> LSTM:
        """Pack weights (4 H, K) and (4 H, H) and the sum of both biases (4 H,), gates in torch's order i, f, g, o.

        `input_width` is that of the array which will be read, K and zeros. Powers of two replace those of e, so the
        factor between them goes into the weights.
        """
        hidden = recurrent.shape[1]
        width = padded(hidden)
        both = np.zeros((GATES, width, input_width + width), np.float64)
        both[:, :hidden, : inputs.shape[1]] = inputs.reshape(GATES, hidden, -1)
        both[:, :hidden, input_width : input_width + hidden] = recurrent.reshape(GATES, hidden, hidden)
        offsets = np.zeros((GATES, width), np.float64)
        offsets[:, :hidden] = bias.reshape(GATES, hidden)
        factor = -math.log2(math.e) * np.array([1.0, 1.0, 2.0, 1.0])
        both, offsets = both * factor[:, None, None], offsets * factor[:, None]
        # units in groups of a vector, the four gates of a group together
        groups = both.reshape(GATES, -1, LANES, input_width + width).transpose(1, 0, 2, 3)
        matrix = groups.reshape(width // LANES, GATES * LANES, -1).astype(np.float32)
        flat = offsets.reshape(GATES, -1, LANES).transpose(1, 0, 2).reshape(width // LANES, -1)
        return cls(_packed(matrix, kind), np.ascontiguousarray(flat, np.float32), width, backward)

    def __call__(self, x: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> None:
        """Fill out (T, B, width), which may be x (T, B, input width), B a multiple of ROWS; see `lstm_numba.lstm`."""
        lstm(x, self.weights, self.bias, lengths, self.backward, out)


class Layers:
    """The LSTM layers of a trained model, each in one direction or in both; see `unsupported_core`.

    What the directions of a layer give stands side by side, each filled up with zeros to a multiple of LANES.

    Parameters
    ----------
    layers : those of `models.recurrent.Stack`.
    units : int: values of the input, to which zeros are added up to `padded(units)`.
    kind : dtype: `FLOAT` or `BFLOAT`.
    """

    def __init__(self, layers: Iterable[Any], units: int, kind: np.dtype) -> None:
        self.kind, self.layers = kind, list[list[LSTM]]()
        self.blocks = [units]  # values of each direction of the layer before
        for layer in layers:
            cells = []
            for direction, cell in zip(layer.directions, layer.cells, strict=True):
                bias = array(cell.bias_ih_l0) + array(cell.bias_hh_l0)
                inputs, recurrent = self.spread(array(cell.weight_ih_l0)), array(cell.weight_hh_l0)
                cells.append(LSTM.of(inputs, recurrent, bias, inputs.shape[1], kind, direction == "b"))
            self.layers.append(cells)
            self.blocks = [cell.weight_hh_l0.shape[1] for cell in layer.cells]

    def spread(self, matrix: np.ndarray) -> np.ndarray:
        """Return weights (O, K) of the last layer's values with columns of 0 for what fills these up."""
        parts = np.split(matrix, np.cumsum(self.blocks)[:-1], axis=1)
        return np.concatenate([np.pad(part, ((0, 0), (0, padded(part.shape[1]) - part.shape[1]))) for part in parts], 1)

    def columns(self) -> np.ndarray:
        """Return the places of the last layer's values among these and what fills them up."""
        starts = np.cumsum([0, *map(padded, self.blocks[:-1])])
        return np.concatenate([start + np.arange(units) for start, units in zip(starts, self.blocks, strict=True)])

    def __call__(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the states (T, B, W) over frames (T, B, K), B a multiple of ROWS; `frames` may be overwritten."""
        for cells in self.layers:
            fits = len(cells) == 1 and cells[0].width == frames.shape[2]
            outs = [frames if fits else np.empty((*frames.shape[:2], cell.width), self.kind) for cell in cells]
            for cell, out in zip(cells, outs, strict=True):
                cell(frames, lengths, out)
            frames = outs[0] if len(outs) == 1 else np.concatenate(outs, axis=2)
        return frames


def unsupported_core(core: Any) -> str | None:
    """Return what of a `models.recurrent.Stack` these kernels do not know, or None."""
    if core.skip or any(type(norm) is not nn.Identity for norm in core.norms):
        return "skip connections or layer norm"
    if any(type(cell) is not nn.LSTM for layer in core.layers for cell in layer.cells):
        return "recurrent layers other than LSTM"
    return None if len(core.layers) else "core without layers"


def array(tensor: Tensor) -> np.ndarray:
    """Return the values of a tensor as float32."""
    found: np.ndarray = tensor.detach().float().cpu().numpy()
    return found
