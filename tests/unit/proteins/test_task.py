"""Losses of regression: order of pairs, missing targets, weights, and the unit that an order is given."""

import math
from pathlib import Path

import pytest
import torch

from biorrn.config.recipe import parse_recipe
from biorrn.nn.store import load_model
from biorrn.proteins import task as regression
from biorrn.proteins.task import LOSSES, pairwise
from biorrn.training.train import train

NAN = float("nan")
ONE = torch.ones(1)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


@pytest.mark.parametrize(
    ("scores", "targets", "expected"),
    [
        ((0.0, 0.0), (1.0, 0.0), math.log(2)),  # no opinion
        ((0.0, 2.0), (1.0, 5.0), math.log1p(math.exp(-2))),  # the right order
        ((2.0, 0.0), (1.0, 5.0), math.log1p(math.exp(2))),  # the wrong one
        ((1.0, 3.0), (2.0, 2.0), 0.0),  # a tie says nothing
        ((1.0,), (2.0,), 0.0),  # nor one row
        ((0.0, 9.0, 0.0), (1.0, NAN, 0.0), math.log(2)),  # nor a missing value
        # gaps 3, 1 and 2 are the weights of the pairs
        ((1.0, 0.0, 0.0), (3.0, 0.0, 2.0), ((3 + 1) * math.log1p(math.exp(-1)) + 2 * math.log(2)) / 6),
    ],
)
def test_worked_pairs(scores: tuple[float, ...], targets: tuple[float, ...], expected: float) -> None:
    true = column(*targets)
    assert pairwise(column(*scores), true, true.isfinite().float()).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_missing_targets_change_nothing(name: str) -> None:
    torch.manual_seed(0)
    outputs, targets, weights = torch.randn(6, 2), torch.randn(6, 2), torch.rand(6)
    targets[4:] = torch.tensor([[NAN, NAN], [NAN, float("inf")]])
    loss = LOSSES[name]
    whole = loss(outputs.requires_grad_(), targets, weights, torch.ones(2), 1.0)
    assert whole.item() == pytest.approx(loss(outputs[:4], targets[:4], weights[:4], torch.ones(2), 1.0).item())
    whole.backward()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
    assert (outputs.grad[4:] == 0).all()
    assert (outputs.grad[:4] != 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_all_targets_missing_is_zero_with_a_gradient(name: str) -> None:
    outputs = torch.randn(3, 1, requires_grad=True)
    loss = LOSSES[name](outputs, torch.full((3, 1), NAN), None, ONE, 1.0)
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad is not None
    assert (outputs.grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_of_weight_two_is_the_row_twice(name: str) -> None:
    outputs, targets = column(0.5, -0.2, 0.1), column(1.0, 0.0, 3.0)
    twice = torch.tensor([0, 0, 1, 2])
    weighted = LOSSES[name](outputs, targets, torch.tensor([2.0, 1.0, 1.0]), ONE, 1.0)
    assert weighted.item() == pytest.approx(LOSSES[name](outputs[twice], targets[twice], None, ONE, 1.0).item())


@pytest.mark.parametrize("name", LOSSES)
def test_the_unit_of_the_target_does_not_matter(name: str) -> None:
    torch.manual_seed(1)
    outputs, targets = torch.randn(5, 1), torch.randn(5, 1)
    plain = LOSSES[name](outputs, targets, None, ONE, 0.5).item()
    assert LOSSES[name](outputs * 40 + 7, targets * 40 + 7, None, ONE * 40, 0.5).item() == pytest.approx(
        plain, rel=1e-4
    )


@pytest.mark.parametrize("name", LOSSES)
def test_the_truth_is_better_than_its_opposite(name: str) -> None:
    targets = column(-1.0, 0.0, 2.0)
    loss = LOSSES[name]
    assert loss(targets, targets, None, ONE, 1.0) < loss(-targets, targets, None, ONE, 1.0)


def test_share_of_the_pairs() -> None:
    outputs, targets = column(0.3, 1.0, -2.0), column(1.0, 0.0, 3.0)
    point, pairs, both = (
        LOSSES[name](outputs, targets, None, ONE, 0.25).item() for name in ("huber", "rank", "huber+rank")
    )
    assert both == pytest.approx(point + 0.25 * pairs)


def test_a_model_of_order_alone_speaks_in_units(tiny_proteins: Path, tmp_path: Path) -> None:
    recipe = parse_recipe(
        {
            "name": "order",
            "task": "regression",
            "model": {"frontend": {"name": "onehot"}, "core": {"hidden": 16, "layers": 1}, "pool": ["mean"]},
            "training": {"loss": "rank", "epochs": 25, "batch_size": 16, "lr": 0.01},
        }
    )
    folder = train(recipe, tiny_proteins, tmp_path / "run", regression, threads=1)  # type: ignore[arg-type]
    data = regression.open_data(tiny_proteins, recipe)
    stored = load_model(folder)
    with torch.inference_mode():
        parts = [regression.collect(*stored.model(batch.x, batch.lengths), batch) for batch in data.valid()]
    scores = regression.score(parts)
    assert scores["spearman"] > 0.9
    assert scores["r2"] > 0.7


# -- censored values: `>90` is missing in the targets and has the bounds (90, inf) -------------------------------------
INF = float("inf")


def bounds(*pairs: tuple[float, float]) -> torch.Tensor:
    """Return the bounds of one target, float32 (B, 1, 2)."""
    return torch.tensor(pairs)[:, None]


@pytest.mark.parametrize("name", ["mse", "huber"])
@pytest.mark.parametrize(
    ("output", "pair", "as_if"),
    [
        *((95.0, (90.0, INF), 95.0), (90.0, (90.0, INF), 90.0), (88.0, (90.0, INF), 90.0)),
        *((3.0, (-INF, 5.0), 3.0), (7.0, (-INF, 5.0), 5.0)),
    ],
)
def test_a_bound_costs_nothing_while_it_is_kept(
    name: str, output: float, pair: tuple[float, float], as_if: float
) -> None:
    given = LOSSES[name](column(output), column(NAN), None, ONE, 1.0, bounds(pair))
    assert given.item() == pytest.approx(LOSSES[name](column(output), column(as_if), None, ONE, 1.0).item())


@pytest.mark.parametrize("name", LOSSES)
def test_rows_without_bounds_are_as_before_and_gradients_are_finite(name: str) -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(5, 2), torch.randn(5, 2)
    targets[4, 0] = NAN
    none = torch.full((5, 2, 2), NAN)
    plain = LOSSES[name](outputs, targets, None, torch.ones(2), 1.0)
    assert LOSSES[name](outputs, targets, None, torch.ones(2), 1.0, none).item() == pytest.approx(plain.item())
    none[4, 0] = torch.tensor([outputs[4, 0].item() + 1, INF])
    loss = LOSSES[name](outputs.requires_grad_(), targets, None, torch.ones(2), 1.0, none)
    loss.backward()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
    assert outputs.grad[4, 0] <= 0  # too low: it has to rise, or no pair tells
    assert name == "rank" or outputs.grad[4, 0] < 0


def test_a_pair_counts_where_the_bound_tells_its_order() -> None:
    """`>90` is above 80, and says nothing beside 95; two lower bounds say nothing of each other."""
    scores, targets = column(0.0, 0.0, 0.0), column(NAN, 80.0, 95.0)
    censored = bounds((90.0, INF), (NAN, NAN), (NAN, NAN))
    given = LOSSES["rank"](scores, targets, None, ONE, 1.0, censored)
    assert given.item() == pytest.approx(math.log(2))
    both = bounds((90.0, INF), (70.0, INF))
    assert LOSSES["rank"](column(0.0, 5.0), column(NAN, NAN), None, ONE, 1.0, both).item() == 0.0
