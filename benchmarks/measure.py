"""Timing for benchmarks: description of the machine, interleaved rounds, and a clock of wall and CPU time."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


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
    """Return the seconds of each entry in each round. Entries alternate, so that noise affects all alike.

    Each is called once before, to compile and warm up.
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
    """Return the speed of `fast` relative to `slow`: the median of the ratios of rounds."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


class Cost(NamedTuple):
    """What a process took: wall and CPU seconds, and its largest resident memory in MiB."""

    wall: float
    cpu: float
    peak: float


def cost(words: list[str]) -> Cost:
    """Run a command to its end and return what it took; an error ends the benchmark."""
    start = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed with exit code {process.returncode}:\n{said}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Clock:
    """Clock of wall and CPU seconds, one entry per run.

    CPU seconds are over all threads; on a busy machine they are more reliable than wall seconds.
    """

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        """Start an entry; an open one is discarded."""
        self._began = (time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """End the open entry, if any."""
        if self._began is not None:
            self.wall.append(time.perf_counter() - self._began[0])
            self.cpu.append(time.process_time() - self._began[1])
            self._began = None

    def over(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items; the clock runs from the first to the end."""
        self.start()
        yield from items
        self.stop()
