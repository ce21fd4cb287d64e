"""Reading by libraries that a damaged file can crash: in a process of their own, which may die in place of this one.

HDF5 and Arrow are written in C and C++; a flipped bit in a file can end their process (a signal), send it round in
circles, or make it ask for all the memory. The reader therefore runs in a child process, started once and kept for many
files, which streams records back through a pipe; when it dies the file is named in one line, and the next file has a
new child. The child is started anew and not forked, since threads of torch and numba do not survive a fork.

Reading in another process costs one copy through the pipe, and goes on while this process computes.
"""

import atexit
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.errors import BiorrnError, InputError
from biorrn.readers.fields import MAX_SAMPLES, OnProblem, stop
from biorrn.readers.wire import HEAD, MAX_JSON, decode

ROOT = Path(__file__).resolve().parents[2]
START = "import sys; sys.path.insert(0, sys.argv[1]); from biorrn.readers.guard_child import main; main()"
COMPUTING = 30.0  # seconds of CPU time without a read: a hundred million samples take one
SILENCE = 900.0  # seconds of waiting for a read: disks may be slow
DISCARD = 20.0  # seconds in which a child that is no longer asked has to come to an end
WAIT = 5.0  # seconds of one wait of many
KEPT = 2  # idle children that stay
PIPE = 1 << 20  # bytes that a child may read ahead


class Died(Exception):
    """The child ended, or said what no child says; the text is what is known of its end."""


class Guard:
    """One child process; it reads one file at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  what it says before it is ready; closed with the child
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", START, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=os.environ | threads,
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._in, self._out = self._child.stdin.fileno(), self._child.stdout.fileno()
        with contextlib.suppress(OSError, AttributeError):  # Linux; elsewhere pipes have the size that they have
            fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, PIPE)
        self._ready = False

    def ask(self, reader: str, path: Path, more: tuple[str | None, ...], seconds: float) -> None:
        """Send a request.

        Raises
        ------
        Died: there is no child any more.
        RuntimeError: it could not be started.
        """
        if not self._ready:
            try:
                self._ready = bool(self.answer(SILENCE)["ready"])
            except Died as end:
                self._words.seek(0)
                said = self._words.read().decode("utf-8", "replace").strip()
                raise RuntimeError(f"the process that reads files could not be started: {end}\n{said}") from None
        request: dict[str, Any] = {"reader": reader, "path": str(path), "more": more}
        request |= {"folder": os.getcwd(), "seconds": seconds}
        self._write(json.dumps(request).encode() + b"\n")

    def answer(self, seconds: float) -> dict[str, Any]:
        """Return the child's next message; `Died` where none comes."""
        (head,) = self._read(seconds, HEAD.size)
        text, arrays = HEAD.unpack(head)
        if text > MAX_JSON or arrays > 16 * MAX_SAMPLES:
            raise Died("it answers in no known way")
        try:
            words, data = self._read(seconds, text, arrays)
            message = decode(words.tobytes(), data)
        except (ValueError, KeyError, TypeError) as error:
            raise Died("it answers in no known way") from error
        if not isinstance(message, dict):
            raise Died("it answers in no known way")
        return message

    def alive(self) -> bool:
        """Return whether there is still a child."""
        return self._child.poll() is None

    def discard(self) -> bool:
        """Have the child end what it reads; return whether it did."""
        with contextlib.suppress(Died):
            self._write(b"\n")
            while "end" not in self.answer(DISCARD):
                pass
            return True
        return False

    def close(self) -> str:
        """End the child and return how it ended."""
        if os.getpid() != self.owner:  # a fork of the one that asked: the child is not its own
            return ""
        self._child.kill()
        for file in (self._child.stdin, self._child.stdout, self._words):
            with contextlib.suppress(OSError):
                file.close()  # type: ignore[union-attr]
        return _manner(self._child.wait())

    def _write(self, line: bytes) -> None:
        try:
            os.write(self._in, line)  # shorter than a pipe holds, and the child has read all before it
        except OSError as error:
            raise Died(self._end()) from error

    def _read(self, seconds: float, *sizes: int) -> list[Any]:
        """Return so many bytes each, as uint8 arrays."""
        parts = [np.empty(size, np.uint8) for size in sizes]
        left = [part.data for part in parts if len(part)]
        while left:
            if not self._heard(seconds):
                raise Died(f"no answer for {seconds:g} seconds")
            got = os.readv(self._out, left)
            if not got:
                raise Died(self._end())
            while left and got >= len(left[0]):
                got -= len(left.pop(0))
            if got:
                left[0] = left[0][got:]
        return parts

    def _heard(self, seconds: float) -> bool:
        """Return whether an answer comes; waits are short and counted, so that the sleep of a machine is but one."""
        return any(select.select([self._out], [], [], WAIT)[0] for _ in range(max(1, round(seconds / WAIT))))

    def _end(self) -> str:
        try:
            return _manner(self._child.wait(10))
        except subprocess.TimeoutExpired:
            return "it closed its pipe"


def _manner(code: int) -> str:
    """Return how a process ended, by its return code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


class Guarded:
    """A reader that runs in a child process; called as the reader itself is, it yields the same.

    Parameters
    ----------
    reader : str: module and function, `package.module:function`, that takes a path and `on_problem`.
    library : str: what reads, for messages.
    """

    def __init__(self, reader: str, library: str) -> None:
        self.reader, self.library = reader, library

    def __call__(self, path: str | Path, on_problem: OnProblem = stop, *more: str | None) -> Iterator[Any]:
        """Yield what the reader yields; `more` are its further arguments.

        Raises
        ------
        InputError: as the reader's own, or the library crashed on the file or did not come to an end.
        """
        guard = _take()
        whole = between = False  # the child is done; no message is half read
        try:
            guard.ask(self.reader, Path(path), more, COMPUTING)
            while True:
                between = False
                message = guard.answer(SILENCE)
                between = True
                if "item" in message:
                    item = message["item"]
                    yield item[0] if len(item) == 1 else tuple(item)
                    continue
                whole = "end" in message
                if "bug" in message:
                    raise RuntimeError(f"{path}: the process that read it failed\n{message['bug']}")
                if "error" in message:
                    raise BiorrnError(str(message["error"]))
                if "problem" in message:
                    problem = InputError(path, str(message["problem"]), message["record"])
                    if whole:
                        raise problem
                    on_problem(problem)
                elif whole:
                    return
        except Died as end:
            raise InputError(path, self._reason(str(end))) from end
        finally:
            if whole or (between and guard.discard()):
                _give(guard)
            else:
                guard.close()

    def _reason(self, end: str) -> str:
        if end.startswith("no answer"):
            return f"the {self.library} library read it without end: {end}"
        if "SIGPROF" in end:
            return f"damaged: the {self.library} library found no end of it in {COMPUTING:g} seconds of computing"
        return f"damaged: the {self.library} library crashed on it ({end})"


_idle: list[Guard] = []


def _take() -> Guard:
    while _idle:
        guard = _idle.pop()
        if guard.owner == os.getpid():
            if guard.alive():
                return guard
            guard.close()  # ended from outside while it had nothing to do; no file is to blame
    return Guard()


def _give(guard: Guard) -> None:
    if len(_idle) >= KEPT:
        guard.close()
        return
    atexit.unregister(_close)
    atexit.register(_close)
    _idle.append(guard)


def _close() -> None:
    while _idle:
        _idle.pop().close()
