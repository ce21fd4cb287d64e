"""Benchmark of the refit of `train-table` to all rows: scores before and after, on rows that were not given.

    python benchmarks/bench_refit.py SCAN.csv.gz [SCAN ...] --rows 300 --new 1000 --seeds 3 --minutes 5

A scan has the columns `mutant` (A24G, or several joined by ":") and `score`; SCAN.fasta has the wild type. For each
seed `biorrn train-table` gets `rows` random rows, and the models before and after the refit predict at most `new`
others. Reported: Spearman's coefficient of both, and the difference.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import io
import tempfile
from pathlib import Path

import numpy as np

from biorrn.nn.store import load_model
from biorrn.proteins.predict import predict
from biorrn.proteins.train_table import refit as own_refit
from biorrn.proteins.train_table import run as own_property
from biorrn.proteins.train_table.table import Columns
from biorrn.sequences.fasta import read_entries
from biorrn.sequences.records import ProteinRecord
from biorrn.stats.metrics import METRICS


def mutated(wild_type: str, mutant: str) -> str:
    """Return the sequence of a mutant such as "A24G:L30F"."""
    letters = list(wild_type)
    for change in mutant.split(":"):
        assert letters[int(change[1:-1]) - 1] == change[0], mutant
        letters[int(change[1:-1]) - 1] = change[-1]
    return "".join(letters)


def measure(
    rows: list[tuple[str, float]], count: int, new: int, seed: int, minutes: float
) -> tuple[float, float, float, bool]:
    """Return Spearman before and after the refit, the coverage of the 90 % intervals, and whether it was refitted."""
    order = np.random.default_rng(seed).permutation(len(rows))
    chosen, others = [[rows[k] for k in part] for part in (order[:count], order[count : count + new])]
    true = np.array([value for _, value in others])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open(folder / "table.csv", "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("sequence", "y"), *chosen])
        wish = own_property.Wish(Columns(str(folder / "table.csv"), ("y",)), folder / "run", seed=seed, minutes=minutes)
        with contextlib.redirect_stderr(io.StringIO()):
            own_property.train_own(wish, device="cpu", threads=1, say=lambda _: None, report=lambda *_: None)
        records = [ProteinRecord(str(k), sequence) for k, (sequence, _) in enumerate(others)]
        found = [
            list(predict(load_model(path), records)) for path in (folder / "run" / own_refit.MEASURED, folder / "run")
        ]
        whole = load_model(folder / "run").recipe.fitted is None
    before, after = (METRICS["spearman"](true, np.array([row.values[0] for row in side])) for side in found)
    held = [
        bool(row.lower[0] <= value <= row.upper[0])
        for row, value in zip(found[1], true, strict=True)
        if row.lower is not None and row.upper is not None and np.isfinite(row.lower[0])
    ]
    return before, after, float(np.mean(held)) if held else float("nan"), whole


def main() -> None:
    """Print a table: scan, seed, Spearman before and after the refit, difference, coverage after, whether refitted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--new", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5.0)
    asked = parser.parse_args()
    own_property.evaluate_run = lambda *_: None  # baselines and the report are not asked for here
    print("scan", "seed", "before", "after", "difference", "coverage", "refitted", sep="\t", flush=True)
    for path in asked.scans:
        wild_type = next(read_entries(path.with_name(path.name.split(".")[0] + ".fasta")))[1]
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            cells = [(row["mutant"], row["score"]) for row in csv.DictReader(stream)]
        rows = [(mutated(wild_type, mutant), float(value)) for mutant, value in cells if value]
        for seed in range(asked.seeds):
            before, after, held, whole = measure(rows, asked.rows, asked.new, seed, asked.minutes)
            numbers = (f"{value:.4f}" for value in (before, after, after - before, held))
            print(path.name.split(".")[0], seed, *numbers, "yes" if whole else "no", sep="\t", flush=True)


if __name__ == "__main__":
    main()
