"""Compiling with numba, and sharing rows among threads.

Kernels are compiled with `nogil` and called from plain Python threads, one row a call; numba's `parallel=True` is not
used. Its `workqueue` layer crashes when two Python threads enter it, its `omp` layer aborts in a forked child and is
absent on a stock macOS, `tbb` is one more dependency, and parallel code takes several times longer to compile.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

FIRST = "compiling kernels, up to 2 minutes the first time; they are kept for later runs"
NOT_KEPT = "compiling kernels, up to 2 minutes: no folder can be written to keep them; NUMBA_CACHE_DIR names one"


class _State:
    """Who is told of compiling, and what is known of the cache; one of a process."""

    say: Callable[[str], None] | None = None
    listens = False
    kept = True


def jit(fastmath: Any = False) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function and keeps the machine code on disk.

    numba keeps it beside the source, or where that is read-only in the user's cache folder; where neither can be
    written it refuses, and the function is compiled anew in every process instead.
    A cached caller does not notice a change in a callee of another file, so each kernel stands in one file.
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
    """Call `say` with a line, once, as soon as a kernel is compiled in the block; not for one that is on disk."""
    before, _State.say = _State.say, say
    try:
        yield
    finally:
        _State.say = before


def _listen() -> None:
    """Make numba tell when it compiles; it does not for a function that it finds in its cache."""
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
