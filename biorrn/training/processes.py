"""Several processes that train one model: launch, ranks, devices, and collective operations of torch.distributed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from biorrn.base.compute import choose_device
from biorrn.base.errors import BiorrnError
from biorrn.base.terminal import words

RENDEZVOUS = "BIORRN_RENDEZVOUS"  # rendezvous file of processes on one machine; torchrun uses other variables
PARENT = "BIORRN_PARENT"  # process id of the launcher
GRACE = 10.0  # seconds to wait for the first process's message once another has failed
POLL = 0.1  # seconds
KEPT = 40  # last lines of a process other than the first, shown if it fails


def launched() -> bool:
    """Return whether this process is one of several, started by `torchrun` or `launch`."""
    return "TORCHELASTIC_RUN_ID" in os.environ and size() > 1


def size() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """Return the rank of this process; 0 is the first, the only one that writes."""
    return int(os.environ["RANK"]) if launched() else 0


def refuse(why: str) -> None:
    """Raise BiorrnError with the reason `why` if this process is one of several."""
    if launched():
        raise BiorrnError(f"--processes: found {size()}; {why}")


def check(processes: int | None) -> int:
    """Return the number of processes of an option, or of `torchrun`.

    Raises
    ------
    BiorrnError: fewer than one, or not the number that `torchrun` has started.
    """
    if processes is not None and processes < 1:
        raise BiorrnError(f"--processes: found {processes}; allowed is 1 or more")
    if launched() and processes not in (None, size()):
        raise BiorrnError(f"--processes: found {processes}, but torchrun has started {size()}; leave it out")
    return size() if launched() else processes or 1


def launch(processes: int, command: list[str] | None = None) -> None:
    """Run a command in several processes on this machine and wait for all.

    Only the first process prints. If one fails or is killed the others are stopped.

    Parameters
    ----------
    command : default: the current command.

    Raises
    ------
    BiorrnError: a process was killed by a signal.
    SystemExit: a process failed with its own message; the same exit code.
    """
    # -P: a file named torch.py where the user stands is not imported
    command = command or [sys.executable, "-P", "-m", "biorrn", *words()]
    with tempfile.TemporaryDirectory(prefix="biorrn-") as folder:
        children: list[subprocess.Popen[str]] = []
        try:
            for number in range(processes):
                children.append(_start(command, number, processes, Path(folder) / "rendezvous"))
            lines = [_listen(child) for child in children]
            failed = _wait(children)
        finally:
            for child in children:
                child.kill()
            for child in children:
                child.wait()
    if failed is not None:
        _raise(failed, [child.returncode for child in children][failed], processes, lines[failed])


def _start(command: list[str], number: int, processes: int, rendezvous: Path) -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[2])
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        "TORCHELASTIC_RUN_ID": "biorrn",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "GROUP_RANK": "0",
        RENDEZVOUS: str(rendezvous),
        PARENT: str(os.getpid()),
    }
    # one machine: the loopback interface, whatever the host name resolves to
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    found = {"GLOO_SOCKET_IFNAME": loopback} if loopback else {}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE} if number else {}
    env = {**found, **os.environ, **own}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, errors="replace", env=env, **quiet)  # type: ignore[call-overload,no-any-return]


def _listen(child: subprocess.Popen[str]) -> deque[str]:
    """Return a queue of the last lines of a process, filled by a thread; the first process prints its own."""
    lines: deque[str] = deque(maxlen=KEPT)
    stream = child.stderr
    if stream is not None:
        threading.Thread(target=lambda: lines.extend(stream), daemon=True).start()
    return lines


def _wait(children: list[subprocess.Popen[str]]) -> int | None:
    """Wait for all; return the number of the failed process, preferably the first, or None."""
    deadline = None
    while True:
        codes = [child.poll() for child in children]
        failed = [number for number, code in enumerate(codes) if code]
        if failed and deadline is None:
            cause = failed[0]
            killed = codes[cause] is not None and codes[cause] < 0  # type: ignore[operator]
            deadline = time.monotonic() + (0 if killed else GRACE)
        if None not in codes or (deadline is not None and (codes[0] or time.monotonic() >= deadline)):
            return None if not failed else cause if codes[cause] < 0 or not codes[0] else 0  # type: ignore[operator]
        time.sleep(POLL)


def _raise(number: int, code: int, processes: int, lines: deque[str]) -> None:
    """Raise the error of a failed process."""
    if code < 0:
        raise BiorrnError(
            f"process {number + 1} of {processes} was ended by {signal.Signals(-code).name}; the others were stopped, "
            "and the same command resumes from the last complete epoch"
        )
    if number:
        print("".join(lines), end="", file=sys.stderr)
    raise SystemExit(code)


def end_with_parent() -> None:
    """End this process when its launcher ends, so that it does not write to the folder of a later run."""
    parent = int(os.environ.get(PARENT, os.getppid()))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def places() -> dict[str, Any]:
    """Return rank and size of this process, overall and on its machine, from the environment."""
    if not launched():
        return {}
    names = {"rank": "RANK", "size": "WORLD_SIZE", "local_rank": "LOCAL_RANK", "local_size": "LOCAL_WORLD_SIZE"}
    return {name: int(os.environ[variable]) for name, variable in names.items()}


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """The rank of this process among those that train one model; by default a single process.

    Attributes
    ----------
    rank, size : int: rank of this process, from 0, and number of processes.
    local_rank, local_size : int: the same on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def share(self, value: T) -> T:
        """Return the value of the first process (broadcast)."""
        if self.size == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder)
        return holder[0]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank (all-gather)."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def add(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, in place (all-reduce)."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def ask_first(self, work: Callable[[], T]) -> T | None:
        """Run `work` in the first process and return its result; the others wait and return None.

        Raises
        ------
        BiorrnError: of `work`, in the first process.
        SystemExit: in the others, if the first has failed.
        """
        if self.size == 1:
            return work()
        if self.first:
            found = work()
            self.share(None)
            return found
        try:
            self.share(None)
        except Exception as error:  # the first has failed and printed why
            raise SystemExit(2) from error
        return None


def choose_place(device: str) -> tuple[torch.device, Processes]:
    """Return device and rank of this process, and join the process group; see `leave`.

    Raises
    ------
    BiorrnError: as `choose_device`; or a device that several processes cannot share.
    """
    where = choose_device(device)
    if not launched():
        return where, Processes()
    here = Processes(**places())
    if where.type == "mps" or where.index is not None:
        raise BiorrnError(f"--device: found '{where}' with {here.size} processes; allowed is auto, cpu or cuda")
    if where.type == "cuda":
        if here.local_size > (most := torch.cuda.device_count()):
            raise BiorrnError(f"--processes: found {here.local_size}; allowed on this machine is one a GPU, {most}")
        where = torch.device("cuda", here.local_rank)
        torch.cuda.set_device(where)
    end_with_parent()
    path = os.environ.get(RENDEZVOUS)
    dist.init_process_group(
        "nccl" if where.type == "cuda" else "gloo",
        init_method=f"file://{path}" if path else "env://",
        rank=here.rank,
        world_size=here.size,
    )
    return where, here


def leave() -> None:
    """Leave the process group, if any."""
    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()
