"""The layout of a recipe is what torch builds, so that weights can be checked and used without torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from biorrn.config.recipe import Recipe, load_recipe, parse_recipe, recipe_names
from biorrn.nanopore.basecall import engine as callers
from biorrn.nn import engine as predictors
from biorrn.nn.layout import Slot, slots, stride
from biorrn.nn.sequence import build
from biorrn.nn.store import load_model, shipped_models

FACTS: dict[str, Any] = {"outputs": 5, "neighbours": [4, 30]}
CONV = {"name": "conv", "layers": [{"width": 4, "kernel": 5}, {"width": 6, "kernel": 9, "stride": 5}]}
LSTM = {"cell": "lstm", "hidden": 7, "layers": 2}
PROTEIN: dict[str, Any] = {"frontend": {"name": "embedding", "table": "blosum62+scales"}, "core": LSTM, "pool": ["max"]}


def calling(**parts: Any) -> Recipe:
    model = {"frontend": CONV, "core": LSTM | {"direction": "alternating"}, "head": {"name": "crf"}} | parts
    return parse_recipe({"name": "caller", "task": "basecalling", "model": model})


def property(**parts: Any) -> Recipe:
    return parse_recipe({"name": "property", "task": "regression", "model": PROTEIN | parts})


def ensemble(**keys: Any) -> Recipe:
    members = [{"recipe": property().model_dump()}, {"recipe": property(steps=3).model_dump()}]
    return parse_recipe({"name": "two", "task": "regression", "members": members} | keys)


KNOWN = {
    "crf": calling(),
    "crf with all states": calling(head={"name": "crf", "blank": None, "state_len": 2}),
    "crf without bias": calling(head={"name": "crf", "bias": False, "hidden": 4, "activation": "none"}),
    "ctc, both ways": calling(core=LSTM, head={"name": "ctc", "hidden": 3}),
    "property": property(),
    "property with convolution": property(frontend={"name": "embedding", "layers": [{"width": 3, "kernel": 5}]}),
    "property with steps": property(steps=4, pool=["max", "mean", "last"], head={"name": "regression", "hidden": 5}),
    "ensemble": ensemble(),
    "calibrated ensemble": ensemble(calibrate="monotone", neighbours={}),
}
RECIPES = {name: load_recipe(name) for name in recipe_names()}


def settled(recipe: Recipe) -> Recipe:
    """The recipe with what only training rows say."""
    frontend: Any = getattr(recipe.model, "frontend", None)
    filled = {"tokens": {"size": 5}, "variant": {"reference": "MKV"}}.get(getattr(frontend, "name", ""), {})
    if not filled:
        return recipe
    model = recipe.network.model_copy(update={"frontend": frontend.model_copy(update=filled)})
    return recipe.model_copy(update={"model": model})


@pytest.mark.parametrize("name", [*KNOWN, *RECIPES])
def test_names_and_shapes_are_those_of_the_module(name: str) -> None:
    recipe = KNOWN.get(name) or settled(RECIPES[name])
    found = slots(recipe, FACTS)
    if found is None:
        assert name not in KNOWN
        assert callers.unsupported(recipe), "the engine runs it, so its layout must be known"
        assert predictors.unsupported(recipe), "the engine runs it, so its layout must be known"
        return
    model: Any = build(recipe, FACTS)
    made = {key: Slot(tuple(tensor.shape), tensor.is_floating_point()) for key, tensor in model.state_dict().items()}
    assert found == made
    assert stride(recipe) == model.stride


@pytest.mark.parametrize(
    "recipe",
    [
        calling(core=LSTM | {"cell": "gru"}),
        calling(core=LSTM | {"skip": True}),
        calling(core=LSTM | {"layers": 0}),
        calling(core=[LSTM, {"name": "self_attention"}]),
        property(pool=["attention"]),
        property(pool=[]),
        property(frontend={"name": "onehot"}),
        ensemble(members=[{"recipe": property(pool=["multihead"]).model_dump()}]),
        ensemble(members=[{"recipe": "elsewhere"}]),
    ],
)
def test_what_only_torch_runs_has_none(recipe: Recipe) -> None:
    assert slots(recipe, FACTS) is None


@pytest.mark.parametrize("name", shipped_models())
def test_arrays_and_module_hold_the_same(name: str) -> None:
    stored = load_model(name)
    arrays = {key: torch.from_numpy(array) for key, array in stored.tensors.items()}
    assert arrays.keys() == stored.model.state_dict().keys()
    for key, tensor in stored.model.state_dict().items():
        assert torch.equal(arrays[key].to(tensor.dtype), tensor)
        assert torch.equal(torch.from_numpy(stored.tensors[key]), tensor)


@pytest.mark.parametrize("name", ["dna_r9.4.1_fast", "dna_r9.4.1_hac", None])
def test_models_of_the_engines_are_loaded_without_torch(name: str | None, kernel_model: Path) -> None:
    name = name or str(kernel_model)
    told = f"import sys; from biorrn.nn.store import load_model; load_model('{name}').tensors; assert 'torch' not in "
    subprocess.run([sys.executable, "-c", told + "sys.modules"], check=True)
