"""Property models but their heads: the equations in numpy, whatever stands beside a row, in every instruction set."""

import numpy as np
import pytest

from biorrn.kernels.lstm import reference
from biorrn.kernels.lstm.layers import BFLOAT, FLOAT, INT16, NONE, SILU, Direction
from biorrn.kernels.lstm.native import KINDS, Kernels, available
from biorrn.kernels.lstm.property import POOLS, Property

APART = {FLOAT: 2e-6, INT16: 1e-3, BFLOAT: 2e-2}
WIDTH, HIDDEN, SYMBOLS = 20, 10, 22
SETS = [
    pytest.param(each, kind, id=f"{each.isa}-{KINDS[kind]}")
    for each in available()
    for kind in each.kinds
    if kind in APART
]
pytestmark = pytest.mark.skipif(not SETS, reason="no library was built")
# taps, activation, ways of each layer, outputs of the dense layer, pools
SHAPES = {
    "shipped": (5, SILU, ["fb"], 18, ["max", "mean"]),
    "no window": (1, NONE, ["f", "b"], 0, ["mean", "sum"]),
    "wide window": (9, SILU, ["fb", "fb"], 40, ["sum"]),
}


def layers(ways: list[str], rng: np.random.Generator) -> list[list[Direction]]:
    made, inputs = [], WIDTH
    for way in ways:
        sizes = ((4 * HIDDEN, inputs), (4 * HIDDEN, HIDDEN), (4 * HIDDEN,))
        made.append([Direction(one == "b", *(0.3 * rng.normal(size=size) for size in sizes)) for one in way])
        inputs = HIDDEN * len(way)
    return made


def parts(name: str) -> tuple:
    rng = np.random.default_rng(3)
    taps, activation, ways, outputs, pools = SHAPES[name]
    table = 0.3 * rng.normal(size=(taps, SYMBOLS, WIDTH))
    last = HIDDEN * len(ways[-1])
    steps = (0.3 * rng.normal(size=(outputs, last)), rng.normal(size=outputs)) if outputs else None
    return table, rng.normal(size=WIDTH), activation, layers(ways, rng), steps, pools


def expected(tokens: np.ndarray, given: tuple) -> np.ndarray:
    """Return the pools of one row (T,)."""
    table, bias, activation, own, steps, pools = given
    half = len(table) // 2
    x = np.stack(
        [
            bias + sum(table[k, tokens[t + k - half]] for k in range(len(table)) if 0 <= t + k - half < len(tokens))
            for t in range(len(tokens))
        ]
    )
    x = (x * reference.logistic(x) if activation == SILU else x)[:, None]
    for ways in own:
        lengths = np.array([len(tokens)])
        states = [reference.lstm(x, lengths, one.inputs, one.recurrent, one.bias, one.backward) for one in ways]
        x = np.concatenate(states, axis=2)
    if steps is not None:
        x = x @ steps[0].T + steps[1]
        x = x * reference.logistic(x)
    pooled = {"max": x.max(0), "mean": x.mean(0), "sum": x.sum(0)}
    return np.concatenate([pooled[name][0] for name in pools])


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    lengths = rng.integers(1, 33, count)
    tokens = rng.integers(1, SYMBOLS, (count, 33)).astype(np.uint8)
    return np.where(np.arange(33) < lengths[:, None], tokens, 0).astype(np.uint8), lengths


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("kernels", "kind"), SETS)
def test_pools_are_those_of_the_equations(kernels: Kernels, kind: np.dtype, name: str) -> None:
    given = parts(name)
    tokens, lengths = rows(15)
    found = Property(*given, kind, kernels)(tokens, lengths)
    wanted = np.stack([expected(row[:length], given) for row, length in zip(tokens, lengths, strict=True)])
    assert np.abs(found - wanted).max() < APART[kind] * np.abs(wanted).max()


@pytest.mark.parametrize(("kernels", "kind"), SETS)
def test_a_row_is_the_same_alone_and_in_company(kernels: Kernels, kind: np.dtype) -> None:
    made = Property(*parts("shipped"), kind, kernels)
    tokens, lengths = rows(230)  # more than two blocks
    together = made(tokens, lengths)
    for row in range(0, 230, 19):
        length = lengths[row]
        np.testing.assert_array_equal(made(tokens[row : row + 1, :length], lengths[row : row + 1])[0], together[row])


@pytest.mark.parametrize("kind", [FLOAT, INT16])
def test_vectors_of_any_width_give_the_same_bits(kind: np.dtype) -> None:
    sets = [each for each in available() if kind in each.kinds and each.isa != "generic"]  # which has no fused addition
    found = [Property(*parts("shipped"), kind, each)(*rows(40)).tobytes() for each in sets]
    assert len(set(found)) <= 1


def test_names_of_pools_are_those_of_the_kernels() -> None:
    given = parts("shipped")
    one = {name: Property(*given[:5], [name], FLOAT)(*rows(5)) for name in POOLS}
    np.testing.assert_allclose(one["sum"] / rows(5)[1][:, None], one["mean"], rtol=1e-6)
    assert (one["max"] >= one["mean"]).all()
