import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biorrn.training.learner import QuantileClip, warmup_cosine


@given(st.integers(1, 500), st.floats(0, 0.9), st.floats(0, 1))
def test_rate_rises_then_falls_between_its_bounds(steps: int, warmup: float, final: float) -> None:
    rates = [warmup_cosine(step, steps, warmup, final) for step in range(steps)]
    assert all(0 < rate <= 1 or math.isclose(rate, final, abs_tol=1e-9) for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def parameter(gradient: list[float]) -> torch.nn.Parameter:
    made = torch.nn.Parameter(torch.zeros(len(gradient)))
    made.grad = torch.tensor(gradient)
    return made


def test_clip_bounds_an_outlier_by_the_quantile_of_the_past() -> None:
    clip = QuantileClip(0.5)
    for norm in range(1, 12):
        clip([parameter([float(norm) / 10, 0.0])])
    assert clip.bound == pytest.approx(0.6)
    odd = parameter([300.0, 400.0])
    assert clip([odd]) == pytest.approx(500.0)
    assert float(odd.grad.norm()) == pytest.approx(0.6, rel=1e-4)
    assert max(clip.norms) < 3  # the outlier did not enter at full size


def test_steps_without_a_gradient_do_not_stop_all_later_ones() -> None:
    clip = QuantileClip(0.5)
    for _ in range(60):
        clip([parameter([0.0, 0.0])])  # a loss over pairs has none where a batch holds no pair
    assert clip.bound == clip.start
    for _ in range(20):
        clip([parameter([0.6, 0.8])])
        clip([parameter([0.0, 0.0])])
    assert clip.bound == pytest.approx(1.0)
    passed = parameter([0.6, 0.8])
    clip([passed])
    assert float(passed.grad.norm()) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradient_that_is_not_finite_is_dropped_and_not_remembered(bad: float) -> None:
    clip = QuantileClip(0.5)
    odd = parameter([bad, 1.0])
    assert not math.isfinite(clip([odd]))
    assert odd.grad is None
    assert len(clip.norms) == 0
