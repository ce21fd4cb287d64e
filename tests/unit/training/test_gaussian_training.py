"""A run that fits a Gaussian process leaves the folder that every training leaves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import load_recipe, parse_recipe
from biorrn.nn.store import load_model
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.training.task import load_task
from biorrn.training.train import train

WILD = "MKTAYIAKQRGWLLE"
EFFECT = {2: "DEKR", 6: "GPA", 9: "WFY"}  # positions from 0, and the residues that raise the value there


def landscape(path: Path, count: int = 90, missing: bool = False, wild: str = WILD, positions: Sequence[int] = ()):
    """Write a prepared file of variants of `wild` with two targets; the last third are for validation."""
    rng = np.random.default_rng(0)
    with protein_writer(path, [{"name": "a", "unit": "u"}, {"name": "b", "unit": ""}]) as writer:
        for number in range(count):
            letters, value = list(wild), 1.0
            for at in rng.choice(list(positions or EFFECT), rng.integers(1, 3), replace=False):
                letters[at] = str(rng.choice(list("ACDEFGHIKLMNPQRSTVWY")))
                value += 1.0 if letters[at] in EFFECT.get(at, "") else -0.1
            second = float("nan") if missing and number % 3 == 0 else -value
            writer.add(f"v{number}", tokens("".join(letters)), [value, second], split=int(number >= 2 * count // 3))
    return path


def recipe(kernel: str = "sites", **changes: Any) -> Any:
    model = {"name": "gaussian_process", "kernel": {"name": kernel}, "steps": 8, "rows": 40, **changes}
    return parse_recipe({"name": "tiny", "task": "regression", "model": model})


@pytest.mark.parametrize("kernel", ["sites", "substitutions", "descriptors", "proteins"])
def test_a_run_folder_predicts_as_the_run_did(tmp_path: Path, kernel: str) -> None:
    data, task = landscape(tmp_path / "a.h5", missing=True), load_task("regression")
    folder = train(recipe(kernel), data, tmp_path / "run", task, threads=1)
    found = {path.name for path in folder.iterdir()}
    assert {"weights.safetensors", "recipe.yaml", "history.tsv", "provenance.json", "run.json"} <= found
    stored = load_model(folder)
    assert stored.recipe == recipe(kernel)
    assert stored.facts["task"] == "regression"
    assert stored.facts["outputs"] == 2
    assert stored.facts["gaussian"]["rows"] == [60, 40]
    assert stored.facts.get("reference", WILD) == WILD
    batch = next(iter(task.open_data(data, recipe(kernel)).valid()))
    values, variances = stored.model.with_variance(batch.x, batch.lengths)
    score = task.score([task.collect(values, batch.lengths, batch)])
    header, line = ((folder / "history.tsv").read_text()).splitlines()
    row = dict(zip(header.split("\t"), map(float, line.split("\t")), strict=True))
    assert row["valid_spearman"] == pytest.approx(score["spearman"], abs=1e-4)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["best"]["value"] == pytest.approx(score["spearman"], abs=1e-4)
    assert variances.shape == values.shape == (30, 2)


def test_effects_that_add_up_are_found(tmp_path: Path) -> None:
    data = landscape(tmp_path / "a.h5", 180)
    for kernel in ("sites", "substitutions"):
        folder = train(recipe(kernel, steps=12, warp="none"), data, tmp_path / kernel, load_task("regression"))
        provenance = json.loads((folder / "provenance.json").read_text())
        assert provenance["best"]["value"] > 0.7


def test_the_same_seed_gives_the_same_model_and_a_finished_run_is_left(tmp_path: Path) -> None:
    data, task = landscape(tmp_path / "a.h5"), load_task("regression")
    one = train(recipe(), data, tmp_path / "one", task, seed=1)
    two = train(recipe(), data, tmp_path / "two", task, seed=1)
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (one, two)]
    assert weights[0] == weights[1]
    before = (one / "weights.safetensors").stat().st_mtime_ns
    train(recipe(), data, one, task, seed=1)
    assert (one / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="another seed"):
        train(recipe(), data, one, task, seed=2)
    train(recipe(), data, one, task, seed=2, replace=True)
    assert (one / "weights.safetensors").stat().st_mtime_ns != before


def test_the_value_of_the_reference_is_learned(tmp_path: Path) -> None:
    data = landscape(tmp_path / "a.h5")
    kernel = {"name": "substitutions", "reference_value": 1.0}
    folder = train(_with(kernel), data, tmp_path / "r", _task())
    x = torch.from_numpy(tokens(WILD)).long()[None]
    values = load_model(folder).model(x, torch.tensor([len(WILD)]))[0]
    assert values[0, 0].item() == pytest.approx(1.0, abs=0.3)


def _with(kernel: dict[str, Any]) -> Any:
    content = recipe("substitutions", warp="none").model_dump(mode="json")
    content["model"]["kernel"] = kernel
    return parse_recipe(content)


def _task() -> Any:
    return load_task("regression")


BAD: dict[str, tuple[Any, str]] = {
    "positions": ({"name": "sites", "positions": [3, 99]}, "allowed is 1..15"),
    "too_many": ({"name": "sites"}, "positions vary; allowed is 1..16"),
}


@pytest.mark.parametrize("name", BAD)
def test_positions_that_do_not_suit_are_refused(tmp_path: Path, name: str) -> None:
    kernel, message = BAD[name]
    wild = WILD if name == "positions" else WILD * 3
    data = landscape(tmp_path / "a.h5", wild=wild, positions=() if name == "positions" else range(40))
    with pytest.raises(ConfigError, match=message):
        train(_with(kernel), data, tmp_path / "run", _task())


def test_proteins_that_are_no_variants_are_refused(tmp_path: Path, tiny_proteins: Path) -> None:
    with pytest.raises(ConfigError, match="not variants of one protein"):
        train(recipe("substitutions"), tiny_proteins, tmp_path / "run", _task())


def test_options_without_a_meaning_are_refused(tmp_path: Path) -> None:
    data = landscape(tmp_path / "a.h5")
    with pytest.raises(ConfigError, match="no first weights"):
        train(recipe(), data, tmp_path / "run", _task(), init="demo_stability")
    with pytest.raises(BiorrnError, match="--seed"):
        train(recipe(), data, tmp_path / "run", _task(), seed=-1)


@pytest.mark.parametrize("name", ["gb1", "beta_lactamase"])
def test_the_recipes_are_of_this_kind(name: str) -> None:
    assert load_recipe(name).model.name == "gaussian_process"  # type: ignore[union-attr]
