"""A run folder goes on with its own run and with no other."""

from pathlib import Path

import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import change_recipe, load_recipe
from biorrn.nn.store import RECIPE as RECIPE_FILE
from biorrn.nn.store import WEIGHTS
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
    for name in (PROVENANCE, WEIGHTS, RECIPE_FILE, "history.tsv", "warnings.tsv", "choice.json"):
        (folder / name).write_text("{}")
    (folder / "members" / "00_x_0").mkdir(parents=True)
    (folder / "notes.txt").write_text("the user's own")
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


def test_what_differs_is_named_with_both_values(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    open_run(folder, fingerprint(RECIPE, data, 0))
    was = RECIPE.training
    changed = change_recipe(RECIPE, ["training.epochs=1", "training.lr=0.5"])
    with pytest.raises(ConfigError) as caught:
        open_run(folder, fingerprint(changed, data, 3))
    assert f"training.epochs was {was.epochs} and is now 1" in str(caught.value)
    assert f"training.lr was {was.lr} and is now 0.5" in str(caught.value)
    assert "--seed was 0 and is now 3" in str(caught.value)
    with pytest.raises(ConfigError, match="--init was not given"):
        open_run(folder, fingerprint(RECIPE, data, 0) | {"init": "00"})
    data.write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"the content of .*data\.h5"):
        open_run(folder, fingerprint(RECIPE, data, 0))


def test_a_run_that_is_replaced_goes_as_a_whole_whenever_it_is_killed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after any number of files, the folder holds no weights, and the same command begins anew."""
    other, real = fingerprint(RECIPE, data, 1), Path.unlink
    for number in range(1, 9):
        folder = tmp_path / f"run{number}"
        open_run(folder, fingerprint(RECIPE, data, 0))
        finish(folder)
        left = [number]

        def dying(path: Path, *words: object, left: list[int] = left, **more: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            real(path, *words, **more)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", dying)
            with pytest.raises(KeyboardInterrupt):
                open_run(folder, other, replace=True)
        assert (folder / WEIGHTS).exists() == (number == 1)  # before the first file goes, all is as it was
        assert is_finished(folder) == (number == 1)
        assert open_run(folder, other, replace=True) is None
        assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "run.json"]


def test_a_model_of_unknown_origin_is_not_trained_over(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / WEIGHTS).write_text("a copy of a shipped model")
    mark = fingerprint(RECIPE, data, 0)
    with pytest.raises(ConfigError, match=r"holds a model without run\.json"):
        open_run(folder, mark)
    assert (folder / WEIGHTS).exists()
    assert open_run(folder, mark, replace=True) is None
    assert not (folder / WEIGHTS).exists()


def test_damaged_state_is_one_line(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    mark = fingerprint(RECIPE, data, 0)
    open_run(folder, mark)
    (folder / "run.json").write_text("{")
    with pytest.raises(BiorrnError, match="damaged"):
        open_run(folder, mark)
