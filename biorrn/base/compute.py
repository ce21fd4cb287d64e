"""Devices, CPU threads, bfloat16 support and numba compilation."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import glob
import itertools
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from biorrn.base.errors import BiorrnError

if TYPE_CHECKING:
    import torch


DEVICES = ("auto", "cpu", "cuda", "mps")


SPINS = 1000  # turns of a loop with a pause: 10 µs, or up to 50 on processors whose pause is longer


def prepare_libraries() -> None:
    """Set what torch's libraries read when they are loaded, for this process and its children, unless it is set.

    Idle threads of OpenMP sleep after `SPINS`. Those that spin on slow an LSTM 10 to 80 times beside a busy neighbour;
    those that sleep at once halve the speed of two threads on an idle machine. MKL on Intel's processors adds in an
    order that does not depend on the number of rows: else a value would change with the batch that it is in.

    It has an effect only before torch is imported, so the command line, the public functions and each program of its
    own call it first.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))  # of GNU's library alone, in spite of the policy
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    if _of_intel():
        os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


@functools.cache
def _of_intel() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            return "GenuineIntel" in stream.read(4096)
    except OSError:
        return "GenuineIntel" in platform.processor()


def device_name(name: str = "auto") -> str:
    """Return the name of the torch device that `name` stands for; `auto` prefers CUDA, then MPS, then the CPU.

    torch is imported only where this machine may have another device than the CPU, see `may_accelerate`, or where one
    is named.

    Raises
    ------
    BiorrnError: the name is unknown, or this machine has no such device.
    """
    prepare_libraries()
    kind = kind_of(name)
    if kind not in DEVICES:
        raise BiorrnError(f"--device: found '{name}'; allowed is one of {', '.join(DEVICES)}")
    if name == "cpu" or (name == "auto" and not may_accelerate()):
        return "cpu"
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if not present[kind]:
        raise BiorrnError(f"--device: found '{name}', which torch does not see on this machine; use auto or cpu")
    return str(torch.device(name))


def kind_of(device: object) -> str:
    """Return the kind of a torch device or of its name.

    >>> kind_of("cuda:1")
    'cuda'
    """
    return str(device).partition(":")[0]


# files of a control group that name its limit and what it uses, version 2 and 1
GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_memory(device: object) -> int:
    """Return the bytes that are free on a torch device; of a CPU, within the limit of this job's control group too.

    It needs the package psutil, which comes with those of the extra `plm`.
    """
    import torch

    if kind_of(device) == "cuda":
        return int(torch.cuda.mem_get_info(torch.device(str(device)))[0])
    if kind_of(device) == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in GROUPS:
        with contextlib.suppress(OSError, ValueError), open(limit) as most, open(used) as now:
            free = min(free, max(0, int(most.read()) - int(now.read())))
    return free


def may_accelerate() -> bool:
    """Return whether torch may find a GPU here, without asking it.

    On Linux each driver that torch can use makes a device file: of NVIDIA (/dev/nvidia*, /dev/nvmap on a Jetson), of
    AMD (/dev/kfd), or of Windows beneath (/dev/dxg). Other systems have no such sign, so the answer is yes.
    """
    if sys.platform != "linux":
        return True
    return any(glob.glob(f"/dev/{pattern}") for pattern in ("nvidia*", "nvmap", "kfd", "dxg"))


def choose_device(name: str = "auto") -> torch.device:
    """Return the torch device that `name` stands for; see `device_name`, with the errors that it raises."""
    kind = device_name(name)
    import torch

    apply_threads()
    return torch.device(kind)


def has_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Return whether networks can run in bfloat16 on a device, found once per process by running a small LSTM.

    torch casts to bfloat16 on any CPU, but its LSTM raises where the processor lacks AVX-512 (with bfloat16) or AMX.
    torch's own report differs between versions and from the CPU library.
    """
    import torch

    return _runs_bfloat16(torch.device(device).type)


@functools.cache
def _runs_bfloat16(kind: str) -> bool:
    import torch

    if kind == "cuda" and not torch.cuda.is_bf16_supported():
        return False
    state = torch.random.get_rng_state()  # first weights of a model that is made later do not depend on this test
    try:
        layer = torch.nn.LSTM(8, 8).to(kind)
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16):
            layer(torch.zeros(2, 1, 8, device=kind))
    except RuntimeError:  # "could not create a primitive descriptor", and messages of other devices
        return False
    finally:
        torch.random.set_rng_state(state)
    return True


def usable_threads() -> int:
    """Return how many CPU threads this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(threads: int | None = None) -> int:
    """Use `threads` CPU threads in torch (None: as many as this process may use) and return that number.

    torch is not imported for it: `apply_threads` passes the number on.
    """
    prepare_libraries()
    if threads is None:
        threads = usable_threads()
    if threads < 1:
        raise BiorrnError(f"--threads: found {threads}; allowed is 1 or more")
    _State.threads = threads
    if "torch" in sys.modules:
        apply_threads()
    return threads


# parameters of glibc's mallopt with their values: no map of its own for a large block (M_MMAP_MAX), no trimming
# (M_TRIM_THRESHOLD), one arena for all threads (M_ARENA_MAX)
MALLOPT = ((-4, 0), (-1, 2**31 - 1), (-8, 1))


def keep_memory() -> None:
    """Keep freed memory until this process ends, where the C library is glibc; elsewhere do nothing.

    A training step frees and takes hundreds of megabytes. glibc returns them to the system, which then gives them back
    page by page, filled with zeros; without that a step of a basecaller takes three quarters of the time.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no such function; Windows
        library = ctypes.CDLL(None)
        if hasattr(library, "gnu_get_libc_version"):
            for parameter, value in MALLOPT:
                library.mallopt(parameter, value)


def apply_threads() -> None:
    """Give torch, once it is imported, the number of threads of `set_threads`, if that was called before."""
    import torch

    if _State.threads is not None:
        _State.own_threads = _State.own_threads or torch.get_num_threads()
        torch.set_num_threads(_State.threads)
        _State.threads = None


@contextlib.contextmanager
def threads_restored() -> Iterator[None]:
    """Restore torch's number of threads after the block, also where torch is imported in it."""
    torch: Any = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    try:
        yield
    finally:
        _State.threads = None
        torch, before = sys.modules.get("torch"), before or _State.own_threads
        if torch is not None and before is not None:
            torch.set_num_threads(before)


FIRST = "compiling kernels, up to 2 minutes the first time; they are kept for later runs"
NOT_KEPT = "compiling kernels, up to 2 minutes: no folder can be written to keep them; NUMBA_CACHE_DIR names one"


class _State:
    """Threads that torch is to be given, and its own number; the listener of compilation; the state of the cache."""

    threads: int | None = None
    own_threads: int | None = None

    say: Callable[[str], None] | None = None
    listens = False
    kept = True


def jit(fastmath: Any = False) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function and caches the machine code on disk.

    numba caches beside the source, else in the user's cache folder. Where neither is writable, every process compiles
    anew. A cached caller does not see changes in a callee of another file, so each kernel is in one file.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        import numba

        _listen()
        try:
            return numba.njit(cache=True, nogil=True, fastmath=fastmath, error_model="numpy")(function)
        except RuntimeError:  # "cannot cache function ...: no locator available"
            _State.kept = False
            return numba.njit(nogil=True, fastmath=fastmath, error_model="numpy")(function)

    return decorate


@contextlib.contextmanager
def compiling_told(say: Callable[[str], None]) -> Iterator[None]:
    """Call `say` with a line, once, when a kernel is compiled in the block; not for one in the cache."""
    before, _State.say = _State.say, say
    try:
        yield
    finally:
        _State.say = before


def _listen() -> None:
    """Report compilations of numba; a cached function causes none."""
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc,unused-ignore]
        def on_start(self, _: Any) -> None:
            say, _State.say = _State.say, None
            if say is not None:
                say(FIRST if _State.kept else NOT_KEPT)

        def on_end(self, _: Any) -> None:
            pass

    if not _State.listens:
        event.register("numba:compile", Listener())
        _State.listens = True


def each_row(work: Callable[[int], None], order: list[int], threads: int) -> None:
    """Call `work(row)` once for each row of `order`, on up to `threads` threads (this one is among them).

    Rows are taken one by one, so give long ones first. The threads end with the call: nothing survives to disturb a
    fork. The first exception of any row is raised.
    """
    place = itertools.count()  # next() on it is one atomic step
    faults: list[BaseException] = []

    def run() -> None:
        try:
            while not faults and (i := next(place)) < len(order):
                work(order[i])
        except BaseException as fault:
            faults.append(fault)

    helpers = [threading.Thread(target=run, daemon=True) for _ in range(min(threads, len(order)) - 1)]
    for helper in helpers:
        helper.start()
    run()
    for helper in helpers:
        helper.join()
    if faults:
        raise faults[0]
