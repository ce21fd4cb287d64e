"""A run is repeated from its folder alone, and what hinders that is one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import parse_recipe
from biorrn.proteins.predictions import read_prepared
from biorrn.proteins.train_table.folds import join_folds
from biorrn.rerun import compare, read_plan
from biorrn.training.runs import read_history
from biorrn.training.task import load_task
from biorrn.training.train import train

MODEL = {
    "frontend": {"name": "embedding", "width": 4},
    "core": {"hidden": 8, "layers": 2, "dropout": 0.1},
    "pool": ["attention"],
}
RECIPE = {
    "name": "tiny",
    "task": "regression",
    "model": MODEL,
    "training": {"batch_size": 16, "epochs": 50, "max_minutes": 1e-6, "precision": "auto", "lr": 0.01},
}


@pytest.fixture(scope="module")
def run(tiny_proteins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that its time limit ended after one epoch of fifty, in the precision that was measured as faster."""
    folder = tmp_path_factory.mktemp("rerun") / "run"
    return train(parse_recipe(RECIPE), tiny_proteins, folder, load_task("regression"), threads=1, seed=5)


def told(run: Path, **changes: Any) -> None:
    path = run / "provenance.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if changes.get(key, 0) is not None}))


def test_it_is_repeated_by_the_command(
    run: Path, tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    assert run_cli("rerun", run, "-o", again, "--check") == 0
    assert capsys.readouterr().out.startswith("identical: ")
    first, second = (json.loads((folder / "provenance.json").read_text()) for folder in (run, again))
    for key in ("seed", "data", "epochs", "precision", "threads", "processes", "best", "versions", "machine"):
        assert first[key] == second[key], key
    assert first["epochs"] == 1
    one, two = read_history(run / "history.tsv"), read_history(again / "history.tsv")
    names = ["lr", "grad_norm", "grad_norm.frontend", "grad_norm.core.0", "grad_norm.core.1", "grad_norm.head"]
    assert all(one[name] == two[name] > 0 for name in names)
    # and a repetition can be repeated
    assert read_plan(again).options == read_plan(run).options
    assert run_cli("rerun", run, "-o", again, "--check") == 0
    assert "nothing to train" in capsys.readouterr().err


def test_another_result_is_told_with_its_circumstances(
    run: Path, tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    weights = load_file(other / "weights.safetensors")
    name = next(name for name in weights if name.startswith("core"))
    weights[name].flat[0] += 0.5
    with safe_open(other / "weights.safetensors", framework="np") as stream:
        facts = stream.metadata()
    save_file(weights, other / "weights.safetensors", metadata=facts)
    versions = json.loads((other / "provenance.json").read_text())["versions"]
    told(other, versions=versions | {"torch": "1.0"}, machine={"cpu": "abacus"}, data=None)
    found = compare(run, other)
    assert not found.identical
    assert found.lines[0].startswith("different: 1 of ")
    assert f"0.5, in {name}" in found.lines[0]
    assert any(line.startswith("torch: ") and line.endswith("then, 1.0 now") for line in found.lines)
    assert any(line.endswith("then, abacus now") for line in found.lines)
    # a run with the other's weights, repeated, comes out as it should: different from them
    told(other, data=json.loads((run / "provenance.json").read_text())["data"])
    assert run_cli("rerun", other, "-o", tmp_path / "again", "--check") == 1
    assert capsys.readouterr().out.startswith("different: 1 of ")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_differ(value: float, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other")
    weights = load_file(run / "weights.safetensors")
    next(iter(weights.values())).flat[0] = value
    save_file(weights, tmp_path / "other" / "weights.safetensors")
    assert "the largest difference is inf" in compare(run, tmp_path / "other").lines[0]
    assert compare(tmp_path / "other", tmp_path / "other").identical  # bits, not numbers


def test_a_moved_data_file_is_named(run: Path, tiny_proteins: Path, tmp_path: Path) -> None:
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    told(moved, data={"gone/tiny.h5": json.loads((run / "provenance.json").read_text())["data"][str(tiny_proteins)]})
    with pytest.raises(BiorrnError, match=r"gone/tiny\.h5: cannot be found; --data says where"):
        read_plan(moved)
    shutil.copy(tiny_proteins, tmp_path / "elsewhere.h5")
    assert read_plan(moved, data=tmp_path / "elsewhere.h5").data == tmp_path / "elsewhere.h5"
    shutil.copy(tiny_proteins, moved / "tiny.h5")  # beside the model it is found
    assert read_plan(moved).data == moved / "tiny.h5"
    (tmp_path / "elsewhere.h5").write_bytes(b"other")
    with pytest.raises(BiorrnError, match=r"elsewhere\.h5: is not the file of the run: its SHA-256 is"):
        read_plan(moved, data=tmp_path / "elsewhere.h5")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configuration": None}, "has too little information to repeat the run: key 'configuration' is missing"),
        ({"threads": None}, "key 'threads' is missing"),
        ({"data": {}}, "has too little information"),
        ({"data": "tiny.h5"}, "has too little information"),
        ({"processes": "two"}, "has too little information"),
        ({"configuration": {"name": "tiny"}}, "has too little information"),
        ({"configuration": {**RECIPE, "modle": {}}}, "modle"),
        ({"init": {"model": "no/such", "sha256": ""}}, "no/such"),
        ({"init": {"model": "stability", "sha256": "0" * 64}}, "is not the file of the run"),
        ({"files": {"vectors.npz": "0" * 64}}, r"vectors\.npz: is missing"),
    ],
)
def test_a_run_that_tells_too_little(changes: dict[str, Any], message: str, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    told(tmp_path / "run", **changes)
    with pytest.raises(BiorrnError, match=message):
        read_plan(tmp_path / "run")


def test_folds_of_a_table_are_repeated(tiny_proteins: Path, tmp_path: Path, run_cli: Callable[..., int]) -> None:
    """What `biorrn train-table --folds` leaves: a run a fold with its data, and the ensemble that joins them."""
    folder = tmp_path / "tm"
    for place in ("1", "2"):
        (folder / "folds" / place).mkdir(parents=True)
        data = shutil.copy(tiny_proteins, folder / "folds" / place / "data.h5")
        own = parse_recipe(RECIPE | {"name": place})
        train(own, data, folder / "folds" / place, load_task("regression"), threads=1, seed=int(place))
    shutil.copy(tiny_proteins, folder / "data.h5")
    join_folds([folder / "folds" / place for place in ("1", "2")], folder, read_prepared(folder / "data.h5"), 0)
    moved = folder.rename(tmp_path / "moved")
    assert run_cli("rerun", moved, "--check") == 0
    assert (tmp_path / "moved.rerun" / "folds" / "2" / "provenance.json").is_file()
