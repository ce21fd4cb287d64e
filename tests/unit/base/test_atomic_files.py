"""Outputs appear whole or not at all; what a killed process has left is removed by the next."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from biorrn.base.errors import BiorrnError, InputError
from biorrn.base.files import atomic_path, disk_fault, one_line, scratch_folder, sweep, tsv_line, write_text

KILLED = """
import os, sys
from biorrn.base.files import atomic_path, scratch_folder
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


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("link", ["store/real.gz", "../{folder}/store/real.gz", "second.tsv"])
def test_a_link_stays_and_what_it_names_is_replaced(tmp_path: Path, link: str, exists: bool) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "second.tsv").symlink_to("store/real.gz")
    (tmp_path / "out.tsv").symlink_to(link.format(folder=tmp_path.name))
    if exists:
        (tmp_path / "store/real.gz").write_text("old")
    with atomic_path(tmp_path / "out.tsv") as path:
        assert path.parent == tmp_path / "store"  # on one disk with what it replaces
        assert path.suffix == ".tsv"  # by which writers choose a format
        path.write_text("new")
    assert (tmp_path / "out.tsv").is_symlink()
    assert (tmp_path / "second.tsv").is_symlink()
    assert (tmp_path / "store/real.gz").read_text() == "new"
    assert names(tmp_path / "store") == ["real.gz"]


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(BiorrnError, match="a: cannot be written: Too many levels"), atomic_path(tmp_path / "a"):
        pass


def test_a_redirected_stdout_is_written_and_not_replaced(tmp_path: Path) -> None:
    code = "from biorrn.base.files import write_text\nwith write_text('/dev/stdout') as out: out.write('here')\n"
    with open(tmp_path / "out", "wb") as stream:
        before = os.fstat(stream.fileno()).st_ino
        subprocess.run([sys.executable, "-c", code], check=True, stdout=stream)
    assert (tmp_path / "out").read_text() == "here"
    assert (tmp_path / "out").stat().st_ino == before


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_move = os.fsync, os.replace

    def fsync(handle: int) -> None:
        done.append("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
        real_sync(handle)

    def replace(old: Path, new: Path) -> None:
        done.append("move")
        real_move(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    with write_text(tmp_path / "out.tsv.gz") as stream:
        stream.write("x")
    assert done == ["sync file", "move", "sync folder"]


def test_a_disk_that_refuses_the_content_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("old")

    def fsync(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BiorrnError, match="out: cannot be written: Input/output"), atomic_path(tmp_path / "out") as new:
        new.write_text("new")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"


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


@pytest.mark.parametrize("code", [*range(32), 127, 0x85, 0x2028, 0x2029])
def test_no_text_splits_a_line_or_a_cell(code: int) -> None:
    line = tsv_line(f"a{chr(code)}b", 1, "c")
    assert line.splitlines() == ["a b\t1\tc"]
    assert len(line.split("\t")) == 3
    assert one_line(f"a{chr(code)}b") == "a b"
