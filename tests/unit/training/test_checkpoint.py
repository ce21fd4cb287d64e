"""Checkpoints: written, read, damaged and hostile ones refused."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config.recipe import change_recipe, load_recipe
from biorrn.nn.store import RECIPE as RECIPE_FILE
from biorrn.nn.store import WEIGHTS
from biorrn.training.checkpoint import (
    BEST,
    CHECKPOINTS,
    LAST,
    PROVENANCE,
    WholeCheckpoints,
    fingerprint,
    is_finished,
    keep_precision,
    open_run,
    usable,
)

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
    finish(folder)
    with pytest.raises(ConfigError):
        open_run(folder, fingerprint(RECIPE, tmp_path / "data.h5", 7))


def test_what_differs_is_named_with_both_values(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    open_run(folder, fingerprint(RECIPE, data, 0))
    finish(folder)
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


def save(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    WholeCheckpoints().save_checkpoint({"weights": torch.arange(100), "epoch": 3}, path)


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 255
    path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "bit": bytes(changed)}[how])


def test_what_is_saved_is_loaded_and_nothing_lies_beside(tmp_path: Path) -> None:
    path = tmp_path / "c" / LAST
    save(path)
    found = WholeCheckpoints().load_checkpoint(path, weights_only=True)
    assert found["epoch"] == 3
    assert torch.equal(found["weights"], torch.arange(100))
    assert [entry.name for entry in path.parent.iterdir()] == [LAST]


@pytest.mark.parametrize("how", ["empty", "half"])
@pytest.mark.parametrize(
    ("there", "damaged", "chosen"),
    [
        ((), (), None),
        ((BEST,), (), BEST),
        ((LAST,), (), None),  # the weights that the run would end with are gone
        ((BEST, LAST), (), LAST),
        ((BEST, LAST), (LAST,), BEST),
        ((BEST, LAST), (BEST,), None),
        ((BEST, LAST), (BEST, LAST), None),
    ],
)
def test_which_is_gone_on_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, there: tuple[str], damaged: tuple[str], chosen: str
) -> None:
    folder = tmp_path / "checkpoints"
    for name in there:
        save(folder / name)
    for name in damaged:
        damage(folder / name, how)
    assert usable(folder) == (folder / chosen if chosen else None)
    said = capsys.readouterr().err
    assert all(f"{name}: is damaged" in said for name in damaged)
    assert folder.exists() == bool(chosen)


def test_a_bit_that_has_turned_is_found(tmp_path: Path) -> None:
    for name in (BEST, LAST):
        save(tmp_path / "c" / name)
    damage(tmp_path / "c" / LAST, "bit")
    assert usable(tmp_path / "c") == tmp_path / "c" / BEST


def test_the_precision_of_a_run_is_that_of_its_beginning(tmp_path: Path) -> None:
    """One that is measured may turn out otherwise when a run is taken up."""
    open_run(tmp_path, {"recipe": "a", "data": {"x": "b"}, "seed": 0})
    assert keep_precision(tmp_path, "cpu", lambda: "bf16") == "bf16"
    open_run(tmp_path, {"recipe": "a", "data": {"x": "b"}, "seed": 0})
    assert keep_precision(tmp_path, "cpu", lambda: "32") == "bf16"
    assert keep_precision(tmp_path, "cuda", lambda: "32") == "32"
    open_run(tmp_path, {"recipe": "other", "data": {"x": "b"}, "seed": 0}, replace=True)
    assert keep_precision(tmp_path, "cpu", lambda: "32") == "32"


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", [BEST, LAST])
@pytest.mark.parametrize("weights_only", [None, False, True])
def test_no_object_of_a_checkpoint_is_made(name: str, weights_only: bool | None, tmp_path: Path) -> None:
    harm = Harm(tmp_path / "harmed")
    torch.save({"state_dict": {}, "epoch": 1, "callbacks": harm}, tmp_path / name)
    with pytest.raises(InputError, match="not a checkpoint of tensors and plain values"):
        WholeCheckpoints().load_checkpoint(tmp_path / name, weights_only=weights_only)
    assert not harm.path.exists()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / LAST).write_bytes(b"no checkpoint")
    with pytest.raises(InputError):
        WholeCheckpoints().load_checkpoint(tmp_path / LAST)
