"""Checkpoints: which one a run goes on from, whatever has become of them."""

from pathlib import Path

import pytest
import torch

from biorrn.training.checkpoint import BEST, LAST, WholeCheckpoints, keep_precision, open_run, usable


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
