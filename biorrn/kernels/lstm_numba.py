"""Dense and LSTM layers of a trained model on the CPU; `kernels.lstm` packs their weights and calls them.

Loops over time and rows are numba's, the tile within is that of `lstm_ir`. For an LSTM the four vectors of a tile are
the four gates of the same units, so cell and state follow in registers and the gates never reach memory.
Each row is summed in the same order whatever rows stand beside it: no result depends on the batch or on threads.

Arrays are float32, or bfloat16 as the bits in uint16. numba keeps the machine code of this file on disk and does not
notice a change in `lstm_ir`: after one, touch this file.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from biorrn.jit import jit
from biorrn.kernels.lstm_ir import GATES, I64, LANES, NARROW, ROWS, Maker

TILES = 6  # of ROWS rows in a block of `dense`


def _inlined(count: int, write: Any) -> Any:
    """Return an intrinsic of an array, whose type tells the layer's, and `count` integers, which `write` puts down."""

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
_dense1, _dense3, _dense4 = (_inlined(6, _write_dense(vectors)) for vectors in (1, 3, 4))  # `kernels.lstm` knows these
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
        # the weights of a group of outputs serve several tiles while they are in the nearest cache
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

    A row's `lengths` are in frames; `backward` begins at its last one. What stands in a row past its length is not
    to be used.
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
