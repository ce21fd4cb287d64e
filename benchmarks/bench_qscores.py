"""Benchmark of Q-scores: calibration on real reads of ../shared/data, and scores of noise and of other chemistries.

Reads are called, aligned and evaluated as by `biorrn evaluate basecalls`. Noise has another seed, and other kinds,
than in `biorrn evaluate calibrate`; reads of other chemistries are called with --force. The gap is the mean of
|predicted - observed Q| over the qualities from Q3 to Q25 with enough bases.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from measure import machine

from biorrn.nanopore.alignment import AlignmentMapper, Region
from biorrn.nanopore.basecall.caller import basecall
from biorrn.nanopore.evaluate.calibrate import ALIGNED, noise_records
from biorrn.nanopore.evaluate.identity import Score, Scores, score_reads
from biorrn.nanopore.evaluate.reliability import FEWEST, q_gap
from biorrn.nanopore.readers.calls import BaseCall, mean_phred
from biorrn.nanopore.readers.files import read_all
from biorrn.nn.store import load_model
from biorrn.sequences.records import SignalRecord
from biorrn.stats.metrics import METRICS

COLI, KLEBSIELLA = "references/ecoli_K12_MG1655.fna.gz", "references/klebsiella_MGH78578.fna.gz"


def tenth(read: Score) -> bool:
    """Return whether a Klebsiella read is in the tenth chosen by id, or in the first tenth of the chromosome."""
    return hashlib.sha1(read.read_id.encode()).digest()[0] % 10 == 0 or read.ref_start < 531_512


# name -> reads, reference, region, which of the scored reads
Good = tuple[str, str, Region | None, Callable[[Score], bool]]
GOOD: dict[str, Good] = {
    "lambda 0-12,000": ("lambda_r941/fast5", "lambda_r941/reference.fasta", Region("Lambda_NEB", 0, 12_000), bool),
    "E. coli of 2016": ("ecoli_r94", COLI, None, bool),
    "  its second contig": ("ecoli_r94", COLI, Region("NC_000913.3", 514_000, 531_000), bool),
    "Klebsiella": ("klebsiella_r941", KLEBSIELLA, None, bool),
    "  a tenth of it": ("klebsiella_r941", KLEBSIELLA, None, tenth),
}
POOLED = ("lambda 0-12,000", "E. coli of 2016", "  a tenth of it")
UNKNOWN = ("human_r941_targetcall",)  # good reads without a reference
# none of these reads is among those that workflow/basecaller.smk calibrates with
OTHER = {
    "R10.4.1, human": "human_r1041",
    "R10, RNA: one-read files": "chemistry",
    "RNA002, ELIGOS": "rna002_tandemmod/eligos_unmod.fast5",
    "RNA002, HEK293T": "rna002_tandemmod/hek293t_native_tombo.fast5",
    "RNA004, tRNA": "rna004_trna_squiggy",
}
OWN = "dna_r9.4.1"  # in the name of a file of `chemistry`: the model's own


def unseen_noise(like: list[np.ndarray], rate: float, each: int = 8) -> Iterator[SignalRecord]:
    """Yield noise of kinds that are not used in calibration."""
    rng = np.random.default_rng(5)
    for number in range(each):
        n = int(rng.integers(2_000, 40_000))
        switches = np.cumsum(rng.random(n) < rng.uniform(0.01, 0.3)) % 2
        phase = np.arange(n) * rng.uniform(0.001, 0.1)
        made = {
            "uniform": rng.uniform(40, 140, n),
            "two levels": 70 + 30 * switches + rng.normal(0, rng.uniform(0.5, 4), n),
            "ramps": 60 + 50 * (phase % 1) + rng.normal(0, 2, n),
            "spikes": rng.normal(100, 2, n) + 80 * (rng.random(n) < rng.uniform(0.01, 0.2)),
            "backwards": np.resize(like[number % len(like)], n)[::-1],
        }
        for name, current in made.items():
            raw = np.rint(current / 0.2).astype(np.int16)
            yield SignalRecord(f"{name} {number}", raw, offset=0.0, scale=0.2, sample_rate=rate)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/nanopore"))
    parser.add_argument("--model", default="dna_r9.4.1_fast")
    parser.add_argument("--decoder", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reads", type=int, default=100, help="of each file or folder of rubbish")
    parser.add_argument("--limit", type=float, default=7.0, help="a mean Q below which a read is left out")
    parser.add_argument("--bins", action="store_true", help="print the observed Q of each promised Q")
    options = parser.parse_args()
    stored = load_model(options.model)
    rate = float(stored.facts["sample_rate"])

    def call(records: Iterable[SignalRecord]) -> Iterator[BaseCall]:
        for one in basecall(stored, records, decoder=options.decoder, threads=options.threads, force=True):
            yield BaseCall(one.read_id, one.bases, one.quals)

    def files(name: str) -> Iterator[SignalRecord]:
        return read_all([options.data / name], lambda problem: None)

    print(machine("numpy", "torch"))
    print(f"# {options.model}, decoder {options.decoder}; a quality counts from {FEWEST} bases on")
    print(f"{'good reads':22} {'reads':>5} {'bases':>7} {'Q from-to':>9} {'gap':>5} {'Pearson':>7} {'Spearman':>8} "
          f"{'mean Q':>6} {'below':>6}")  # fmt: skip
    called: dict[str, list[BaseCall]] = {}
    pooled = Scores()
    for name, (folder, reference, region, chosen) in GOOD.items():
        if folder not in called:
            called[folder] = list(call(files(folder)))
        mapper = AlignmentMapper(options.data / reference)
        found = score_reads(called[folder], mapper.align, region)
        kept = {read.read_id for read in found.scored() if read.aligned_fraction >= ALIGNED and chosen(read)}
        found = score_reads([one for one in called[folder] if one.id in kept], mapper.align, region)
        row(name, found, options.limit, options.bins)
        if name in POOLED:
            pooled.reads += found.reads
            pooled.bases += found.bases
            pooled.errors += found.errors
    row("lambda, E. coli, tenth", pooled, options.limit, options.bins)

    print(f"\n{'other reads':26} {'reads':>5} {'median mean Q':>13} {'highest':>7} {'below':>6}")
    for name in UNKNOWN:
        plain(f"good: {name}", call(files(name)), options.limit)
    like = [record.picoamperes()[4_000:] for record in islice(files(UNKNOWN[0]), 8)]
    plain("noise, kinds as calibrated", call(noise_records(like, rate, each=8, seed=99)), options.limit, kinds=True)
    plain("noise, other kinds", call(unseen_noise(like, rate)), options.limit, kinds=True)
    for name, folder in OTHER.items():
        records = (one for one in files(folder) if OWN not in one.source.name)
        plain(name, call(islice(records, options.reads)), options.limit)


def row(name: str, found: Scores, limit: float, bins: bool) -> None:
    """Print one line for reads with a reference."""
    reads = found.scored()
    q, identity = (np.array([getattr(read, key) for read in reads]) for key in ("mean_q", "identity"))
    counted = [value for value in range(3, 26) if found.bases[value] >= FEWEST]
    print(f"{name:22} {len(reads):5} {found.bases.sum():7} {f'{counted[0]}-{counted[-1]}':>9} "
          f"{q_gap(found.bases, found.errors):5.2f} {METRICS['pearson'](identity, q):7.3f} "
          f"{METRICS['spearman'](identity, q):8.3f} {np.median(q):6.1f} {(q < limit).mean():6.1%}",
          flush=True)  # fmt: skip
    if bins:
        observed = {value: -10 * np.log10(max(found.errors[value], 0.5) / found.bases[value]) for value in counted}
        print("    " + " ".join(f"{value}:{seen:.1f}" for value, seen in observed.items()))


def plain(name: str, calls: Iterable[BaseCall], limit: float, kinds: bool = False) -> None:
    """Print one line for reads without a reference, and with `kinds` one per prefix of their ids."""
    found = [(one.id.rsplit(" ", 1)[0], mean_phred(one.quals)) for one in calls]
    for kind in ["", *(sorted({kind for kind, _ in found}) if kinds else [])]:
        q = np.array([value for its, value in found if kind in ("", its)])
        first = f"  {kind}" if kind else name
        print(f"{first:26} {len(q):5} {np.median(q):13.1f} {q.max():7.1f} {(q < limit).mean():6.1%}", flush=True)


if __name__ == "__main__":
    main()
