"""The recurrence of minGRU: every implementation against the plain loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.kernels import mingru as module
from biorrn.kernels.mingru import KERNELS, mingru

NAME = pytest.mark.parametrize("name", list(KERNELS))


def run(name: str, rows: int, steps: int, width: int, kind: torch.dtype, seed: int) -> list[torch.Tensor]:
    """Return the states and the gradients of a weighted sum of them."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((rows, steps, 3), (2 * width, 3), (2 * width,), (rows, width), (rows, steps, width))
    *parts, weights = (torch.randn(shape, generator=generator, dtype=torch.float64).to(kind) for shape in shapes)
    for part in parts:
        part.requires_grad_()
    out = mingru(*parts, implementation=name)
    (out * weights).sum().backward()
    return [out, *(torch.zeros_like(part) if part.grad is None else part.grad for part in parts)]


@NAME
@given(rows=st.integers(0, 5), steps=st.integers(1, 40), width=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_every_implementation_is_the_loop(name: str, rows: int, steps: int, width: int, seed: int) -> None:
    expected = run("loop", rows, steps, width, torch.float64, seed)
    for kind, tolerance in ((torch.float64, 1e-11), (torch.float32, 1e-5)):
        for found, exact in zip(run(name, rows, steps, width, kind, seed), expected, strict=True):
            scale = max(1.0, float(exact.detach().abs().max())) if exact.numel() else 1.0
            assert torch.allclose(found.double(), exact, rtol=0, atol=tolerance * scale)


def test_blocks_of_rows_give_what_all_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("fused", 7, 11, 4, torch.float64, 0)
    monkeypatch.setattr(module, "BLOCK", 2 * 11 * 8)
    for found, expected in zip(run("fused", 7, 11, 4, torch.float64, 0), whole, strict=True):
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_threads_give_what_one_gives() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run("fused", 9, 20, 4, torch.float64, 0)
        torch.set_num_threads(3)
        several = run("fused", 9, 20, 4, torch.float64, 0)
    finally:
        torch.set_num_threads(before)
    for found, expected in zip(several, one, strict=True):
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


@NAME
def test_the_gradient_can_be_taken_twice_from_one_pass(name: str) -> None:
    """What was kept for it is not overwritten."""
    x = torch.randn(2, 9, 3, requires_grad=True)
    out = mingru(x, torch.randn(8, 3), torch.randn(8), torch.randn(2, 4), name)
    first, second = (torch.autograd.grad(out.square().sum(), x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@NAME
@pytest.mark.parametrize("steps", [0, 1, 1000])
def test_no_step_one_step_and_a_thousand(name: str, steps: int) -> None:
    """A gate of one half on a candidate of 1, from 0: 1 - 0.5 ** t."""
    out = mingru(
        torch.zeros(2, steps, 1), torch.zeros(6, 1), torch.tensor([0.0] * 3 + [1.0] * 3), torch.zeros(2, 3), name
    )
    assert out.shape == (2, steps, 3)
    expected = 1 - 0.5 ** torch.arange(1, steps + 1, dtype=torch.float64)
    assert torch.allclose(out[1, :, 2].double(), expected, atol=1e-6)


@NAME
def test_a_gate_that_forgets_all_starts_anew(name: str) -> None:
    """Products of 1 - z are 0 from there on; an implementation that divides by them would give no number."""
    x = torch.randn(1, 600, 1).clamp(-2, 2)
    x[:, ::7] = 100.0
    weight, bias = torch.tensor([[1.0], [1.0], [0.01], [-0.02]]), torch.zeros(4)
    out = mingru(x, weight, bias, torch.randn(1, 2), name)
    assert torch.allclose(out[:, ::7], (x @ weight[2:].T)[:, ::7], atol=1e-6)
    assert out.isfinite().all()


def test_a_state_of_half_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="allowed is float32"):
        mingru(torch.zeros(1, 2, 3), torch.zeros(4, 3), torch.zeros(4), torch.zeros(1, 2, dtype=torch.bfloat16))
