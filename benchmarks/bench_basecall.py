"""Basecalling as a whole beside the bare forward pass of the same model, and peak memory at n and 10 n reads.

Run: python benchmarks/bench_basecall.py [--model RUN_DIR] [--threads 2] [--reads PATH] [--no-memory]

Both rates are of raw samples a second, measured in turns within one process. Chunks overlap, so the bare forward pass
itself calls only (samples - overlap) / samples of what it computes: that bound stands in the last column. Without
--model an untrained `ctc_fast` is used, which costs the same arithmetic; without --reads and without the shared human
reads, the signal is simulated.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from biorrn.device import set_threads  # before torch: it sets how idle threads wait

import numpy as np  # isort: skip
import torch  # isort: skip

from measure import interleaved, machine

from biorrn.config import Chunks, load_recipe
from biorrn.inference.basecall import basecall
from biorrn.inference.decoders import DECODERS
from biorrn.models.sequence import build_model
from biorrn.models.store import Stored, load_model
from biorrn.readers.records import SignalRecord
from biorrn.readers.signal import read_all

BATCHES = 8  # of the bare forward pass a round
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BIORRN_SHARED_DATA", ROOT.parent / "shared" / "data"))
HUMAN = SHARED / "nanopore" / "human_r941" / "reads.blow5"


def model_of(name: str | None) -> Stored:
    if name:
        return load_model(name)
    torch.manual_seed(0)
    recipe = load_recipe("ctc_fast")
    facts = {"task": "basecalling", "normaliser": "medmad", "sample_rate": 4000.0, "stride": 5}
    model = build_model(recipe.model, 5)
    with torch.no_grad():
        model.head.output[-1].bias[0] = -1.0  # untrained, it would call few bases
    return Stored(model.eval(), recipe, facts, Path("untrained ctc_fast"))


def simulated(count: int, samples: int = 100_000) -> Iterator[SignalRecord]:
    rng = np.random.default_rng(0)
    for number in range(count):
        levels = np.repeat(rng.normal(500, 90, samples // 10), 10)
        raw = (levels + rng.normal(0, 15, samples)).astype(np.int16)
        yield SignalRecord(f"simulated-{number}", raw, 0.0, 0.18, 4000.0)


def forward(stored: Stored, batch_size: int) -> int:
    """Run the bare model on full batches; return the samples that went through it."""
    samples = (stored.recipe.chunks or Chunks()).samples
    x, lengths = torch.randn(batch_size, samples, 1), torch.full((batch_size,), samples)
    with torch.inference_mode():
        for _ in range(BATCHES):
            stored.model(x, lengths)
    return BATCHES * batch_size * samples


def call(stored: Stored, reads: list[Path], arguments: argparse.Namespace, decoder: str) -> int:
    """Go from files to calls in memory; return the raw samples called."""
    records = islice(read_all(reads), arguments.count) if reads else simulated(arguments.count)
    calls = basecall(stored, records, batch_size=arguments.batch_size, threads=arguments.threads, decoder=decoder)
    return sum(each.samples for each in calls)


def peak_memory(arguments: argparse.Namespace, count: int) -> float:
    """Return the peak resident memory, in MB, of a process of its own that calls `count` simulated reads."""
    command = [sys.executable, __file__, "--child", str(count), "--threads", str(arguments.threads)]
    command += ["--model", arguments.model] if arguments.model else []
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--reads", type=Path, default=HUMAN)
    parser.add_argument("--count", type=int, default=10, help="reads a repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.threads = set_threads(arguments.threads)
    stored = model_of(arguments.model)
    if arguments.child:
        for _ in basecall(stored, simulated(arguments.child, 50_000), threads=arguments.threads):
            pass
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return

    reads = [arguments.reads] if arguments.reads.exists() else []
    chunks = stored.recipe.chunks or Chunks()
    bound = (chunks.samples - chunks.overlap) / chunks.samples
    print(machine("torch", "numba"))
    signal = f"reads of {reads[0].name}" if reads else "simulated reads"
    print(f"# {stored.path.name}, {arguments.count} {signal}, {arguments.threads} threads")
    samples: dict[str, int] = {}

    def work(name: str, run: Callable[[], int]) -> Callable[[], None]:
        return lambda: samples.update({name: run()})

    jobs = {"bare forward": work("bare forward", lambda: forward(stored, arguments.batch_size))}
    for decoder in DECODERS:
        name = f"basecall, {decoder}"
        jobs[name] = work(name, partial(call, stored, reads, arguments, decoder))
    seconds = interleaved(jobs, arguments.repeats)
    print("what\tsamples/s (median)\tlowest\thighest\tof bare forward\tbound by overlap")
    rates = {name: [samples[name] / second for second in taken] for name, taken in seconds.items()}
    for name, found in rates.items():
        part = statistics.median(a / b for a, b in zip(found, rates["bare forward"], strict=True))
        limit = "" if name == "bare forward" else f"{bound:.3f}"
        print(f"{name}\t{statistics.median(found):,.0f}\t{min(found):,.0f}\t{max(found):,.0f}\t{part:.3f}\t{limit}")
    if not arguments.no_memory:
        print("\nsimulated reads of 50,000 samples\tpeak resident memory, MB")
        few, many = (peak_memory(arguments, count) for count in (8, 80))
        print(f"8\t{few:.0f}\n80\t{many:.0f}\nratio\t{many / few:.3f}")


if __name__ == "__main__":
    main()
