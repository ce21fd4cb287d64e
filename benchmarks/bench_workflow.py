"""Benchmark of the overhead of the workflow: many small files with Snakemake, and the same work in one process.

Run: python benchmarks/bench_workflow.py [--files 200] [--reads 3] [--rounds 2] [--threads 2] [--shards 1 4 16]

The files are simulated. The jobs take turns in each round; the median of the ratios within a round is printed.

  one process   `biorrn basecall FOLDER --summary`, including start-up
  workflow, N   snakemake, including start-up, for the same FASTQ and table, in N shards (1: a single job)
  by hand       `biorrn basecall`, `biorrn qc` and `biorrn report`, one after another
  whole         snakemake for the report, in one shard: the same as by hand

The FASTQ files must be equal, byte for byte.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import machine

from biorrn.nanopore.simulate.pore_model import load_pore_model
from biorrn.nanopore.simulate.reads import Settings, random_genome, simulate
from biorrn.nanopore.simulate.writers import open_signal

ROOT = Path(__file__).resolve().parents[1]
FORMATS = ("pod5", "blow5", "fast5")
CALLS = "out/basecalls/flowcell.fastq.gz"


def make_files(folder: Path, files: int, reads: int) -> int:
    """Write small signal files, alternating all formats; return the number of samples."""
    folder.mkdir()
    genome, samples = random_genome("100000:0.45", 0), 0
    made = simulate(genome, load_pore_model("dna_r9.4.1_6mer"), Settings(), reads=files * reads, seed=0)
    for number in range(files):
        with open_signal(folder / f"{number:04d}.{FORMATS[number % len(FORMATS)]}") as write:
            for _ in range(reads):
                record, _ = next(made)
                write(record)
                samples += len(record.raw)
    return samples


def run(folder: Path, *words: str) -> None:
    """Run a command of this environment in a folder; raise if it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        words, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")


def one_process(folder: Path, threads: int) -> None:
    """Call all files in one process."""
    (folder / "one").mkdir(exist_ok=True)
    run(folder, "biorrn", "basecall", "reads", "--threads", str(threads), "-o", "one/calls.fastq.gz",
        "--summary", "one/calls.summary.tsv.gz")  # fmt: skip


def by_hand(folder: Path, threads: int) -> None:
    """Run the commands of the workflow for the report."""
    one_process(folder, threads)
    run(
        folder,
        "biorrn",
        "qc",
        "one/calls.summary.tsv.gz",
        "--name",
        "flowcell",
        "-o",
        "one/qc.json",
        "--figures",
        "one/qc",
    )
    run(folder, "biorrn", "report", "--qc", "one/qc.json", "-o", "one/report.html")


def workflow(folder: Path, threads: int, shards: int, targets: tuple[str, ...]) -> None:
    """Run the workflow without earlier results."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    shutil.rmtree(folder / ".snakemake", ignore_errors=True)
    run(folder, "snakemake", "-s", str(ROOT / "Snakefile"), *targets, "--directory", str(folder), "--workflow-profile",
        "none", "--cores", str(threads), "--configfile", "config.yaml", "--config", f"shards={shards}")  # fmt: skip
    if (folder / CALLS).read_bytes() != (folder / "one/calls.fastq.gz").read_bytes():
        sys.exit(f"{folder / CALLS}: differs from the calls of one process")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--reads", type=int, default=3, help="reads a file")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 4, 16])
    given = parser.parse_args()
    print(machine("snakemake", "torch"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = make_files(folder / "reads", given.files, given.reads)
        size = sum(path.stat().st_size for path in (folder / "reads").iterdir())
        each = size / given.files / 1e3
        print(f"# {given.files} files of {given.reads} reads, {samples:,} samples, {each:.0f} kB a file")
        (folder / "samples.tsv").write_text("name\tkind\tinput\nflowcell\tsignal\treads\n")
        (folder / "config.yaml").write_text("output: out\ndata: []\nruns: []\nsamples: samples.tsv\nsteps: [qc]\n")
        work: dict[str, tuple[str, Callable[[], None]]] = {
            "one process": ("", partial(one_process, folder, given.threads)),
        }
        for shards in given.shards:
            call = partial(workflow, folder, given.threads, shards, (CALLS,))
            work[f"workflow, {shards} shards"] = ("one process", call)
        work["by hand"] = ("", partial(by_hand, folder, given.threads))
        work["whole"] = ("by hand", partial(workflow, folder, given.threads, 1, ()))
        seconds: dict[str, list[float]] = {label: [] for label in work}
        for _ in range(given.rounds):
            for label, (_, call) in work.items():
                start = time.perf_counter()
                call()
                seconds[label].append(time.perf_counter() - start)
        print("what\tseconds\tratio")
        for label, (beside, _) in work.items():
            ratio = ""
            if beside:
                ratios = [ours / theirs for ours, theirs in zip(seconds[label], seconds[beside], strict=True)]
                ratio = f"{statistics.median(ratios):.2f} of {beside} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{label}\t{statistics.median(seconds[label]):.1f}\t{ratio}")


if __name__ == "__main__":
    main()
