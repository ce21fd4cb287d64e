"""A run folder goes on with its own run and with no other."""

from pathlib import Path

import pytest
import torch

from biorrn.config import change_recipe, load_recipe
from biorrn.errors import BiorrnError, ConfigError
from biorrn.training.checkpoint import CHECKPOINTS, PROVENANCE, fingerprint, is_finished, open_run

RECIPE = load_recipe("demo_stability")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.h5"
    path.write_bytes(b"one")
    return path


def finish(folder: Path) -> Path:
    """Leave what an ended run leaves."""
    (folder / CHECKPOINTS).mkdir(parents=True)
    for name in ("best.ckpt", "last.ckpt"):
        torch.save({}, folder / CHECKPOINTS / name)
    (folder / PROVENANCE).write_text("{}")
    return folder / CHECKPOINTS / "last.ckpt"


def test_same_run_goes_on(data: Path, tmp_path: Path) -> None:
    folder, mark = tmp_path / "run", fingerprint(RECIPE, data, 0)
    assert open_run(folder, mark) is None
    last = finish(folder)
    assert open_run(folder, mark) == last
    assert open_run(folder, mark, replace=True) == last  # it is no other run
    assert is_finished(folder)


@pytest.mark.parametrize("what", ["recipe", "seed", "data"])
def test_another_run_is_refused_or_replaces(what: str, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    open_run(folder, fingerprint(RECIPE, data, 0))
    finish(folder)
    recipe = change_recipe(RECIPE, ["training.epochs=1"]) if what == "recipe" else RECIPE
    if what == "data":
        data.write_bytes(b"other")
    other = fingerprint(recipe, data, 1 if what == "seed" else 0)
    with pytest.raises(ConfigError, match=what):
        open_run(folder, other)
    assert is_finished(folder)  # a refusal changes nothing
    assert open_run(folder, other, replace=True) is None
    assert not is_finished(folder)
    assert open_run(folder, other) is None  # the folder is the other run's now
    with pytest.raises(ConfigError):
        open_run(folder, fingerprint(RECIPE, tmp_path / "data.h5", 7))


def test_damaged_state_is_one_line(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    mark = fingerprint(RECIPE, data, 0)
    open_run(folder, mark)
    (folder / "run.json").write_text("{")
    with pytest.raises(BiorrnError, match="damaged"):
        open_run(folder, mark)
