"""What is counted while a model trains: far steps, and the gradient over the steps of a sequence."""

import math

import pytest
import torch

from biorrn.config.recipe import Core
from biorrn.nn.cells import Stack
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.training.learner import FAR, KNOWN, TENTHS, Watch, by_tenth

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
