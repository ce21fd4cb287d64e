from pathlib import Path

import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.nn.compact import LARGE, keep_targets, shrink
from biorrn.nn.sequence import build
from biorrn.nn.store import load_model, save_model

NAMES = ["stability", "trypsin", "chymotrypsin"]
INTERVAL = {"quantiles": [0.1 * step for step in range(1, 51)], "rows": 9}
X, LENGTHS = torch.arange(40).reshape(2, 20) % 20, torch.tensor([20, 13])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An ensemble of two networks, one with a hidden layer in its head, with neighbours and a calibration."""
    frontend = {"name": "embedding", "width": 9}
    models = [
        {
            "frontend": frontend,
            "pool": ["mean"],
            "core": {"cell": "gru", "hidden": 128},
            "head": {"name": "regression", "hidden": hidden},
        }
        for hidden in (0, 96)
    ]
    members = [{"recipe": {"name": "one", "task": "regression", "model": model}, "seed": 0} for model in models]
    recipe = parse_recipe(
        {
            "name": "three",
            "task": "regression",
            "members": members,
            "neighbours": {"mismatches": 3},
            "calibrate": "monotone",
        }
    )
    facts = {
        "task": "regression",
        "outputs": 3,
        "targets": [{"name": name, "unit": ""} for name in NAMES],
        "neighbours": [5, 20],
        "weights": [[0.2, 0.5, 1.0], [0.8, 0.5, 0.0]],
        "conformal": dict.fromkeys(NAMES, INTERVAL),
    }
    model = build(recipe, facts)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.startswith("calibration"):
                tensor.copy_(torch.rand(tensor.shape).cumsum(1))
            elif name == "neighbours.tokens":
                tensor.copy_(X[:1].to(torch.uint8))
            else:
                tensor.copy_(torch.rand(tensor.shape))
    save_model(tmp_path, model, recipe, facts)
    return tmp_path


def values(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = load_model(folder).model.eval()(X, LENGTHS)[0]
    return found


def test_shrunk_weights_are_near_and_small_ones_the_same(folder: Path) -> None:
    before, size = load_model(folder), (folder / "weights.safetensors").stat().st_size
    shrink(folder)
    after = load_model(folder)
    assert (folder / "weights.safetensors").stat().st_size < 0.55 * size
    assert (after.facts, after.recipe) == (before.facts, before.recipe)
    for name, tensor in before.model.state_dict().items():
        found = after.model.state_dict()[name]
        assert found.dtype == tensor.dtype
        if tensor.numel() < LARGE:
            assert torch.equal(found, tensor)
        else:
            torch.testing.assert_close(found, tensor, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kept", [["trypsin"], ["chymotrypsin", "stability"]])
def test_kept_targets_have_the_values_that_they_had(folder: Path, kept: list[str]) -> None:
    before = values(folder)
    keep_targets(folder, kept)
    torch.testing.assert_close(values(folder), before[:, [NAMES.index(name) for name in kept]])
    facts = load_model(folder).facts
    assert [sum(column) for column in zip(*facts["weights"], strict=True)] == [1.0] * len(kept)
    assert [target["name"] for target in facts["targets"]] == list(facts["conformal"]) == kept


def test_targets_that_a_model_cannot_keep(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no target 'pepsin'; its targets: stability, trypsin, chymotrypsin"):
        keep_targets(folder, ["pepsin"])
    with pytest.raises(ConfigError, match="only these lose targets"):
        keep_targets("biorrn/pretrained/beta_lactamase", ["scaled_effect"])
