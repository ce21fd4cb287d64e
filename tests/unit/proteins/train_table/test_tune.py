"""Choice between a language model as it is and one with adapters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from biorrn.config.recipe import parse_recipe
from biorrn.nn import hub
from biorrn.proteins.train_table import tune
from biorrn.proteins.train_table.outputs import DATA, Session
from biorrn.proteins.train_table.tune import choose_adapters
from biorrn.training import ensemble

pytest.importorskip("peft", reason="needs the extra plm")


@pytest.mark.parametrize(("least", "left_out", "equal"), [(0.0, False, False), (1.1, True, False), (0.0, False, True)])
def test_adapters_are_left_out_without_weight(
    least: float,
    left_out: bool,
    equal: bool,
    tiny_esm: Path,
    tiny_proteins: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tune, "LEAST", least)
    if equal:  # as with few validation rows
        monkeypatch.setattr(
            ensemble, "stacked_weights", lambda values, true, kinds: np.full(len(values), 1 / len(values))
        )
    monkeypatch.setattr(hub, "_OFFERED", {})
    hub.offer(str(tiny_esm))
    fronts: dict[str, Any] = {"plain": {"name": "onehot"}, "tuned": {"name": "plm", "path": str(tiny_esm), "rank": 2}}
    members = [
        {
            "recipe": {
                "name": name,
                "task": "regression",
                "model": {"frontend": frontend, "core": {"layers": 0}, "pool": ["mean"]},
                "training": {"epochs": 2, "batch_size": 16, "lr": 0.01},
            }
        }
        for name, frontend in fronts.items()
    ]
    recipe = parse_recipe({"name": "own", "task": "regression", "members": members, "combine": "stack"})
    (tmp_path / DATA).write_bytes(tiny_proteins.read_bytes())
    options = {"device": "cpu", "threads": 1, "inside": True}
    run = Session(tmp_path, 0, options, "cpu", print, lambda *given: None)  # type: ignore[arg-type]
    state: dict[str, Any] = {}
    chosen = choose_adapters(recipe, run, state)
    (line,) = state["tuned"]
    assert line.startswith("validation spearman of the members, and their weight: plain ")
    assert line.endswith("the adapters are left out") == left_out
    assert ("each kind counts the same" in line) == equal
    assert json.loads((tmp_path / "choice.json").read_text())["tuned"] == [line]
    assert (chosen == recipe) != left_out
    weights = load_file(tmp_path / "measured" / "weights.safetensors")
    assert any("lora" in name for name in weights) != left_out
    assert len(weights["weights"]) == (1 if left_out else 2)
    np.testing.assert_allclose(weights["weights"].sum(0), 1, rtol=1e-6)
    again = choose_adapters(parse_recipe(chosen.model_dump(mode="json")), run, state)  # as a resumed run does
    assert again == chosen
    assert (load_file(tmp_path / "measured" / "weights.safetensors")["weights"] == weights["weights"]).all()
