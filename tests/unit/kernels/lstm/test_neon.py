"""The NEON form of the layers, cross-compiled and run by an emulator, where both programs are here."""

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biorrn.kernels.lstm import native, reference
from biorrn.kernels.lstm.layers import ACTIVATIONS, FLOAT, LSTM, Dense, padded
from biorrn.kernels.lstm.native import DenseCall, LSTMCall

COMPILER, EMULATOR = (shutil.which(name) for name in ("aarch64-linux-gnu-gcc", "qemu-aarch64"))
pytestmark = pytest.mark.skipif(not (COMPILER and EMULATOR), reason="needs aarch64-linux-gnu-gcc and qemu-aarch64")
FOLDER = Path(native.__file__).parent


class Emulated:
    """`native.Kernels` of an ARM processor, with float32 alone."""

    lanes, kinds, fours = 4, (FLOAT,), False

    def __init__(self, program: Path) -> None:
        self.program = program

    def lstm(self, kind: np.dtype, call: LSTMCall) -> None:
        lengths = np.ctypeslib.as_array(ctypes.cast(call.lengths, ctypes.POINTER(ctypes.c_int64)), (call.rows,))
        steps, outputs = int(lengths.max()) * call.rows, 4 * call.hidden
        weights = 4 * outputs * (call.inputs + call.hidden)
        self._run(
            0, call, 4 * steps * call.inputs, weights, 4 * outputs, 4 * outputs, steps * call.stride, 8 * call.rows
        )

    def dense(self, kind: np.dtype, call: DenseCall) -> None:
        outputs = -(-call.width // (call.vectors * self.lanes)) * call.vectors * self.lanes
        x = call.step * (call.count - 1) + 4 * call.depth
        out = call.stride * (call.count - 1) + 4 * call.width
        self._run(1, call, x, 4 * outputs * call.depth, 4 * outputs, 4 * outputs, out)

    def _run(self, which: int, call: Any, *sizes: int) -> None:
        names = ("x", "weights", "bias", "scale", "out", "lengths")[: len(sizes)]
        arrays = [ctypes.string_at(getattr(call, name), size) for name, size in zip(names, sizes, strict=True)]
        given = b"".join([np.int64(which).tobytes(), bytes(call), np.array(sizes).tobytes(), *arrays])
        done = subprocess.run([str(EMULATOR), str(self.program)], input=given, stdout=subprocess.PIPE, check=True)
        ctypes.memmove(call.out, done.stdout, sizes[4])


@pytest.fixture(scope="module")
def neon(tmp_path_factory: pytest.TempPathFactory) -> Any:
    program = tmp_path_factory.mktemp("neon") / "emulated"
    flags = ["-std=gnu11", "-O3", "-ffp-contract=off", "-Wno-psabi", "-static", f"-I{FOLDER}"]
    source = Path(__file__).with_name("emulated.c")
    subprocess.run([str(COMPILER), *flags, str(source), "-o", str(program), "-lm"], check=True)
    return Emulated(program)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("inputs", "hidden", "rows"), [(96, 96, 21), (5, 16, 3), (33, 20, 1)])
def test_lstm_equals_the_reference_and_a_row_is_the_same_alone(
    inputs: int, hidden: int, rows: int, backward: bool, neon: Any
) -> None:
    rng = np.random.default_rng(rows)
    shapes = (4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,)
    weights = [rng.uniform(-1, 1, shape).astype(np.float32) / hidden**0.5 for shape in shapes]
    ours = LSTM.of(*weights, padded(inputs), FLOAT, backward, kernels=neon)
    lengths = rng.integers(1, 30, rows)
    x = np.zeros((30, rows, padded(inputs)), np.float32)
    x[:, :, :inputs] = rng.normal(size=(30, rows, inputs))
    out = np.zeros((30, rows, ours.width), np.float32)
    ours(x, lengths, out)
    expected = reference.lstm(x[:, :, :inputs], lengths, *weights, backward)
    np.testing.assert_allclose(out[:, :, :hidden], expected, rtol=0, atol=5e-6)
    alone = np.zeros((30, 1, ours.width), np.float32)
    ours(np.ascontiguousarray(x[:, -1:]), lengths[-1:], alone)
    np.testing.assert_array_equal(alone[:, 0], out[:, -1])


@pytest.mark.parametrize("activation", range(len(ACTIVATIONS)))
@pytest.mark.parametrize("outputs", [4, 17, 64])
def test_dense_equals_the_reference(outputs: int, activation: int, neon: Any) -> None:
    rng = np.random.default_rng(outputs)
    matrix, bias = rng.normal(size=(outputs, 13)).astype(np.float32) / 4, rng.normal(size=outputs).astype(np.float32)
    x, out = rng.normal(size=(53, 13)).astype(np.float32), np.full((53, outputs), 9, np.float32)
    Dense.of(matrix, bias, FLOAT, activation, clamp=(-0.5, 1.5), kernels=neon)(x.reshape(-1), 0, 13, out)
    expected = np.clip(reference.dense(x, matrix, bias, ACTIVATIONS[activation]), -0.5, 1.5)
    np.testing.assert_allclose(out, expected, rtol=0, atol=5e-6)
