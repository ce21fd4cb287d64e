"""The time of a cross-validation: shorter networks, fewer members, fewer folds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.proteins.train_table.budget import LEAST_FOLDS, Budget, Cost, fitted_to, parts_of
from biorrn.proteins.train_table.choice import VARIANT

GAUSSIAN: dict[str, Any] = {
    "name": "own_gaussian",
    "task": "regression",
    "model": {"name": "gaussian_process", "kernel": {"name": "proteins"}},
}
NETWORK: dict[str, Any] = VARIANT | {"training": VARIANT["training"] | {"epochs": 60}}
BOTH = parse_recipe({"name": "own", "task": "regression", "combine": "stack",
                     "members": [{"recipe": GAUSSIAN}, {"recipe": NETWORK}]})  # fmt: skip


class Machine:
    """A clock on which a fold takes as long as its members and what is beside them, `slow` times."""

    def __init__(self, seconds: float, slow: float) -> None:
        self.seconds, self.slow = seconds, slow

    def left(self) -> float:
        return self.seconds

    def train(self, recipe: Recipe, run: Path, gaussian: float = 1.0, epoch: float = 0.1, beside: float = 1.0) -> float:
        told = []
        for name, part in parts_of(recipe).items():
            epochs = part.training.epochs if name == NETWORK["name"] else 0
            told.append({"recipe": name, "seconds": self.slow * (epochs * epoch or gaussian), "epochs": epochs})
        run.mkdir(parents=True, exist_ok=True)
        content = told[0] if recipe.members is None else {"members": dict(enumerate(told))}
        (run / "provenance.json").write_text(json.dumps(content))
        took = sum(one["seconds"] for one in told) + self.slow * beside
        self.seconds -= took
        return took


def folds(folder: Path, machine: Machine, number: int = 5, recipe: Recipe = BOTH, **costs: float) -> tuple[Any, ...]:
    """Return the recipes of the folds that are trained, and the lines said."""
    said: list[str] = []
    budget, made = Budget(folder, number, machine.left, said.append), []
    for place in range(1, number + 1):
        if (own := budget.begin(place, recipe)) is None:
            break
        made.append(own)
        budget.end(place, folder / str(place), machine.train(own, folder / str(place), **costs))
    return made, said


def test_where_there_is_time_nothing_changes(tmp_path: Path) -> None:
    made, said = folds(tmp_path, Machine(60, 1.0))
    assert made == [BOTH] * 5
    assert said == []


@pytest.mark.parametrize("slow", [1.5, 2.0, 3.0, 4.0])
def test_a_slow_machine_exceeds_the_time_by_little(tmp_path: Path, slow: float) -> None:
    """The plan of 40 s is that of a machine that is as fast as was measured, on which five folds take 40 s."""
    machine = Machine(40, slow)
    made, said = folds(tmp_path, machine)
    assert machine.seconds > -0.2 * 40
    assert len(made) >= LEAST_FOLDS
    assert said
    assert all("--max-minutes leaves" in line for line in said)


def test_networks_are_shortened_first_then_left_out_then_folds(tmp_path: Path) -> None:
    shorter, said = folds(tmp_path / "a", Machine(40, 1.5))
    assert len(shorter) == 5
    epochs = [parts_of(own)["own_variant"].training.epochs for own in shorter]
    assert epochs[0] == 60 > epochs[1] >= epochs[-1] > 20
    assert "own_variant trains" in said[0]
    without, said = folds(tmp_path / "b", Machine(40, 3.0))
    assert [own.name for own in without] == ["own", *["own_gaussian"] * (len(without) - 1)]
    assert "own_variant is left out" in said[0]
    fewer, said = folds(tmp_path / "c", Machine(40, 1.0), gaussian=9.0)
    assert LEAST_FOLDS <= len(fewer) < 5
    assert f"folds: {len(fewer)} of 5 are trained" in said[-1]
    _, said = folds(tmp_path / "d", Machine(0.4, 1.0), gaussian=0.09, epoch=0.001, beside=0.01)
    assert re.search(r"a fold takes about 0\.\d+ s$", said[-1])


def test_two_folds_are_trained_whatever_the_time_with_what_is_fastest(tmp_path: Path) -> None:
    made, _ = folds(tmp_path, Machine(1, 1.0))
    assert [own.name for own in made] == ["own", "own_gaussian"]
    network = parse_recipe(NETWORK)
    made, _ = folds(tmp_path / "alone", Machine(1, 1.0), recipe=network)
    assert [own.training.epochs for own in made] == [60, 3]


def test_a_resumed_run_decides_as_before(tmp_path: Path) -> None:
    made, said = folds(tmp_path, Machine(40, 3.0))
    assert said
    again, lines = folds(tmp_path, Machine(1e6, 1.0))
    assert again == made
    assert lines == []


def test_an_earlier_training_plans_the_first_fold(tmp_path: Path) -> None:
    before = Cost(9.0, {"own_gaussian": (1.0, 0), "own_variant": (6.0, 60)})
    budget = Budget(tmp_path, 5, lambda: 20.0, lambda line: None, before)
    first = budget.begin(1, BOTH)
    assert first is not None
    assert parts_of(first)["own_variant"].training.epochs < 60 or "own_variant" not in parts_of(first)


def test_members_fit_what_is_left() -> None:
    cost = Cost(9.0, {"own_gaussian": (1.0, 0), "own_variant": (6.0, 60)})
    for seconds in (4.0, 5.0, 6.0, 8.0):
        made, takes, _ = fitted_to(BOTH, [cost], seconds)
        assert takes <= seconds
        assert "own_gaussian" in parts_of(made)
    assert fitted_to(BOTH, [cost], 9.0)[0] is BOTH
