"""The packed layers compute what torch's do, a row as if it were alone, for any width, length and direction."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from biorrn.kernels.lstm import (
    BFLOAT,
    FLOAT,
    HAS_BF16,
    LSTM,
    NONE,
    ROWS,
    SILU,
    TANH,
    Dense,
    padded,
    tile_shape,
    to_bfloat,
)

# float32: rounding in another order. bfloat16 keeps 8 bits: a part in 256 of values of about 1.
KINDS = [(FLOAT, 5e-6), *([(BFLOAT, 0.03)] if HAS_BF16 else [])]


def narrowed(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    return to_bfloat(values) if kind == BFLOAT else np.ascontiguousarray(values, np.float32)


def widened(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.uint32) << 16).view(np.float32) if values.dtype == BFLOAT else values


def layer(inputs: int, hidden: int, kind: np.dtype, backward: bool) -> tuple[torch.nn.LSTM, LSTM]:
    torch.manual_seed(inputs + hidden)
    cell = torch.nn.LSTM(inputs, hidden, batch_first=True)
    w_ih, w_hh, b_ih, b_hh = (each.detach().numpy() for each in cell.parameters())
    return cell, LSTM.of(w_ih, w_hh, b_ih + b_hh, padded(inputs), kind, backward)


def run(ours: LSTM, x: np.ndarray, lengths: np.ndarray, kind: np.dtype) -> np.ndarray:
    """x (B, T, K) to (B, T, H or more), rows filled up to a tile."""
    wide = np.zeros((x.shape[1], -(-len(x) // ROWS) * ROWS, padded(x.shape[2])), np.float32)
    wide[:, : len(x), : x.shape[2]] = x.transpose(1, 0, 2)
    out = np.full((*wide.shape[:2], ours.width), 99, kind)
    ours(narrowed(wide, kind), np.pad(lengths, (0, wide.shape[1] - len(x))), out)
    return widened(out)[:, : len(x)].transpose(1, 0, 2)


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("inputs", "hidden"), [(96, 96), (1, 1), (5, 16), (16, 5), (33, 20)])
def test_lstm_equals_torch_for_rows_of_any_length(
    inputs: int, hidden: int, backward: bool, kind: np.dtype, tolerance: float
) -> None:
    cell, ours = layer(inputs, hidden, kind, backward)
    lengths = np.array([37, 1, 36, 5, 37, 2, 11])
    x = np.random.default_rng(1).normal(size=(len(lengths), 37, inputs)).astype(np.float32)
    found = run(ours, x, lengths, kind)
    for row, length in enumerate(lengths):
        alone = torch.from_numpy(x[row, :length])[None]
        with torch.no_grad():
            expected = (cell(alone.flip(1))[0].flip(1) if backward else cell(alone)[0])[0].numpy()
        np.testing.assert_allclose(found[row, :length, :hidden], expected, rtol=0, atol=tolerance)
        assert not found[row, :length, hidden:].any()  # units that only fill a register


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
@pytest.mark.parametrize("backward", [False, True])
def test_a_row_has_the_same_bits_in_any_company(backward: bool, kind: np.dtype, tolerance: float) -> None:
    _, ours = layer(24, 24, kind, backward)
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 50, 3 * ROWS + 1)
    x = rng.normal(size=(len(lengths), 50, 24)).astype(np.float32)
    together = run(ours, x, lengths, kind)
    order = rng.permutation(len(lengths))
    turned = run(ours, x[order], lengths[order], kind)
    for place, row in enumerate(order):
        alone = run(ours, x[row : row + 1, : lengths[row]], lengths[row : row + 1], kind)[0]
        np.testing.assert_array_equal(alone, together[row, : lengths[row]])
        np.testing.assert_array_equal(alone, turned[place, : lengths[row]])


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
def test_a_layer_may_write_over_its_input(kind: np.dtype, tolerance: float) -> None:
    _, ours = layer(32, 32, kind, True)
    x = narrowed(np.random.default_rng(3).normal(size=(20, ROWS, 32)), kind)
    lengths, out = np.full(ROWS, 20), np.empty((20, ROWS, 32), kind)
    ours(x, lengths, out)
    ours(x, lengths, x)
    np.testing.assert_array_equal(x, out)


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
def test_large_and_small_gates_saturate_as_they_should(kind: np.dtype, tolerance: float) -> None:
    cell, ours = layer(1, 1, kind, False)
    x = np.array([0.0, 1e4, -1e4, 3e4, 1e-6, -3e4], np.float32).reshape(1, -1, 1)
    with torch.no_grad():
        expected = cell(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(run(ours, x, np.array([6]), kind)[:, :, :1], expected, rtol=0, atol=tolerance)


ACTIVATIONS = {NONE: lambda x: x, SILU: torch.nn.functional.silu, TANH: torch.tanh}


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("outputs", [1, 4, 16, 17, 40, 48, 64, 96, 130])
def test_dense_equals_torch(outputs: int, activation: int, kind: np.dtype, tolerance: float) -> None:
    rng = np.random.default_rng(outputs)
    matrix, bias = rng.normal(size=(outputs, 13)).astype(np.float32) / 4, rng.normal(size=outputs).astype(np.float32)
    ours = Dense.of(matrix, bias, kind, activation, scale=3.0)
    for count in (1, ROWS - 1, ROWS, 4 * ROWS + 1):
        x = rng.normal(size=(count + 1, 13)).astype(np.float32)
        expected = 3 * ACTIVATIONS[activation](torch.from_numpy(x[:count] @ matrix.T + bias)).numpy()
        out = np.full((count, outputs + 3), 7, np.float32)
        ours(narrowed(x, kind).reshape(-1), 0, 13, out[:, 1 : outputs + 1])
        np.testing.assert_allclose(out[:, 1 : outputs + 1], expected, rtol=0, atol=30 * tolerance / 2)
        assert (out[:, [0, -2, -1]] == 7).all()  # nothing else is written


@pytest.mark.parametrize(("kind", "tolerance"), KINDS)
@pytest.mark.parametrize("stride", [1, 5])
def test_convolution_is_dense_over_windows_that_overlap(stride: int, kind: np.dtype, tolerance: float) -> None:
    torch.manual_seed(4)
    conv = torch.nn.Conv1d(3, 20, 7, stride=stride, padding=3)
    x = torch.randn(1, 3, 41)
    with torch.no_grad():
        expected = conv(x)[0].T.numpy()
    matrix = conv.weight.detach().numpy().transpose(0, 2, 1).reshape(20, -1)
    ours = Dense.of(matrix, conv.bias.detach().numpy(), kind)
    signal = np.pad(x[0].T.numpy(), ((3, 4), (0, 0)))  # one more for the pair of the last
    out = np.empty((len(expected), padded(20)), kind)
    ours(narrowed(signal, kind).reshape(-1), 0, 3 * stride, out)
    np.testing.assert_allclose(widened(out)[:, :20], expected, rtol=0, atol=tolerance)
    assert not widened(out)[:, 20:].any()


def test_bfloat16_rounds_to_nearest_and_ties_to_even() -> None:
    values = torch.cat([torch.randn(1000), torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 0.0])])
    np.testing.assert_array_equal(widened(to_bfloat(values.numpy())), values.bfloat16().float().numpy())


@pytest.mark.parametrize(
    ("found", "shape"),
    [
        ({"avx512f", "avx2", "fma"}, (16, 6)),
        ({"avx2", "fma"}, (8, 3)),
        ({"avx2"}, (4, 3)),
        ({"neon"}, (4, 6)),
        (set(), (4, 3)),
    ],
)
def test_sums_and_weights_fit_the_registers(found: set[str], shape: tuple[int, int]) -> None:
    assert tile_shape(found) == shape
    registers = 32 if "avx512f" in found or "neon" in found else 16
    assert 4 * shape[1] + 4 <= registers


SMALLER = """
import numpy as np, torch
from biorrn.kernels.lstm import FLOAT, HAS_BF16, LANES, LSTM, ROWS, padded
assert LANES == {lanes} and not HAS_BF16
cell = torch.nn.LSTM(10, 10)
w_ih, w_hh, b_ih, b_hh = (each.detach().numpy() for each in cell.parameters())
x = np.zeros((9, ROWS, padded(10)), np.float32)
x[:, :, :10] = np.random.default_rng(0).normal(size=(9, ROWS, 10))
out = np.empty((9, ROWS, padded(10)), np.float32)
LSTM.of(w_ih, w_hh, b_ih + b_hh, padded(10), FLOAT, False)(x, np.full(ROWS, 9), out)
expected = cell(torch.from_numpy(x[:, :, :10]))[0].detach().numpy()
np.testing.assert_allclose(out[:, :, :10], expected, rtol=0, atol=5e-6)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="names x86 processors")
@pytest.mark.parametrize(("processor", "features", "lanes"), [("haswell", "+avx2,+fma", 8), ("x86-64", "+sse2", 4)])
def test_smaller_registers_give_the_same(processor: str, features: str, lanes: int, tmp_path: str) -> None:
    told = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SMALLER.format(lanes=lanes)], check=True, env={**os.environ, **told})
