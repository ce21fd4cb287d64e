"""Compiling with numba, and sharing rows among threads.

Kernels are compiled with `nogil` and called from plain Python threads, one row a call; numba's `parallel=True` is not
used. Its `workqueue` layer crashes when two Python threads enter it, its `omp` layer aborts in a forked child and is
absent on a stock macOS, `tbb` is one more dependency, and parallel code takes several times longer to compile.
"""

import itertools
import threading
from collections.abc import Callable
from typing import Any


def jit(fastmath: Any = False) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function and keeps the machine code on disk.

    numba keeps it beside the source, or where that is read-only in the user's cache folder; where neither can be
    written it refuses, and the function is compiled anew in every process instead.
    A cached caller does not notice a change in a callee of another file, so each kernel stands in one file.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        import numba

        try:
            return numba.njit(cache=True, nogil=True, fastmath=fastmath, error_model="numpy")(function)
        except RuntimeError:  # "cannot cache function ...: no locator available"
            return numba.njit(nogil=True, fastmath=fastmath, error_model="numpy")(function)

    return decorate


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
