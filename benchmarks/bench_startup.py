"""Benchmark of start-up: time, CPU time and peak memory of whole processes, from the call of the command to its end.

Run: python benchmarks/bench_startup.py [--reads PATH] [--rounds 7] [--all]

  version          `biorrn --version`: Python and the command line
  no read          `biorrn basecall` with all its preparations, for the id of a read that is not there
  one read         the same, to the end of the first call
  all reads        (with --all) the same on all reads, for the peak memory
  one protein      `biorrn predict stability` of one protein

Processes take turns. Modules come from their byte code, as in an installed package. Default reads: the shared human
reads, else the examples in data/.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from measure import Cost, cost, machine

ROOT = Path(__file__).resolve().parents[1]
HUMAN = ROOT.parent / "shared/data/nanopore/human_r941/reads.blow5"
EXAMPLE = ROOT / "data/simulated_reads/simulated.blow5"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=Path, default=HUMAN if HUMAN.exists() else EXAMPLE)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--all", action="store_true", help="also call all reads, once")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "none.txt").write_text("no-such-read\n")
        (place / "one.fasta").write_text(">p\nMKVLAADERTGLKQWESTHNYIPCFGAVLKDEMRTSW\n")
        start = [sys.executable, "-m", "biorrn"]
        end = ["--device", "cpu", "--threads", options.threads, "-o"]
        call = [*start, "basecall", str(options.reads), *end, str(place / "out.fastq")]
        commands = {
            "version": [*start, "--version"],
            "no read": [*call, "--read-ids", str(place / "none.txt"), "--allow-empty"],
            "one read": [*call, "--max-reads", "1"],
            "one protein": [
                *start,
                "predict",
                "stability",
                str(place / "one.fasta"),
                *end,
                str(place / "out.tsv"),
            ],
        }
        found: dict[str, list[Cost]] = {name: [] for name in commands}
        for words in commands.values():
            cost(words)  # writes byte code, and brings files into the cache
        for _ in range(options.rounds):
            for name, words in commands.items():
                found[name].append(cost(words))
        if options.all:
            found["all reads"] = [cost(call)]
    print(machine("numpy"))
    print(f"{'':>12} {'median s':>9} {'best s':>7} {'CPU s':>7} {'peak MiB':>9}")
    for name, costs in found.items():
        wall, cpu, peak = zip(*costs, strict=True)
        numbers = f"{statistics.median(wall):9.2f} {min(wall):7.2f} {statistics.median(cpu):7.2f} {max(peak):9.0f}"
        print(f"{name:>12} {numbers}")


if __name__ == "__main__":
    main()
