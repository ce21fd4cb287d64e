"""Warnings from a history: each kind where it belongs, silence where nothing is wrong, nothing said twice."""

import math

import pytest

from biorrn.config.recipe import change_recipe, load_recipe
from biorrn.training.alarms import ALARMS, Alarms

NAN = math.nan
RECIPE = change_recipe(load_recipe("stability_gru"), ["model.core.cell=rnn", "training.lr=0.01", "training.warmup=0"])


def epoch(number: int, **changes: float) -> dict[str, float]:
    row = {
        "epoch": number, "step": 100.0 * (number + 1), "train_loss": 1 / (number + 1), "valid_loss": 1 / (number + 1),
        "first_loss": 1.0, "grad_norm": 1.0, "skipped_steps": 0, "bad_losses": 0, "far_steps": 0, "grad_time": 0.2,
        "grad_norm.frontend": 0.1, "grad_norm.core.0": 0.1, "grad_norm.core.1": 0.5, "grad_norm.pool": 1e-6,
        "grad_norm.head": 1.0,
    }  # fmt: skip
    return row | changes


def run(*epochs: dict[str, float]) -> list[dict[str, float]]:
    return [epoch(number, **changes) for number, changes in enumerate(epochs)]


STILL = {"train_loss": 1.0, "valid_loss": 1.0}
CASES = {
    "a loss is NaN": (run({"bad_losses": 1, "skipped_steps": 1}), "not_finite", "training.lr 0.002 (now 0.01)"),
    "a gradient is infinite": (run({"skipped_steps": 2}), "not_finite", "the gradient of 2 steps"),
    "the validation loss is NaN": (run({"valid_loss": NAN}), "not_finite", "validation rows was not finite"),
    "every loss is NaN": (run({"bad_losses": 9, "train_loss": NAN, "grad_norm": 0.0}), "not_finite", "training.lr"),
    "many far steps": (run({"far_steps": 5}), "exploding", "training.clip_quantile 0.5"),
    "norms that stay high": (run({}, {"grad_norm": 11.0}, {"grad_norm": 12.0}), "exploding", "rose to 11, from 1"),
    "a loss that rises": (run({"train_loss": 11.0}), "exploding", "model.core.cell lstm (now rnn)"),
    "an early layer without gradient": (run({"grad_norm.core.0": 0.0}), "vanishing_depth", "core.0 gets 0 of"),
    "a front end with little": (run({"grad_norm.frontend": 9e-5}), "vanishing_depth", "model.core.skip true"),
    "no gradient at all": (run({"grad_norm": 1e-9}), "vanishing_depth", "norm of the whole gradient"),
    "steps without gradient": (run({"grad_time": 1e-7}), "vanishing_time", "model.pool [mean, attention]"),
    "a loss that stays": (run(STILL, STILL, STILL), "not_falling", "training.lr 0.002 or 0.03 (now 0.01)"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_names_what_is_wrong_and_what_to_change(name: str) -> None:
    history, kind, words = CASES[name]
    alarms = Alarms(RECIPE)
    alarms.look_back(history)
    assert [alarm.kind for alarm in alarms.given] == [kind]
    (alarm,) = alarms.given
    assert words in alarm.message
    assert "Try " in alarm.message
    assert "\n" not in alarm.message
    assert "\t" not in alarm.message
    assert alarm.epoch == len(history)


def test_every_kind_has_a_case() -> None:
    assert {kind for _, kind, _ in CASES.values()} == set(ALARMS)


@pytest.mark.parametrize(
    "history",
    [
        run({}, {}, {}, {}),
        run({"grad_time": NAN}, {}),
        run({}, {"grad_norm": 30.0}, {}),  # one step far above the others, which clipping takes care of
        run({"far_steps": 4}, {}),
        run({}, {"grad_norm.pool": 0.0}),  # the scores of attention begin near zero
        run({}, STILL, {"valid_loss": 0.4, "train_loss": 1.0}),  # noise in training, falling on the validation rows
        run({"train_loss": 1e-7, "valid_loss": 1e-7, "grad_norm": 1e-6}),  # all is learnt
        [{key: value for key, value in row.items() if "." not in key and key not in ("grad_time", "far_steps")}
         for row in run({}, {}, {})],  # as an earlier version wrote them
    ],
)  # fmt: skip
def test_silent_where_nothing_is_wrong(history: list[dict[str, float]]) -> None:
    alarms = Alarms(RECIPE)
    alarms.look_back(history)
    assert alarms.given == []


def test_said_again_only_where_it_is_ten_times_worse() -> None:
    sizes = [1e-7, 1e-7, 2e-8, 1e-9, 5e-10]
    alarms = Alarms(RECIPE)
    alarms.look_back(run(*({"grad_time": size} for size in sizes)))
    assert [alarm.epoch for alarm in alarms.given] == [1, 4]


def test_a_run_that_is_taken_up_knows_what_was_said() -> None:
    history = run({"grad_time": 1e-7}, {"far_steps": 50}, {"grad_time": 1e-7}, {"grad_time": 1e-9})
    whole, resumed = Alarms(RECIPE), Alarms(RECIPE)
    whole.look_back(history)
    resumed.look_back(history[:2])
    assert len(resumed.given) == 2
    for end in (3, 4):
        resumed.look(history[:end])
    assert resumed.given == whole.given


def test_consequences_of_an_explosion_are_not_told() -> None:
    alarms = Alarms(RECIPE)
    alarms.look_back(run({"train_loss": 1e9, "grad_norm.core.0": 0.0, "grad_time": 0.0}))
    assert [alarm.kind for alarm in alarms.given] == ["exploding"]


def test_what_began_from_weights_need_not_fall() -> None:
    alarms = Alarms(RECIPE, fresh=False)
    alarms.look_back(run(STILL, STILL, STILL, STILL))
    assert alarms.given == []


def test_the_first_epoch_of_float16_looks_for_its_scale() -> None:
    history = run({"skipped_steps": 12}, {"skipped_steps": 4}, {"skipped_steps": 40})
    alarms = Alarms(change_recipe(RECIPE, ["training.precision='16'"]))
    alarms.look_back(history)
    assert [alarm.epoch for alarm in alarms.given] == [3]


def test_cores_of_a_list_are_named_by_their_place() -> None:
    recipe = change_recipe(RECIPE, ["model.core=[{cell: rnn, layers: 2}, {name: self_attention, width: 64}]"])
    alarms = Alarms(recipe)
    alarms.look_back(run({"grad_norm.core.0": 0.0}))
    assert "model.core.0.cell lstm (now rnn)" in alarms.given[0].message
