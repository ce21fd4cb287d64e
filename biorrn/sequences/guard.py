"""Readers that run in a child process, for libraries that a damaged file can crash.

A damaged file can crash HDF5 and Arrow, make them loop, or exhaust the memory. The reader therefore runs in a child
process, started once and used for many files, which streams records back through a pipe. When it dies, the error names
the file, and the next file has a new child. The child is not forked, since threads of torch and numba do not survive a
fork. Requests are lines of JSON on stdin; answers are JSON and raw arrays on stdout. Not pickle, which would run code
of a child that a damaged file may have corrupted.

Reading costs one copy through the pipe, and runs beside this process.
"""

import atexit
import contextlib
import dataclasses
import fcntl
import importlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from biorrn.base.errors import BiorrnError, InputError, OnProblem, stop
from biorrn.sequences.records import MAX_SAMPLES, ReadCall, ReadLabels, SignalRecord

HEAD = struct.Struct("<II")  # bytes of JSON, bytes of arrays
ALIGN = 8  # bytes: where an array may begin
MAX_JSON = 1 << 26
KINDS: dict[str, type] = {kind.__name__: kind for kind in (SignalRecord, ReadLabels, ReadCall)}
DTYPES = ("int16", "uint8", "int64")


def encode(message: dict[str, Any]) -> list[bytes | memoryview]:
    """Return the parts of a message: its head and JSON, then its arrays, which are not copied.

    Values may be JSON, records of `KINDS`, arrays of `DTYPES` with one axis, paths, times, and lists of these.
    """
    arrays: list[np.ndarray] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(np.ascontiguousarray(value))
            return {"array": [str(value.dtype), len(value)]}
        if isinstance(value, datetime):
            return {"time": value.isoformat()}
        if isinstance(value, Path):
            return {"path": str(value)}
        if isinstance(value, np.integer | np.floating):
            return value.item()
        if type(value).__name__ in KINDS:
            names = [field.name for field in dataclasses.fields(value)]
            return {"kind": type(value).__name__, "fields": {name: getattr(value, name) for name in names}}
        raise TypeError(f"{type(value).__name__} cannot be sent")

    text = json.dumps(message, default=plain).encode()
    parts: list[bytes | memoryview] = []
    for array in arrays:
        parts += [array.view(np.uint8).data, b"\0" * (-array.nbytes % ALIGN)]
    return [HEAD.pack(len(text), sum(map(len, parts))) + text, *parts]


def decode(text: bytes, arrays: np.ndarray) -> Any:
    """Return the message of its JSON and of its arrays, uint8 (bytes,), of which the arrays of the message are views.

    Raises
    ------
    ValueError, KeyError, TypeError: it is not what `encode` makes.
    """
    at = 0

    def restore(value: dict[str, Any]) -> Any:
        nonlocal at
        if "array" in value:
            name, count = value["array"]
            if name not in DTYPES:
                raise ValueError(f"an array of {name}")
            dtype = np.dtype(name)
            size = int(count) * dtype.itemsize
            if not 0 <= size <= len(arrays) - at:
                raise ValueError("an array is cut short")
            found = arrays[at : at + size].view(dtype)
            at += size + -size % ALIGN
            return found
        if "time" in value:
            return datetime.fromisoformat(value["time"])
        if "path" in value:
            return Path(value["path"])
        if "kind" in value:
            fields = {name: tuple(held) if isinstance(held, list) else held for name, held in value["fields"].items()}
            return KINDS[value["kind"]](**fields)
        return value

    return json.loads(text, object_hook=restore)


class _NoMoreWanted(BaseException):
    """The parent has cancelled the request; no reader catches it."""


MEMORY = 4 << 30  # bytes beyond those at the start: a read of 40 hours


def main() -> None:
    """Serve requests until standard input ends."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as out:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
        _limit_memory()
        requests = os.fdopen(os.dup(0), "rb", buffering=0)
        _send(out, {"ready": True})
        os.dup2(nowhere, 2)
        while line := requests.readline():
            if line.strip():
                _serve(json.loads(line), out)


def _limit_memory() -> None:
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status = Path("/proc/self/status")
        used = 0
        if status.is_file():
            used = next((int(line.split()[1]) << 10 for line in status.open() if line.startswith("VmData")), 0)
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = used + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))


def _serve(request: dict[str, Any], out: BinaryIO) -> None:
    seconds = float(request["seconds"])

    def send(message: dict[str, Any]) -> None:
        """Send a message and restart the timer that ends this process where a reader loops."""
        _send(out, message)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        if select.select([0], [], [], 0)[0]:
            raise _NoMoreWanted

    def on_problem(problem: InputError) -> None:
        send({"problem": problem.problem, "record": problem.record})

    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        with contextlib.suppress(OSError):
            os.chdir(request["folder"])
        for item in _reader(request["reader"])(Path(request["path"]), on_problem, *request["more"]):
            send({"item": list(item) if isinstance(item, tuple) else [item]})
        answer: dict[str, Any] = {"end": True}
    except _NoMoreWanted:
        answer = {"end": True}
    except InputError as problem:
        answer = {"end": True, "problem": problem.problem, "record": problem.record}
    except BiorrnError as problem:
        answer = {"end": True, "error": str(problem)}
    except BrokenPipeError:
        raise
    except MemoryError:
        answer = {"end": True, "problem": "damaged: a length in it is larger than the memory", "record": None}
    except Exception:
        answer = {"end": True, "bug": traceback.format_exc()}
    signal.setitimer(signal.ITIMER_PROF, 0)
    _send(out, answer)


def _reader(name: str) -> Callable[..., Iterator[Any]]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


def _send(out: BinaryIO, message: dict[str, Any]) -> None:
    for part in encode(message):
        out.write(part)
    out.flush()


if __name__ == "__main__":
    main()


ROOT = Path(__file__).resolve().parents[2]
START = "import sys; sys.path.insert(0, sys.argv[1]); from biorrn.sequences.guard import main; main()"
COMPUTING = 30.0  # seconds of CPU time without a read: a hundred million samples take one
SILENCE = 900.0  # seconds of waiting for an answer: disks may be slow
DISCARD = 20.0  # seconds in which a child has to end a cancelled request
WAIT = 5.0  # seconds of one wait
KEPT = 2  # idle children that stay
PIPE = 1 << 20  # bytes that a child may read ahead


class Died(Exception):
    """The child ended, or its answer is invalid; the text is the reason."""


class Guard:
    """One child process; it reads one file at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  its messages before it is ready; closed with the child
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
        """Cancel the child's request; return whether it did."""
        with contextlib.suppress(Died):
            self._write(b"\n")
            while "end" not in self.answer(DISCARD):
                pass
            return True
        return False

    def close(self) -> str:
        """End the child and return how it ended."""
        if os.getpid() != self.owner:  # a fork of the parent: the child is not its own
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
        """Return whether an answer comes. Waits are short and counted, so that a suspended machine counts as one."""
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
        whole = between = False  # the child is done; no message is partly read
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
