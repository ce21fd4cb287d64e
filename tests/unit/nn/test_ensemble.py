"""Ensembles, and what neighbours add."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config.recipe import Recipe, change_recipe, dump_recipe, load_recipe, parse_recipe, resolve
from biorrn.nn.ensemble import KNOTS, Calibration, Ensemble, combine, each
from biorrn.nn.sequence import build
from biorrn.nn.store import load_model, save_model

FACTS = {"task": "regression", "outputs": 2, "targets": [{"name": name, "unit": ""} for name in "ab"]}
SMALL = {
    "name": "small",
    "task": "regression",
    "model": {"frontend": {"name": "onehot"}, "core": {"hidden": 6, "layers": 1}, "pool": ["mean"]},
}
OTHER = {**SMALL, "model": {"frontend": {"name": "scales"}, "core": {"hidden": 4, "layers": 1}, "pool": ["max"]}}


def of(*members: dict[str, object], **more: object) -> Recipe:
    return parse_recipe({"name": "several", "task": "regression", "members": list(members), **more})


PAIR = of({"recipe": SMALL}, {"recipe": OTHER, "seed": 3, "weight": 2.0}, calibrate="monotone")


@pytest.fixture
def pair() -> Ensemble:
    torch.manual_seed(0)
    model = build(PAIR, FACTS).eval()
    assert isinstance(model, Ensemble)
    return model


def tokens(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        x[row, :length] = torch.randint(1, 22, (length,), generator=generator)
    return x, torch.tensor(lengths)


@torch.no_grad()
def test_it_is_the_weighted_mean_of_its_members(pair: Ensemble) -> None:
    x, lengths = tokens(5, 9, 3)
    plain = Ensemble(pair.members, 2)
    values = each(plain, x, lengths)
    assert values.shape == (2, 3, 2)
    for member, value in zip(plain.members, values, strict=True):
        assert torch.equal(member(x, lengths)[0], value)
    torch.testing.assert_close(plain(x, lengths)[0], values.mean(0))
    plain.weights.copy_(torch.tensor([[1.0, 0.25], [0.0, 0.75]]))
    outputs, same = plain(x, lengths)
    assert torch.equal(same, lengths)
    torch.testing.assert_close(outputs[:, 0], values[0, :, 0])
    torch.testing.assert_close(outputs[:, 1], 0.25 * values[0, :, 1] + 0.75 * values[1, :, 1])
    assert torch.equal(combine(plain, values), outputs)


@torch.no_grad()
def test_one_model_is_an_ensemble_of_one(pair: Ensemble) -> None:
    x, lengths = tokens(5, 9)
    values = each(pair.members[0], x, lengths)
    assert values.shape == (1, 2, 2)
    assert torch.equal(combine(pair.members[0], values), pair.members[0](x, lengths)[0])


@torch.no_grad()
def test_padded_is_alone(pair: Ensemble) -> None:
    x, lengths = tokens(5, 12, 1)
    together = pair(x, lengths)[0]
    for row, length in enumerate(lengths.tolist()):
        alone = pair(x[row : row + 1, :length], lengths[row : row + 1])[0]
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_new_calibration_changes_nothing() -> None:
    values = torch.tensor([[-70.0, 0.25], [3.5, 500.0], [31.0, 0.0]])
    torch.testing.assert_close(Calibration(2)(values), values)


@torch.no_grad()
def test_worked_calibration() -> None:
    line = Calibration(1)
    line.x[0] = torch.arange(KNOTS) * 2.0
    line.y[0] = 10 + torch.arange(KNOTS) * 1.0
    values = torch.tensor([[-3.0], [0.0], [1.0], [62.0], [64.0]])
    assert line(values)[:, 0].tolist() == [7.0, 10.0, 10.5, 41.0, 43.0]
    assert line(torch.full((1, 1), torch.nan)).isnan().all()


@given(st.integers(0, 2**32 - 1))
def test_a_calibration_keeps_ranks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    line = Calibration(1)
    line.x[0] = torch.from_numpy(rng.uniform(0.01, 1, KNOTS).cumsum())
    line.y[0] = torch.from_numpy(rng.uniform(0.001, 1, KNOTS).cumsum())
    values = torch.from_numpy(np.sort(rng.uniform(-3, 20, (500, 1)), 0)).float()
    assert (line(values).diff(dim=0) >= 0).all()


def test_what_is_written_is_read(pair: Ensemble, tmp_path: Path) -> None:
    with torch.no_grad():
        pair.weights.copy_(torch.tensor([[0.1, 0.2], [0.9, 0.8]]))
    save_model(tmp_path, pair, PAIR, FACTS)
    stored = load_model(tmp_path)
    assert stored.recipe == PAIR
    assert not stored.model.training
    names = set(stored.model.state_dict())
    assert {name.split(".")[0] for name in names} == {"members", "weights", "calibration"}
    assert all(torch.equal(stored.model.state_dict()[name], tensor) for name, tensor in pair.state_dict().items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml", "weights.safetensors"]


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("weights", torch.ones(3, 2), r"'weights' has shape \(3, 2\)"),
        ("calibration.x", torch.ones(2, 5), r"'calibration\.x' has shape"),
        ("members.1.head.shift", None, r"'members\.1\.head\.shift' is missing"),
        ("members.2.head.shift", torch.ones(2), r"'members\.2\.head\.shift' is unexpected"),
    ],
)
def test_tensors_that_do_not_belong(
    name: str, tensor: torch.Tensor | None, message: str, pair: Ensemble, tmp_path: Path
) -> None:
    save_model(tmp_path, pair, PAIR, FACTS)
    tensors = load_file(tmp_path / "weights.safetensors")
    changed = {key: value for key, value in {**tensors, name: tensor}.items() if value is not None}
    save_file(changed, tmp_path / "weights.safetensors", metadata={"biorrn": json.dumps(FACTS)})
    with pytest.raises(InputError, match=message):
        load_model(tmp_path)


def test_facts_of_each_member_and_only_of_members() -> None:
    assert isinstance(build(PAIR, {**FACTS, "members": [{}, {"outputs": 2}]}), nn.Module)
    with pytest.raises(ConfigError, match="2 members, but facts of 1"):
        build(PAIR, {**FACTS, "members": [{}]})
    with pytest.raises(ConfigError, match="not inline"):
        build(of({"recipe": "demo_stability"}), FACTS)


# -- recipes ----------------------------------------------------------------------------------------------------------
def test_members_are_found_by_name_and_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    named = of({"recipe": "small.yaml", "seed": 4}, {"recipe": "demo_stability"}, {"recipe": OTHER})
    (tmp_path / "several.yaml").write_text(dump_recipe(named))
    found = load_recipe(tmp_path / "several.yaml")
    assert found.members is not None
    assert [member.recipe for member in found.members] == [
        parse_recipe(SMALL),
        load_recipe("demo_stability"),
        parse_recipe(OTHER),
    ]
    assert found == resolve(named, tmp_path) == resolve(found)
    assert parse_recipe(yaml.safe_load(dump_recipe(found))) == found
    assert "training" not in yaml.safe_load(dump_recipe(found))


def test_recipes_of_one_model_say_nothing_of_members() -> None:
    assert not {"members", "combine", "calibrate"}.intersection(yaml.safe_load(dump_recipe(parse_recipe(SMALL))))


def test_changes_reach_all_members_or_one() -> None:
    changed = change_recipe(PAIR, ["training.epochs=2", "members.1.weight=5", "members.*.recipe.model.core.hidden=3"])
    assert changed.members is not None
    recipes = [member.recipe for member in changed.members]
    assert all(isinstance(recipe, Recipe) for recipe in recipes)
    assert [(recipe.training.epochs, recipe.network.core.hidden) for recipe in recipes] == [(2, 3)] * 2  # type: ignore[union-attr]
    assert [member.weight for member in changed.members] == [1.0, 5.0]
    assert change_recipe(of({"recipe": "demo_stability"}), ["training.lr=0.5"]).members[0].recipe.training.lr == 0.5  # type: ignore[index,union-attr]


FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "neither": ({"members": None}, "key 'model' is missing"),
    "both": ({"model": SMALL["model"]}, "key 'model' cannot be combined with 'members'"),
    "training of its own": ({"training": {"epochs": 3}}, "key 'training' cannot be combined with 'members'"),
    "none": ({"members": []}, "key 'members': found"),
    "an unknown key": ({"members": [{"recipe": SMALL, "sed": 1}]}, "'members.0.sed' is unknown; did you mean 'seed'"),
    "one inside": ({"members": [{"recipe": {**SMALL, "traning": {}}}]}, "is unknown; did you mean 'training'"),
    "a number": ({"members": [{"recipe": 3}]}, "found 3"),
    "no weight": ({"members": [{"recipe": SMALL, "weight": 0}]}, "'members.0.weight': found 0"),
    "a list and a number": (
        {"members": [{"recipe": SMALL, "weight": [1, 0]}, {"recipe": OTHER}]},
        "either each has one number, or each a list of one length",
    ),
    "a target without members": (
        {"members": [{"recipe": SMALL, "weight": [1, 0]}, {"recipe": OTHER, "weight": [1, 0]}]},
        "a target for which every member has weight 0",
    ),
    "a weight below 0": ({"members": [{"recipe": SMALL, "weight": [1, -1]}]}, "'members.0.weight': found"),
    "twice the same": ({"members": [{"recipe": SMALL}] * 2}, "members 0 and 1 have the same recipe and seed"),
    "an ensemble": ({"members": [{"recipe": PAIR.model_dump(mode="json")}]}, "member 0 is an ensemble"),
    "another task": ({"task": "basecalling"}, "'members' are for tasks regression, classification and tagging"),
    "a caller": ({"members": [{"recipe": "fast"}]}, "member 0 is for task 'basecalling'"),
    "nobody": ({"members": [{"recipe": "demo_stabilty"}]}, "unknown; did you mean 'demo_stability'"),
    "combine": ({"combine": "stak"}, "'combine': found 'stak'"),
}


def test_rows_that_are_fitted_are_of_regression_and_classes() -> None:
    assert [one.fitted for one in (PAIR, change_recipe(PAIR, ["training.rows=all"]))] == ["train", None]
    with pytest.raises(ConfigError, match=r"key 'training\.rows' is for tasks regression and classification"):
        change_recipe(load_recipe("fast"), ["training.rows=all"])


@pytest.mark.parametrize("case", FAULTS)
def test_faults_of_recipes(case: str) -> None:
    changes, message = FAULTS[case]
    content = {**copy.deepcopy(PAIR.model_dump(mode="json")), **changes}
    with pytest.raises(BiorrnError) as caught:
        resolve(parse_recipe(content))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_of_an_ensemble_need_members() -> None:
    with pytest.raises(ConfigError, match="key 'combine' is only for a recipe with 'members'"):
        parse_recipe({**SMALL, "combine": "stack"})


@pytest.mark.parametrize("change", ["members.2.seed=1", "members.x.seed=1", "members.-1.seed=1", "members.0.seed.x=1"])
def test_places_that_are_not_there(change: str) -> None:
    with pytest.raises(ConfigError, match="--set: key 'members"):
        change_recipe(PAIR, [change])
