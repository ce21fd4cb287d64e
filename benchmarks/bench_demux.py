"""Accuracy and speed of `biorrn demux` and `biorrn trim` on reads with made-up errors, and on real reads.

    python benchmarks/bench_demux.py --genome ../shared/data/nanopore/references/ecoli.fasta --calls calls.fastq

Simulated reads: an insert of the genome between adapter, flanks and barcode of a kit at both ends, each base with a
substitution, deletion or insertion (a third each) so that their identity is that asked. The last bases of a read are
cut off at random, up to 20, as in real reads. Reported are the reads with the right and a wrong barcode, and of the
right ones how many are cut to within 3 bases of the insert. Real reads: pieces from the middle of the calls, which hold
no barcode. Two molecules in one read: two such inserts with adapters. Speed: reads of 5,000 bases on one thread, the
search alone, in CPU time.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from biorrn.nanopore.alignment import reverse_complement
from biorrn.nanopore.readers.calls import called_reads
from biorrn.nanopore.reads.demux import Demultiplexer
from biorrn.nanopore.reads.kits import find_kit
from biorrn.nanopore.reads.split import parts_of
from biorrn.nanopore.reads.trim import Adapters, Windows, bases_of
from biorrn.nanopore.simulate.reads import read_genome
from biorrn.sequences.alphabets import decode_bases

KITS = (
    *("EXP-NBD104", "SQK-NBD114-24", "EXP-NBD196", "SQK-RBK004", "SQK-RBK114-96", "EXP-PBC096", "SQK-PCB114-24"),
    *("SQK-MAB114-24", "TWIST-16-UDI", "TWIST-96A-UDI"),
)
ADAPTER, TAIL = "AATGTACTTCGTTCAGTTACGTATTGCT", "GCAATACGTAACTGAACGAAGT"
PIECE, LONG, NEAR = 1000, 5000, 3  # bases


def noisy(rng: np.random.Generator, bases: str, identity: float) -> str:
    """Return bases with errors."""
    draws, letters = rng.random(len(bases)) / (1 - identity), rng.integers(0, 4, len(bases))
    made = []
    for base, draw, letter in zip(bases, draws, letters, strict=True):
        other = "ACGT"[letter]
        if other == base:
            other = "ACGT"[(letter + 1) % 4]
        made.append("" if draw < 1 / 3 else other if draw < 2 / 3 else base + other if draw < 1 else base)
    return "".join(made)


def inserts(rng: np.random.Generator, genome: str, count: int) -> list[str]:
    """Return pieces of either strand."""
    starts = rng.integers(0, len(genome) - PIECE, count)
    return [
        genome[start : start + PIECE] if turn else reverse_complement(genome[start : start + PIECE])
        for start, turn in zip(starts, rng.integers(0, 2, count), strict=True)
    ]


def barcoded(rng: np.random.Generator, name: str, genome: str, count: int, identity: float) -> None:
    """Print the accuracy for a kit."""
    kit = find_kit(name)
    demultiplexer, names = Demultiplexer(kit), list(kit.barcodes)
    reads, truth, places = [], [], []
    for insert in inserts(rng, genome, count):
        which = int(rng.integers(len(names)))
        made = [before + barcodes[names[which]] + after for before, barcodes, after in kit.pairs()]
        order = rng.permutation(len(made))
        front = noisy(rng, ADAPTER[int(rng.integers(20)) :] + made[order[0]], identity)
        inside = noisy(rng, insert, identity)
        rear = reverse_complement(made[order[-1]]) if kit.both else ""
        rear = noisy(rng, rear + TAIL, identity)
        reads.append(front + inside + rear[: len(rear) - int(rng.integers(20))])
        truth.append(which)
        places.append((len(front), len(front) + len(inside)))
    windows = Windows.of(reads)
    found = demultiplexer(windows)
    right = found.barcode == np.array(truth)
    wrong = (found.barcode >= 0) & ~right
    near = np.abs(np.array([found.start, found.end]).T - places)[right] <= NEAR
    ends = f"{100 * near[:, 0].mean():.1f}" + (f"; {100 * near[:, 1].mean():.1f}" if kit.both else "")
    print(
        f"{name}, {len(names)} barcodes, identity {identity:.2f}: right {100 * right.mean():.2f} %, wrong "
        f"{100 * wrong.mean():.3f} %; cut to within {NEAR} bases at the start; end: {ends} %",
        flush=True,
    )
    outside = kit.outside()
    if outside.adapters:  # as `basecall` does without --kit
        cut = Adapters([outside], "adapters")(windows)
        kept = [read[start:end] for read, start, end in zip(reads, cut.start, cut.end, strict=True)]
        same = demultiplexer(Windows.of(kept)).barcode
        wrong = ((same >= 0) & (same != truth)).mean()
        print(
            f"  after its adapters alone are cut: right {100 * (same == truth).mean():.2f} %, wrong {100 * wrong:.3f} %"
        )


def adapters(rng: np.random.Generator, genome: str, count: int, identity: float) -> None:
    """Print how well the ligation adapter is cut."""
    search, reads, places = Adapters([find_kit("SQK-LSK109")], "adapters"), [], []
    for insert in inserts(rng, genome, count):
        front, inside = noisy(rng, ADAPTER[int(rng.integers(10)) :], identity), noisy(rng, insert, identity)
        rear = noisy(rng, TAIL, identity)
        reads.append(front + inside + rear[: len(rear) - int(rng.integers(5))])
        places.append((len(front), len(front) + len(inside)))
    found = search(Windows.of(reads))
    near = np.abs(np.array([found.start, found.end]).T - places) <= NEAR
    print(f"SQK-LSK109, identity {identity:.2f}: adapter cut to within {NEAR} bases at the start "
          f"{100 * near[:, 0].mean():.1f} %, at the end {100 * near[:, 1].mean():.1f} %")  # fmt: skip


def doubles(rng: np.random.Generator, genome: str, count: int, identity: float) -> None:
    """Print how many reads of two molecules are split, and how many of one."""
    found = near = 0
    for insert, other in zip(inserts(rng, genome, count), inserts(rng, genome, count), strict=True):
        parts = (ADAPTER + insert, TAIL, ADAPTER[int(rng.integers(8)) :], other + TAIL)
        first, tail, adapter, second = (noisy(rng, part, identity) for part in parts)
        made = parts_of(bases_of(first + tail + adapter + second))
        found += len(made) == 2
        if len(made) == 2:
            places = (len(first), len(first) + len(tail) + len(adapter))
            near += max(abs(made[0][1] - places[0]), abs(made[1][0] - places[1])) <= NEAR
    starts = rng.integers(0, len(genome) - LONG, count)
    alone = [len(parts_of(bases_of(genome[start : start + LONG]))) for start in starts]
    print(f"two molecules, identity {identity:.2f}: split {100 * found / count:.2f} %, of these both ends to within "
          f"{NEAR} bases {100 * near / max(1, found):.1f} %; of one molecule of {LONG:,} bases, split "
          f"{100 * (np.array(alone) > 1).mean():.3f} %", flush=True)  # fmt: skip


def unbarcoded(pieces: list[str], source: str) -> None:
    """Print how many reads without a barcode get one, or are cut."""
    windows = Windows.of(pieces)
    for name in KITS:
        share = (Demultiplexer(find_kit(name))(windows).barcode >= 0).mean()
        print(f"{source}, {len(pieces):,} reads without barcodes: {name} gives {100 * share:.3f} % one", flush=True)
    found = Adapters([find_kit("SQK-LSK109")], "all")(windows)
    cut = ((found.start > 0) | (found.end < windows.sizes)).mean()
    print(f"{source}: SQK-LSK109, adapters and primers: {100 * cut:.3f} % are cut")


def speed(rng: np.random.Generator, count: int = 20_000) -> None:
    """Print reads a second, CPU time."""
    letters = np.array(list("ACGT"))
    reads = ["".join(letters[rng.integers(0, 4, 5000)]) for _ in range(500)] * (count // 500)
    for name in KITS:
        search = Demultiplexer(find_kit(name))
        search(Windows.of(reads[:2]))
        began = time.process_time()
        for start in range(0, len(reads), 500):
            search(Windows.of(reads[start : start + 500]))
        print(f"{name}: {len(reads) / (time.process_time() - began):,.0f} reads/s on one thread", flush=True)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genome", type=Path, required=True, help="FASTA of the inserts")
    parser.add_argument("--calls", type=Path, nargs="*", default=[], help="real basecalled reads")
    parser.add_argument("--reads", type=int, default=5000, help="simulated reads of each kit")
    parser.add_argument("--identity", type=float, nargs="*", default=[0.9, 0.85])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    genome = "".join(decode_bases(codes[codes > 0]) for codes in read_genome(asked.genome).values())
    for identity in asked.identity:
        for name in KITS:
            barcoded(rng, name, genome, asked.reads, identity)
        adapters(rng, genome, asked.reads, identity)
        doubles(rng, genome, asked.reads, identity)
    unbarcoded(inserts(rng, genome, 20_000), "genome")
    pieces = [
        read.bases[start : start + PIECE]
        for path in asked.calls
        for read in called_reads(path, tags=False)
        for start in range(PIECE, len(read.bases) - 2 * PIECE, 200)
    ]
    if pieces:
        unbarcoded(pieces, "middle of real reads")
    speed(rng)


if __name__ == "__main__":
    main()
