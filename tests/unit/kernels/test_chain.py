"""The linear-chain CRF: every implementation against enumeration, masked states, padding, and numbers far apart."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from biorrn.kernels import chain
from biorrn.kernels.chain import FEW, KERNELS, chain_loss, dense, viterbi

each_kernel = pytest.mark.parametrize("name", sorted(KERNELS))
Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def case(rows: int = 3, time: int = 4, states: int = 3, seed: int = 0, scale: float = 1.0) -> Case:
    """Return random emissions (float64), lengths, transitions, start and end."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return scale * torch.randn(*shape, generator=draw, dtype=torch.float64)

    lengths = torch.randint(1, time + 1, (rows,), generator=draw)
    lengths[0] = time
    return normal(rows, time, states), lengths, normal(states, states), normal(states), normal(states)


def all_paths(
    emissions: torch.Tensor, transitions: torch.Tensor, start: torch.Tensor, end: torch.Tensor
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield each of the S**T paths through one sequence (T, S) and its score, written from the definition."""
    for path in itertools.product(range(emissions.shape[1]), repeat=len(emissions)):
        score = float(start[path[0]] + end[path[-1]])
        score += sum(float(emissions[t, state]) for t, state in enumerate(path))
        yield path, score + sum(float(transitions[a, b]) for a, b in itertools.pairwise(path))


def listed(emissions: torch.Tensor, *rest: torch.Tensor) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Return every path through one sequence and its probability."""
    paths, scores = zip(*all_paths(emissions, *rest), strict=True)
    weights = np.exp(np.array(scores) - max(scores))
    return list(paths), weights / weights.sum()


@each_kernel
@pytest.mark.parametrize("states", [2, 3, 4])
def test_the_loss_is_that_of_enumeration_with_states_unknown(name: str, states: int) -> None:
    emissions, lengths, transitions, start, end = case(4, 4, states, seed=states)
    targets = torch.randint(-1, states, emissions.shape[:2], generator=torch.Generator().manual_seed(1))
    assert (targets < 0).any()
    found = chain_loss(emissions, lengths, targets, transitions, start, end, name)
    for row, length in enumerate(lengths.tolist()):
        paths, chances = listed(emissions[row, :length], transitions, start, end)
        known = targets[row, :length].tolist()
        fitting = [all(k in (-1, state) for k, state in zip(known, path, strict=True)) for path in paths]
        assert found[row].item() == pytest.approx(-np.log(chances[fitting].sum()), abs=1e-9)


@each_kernel
@pytest.mark.parametrize("time", [1, 4])
def test_path_and_marginals_are_those_of_enumeration(name: str, time: int) -> None:
    emissions, lengths, *rest = case(3, time, 3, seed=5)
    path, marginals = viterbi(emissions, lengths, *rest), chain.marginals(emissions, lengths, *rest, name)
    for row, length in enumerate(lengths.tolist()):
        paths, chances = listed(emissions[row, :length], *rest)
        assert tuple(path[row, :length].tolist()) == paths[int(chances.argmax())]
        for step, state in itertools.product(range(length), range(3)):
            share = chances[[one[step] == state for one in paths]].sum()
            assert marginals[row, step, state].item() == pytest.approx(share, abs=1e-9)
        assert not path[row, length:].any()
        assert not marginals[row, length:].any()


@each_kernel
def test_gradients_are_those_of_differences(name: str) -> None:
    emissions, lengths, *rest = case(2, 3, 3, seed=2)
    targets = torch.tensor([[0, -1, 2], [1, 1, -1]])
    given = [tensor.requires_grad_() for tensor in (emissions, *rest)]

    def loss(emissions: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        return chain_loss(emissions, lengths, targets, *rest, name)  # type: ignore[misc]

    assert torch.autograd.gradcheck(loss, given, atol=1e-6)


@each_kernel
@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_float32_agrees_with_the_reference_in_float64(name: str, scale: float) -> None:
    emissions, lengths, *rest = case(3, 40, 3, seed=7, scale=scale)
    targets = torch.randint(-1, 3, emissions.shape[:2], generator=torch.Generator().manual_seed(3))
    exact = emissions.clone().requires_grad_()
    right = chain_loss(exact, lengths, targets, *rest, implementation="reference")
    right.sum().backward()
    low = emissions.float().requires_grad_()
    found = chain_loss(low, lengths, targets, *(tensor.float() for tensor in rest), implementation=name)
    found.sum().backward()
    torch.testing.assert_close(found.double(), right, rtol=1e-4, atol=1e-3 * scale)
    assert exact.grad is not None
    assert low.grad is not None
    torch.testing.assert_close(low.grad.double(), exact.grad, rtol=0, atol=1e-2)


@each_kernel
def test_padding_and_company_change_nothing(name: str) -> None:
    emissions, lengths, *rest = case(4, 6, 3, seed=9)
    targets = torch.randint(0, 3, emissions.shape[:2], generator=torch.Generator().manual_seed(4))
    together = chain_loss(emissions, lengths, targets, *rest, implementation=name)
    path, marginals = viterbi(emissions, lengths, *rest), chain.marginals(emissions, lengths, *rest, name)
    for row, length in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        alone = emissions[one, :length], lengths[one]
        torch.testing.assert_close(
            chain_loss(*alone, targets[one, :length], *rest, implementation=name), together[one]
        )  # fmt: skip
        assert torch.equal(viterbi(*alone, *rest), path[one, :length])
        torch.testing.assert_close(chain.marginals(*alone, *rest, name), marginals[one, :length])


@each_kernel
def test_nothing_known_and_nothing_there_cost_nothing(name: str) -> None:
    emissions, _, *rest = case(2, 5, 3)
    lengths = torch.tensor([5, 0])
    losses = chain_loss(emissions.requires_grad_(), lengths, torch.full((2, 5), -1), *rest, implementation=name)
    losses.sum().backward()
    torch.testing.assert_close(losses, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-9)
    assert emissions.grad is not None
    assert emissions.grad.abs().max() < 1e-9


def test_decoding_works_where_no_gradient_may_be() -> None:
    emissions, lengths, *rest = case(2, 6, 3, scale=200.0)
    emissions[0, 2] = torch.tensor([-2000.0, -2000.0, 2000.0])
    with torch.inference_mode():
        marginals = [chain.marginals(emissions.float().clone(), lengths, *rest, name) for name in KERNELS]
    torch.testing.assert_close(marginals[0].double(), marginals[1].double(), rtol=0, atol=1e-3)


def test_more_states_than_the_basecaller_has_take_the_reference() -> None:
    emissions, lengths, *rest = case(2, 4, FEW + 1)
    assert chain.default_kernel(emissions) == "reference"
    with pytest.raises(ValueError, match="hold 4"):
        dense(emissions, lengths, *rest)
    assert chain_loss(emissions, lengths, torch.zeros(2, 4, dtype=torch.int64), *rest).isfinite().all()
