"""Temperature, top-k, top-p and the draw: exact on literal arrays, and what always holds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biorrn.base.errors import ConfigError
from biorrn.language.generate import ROUNDING, Sampling, distribution, draw, softmax, top_k, top_p, uniforms

SCORES = np.log([0.1, 0.4, 0.3, 0.2])
scores = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-30, 30))


def test_temperature_one_is_what_the_model_says() -> None:
    assert np.allclose(distribution(SCORES, Sampling()), [0.1, 0.4, 0.3, 0.2])


@pytest.mark.parametrize(("k", "kept"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])])
def test_top_k_keeps_k(k: int, kept: list[int]) -> None:
    assert np.flatnonzero(distribution(SCORES, Sampling(top_k=k))).tolist() == kept


@pytest.mark.parametrize(("p", "kept"), [(0.01, 1), (0.4, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.91, 4), (1.0, 4)])
def test_top_p_keeps_the_smallest_set(p: float, kept: int) -> None:
    assert np.count_nonzero(distribution(SCORES, Sampling(top_p=p))) == kept


def test_of_equals_the_lower_code_is_kept() -> None:
    assert np.flatnonzero(top_k(np.full(5, 0.2), 3)).tolist() == [0, 1, 2]
    assert np.flatnonzero(top_p(np.full(4, 0.25), 0.5)).tolist() == [0, 1]
    assert distribution(np.zeros(3), Sampling(temperature=0)).tolist() == [1, 0, 0]


def test_the_nucleus_is_of_what_top_k_left() -> None:
    # of the best three 0.4, 0.3, 0.2 the first has mass 4/9, the first two 7/9
    assert np.count_nonzero(distribution(SCORES, Sampling(top_k=3, top_p=0.5))) == 2
    assert np.count_nonzero(distribution(SCORES, Sampling(top_k=3, top_p=0.44))) == 1


@given(scores, st.integers(1, 12))
def test_top_k_of_any_scores(found: np.ndarray, k: int) -> None:
    probabilities = softmax(found)
    left = top_k(probabilities, k)
    assert np.allclose(left.sum(-1), 1)
    for row, kept in zip(probabilities, left, strict=True):
        assert np.count_nonzero(kept) == min(k, len(row))
        assert row[kept > 0].min() >= max(row[kept == 0], default=0)


@given(scores, st.floats(0.01, 1.0))
def test_top_p_of_any_scores(found: np.ndarray, p: float) -> None:
    probabilities = softmax(found)
    for row, kept in zip(probabilities, top_p(probabilities, p), strict=True):
        mass = row[kept > 0].sum()
        assert mass >= p - (1.01 * ROUNDING if p < 1 else 1e-9)  # a nucleus is the smallest up to rounding; all are all
        assert mass - row[kept > 0].min() < p + 1e-9  # without its least symbol it is too small
        assert row[kept > 0].min() >= max(row[kept == 0], default=0)


@given(scores, st.floats(0.0, 0.999999))
def test_temperature_zero_is_greedy(found: np.ndarray, u: float) -> None:
    taken = draw(distribution(found, Sampling(temperature=0)), np.full(len(found), u))
    assert taken.tolist() == found.argmax(-1).tolist()


@given(scores, st.floats(0.0, 0.999999), st.floats(1e-3, 50), st.integers(0, 9), st.floats(0.05, 1))
def test_what_has_no_mass_is_never_drawn(found: np.ndarray, u: float, heat: float, k: int, p: float) -> None:
    found[:, ::2] = np.where(np.arange(found.shape[1])[::2] == 0, found[:, ::2], -np.inf)
    probabilities = distribution(found, Sampling(heat, k, p))
    taken = draw(probabilities, np.full(len(found), u))
    assert (np.take_along_axis(probabilities, taken[:, None], -1) > 0).all()


def test_draws_come_as_often_as_they_should() -> None:
    grid = (np.arange(1000) + 0.5) / 1000  # every quantile once: no chance
    taken = draw(np.tile(softmax(SCORES), (1000, 1)), grid)
    assert np.bincount(taken).tolist() == [100, 400, 300, 200]


def test_a_tiny_temperature_is_nearly_greedy_and_finite() -> None:
    assert np.allclose(distribution(np.array([500.0, 501.0]), Sampling(temperature=1e-300)), [0, 1])


def test_one_stream_a_sequence() -> None:
    whole = uniforms(5, 0, 6, 7)
    assert np.array_equal(np.concatenate([uniforms(5, 0, 2, 7), uniforms(5, 2, 4, 7)]), whole)
    assert np.array_equal(uniforms(5, 0, 6, 3), whole[:, :3])
    assert not np.array_equal(uniforms(6, 0, 6, 7), whole)
    assert len(np.unique(whole)) == whole.size


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"temperature": -0.1}, "--temperature: found -0.1; allowed is 0 or more"),
        ({"temperature": math.nan}, "--temperature: found nan"),
        ({"temperature": math.inf}, "--temperature: found inf"),
        ({"top_k": -1}, "--top-k: found -1"),
        ({"top_p": 0.0}, "--top-p: found 0; allowed is above 0, at most 1"),
        ({"top_p": 1.1}, "--top-p: found 1.1"),
        ({"top_p": math.nan}, "--top-p: found nan"),
    ],
)
def test_numbers_out_of_range(options: dict[str, float], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        Sampling(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("p", [0.1, 0.3, 0.4, 0.7, 0.9, 1.0])
def test_a_nucleus_is_not_made_larger_by_rounding(p: float) -> None:
    parts = np.array([0.4, 0.3, 0.2, 0.1])
    wanted = int(np.flatnonzero(np.array([4, 7, 9, 10]) >= round(10 * p))[0]) + 1
    assert (top_p(parts, p) > 0).sum() == wanted
    assert (top_p(np.exp(np.log(parts).astype(np.float32)), p) > 0).sum() == wanted
