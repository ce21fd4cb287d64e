"""Widening: the wider network computes the same, its copies differ, and other changes are refused."""

from pathlib import Path

import pytest
import torch

from biorrn.config.recipe import Recipe, change_recipe, load_recipe
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import save_model, start_from
from biorrn.nn.widen import widen

SMALL = ["model.core.hidden=12", "model.frontend.layers.2.width=10", "model.core.layers=3"]


def made(*changes: str, seed: int = 0) -> tuple[Recipe, SequenceModel]:
    torch.manual_seed(seed)
    recipe = change_recipe(load_recipe("fast"), [*SMALL, *changes])
    return recipe, build_model(recipe.network, 5).eval()


def test_computes_the_same_from_which_a_run_starts(tmp_path: Path) -> None:
    recipe, small = made()
    save_model(tmp_path / "small", small, recipe, {"task": "basecalling", "outputs": 5, "normaliser": "medmad",
                                                  "sample_rate": 4000.0, "stride": 5})  # fmt: skip
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


@pytest.mark.parametrize(
    "changes", [["model.core.hidden=8"], ["model.core.layers=2"], ["model.frontend.layers.2.kernel=9"]]
)
def test_refuses_what_is_not_wider(changes: list[str]) -> None:
    assert widen(made()[1].state_dict(), made(*changes)[1].state_dict()) is None
