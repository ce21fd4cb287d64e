"""The packed layers compute what the reference does, a row as if it were alone, for every instruction set and kind."""

import numpy as np
import pytest

from biorrn.kernels.lstm import reference
from biorrn.kernels.lstm.layers import (
    BFLOAT,
    FLOAT,
    INT8,
    INT16,
    LARGEST,
    LSTM,
    NONE,
    RELU,
    ROWS,
    SILU,
    STATE,
    TANH,
    Dense,
    Direction,
    Layers,
    clipped,
    narrowed,
    padded,
    quantised,
    to_bfloat,
    widened,
)
from biorrn.kernels.lstm.native import Kernels, available

# float32: rounding in another order. bfloat16 keeps 8 bits, a part in 256 of values of about 1; integers 12.
TOLERANCE = {FLOAT: 5e-6, BFLOAT: 0.03, INT16: 2e-3, INT8: 0.05}
UNIT = 2048  # of integers of inputs, here from -8 to 8
FOUND = available()
EACH = [pytest.param(each, kind, id=f"{each.isa}-{kind}") for each in FOUND for kind in each.kinds]
each_dense = pytest.mark.parametrize(("kernels", "kind"), [part for part in EACH if part.values[1] != INT8])
each_kernel = pytest.mark.parametrize(("kernels", "kind"), EACH)
pytestmark = pytest.mark.skipif(not FOUND, reason="no library was built")


def layer(inputs: int, hidden: int, kernels: Kernels, kind: np.dtype, backward: bool) -> tuple[Direction, LSTM]:
    rng = np.random.default_rng(inputs + hidden)
    shapes = (4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,)
    weights = Direction(backward, *(rng.uniform(-1, 1, shape).astype(np.float32) / hidden**0.5 for shape in shapes))
    return weights, LSTM.of(*weights[1:], padded(inputs), kind, backward, unit=UNIT, kernels=kernels)


def run(ours: LSTM, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """x (B, T, K) to (B, T, H or more)."""
    wide = np.zeros((x.shape[1], len(x), padded(x.shape[2])), np.float32)
    wide[:, :, : x.shape[2]] = x.transpose(1, 0, 2)
    out = narrowed(np.zeros((*wide.shape[:2], ours.width), np.float32), ours.kind)
    ours(narrowed(wide, ours.kind, UNIT), lengths, out)
    return widened(out).transpose(1, 0, 2)


@each_kernel
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("inputs", "hidden"), [(96, 96), (1, 1), (5, 16), (16, 5), (33, 20), (384, 384), (768, 1024)])
def test_lstm_equals_the_reference_for_rows_of_any_length(
    inputs: int, hidden: int, backward: bool, kernels: Kernels, kind: np.dtype
) -> None:
    weights, ours = layer(inputs, hidden, kernels, kind, backward)
    lengths = np.array([37, 1, 36, 5, 37, 2, 11])
    x = np.random.default_rng(1).normal(size=(len(lengths), 37, inputs)).astype(np.float32)
    x = np.clip(x, -1, 1) if kind == INT8 else x
    found = run(ours, x, lengths)
    expected = reference.lstm(x.transpose(1, 0, 2), lengths, *weights[1:], backward).transpose(1, 0, 2)
    np.testing.assert_allclose(found[:, :, :hidden], expected, rtol=0, atol=TOLERANCE[kind])
    assert not found[:, :, hidden:].any()  # units that only fill a register


@each_kernel
@pytest.mark.parametrize("backward", [False, True])
def test_a_row_has_the_same_bits_in_any_company(backward: bool, kernels: Kernels, kind: np.dtype) -> None:
    _, ours = layer(24, 24, kernels, kind, backward)
    rng = np.random.default_rng(2)
    for count in (2, 5, ROWS - 1, 3 * ROWS + 1):
        lengths = rng.integers(1, 50, count)
        x = rng.normal(size=(count, 50, 24)).astype(np.float32)
        together = run(ours, x, lengths)
        order = rng.permutation(count)
        turned = run(ours, x[order], lengths[order])
        for place, row in enumerate(order):
            alone = run(ours, x[row : row + 1, : lengths[row]], lengths[row : row + 1])[0]
            np.testing.assert_array_equal(alone, together[row, : lengths[row]])
            np.testing.assert_array_equal(alone, turned[place, : lengths[row]])


@each_kernel
def test_a_layer_may_write_over_its_input(kernels: Kernels, kind: np.dtype) -> None:
    _, ours = layer(32, 32, kernels, kind, True)
    x = narrowed(np.random.default_rng(3).normal(size=(20, ROWS, 32)), kind)
    lengths, out = np.full(ROWS, 20), np.empty((20, ROWS, 32), kind)
    ours(x, lengths, out)
    ours(x, lengths, x)
    np.testing.assert_array_equal(x, out)


@each_kernel
def test_large_and_small_gates_saturate_as_they_should(kernels: Kernels, kind: np.dtype) -> None:
    weights, ours = layer(1, 1, kernels, kind, False)
    x = np.array([0.0, 1e4, -1e4, 3e4, 1e-6, -3e4], np.float32).reshape(1, -1, 1)
    if kind == INT16:  # which end at 8
        x = np.clip(x, -LARGEST / UNIT, LARGEST / UNIT)
    if kind == INT8:  # which are states
        x = np.clip(x, -1, 1)
    expected = reference.lstm(x.transpose(1, 0, 2), np.array([6]), *weights[1:], False).transpose(1, 0, 2)
    np.testing.assert_allclose(run(ours, x, np.array([6]))[:, :, :1], expected, rtol=0, atol=TOLERANCE[kind])


@each_kernel
@pytest.mark.parametrize(("inputs", "hidden"), [(20, 12), (96, 96), (192, 96)])
def test_layers_both_ways_equal_the_reference(inputs: int, hidden: int, kernels: Kernels, kind: np.dtype) -> None:
    sizes = [(inputs, False), (inputs, True)], [(2 * hidden, False), (2 * hidden, True)], [(2 * hidden, True)]
    given = [[layer(width, hidden, kernels, kind, way)[0] for width, way in ways] for ways in sizes]
    lengths = np.array([9, 30, 1, 30, 17])
    x = np.random.default_rng(5).normal(size=(30, len(lengths), inputs)).astype(np.float32)
    wide = np.zeros((*x.shape[:2], padded(inputs)), np.float32)
    wide[:, :, :inputs] = x
    ours = Layers(given, inputs, kind, UNIT, kernels)
    found = widened(ours(narrowed(wide, ours.kind, UNIT), lengths))[:, :, ours.columns()]
    for ways in given:
        x = np.concatenate([reference.lstm(x, lengths, *way[1:], way[0]) for way in ways], 2)  # type: ignore[assignment]
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(found[:length, row], x[:length, row], rtol=0, atol=2 * TOLERANCE[kind])


NAMES = {NONE: "none", SILU: "silu", TANH: "tanh", RELU: "relu"}


@each_dense
@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("outputs", [1, 4, 16, 17, 40, 48, 64, 96, 130])
def test_dense_equals_the_reference(outputs: int, activation: int, kernels: Kernels, kind: np.dtype) -> None:
    rng = np.random.default_rng(outputs)
    matrix, bias = rng.normal(size=(outputs, 13)).astype(np.float32) / 4, rng.normal(size=outputs).astype(np.float32)
    ours = Dense.of(matrix, bias, kind, activation, scale=3.0, clamp=(-2.5, 7.0), unit=UNIT, kernels=kernels)
    for count in (1, ROWS - 1, ROWS, 5 * ROWS + 1):
        x = rng.normal(size=(count + 1, 13)).astype(np.float32)
        expected = np.clip(3 * reference.dense(x[:count], matrix, bias, NAMES[activation]), -2.5, 7)
        out = np.full((count, outputs + 3), 9, np.float32)
        ours(narrowed(x, kind, UNIT).reshape(-1), 0, 13, out[:, 1 : outputs + 1])
        np.testing.assert_allclose(out[:, 1 : outputs + 1], expected, rtol=0, atol=15 * TOLERANCE[kind])
        assert (out[:, [0, -2, -1]] == 9).all()  # nothing else is written


@each_dense
def test_dense_without_bias_writes_its_own_kind(kernels: Kernels, kind: np.dtype) -> None:
    rng = np.random.default_rng(6)
    matrix, x = rng.normal(size=(21, 32)).astype(np.float32) / 4, rng.normal(size=(9, 32)).astype(np.float32)
    ours = Dense.of(matrix, None, kind, unit=UNIT, out_unit=1024, kernels=kernels)
    out = np.ones((9, padded(21)), kind)
    ours(narrowed(x, kind, UNIT).reshape(-1), 0, 32, out)
    found = widened(out, 1024)
    np.testing.assert_allclose(found[:, :21], reference.dense(x, matrix, np.zeros(21)), rtol=0, atol=TOLERANCE[kind])
    assert not found[:, 21:].any()


@each_dense
@pytest.mark.parametrize(
    ("channels", "width", "kernel"), [(1, 4, 5), (4, 16, 5), (3, 20, 7), (16, 96, 19), (64, 40, 9)]
)
@pytest.mark.parametrize("stride", [1, 2, 3, 5, 6])
def test_convolution_is_dense_over_windows_that_overlap(
    channels: int, width: int, kernel: int, stride: int, kernels: Kernels, kind: np.dtype
) -> None:
    rng = np.random.default_rng(4)
    weight = (rng.normal(size=(width, channels, kernel)) / (channels * kernel) ** 0.5).astype(np.float32)
    x, bias = rng.normal(size=(41, channels)).astype(np.float32), rng.normal(size=width).astype(np.float32)
    expected = reference.convolution(x, weight, bias, stride, "silu")
    ours = Dense.of(
        weight.transpose(0, 2, 1).reshape(width, -1), bias, kind, SILU, unit=UNIT, out_unit=UNIT, kernels=kernels
    )
    signal = np.pad(x, ((kernel // 2, kernel // 2 + 1), (0, 0)))  # one more for the pair of the last
    out = np.empty((len(expected), padded(width)), kind)
    ours(narrowed(signal, kind, UNIT).reshape(-1), 0, channels * stride, out)
    np.testing.assert_allclose(widened(out, UNIT)[:, :width], expected, rtol=0, atol=3 * TOLERANCE[kind])
    assert not widened(out)[:, width:].any()


@pytest.mark.parametrize("size", [1.0, 1e-3])
@pytest.mark.parametrize("depth", [1, 192, 2048])
def test_sums_of_integers_stay_below_2_to_31(depth: int, size: float) -> None:
    rng = np.random.default_rng(depth)
    largest = np.where(np.arange(depth) % 2, LARGEST, STATE)
    matrix = size * np.stack([rng.normal(size=depth), np.ones(depth), np.zeros(depth), np.arange(depth) == 0])
    whole, scale = quantised(matrix, largest)
    assert (np.abs(whole) @ largest < 2**31).all()
    assert np.abs(whole).max() < 2**15
    assert np.abs(whole * scale[:, None] - matrix).max() <= scale.max() / 2 * (1 + 1e-9)


@pytest.mark.parametrize("fours", [False, True])
def test_bytes_keep_what_their_sums_allow(fours: bool) -> None:
    rng = np.random.default_rng(7)
    matrix = np.stack([rng.normal(size=192), rng.standard_t(2, size=192), np.ones(192), np.zeros(192)])
    whole, scale = clipped(matrix, fours)
    assert np.abs(whole).max() <= 127
    four = whole.reshape(len(matrix), -1, 2, 2, 2).swapaxes(2, 3).reshape(len(matrix), -1, 4)
    if fours:
        for sign in (1, -1):
            assert (255 * np.maximum(sign * four, 0).sum(2)).max() < 2**15
    error = np.sqrt(((whole * scale[:, None] - matrix) ** 2).mean(1) / np.maximum((matrix**2).mean(1), 1e-12))
    assert error.max() < (0.08 if fours else 0.05)


def test_bfloat16_rounds_to_nearest_and_ties_to_even() -> None:
    values = np.array([1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 0.0, 1 + 2**-8 + 2**-12], np.float32)
    wanted = np.array([1.0, 1 + 4 * 2**-8, -1.0, 0.0, 1 + 2**-7], np.float32)
    np.testing.assert_array_equal(widened(to_bfloat(values)), wanted)
