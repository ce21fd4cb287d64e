"""Measuring things side by side: what the machine is, and the median of rounds in which each takes its turn."""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def machine(*packages: str) -> str:
    """Return one line: processor, cores, load, Python and the versions of `packages`."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    processor = named[0] if named else platform.processor() or platform.machine()
    return f"# {processor}, {os.cpu_count()} cores{load}; Python {platform.python_version()}, {versions}"


def interleaved(
    work: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Return the seconds of each entry in each round; all take their turn in a round, so that noise hits all alike.

    Each is called once before, to compile and to warm up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for call in work.values():
        call()
    for _ in range(rounds):
        for name, call in work.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """Return how many times faster `fast` is than `slow`: the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


class Clock:
    """Wall and CPU seconds, one entry for each time that it ran.

    CPU seconds are of all threads; beside busy neighbours they say more than wall seconds do.
    """

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        """Begin an entry; one that is open is given up."""
        self._began = (time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """End the entry that is open, if any."""
        if self._began is not None:
            self.wall.append(time.perf_counter() - self._began[0])
            self.cpu.append(time.process_time() - self._began[1])
            self._began = None

    def over(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items; the clock runs from the first until they are used up."""
        self.start()
        yield from items
        self.stop()
