"""Benchmark of `biorrn predict` on mini-proteins: time and peak memory of whole processes, with start-up and writing.

The proteins are shuffled sequences of a FASTA file or table (same length and composition), or random ones. `--residues`
adds a run on this number of residues in proteins of natural lengths, `--isa` names instruction sets of the kernels.
`--torch` compares the kernels with the plain model of torch instead: CPU time of one thread, on so many proteins.
"""

import argparse
import csv
import gzip
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import interleaved, machine, ratio

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
ROUNDS = 5


def sources(path: str | None, column: str) -> list[np.ndarray]:
    """Return the letters of each sequence of a table, or of 1,000 random ones."""
    if path is None:
        rng = np.random.default_rng(0)
        return [rng.choice(np.frombuffer(LETTERS.encode(), np.uint8), int(n)) for n in rng.integers(43, 51, 1000)]
    with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as stream:
        return [np.frombuffer(row[column].encode(), np.uint8) for row in csv.DictReader(stream)]


def write_shuffled(path: Path, letters: list[np.ndarray], count: int) -> None:
    """Write `count` shuffled sequences."""
    rng = np.random.default_rng(1)
    with path.open("w") as stream:
        for number in range(count):
            shuffled = rng.permutation(letters[number % len(letters)]).tobytes().decode()
            stream.write(f">p{number}\n{shuffled}\n")


def write_long(path: Path, residues: int) -> None:
    """Write random sequences of 50 to 2,000 residues, `residues` in total."""
    rng = np.random.default_rng(2)
    written = number = 0
    with path.open("w") as stream:
        while written < residues:
            length = int(np.clip(rng.lognormal(5.6, 0.7), 50, 2000))
            stream.write(f">p{number}\n{''.join(rng.choice(list(LETTERS), length))}\n")
            written, number = written + length, number + 1


def measured(words: list[str], proteins: Path, output: Path, isa: str) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory (MiB) of one process."""
    start = time.perf_counter()
    variables = os.environ | ({"BIORRN_ISA": isa} if isa != "best" else {})
    words = [*words, str(proteins), "-o", str(output)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, env=variables) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed with exit code {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def compare(name: str, letters: list[np.ndarray], count: int) -> None:
    """Print the rates of the network alone, by kernels of each instruction set and kind of numbers and by torch."""
    import torch

    from biorrn.kernels.lstm.native import INT8, KINDS, kernels
    from biorrn.nn.engine import EnsembleEngine
    from biorrn.nn.store import load_model
    from biorrn.sequences.alphabets import tokens

    torch.set_num_threads(1)
    stored, best = load_model(name), kernels()
    assert best is not None, "no library was built"
    size = min(map(len, letters))
    rows = np.stack([tokens(letters[n % len(letters)][:size].tobytes().decode()) for n in range(count)])
    lengths = np.full(count, size)
    engines = {KINDS[kind]: EnsembleEngine(stored.recipe, stored.tensors, kind) for kind in best.kinds if kind != INT8}
    model, x, sizes = stored.model, torch.from_numpy(rows.astype(np.int64)), torch.from_numpy(lengths)

    def plain() -> None:
        with torch.inference_mode():
            for start in range(0, count, 256):
                model(x[start : start + 256], sizes[start : start + 256])

    torch_name = "torch, float32"
    work: dict[str, Callable[[], object]] = {torch_name: plain}
    work |= {f"{best.name}, {kind}": lambda made=made: made(rows, lengths) for kind, made in engines.items()}
    seconds = interleaved(work, ROUNDS, time.thread_time)
    print(f"{count:,} proteins of {size} residues; medians of {ROUNDS} rounds, CPU seconds of one thread")
    for label, times in seconds.items():
        rate = count / statistics.median(times)
        print(f"{label:>24} {rate:8,.0f}/s {ratio(seconds, torch_name, label):6.2f} times torch")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="stability")
    parser.add_argument("--table", help="CSV of real sequences, may be gzip; default: random ones")
    parser.add_argument("--column", default="sequence")
    parser.add_argument("--counts", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--residues", type=int, default=0, help="also a file of so many residues, 50 to 2,000 each")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--isa", nargs="+", default=["best"], help="avx2, avx512, ...: values of BIORRN_ISA")
    parser.add_argument("--torch", type=int, default=0, metavar="N", help="compare with torch on N proteins instead")
    options = parser.parse_args()

    letters = sources(options.table, options.column)
    print(machine("torch", "numpy"))
    if options.torch:
        compare(options.model, letters, options.torch)
        return
    print(f"{'input':>18} {'isa':>7} {'threads':>7} {'wall s':>8} {'CPU s':>8} ", end="")
    print(f"{'sequences/s':>12} {'per CPU s':>10} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for count in options.counts:
            files[f"{count:,} short"] = Path(folder) / f"{count}.fasta"
            write_shuffled(files[f"{count:,} short"], letters, count)
        if options.residues:
            files[f"{options.residues:,} aa"] = Path(folder) / "long.fasta"
            write_long(files[f"{options.residues:,} aa"], options.residues)
        for name, path in files.items():
            with path.open() as stream:
                rows = sum(line.startswith(">") for line in stream)
            for threads, isa in itertools.product(options.threads, options.isa):
                words = [sys.executable, "-m", "biorrn", "predict", options.model, "--threads", str(threads)]
                wall, cpu, peak = measured([*words, "--device", "cpu"], path, Path(folder) / "out.tsv", isa)
                rates = f"{rows / wall:12,.0f} {rows / cpu:10,.0f}"
                print(f"{name:>18} {isa:>7} {threads:7} {wall:8.1f} {cpu:8.1f} {rates} {peak:9,.0f}", flush=True)


if __name__ == "__main__":
    main()
