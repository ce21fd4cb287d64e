"""Benchmark of CTC decoding: the numba decoders and the package fast-ctc-decode, with the number of equal reads.

Each read is one call on one thread, from float32 probabilities to a string and the frame of each base. Rows `threads`
decode many reads in one call on several threads; fast-ctc-decode decodes one after the other. Posteriors are synthetic:
`peaked` as of a good model (a base in every second frame, some noise), `noisy` as of a poor one.
"""

import argparse
import os
import statistics

os.environ.setdefault("OMP_NUM_THREADS", "1")

from concurrent.futures import ThreadPoolExecutor

import fast_ctc_decode
import numpy as np
from measure import interleaved, machine, ratio

from biorrn.kernels.ctc.decode import beam, greedy
from biorrn.sequences.alphabets import decode_bases

LETTERS = "NACGT"
SHAPES = {"peaked": (8.0, 1.5), "noisy": (3.0, 1.0)}  # height of the peaks, standard deviation of the noise


def posteriors(kind: str, frames: int, seed: int) -> np.ndarray:
    """Return the probabilities (T, 5) of one read."""
    draw = np.random.default_rng(seed)
    height, noise = SHAPES[kind]
    scores = draw.normal(0, noise, (frames, 5))
    places = np.sort(draw.choice(frames, frames // 2, replace=False))
    scores[:, 0] += height / 2
    scores[places, draw.integers(1, 5, len(places))] += height
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def ours(probs: np.ndarray, size: int) -> tuple[str, np.ndarray]:
    """Decode with this package; size 0 is greedy."""
    bases, starts = beam(probs, size) if size else greedy(probs)
    return decode_bases(bases), starts


def theirs(probs: np.ndarray, size: int) -> tuple[str, list[int]]:
    """Decode with fast-ctc-decode; size 0 is greedy."""
    if size:
        return fast_ctc_decode.beam_search(probs, LETTERS, beam_size=size, beam_cut_threshold=0.0)
    return fast_ctc_decode.viterbi_search(probs, LETTERS)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--reads", type=int, default=24, help="reads a length")
    parser.add_argument("--frames", type=int, nargs="+", default=[800, 2000], help="frames a read")
    parser.add_argument("--beams", type=int, nargs="+", default=[0, 5, 32], help="beam sizes; 0 is greedy")
    parser.add_argument("--threads", type=int, default=2, help="threads of the last rows")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats")
    options = parser.parse_args()

    print(machine("fast-ctc-decode", "numba", "numpy"))
    print(f"# microseconds a read, median of {options.rounds} rounds; 'same' counts equal sequences")
    head = f"{'posteriors':10} {'T':>5} {'decoder':8} {'threads':>7} {'fast-ctc':>9} {'biorrn':>9}"
    print(f"{head} {'ratio':>6} {'same':>7}")
    for threads in sorted({1, options.threads}):
        for kind in SHAPES:
            for frames in options.frames:
                reads = [posteriors(kind, frames, seed) for seed in range(options.reads)]
                for size in options.beams:
                    print(row(kind, frames, size, threads, reads, options.rounds), flush=True)


def row(kind: str, frames: int, size: int, threads: int, reads: list[np.ndarray], rounds: int) -> str:
    """Return one line of the table."""

    def one_by_one() -> list[tuple[str, np.ndarray]]:
        return [ours(probs, size) for probs in reads]

    def together() -> list[tuple[str, np.ndarray]]:
        decode = (lambda probs: beam(probs, size)) if size else greedy
        with ThreadPoolExecutor(threads) as pool:
            return [(decode_bases(bases), starts) for bases, starts in pool.map(decode, reads)]

    mine = one_by_one if threads == 1 else together
    seconds = interleaved({"fast-ctc": lambda: [theirs(probs, size) for probs in reads], "biorrn": mine}, rounds)
    same = sum(a[0] == theirs(probs, size)[0] for a, probs in zip(mine(), reads, strict=True))
    each = {name: 1e6 * statistics.median(values) / len(reads) for name, values in seconds.items()}
    decoder = f"beam {size}" if size else "greedy"
    return (
        f"{kind:10} {frames:5d} {decoder:8} {threads:7d} {each['fast-ctc']:9.0f} {each['biorrn']:9.0f} "
        f"{ratio(seconds, 'fast-ctc', 'biorrn'):6.1f} {same:3d}/{len(reads):3d}"
    )


if __name__ == "__main__":
    main()
