"""Norms by depth: together they are the norm of all, and the parts are those of the module tree."""

import pytest
import torch
from torch import nn

from biorrn.config.recipe import Model, cores, load_recipe, recipe_names
from biorrn.nn.sequence import build_model
from biorrn.training.learner import GradientNorms

NETWORKS = [name for name in recipe_names() if isinstance(load_recipe(name).model, Model)]


def gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_make_the_whole_in_every_recipe(name: str) -> None:
    recipe = load_recipe(name)
    network = recipe.network
    if getattr(network.frontend, "name", "") == "variant":
        network = network.model_copy(update={"frontend": network.frontend.model_copy(update={"reference": "MKTAYIAK"})})
    if getattr(network.frontend, "name", "") == "tokens":
        network = network.model_copy(update={"frontend": network.frontend.model_copy(update={"size": 5})})
    model = build_model(network, 5)
    norms = GradientNorms(model)
    gradients(model, 0)
    total = norms.measure()
    wanted = nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()])
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
    assert layers or sum(part.startswith("frontend.") for part in found) > 1  # the depth is that of the front end
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
