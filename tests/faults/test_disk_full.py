"""The disk is full: one line that says so, nothing half-written, and with space the same command comes to its end."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REASONS = "No space left on device|File too large|its disk has"
PROGRESS = re.compile(r"run/(checkpoints/|history\.tsv|run\.json)|.*\.partial")  # what a run is taken up from


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a file system of some bytes on a folder, or skip."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def check_failed(run: Any) -> None:
    """One line says why."""
    assert run.code == 2, run.error
    assert "Traceback" not in run.error
    last = run.error.splitlines()[-1]
    assert re.fullmatch(rf"biorrn: error: \S+: .*({REASONS}).*", last), run.error


def test_no_file_may_be_larger(server: Any, every: tuple[str, ...], left: Any, tmp_path: Path) -> None:
    """With RLIMIT_FSIZE, which anyone may set."""
    run = server.run(*every, folder=tmp_path, largest=1000)
    check_failed(run)
    assert not [name for name in left(tmp_path) if Path(name).name.startswith(".")]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may mount a small disk")
def test_disk_of_its_own(server: Any, case: Any, left: Any, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, max(4096, sum(case.sizes.values()) * 6 // 10 // 4096 * 4096)):
        run = server.run(*case.words, folder=folder)
        check_failed(run)
        for name, content in left(folder).items():
            if not PROGRESS.match(name):
                assert content == case.whole.get(name), f"{name}: half-written, or left lying about"
        subprocess.run(["mount", "-o", "remount,size=100m", str(folder)], check=True)
        again = server.run(*case.words, folder=folder)
        assert again.code == 0, again.error
        assert left(folder) == case.whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [("predict", "{in}/stability", "{in}/p.fasta"), ("reads", "{in}/reads.blow5")])
def test_standard_output_is_full(server: Any, inputs: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    before = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
    filled = [word.replace("{in}", str(inputs)) for word in words]
    run = server.run(*filled, folder=tmp_path, before=before)
    assert run.code == 2
    assert run.error.splitlines()[-1] == "biorrn: error: standard output: No space left on device"
    assert "Traceback" not in run.error
