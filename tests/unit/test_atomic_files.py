"""Outputs appear whole or not at all; what a killed process has left is removed by the next."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from biorrn.errors import BiorrnError, InputError
from biorrn.files import atomic_path, disk_fault, scratch_folder, sweep

KILLED = """
import os, sys
from biorrn.files import atomic_path, scratch_folder
with atomic_path(sys.argv[1]) as path, scratch_folder(os.path.dirname(sys.argv[1]), "sort") as folder:
    (folder / "part").write_text("half")
    path.write_text("half")
    os.kill(os.getpid(), 9)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.tar.gz"
    kept = [".out.tar.mine.gz", ".out.tar.0123abcd-1.abcdefgh.gz", "out.1-2.abcdefgh"]
    for name in kept:
        (tmp_path / name).touch()
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert done.returncode == -9
    assert len(names(tmp_path)) == len(kept) + 2
    sweep.cache_clear()
    with atomic_path(target) as mine:
        sweep.cache_clear()
        with atomic_path(tmp_path / "other"):
            assert mine.exists()  # of a process that lives
        mine.write_text("whole")
    assert names(tmp_path) == sorted([*kept, "other", target.name])
    assert target.read_text() == "whole"


def test_a_scratch_folder_goes_with_its_content(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "sort") as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".sort.")
        (folder / "part").touch()
    assert names(tmp_path) == []


@pytest.mark.parametrize("length", [1, 150, 240])
def test_long_names_can_be_written(tmp_path: Path, length: int) -> None:
    target = tmp_path / ("x" * length + ".tsv")
    with atomic_path(target) as path:
        path.touch()
    assert names(tmp_path) == [target.name]


def test_a_device_is_written_and_stays_one() -> None:
    with atomic_path("/dev/null") as path:
        path.write_text("gone")
    assert Path("/dev/null").is_char_device()


def test_a_pipe_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_path(pipe) as path, open(path, "wb") as stream:
        stream.write(b"here")
    assert os.read(reader, 10) == b"here"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EDQUOT, "x"), os.strerror(errno.EDQUOT)),
        (
            RuntimeError("file write failed: errno = 28, error message = 'No space left on device', buf"),
            "No space left",
        ),
        (RuntimeError("I/O error: (os error 28)"), "No space left on device"),
        (OSError(errno.EFBIG, "File too large"), "File too large"),
        (ValueError("no space in the name"), None),
        (OSError(errno.ENOENT, "No such file or directory"), None),
    ],
)
def test_a_full_disk_is_known_however_it_is_told(error: Exception, reason: str | None) -> None:
    for told in (error, _wrapped(error)):
        found = disk_fault(told)
        assert (found is None) if reason is None else (found or "").startswith(reason)


def _wrapped(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as cause:
            raise KeyError("a library's own") from cause
    except KeyError as outer:
        return outer


@pytest.mark.parametrize("error", [RuntimeError("disk: No space left on device"), OSError(errno.ENOSPC, "No space")])
def test_the_message_names_the_file_that_was_asked_for(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(BiorrnError, match=r"out\.h5: cannot be written: No space"), atomic_path(tmp_path / "out.h5"):
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [InputError("in.fa", "is empty"), KeyError("a mistake of the code")])
def test_other_errors_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "out.h5"):
        raise error
    assert caught.value is error
    assert names(tmp_path) == []
