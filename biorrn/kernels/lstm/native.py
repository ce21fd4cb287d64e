"""The compiled library of LSTM and dense layers: instruction sets, kinds of numbers, and its calls by ctypes.

The library is built at install by setup.py, and has kernels for several instruction sets. The best set of the processor
is used; the variable BIORRN_ISA names a lesser one, so that each can be tested on any machine.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import os
import platform
from pathlib import Path

import numpy as np

from biorrn.base.errors import BiorrnError

VARIABLE = "BIORRN_ISA"
# in the order of native.c; name for messages
SETS = {
    "generic": "NEON" if platform.machine() in ("arm64", "aarch64") else "SSE2",
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "vnni": "AVX-512 VNNI",
    "bf16": "AVX-512 BF16",
}
FLOAT, BFLOAT = np.dtype(np.float32), np.dtype(np.uint16)  # bfloat16 as its bits
INT16, INT8 = np.dtype(np.int16), np.dtype(np.uint8)  # bytes are 128 more than their integer
KINDS = {FLOAT: "float32", BFLOAT: "bfloat16", INT16: "int16", INT8: "int8"}  # in the order of native.c
NUMBERS = {kind: number for number, kind in enumerate(KINDS)}

_POINTER, _LONG, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


class LSTMCall(ctypes.Structure):
    """`lstm_call` of native.c."""

    _fields_ = (
        *((name, _POINTER) for name in ("x", "weights", "bias", "scale", "out", "lengths")),
        *((name, _LONG) for name in ("rows", "inputs", "hidden", "backward", "stride", "kind")),
        *((name, _FLOAT) for name in ("unit", "out_unit")),
    )


class DenseCall(ctypes.Structure):
    """`dense_call` of native.c."""

    _fields_ = (
        *((name, _POINTER) for name in ("x", "weights", "bias", "scale", "out")),
        *((name, _LONG) for name in ("count", "step", "depth", "width", "stride", "vectors", "activation", "kind")),
        *((name, _FLOAT) for name in ("factor", "low", "high", "unit")),
    )


class PropertyCall(ctypes.Structure):
    """`property_call` of native.c."""

    _fields_ = (
        *((name, _POINTER) for name in ("tokens", "lengths", "table", "bias")),
        ("cells", ctypes.POINTER(LSTMCall)),
        ("directions", _POINTER),
        ("dense", ctypes.POINTER(DenseCall)),
        *((name, _POINTER) for name in ("kinds", "out")),
        *((name, _LONG) for name in ("rows", "time", "taps", "symbols", "width", "activation")),
        *((name, _LONG) for name in ("layers", "pools", "features", "block")),
        *((name, _FLOAT) for name in ("unit", "state")),
    )


class ViterbiCall(ctypes.Structure):
    """`viterbi_call` of crf/viterbi.h."""

    _fields_ = (
        *((name, _POINTER) for name in ("scores", "beta", "mass", "evidence", "choice", "bases", "starts")),
        *((name, _LONG) for name in ("frames", "states")),
    )


class EditsCall(ctypes.Structure):
    """`edits_call` of edits/edits.h."""

    _fields_ = (
        *((name, _POINTER) for name in ("texts", "lengths", "masks", "last", "first", "distances", "ends")),
        *((name, _LONG) for name in ("rows", "width", "count", "before")),
    )


class Kernels:
    """The kernels of one instruction set.

    Attributes
    ----------
    name : str: of the set, for messages.
    lanes : int: floats in a vector register.
    kinds : dtypes that layers may have, the fastest first.
    fours : bool: four products of bytes are summed in 16 bits.
    has_edits : bool: of a library that was built before it had `edits`, False.
    """

    def __init__(self, library: ctypes.CDLL, isa: str) -> None:
        self._library, self._set, self.isa = library, list(SETS).index(isa), isa
        self.name = SETS[isa]
        self.lanes: int = library.biorrn_lanes(self._set)
        self.has_edits = hasattr(library, "biorrn_edits")
        self.fours = isa not in ("vnni", "bf16")
        self.kinds = [kind for kind in (INT8, INT16, BFLOAT, FLOAT) if library.biorrn_has(self._set, NUMBERS[kind])]

    def lstm(self, kind: np.dtype, call: LSTMCall) -> None:
        if self._library.biorrn_lstm(self._set, NUMBERS[kind], ctypes.byref(call)):
            raise MemoryError("an LSTM layer")

    def dense(self, kind: np.dtype, call: DenseCall) -> None:
        self._library.biorrn_dense(self._set, NUMBERS[kind], ctypes.byref(call))

    def property(self, kind: np.dtype, call: PropertyCall) -> None:
        if self._library.biorrn_property(self._set, NUMBERS[kind], ctypes.byref(call)):
            raise MemoryError("a property model")

    def viterbi(self, call: ViterbiCall) -> int:
        """Return the number of bases, or -1 where float32 does not suffice and -2 where scores are not finite."""
        return int(self._library.biorrn_viterbi(self._set, ctypes.byref(call)))

    def edits(self, call: EditsCall) -> None:
        self._library.biorrn_edits(self._set, ctypes.byref(call))


@functools.cache
def _library() -> ctypes.CDLL | None:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(__file__).with_name("_native" + suffix)
        if path.exists():
            try:
                library = ctypes.CDLL(str(path))
                library.biorrn_viterbi.restype = _LONG
            except (OSError, AttributeError):  # of another system, or of an earlier version
                return None
            return library
    return None


def available() -> list[Kernels]:
    """Return the kernels that this processor runs, the best last; none where no library was built."""
    library = _library()
    return [] if library is None else [Kernels(library, isa) for isa in list(SETS)[: library.biorrn_best() + 1]]


@functools.cache
def kernels() -> Kernels | None:
    """Return the kernels to use, or None where no library was built.

    Raises
    ------
    BiorrnError: the variable BIORRN_ISA names no instruction set, or one that this processor does not have.
    """
    found = {each.isa: each for each in available()}
    if not found:
        return None
    wanted = os.environ.get(VARIABLE) or list(found)[-1]
    if wanted not in found:
        raise BiorrnError(f"{VARIABLE}: found '{wanted}'; allowed on this processor is one of {', '.join(found)}")
    return found[wanted]
