"""The CRF's kernels in Triton against the others: on CUDA, or with TRITON_INTERPRET=1 in Triton's interpreter."""

import os
from importlib.util import find_spec

import pytest
import torch

from biorrn.kernels.crf.loss import crf_loss, default_kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_triton = pytest.mark.skipif(
    not find_spec("triton") or (DEVICE == "cpu" and os.environ.get("TRITON_INTERPRET") != "1"),
    reason="Triton with CUDA, or with TRITON_INTERPRET=1, is needed",
)
Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def case(k: int, scale: float) -> Case:
    """Return scores float32 on the device, lengths, targets and target lengths; the last two rows are infeasible."""
    draw = torch.Generator().manual_seed(k)
    scores = scale * torch.randn(6, 12, 5 * 4**k, generator=draw)
    targets = torch.randint(1, 5, (6, 9), generator=draw)
    moved = [torch.tensor([12, 0, 7, 11, 2, 12]), targets, torch.tensor([9, k, k + 3, 8, 9, k - 1])]
    return scores.to(DEVICE), *(x.to(DEVICE) for x in moved)


def both(name: str, scores: torch.Tensor, *rest: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses and the gradient of their sum, on the CPU."""
    scores = scores.clone().requires_grad_()
    losses = crf_loss(scores, *rest, k, name)
    losses.sum().backward()
    assert scores.grad is not None
    return losses.detach().cpu(), scores.grad.cpu()


@needs_triton
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 50.0])
def test_loss_equals_the_reference_in_float64(k: int, scale: float) -> None:
    scores, *rest = case(k, scale)
    expected, slope = both("reference", scores.double(), *rest, k=k)
    losses, gradient = both("triton", scores, *rest, k=k)
    assert losses.gt(0).tolist() == [True] * 4 + [False] * 2
    torch.testing.assert_close(losses, expected.float(), rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(gradient, slope.float(), rtol=0, atol=1e-5)


@needs_triton
def test_a_forbidden_transition_leaves_numbers() -> None:
    scores, *rest = case(1, 1.0)
    scores[:, :, 4:][:, :, rest[1][0, 1] - 1 :: 4] = -torch.inf  # the second base of the first target
    expected, slope = both("reference", scores.double(), *rest, k=1)
    losses, gradient = both("triton", scores, *rest, k=1)
    assert losses[0] == 0
    assert not gradient[0].any()
    torch.testing.assert_close(losses, expected.float(), rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(gradient, slope.float(), rtol=0, atol=1e-6)


@needs_triton
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_come_back_as_they_went_in(dtype: torch.dtype) -> None:
    scores, *rest = case(2, 2.0)
    losses, gradient = both("triton", scores.to(dtype), *rest, k=2)
    exact, slope = both("triton", scores.to(dtype).float(), *rest, k=2)
    assert losses.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(losses, exact)
    torch.testing.assert_close(gradient, slope.to(dtype))


@needs_triton
def test_strides_and_weights_are_followed() -> None:
    scores, *rest = case(2, 2.0)
    turned = scores.transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    weights = torch.tensor([0.0, 1.0, -2.0, 0.5, 1.0, 1.0], device=DEVICE)
    (crf_loss(turned, *rest, 2, "triton") * weights).sum().backward()
    assert turned.grad is not None
    _, plain = both("triton", scores, *rest, k=2)
    torch.testing.assert_close(turned.grad.cpu(), plain * weights.cpu()[:, None, None])


def test_the_device_chooses() -> None:
    assert default_kernel(torch.zeros(1)) == "numba"
    if torch.cuda.is_available():
        assert default_kernel(torch.zeros(1, dtype=torch.float64, device="cuda")) == "reference"
