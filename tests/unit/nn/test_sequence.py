"""Cores of a recipe: recurrent, self-attention, and several one after another, from YAML to a model and back."""

from pathlib import Path
from typing import Any

import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn.attention import SelfAttention
from biorrn.nn.cells import Stack
from biorrn.nn.sequence import Chain, build_core, build_model
from biorrn.nn.store import load_model, save_model
from biorrn.training.learner import GradientNorms

ATTENTION = {"name": "self_attention", "width": 8, "heads": 2, "feed_forward": 6}
RECURRENT = {"cell": "lstm", "hidden": 5, "layers": 2}
CORES: dict[str, Any] = {
    "recurrent": RECURRENT,
    "self_attention": ATTENTION,
    "recurrent then attention": [RECURRENT, ATTENTION],
    "attention then recurrent": [{**ATTENTION, "window": 2}, {**RECURRENT, "direction": "backward"}],
    "one of a list": [RECURRENT],
}
KINDS = [Stack, SelfAttention, Chain, Chain, Chain]
LENGTHS = torch.tensor([23, 1, 12, 0])


def recipe_of(core: Any, **model: Any) -> config.Recipe:
    parts = {"frontend": {"name": "onehot"}, "core": core, "pool": ["last", "mean"], **model}
    return config.parse_recipe({"name": "tiny", "task": "regression", "model": parts})


@pytest.mark.parametrize("core", list(CORES))
def test_core_states_its_width_and_ignores_padding(core: str) -> None:
    torch.manual_seed(0)
    made = build_core(5, recipe_of(CORES[core]).network.core).eval()
    assert type(made) is KINDS[list(CORES).index(core)]
    x = torch.randn(4, 30, 5)
    with torch.no_grad():
        out, lengths = made(x, LENGTHS)
        assert lengths is LENGTHS
        assert out.shape == (4, 30, made.width)
        assert made.width % len(made.directions) == 0
        for row, length in enumerate(LENGTHS.tolist()):
            assert (out[row, length:] == 0).all()
            if length:
                alone, _ = made(x[row : row + 1, :length], LENGTHS[row : row + 1])
                assert torch.allclose(alone[0], out[row, :length], atol=1e-5)


@pytest.mark.parametrize("core", list(CORES))
def test_recipe_and_model_survive_a_folder(core: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = recipe_of(CORES[core])
    assert config.parse_recipe(recipe.model_dump(mode="json")) == recipe
    model = build_model(recipe.network, 1).eval()
    save_model(tmp_path, model, recipe, {"task": "regression", "targets": [{"name": "a", "unit": ""}], "outputs": 1})
    again = load_model(tmp_path)
    assert again.recipe == recipe
    x = torch.randint(1, 21, (4, 23))
    assert torch.equal(model(x, LENGTHS)[0], again.model(x, LENGTHS)[0])


def test_recipe_of_a_recurrent_core_is_written_as_before() -> None:
    assert set(recipe_of({}).model_dump(mode="json")["model"]["core"]) == set(config.Core.model_fields)
    assert "name" not in config.Core.model_fields


def test_a_key_of_one_core_of_a_list_is_set() -> None:
    changed = config.change_recipe(recipe_of(CORES["recurrent then attention"]), ["model.core.1.heads=4"])
    assert [getattr(core, "heads", None) for core in config.cores(changed.network.core)] == [None, 4]


@pytest.mark.parametrize(
    ("core", "fault"),
    [
        ({"name": "attention"}, "key 'model.core': found {'name': 'attention'}; allowed is name: self_attention"),
        ({**ATTENTION, "heads": 3}, "key 'model.core': width 8 does not divide into 3 heads"),
        ({**ATTENTION, "heads": 8}, "gives 1 each; allowed is an even number"),
        ({**ATTENTION, "hidden": 3}, "key 'model.core.hidden' is unknown"),
        ({**ATTENTION, "window": -1}, "key 'model.core.window': found -1"),
        ([], "key 'model.core': found []"),
        ([RECURRENT, {**ATTENTION, "head": 3}], "key 'model.core.1.head' is unknown; did you mean 'head'?"),
        ([[RECURRENT]], "key 'model.core.0': found [{"),
        ({"hiden": 3}, "key 'model.core.hiden' is unknown; did you mean 'hidden'?"),
        ("lstm", "key 'model.core': found 'lstm'"),
    ],
)
def test_bad_core_is_one_line(core: Any, fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        recipe_of(core)
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_too_large_a_core_is_refused_before_memory_is_asked_for() -> None:
    recipe = recipe_of({**ATTENTION, "width": 1 << 16, "layers": 1000})
    with pytest.raises(ConfigError, match="asks for a model of more than"):
        build_model(recipe.network, 1)


@pytest.mark.parametrize("core", list(CORES))
def test_gradient_norms_name_every_part(core: str) -> None:
    model = build_model(recipe_of(CORES[core]).network, 1)
    norms = GradientNorms(model)
    model(torch.randint(1, 21, (4, 23)), LENGTHS)[0].sum().backward()
    whole = norms.measure()
    norms.keep()
    found = norms.take()
    assert any(part.startswith("core.") for part in found)
    assert sum(norm**2 for norm in found.values()) == pytest.approx(float(whole) ** 2, rel=1e-4)


@pytest.mark.parametrize(
    ("core", "way"),
    [
        ({"direction": "forward"}, "forward"),
        ({"direction": "alternating"}, "both"),
        (ATTENTION, "both"),
        ([{"direction": "forward"}, {**ATTENTION, "causal": True}], "forward"),
        ([{"direction": "backward"}, {**ATTENTION, "causal": True}], "both"),
        ([{"direction": "forward"}, ATTENTION], "both"),
    ],
)
def test_sees(core: Any, way: str) -> None:
    """What is said of a core is what its gradients do."""
    read = recipe_of(core).network.core
    assert config.sees(read) == way
    made = build_core(3, read)
    x = torch.randn(1, 9, 3, requires_grad=True)
    made(x, torch.tensor([9]))[0][0, 4].pow(3).sum().backward()
    assert x.grad is not None
    before, after = bool(x.grad[0, :4].any()), bool(x.grad[0, 5:].any())
    assert (before, after) == (way != "backward", way != "forward")
