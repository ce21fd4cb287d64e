"""Accuracy and cost of `biorrn basecall --split-reads` and `--estimate-poly-a`, on simulated reads and on real ones.

    python benchmarks/bench_molecules.py --real ../shared/data/nanopore/lambda_r941/fast5 \\
        --rna ../shared/data/nanopore/kmer_models/rna004_5mer.tsv \\
        --tails ../shared/data/nanopore/chemistry/rna004_polya_50.pod5

Chimeras: reads of which a fifth hold two molecules with open pore between them, as of `biorrn simulate --chimeras 0.2`.
Reported are those split into two at the open pore, by the signal alone and together with the adapters in the call, and
the reads of one molecule that are split. Real reads of `--real`: how many are split; those that the model is not for by
their signal alone.

Tails: reads as of `biorrn simulate --poly-a 10-250`; the error of the length. The pore model lets a strand of A stay
18 % longer in each place than the mean of all, and T 9 %; with `even` dwells all bases take the same time. Direct RNA:
signal of a pore model given by `--rna` (k-mer and level), an adapter of lower level, tail and molecule; its length by
the speed of the chemistry, and by that of the read, as a call tells it. Real reads of `--tails`: their longest tail, by
the speed of their chemistry.

Runs: aligned BAM files with move tables and MD, as of `biorrn basecall --reference`, given by `--runs`: the time that a
base takes in runs of A and of T in the reference, by the moves of the bases before and behind the run, beside the mean
of the read. It is 1 where the speed of the read, by which tails are measured, holds in a tail too.

Cost: CPU time of both options beside that of calling.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysam

from biorrn.nanopore.basecall.caller import Call, Caller
from biorrn.nanopore.basecall.splitting import Splitter, parts_of_signal
from biorrn.nanopore.basecall.tails import PAUSE, Tails, behind_adapter, flat_stretches, measure
from biorrn.nanopore.chemistry import CHEMISTRIES, chemistry_of
from biorrn.nanopore.readers.files import read_all
from biorrn.nanopore.simulate.pore_model import Device, PoreModel, kmers, load_pore_model
from biorrn.nanopore.simulate.reads import Settings, Simulator, Truth, random_genome, simulate
from biorrn.nn.store import find_model, load_model
from biorrn.sequences.records import SignalRecord

NEAR, BEHIND = 100, 4000  # samples: by the signal; by the call, whose part begins behind stall and adapter
MODEL = "dna_r9.4.1_6mer"
TAIL = (10, 250)  # bases


def simulated(settings: Settings, count: int, seed: int, even: bool = False) -> list[tuple[SignalRecord, Truth]]:
    """Return simulated reads of a random genome; `even`: all bases take the same time on average."""
    model = load_pore_model(MODEL)
    if even:
        model = replace(model, dwell=np.full_like(model.dwell, model.dwell.mean()))
    return list(simulate(random_genome("500000:0.5", seed), model, settings, reads=count, seed=seed))


def called(
    caller: Caller, records: Iterable[SignalRecord], splitter: Splitter | None, tails: Tails | None
) -> list[Call]:
    """Return the calls of reads, as `biorrn basecall` makes them."""
    calls = caller.calls(records if splitter is None else splitter.records(records))
    calls = calls if splitter is None else splitter.calls(calls)
    return list(calls if tails is None else tails.measured(calls))


def chimeras(caller: Caller, count: int, seed: int) -> None:
    """Print how many reads of two molecules are split, and how many of one."""
    reads = simulated(Settings(2500, 3, chimeras=0.2), count, seed)
    truth = {record.read_id: labels for record, labels in reads}
    double = {name for name, labels in truth.items() if labels.second}
    starts: dict[str, list[int]] = {}
    alone: dict[str, list[int]] = {}
    for record, _ in reads:
        alone[record.read_id] = [part.parent_start for part in parts_of_signal(record)]
    for call in called(caller, (record for record, _ in reads), Splitter(), None):
        starts.setdefault(call.record.parent or call.read_id, []).append(call.record.parent_start)
    for name, found in (("the signal", alone), ("signal and adapters", starts)):
        split = {each for each, parts in found.items() if len(parts) > 1}
        reach = NEAR if found is alone else BEHIND
        places = {each: (found[each], truth[each].open_pore) for each in double & split}
        right = sum(
            len(parts) == 2 and start - NEAR <= parts[1] <= end + reach for parts, (start, end) in places.values()
        )
        share = 100 * len(places) / len(double)
        print(f"{len(double)} reads of two molecules: split by {name} {share:.1f} %, into two at the open pore "
              f"{100 * right / len(double):.1f} %; of {count - len(double)} of one molecule "
              f"{len(split - double)} split", flush=True)  # fmt: skip


def singles(count: int, seed: int) -> None:
    """Print how many simulated reads of one molecule are split by their signal."""
    made = simulate(
        random_genome("500000:0.5", seed), load_pore_model(MODEL), Settings(2500, 3), reads=count, seed=seed + 1
    )
    split = sum(len(parts_of_signal(record)) > 1 for record, _ in made)
    print(f"{count} more reads of one molecule: {split} split by the signal", flush=True)


def real(caller: Caller, paths: list[Path]) -> None:
    """Print how many real reads are split."""
    for path in paths:
        records = list(read_all([path], lambda problem: None))
        fit = [record for record in records if caller.fault(record) is None]
        by_signal = [record.read_id for record in records if len(parts_of_signal(record)) > 1]
        splitter = Splitter(caller.rna)
        ids = {call.record.parent for call in called(caller, fit, splitter, None)} - {""}
        print(f"{path.name}: {len(records)} reads, {len(by_signal)} split by the signal {' '.join(by_signal)}; of "
              f"{len(fit)} that are called {len(ids)} split {' '.join(ids)}", flush=True)  # fmt: skip


def errors(name: str, true: np.ndarray, found: np.ndarray) -> None:
    """Print the errors of lengths in bases; NaN was not found."""
    off = found - true
    kept = np.isfinite(off)
    parts = [f"found {100 * kept.mean():.1f} %"]
    for low, high in ((TAIL[0], TAIL[1] + 1), (TAIL[0], 50), (50, 100), (100, TAIL[1] + 1)):
        some = off[kept & (true >= low) & (true < high)]
        parts.append(
            f"{low} to {high - 1}: median absolute error {np.median(np.abs(some)):.1f}, bias {np.median(some):+.1f}"
        )
    print(f"tails of {name}, {len(true)} reads: {'; '.join(parts)}", flush=True)


def cdna(caller: Caller, count: int, seed: int, even: bool) -> None:
    """Print the errors of tails of simulated cDNA."""
    reads = simulated(Settings(1500, 4, poly_a=TAIL), count, seed, even)
    tails = {call.read_id: call.tail for call in called(caller, (record for record, _ in reads), None, Tails())}
    lengths = {name: float(tail.length) for name, tail in tails.items() if tail is not None}
    found = np.array([lengths.get(record.read_id, np.nan) for record, _ in reads])
    true = np.array([labels.poly_a for _, labels in reads])
    turned = np.array([labels.poly_a_span[0] < labels.starts[0] for _, labels in reads])
    for base, rows in (("A", ~turned), ("T", turned)):
        errors(f"poly({base}) of cDNA{', even dwells' if even else ''}", true[rows], found[rows])


def rna_model(path: Path, rate: float, speed: float) -> PoreModel:
    """Return a pore model of RNA in the order of the signal, 3' to 5', from a table of k-mers and levels."""
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    level = {row[0].replace("U", "T"): float(row[1]) for row in rows if set(row[0]) <= set("ACGTU")}
    k = len(next(iter(level)))
    values = np.array([level[kmer[::-1]] for kmer in kmers(k)])
    values = (values - np.median(values)) / (1.4826 * np.median(np.abs(values - np.median(values))))
    ones = np.ones(4**k)
    # noise of the tail and speed about as in real reads
    device = Device(rate, 79.0, 17.8, 4.0, 1.0, 0.15, (0.2, 0.1), 0.03, 0.9, 5.0)
    events = np.zeros(4**k, int)
    return PoreModel(
        k, k // 2, values, 0.12 * ones, 0.12 * ones, rate / speed * ones, 0.7 * ones, events, events, device
    )


def rna(path: Path, chemistry: str, count: int, seed: int) -> None:
    """Print the errors of tails of simulated direct RNA."""
    entry, rng = CHEMISTRIES[chemistry], np.random.default_rng([seed, 9])
    model = rna_model(path, entry.rate, entry.speed)
    simulator, nominal = Simulator(model, Settings(), seed), entry.rate / entry.speed
    true, by_speed, by_read = [], [], []
    for _ in range(count):
        size = int(rng.integers(TAIL[0], TAIL[1] + 1))
        adapter, molecule = rng.integers(1, 5, 40), rng.integers(1, 5, int(rng.gamma(4, 250)) + 200)
        bases = np.concatenate([adapter, np.ones(size, int), molecule]).astype(np.uint8)
        units, edges = simulator.current(bases, rng)
        units[: edges[40]] = 0.4 * units[: edges[40]] - 1.0
        stall = -0.9 + 0.12 * rng.standard_normal(int(entry.rate * rng.lognormal(-1, 0.5)))
        current = (np.concatenate([stall, units]) * 17.8 + 79.0).astype(np.float32)
        each = (edges[-1] - edges[40 + size]) / len(molecule)
        found = behind_adapter(current, nominal)
        tails = [None if found is None else measure(current, *found, speed, True) for speed in (nominal, each)]
        true.append(size)
        for tail, lengths in zip(tails, (by_speed, by_read), strict=True):
            lengths.append(np.nan if tail is None else tail.length)
    for name, lengths in (("the chemistry", by_speed), ("the read", by_read)):
        errors(f"simulated {chemistry}, by the speed of {name}", np.array(true), np.array(lengths))


def real_tails(paths: list[Path]) -> None:
    """Print the tails of real reads, by the speed of their chemistry."""
    for path in paths:
        lengths = []
        for record in read_all([path], lambda problem: None):
            entry = CHEMISTRIES[chemistry_of(record).names[0]]
            current, each = record.picoamperes(), record.sample_rate / entry.speed
            stretches = flat_stretches(current, each)
            longest = max(stretches, key=lambda span: span[1] - span[0], default=None)
            found = behind_adapter(current, each) if entry.molecule == "RNA" else longest
            tail = None if found is None else measure(current, *found, each, True)
            lengths.append(np.nan if tail is None else tail.length)
            if len(lengths) <= 3:
                print(f"{path.name}: {record.read_id}: {tail}")
        kept = np.array(lengths)[np.isfinite(lengths)]
        print(f"{path.name}: {len(kept)} of {len(lengths)} reads have a tail; quartiles "
              f"{np.quantile(kept, [0.25, 0.5, 0.75]) if len(kept) else ''}", flush=True)  # fmt: skip


def time_in_runs(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the length of each run of A and of T, in the direction of the signal, and its time a base (read = 1)."""
    found: dict[str, list[tuple[int, float]]] = {"A": [], "T": []}
    with pysam.AlignmentFile(str(path), check_sq=False) as file:
        for record in file:
            if record.is_unmapped or record.is_secondary or record.is_supplementary:
                continue
            stride, *moves = np.asarray(record.get_tag("mv"), np.int64).tolist()
            edges = stride * np.append(np.flatnonzero(moves), len(moves))
            pairs = [(place, base) for place, _, base in record.get_aligned_pairs(with_seq=True) if base]
            bases, places = "".join(base.upper() for _, base in pairs), [place for place, _ in pairs]
            times, query, size = np.diff(edges), record.query_sequence or "", len(edges) - 1
            aligned = [place for place in places if place is not None]
            first, last = aligned[0], aligned[-1] + 1
            own = times[size - last : size - first] if record.is_reverse else times[first:last]
            each = own[own <= PAUSE * np.median(times)].sum() / len(bases)
            for run in re.finditer("A{6,}|T{6,}", bases):
                begin, end = run.start() - 1, run.end()
                if begin < 0 or end >= len(bases):
                    continue
                before, behind = places[begin], places[end]
                if before is None or behind is None or (query[before], query[behind]) != (bases[begin], bases[end]):
                    continue
                if record.is_reverse:
                    before, behind = size - 1 - behind, size - 1 - before
                taken = (edges[behind] - edges[before + 1]) / (each * len(run[0]))
                if taken <= PAUSE:
                    base = run[0][0]
                    found[{"A": "T", "T": "A"}[base] if record.is_reverse else base].append((len(run[0]), taken))
    return found


def runs(paths: Iterable[Path]) -> None:
    """Print the time a base in runs of A and T, with 95 % intervals of the bootstrap over runs."""
    rng = np.random.default_rng(0)
    several = [time_in_runs(path) for path in paths]
    for base in "AT" if several else "":
        held = np.array([run for found in several for run in found[base]]).reshape(-1, 2)
        for low, high in ((6, 9), (10, 14), (15, 1000)):
            times = held[(held[:, 0] >= low) & (held[:, 0] <= high), 1]
            if len(times) > 1:
                spread = np.quantile(rng.choice(times, (2000, len(times))).mean(1), [0.025, 0.975])
                print(f"runs of {base}, {low} to {high} bases: {len(times)}; time a base {times.mean():.3f} "
                      f"({spread[0]:.3f} to {spread[1]:.3f})", flush=True)  # fmt: skip


def cost(name: str, count: int, seed: int) -> None:
    """Print the CPU time of both options beside that of calling: the least of five, of the quietest moment."""
    reads = [record for record, _ in simulated(Settings(5000, 4), count, seed)]
    caller, splitter, tails = Caller(load_model(find_model(name)), keep_signal=True), Splitter(), Tails()
    calls = list(caller.calls(reads))

    def seconds(work: Callable[[], Iterable[object]]) -> float:
        times = []
        for _ in range(5):
            began = time.process_time()
            for _ in work():
                pass
            times.append(time.process_time() - began)
        return min(times)

    calling = seconds(lambda: caller.calls(reads))
    split = seconds(lambda: splitter.records(reads)) + seconds(lambda: splitter.calls(calls))
    measured = seconds(lambda: tails.measured(calls))
    print(f"{name}: calling {calling:.2f} s of CPU time; splitting {100 * split / calling:.1f} % of that, tails "
          f"{100 * measured / calling:.1f} %", flush=True)  # fmt: skip


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hac", help="basecaller for R9.4.1 DNA")
    parser.add_argument("--reads", type=int, default=500, help="simulated reads of each kind")
    parser.add_argument("--singles", type=int, default=2000, help="simulated reads of one molecule, not called")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="real reads to be split")
    parser.add_argument("--rna", type=Path, help="table of k-mers and levels of RNA004")
    parser.add_argument("--tails", type=Path, nargs="*", default=[], help="real reads with tails")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="aligned BAM files with move tables")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    caller = Caller(load_model(find_model(asked.model)), keep_signal=True)
    chimeras(caller, asked.reads, asked.seed)
    singles(asked.singles, asked.seed)
    real(caller, asked.real)
    for even in (False, True):
        cdna(caller, asked.reads, asked.seed, even)
    if asked.rna is not None:
        rna(asked.rna, "rna004_130bps", asked.reads, asked.seed)
    real_tails(asked.tails)
    runs(asked.runs)
    cost(asked.model, 60, asked.seed)


if __name__ == "__main__":
    main()
