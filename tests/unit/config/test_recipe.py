"""Recipes and their YAML: shipped recipes load, unknown keys and odd YAML are refused."""

import pytest
import yaml

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config.recipe import change_recipe, dump_recipe, load_recipe, parse_recipe, recipe_names
from biorrn.config.yaml import DEEPEST, load_yaml

WIDE = "a: &a [x, x]\n" + "".join(f"k{n}: &k{n} [*k{n - 1}, *k{n - 1}]\n".replace("*k0", "*a") for n in range(1, 40))


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_mean_what_they_meant(name: str) -> None:
    text = dump_recipe(load_recipe(name))
    assert load_yaml(text, name) == yaml.safe_load(text)


def test_anchors_may_be_used() -> None:
    text = "base: &b {lr: 0.1, n: 2}\nmore: [*b, *b]\nown: {<<: *b, n: 3}"
    base = {"lr": 0.1, "n": 2}
    assert load_yaml(text, "x") == {"base": base, "more": [base, base], "own": {"lr": 0.1, "n": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: !!binary aGk=", "could not determine a constructor"),
        ("a: !!int x", "a value cannot be read"),
        ("a: 1\nb: 2\na: 3", "key 'a' is given twice"),
        ("a: {b: 1, b: 2}", "key 'b' is given twice"),
        ("a: &a [*a]", "alias 'a' refers to itself"),
        (WIDE, "more than 200,000 values"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"more than {DEEPEST} mappings and lists"),
        ("a: " + "- " * 10_000, "not YAML"),
        ("a: 0x" + "f" * 5000, "out of range"),
        ("a: " + "9" * 5000, "a value cannot be read"),
        ("a: [1", "not YAML at line"),
        ("a: 1\n--- \nb: 2", "not YAML at line 2"),
        ("#" * (1 << 22) + "\n", "4,194,305 characters"),
        ("\x00", "not YAML"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_yaml(text, "r.yaml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("r.yaml: ")


def test_deep_enough_for_a_recipe() -> None:
    assert load_yaml("[" * DEEPEST + "]" * DEEPEST, "x") is not None


@pytest.mark.parametrize(
    "setting",
    [
        *("model.core.hidden=1000000000", "model.core.layers=1000000000", "training.lr=.inf", "training.lr=.nan"),
        *(
            "training.weight_decay=.nan",
            "training.betas=[2.0, 0.9]",
            "training.betas=[0.9]",
            "training.epochs=99999999999",
        ),
        *("chunks={samples: 1000000000000}", "model.frontend.width=1000000", "model.pool=[max, max, 3]"),
    ],
)
def test_sizes_beyond_all_sense_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set: key '"):
        change_recipe(load_recipe("stability_gru"), [setting])


@pytest.mark.parametrize("path", ["../other.yaml", "/etc/passwd.yaml", "x/../../other.yaml", "link.yaml"])
def test_members_stay_beside_their_recipe(path: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("other.yaml", "own/near.yaml"):
        (tmp_path / name).write_text(dump_recipe(load_recipe("stability_gru")))
    (folder / "link.yaml").symlink_to(tmp_path / "other.yaml")
    near, far = folder / "near_too.yaml", folder / "far.yaml"
    near.write_text("name: e\ntask: regression\nmembers: [{recipe: near.yaml}, {recipe: stability_net}]")
    far.write_text(f"name: e\ntask: regression\nmembers: [{{recipe: {path}}}]")
    assert load_recipe(near).members[0].recipe.name == "stability_gru"  # type: ignore[index, union-attr]
    with pytest.raises(BiorrnError, match="found the path"):
        load_recipe(far)


def test_a_user_may_name_a_member_anywhere(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "m.yaml").write_text(dump_recipe(load_recipe("stability_net")))
    ensemble = parse_recipe({"name": "e", "task": "regression", "members": [{"recipe": "stability_gru"}]})
    changed = change_recipe(ensemble, [f"members.0.recipe={tmp_path / 'm.yaml'}"])
    assert changed.members[0].recipe.name == "stability_net"  # type: ignore[index, union-attr]
