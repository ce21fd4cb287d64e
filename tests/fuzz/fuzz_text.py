"""Odd and damaged texts, tables, recipes and model folders by the hundred thousand: each is read or refused in a line.

    python tests/fuzz/fuzz_text.py --reader fasta --inputs 100000 --seed 0

Input i of a reader is decided by the seed and i alone, so that it can be made again with --only i. Inputs are read in a
child process of bounded memory; when it dies or stands still, the next child goes on after the input that did it.
"""

from __future__ import annotations

import argparse
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_text_models import MODELS
from fuzz_text_readers import READERS, Reader
from fuzz_text_recipes import RECIPES
from fuzz_text_results import RESULTS
from fuzz_text_tags import TAGS

ALL: dict[str, Reader] = READERS | TAGS | RESULTS | RECIPES | MODELS
AT, ACCEPTED, REFUSED, OTHER = range(4)  # places in the shared memory
LIMIT, WAIT = 20.0, 600.0  # seconds for one input, of the processor and of the clock
MEMORY = 2 << 30  # bytes of address space beyond what the process has once it has imported all
LONGEST = 2000  # characters of a message
COLUMNS = ["reader", "inputs", "accepted", "refused", "other", "crashes", "hangs", "inputs/s"]


def content_of(reader: str, seed: int, number: int) -> bytes:
    """Return input `number` of a reader."""
    return ALL[reader].make(random.Random(f"{seed}/{reader}/{number}"))


def attempt(reader: str, folder: Path, content: bytes) -> tuple[int, str]:
    """Read one input and return what came of it, with the text of what was raised."""
    from biorrn.base.errors import BiorrnError

    path = folder / ALL[reader].name
    path.write_bytes(content)
    try:
        ALL[reader].read(path)
    except BiorrnError as problem:
        said = str(problem)
        if len(said) > LONGEST or any(ord(letter) < 32 for letter in said):
            return OTHER, f"not one short line: {said[:3000]!r}"
        return REFUSED, said
    except Exception:
        return OTHER, traceback.format_exc()
    return ACCEPTED, ""


def child(reader: str, seed: int, first: int, last: int, shared: mmap.mmap, failures: Path | None) -> None:
    """Read the inputs from `first` on, in a process of its own."""
    import gc

    ALL[reader].make(random.Random(0))  # imports
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # warnings of libraries
    gc.freeze()
    shown = 0
    root = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=root) as folder:
        for number in range(first, last):
            put(shared, AT, number)
            content = content_of(reader, seed, number)
            kind, said = attempt(reader, Path(folder), content)
            put(shared, kind, get(shared, kind) + 1)
            if kind == OTHER:
                keep(failures, f"{reader}-{seed}-{number}", content, said)
                if shown < 5:
                    print(f"{reader} {number}: {said.strip()[-1500:]}", flush=True)
                    shown += 1
    put(shared, AT, last)


def keep(failures: Path | None, name: str, content: bytes, said: str) -> None:
    """Write an input that did what none may."""
    if failures is not None:
        failures.mkdir(parents=True, exist_ok=True)
        (failures / name).write_bytes(content)
        (failures / f"{name}.txt").write_text(said, errors="replace")


def get(shared: mmap.mmap, place: int) -> int:
    return int(struct.unpack_from("q", shared, 8 * place)[0])


def put(shared: mmap.mmap, place: int, value: int) -> None:
    struct.pack_into("q", shared, 8 * place, value)


def fuzz(reader: str, inputs: int, seed: int, first: int, failures: Path | None) -> tuple[dict[str, float], int]:
    """Read `inputs` inputs of a reader; return the row of the table, and how many did what none may."""
    shared = mmap.mmap(-1, 64)
    crashes = hangs = 0
    start, at, last = time.monotonic(), first, first + inputs
    while at < last:
        sys.stdout.flush()
        process = os.fork()
        if not process:
            code = 1
            try:
                put(shared, AT, at)
                child(reader, seed, at, last, shared, failures)
                code = 0
            except BaseException:
                traceback.print_exc(file=sys.stdout)
            finally:
                sys.stdout.flush()
                os._exit(code)
        hung = wait(process, shared)
        at = get(shared, AT)
        if at < last:
            hangs, crashes = hangs + hung, crashes + (not hung)
            keep(failures, f"{reader}-{seed}-{at}", content_of(reader, seed, at), "hang" if hung else "crash")
            print(f"{reader} {at}: {'stood still' if hung else 'died'}", flush=True)
            at += 1
    accepted, refused, other = (get(shared, place) for place in (ACCEPTED, REFUSED, OTHER))
    rate = inputs / max(time.monotonic() - start, 1e-9)
    row = dict(zip(COLUMNS[1:], (inputs, accepted, refused, other, crashes, hangs, rate), strict=True))
    return row, other + crashes + hangs


def seconds_of(process: int) -> float:
    """Return the processor time that a child has taken: it says more than the clock where others work beside it."""
    with open(f"/proc/{process}/stat") as file:
        cells = file.read().rpartition(")")[2].split()
    return (int(cells[11]) + int(cells[12])) / os.sysconf("SC_CLK_TCK")


def wait(process: int, shared: mmap.mmap) -> bool:
    """Return once a child has ended; True where it was ended since one input took too long."""
    at, used, since, pause = -1, 0.0, time.monotonic(), 0.005
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if get(shared, AT) != at:
            at, used, since = get(shared, AT), seconds_of(process), time.monotonic()
        elif seconds_of(process) - used > LIMIT or time.monotonic() - since > WAIT:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return True
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
    return False


def main() -> None:
    """Fuzz the readers asked for, one after the other, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", default="all", help=f"one of {', '.join(ALL)}; several with commas; or all")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, help="make and read this one input here, and show what comes of it")
    parser.add_argument("--failures", type=Path, help="folder for inputs that did what none may")
    asked = parser.parse_args()
    names = list(ALL) if asked.reader == "all" else asked.reader.split(",")
    if asked.only is not None:
        content = content_of(names[0], asked.seed, asked.only)
        print(content[:2000])
        with tempfile.TemporaryDirectory() as folder:
            print(*attempt(names[0], Path(folder), content), sep="\n")
        return
    bad = 0
    print(*COLUMNS, sep="\t", flush=True)
    for name in names:
        row, more = fuzz(name, asked.inputs, asked.seed, asked.first, asked.failures)
        print(name, *(f"{value:.0f}" for value in row.values()), sep="\t", flush=True)
        bad += more
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
