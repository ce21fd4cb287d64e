"""One process at a time: a lock is told of, waited for, and free when its process is gone."""

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from biorrn.base.errors import BiorrnError
from biorrn.base.locks import LOCK, exclusive, hold


def test_held_once_and_free_again(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with exclusive(folder, "training in"):
        assert (folder / LOCK).read_text().startswith(f"{os.getpid()} on ")
        with (
            pytest.raises(
                BiorrnError, match=rf"another process \(pid {os.getpid()} on .+\) is training in .*run; wait"
            ),
            exclusive(folder, "training in"),
        ):
            pass
        assert (folder / LOCK).exists()
    assert not (folder / LOCK).exists()
    with exclusive(folder, "training in"):
        pass


def test_an_error_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), exclusive(tmp_path, "training in"):
        raise ValueError("mine")
    assert not (tmp_path / LOCK).exists()


def test_waiting_ends_when_the_other_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other removes its file as it goes: the one that waits holds a new one."""
    entered, waiting, order = threading.Event(), threading.Event(), []

    class Stderr(io.StringIO):
        def write(self, text: str) -> int:
            if "waiting for its end" in text:
                waiting.set()
            return super().write(text)

    def first() -> None:
        with exclusive(tmp_path, "training in"):
            entered.set()
            waiting.wait(60)
            order.append("first")

    monkeypatch.setattr("sys.stderr", Stderr())
    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with exclusive(tmp_path, "training in", wait=60):
        order.append("second")
        assert (tmp_path / LOCK).exists()
    thread.join()
    assert waiting.is_set()
    assert order == ["first", "second"]


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    script = "import sys\nfrom biorrn.base.locks import exclusive\nwith exclusive(sys.argv[1], 'training in'):\n"
    script += "    print('here', flush=True)\n    sys.stdin.read()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        with (
            pytest.raises(BiorrnError, match=f"pid {process.pid} on "),
            exclusive(tmp_path, "training in"),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / LOCK).exists()
    with exclusive(tmp_path, "training in"):
        pass


def test_a_name_with_braces_is_shown_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "{run} {0}"
    with (
        exclusive(folder, "training in"),
        pytest.raises(BiorrnError, match=r"\{run\} \{0\}"),
        exclusive(folder, "training in"),
    ):
        pass


def test_a_lock_on_a_file_that_was_replaced_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    path.unlink()
    path.write_text("of another")
    held = hold(handle, path, "another process{who} is writing it")
    assert os.path.samestat(os.fstat(held), path.stat())
    os.close(held)
