"""Widening: the wider network computes the same, its copies differ, and other changes are refused."""

from pathlib import Path

import pytest
import torch

from biorrn.config.recipe import Recipe, change_recipe, load_recipe
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import save_model, start_from
from biorrn.nn.widen import widen

FACTS = {"task": "basecalling", "outputs": 5, "normaliser": "medmad", "sample_rate": 4000.0, "stride": 5}
SMALL = ["model.core.hidden=12", "model.frontend.layers.2.width=10", "model.core.layers=3"]


def made(*changes: str, seed: int = 0) -> tuple[Recipe, SequenceModel]:
    torch.manual_seed(seed)
    recipe = change_recipe(load_recipe("fast"), [*SMALL, *changes])
    return recipe, build_model(recipe.network, 5).eval()


def test_computes_the_same_from_which_a_run_starts(tmp_path: Path) -> None:
    recipe, small = made()
    save_model(tmp_path / "small", small, recipe, FACTS)
    _, wide = made(
        "model.core.hidden=29", "model.frontend.layers.2.width=24", "model.frontend.layers.0.width=7", seed=1
    )
    assert start_from(wide, tmp_path / "small") == len(wide.state_dict())
    x, lengths = torch.randn(2, 400, 1), torch.tensor([400, 300])
    with torch.no_grad():
        torch.testing.assert_close(wide(x, lengths)[0], small(x, lengths)[0], rtol=1e-4, atol=1e-5)


def test_copies_of_a_unit_come_apart() -> None:
    _, small = made()
    _, wide = made("model.core.hidden=24")
    found = widen(small.state_dict(), wide.state_dict())
    assert found is not None
    read = found["head.output.1.weight"]  # (256, 24): what reads the last layer
    old = small.state_dict()["head.output.1.weight"]
    copies = [(unit, place) for unit in range(12) for place in range(12, 24)
              if torch.allclose(read[:, unit] + read[:, place], old[:, unit], atol=1e-6)]  # fmt: skip
    assert len(copies) == 12
    for unit, place in copies:
        assert (read[:, unit] - read[:, place]).abs().max() > 0.01


def test_outputs_of_the_last_layer_are_not_copied(tmp_path: Path) -> None:
    recipe, small = made()
    save_model(tmp_path / "small", small, recipe, FACTS)
    _, wide = made("model.core.hidden=24", "model.head.state_len=4", seed=1)
    before = wide.state_dict()["head.output.1.weight"].clone()
    assert start_from(wide, tmp_path / "small") == len(wide.state_dict()) - 2
    assert torch.equal(wide.state_dict()["head.output.1.weight"], before)


@pytest.mark.parametrize("name", ["fast", "quartz", "chiron", "ctc_fast"])
def test_a_network_of_the_same_size_takes_every_tensor(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    first, second = (build_model(recipe.network, 5) for _ in range(2))
    save_model(tmp_path / "first", first, recipe, {**FACTS, "stride": first.stride})
    assert start_from(second, tmp_path / "first") == len(second.state_dict())
    assert all(torch.equal(first.state_dict()[key], tensor) for key, tensor in second.state_dict().items())


@pytest.mark.parametrize("change", ["cell=gru", "direction=bidirectional", "skip=true", "layer_norm=true"])
def test_layers_of_other_kinds_are_not_widened(change: str, tmp_path: Path) -> None:
    """They take the tensors that fit, as they always did."""
    recipe, small = made(f"model.core.{change}")
    save_model(tmp_path / "small", small, recipe, FACTS)
    wide = made(f"model.core.{change}", "model.core.hidden=24", seed=1)[1]
    assert start_from(wide, tmp_path / "small") < len(wide.state_dict()) / 2


@pytest.mark.parametrize(
    "changes", [["model.core.hidden=8"], ["model.core.layers=2"], ["model.frontend.layers.2.kernel=9"]]
)
def test_refuses_what_is_not_wider(changes: list[str]) -> None:
    assert widen(made()[1].state_dict(), made(*changes)[1].state_dict()) is None
