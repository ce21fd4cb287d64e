"""Decoders of a CTC-CRF on real reads of ../shared/data: identity, run lengths and speed, from the same scores.

The reads lie in regions that choose models and test none. Each decoder has the stay score that is best for it, of few:
one that finds sequences rather than paths deletes more at the same. Differences are of the identities of the same reads
to those of posterior Viterbi, the default; +- is their standard error.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from measure import machine

from biorrn.base.compute import jit
from biorrn.kernels.crf import cpu
from biorrn.kernels.crf.decode import beam_search
from biorrn.kernels.crf.scores import FLOOR
from biorrn.kernels.crf.viterbi import posterior_viterbi
from biorrn.nanopore.alignment import AlignmentMapper, Region
from biorrn.nanopore.basecall.caller import Caller
from biorrn.nanopore.basecall.decode import remembered
from biorrn.nanopore.evaluate.identity import Scores, score_reads
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.readers.files import read_all
from biorrn.nn.store import load_model
from biorrn.sequences.alphabets import decode_bases

VALID = {
    "ecoli_r94_nanoreviser": ("references/ecoli_K12_MG1655.fna.gz", Region("NC_000913.3", 3_000_000, 3_500_000)),
    "klebsiella_r941": ("references/klebsiella_MGH78578.fna.gz", Region("NC_009648.1", 0, 530_000)),
    "lambda_r941/fast5": ("lambda_r941/reference.fasta", Region("Lambda_NEB", 12_000, 14_500)),
}  # folder of reads -> reference, region
ALIGNED, IDENTITY, COLUMNS = 0.5, 0.7, 1_000  # of the default's call of a read; those below are left out
LONG = 4  # bases of the shortest run whose length is replaced by the expected one


def posteriors(scores: np.ndarray) -> np.ndarray:
    """Return the posterior probability of every transition, float64 (T, 5 S), by forward-backward."""
    states = scores.shape[1] // 5
    e = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
    alpha, found = np.full((len(e) + 1, states), 1 / states), np.empty_like(e)
    work, betas = np.empty((2, 4 * states)), np.full((2, states), 1 / states)
    cpu.forward(e, alpha, work[0])
    if not cpu.backward(e, alpha, found, work, betas, np.float64(1e-300)):
        raise FloatingPointError("scores further apart than float64 can hold")
    return found


@jit()
def best_ways(gains, choice):  # type: ignore[no-untyped-def]
    """Fill `choice` (T, S), as `cpu.follow` reads it, for the largest sum of gains (T, 5 S); return the last state."""
    frames, states = choice.shape
    before, now = np.zeros(states), np.zeros(states)
    for t in range(frames):
        for s in range(states):
            top, pick = before[s] + gains[t, s], 0
            for d in range(4):
                source = d * (states // 4) + s // 4
                value = before[source] + gains[t, states + 4 * source + s % 4]
                if value > top:
                    top, pick = value, d + 1
            now[s], choice[t, s] = top, pick
        before, now = now, before
    return np.argmax(before)


def best_path(gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bases (L,) and frames (L,) of the path with the largest sum of gains (T, 5 S)."""
    frames, states = len(gains), gains.shape[1] // 5
    choice, bases, starts = np.empty((frames, states), np.uint8), np.empty(frames, np.uint8), np.empty(frames, np.int32)
    first, _ = cpu.follow(choice, best_ways(gains, choice), bases, starts)
    return bases[first:], starts[first:]


def of_states(found: np.ndarray) -> np.ndarray:
    """Return the posterior probability of the state after each transition, in the layout of transitions."""
    states = found.shape[1] // 5
    return np.tile(found[:, :states] + found[:, states:].reshape(len(found), 4, states).sum(1), 5)


def of_bases(found: np.ndarray) -> np.ndarray:
    """Return the posterior probability that a frame emits the base of each transition, or none."""
    states = found.shape[1] // 5
    emitted = found[:, states:].reshape(len(found), states, 4).sum(1)
    return np.hstack([np.repeat(found[:, :states].sum(1)[:, None], states, 1), np.tile(emitted, states)])


def expected_runs(scores: np.ndarray) -> np.ndarray:
    """Return the bases of the default, long runs at their expected number of bases."""
    found = posteriors(scores)
    bases, starts = best_path(np.log(found + FLOOR))
    states = found.shape[1] // 5
    mass = np.cumsum(found[:, states:].reshape(len(found), states, 4).sum(1), axis=0)
    mass = np.vstack([np.zeros(4), mass])
    cuts = np.flatnonzero(np.diff(bases, prepend=0))
    parts = []
    for begin, end in zip(cuts, [*cuts[1:], len(bases)], strict=True):
        count, letter = end - begin, bases[begin]
        if count >= LONG:
            last = starts[end] if end < len(bases) else len(found)
            count = max(1, round(mass[last, letter - 1] - mass[starts[begin - 1] + 1 if begin else 0, letter - 1]))
        parts.append(np.full(count, letter, np.uint8))
    return np.concatenate(parts)


# scores (T, 5 S) -> bases (L,)
DECODERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "posterior Viterbi": lambda x: posterior_viterbi(x, remembered(x.shape[1]))[0],
    "Viterbi": lambda x: best_path(x.astype(np.float64))[0],
    "beam search, 32": lambda x: beam_search(x, remembered(x.shape[1]))[0],
    "sum of posteriors of transitions": lambda x: best_path(posteriors(x))[0],
    "the same, scores / 1.2": lambda x: best_path(posteriors(x / 1.2))[0],
    "posterior Viterbi, scores / 1.2": lambda x: posterior_viterbi(x / np.float32(1.2), remembered(x.shape[1]))[0],
    "posterior Viterbi, scores / 0.7": lambda x: posterior_viterbi(x / np.float32(0.7), remembered(x.shape[1]))[0],
    "product over states and transitions": lambda x: best_path(
        np.log((posteriors(x) + FLOOR) * (of_states(posteriors(x)) + FLOOR))
    )[0],
    "sum of posteriors of bases": lambda x: best_path(of_bases(posteriors(x)))[0],
    f"expected length of runs of {LONG} or more": expected_runs,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/nanopore"))
    parser.add_argument("--model", default="dna_r9.4.1_fast")
    parser.add_argument("--stays", type=float, nargs="+", default=[-0.1, 0.0, 0.1], help="added to the stay score")
    options = parser.parse_args()
    caller = Caller(load_model(options.model))
    reads: list[tuple[str, str, np.ndarray]] = []
    mappers = {name: AlignmentMapper(options.data / reference) for name, (reference, _) in VALID.items()}
    for name, (_, region) in VALID.items():
        records = {record.read_id: record for record in read_all([options.data / name], lambda problem: None)}
        calls = [BaseCall(call.read_id, call.bases, call.quals) for call in caller.calls(records.values())]
        for read in score_reads(calls, mappers[name].align, region, COLUMNS).scored():
            if read.aligned_fraction >= ALIGNED and read.identity >= IDENTITY:
                reads.append((name, read.read_id, caller.score(records[read.read_id]).scores))
    frames = sum(len(scores) for _, _, scores in reads)
    print(machine("numba", "numpy"))
    print(f"# {options.model}: {len(reads)} reads, {frames:,} frames")
    print(f"{'decoder':36} {'stay':>5} {'identity':>8} {'difference, %':>15} {'mism.':>6} {'ins.':>6} {'del.':>6} "
          f"{'runs of 2':>9} {'3':>5} {'4':>5} {'5+':>5} {'kframes/s':>9}")  # fmt: skip
    base = np.zeros(0)
    for name, decode in DECODERS.items():
        decode(reads[0][2][:100])  # compiled
        stay, found, seconds = max(
            (tried(decode, reads, mappers, stay) for stay in options.stays), key=lambda made: made[1][0].mean()
        )
        identity, rates, right = found
        base = base if len(base) else identity
        gain = 100 * (identity - base)
        error = gain.std(ddof=1) / len(gain) ** 0.5
        print(f"{name:36} {stay:+5.2f} {identity.mean():8.4f} {gain.mean():+8.3f}+-{error:.3f} "
              f"{' '.join(f'{rate:6.2%}' for rate in rates)} {right[0]:9.1%} "
              f"{' '.join(f'{part:5.1%}' for part in right[1:])} {frames / seconds / 1e3:9.0f}")  # fmt: skip


def tried(
    decode: Callable[[np.ndarray], np.ndarray],
    reads: list[tuple[str, str, np.ndarray]],
    mappers: dict[str, AlignmentMapper],
    stay: float,
) -> tuple[float, tuple[np.ndarray, np.ndarray, list[float]], float]:
    """Return the stay score added; identity of each read, rates of errors, runs called right; seconds of decoding."""
    seconds, found = 0.0, {name: Scores() for name in mappers}
    for name, mapper in mappers.items():
        calls = []
        for source, read_id, scores in reads:
            if source == name:
                moved = scores.copy()
                moved[:, : scores.shape[1] // 5] += np.float32(stay)
                begin = time.perf_counter()
                bases = decode_bases(decode(moved))
                seconds += time.perf_counter() - begin
                calls.append(BaseCall(read_id, bases, np.full(len(bases), 10, np.uint8)))
        found[name] = score_reads(calls, mapper.align, VALID[name][1])
    # an unmapped read has identity 0
    identity = np.array([np.nan_to_num(read.identity) for one in found.values() for read in one.reads])
    total = np.sum([[read.mismatches, read.insertions, read.deletions, read.matches]
                    for one in found.values() for read in one.scored()], axis=0)  # fmt: skip
    runs = np.sum([one.homopolymers.called.sum((0, 2)) for one in found.values()], axis=0)
    right = np.sum([one.homopolymers.sums[..., 2].sum(0) for one in found.values()], axis=0)
    parts = [right[part].sum() / runs[part].sum() for part in (slice(2, 3), slice(3, 4), slice(4, 5), slice(5, None))]
    return stay, (identity, total[:3] / total.sum(), parts), seconds


if __name__ == "__main__":
    main()
