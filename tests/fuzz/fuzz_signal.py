"""Damaged signal and alignment files by the hundred thousand: no reader may do more than refuse them in one line.

    python tests/fuzz/fuzz_signal.py --reader fast5 --inputs 100000 --seed 0 --jobs 2

Input i of a reader is a sound file with damage that the seed and i alone decide, so that it can be made again. Each job
reads its inputs in a child process that tells through shared memory where it is: when it dies or stands still, the
input is written to --failures and the next child goes on after it.

Of the table: accepted inputs were read, refused ones are one line of a named error; contained ones crashed a library in
the process that guards the reader, stopped ones kept it busy without end, both named in one line. Crashes, hangs and
other exceptions are faults of biorrn.
"""

import argparse
import itertools
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_signal_mutations import mutate
from fuzz_signal_targets import TARGETS, Target

from biorrn.base.errors import BiorrnError
from biorrn.sequences import guard

# what the shared memory of a job counts
AT, ACCEPTED, REFUSED, CONTAINED, STOPPED, OTHER = range(6)
NAMES = {OTHER: "other", CONTAINED: "contained", STOPPED: "stopped"}
COLUMNS = ["reader", "inputs", "accepted", "refused", "contained", "stopped", "crashes", "hangs", "other", "inputs/s"]
LIMIT = 300.0  # seconds for one input, of which a busy machine may take most
PAUSE = 0.02  # seconds between looks at the jobs; looks are counted, as a machine may sleep
COMPUTING = 30  # seconds of CPU time for one input
GUARDED = 1.5  # of these, seconds before the process that guards a reader is ended
MEMORY = 6 << 30  # bytes of address space that a reader may take beyond what it has at the start


def damaged(reader: str, seeds: Sequence[bytes], seed: int, number: int) -> bytes:
    """Return input `number` of a reader."""
    rng = random.Random(f"{seed}/{reader}/{number}")
    return mutate(rng, rng.choice(seeds), seeds)


def classify(target: Target, path: Path, content: bytes) -> tuple[int, str]:
    """Read one input and return what came of it, with the text of what was raised."""
    target.lay(path, content)
    try:
        target.read(path)
    except BiorrnError as problem:
        said = str(problem)
        if len(said.splitlines()) != 1 or len(said) > 2000:
            return OTHER, f"not one line: {said!r}"
        return (CONTAINED if "crashed" in said else STOPPED if "no end of it" in said else REFUSED), said
    except Exception:
        return OTHER, traceback.format_exc()
    return ACCEPTED, ""


class Job:
    """One share of the inputs of a reader."""

    def __init__(self, reader: str, seeds: Sequence[bytes], numbers: range, seed: int, failures: Path | None) -> None:
        self.reader, self.seeds, self.numbers, self.seed, self.failures = reader, seeds, numbers, seed, failures
        self.shared = mmap.mmap(-1, 64)
        self.crashes = self.hangs = 0
        self.next = numbers.start
        self.child = self.idle = 0
        self.seen = -1

    def get(self, place: int) -> int:
        """Return a number of the shared memory."""
        return int(struct.unpack_from("q", self.shared, 8 * place)[0])

    def put(self, place: int, value: int) -> None:
        """Set a number of the shared memory."""
        struct.pack_into("q", self.shared, 8 * place, value)

    def start(self, deadline: float) -> None:
        """Fork a child that goes on with the next input."""
        self.put(AT, self.next)
        self.idle = 0
        sys.stdout.flush()
        self.child = os.fork()
        if self.child:
            return
        code = 1
        try:
            self.run(deadline)
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)

    def run(self, deadline: float) -> None:
        """Read inputs until there are no more; this is the child."""
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries say
        guard.COMPUTING = GUARDED
        target = TARGETS[self.reader]
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
            path = Path(folder, target.name)
            for number in range(self.next, self.numbers.stop):
                self.put(AT, number)
                signal.setitimer(signal.ITIMER_PROF, COMPUTING)
                content = damaged(self.reader, self.seeds, self.seed, number)
                kind, said = classify(target, path, content)
                self.put(kind, self.get(kind) + 1)
                if kind in (OTHER, CONTAINED, STOPPED):
                    self.keep(number, content, NAMES[kind], said)
                if time.monotonic() > deadline:
                    break
            self.put(AT, number + 1)

    def keep(self, number: int, content: bytes, kind: str, said: str) -> None:
        """Write an input that failed, and what was said of it."""
        if self.failures is not None:
            self.failures.mkdir(parents=True, exist_ok=True)
            stem = self.failures / f"{self.reader}-{self.seed}-{number}.{kind}"
            stem.write_bytes(content)
            stem.with_name(stem.name + ".txt").write_text(said)

    def watch(self) -> bool:
        """Return whether the child is still at work; note what ended it where it did not finish."""
        done, status = os.waitpid(self.child, os.WNOHANG)
        if not done:
            at = self.get(AT)
            self.idle = 0 if at != self.seen else self.idle + 1
            self.seen = at
            if self.idle * PAUSE < LIMIT:
                return True
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.hangs += 1
            self.failed("hang", f"no answer for {LIMIT:g} s")
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
            self.hangs += 1
            self.failed("hang", f"no end in {COMPUTING} s of computing")
        elif status:
            self.crashes += 1
            self.failed("crash", f"wait status {status}")
        else:
            self.next = self.get(AT)
        return False

    def failed(self, kind: str, said: str) -> None:
        """Keep the input at which a child ended, and go on after it."""
        number = self.get(AT)
        self.keep(number, damaged(self.reader, self.seeds, self.seed, number), kind, said)
        self.next = number + 1


def fuzz(reader: str, inputs: int, seed: int, jobs: int, seconds: float, failures: Path | None, first: int = 0) -> list:
    """Fuzz a reader and return the cells of its row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = TARGETS[reader].make(Path(folder))
    began, deadline = time.monotonic(), time.monotonic() + seconds
    edges = [first + inputs * job // jobs for job in range(jobs + 1)]
    shares = [Job(reader, seeds, range(*pair), seed, failures) for pair in itertools.pairwise(edges)]
    active = list(shares)
    for job in active:
        job.start(deadline)
    while active:
        time.sleep(PAUSE)
        for job in list(active):
            if not job.watch():
                if job.next < job.numbers.stop and time.monotonic() < deadline:
                    job.start(deadline)
                else:
                    active.remove(job)
    took = time.monotonic() - began
    read = sum(job.next - job.numbers.start for job in shares)
    counts = [sum(job.get(place) for job in shares) for place in (ACCEPTED, REFUSED, CONTAINED, STOPPED)]
    ends = [sum(job.crashes for job in shares), sum(job.hangs for job in shares), sum(job.get(OTHER) for job in shares)]
    return [reader, read, *counts, *ends, round(read / took)]


def main() -> int:
    """Run the readers asked for and print the table; 1 where anything but a named error came of an input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--inputs", type=int, default=1000, help="a reader")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--time", type=float, default=float("inf"), help="seconds a reader")
    parser.add_argument("--failures", type=Path, help="folder for inputs that failed")
    given = parser.parse_args()
    print(*COLUMNS, sep="\t", flush=True)
    bad = 0
    for reader in given.reader:
        row = fuzz(reader, given.inputs, given.seed, given.jobs, given.time, given.failures, given.first)
        bad += sum(row[6:9])
        print(*row, sep="\t", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
