"""kill -9 at moments that are chosen by what the command does, not by the clock; then the same command again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# The process tells when it is about to move its n-th file into place, and then waits to be killed.
STOP = """
import os, time
moved, replace = [], os.replace
def waiting(source, target, **options):
    moved.append(target)
    if len(moved) == {number}:
        open({marker!r}, "w").close()
        time.sleep(3600)
    replace(source, target, **options)
os.replace = waiting
"""


def run_until(server: Any, case: Any, folder: Path, number: int, marker: Path) -> Any:
    """Start a command and return it when it is about to move its n-th file into place, or has ended."""
    run = server.start(*case.words, folder=folder, before=STOP.format(number=number, marker=str(marker)))
    while run.poll() is None and not marker.exists():
        time.sleep(0.005)
    return run


def test_killed_with_its_output_unfinished(
    server: Any, case: Any, left: Callable[[Path], dict[str, bytes]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    run = run_until(server, case, folder, 1, tmp_path / "here")
    assert run.kill() == -9, run.error
    found = left(folder)
    assert not found.keys() & case.whole.keys()
    assert any(Path(name).name.startswith(".") for name in found)  # what a kill leaves lying about
    again = server.run(*case.words, folder=folder)
    assert again.code == 0, again.error
    assert left(folder) == case.whole


# run.json, twice; best, last and history of each of three epochs; then what stands at the end
@pytest.mark.parametrize(
    ("name", "number"), [("train protein", 3), ("train protein", 9), ("train protein", 14), ("train signal", 7)]
)
def test_training_killed_between_any_two_files(
    server: Any, case_of: Any, left: Any, tmp_path: Path, name: str, number: int
) -> None:
    case, folder = case_of(name), tmp_path / "run"
    folder.mkdir()
    run = run_until(server, case, folder, number, tmp_path / "here")
    assert run.kill() == -9, run.error
    again = server.run(*case.words, folder=folder)
    assert again.code == 0, again.error
    # the first epoch was saved, and the last one not yet
    if 6 < number < 12:
        assert "resumed from its last complete epoch" in again.error
    assert left(folder) == case.whole


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (("last",), "last.ckpt: is damaged"),
        (("last", "best"), "best.ckpt: is damaged"),
    ],
)
def test_a_damaged_checkpoint_is_left_out(
    server: Any, case_of: Any, left: Any, tmp_path: Path, damaged: tuple[str, ...], said: str
) -> None:
    """As a power cut may leave it; what is whole is gone on from, else the run starts over."""
    case, folder = case_of("train protein"), tmp_path / "run"
    folder.mkdir()
    assert run_until(server, case, folder, 10, tmp_path / "here").kill() == -9
    for name in damaged:
        path = folder / f"run/checkpoints/{name}.ckpt"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again = server.run(*case.words, folder=folder)
    assert again.code == 0, again.error
    assert said in again.error
    assert "Traceback" not in again.error
    assert left(folder) == case.whole


def test_calling_killed_read_by_read(server: Any, case_of: Any, left: Any, tmp_path: Path) -> None:
    """Killed after each read that is kept: none is called twice, none is lost."""
    case, folder = case_of("basecall fastq.gz"), tmp_path / "run"
    folder.mkdir()
    stop = """
import time
from biorrn.base.journal import Journal
append = Journal.append
def waiting(self, *words):
    append(self, *words)
    open({marker!r}, "w").close()
    time.sleep(3600)
Journal.append = waiting
"""
    kept = 0
    for number in range(3):
        marker = tmp_path / f"here{number}"
        run = server.start(*case.words, folder=folder, before=stop.format(marker=str(marker)))
        while run.poll() is None and not marker.exists():
            time.sleep(0.005)
        assert run.kill() == -9, run.error
        if kept:
            assert f"resumed: {kept} reads already done" in run.error
        kept += 1
    again = server.run(*case.words, folder=folder)
    assert again.code == 0, again.error
    assert f"resumed: {kept} reads already done" in again.error
    assert left(folder) == case.whole
