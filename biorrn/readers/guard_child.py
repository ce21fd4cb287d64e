"""The process that reads in place of another: see `readers.guard`. It takes requests on stdin, a line of JSON each.

What it reads goes to the file descriptor that was its standard output; the C libraries' own words go nowhere.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from biorrn.errors import BiorrnError, InputError
from biorrn.readers.wire import encode


class _NoMoreWanted(BaseException):
    """The one that asked wants no more reads; no reader catches it."""


MEMORY = 4 << 30  # bytes beyond those at the start: a read of 40 hours, and no file that claims more than it holds


def main() -> None:
    """Serve requests until standard input ends."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as out:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that asked decides what Ctrl-C means
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

    def tell(message: dict[str, Any]) -> None:
        """Send a message and set back the clock that ends this process: a damaged file can be read without end."""
        _send(out, message)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        if select.select([0], [], [], 0)[0]:
            raise _NoMoreWanted

    def on_problem(problem: InputError) -> None:
        tell({"problem": problem.problem, "record": problem.record})

    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        with contextlib.suppress(OSError):
            os.chdir(request["folder"])
        for item in _reader(request["reader"])(Path(request["path"]), on_problem, *request["more"]):
            tell({"item": list(item) if isinstance(item, tuple) else [item]})
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
