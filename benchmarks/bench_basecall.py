"""Basecalling as a whole beside the bare forward pass of the same model, and peak memory at n and 10 n reads.

Run: python benchmarks/bench_basecall.py [--model RUN_DIR] [--threads 2] [--reads PATH] [--no-memory]

All rates are of raw samples a second; the jobs take turns within one process, and the ratio to the bare forward pass of
the same round is given with its range, because on a shared machine a round of one job may meet more noise than that of
another. Two columns do not depend on that: `raw/computed`, raw samples called for each sample that went through the
model (chunks overlap and the last batch is filled up), which bounds the ratio; and the part of the job's own time spent
in the forward pass, which decoding threads can stretch on few cores. A ratio above raw/computed is noise. Without
--model an untrained `ctc_fast` is used, which costs the same arithmetic but calls few bases, so decoding costs less
than it is with a trained model; without --reads and without the shared human reads, the signal is simulated.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

BARE = "bare forward"
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


class Watch:
    """Counts the samples that go through a model, and the seconds that takes."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.samples, self.seconds, self.start = 0, 0.0, 0.0
        model.register_forward_pre_hook(self.before)
        model.register_forward_hook(self.after)

    def before(self, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.start = time.perf_counter()

    def after(self, model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        self.seconds += time.perf_counter() - self.start
        self.samples += inputs[0].shape[0] * inputs[0].shape[1]


@dataclass
class Round:
    """One turn of one job."""

    samples: int  # raw
    seconds: float
    computed: int  # samples through the model
    forward: float  # seconds in the model

    @property
    def rate(self) -> float:
        return self.samples / self.seconds


def timed(run: Callable[[], int], watch: Watch, rounds: list[Round]) -> None:
    watch.samples, watch.seconds = 0, 0.0
    start = time.perf_counter()
    samples = run()
    rounds.append(Round(samples, time.perf_counter() - start, watch.samples, watch.seconds))


def forward(stored: Stored, x: torch.Tensor, lengths: torch.Tensor) -> int:
    """Run the bare model on full batches; return the samples that went through it."""
    with torch.inference_mode():
        for _ in range(BATCHES):
            stored.model(x, lengths)
    return BATCHES * x.shape[0] * x.shape[1]


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
    parser.add_argument("--repeats", type=int, default=7)
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
    print(machine("torch", "numba"))
    signal = f"reads of {reads[0].name}" if reads else "simulated reads"
    print(f"# {stored.path.name}, {arguments.count} {signal}, {arguments.threads} threads")
    samples = (stored.recipe.chunks or Chunks()).samples
    x, lengths = torch.randn(arguments.batch_size, samples, 1), torch.full((arguments.batch_size,), samples)
    runs: dict[str, Callable[[], int]] = {BARE: partial(forward, stored, x, lengths)}
    runs |= {f"basecall, {decoder}": partial(call, stored, reads, arguments, decoder) for decoder in DECODERS}
    rounds: dict[str, list[Round]] = {name: [] for name in runs}
    watch = Watch(stored.model)
    interleaved({name: partial(timed, run, watch, rounds[name]) for name, run in runs.items()}, arguments.repeats)
    print("what\tsamples/s (median, range)\tof bare forward (median, range)\traw/computed\tof own time in forward")
    bare = [each.rate for each in rounds[BARE][1:]]  # the first call of each warms up
    for name, (_, *taken) in rounds.items():
        rates = [each.rate for each in taken]
        parts = [rate / base for rate, base in zip(rates, bare, strict=True)]
        inside = statistics.median(each.forward / each.seconds for each in taken)
        print(
            f"{name}\t{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
            f"\t{statistics.median(parts):.3f} ({min(parts):.3f} to {max(parts):.3f})"
            f"\t{taken[0].samples / taken[0].computed:.3f}\t{inside:.3f}"
        )
    if not arguments.no_memory:
        print("\nsimulated reads of 50,000 samples\tpeak resident memory, MB")
        few, many = (peak_memory(arguments, count) for count in (8, 80))
        print(f"8\t{few:.0f}\n80\t{many:.0f}\nratio\t{many / few:.3f}")


if __name__ == "__main__":
    main()
