"""Fast cells against their equations one by one, and what every cell keeps: states, any batch, one step, half types."""

import pytest
import torch
from torch import Tensor, nn

from biorrn.base.compute import has_bfloat16
from biorrn.config import recipe as config
from biorrn.nn.cells import CELLS, Layer, Stack, initialise
from biorrn.nn.cells_reference import REFERENCES

CELL = pytest.mark.parametrize("cell", list(CELLS))


def pair(cell: str, inputs: int = 5, hidden: int = 7, kind: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module]:
    """Return a fast cell and its reference with the same weights, none of them 0."""
    torch.manual_seed(1)
    fast = CELLS[cell](inputs, hidden, batch_first=True).to(kind)
    slow = REFERENCES[cell](inputs, hidden, batch_first=True).to(kind)
    slow.load_state_dict(fast.state_dict(), strict=True)
    return fast, slow


def parts(state: object) -> list[Tensor]:
    return list(state) if isinstance(state, tuple) else [state]  # type: ignore[list-item]


def state_of(cell: str, rows: int, hidden: int, kind: torch.dtype) -> object:
    made = tuple(torch.randn(1, rows, hidden, dtype=kind) for _ in range(2))
    return made if cell == "lstm" else made[0]


def gradients(cell: nn.Module, x: Tensor, state: object, weights: Tensor) -> list[Tensor]:
    """Return outputs, last state and the gradients of a weighted sum of both, for inputs, state and parameters."""
    x = x.clone().requires_grad_()
    starts = [part.clone().requires_grad_() for part in parts(state)]
    outputs, last = cell(x, tuple(starts) if isinstance(state, tuple) else starts[0])
    loss = (outputs * weights).sum() + sum(part.square().sum() for part in parts(last))
    loss.backward()
    named = dict(cell.named_parameters())
    return [outputs, *parts(last), x.grad, *(part.grad for part in starts), *(named[key].grad for key in sorted(named))]


def test_there_is_a_reference_of_every_cell() -> None:
    assert list(REFERENCES) == list(CELLS)


@CELL
@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (3, 1), (4, 50), (17, 9)])
def test_fast_cell_equals_its_equations(cell: str, rows: int, steps: int) -> None:
    """Outputs, states and gradients, both in float32, to 1e-5 of the largest number of each; the exact one in between.

    A gradient of a weight is a sum over rows and steps, so that its last digit is that of the sum.
    """
    exact, _ = pair(cell, kind=torch.float64)
    fast, slow = pair(cell)
    exact.load_state_dict({name: weight.double() for name, weight in fast.state_dict().items()})
    x, weights = torch.randn(rows, steps, 5), torch.randn(rows, steps, 7)
    state = state_of(cell, rows, 7, torch.float32)
    wide = tuple(part.double() for part in parts(state))
    truth = gradients(exact, x.double(), wide if cell == "lstm" else wide[0], weights.double())
    for found, other, expected in zip(
        gradients(fast, x, state, weights), gradients(slow, x, state, weights), truth, strict=True
    ):
        assert found.shape == other.shape == expected.shape
        scale = max(1.0, float(expected.detach().abs().max()))
        assert float((found - other).detach().abs().max()) <= 1e-5 * scale
        assert float((found - expected).detach().abs().max()) <= 1e-5 * scale


@CELL
def test_fast_cell_equals_its_equations_in_float64(cell: str) -> None:
    fast, slow = pair(cell, kind=torch.float64)
    x, weights = torch.randn(3, 20, 5, dtype=torch.float64), torch.randn(3, 20, 7, dtype=torch.float64)
    state = state_of(cell, 3, 7, torch.float64)
    for found, expected in zip(gradients(fast, x, state, weights), gradients(slow, x, state, weights), strict=True):
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10)


@CELL
def test_gradient_is_that_of_small_differences(cell: str) -> None:
    fast, _ = pair(cell, 2, 3, torch.float64)
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in fast.named_parameters()]

    def outputs(x: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(fast, dict(zip(names, weights, strict=True)), (x,))[0]

    if cell == "irnn":  # where no kink is near: beside one, differences tell nothing
        fast.bias_ih_l0.data.fill_(2.0)
        fast.weight_hh_l0.data.mul_(0.1)
    assert torch.autograd.gradcheck(outputs, (x, *fast.parameters()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@CELL
def test_cuda_equals_the_cpu(cell: str) -> None:
    fast, _ = pair(cell, kind=torch.float64)
    x, weights = torch.randn(3, 40, 5, dtype=torch.float64), torch.randn(3, 40, 7, dtype=torch.float64)
    state = state_of(cell, 3, 7, torch.float64)
    expected = gradients(fast, x, state, weights)
    fast.zero_grad()
    there = tuple(part.cuda() for part in parts(state))
    found = gradients(fast.cuda(), x.cuda(), there if cell == "lstm" else there[0], weights.cuda())
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one.cpu(), other, rtol=1e-8, atol=1e-8)


@CELL
def test_in_parts_as_whole(cell: str) -> None:
    fast, _ = pair(cell)
    x = torch.randn(3, 20, 5)
    whole, last = fast(x)
    first, state = fast(x[:, :6])
    second, end = fast(x[:, 6:], state)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)
    for found, expected in zip(parts(end), parts(last), strict=True):
        assert found.shape == (1, 3, 7)
        assert torch.allclose(found, expected, atol=1e-6)


@CELL
def test_time_first_is_the_same(cell: str) -> None:
    fast, slow = pair(cell)
    other, other_slow = CELLS[cell](5, 7), REFERENCES[cell](5, 7)
    x = torch.randn(4, 9, 5)
    for made, model in ((other, fast), (other_slow, slow)):
        made.load_state_dict(model.state_dict())
        assert torch.allclose(made(x.transpose(0, 1))[0].transpose(0, 1), model(x)[0], atol=1e-6)


@CELL
def test_bfloat16_autocast_is_near_and_trains(cell: str) -> None:
    if cell == "lstm" and not has_bfloat16():
        pytest.skip("torch's LSTM cannot run in bfloat16 on this processor")
    fast, _ = pair(cell)
    x = torch.randn(4, 30, 5)
    expected, _ = fast(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, state = fast(x)
        again, _ = fast(x, state)
    assert torch.allclose(outputs.float(), expected, atol=0.1)
    (outputs.float().square().sum() + again.float().sum()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in fast.parameters())


@CELL
def test_model_in_bfloat16_gives_bfloat16(cell: str) -> None:
    fast = CELLS[cell](5, 7, batch_first=True).to(torch.bfloat16)
    outputs, state = fast(torch.randn(2, 3, 5, dtype=torch.bfloat16))
    assert outputs.dtype == torch.bfloat16
    assert all(part.dtype == torch.bfloat16 for part in parts(state))


@CELL
def test_it_can_learn_the_first_step_by_heart(cell: str) -> None:
    torch.manual_seed(0)
    core = Stack(4, config.Core(cell=cell, hidden=16, layers=1, direction="forward"))  # type: ignore[arg-type]
    head = nn.Linear(16, 1)
    x, lengths = torch.randn(8, 6, 4), torch.full((8,), 6)
    target = x[:, 0, :1].sign()
    optimiser = torch.optim.Adam([*core.parameters(), *head.parameters()], 0.03)
    for _ in range(120):
        loss = (head(core(x, lengths)[0][:, -1]) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05


def test_identity_network_starts_as_a_sum_of_what_it_sees() -> None:
    torch.manual_seed(0)
    cell = Layer("irnn", 3, 6, "f").cells[0]
    assert torch.equal(cell.weight_hh_l0, torch.eye(6))
    x = torch.rand(2, 40, 3)
    seen = torch.relu(x[:, :1] @ cell.weight_ih_l0.T)
    outputs, _ = cell(torch.cat([x[:, :1], torch.zeros(2, 39, 3)], 1))
    assert torch.allclose(outputs, seen.expand_as(outputs))


@CELL
def test_initial_biases_are_zero_but_the_forget_gates(cell: str) -> None:
    made = CELLS[cell](4, 6, batch_first=True)
    initialise(made)
    total = sum(weight.abs().sum() for name, weight in made.named_parameters() if name.startswith("bias"))
    assert float(torch.as_tensor(total).detach()) == (6.0 if cell == "lstm" else 0.0)
