"""Vector instructions for `lstm_numba`, written in LLVM's own language: tiles of products, powers, sigmoid, tanh.

A compiler does not find by itself the shape that keeps a processor's multipliers busy: a tile of `ROWS` rows by four
vectors of outputs, whose sums stay in registers while weights stream by. Here it is written out, `ROWS` and `LANES`
chosen for the vector registers of this machine.

Two types: float32 on any processor, and bfloat16 where AVX-512 multiplies pairs of them into float32 sums. In the
second, reciprocals have 14 bits and powers of two 17, more than the 8 that are kept of a result.
"""

import math
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, config


def features() -> set[str]:
    """Return the names of what this processor can do, or of what numba is told to compile for."""
    told: Any = config
    if told.CPU_FEATURES is not None:  # numba takes those of this processor where only a name is given
        return {name[1:] for name in told.CPU_FEATURES.split(",") if name.startswith("+")}
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
    """Writes vector instructions; addresses are integers, `narrow` says that the layer's type is bfloat16."""

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
        """Return 2 ** x: of the whole part by the exponent's bits, of the rest by the Taylor series."""
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
        """Return a tile of places for sums, filled with the bias; LLVM keeps them in registers."""
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
