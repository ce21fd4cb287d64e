"""File locks: one process at a time in a folder or on a file; the system releases them when a process ends."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from biorrn.base.errors import BiorrnError

LOCK = ".lock"  # in the folder that is held
PAUSE = 0.2  # seconds between two tries


@contextlib.contextmanager
def exclusive(folder: str | Path, doing: str, wait: float = 0.0) -> Iterator[None]:
    """Lock a folder, which is made where it is absent; `folder/.lock` names the process, and is removed at the end.

    A killed process leaves the file but not the lock. Where the folder is not writable, or the file system has no
    locks, nothing is locked.

    Parameters
    ----------
    doing : str: what this process does there, for the message of another: "training in".
    wait : float: seconds to wait for another process to end.

    Raises
    ------
    BiorrnError: another process holds the folder; names it.
    """
    path = Path(folder) / LOCK
    handle = None
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    if handle is None:
        yield
        return
    handle = hold(handle, path, f"another process{{who}} is {doing} {folder}", wait)
    try:
        with contextlib.suppress(OSError):  # a full disk: then the message names no process
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()} on {platform.node()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def hold(handle: int, path: Path, message: str, wait: float = 0.0) -> int:
    """Take the lock of an open file and return its handle, a new one where the file at the path has been replaced.

    Parameters
    ----------
    handle : int: of the file, open for reading and writing; closed on an error, and when another is returned.
    message : str: of the error; `{who}` is replaced by the process that has the lock, where known.
    wait : float: seconds to wait for it.

    Raises
    ------
    BiorrnError: another process has the lock.
    """
    import fcntl

    until, waiting = time.monotonic() + wait, False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = message.replace("{who}", _who(path))
            if time.monotonic() >= until:
                os.close(handle)
                raise BiorrnError(f"{text}; wait for its end, or end it") from error
            if not waiting:
                print(f"{text}; waiting for its end", file=sys.stderr, flush=True)
                waiting = True
            time.sleep(PAUSE)
            # the other process may have removed the file, whose lock then excludes nobody
        except OSError:
            return handle  # a file system without locks
        else:
            if _same(handle, path):
                return handle
        if not _same(handle, path):
            fresh = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            os.close(handle)
            handle = fresh


def _same(handle: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False


def _who(path: Path) -> str:
    """Return ` (pid 12 on node7)` of a lock file, or of any other the number that Linux knows, or nothing."""
    with contextlib.suppress(OSError, ValueError, UnicodeDecodeError):
        if path.name == LOCK:
            holder = path.read_text(encoding="utf-8")[:80]
            return f" (pid {holder})" if holder[:1].isdigit() else ""
        number = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text(encoding="utf-8").splitlines():
            words = line.split()
            if "FLOCK" in words and words[5].rpartition(":")[2] == number and words[4] != "0":
                return f" (pid {words[4]})"
    return ""
