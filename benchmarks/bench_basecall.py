"""Benchmark of basecalling: speed relative to the plain float32 forward pass, and memory with n and 10 n reads.

Run: python benchmarks/bench_basecall.py [--model RUN_DIR] [--threads 1 2] [--reads PATH] [--repeats 3] [--no-memory]

As on a processor with AVX2 and without bfloat16: the variables of `make test-avx2`, and MKL_ENABLE_INSTRUCTIONS=AVX2.

Rates are raw samples per second. The jobs take turns, and each ratio is within one round, because the load of a shared
machine changes:

  plain forward    only `model(x, lengths)` of torch in float32 on full batches; the reference
  forward, ENGINE  only the engine, on chunks as basecall makes them, over the threads
  basecall, ...    from the file to calls in memory, with an engine and a decoder
  process          the command `biorrn basecall`, including start-up

Start-up is the time of the command on one read. Memory is the peak of the command, on the reads and on ten copies.

The last column is the ratio of CPU time per sample, which other processes disturb less than wall time. Default reads:
the shared human reads, else the examples in data/. Default model: the shipped one, else an untrained `fast`, which
costs the same arithmetic but decodes few bases.
"""

# ruff: noqa: E402
import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

from biorrn.base.compute import prepare_libraries, set_threads

prepare_libraries()  # before torch

import numpy as np  # isort: skip
import torch  # isort: skip

from measure import interleaved, machine

from biorrn.base.compute import each_row
from biorrn.base.errors import BiorrnError
from biorrn.config.recipe import Chunks, load_recipe
from biorrn.nanopore.basecall.caller import basecall, calling_chunks, default_batch_size
from biorrn.nanopore.basecall.decode import DECODERS
from biorrn.nanopore.basecall.engine import choose
from biorrn.nanopore.models.catalogue import default_model
from biorrn.nanopore.readers.files import read_all
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored, load_model, save_model

# runs a command and prints its peak memory; a child of this process would count the memory of this one
PEAK = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"""
PLAIN = "plain forward"
BATCH, BATCHES = 64, 8  # of the plain forward pass a round
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BIORRN_SHARED_DATA", ROOT.parent / "shared" / "data"))
HUMAN = SHARED / "nanopore" / "human_r941" / "reads.blow5"
EXAMPLE = ROOT / "data" / "simulated_reads" / "simulated.blow5"


def model_of(name: str | None, scratch: Path) -> Stored:
    """Return a model by name, the shipped one, or an untrained one written to `scratch`."""
    try:
        return load_model(name or default_model())
    except BiorrnError:
        if name:
            raise
    torch.manual_seed(0)
    recipe = load_recipe("fast")
    facts = {"task": "basecalling", "normaliser": "medmad", "sample_rate": 4000.0, "stride": 5, "outputs": 5}
    save_model(scratch, build_model(recipe.model, 5), recipe, facts)
    return load_model(scratch)


def plain(stored: Stored, x: torch.Tensor, lengths: torch.Tensor) -> int:
    """Run only the model on full batches; return the number of samples."""
    with torch.inference_mode():
        for _ in range(BATCHES):
            stored.model(x, lengths)
    return BATCHES * x.shape[0] * x.shape[1]


def forward(stored: Stored, name: str, threads: int) -> Callable[[], int]:
    """Return a job that runs only an engine, on eight blocks."""
    stride = int(stored.facts["stride"])
    size = calling_chunks(stored.recipe.chunks or Chunks(), stride).samples
    engine = choose(stored, "cpu", batch_size=default_batch_size("cpu"), size=size, name=name)
    x = np.random.default_rng(0).normal(size=(engine.rows, size)).astype(np.float32)
    lengths = np.full(engine.rows, size)
    outs = np.empty((8, engine.rows, -(-size // stride), engine.symbols), np.float32)

    def block(number: int) -> None:
        engine.score(x, lengths, [[(0, len(out), out)] for out in outs[number]])

    def run() -> int:
        each_row(block, list(range(8)), threads if engine.parallel else 1)
        return 8 * x.size

    return run


def call(stored: Stored, reads: Path, threads: int, decoder: str, engine: str, count: int | None) -> int:
    """Basecall files in memory; return the raw samples of the calls."""
    records = islice(read_all([reads]), count)
    return sum(each.samples for each in basecall(stored, records, threads=threads, decoder=decoder, engine=engine))


def command(stored: Stored, reads: Path, threads: int, decoder: str, count: int | None, out: Path) -> float:
    """Run `biorrn basecall` on reads; return its peak resident memory (MB)."""
    words = [sys.executable, "-m", "biorrn", "basecall", str(reads), "--model", str(stored.path), "-o", str(out)]
    words += ["--threads", str(threads), "--decoder", decoder, *(["--max-reads", str(count)] if count else [])]
    done = subprocess.run([sys.executable, "-c", PEAK, *words], check=True, capture_output=True, text=True, cwd=ROOT)
    return float(done.stdout)


def process(stored: Stored, reads: Path, threads: int, decoder: str, count: int | None, out: Path, total: int) -> int:
    """Run the command on reads of `total` samples; return `total`."""
    command(stored, reads, threads, decoder, count, out)
    return total


def cpu_seconds() -> float:
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def compare(stored: Stored, arguments: argparse.Namespace, threads: int, scratch: Path) -> None:
    """Print one table."""
    set_threads(threads)
    samples = (stored.recipe.chunks or Chunks()).samples
    x, lengths = torch.randn(BATCH, samples, 1), torch.full((BATCH,), samples)
    total = sum(len(record.raw) for record in islice(read_all([arguments.reads]), arguments.count))
    jobs: dict[str, Callable[[], int]] = {PLAIN: partial(plain, stored, x, lengths)}
    for engine in ("float32", "auto"):
        jobs[f"forward, {engine}"] = forward(stored, engine, threads)
    for decoder in arguments.decoders:
        jobs[f"basecall, auto, {decoder}"] = partial(
            call, stored, arguments.reads, threads, decoder, "auto", arguments.count
        )
    for decoder in arguments.decoders:
        given = (stored, arguments.reads, threads, decoder, arguments.count, scratch / "calls.fastq", total)
        jobs[f"process, {decoder}"] = partial(process, *given)
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}

    def timed(name: str) -> None:
        start, before = time.perf_counter(), cpu_seconds()
        done = jobs[name]()
        rounds[name].append((done / (time.perf_counter() - start), done / (cpu_seconds() - before)))

    interleaved({name: partial(timed, name) for name in jobs}, arguments.repeats)
    print(f"\n{threads} thread{'s' * (threads > 1)}\tsamples/s: median, best\tof plain forward (range)\tby CPU time")
    base = rounds[PLAIN][1:]  # the first call of each warms up
    for name, (_, *taken) in rounds.items():
        rates = [rate for rate, _ in taken]
        parts = [rate / plain_rate for rate, (plain_rate, _) in zip(rates, base, strict=True)]
        cpu = statistics.median(each / plain_cpu for (_, each), (_, plain_cpu) in zip(taken, base, strict=True))
        print(
            f"{name}\t{statistics.median(rates):,.0f}, {max(rates):,.0f}"
            f"\t{statistics.median(parts):.2f} ({min(parts):.2f} to {max(parts):.2f})\t{cpu:.2f}",
            flush=True,
        )


def copies(reads: Path, times: int, folder: Path) -> Path:
    """Return a folder of copies of a file: one that is named twice is read once."""
    folder.mkdir()
    for number in range(times):
        shutil.copyfile(reads, folder / f"{number}{reads.suffix}")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--reads", type=Path, default=HUMAN if HUMAN.exists() else EXAMPLE)
    parser.add_argument("--count", type=int, help="reads a repeat; default: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--decoders", nargs="+", choices=DECODERS, default=["auto"], help="default: auto")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        stored = model_of(arguments.model, Path(scratch) / "model")
        print(machine("torch", "numba"))
        engine = choose(stored, "cpu", batch_size=BATCH, size=1000)
        print(f"# {stored.path.name}, reads of {arguments.reads.name}; auto is '{engine.name}'")
        for threads in arguments.threads:
            compare(stored, arguments, threads, Path(scratch))
        out = Path(scratch) / "calls.fastq"
        given = (stored, arguments.reads, 1, "auto", 1, out)
        taken = interleaved({"start": partial(command, *given)}, arguments.repeats)["start"]
        print(f"\nstart-up: one read in {statistics.median(taken):.2f} s, best {min(taken):.2f} s")
        if not arguments.no_memory:
            print("\ntimes the reads\tpeak resident memory, MB")
            threads = max(arguments.threads)
            few, many = (
                command(stored, copies(arguments.reads, n, Path(scratch) / str(n)), threads, "auto", None, out)
                for n in (1, 10)
            )
            print(f"1\t{few:.0f}\n10\t{many:.0f}\nratio\t{many / few:.3f}")


if __name__ == "__main__":
    main()
