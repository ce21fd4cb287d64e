"""LSTM, dense and convolution layers of a trained model on the CPU, in float32 or bfloat16.

Compilers do not find the register tiling that keeps the multipliers busy: a tile of `ROWS` rows by four vectors of
outputs, whose sums stay in registers while weights are streamed. It is written here as LLVM IR, with `ROWS` and `LANES`
chosen for the vector registers of this machine; loops over time and rows are numba's. For an LSTM, the vectors of a
tile are the four gates of the same units, so cell and state are computed in registers and gates never reach memory. A
convolution over channels-last signal is a dense layer with overlapping rows: output t reads the `kernel * channels`
values that begin at `t * stride * channels`.

Each row is summed in the same order whatever the other rows, so results do not depend on the batch or on threads.
float32 runs on any processor; bfloat16 needs AVX-512 BF16, and its arrays are bits in uint16. In bfloat16, reciprocals
have 14 bits and powers of two 17, more than the 8 bits kept of a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from biorrn.base.compute import jit


def features() -> set[str]:
    """Return the CPU features that numba compiles for: those of its configuration, else of this processor."""
    settings: Any = config
    if settings.CPU_FEATURES is not None:
        return {name[1:] for name in settings.CPU_FEATURES.split(",") if name.startswith("+")}
    return {name for name, present in binding.get_host_cpu_features().items() if present}


def tile_shape(found: set[str]) -> tuple[int, int]:
    """Return (floats in a vector register, rows of a tile) such that four vectors a row fit the registers."""
    if "avx512f" in found:
        return 16, 6
    if "avx2" in found and "fma" in found:
        return 8, 3
    return 4, 6 if "neon" in found else 3


LANES, ROWS = tile_shape(features())
BF16 = "avx512bf16"
HAS_BF16 = LANES == 16 and BF16 in features()
GATES = 4


class _BFloat(ir.types.Type):
    """The bfloat16 that llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


F32, I16, I32, I64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
VECTOR, WHOLE = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
NARROW, PAIRS = ir.VectorType(_BFloat(), LANES), ir.VectorType(_BFloat(), 2 * LANES)


class Maker:
    """Writer of vector instructions; addresses are integers, `narrow` means that the layer is bfloat16."""

    def __init__(self, builder: Any, narrow: bool) -> None:
        self.b, self.narrow = builder, narrow

    def at(self, address: Any, offset: int) -> Any:
        return self.b.add(address, I64(offset))

    def load(self, address: Any, kind: Any = VECTOR) -> Any:
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()), align=2 if self.narrow else 4)

    def store(self, value: Any, address: Any) -> None:
        self.b.store(value, self.b.inttoptr(address, value.type.as_pointer()), align=2 if self.narrow else 4)

    def call(self, name: str, kind: Any, *arguments: Any) -> Any:
        signature = ir.FunctionType(kind, [argument.type for argument in arguments])
        return self.b.call(cgutils.get_or_insert_function(self.b.module, signature, name), arguments)

    def all(self, value: float, kind: Any = VECTOR) -> Any:
        return ir.Constant(kind, [float(np.float32(value)) if kind is VECTOR else value] * LANES)

    def spread(self, value: Any) -> Any:
        """Return a vector with `value` in each place."""
        kind = ir.VectorType(value.type, LANES)
        first = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
        return self.b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), ir.Constant(WHOLE, [0] * LANES))

    def multiply_add(self, x: Any, y: Any, total: Any) -> Any:
        return self.call(f"llvm.fmuladd.v{LANES}f32", VECTOR, x, y, total)

    def power(self, x: Any) -> Any:
        """Return 2 ** x: the integer part by the exponent bits, the rest by the Taylor series."""
        if not self.narrow:
            x = self.call(f"llvm.minnum.v{LANES}f32", VECTOR, x, self.all(60.0))
            x = self.call(f"llvm.maxnum.v{LANES}f32", VECTOR, x, self.all(-60.0))
        whole = self.call(f"llvm.roundeven.v{LANES}f32", VECTOR, x)
        rest = self.b.fsub(x, whole)
        *lower, total = (self.all(math.log(2) ** k / math.factorial(k)) for k in range(6 if self.narrow else 7))
        for coefficient in reversed(lower):
            total = self.multiply_add(total, rest, coefficient)
        if self.narrow:
            everywhere, rounding = ir.Constant(I16, -1), I32(4)
            return self.call("llvm.x86.avx512.mask.scalef.ps.512", VECTOR, total, whole, total, everywhere, rounding)
        bits = self.b.shl(self.b.fptosi(whole, WHOLE), self.all(23, WHOLE))
        return self.b.bitcast(self.b.add(self.b.bitcast(total, WHOLE), bits), VECTOR)

    def sigmoid(self, x: Any) -> Any:
        """Return 1 / (1 + 2 ** x): the logistic function of z for x = -z log2(e)."""
        below = self.b.fadd(self.power(x), self.all(1.0))
        if self.narrow:
            return self.call("llvm.x86.avx512.rcp14.ps.512", VECTOR, below, below, ir.Constant(I16, -1))
        return self.b.fdiv(self.all(1.0), below)

    def tanh(self, x: Any) -> Any:
        """Return 2 / (1 + 2 ** x) - 1: tanh of z for x = -2 z log2(e)."""
        return self.multiply_add(self.sigmoid(x), self.all(2.0), self.all(-1.0))

    def sums(self, bias: Any, vectors: int) -> list[list[Any]]:
        """Return a tile of sums, filled with the bias; LLVM keeps them in registers."""
        tile = [[cgutils.alloca_once(self.b, VECTOR) for _ in range(vectors)] for _ in range(ROWS)]
        for v in range(vectors):
            start = self.load(self.at(bias, 4 * LANES * v))
            for row in tile:
                self.b.store(start, row[v])
        return tile

    def product(self, tile: list[list[Any]], x: Any, step: Any, weights: Any, depth: Any) -> Any:
        """Add the product of ROWS rows, `step` bytes apart, and `depth` lines of weights; return the end of these."""
        line = 4 * LANES * len(tile[0])
        rows = [self.b.add(x, self.b.mul(step, I64(r))) for r in range(ROWS)]
        with cgutils.for_range(self.b, depth) as loop:
            here = self.b.add(weights, self.b.mul(loop.index, I64(line)))
            offset = self.b.mul(loop.index, I64(4))
            kind = PAIRS if self.narrow else VECTOR
            columns = [self.load(self.at(here, 4 * LANES * v), kind) for v in range(len(tile[0]))]
            for start, row in zip(rows, tile, strict=True):
                value = self.spread(self.load(self.b.add(start, offset), I32 if self.narrow else F32))
                for place, column in zip(row, columns, strict=True):
                    total = self.b.load(place)
                    if self.narrow:
                        both = self.b.bitcast(value, PAIRS)
                        total = self.call("llvm.x86.avx512bf16.dpbf16ps.512", VECTOR, total, both, column)
                    else:
                        total = self.multiply_add(value, column, total)
                    self.b.store(total, place)
        return self.b.add(weights, self.b.mul(depth, I64(line)))


TILES = 6  # of ROWS rows in a block of `dense`


def _inlined(count: int, write: Any) -> Any:
    """Return an intrinsic of an array, which gives the layer's type, and `count` integers; `write` emits its code."""

    def typed(context: Any, array: Any, numbers: Any) -> Any:
        narrow = array.dtype == types.uint16

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            write(Maker(builder, narrow), *cgutils.unpack_tuple(builder, arguments[1], count))
            return context.get_dummy_value()

        return types.void(array, types.UniTuple(types.intp, count)), generate

    return intrinsic(typed)


def _write_gates(make, x, x_step, x_depth, h, h_step, h_depth, weights, bias, cell, out):  # type: ignore[no-untyped-def]
    """One step of ROWS rows and LANES units: gates in the order i, f, g, o; `cell` and `out` step as `h` does."""
    tile = make.sums(bias, GATES)
    weights = make.product(tile, x, x_step, weights, x_depth)
    make.product(tile, h, h_step, weights, h_depth)
    cell_step = make.b.mul(h_step, I64(2)) if make.narrow else h_step
    for r, row in enumerate(tile):
        i, f, g, o = (make.b.load(place) for place in row)
        place = make.b.add(cell, make.b.mul(cell_step, I64(r)))
        entered = make.b.fmul(make.sigmoid(i), make.tanh(g))
        c = make.multiply_add(make.sigmoid(f), make.load(place), entered)
        make.store(c, place)
        state = make.b.fmul(make.sigmoid(o), make.tanh(make.b.fmul(c, make.all(-2 * math.log2(math.e)))))
        state = make.b.fptrunc(state, NARROW) if make.narrow else state
        make.store(state, make.b.add(out, make.b.mul(h_step, I64(r))))


def _write_dense(vectors):  # type: ignore[no-untyped-def]
    def write(make, x, step, depth, weights, bias, out):  # type: ignore[no-untyped-def]
        """The sums of ROWS rows and `vectors` vectors of outputs, to float32 (ROWS, vectors * LANES) at `out`."""
        tile = make.sums(bias, vectors)
        make.product(tile, x, step, weights, depth)
        for r, row in enumerate(tile):
            for v, place in enumerate(row):
                make.store(make.b.load(place), make.at(out, 4 * LANES * (r * vectors + v)))

    return write


def _write_silu(make, place):  # type: ignore[no-untyped-def]
    x = make.load(place)
    make.store(make.b.fmul(x, make.sigmoid(make.b.fmul(x, make.all(-math.log2(math.e))))), place)


def _write_tanh(make, place):  # type: ignore[no-untyped-def]
    make.store(make.tanh(make.b.fmul(make.load(place), make.all(-2 * math.log2(math.e)))), place)


def _write_put(make, place, factor, out):  # type: ignore[no-untyped-def]
    """A vector of float32 times another, to the layer's type."""
    value = make.b.fmul(make.load(place), make.load(factor))
    make.store(make.b.fptrunc(value, NARROW) if make.narrow else value, out)


_gates = _inlined(10, _write_gates)
_dense1, _dense3, _dense4 = (_inlined(6, _write_dense(vectors)) for vectors in (1, 3, 4))  # `Dense.of` knows these
_silu, _tanh, _put = _inlined(1, _write_silu), _inlined(1, _write_tanh), _inlined(3, _write_put)


@jit()
def dense(x, start, step, weights, bias, activation, scale, out):  # type: ignore[no-untyped-def]
    """Fill out (N, W) with scale * activation(x[start + i * step:][:K] @ weights + bias), rows i of a flat array x.

    activation: 0 none, 1 SiLU, 2 tanh. The values of a row of `out` lie side by side.
    """
    count, width = out.shape
    line = bias.shape[1]
    sums, factor = np.empty((ROWS, line), np.float32), np.full(LANES, scale, np.float32)
    narrow = np.empty((1, LANES), out.dtype)
    rows = ROWS if count >= ROWS else 1  # fewer than a tile: one by one, ROWS times the same
    block = TILES * rows
    for begin in range(0, count, block):
        # the weights of a group of outputs serve several tiles while in the first-level cache
        for g in range(weights.shape[0]):
            what = weights.ctypes.data + g * weights.shape[1] * line * 4
            for place in range(begin, min(begin + block, count), rows):
                first = min(place, count - rows)
                source = x.ctypes.data + (start + first * step) * x.itemsize
                jump = step * x.itemsize if rows > 1 else 0
                numbers = (source, jump, weights.shape[1], what, bias.ctypes.data + g * line * 4, sums.ctypes.data)
                if line == LANES:
                    _dense1(x, numbers)
                elif line == 3 * LANES:
                    _dense3(x, numbers)
                else:
                    _dense4(x, numbers)
                for r in range(rows):
                    for v in range(0, min(line, width - g * line), LANES):
                        value = sums.ctypes.data + 4 * (r * line + v)
                        if activation == 1:
                            _silu(x, (value,))
                        elif activation == 2:
                            _tanh(x, (value,))
                        column = g * line + v
                        if column + LANES <= width:
                            target = out.ctypes.data + (first + r) * out.strides[0] + column * out.itemsize
                            _put(out, (value, factor.ctypes.data, target))
                        else:
                            _put(out, (value, factor.ctypes.data, narrow.ctypes.data))
                            for j in range(column, width):
                                out[first + r, j] = narrow[0, j - column]


@jit()
def lstm(x, weights, bias, lengths, backward, out):  # type: ignore[no-untyped-def]
    """Fill out (T, B, H), which may be x, with the states of one layer over x (T, B, K), B a multiple of ROWS.

    `lengths` (B,) are in frames; `backward` begins at the last frame of a row. Values past the length are undefined.
    """
    rows, width = x.shape[1:]
    hidden, size = out.shape[2], x.itemsize
    state = np.zeros((2, rows, hidden), x.dtype)
    cell = np.zeros((rows, hidden), np.float32)
    last = np.array([lengths[r : r + ROWS].max() for r in range(0, rows, ROWS)])
    for n in range(last.max()):
        t = last.max() - 1 - n if backward else n
        before, now = state[n % 2], state[1 - n % 2]
        for g in range(weights.shape[0]):
            what = weights.ctypes.data + g * weights.shape[1] * 16 * LANES
            for r in range(0, rows, ROWS):
                if t < last[r // ROWS]:
                    unit = r * hidden + g * LANES
                    source = (x.ctypes.data + (t * rows + r) * width * size, width * size, width * size // 4)
                    state_in = (before.ctypes.data + r * hidden * size, hidden * size, hidden * size // 4)
                    places = (cell.ctypes.data + 4 * unit, now.ctypes.data + size * unit)
                    _gates(x, (*source, *state_in, what, bias.ctypes.data + g * 16 * LANES, *places))
        for r in range(rows):
            if backward and t >= lengths[r]:
                now[r] = 0
                cell[r] = 0
            if t < last[r // ROWS]:
                out[t, r] = now[r]


FLOAT, BFLOAT = np.dtype(np.float32), np.dtype(np.uint16)  # bfloat16 as its bits
NONE, SILU, TANH = 0, 1, 2


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
    """A packed linear layer or convolution of `width` outputs, then an activation."""

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
    def head(
        cls,
        layers: Sequence[tuple[np.ndarray, np.ndarray]],
        kind: np.dtype,
        activation: int = NONE,
        scale: float = 1.0,
        between: int = SILU,
    ) -> list[Dense]:
        """Pack layers (O, K), (O,) in sequence: `between` after each but the last, `activation` and `scale` there."""
        packed = [cls.of(*layer, kind, between) for layer in layers[:-1]]
        return [*packed, cls.of(*layers[-1], kind, activation, scale)]

    def __call__(self, x: np.ndarray, start: int, step: int, out: np.ndarray) -> None:
        """Fill out (N, at most a group wider than `width`): row i reads the flat x from `start + i * step` on."""
        dense(x, start, step, self.weights, self.bias, self.activation, np.float32(self.scale), out)


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
    """One direction of an LSTM layer; the state of `width`, a multiple of LANES, is 0 past the hidden units."""

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

        `input_width` is the width of the input array, K zero-padded. exp is computed as a power of two, so log2(e) goes
        into the weights.
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
        """Fill out (T, B, width), which may be x (T, B, input width), B a multiple of ROWS; see `lstm`."""
        lstm(x, self.weights, self.bias, lengths, self.backward, out)


class Layers:
    """The LSTM layers of a trained model, each in one or both directions.

    Outputs of the directions are concatenated, each zero-padded to a multiple of LANES.

    Parameters
    ----------
    layers : the directions of each layer.
    units : int: input width, zero-padded to `padded(units)`.
    kind : dtype: `FLOAT` or `BFLOAT`.
    """

    def __init__(self, layers: Iterable[Sequence[Direction]], units: int, kind: np.dtype) -> None:
        self.kind, self.layers = kind, list[list[LSTM]]()
        self.blocks = [units]  # values of each direction of the layer before
        for directions in layers:
            cells = []
            for backward, inputs, recurrent, bias in directions:
                wide = self.spread(inputs)
                cells.append(LSTM.of(wide, recurrent, bias, wide.shape[1], kind, backward))
            self.layers.append(cells)
            self.blocks = [direction.recurrent.shape[1] for direction in directions]

    def spread(self, matrix: np.ndarray) -> np.ndarray:
        """Return weights (O, K) on the outputs of the last layer with columns of 0 for their padding."""
        parts = np.split(matrix, np.cumsum(self.blocks)[:-1], axis=1)
        return np.concatenate([np.pad(part, ((0, 0), (0, padded(part.shape[1]) - part.shape[1]))) for part in parts], 1)

    def columns(self) -> np.ndarray:
        """Return the columns of the last layer's outputs without their padding."""
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
