"""CTC-CRF loss: every implementation against enumeration, and the reference in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.kernels.crf import cpu as crf_numba
from biorrn.kernels.crf.loss import KERNELS, crf_cross_entropy, crf_loss, feasible, posteriors
from biorrn.kernels.crf.reference import all_paths
from biorrn.kernels.crf.reference import posteriors as plain

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
ON_CPU = ["numba", "reference"]
each_kernel = pytest.mark.parametrize("name", ON_CPU)
tiny = pytest.mark.parametrize(("k", "frames"), [(1, 5), (1, 1), (1, 0), (2, 3)])


def case(rows: int, frames: int, bases: int, k: int = 2, seed: int = 0, scale: float = 1.0) -> Case:
    """Return random scores (float64), lengths, targets and target lengths; many rows are infeasible."""
    draw = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(rows, frames, 5 * 4**k, generator=draw, dtype=torch.float64)
    lengths = torch.randint(0, frames + 1, (rows,), generator=draw)
    targets = torch.randint(1, 5, (rows, bases), generator=draw)
    return scores, lengths, targets, torch.randint(0, bases + 1, (rows,), generator=draw)


def both(name: str, scores: torch.Tensor, *rest: torch.Tensor, k: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses and the gradient of their sum."""
    scores = scores.clone().requires_grad_()
    losses = crf_loss(scores, *rest, k, name)
    losses.sum().backward()
    assert scores.grad is not None
    return losses.detach(), scores.grad


def enumerated(scores: np.ndarray, target: tuple[int, ...], k: int) -> tuple[float, np.ndarray]:
    """Return the loss of a target and its gradient, by listing all paths."""
    whole, right, sums = np.zeros_like(scores), np.zeros_like(scores), [0.0, 0.0]
    start = sum((base - 1) * 4 ** (k - 1 - i) for i, base in enumerate(target[:k]))
    for first, bases, columns, score in all_paths(scores, k):
        whole[np.arange(len(scores)), columns] += np.exp(score)
        sums[1] += np.exp(score)
        if first == start and bases == target[k:]:
            right[np.arange(len(scores)), columns] += np.exp(score)
            sums[0] += np.exp(score)
    return float(np.log(sums[1] / sums[0])), whole / sums[1] - right / sums[0]


@each_kernel
@tiny
def test_equals_the_sum_over_all_paths(name: str, k: int, frames: int) -> None:
    for moves in range(min(frames, 3) + 1):
        scores, _, targets, _ = case(1, frames, k + moves, k, seed=moves)
        loss, slope = enumerated(scores[0].numpy(), tuple(targets[0].tolist()), k)
        found, gradient = both(name, scores, torch.tensor([frames]), targets, torch.tensor([k + moves]), k=k)
        assert found.item() == pytest.approx(loss, rel=1e-9)
        torch.testing.assert_close(gradient[0], torch.from_numpy(slope), rtol=0, atol=1e-12)


@each_kernel
def test_probabilities_of_all_targets_sum_to_one(name: str) -> None:
    scores, *_ = case(1, 3, 1, k=1)
    targets = {(first + 1, *bases) for first, bases, *_ in all_paths(scores[0].numpy(), 1)}
    losses = [
        crf_loss(scores, torch.tensor([3]), torch.tensor([target]), torch.tensor([len(target)]), 1, name).item()
        for target in targets
    ]
    assert len(losses) == 4 * (1 + 4 + 16 + 64)
    assert min(losses) > 0
    assert np.exp(-np.array(losses)).sum() == pytest.approx(1)


@each_kernel
def test_gradcheck(name: str) -> None:
    scores, _, targets, _ = case(4, 4, 5, k=1, seed=2)
    lengths, sizes = torch.tensor([4, 3, 4, 2]), torch.tensor([4, 1, 3, 5])  # the last cannot be aligned
    assert torch.autograd.gradcheck(
        lambda x: crf_loss(x, lengths, targets, sizes, 1, name), (scores.requires_grad_(),), atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(0, 30),
    bases=st.integers(0, 25),
    k=st.integers(1, 4),
    scale=st.sampled_from([0.0, 0.3, 1.0, 5.0, 50.0, 500.0]),
    seed=st.integers(0, 10_000),
)
def test_numba_equals_the_reference(frames: int, bases: int, k: int, scale: float, seed: int) -> None:
    scores, *rest = case(5, frames, bases, k, seed, scale)
    expected, slope = both("reference", scores, *rest, k=k)
    losses, gradient = both("numba", scores, *rest, k=k)
    torch.testing.assert_close(losses, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, slope, rtol=0, atol=1e-9)
    expected, slope = both("reference", scores.float().double(), *rest, k=k)
    losses, gradient = both("numba", scores.float(), *rest, k=k)
    torch.testing.assert_close(losses, expected.float(), rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(gradient, slope.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("frames", "bases", "k"), [(800, 380, 3), (800, 60, 3), (300, 280, 2), (150, 60, 5)])
@pytest.mark.parametrize("scale", [0.1, 2.0, 10.0])
def test_float32_keeps_its_digits_over_long_rows(frames: int, bases: int, k: int, scale: float) -> None:
    scores, _, targets, _ = case(1, frames, bases, k, scale=scale)
    rest = torch.tensor([frames]), targets, torch.tensor([bases])
    expected, slope = both("numba", scores.float().double(), *rest, k=k)
    losses, gradient = both("numba", scores.float(), *rest, k=k)
    torch.testing.assert_close(losses, expected.float(), rtol=1e-6, atol=1e-4)
    assert (gradient - slope).abs().max() < 5e-6


@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_a_confident_model_is_exact_whether_the_label_is_right_or_not(kind: str) -> None:
    # with a wrong label, forward and backward mass of the target part by hundreds of nats
    scores, _, targets, _ = case(1, 200, 90, k=2)
    said = targets[0] if kind == "right" else targets[0].roll(30)
    states = 4 * (said[:-1] - 1) + said[1:] - 1
    places = torch.linspace(0, 199, 88).long()
    scores[0, :, :16] += 8
    scores[0, places, (said[:-2] * 16) + states[1:]] += 30
    rest = torch.tensor([200]), targets, torch.tensor([90])
    expected, slope = both("reference", scores.float().double(), *rest)
    losses, gradient = both("numba", scores.float(), *rest)
    assert (losses.item() > 500) == (kind == "wrong")
    torch.testing.assert_close(losses, expected.float(), rtol=1e-6, atol=1e-4)
    assert (gradient - slope).abs().max() < 5e-6


@pytest.mark.parametrize("refused", [["float32"], ["float32", "float64"]])
def test_each_width_of_number_gives_the_same(refused: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    scores, *rest = case(6, 40, 20, seed=3)
    narrow = both("numba", scores.float(), *rest)
    assert narrow[0].gt(0).sum() >= 3
    # so large a least value that nothing overlaps by enough more
    monkeypatch.setattr(
        crf_numba, "LEAST", {kind: 1.0 if kind.name in refused else least for kind, least in crf_numba.LEAST.items()}
    )
    for one, other in zip(narrow, both("numba", scores.float(), *rest), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@each_kernel
def test_a_row_without_alignment_gives_nothing(name: str) -> None:
    scores, *_ = case(5, 3, 1)
    lengths, sizes = torch.tensor([3, 2, 3, 0, 0]), torch.tensor([5, 5, 1, 3, 2])
    targets = torch.tensor([[1, 1, 2, 3, 4]] * 5)
    assert feasible(lengths, sizes, 2).tolist() == [True, False, False, False, True]
    losses, gradient = both(name, scores, lengths, targets, sizes)
    # the last row has no frame, and its state is one of 16
    assert losses.gt(0).tolist() == [True, False, False, False, True]
    assert losses[4].item() == pytest.approx(np.log(16))
    assert gradient.abs().sum((1, 2)).gt(0).tolist() == [True, False, False, False, False]
    assert torch.isfinite(gradient).all()


@each_kernel
def test_a_forbidden_transition_leaves_numbers(name: str) -> None:
    scores = torch.zeros(2, 3, 20)
    scores[:, :, 4:][:, :, 1::4] = -torch.inf  # no move into C
    targets, sizes = torch.tensor([[1, 3], [1, 2]]), torch.tensor([2, 2])
    losses, gradient = both(name, scores, torch.tensor([3, 3]), targets, sizes, k=1)
    assert losses[0] > 0
    assert losses[1] == 0
    assert torch.isfinite(gradient).all()
    assert gradient[0].any()
    assert not gradient[1].any()


@each_kernel
@pytest.mark.parametrize("shape", [(0, 4, 20), (2, 0, 20)])
def test_nothing_costs_nothing(name: str, shape: tuple[int, int, int]) -> None:
    none = torch.zeros(shape[0], dtype=torch.int64)
    losses, gradient = both(name, torch.zeros(shape), none, none[:, None].expand(-1, 0), none, k=1)
    assert losses.tolist() == [0.0] * shape[0]
    assert gradient.shape == shape


def test_scores_that_are_not_contiguous_give_the_same() -> None:
    scores, *rest = case(4, 20, 9, seed=9)
    turned = scores.transpose(0, 1).contiguous().transpose(0, 1)
    assert not turned.is_contiguous()
    for one, other in zip(both("numba", scores, *rest), both("numba", turned, *rest), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_scores_of_another_width_are_refused() -> None:
    none = torch.zeros(1, dtype=torch.int64)
    assert set(ON_CPU) == set(KERNELS) - {"triton"}
    with pytest.raises(ValueError, match=r"scores of 20 columns; state_len 2 needs 5 \* 4\*\*2"):
        crf_loss(torch.zeros(1, 2, 20), none, none[:, None], none, 2)


@tiny
def test_posteriors_and_cross_entropy_equal_the_sum_over_all_paths(k: int, frames: int) -> None:
    own, other = (case(2, frames, k, k, seed=seed)[0].float() for seed in (1, 2))
    lengths = torch.tensor([frames, max(0, frames - 1)])
    given = posteriors(other, lengths)
    torch.testing.assert_close(given, plain(other, lengths, k), rtol=0, atol=1e-6)  # as on a GPU
    losses = crf_cross_entropy(own.requires_grad_(), lengths, given)
    losses.sum().backward()
    for row, count in enumerate(lengths.tolist()):
        both_scores = [scores.detach()[row, :count].double().numpy() for scores in (own, other)]
        listed = [list(all_paths(scores, k)) for scores in both_scores]
        chances = [np.exp([path[3] for path in paths]) for paths in listed]
        chances = [values / values.sum() for values in chances]
        assert losses[row].item() == pytest.approx(-(chances[1] * np.log(chances[0])).sum(), rel=1e-5, abs=1e-5)
        wanted = np.zeros((2, frames, own.shape[2]))
        for columns, first, second in zip((path[2] for path in listed[0]), *chances, strict=True):
            wanted[0, np.arange(count), columns] += first
            wanted[1, np.arange(count), columns] += second
        np.testing.assert_allclose(given[row], wanted[1], atol=1e-6)
        assert own.grad is not None
        np.testing.assert_allclose(own.grad[row], wanted[0] - wanted[1], atol=1e-6)
