"""A process that has the heavy libraries loaded and forks one command line a request: a hundred faults are cheap.

Each child runs `biorrn.cli.main.main()` as the installed command does, in a folder, an environment, and under a limit
of its own. This file is both ends: `Preloaded` in the test, and what it starts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("torch", "lightning.pytorch", "h5py", "scipy.stats", "numba", "matplotlib.figure")


@dataclass
class Run:
    """A command under way.

    Attributes
    ----------
    pid : int: stays that of this process until `wait` or `poll` has told its end.
    said : Path: what it writes to standard error; `out` is standard output.
    """

    server: Preloaded
    pid: int
    said: Path
    out: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self.code is None:
            self.code = self.server.ask(do="wait", pid=self.pid, block=False)["code"]
        return self.code

    def wait(self) -> int:
        """Return the exit code, negative for a signal, once it has ended."""
        if self.code is None:
            self.code = self.server.ask(do="wait", pid=self.pid, block=True)["code"]
        assert self.code is not None
        return self.code

    def kill(self) -> int:
        """End it as the system does where memory is short, and return the exit code: another where it was done."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    @property
    def error(self) -> str:
        """Return what it has said on standard error so far."""
        return self.said.read_text(encoding="utf-8", errors="replace")


class Preloaded:
    """Starts commands; use it in a `with` statement."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.count = scratch, 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Preloaded:
        return self

    def __exit__(self, *_: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return dict(json.loads(self.process.stdout.readline()))

    def start(
        self,
        *words: str | Path,
        folder: Path,
        largest: int | None = None,
        bound: bool = False,
        environment: dict[str, str | None] | None = None,
        before: str = "",
    ) -> Run:
        """Start `biorrn WORDS` in a folder.

        Parameters
        ----------
        largest : bytes that one file may have (RLIMIT_FSIZE).
        bound : permissions bind, root too.
        environment : variables to set, None to unset.
        before : Python source run in the child before the command: an injected fault, or a pause.
        """
        self.count += 1
        said, out = self.scratch / f"{self.count}.err", self.scratch / f"{self.count}.out"
        said.touch()  # may be looked at before the child has begun
        request: dict[str, Any] = {
            "words": list(map(str, words)),
            "folder": str(folder),
            "largest": largest,
            "bound": bound,
        }
        request |= {"environment": environment or {}, "before": before, "said": str(said), "out": str(out)}
        return Run(self, self.ask(do="start", **request)["pid"], said, out)

    def run(self, *words: str | Path, **options: Any) -> Run:
        """Run `biorrn WORDS` to its end; see `start`."""
        run = self.start(*words, **options)
        run.wait()
        return run


def unbind_root() -> None:
    """Give up root's right to pass over permissions, for this process and its children."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3; this process
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    for place in (0, 1):  # of the 32 lower capabilities the effective and the permitted ones
        data[place] &= ~0b1110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
    assert libc.capset(header, data) == 0


def child(request: dict[str, Any]) -> None:
    """Become the command line."""
    import resource

    os.chdir(request["folder"])
    for path, number in ((os.devnull, 0), (request["out"], 1), (request["said"], 2)):
        handle = os.open(path, os.O_RDWR if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    # Python's own streams were of the other end
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    for name, value in request["environment"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if request["largest"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest"], resource.RLIM_INFINITY))
    if request["bound"]:
        unbind_root()
    sys.argv = ["biorrn", *request["words"]]
    if request["before"]:
        exec(compile(request["before"], "<before>", "exec"), {})
    from biorrn.cli.main import main

    main()


def serve() -> None:
    """Answer requests, a line of JSON each, until there are no more."""
    import importlib

    for name in LIBRARIES:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    running: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "wait":
            pid, status = os.waitpid(request["pid"], 0 if request["block"] else os.WNOHANG)
            running.discard(pid)
            answer: dict[str, Any] = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if pid == 0:
                answers.close()
                code = 1
                try:
                    child(request)
                    code = 0
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else 0
                except BaseException:
                    import traceback

                    traceback.print_exc()
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    finish(code)
            running.add(pid)
            answer = {"pid": pid}
        print(json.dumps(answer), file=answers, flush=True)
    for pid in running:  # of a test that has failed, or was itself killed
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def finish(code: int) -> None:
    """End a child as Python ends: HDF5 and others may have a last word."""
    import atexit

    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)


def wait_for(condition: Any, run: Run, pause: float = 0.003) -> bool:
    """Wait until a condition holds or the run has ended; return whether it held first."""
    while run.poll() is None:
        if condition():
            return True
        time.sleep(pause)
    return bool(condition())


if __name__ == "__main__":
    serve()
