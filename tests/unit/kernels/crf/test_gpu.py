"""The CRF's kernels in Triton against the others: on CUDA, or with TRITON_INTERPRET=1 in Triton's interpreter."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.kernels.crf import gpu, reference
from biorrn.kernels.crf.decode import posterior_viterbi
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


DECODERS: dict[str, tuple[Callable[..., Any], str]] = {
    "reference": (reference.posterior_viterbi, "cpu"),
    "triton": (gpu.posterior_viterbi, DEVICE),
}
each_decoder = pytest.mark.parametrize("implementation", ["reference", pytest.param("triton", marks=needs_triton)])


def reads(k: int, scale: float) -> list[np.ndarray]:
    """Return scores float32 (T, 5 S) of reads of several lengths, one of them empty, in the form of the CRF head."""
    rng = np.random.default_rng(k)
    found = [5 * np.tanh(scale * rng.normal(size=(frames, 5 * 4**k))) for frames in (0, 1, 2, 40, 17)]
    for scores in found:
        scores[:, : 4**k] = 2.0
    return [scores.astype(np.float32) for scores in found]


@each_decoder
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
def test_calls_of_many_reads_equal_those_of_each(implementation: str, k: int, scale: float) -> None:
    decode, device = DECODERS[implementation]
    each = reads(k, scale)
    lengths = torch.tensor([len(scores) for scores in each])
    starts = lengths.cumsum(0) - lengths
    joined = torch.from_numpy(np.concatenate(each)).to(device)
    letters, evidence, faults = decode(joined, starts.to(device), lengths.to(device), k)
    assert not faults.any()
    for scores, start in zip(each, starts.tolist(), strict=True):
        part = slice(start, start + len(scores))
        bases, begun, exact = posterior_viterbi(scores, k)
        own = letters[part].cpu().numpy()
        assert np.flatnonzero(own).tolist() == begun.tolist()
        assert own[begun].tolist() == bases.tolist()
        np.testing.assert_allclose(evidence[:, part].cpu().numpy()[:, begun].T, exact, rtol=0, atol=1e-5)


@each_decoder
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_no_number_is_reported_of_its_read(implementation: str, value: float) -> None:
    decode, device = DECODERS[implementation]
    scores = torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    scores[5, 7] = value
    given = (x.to(device) for x in (scores, torch.tensor([0, 4, 8]), torch.tensor([4, 4, 4])))
    assert decode(*given, 1)[2].tolist() == [0, 1, 0]


@needs_triton
def test_half_precision_is_decoded_as_it_stands() -> None:
    scores = torch.from_numpy(reads(2, 1.0)[3]).half().to(DEVICE)
    rest = (torch.tensor([0], device=DEVICE), torch.tensor([len(scores)], device=DEVICE), 2)
    found, evidence, _ = gpu.posterior_viterbi(scores, *rest)
    exact, same, _ = gpu.posterior_viterbi(scores.float(), *rest)
    torch.testing.assert_close(found, exact)
    torch.testing.assert_close(evidence[:, found > 0], same[:, found > 0])


@pytest.mark.skipif(
    not find_spec("triton") or os.environ.get("TRITON_INTERPRET") == "1",
    reason="Triton without TRITON_INTERPRET=1 is needed",
)
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("k", [3, 4])
def test_kernels_compile_where_there_is_no_gpu(k: int, capability: int) -> None:
    """To machine code of a GPU, which needs the compiler alone."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    places = {"starts": "*i64", "lengths": "*i64"}
    mass, calls = (
        {"beta": "*fp32", "faults": "*i8"},
        {"beta": "*fp32", "choice": "*u8", "emitted": "*fp32", "last": "*i32"},
    )
    loss = {"lengths": "*i64", "alpha": "*fp32", "totals": "*fp64", "gradient": "*fp32", "frames": "i32"}
    strides = {"stride_b": "i32", "stride_t": "i32"}
    target = {"counts": "*i64", "stays": "*i32", "moves": "*i32", "width": "i32", "columns": "i32"}
    held = {"held": "*fp32", "letters": "*u8", "shares": "*fp32", "peaks": "*fp32"}
    kernels: list[tuple[Any, dict[str, str], dict[str, int]]] = [
        (gpu._all_paths, {"scores": "*fp16", **loss, **strides}, {"Q": 4 ** (k - 1)}),
        (gpu._target, {"scores": "*fp16", **loss, **target, **strides}, {"M": 512}),
        (gpu._backward_mass, {"scores": "*fp16", **places, **mass}, {"Q": 4 ** (k - 1)}),
        (gpu._forward_viterbi, {"scores": "*fp16", **places, **calls, "floor": "fp32"}, {"Q": 4 ** (k - 1)}),
        (gpu._trace, {**places, **calls, **held}, {"Q": 4 ** (k - 1)}),
    ]
    for kernel, types, constants in kernels:
        names = kernel.arg_names
        signature = {name: "constexpr" if name in constants else types[name] for name in names}
        source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()})
        assert compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]
