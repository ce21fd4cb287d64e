"""The training step: schedules, gradients, what is watched."""

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel

from biorrn.config.recipe import Core, Model, cores, load_recipe, recipe_names
from biorrn.nn.batch import Batch
from biorrn.nn.cells import Stack
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import models_of
from biorrn.training.learner import (
    FAR,
    KNOWN,
    TENTHS,
    GradientNorms,
    Learner,
    MovingAverage,
    QuantileClip,
    Watch,
    ahead,
    by_tenth,
    warmup_cosine,
    weighted_mean,
)

ERRORS = torch.tensor([1.0, 2.0, 3.0, 10.0, float("nan"), float("nan"), 20.0])  # NaN: no label


def loss(model: Any, outputs: torch.Tensor, lengths: Any, batch: Batch, recipe: Any) -> torch.Tensor:
    known = outputs.isfinite()
    return outputs[known].sum() / known.sum().clamp(min=1)


def valid_loss(sizes: list[int], share: Any) -> float:
    learner: Any = SimpleNamespace(
        best_model=lambda x, lengths: (x, lengths), recipe=None, _valid_losses=[], _collected=[],
        task=SimpleNamespace(loss=loss, share=share, collect=lambda *_: None),
    )  # fmt: skip
    for index, part in enumerate(ERRORS.split(sizes)):
        Learner.validation_step(learner, Batch(part, torch.ones(len(part), dtype=torch.int64)), index)
    return weighted_mean(learner._valid_losses)


@pytest.mark.parametrize("sizes", [[7], [5, 2], [4, 2, 1], [1] * 7])
def test_the_loss_of_validation_is_that_of_its_labels_however_batched(sizes: list[int]) -> None:
    assert valid_loss(sizes, lambda batch, recipe: float(batch.x.isfinite().sum())) == pytest.approx(36 / 5)


def test_a_loss_without_a_denominator_is_weighted_by_rows() -> None:
    assert valid_loss([3, 4], lambda batch, recipe: None) == pytest.approx((3 * 2 + 4 * 15) / 7)


MODEL = {"frontend": {"name": "onehot"}, "core": {"cell": "gru", "hidden": 4, "layers": 1, "direction": "forward"}}


def model(pool: str) -> SequenceModel:
    from biorrn.config.recipe import Model

    torch.manual_seed(0)
    return build_model(Model.model_validate({**MODEL, "pool": [pool]}), 1)


def test_a_step_is_far_by_the_norms_before_it() -> None:
    watch = Watch(torch.nn.Linear(1, 1), 0.9)
    watch.step(1e9)  # nothing is known yet
    for _ in range(KNOWN + 5):
        watch.step(1.0)
    for norm in (0.9 * FAR, 1.1 * FAR, math.inf, math.nan, 1.0):
        watch.step(norm)
    found = watch.take(torch.tensor([2.0, math.nan, 1.0, math.inf]))
    assert (found["far_steps"], found["bad_losses"], found["first_loss"]) == (1, 2, 2.0)
    watch.begin()
    assert watch.take(torch.zeros(0))["far_steps"] == 0


@pytest.mark.parametrize(("pool", "even"), [("mean", True), ("last", False)])
def test_time_is_measured_on_the_first_batch_and_changes_nothing(pool: str, even: bool) -> None:
    """Through the last state alone, early steps get little; through the mean of all states, all get their part."""
    one, other = model(pool), model(pool)
    x, lengths = torch.randint(1, 21, (3, 60)), torch.tensor([60, 50, 31])
    watch = Watch(one, 0.9)
    watch.begin()
    for _ in range(2):  # of the second nothing may be kept
        one(x, lengths)[0].sum().backward()
        watch.step(1.0)
    assert len(watch._squares) == 1
    for _ in range(2):
        other(x, lengths)[0].sum().backward()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)  # type: ignore[arg-type]
    ratio = watch.take(torch.ones(2))["grad_time"]
    assert (0.1 < ratio <= 1) if even else (0 <= ratio < 0.01)


def test_padding_and_short_rows_do_not_count() -> None:
    gradient = torch.rand(2, 24, 3, generator=torch.Generator().manual_seed(0))
    alone = by_tenth(gradient[:1, :17], torch.tensor([17]))
    together = by_tenth(gradient, torch.tensor([17, TENTHS - 1]))
    torch.testing.assert_close(together, alone)
    assert float(alone.sum()) == pytest.approx(float(gradient[0, :17].square().sum()))


def test_without_a_recurrent_layer_time_is_not_measured() -> None:
    watch = Watch(torch.nn.Module(), 0.9)
    watch.begin()
    assert math.isnan(watch.take(torch.ones(1))["grad_time"])
    core = Stack(3, Core(layers=0))
    holder = torch.nn.Module()
    holder.core = core
    assert Watch(holder, 0.9).layer is None


def test_validation_is_not_listened_to() -> None:
    one = model("mean")
    watch = Watch(one, 0.9)
    watch.begin()
    with torch.no_grad():
        one(torch.ones(1, 12, dtype=torch.long), torch.tensor([12]))
    assert math.isnan(watch.take(torch.ones(1))["grad_time"])


NETWORKS = [name for name in recipe_names() if isinstance(load_recipe(name).model, Model)]


def gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:  # what other models tell is frozen
            parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_make_the_whole_in_every_recipe(name: str) -> None:
    recipe = load_recipe(name)
    network = recipe.network
    if getattr(network.frontend, "name", "") == "variant":
        network = network.model_copy(update={"frontend": network.frontend.model_copy(update={"reference": "MKTAYIAK"})})
    if getattr(network.frontend, "name", "") == "tokens":
        network = network.model_copy(update={"frontend": network.frontend.model_copy(update={"size": 5})})
    model = build_model(network, 5, given=models_of(network.frontend))
    norms = GradientNorms(model)
    gradients(model, 0)
    total = norms.measure()
    wanted = nn.utils.get_total_norm([parameter.grad for parameter in model.parameters() if parameter.requires_grad])
    assert torch.equal(total, wanted)
    norms.keep()
    found = norms.take()
    assert sum(norm**2 for norm in found.values()) == pytest.approx(float(total) ** 2, rel=1e-5)
    layers, parts = sum(core.layers for core in cores(network.core)), [part for part in found if part[:4] == "core"]
    if isinstance(network.core, list):
        assert {part.split(".")[1] for part in parts} == {str(number) for number in range(len(network.core))}
    else:
        assert [part for part in parts if part != "core"] == [f"core.{number}" for number in range(layers)]
    assert list(found)[-1] == "head"
    assert layers or any(part.startswith("frontend.") for part in found)  # the depth is that of the front end
    for part in found:
        assert part.split(".")[0] in dict(model.named_children())


def test_mean_over_the_steps_that_are_kept() -> None:
    model = build_model(load_recipe("demo_stability").network, 1)
    norms, each = GradientNorms(model), []
    for seed in range(3):
        gradients(model, seed)
        norms.measure()
        if seed != 1:
            norms.keep()
            each.append({name: module for name, module in _own(model).items()})
    found = norms.take()
    assert found == pytest.approx({part: sum(one[part] for one in each) / 2 for part in found}, rel=1e-5)
    assert set(norms.take().values()) == {0.0}  # begun anew


def test_a_part_without_gradient_has_norm_zero() -> None:
    model = build_model(load_recipe("demo_stability").network, 1)
    norms = GradientNorms(model)
    gradients(model, 0)
    for parameter in model.head.parameters():
        parameter.grad = None
    norms.measure()
    norms.keep()
    assert norms.take()["head"] == 0.0
    for parameter in model.parameters():
        parameter.grad = None
    assert float(norms.measure()) == 0.0


def _own(model: nn.Module) -> dict[str, float]:
    parts = {"core.0": model.core, "pool": model.pool, "head": model.head}
    return {
        name: float(nn.utils.get_total_norm([parameter.grad for parameter in part.parameters()]))  # type: ignore[misc]
        for name, part in parts.items()
    }


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


def test_the_moving_average_is_that_of_torch_also_when_resumed() -> None:
    def update(averages: list[torch.Tensor], current: list[torch.Tensor], steps: torch.Tensor) -> None:
        torch._foreach_lerp_(averages, current, 1 - min(0.5, (1 + int(steps)) / (10 + int(steps))))

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    own, other = MovingAverage(net, 0.5), AveragedModel(net, multi_avg_fn=update)
    for step in range(15):
        with torch.no_grad():
            for values in (*net.parameters(), net[1].running_mean):
                values.add_(torch.randn_like(values))
        if step == 6:
            resumed = MovingAverage(net, 0.5)
            resumed.update_parameters(net)
            resumed.load_state_dict(own.state_dict())
            own = resumed
        own.update_parameters(net)
        other.update_parameters(net)
        assert own.state_dict().keys() == other.state_dict().keys()
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in own.state_dict().items())


def test_batches_made_ahead_come_in_order_and_few_ahead() -> None:
    made = []

    def make() -> Iterator[int]:
        for number in range(9):
            made.append(number)
            yield number

    source = ahead(make(), 2)
    assert next(source) == 0
    assert len(made) <= 3
    assert list(source) == list(range(1, 9))
    assert list(ahead([])) == []


def test_an_error_of_the_thread_that_makes_batches_is_raised() -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("a damaged row")

    source = ahead(fail())
    assert next(source) == 1
    with pytest.raises(ValueError, match="a damaged row"):
        next(source)
