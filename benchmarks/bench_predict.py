"""Benchmark of `biorrn predict` on mini-proteins: time and peak memory of whole processes, with start-up and writing.

The proteins are shuffled sequences of a FASTA file or table (same length and composition), or random ones. `--residues`
adds a run on this number of residues in proteins of natural lengths.
"""

import argparse
import csv
import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import machine

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


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


def measured(words: list[str], proteins: Path, output: Path) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory (MiB) of one process."""
    start = time.perf_counter()
    with subprocess.Popen([*words, str(proteins), "-o", str(output)], stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed with exit code {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="stability")
    parser.add_argument("--table", help="CSV of real sequences, may be gzip; default: random ones")
    parser.add_argument("--column", default="sequence")
    parser.add_argument("--counts", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--residues", type=int, default=0, help="also a file of so many residues, 50 to 2,000 each")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()

    letters = sources(options.table, options.column)
    print(machine("torch", "numpy"))
    print(
        f"{'input':>18} {'threads':>7} {'wall s':>8} {'CPU s':>8} {'sequences/s':>12} {'per CPU s':>10} {'peak MiB':>9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for count in options.counts:
            files[f"{count:,} short"] = Path(folder) / f"{count}.fasta"
            write_shuffled(files[f"{count:,} short"], letters, count)
        if options.residues:
            files[f"{options.residues:,} aa"] = Path(folder) / "long.fasta"
            write_long(files[f"{options.residues:,} aa"], options.residues)
        for name, path in files.items():
            for threads in options.threads:
                words = [sys.executable, "-m", "biorrn", "predict", options.model, "--threads", str(threads)]
                wall, cpu, peak = measured([*words, "--device", "cpu"], path, Path(folder) / "out.tsv")
                with path.open() as stream:
                    rows = sum(line.startswith(">") for line in stream)
                rates = f"{rows / wall:12,.0f} {rows / cpu:10,.0f}"
                print(f"{name:>18} {threads:7} {wall:8.1f} {cpu:8.1f} {rates} {peak:9,.0f}", flush=True)


if __name__ == "__main__":
    main()
