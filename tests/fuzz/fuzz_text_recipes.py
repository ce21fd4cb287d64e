"""Recipes, and the text of --set."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import fuzz_text_inputs as inputs
from fuzz_text_readers import Reader


def recipe(path: Path) -> None:
    from biorrn.config.recipe import dump_recipe, load_recipe

    dump_recipe(load_recipe(path))


def setting(path: Path) -> None:
    """Change a recipe by the text of --set."""
    from biorrn.config.recipe import change_recipe, load_recipe

    change_recipe(load_recipe("stability_gru"), [path.read_bytes().decode("utf-8", "replace")])


@cache
def recipes() -> list[str]:
    from importlib import resources

    folder = resources.files("biorrn.recipes")
    return [entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")]


def make_recipe(rng: random.Random) -> bytes:
    """Return a recipe changed as text, or as a mapping."""
    sound = rng.choice(recipes())
    if rng.random() < 0.5:
        return inputs.text(rng, sound)
    return as_yaml(inputs.mapping(rng, parsed(sound.encode())))


@cache
def parsed(recipe: bytes) -> Any:
    import yaml

    return yaml.safe_load(recipe)


def as_yaml(content: Any) -> bytes:
    """Return JSON, which is YAML too, but for the numbers that JSON has not."""
    text = json.dumps(content, ensure_ascii=False).replace("NaN", ".nan").replace("Infinity", ".inf")
    return text.encode("utf-8", "replace")


KEYS = (
    "training.epochs",
    "training.lr",
    "model.core.hidden",
    "model",
    "members.0",
    "model.pool",
    "name",
    "x.y.z",
    "a." * 50,
)


def make_setting(rng: random.Random) -> bytes:
    value = rng.choice((*inputs.WORDS, json.dumps(rng.choice(inputs.VALUES)), "[" * 60, "&a [*a]", "{a: 1, a: 2}"))
    sound = f"{rng.choice(KEYS)}={value}"
    return (inputs.text(rng, sound) if rng.random() < 0.5 else sound.encode("utf-8", "replace")).replace(b"\x00", b"")


RECIPES: dict[str, Reader] = {
    "recipe": Reader("x.yaml", make_recipe, recipe),
    "set": Reader("x.txt", make_setting, setting),
}
