"""LSTM, dense and convolution layers of a trained model on the CPU, in float32, bfloat16, or integers of 16 or 8 bits.

Weights are packed once, in the order in which the kernels of native.c read them. A convolution over channels-last
signal is a dense layer with overlapping rows: output t reads the `kernel * channels` values that begin at
`t * stride * channels`. Arrays of bfloat16 are its bits in uint16. Arrays of integers stand for numbers `unit` times as
small: a state of 1 is `STATE`, and what a dense layer writes has a unit of its own. Their sums are exact: weights have
as many bits as keep a sum below 2 ** 31 for any input. Bytes are for states between LSTM layers alone, see `Layers`.

Each row is summed in the same order whatever the other rows, so results do not depend on the batch or on threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from biorrn.kernels.lstm.native import (
    BFLOAT,
    FLOAT,
    INT8,
    INT16,
    KINDS,
    NUMBERS,
    DenseCall,
    Kernels,
    LSTMCall,
    kernels,
)

__all__ = ["BFLOAT", "FLOAT", "INT8", "INT16"]
ACTIVATIONS = ("none", "silu", "tanh", "relu")  # in the order of native.c
NONE, SILU, TANH, RELU = range(4)
GATES = 4
STATE = 4096  # integer of a state of 1
BYTE = 127  # the same in a byte, which is OFFSET more
OFFSET = 128
MOST = 32767  # weight of 16 bits
LARGEST = 16384  # integer that is written: more bits here are fewer in the weights
WIDEST = 16  # floats in the widest vector register
ROWS = 12  # a number of rows that is a multiple of this fills the tiles of every instruction set
ANY = (-math.inf, math.inf)


def padded(width: int) -> int:
    """Return the width of an array of states: the next multiple of the floats in the widest vector register."""
    return -(-width // WIDEST) * WIDEST


def kinds() -> list[np.dtype]:
    """Return the dtypes that layers may have here, the fastest first; none where no library was built."""
    chosen = kernels()
    return [] if chosen is None else chosen.kinds


def described(kind: np.dtype) -> str:
    """Return the name of a kind and of the instruction set, such as "int16, AVX2"."""
    chosen = kernels()
    return KINDS[kind] if chosen is None else f"{KINDS[kind]}, {chosen.name}"


def to_bfloat(values: np.ndarray) -> np.ndarray:
    """Return the bits, uint16, of float32 values rounded to bfloat16 (nearest, ties to even).

    >>> to_bfloat(np.array([1.0, -2.0], np.float32)).tolist() == [0x3F80, 0xC000]
    True
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def narrowed(values: np.ndarray, kind: np.dtype, unit: float = STATE) -> np.ndarray:
    """Return float32 values as numbers of a kind."""
    if kind == BFLOAT:
        return to_bfloat(values)
    if kind == INT16:
        return np.clip(np.rint(values * unit), -LARGEST, LARGEST).astype(INT16)
    if kind == INT8:
        return (np.clip(np.rint(values * BYTE), -BYTE, BYTE) + OFFSET).astype(INT8)
    return values.astype(FLOAT)


def widened(values: np.ndarray, unit: float = STATE) -> np.ndarray:
    """Return numbers of a kind as float32."""
    if values.dtype == BFLOAT:
        return (values.astype(np.uint32) << 16).view(np.float32)
    if values.dtype == INT8:
        return (values.astype(FLOAT) - OFFSET) / BYTE
    return values / np.float32(unit) if values.dtype == INT16 else values


def unit_of(bound: float) -> float:
    """Return the integer that stands for 1 where no number is beyond `bound`: a power of two."""
    return 2.0 ** math.floor(math.log2(LARGEST / max(bound, 1e-3)))


def quantised(matrix: np.ndarray, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return integers (O, K) and the scale (O,) of each output of a matrix for integers of at most `largest` (K,).

    No sum reaches 2 ** 31, in any order. The scale of an output is the smallest that allows it.
    """
    room = 2**31 - 1 - largest.sum() / 2  # rounding adds up to a half to each weight
    scale = np.maximum((np.abs(matrix) @ largest) / room, np.abs(matrix).max(1) / MOST)
    scale[scale == 0] = 1.0
    return np.rint(matrix / scale[:, None]), scale


def clipped(matrix: np.ndarray, fours: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return integers (O, K) of at most `BYTE`, and the scale (O,) of each output of a matrix.

    Where products with bytes of up to 255 are summed by `fours` in 16 bits, weights of one sign among each four are at
    most 128 together; rounding adds up to 2. Else the scale has the least mean square error, with the largest cut off.
    """
    matrix = matrix.astype(FLOAT)
    scale = np.abs(matrix).max(1) / BYTE
    scale[scale == 0] = 1.0
    if fours:  # of two words side by side, the first halves and the second halves
        four = matrix.reshape(len(matrix), -1, 2, 2, 2)
        for sign in (1, -1):
            together = np.maximum(sign * four, 0).sum((2, 4)).max((1, 2))
            scale = np.maximum(scale, together / (MOST // 255 - 2))
        return np.rint(matrix / scale[:, None]), scale
    best = np.full(len(matrix), np.inf)
    values, whole = np.zeros_like(matrix), scale.copy()
    for part in np.linspace(0.65, 1, 8, dtype=FLOAT):
        tried = part * whole
        rounded = np.clip(np.rint(matrix / tried[:, None]), -BYTE, BYTE)
        better = (error := ((rounded * tried[:, None] - matrix) ** 2).sum(1)) < best
        best[better], values[better], scale[better] = error[better], rounded[better], tried[better]
    return values, scale


def aligned(values: np.ndarray) -> np.ndarray:
    """Return a copy that begins at a cache line."""
    room = np.empty(values.nbytes + 64, np.uint8)
    begin = -room.ctypes.data % 64
    copy = room[begin : begin + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[:] = values
    return copy


class _Packed(NamedTuple):
    weights: np.ndarray
    bias: np.ndarray
    scale: np.ndarray

    @property
    def addresses(self) -> dict[str, int]:
        return {name: part.ctypes.data for name, part in self._asdict().items()}


def _packed(
    matrix: np.ndarray, bias: np.ndarray, largest: np.ndarray, kind: np.dtype, line: int, fours: bool = False
) -> _Packed:
    """Pack a matrix (O, K) and a bias (O,) in panels of `line` outputs, O a multiple of it.

    A panel has a line for each word of four bytes of the input: of each output one number, or two or four.
    """
    scale, stored = np.ones(len(matrix)), kind
    if kind == INT16:
        matrix, scale = quantised(matrix, largest)
    elif kind == INT8:
        matrix, scale = clipped(matrix, fours)
        bias, stored = bias - OFFSET * scale * matrix.sum(1), np.dtype(np.int8)
    each = 4 // kind.itemsize
    whole = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % each)))
    words = whole.reshape(len(matrix) // line, line, -1, each).transpose(0, 2, 1, 3).astype(np.float32)
    numbers = to_bfloat(words) if kind == BFLOAT else words.astype(stored)
    return _Packed(aligned(numbers), *(aligned(each.astype(FLOAT)) for each in (bias, scale)))


def _chosen(given: Kernels | None) -> Kernels:
    chosen = given or kernels()
    assert chosen is not None, "no library was built; see `kinds`"
    return chosen


@dataclass(frozen=True)
class Dense:
    """A packed linear layer or convolution of `width` outputs, then an activation, a factor and limits."""

    kernels: Kernels
    kind: np.dtype
    packed: _Packed
    width: int
    vectors: int
    activation: int
    factor: float
    clamp: tuple[float, float]
    unit: float
    addresses: dict[str, int] = field(repr=False)

    @classmethod
    def of(
        cls,
        matrix: np.ndarray,
        bias: np.ndarray | None,
        kind: np.dtype,
        activation: int = NONE,
        scale: float = 1.0,
        *,
        clamp: tuple[float, float] = ANY,
        unit: float = STATE,
        largest: int = LARGEST,
        out_unit: float = STATE,
        kernels: Kernels | None = None,
    ) -> Dense:
        """Pack a layer: clamp(scale * activation(x @ matrix.T + bias)).

        Parameters
        ----------
        matrix : array (O, K).
        bias : array (O,), optional.
        kind : dtype of its input.
        unit, largest : integer that stands for an input of 1, and the largest, of integers.
        out_unit : float: integer that stands for an output of 1, where it writes integers.
        """
        chosen = _chosen(kernels)
        outputs = len(matrix)
        vectors = 1 if outputs <= chosen.lanes else 2
        more = -outputs % max(WIDEST, vectors * chosen.lanes)
        values = np.pad(matrix.astype(np.float64), ((0, more), (0, 0)))
        offsets = np.pad(np.zeros(outputs) if bias is None else bias, (0, more))
        values = values / unit if kind == INT16 else values
        most = np.full(values.shape[1], largest)
        packed = _packed(values, offsets, most, kind, vectors * chosen.lanes)
        rest = (outputs, vectors, activation, scale, clamp, out_unit)
        return cls(chosen, kind, packed, *rest, packed.addresses)

    @classmethod
    def head(
        cls,
        layers: Sequence[tuple[np.ndarray, np.ndarray]],
        kind: np.dtype,
        activation: int = NONE,
        scale: float = 1.0,
        between: int = SILU,
        clamp: tuple[float, float] = ANY,
    ) -> list[Dense]:
        """Pack layers (O, K), (O,) on states: `between` after each but the last; `activation`, `scale`, `clamp` there.

        Integers that one layer writes for the next hold the largest output that states can give.
        """
        unit, bound, largest, packed = float(STATE), 1.0, STATE, list[Dense]()
        for matrix, bias in layers[:-1]:
            bound = float((np.abs(matrix).sum(1) * bound + np.abs(bias)).max())
            out_unit = unit_of(bound)
            packed.append(cls.of(matrix, bias, kind, between, unit=unit, largest=largest, out_unit=out_unit))
            unit, largest = out_unit, LARGEST
        return [*packed, cls.of(*layers[-1], kind, activation, scale, clamp=clamp, unit=unit, largest=largest)]

    def __call__(self, x: np.ndarray, start: int, step: int, out: np.ndarray) -> None:
        """Fill out (N, at most `padded(width)`): row i reads the flat x from `start + i * step` on.

        The last row of bfloat16 or integers may read one value more than the matrix has columns.
        """
        assert (x.dtype, out.strides[1]) == (self.kind, out.itemsize)
        assert out.shape[1] <= len(self.packed.bias)
        call = self.call(out.dtype, out.shape[1])
        call.x, call.out = x.ctypes.data + start * x.itemsize, out.ctypes.data
        call.count, call.step, call.stride = out.shape[0], step * x.itemsize, out.strides[0]
        self.kernels.dense(self.kind, call)

    def call(self, kind: np.dtype, width: int) -> DenseCall:
        """Return the call for rows of x that lie side by side, and of `width` numbers of a kind to write."""
        depth = self.packed.weights.shape[1]
        end = LARGEST / self.unit if kind == INT16 else math.inf
        return DenseCall(
            **self.addresses,
            step=4 * depth,
            depth=depth,
            width=width,
            stride=width * kind.itemsize,
            vectors=self.vectors,
            activation=self.activation,
            kind=NUMBERS[kind],
            factor=self.factor,
            low=max(self.clamp[0], -end),
            high=min(self.clamp[1], end),
            unit=self.unit,
        )


class Direction(NamedTuple):
    """The weights of one direction of an LSTM layer, float32, gates in torch's order i, f, g, o.

    Attributes
    ----------
    backward : bool: the layer begins at the last frame.
    inputs : array (4 H, K).
    recurrent : array (4 H, H).
    bias : array (4 H,): the sum of both biases of torch.
    """

    backward: bool
    inputs: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class LSTM:
    """One direction of an LSTM layer; the state of `width`, that of `padded`, is 0 past the hidden units."""

    kernels: Kernels
    kind: np.dtype
    out_kind: np.dtype
    packed: _Packed
    inputs: int
    width: int
    backward: bool
    addresses: dict[str, int] = field(repr=False)

    @classmethod
    def of(
        cls,
        inputs: np.ndarray,
        recurrent: np.ndarray,
        bias: np.ndarray,
        input_width: int,
        kind: np.dtype,
        backward: bool,
        unit: float = STATE,
        largest: int | np.ndarray = LARGEST,
        out_kind: np.dtype | None = None,
        kernels: Kernels | None = None,
    ) -> LSTM:
        """Pack weights (4 H, K) and (4 H, H) and the sum of both biases (4 H,), gates in torch's order i, f, g, o.

        `input_width`, a multiple of 4, is the width of the input array, K zero-padded; `unit` and `largest` are those
        of its integers. States are written as `out_kind`, by default `kind`. exp is computed as a power of two, so
        log2(e) goes into the weights.
        """
        chosen = _chosen(kernels)
        assert input_width % 4 == 0
        hidden = recurrent.shape[1]
        width = padded(hidden)
        units = {INT16: (unit, STATE), INT8: (BYTE, BYTE)}.get(kind, (1.0, 1.0))
        both = np.zeros((GATES, width, input_width + width))
        both[:, :hidden, : inputs.shape[1]] = inputs.reshape(GATES, hidden, -1) / units[0]
        both[:, :hidden, input_width : input_width + hidden] = recurrent.reshape(GATES, hidden, hidden) / units[1]
        offsets = np.zeros((GATES, width))
        offsets[:, :hidden] = bias.reshape(GATES, hidden)
        factor = -math.log2(math.e) * np.array([1.0, 1.0, 2.0, 1.0])
        both, offsets = both * factor[:, None, None], offsets * factor[:, None]
        # units in groups of a vector, the four gates of a group together
        groups = both.reshape(GATES, -1, chosen.lanes, input_width + width).transpose(1, 0, 2, 3)
        flat = offsets.reshape(GATES, -1, chosen.lanes).transpose(1, 0, 2).reshape(-1)
        most = np.concatenate([np.broadcast_to(largest, input_width), np.full(width, STATE)])
        packed = _packed(groups.reshape(len(flat), -1), flat, most, kind, 2 * chosen.lanes, chosen.fours)
        return cls(chosen, kind, out_kind or kind, packed, input_width, width, backward, packed.addresses)

    def __call__(self, x: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> None:
        """Fill out (T, B, width), which may be x (T, B, input width), with states.

        `lengths` (B,) are in frames; `backward` begins at the last frame of a row. Nothing past a length is written.
        """
        assert (x.dtype, out.dtype) == (self.kind, self.out_kind)
        assert x.flags.c_contiguous & out.flags.c_contiguous
        sizes = np.ascontiguousarray(lengths, np.int64)
        call = self.call()
        call.x, call.out, call.lengths, call.rows = x.ctypes.data, out.ctypes.data, sizes.ctypes.data, x.shape[1]
        assert call.inputs == x.shape[2]
        self.kernels.lstm(self.kind, call)

    def call(self) -> LSTMCall:
        """Return the call for states that lie side by side."""
        stride = self.width * self.out_kind.itemsize
        sizes = {"inputs": self.inputs, "hidden": self.width, "backward": self.backward, "stride": stride}
        units = {"unit": _state(self.kind), "out_unit": _state(self.out_kind)}
        return LSTMCall(**self.addresses, **sizes, **units, kind=NUMBERS[self.out_kind])


def _state(kind: np.dtype) -> int:
    """Return the integer of a state of 1."""
    return BYTE if kind == INT8 else STATE


class Layers:
    """The LSTM layers of a trained model, each in one or both directions.

    Outputs of the directions are concatenated, each zero-padded to `padded` of its width.

    Parameters
    ----------
    layers : the directions of each layer.
    units : int: input width, zero-padded to `padded(units)`.
    kind : dtype: one of `kinds()`. `INT8`: the states between layers, and their weights, are bytes; the first layer,
        whose inputs have no limit, and what the last one writes are `INT16`.
    unit, largest : integer that stands for an input of 1, and the largest or those of each input, of integers.

    Attributes
    ----------
    kind : dtype of inputs and outputs.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[Direction]],
        units: int,
        kind: np.dtype,
        unit: float = STATE,
        kernels: Kernels | None = None,
        *,
        largest: int | np.ndarray = LARGEST,
    ) -> None:
        self.kind, self.layers = INT16 if kind == INT8 else kind, list[list[LSTM]]()
        self.blocks = [units]  # values of each direction of the layer before
        kinds = [self.kind, *[kind] * (len(layers) - 1), self.kind]
        for directions, kind, out_kind in zip(layers, kinds[:-1], kinds[1:], strict=True):
            cells = []
            for backward, inputs, recurrent, bias in directions:
                wide = self.spread(inputs)
                given = (unit, largest, out_kind, kernels)
                cells.append(LSTM.of(wide, recurrent, bias, wide.shape[1], kind, backward, *given))
            self.layers.append(cells)
            self.blocks = [direction.recurrent.shape[1] for direction in directions]
            unit, largest = STATE, STATE

    def spread(self, matrix: np.ndarray) -> np.ndarray:
        """Return weights (O, K) on the outputs of the last layer with columns of 0 for their padding."""
        parts = np.split(matrix, np.cumsum(self.blocks)[:-1], axis=1)
        return np.concatenate([np.pad(part, ((0, 0), (0, padded(part.shape[1]) - part.shape[1]))) for part in parts], 1)

    def columns(self) -> np.ndarray:
        """Return the columns of the last layer's outputs without their padding."""
        starts = np.cumsum([0, *map(padded, self.blocks[:-1])])
        return np.concatenate([start + np.arange(units) for start, units in zip(starts, self.blocks, strict=True)])

    def __call__(self, frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the states (T, B, W) over frames (T, B, K); `frames` may be overwritten."""
        for cells in self.layers:
            kind = cells[0].out_kind
            fits = len(cells) == 1 and (kind, cells[0].width) == (frames.dtype, frames.shape[2])
            outs = [frames if fits else np.zeros((*frames.shape[:2], cell.width), kind) for cell in cells]
            for cell, out in zip(cells, outs, strict=True):
                cell(frames, lengths, out)
            frames = outs[0] if len(outs) == 1 else np.concatenate(outs, axis=2)
        return frames
