"""CTC loss: every implementation against enumeration and torch's float64; and what CTC and CTC-CRF have in common."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.kernels.crf.loss import crf_loss
from biorrn.kernels.crf.loss import loss_and_gradient as crf_loss_and_gradient
from biorrn.kernels.ctc import cpu as ctc_numba
from biorrn.kernels.ctc.loss import KERNELS, ctc_loss, feasible, loss_and_gradient
from biorrn.kernels.ctc.reference import all_sequences

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
Loss, Make = Callable[..., torch.Tensor], Callable[..., Case]
crf2 = partial(crf_loss, state_len=2)
each_kernel = pytest.mark.parametrize("name", KERNELS)


def case(rows: int, frames: int, bases: int, seed: int = 0, scale: float = 1.0, symbols: int = 5) -> Case:
    """Return random scores (float64), lengths, targets and target lengths; many rows are infeasible."""
    draw = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(rows, frames, symbols, generator=draw, dtype=torch.float64)
    lengths = torch.randint(0, frames + 1, (rows,), generator=draw)
    targets = torch.randint(1, symbols, (rows, bases), generator=draw)
    return scores, lengths, targets, torch.randint(0, bases + 1, (rows,), generator=draw)


def crf_case(rows: int, frames: int, bases: int, seed: int = 0) -> Case:
    """Return the same for a CRF of two bases a state."""
    scores, lengths, targets, sizes = case(rows, frames, 2 * bases, seed, symbols=80)
    return scores, lengths, targets % 4 + 1, sizes


each_loss = pytest.mark.parametrize(("loss", "made"), [(ctc_loss, case), (crf2, crf_case)], ids=["ctc", "crf"])
each_kernel_of_each = pytest.mark.parametrize(
    ("name", "loss", "made"),
    [*((name, ctc_loss, case) for name in KERNELS), *((name, crf2, crf_case) for name in ("numba", "reference"))],
)


def both(
    name: str, scores: torch.Tensor, *rest: torch.Tensor, loss: Loss = ctc_loss
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses and the gradient of their sum."""
    scores = scores.clone().requires_grad_()
    losses = loss(scores, *rest, implementation=name)
    losses.sum().backward()
    assert scores.grad is not None
    return losses.detach(), scores.grad


def torch_in_float64(scores: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, sizes: torch.Tensor):
    """Return what torch says in float64, called without this package."""
    scores = scores.double().clone().requires_grad_()
    log_probs = scores.log_softmax(-1).transpose(0, 1)
    losses = torch.nn.functional.ctc_loss(log_probs, targets, lengths, sizes, reduction="none", zero_infinity=True)
    losses.sum().backward()
    return losses.detach(), scores.grad


@each_kernel
def test_equals_the_sum_over_all_paths(name: str) -> None:
    scores, *_ = case(1, 5, 1, symbols=3)
    found = all_sequences(scores[0].softmax(-1).numpy())
    assert sum(found.values()) == pytest.approx(1)
    for sequence, probability in found.items():
        targets = torch.tensor([sequence], dtype=torch.int64).reshape(1, -1)
        loss = ctc_loss(scores, torch.tensor([5]), targets, torch.tensor([len(sequence)]), name)
        assert loss.item() == pytest.approx(-np.log(probability), rel=1e-9)


@each_kernel
def test_gradcheck(name: str) -> None:
    scores, lengths, targets, sizes = case(4, 7, 3, seed=2)
    lengths, sizes = torch.tensor([7, 6, 7, 2]), torch.tensor([3, 0, 2, 3])  # the last cannot be aligned
    assert torch.autograd.gradcheck(
        lambda x: ctc_loss(x, lengths, targets, sizes, name), (scores.requires_grad_(),), atol=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 40),
    bases=st.integers(0, 20),
    symbols=st.integers(2, 7),
    scale=st.sampled_from([0.0, 0.3, 1.0, 5.0, 30.0, 300.0]),
    seed=st.integers(0, 10_000),
)
@pytest.mark.parametrize("name", ["numba", "reference"])
def test_equals_torch_in_float64(name: str, frames: int, bases: int, symbols: int, scale: float, seed: int) -> None:
    scores, *rest = case(5, frames, bases, seed, scale, symbols)
    expected, slope = torch_in_float64(scores, *rest)
    losses, gradient = both(name, scores, *rest)
    torch.testing.assert_close(losses, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, slope, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("frames", "bases"), [(800, 350), (800, 60), (300, 200)])
@pytest.mark.parametrize("scale", [0.1, 2.0, 10.0, 50.0])
def test_float32_keeps_its_digits_over_long_rows(frames: int, bases: int, scale: float) -> None:
    scores, _, targets, _ = case(2, frames, bases, scale=scale)
    rest = torch.full((2,), frames), targets, torch.full((2,), bases)
    scores = scores.float()
    expected, slope = torch_in_float64(scores, *rest)
    losses, gradient = both("numba", scores, *rest)
    torch.testing.assert_close(losses, expected.float(), rtol=1e-5, atol=1e-5)
    assert (gradient - slope).abs().max() < 2e-6


def test_a_confident_model_with_a_wrong_label_is_still_exact() -> None:
    # forward and backward mass part by hundreds of nats here: scaled float32 alone would lose every path that matters
    scores, _, targets, _ = case(3, 400, 150)
    places = torch.linspace(0, 399, 150).long()
    for row, shift in enumerate((0, 5, 40)):
        scores[row, places, targets[row].roll(shift)] += 25
        scores[row, :, 0] += 12
    rest = torch.full((3,), 400), targets, torch.full((3,), 150)
    expected, slope = torch_in_float64(scores.float(), *rest)
    losses, gradient = both("numba", scores.float(), *rest)
    torch.testing.assert_close(losses, expected.float(), rtol=2e-5, atol=1e-5)
    assert (gradient - slope).abs().max() < 2e-6


def test_a_path_that_float32_cannot_hold_is_not_forgotten() -> None:
    # One frame too many, so a path is where it pauses. Pausing first avoids the class at -200 in frame 0 but then costs
    # 55 in each frame; pausing last costs 200 once. float32 rounds exp(-200) to 0 and is left with the wrong path.
    size = 12
    bases = torch.arange(size) % 4 + 1
    scores = torch.full((1, size + 1, 5), -55.0)
    scores[0, torch.arange(size), bases] = 0.0
    scores[0, 0, bases[0]] = -200.0
    scores[0, 0, 0] = scores[0, size, 0] = 0.0
    rest = torch.tensor([size + 1]), bases[None], torch.tensor([size])
    expected, slope = torch_in_float64(scores, *rest)
    assert expected.item() == pytest.approx(200)
    losses, gradient = both("numba", scores, *rest)
    torch.testing.assert_close(losses, expected.float())
    torch.testing.assert_close(gradient, slope.float())


def test_each_width_of_number_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, *rest = case(6, 60, 20, seed=3)
    narrow = both("numba", scores.float(), *rest)
    for refused in (["float32"], ["float32", "float64"]):
        limits = {
            kind: (mass, least, 2.0 if kind.name in refused else floor)
            for kind, (mass, least, floor) in ctc_numba.LIMITS.items()
        }
        monkeypatch.setattr(ctc_numba, "LIMITS", limits)
        for one, other in zip(narrow, both("numba", scores.float(), *rest), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@each_kernel_of_each
def test_padded_is_alone(name: str, loss: Loss, made: Make) -> None:
    scores, lengths, targets, sizes = made(6, 30, 8, seed=4)
    scores[2, lengths[2] :] = torch.nan  # what lies beyond a row's end may be anything
    scores = scores if name == "numba" else scores.nan_to_num(50.0)
    losses, gradient = both(name, scores, lengths, targets, sizes, loss=loss)
    assert losses.gt(0).sum() >= 2
    for row, (length, size) in enumerate(zip(lengths.tolist(), sizes.tolist(), strict=True)):
        part = scores[row : row + 1, :length], lengths[row : row + 1], targets[row : row + 1, :size]
        alone, slope = both(name, *part, sizes[row : row + 1], loss=loss)
        torch.testing.assert_close(losses[row], alone[0])
        torch.testing.assert_close(gradient[row, :length], slope[0])
        assert not gradient[row, length:].any()


@each_kernel_of_each
def test_the_order_of_rows_does_not_matter(name: str, loss: Loss, made: Make) -> None:
    scores, *rest = made(7, 25, 6, seed=5)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    losses, gradient = both(name, scores, *rest, loss=loss)
    mixed, slope = both(name, scores[order], *(x[order] for x in rest), loss=loss)
    torch.testing.assert_close(mixed, losses[order], rtol=1e-12, atol=0)
    torch.testing.assert_close(slope, gradient[order], rtol=1e-12, atol=1e-15)


@each_kernel
def test_a_row_without_alignment_gives_nothing(name: str) -> None:
    scores, _, _, _ = case(5, 4, 1)
    lengths, sizes = torch.tensor([3, 2, 3, 0, 0]), torch.tensor([2, 2, 3, 1, 0])
    targets = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 2, 3], [1, 0, 0], [0, 0, 0]])
    possible = feasible(lengths, targets, sizes)
    assert possible.tolist() == [True, False, True, False, True]
    losses, gradient = both(name, scores, lengths, targets, sizes)
    assert (losses > 0).tolist() == [True, False, True, False, False]
    assert gradient.abs().sum((1, 2)).gt(0).tolist() == [True, False, True, False, False]
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["numba", "reference"])  # torch's own gradient is NaN here
def test_a_forbidden_class_leaves_numbers(name: str) -> None:
    scores = torch.zeros(2, 3, 3)
    scores[:, :, 2] = -torch.inf
    losses, gradient = both(name, scores, torch.tensor([3, 3]), torch.tensor([[1], [2]]), torch.tensor([1, 1]))
    assert losses[0] > 0
    assert losses[1] == 0
    assert torch.isfinite(gradient).all()
    assert not gradient[1].any()


@each_kernel
@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 0, 5)])
def test_nothing_costs_nothing(name: str, shape: tuple[int, int, int]) -> None:
    none = torch.zeros(shape[0], dtype=torch.int64)
    losses, gradient = both(name, torch.zeros(shape), none, none[:, None].expand(-1, 0), none)
    assert losses.tolist() == [0.0] * shape[0]
    assert gradient.shape == shape


@each_loss
def test_the_gradient_of_a_frame_sums_to_zero_and_follows_the_weight_of_its_row(loss: Loss, made: Make) -> None:
    scores, *_ = made(3, 20, 5, seed=6)
    rest = torch.full((3,), 20), torch.randint(1, 5, (3, 7)), torch.full((3,), 7)
    _, plain = both("numba", scores, *rest, loss=loss)
    assert plain.abs().max() > 0.01
    assert plain.sum(-1).abs().max() < 1e-12
    scores.requires_grad_()
    (loss(scores, *rest) * torch.tensor([0.0, 1.0, -2.0])).sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, plain * torch.tensor([0.0, 1.0, -2.0])[:, None, None])


@each_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_come_back_as_they_went_in(dtype: torch.dtype, loss: Loss, made: Make) -> None:
    scores, *rest = made(5, 20, 5, seed=7)
    half = scores.to(dtype)
    losses, gradient = both("numba", half, *rest, loss=loss)
    exact, slope = both("numba", half.float(), *rest, loss=loss)
    assert losses.gt(0).any()
    assert losses.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(losses, exact)
    torch.testing.assert_close(gradient, slope.to(dtype))


@pytest.mark.parametrize(
    ("work", "made"),
    [(loss_and_gradient, case), (partial(crf_loss_and_gradient, state_len=2), crf_case)],
    ids=["ctc", "crf"],
)
def test_threads_do_not_change_the_result(work: Callable[..., Any], made: Make) -> None:
    scores, *rest = made(16, 50, 15, seed=8)
    arrays = [scores.float().numpy(), *(x.numpy() for x in rest)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = work(*arrays)
        torch.set_num_threads(3)
        results: list[tuple[np.ndarray, np.ndarray]] = []
        callers = [threading.Thread(target=lambda: results.append(work(*arrays))) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    finally:
        torch.set_num_threads(before)
    assert len(results) == 4
    assert (alone[0] > 0).any()
    for losses, gradient in results:
        np.testing.assert_array_equal(losses, alone[0])
        np.testing.assert_array_equal(gradient, alone[1])


@pytest.mark.parametrize(("loss", "width"), [(ctc_loss, 5), (partial(crf_loss, state_len=1), 20)])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lengths": torch.tensor([4, 5])}, r"lengths: found 4 to 5; allowed is 0 to 4"),
        ({"targets": torch.tensor([[1, 2], [5, 0]])}, r"targets: found 1 to 5; allowed is 1 to 4"),
        ({"targets": torch.tensor([[1, 0], [1, 0]])}, r"targets: found 0 to 1; allowed is 1 to 4"),
        ({"target_lengths": torch.tensor([3, 1])}, r"target_lengths: found 1 to 3; allowed is 0 to 2"),
        ({"lengths": torch.tensor([4])}, r"scores of 2 rows .* 1 lengths"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    loss: Loss, width: int, changed: dict[str, torch.Tensor], said: str
) -> None:
    arguments = {
        "scores": torch.zeros(2, 4, width),
        "lengths": torch.tensor([4, 4]),
        "targets": torch.tensor([[1, 2], [1, 0]]),
        "target_lengths": torch.tensor([2, 1]),
    }
    assert loss(**arguments).shape == (2,)
    with pytest.raises(ValueError, match=said):
        loss(**(arguments | changed))


@pytest.mark.parametrize(("loss", "width"), [(ctc_loss, 5), (partial(crf_loss, state_len=1), 20)])
def test_an_unknown_implementation_is_refused(loss: Loss, width: int) -> None:
    none = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ConfigError, match="did you mean 'numba'"):
        loss(torch.zeros(1, 2, width), none, none[:, None], none, implementation="numbo")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu() -> None:
    scores, *rest = case(6, 40, 12, seed=9)
    here = both("numba", scores, *rest)
    moved = scores.cuda().requires_grad_()
    losses = ctc_loss(moved, *(x.cuda() for x in rest))
    losses.sum().backward()
    assert moved.grad is not None
    torch.testing.assert_close(losses.detach().cpu(), here[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(moved.grad.cpu(), here[1], rtol=0, atol=1e-6)
