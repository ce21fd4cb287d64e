"""Benchmark of interval coverage: 90 % intervals of `train-table` and `calibrate` on synthetic variants of a protein.

    python benchmarks/bench_intervals.py --rows 40,80,200,1000 --seeds 20 --model gaussian

Each seed draws a protein, nonlinear effects of its substitutions, a table of variants with noise, and 2,000 new
variants to measure the coverage. `train` is `biorrn train-table` without baselines and figures; `calibrate` is
`biorrn evaluate calibrate` with as many new rows as the table has.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.nn.store import load_facts, load_model, update_facts
from biorrn.proteins.predict import predict
from biorrn.proteins.train_table import run as own_property
from biorrn.proteins.train_table.outputs import Session
from biorrn.proteins.train_table.table import Columns
from biorrn.proteins.uncertainty import conformal
from biorrn.report.page import write_report
from biorrn.sequences.records import ProteinRecord
from biorrn.training.task import load_task
from biorrn.training.train import train

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
LENGTH, NOISE, NEW = 60, 0.3, 2000


def variants(rng: np.random.Generator, wild_type: str, effects: np.ndarray, count: int) -> tuple[list[str], np.ndarray]:
    """Return distinct variants of one to four substitutions, and their measured values."""
    found: dict[str, float] = {}
    while len(found) < count:
        letters, total = list(wild_type), 0.0
        for place in rng.choice(LENGTH, rng.integers(1, 5), replace=False):
            new = int(rng.integers(20))
            letters[place], total = RESIDUES[new], total + effects[place, new]
        found["".join(letters)] = float(np.tanh(total) + NOISE * rng.normal())
    return list(found), np.array(list(found.values()))


def coverage(rows: int, seed: int, model: str | None, folder: Path) -> tuple[float, float]:
    """Return the coverage of the intervals of `train` and of `calibrate` on new variants."""
    rng = np.random.default_rng([rows, seed])
    wild_type = "".join(rng.choice(list(RESIDUES), LENGTH))
    effects = -rng.gamma(0.6, 0.6, (LENGTH, 1)) * rng.uniform(0.2, 1.4, (LENGTH, 20))
    sequences, values = variants(rng, wild_type, effects, 2 * rows + NEW)
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("sequence", "y"), *zip(sequences[:rows], values[:rows], strict=True)])
    wish = own_property.Wish(Columns(str(folder / "table.csv"), ("y",)), folder / "run", model=model, seed=seed)
    device = torch.device("cpu")
    choice, table, split = own_property.choose(wish, device)
    own_property.prepare(table, split.codes, folder / "run" / "data.h5", wish.columns)
    options: dict[str, Any] = {"device": "cpu", "threads": 1}
    task = load_task("regression")
    inside = {"inside": True} if choice.recipe.members is not None else {}
    train(choice.recipe, folder / "run" / "data.h5", folder / "run", task, seed=seed, **inside, **options)
    groups = split.groups if own_property.cross_fits(split) else np.zeros(0, np.int64)
    run = Session(folder / "run", seed, options, device, lambda line: None, write_report)
    update_facts(folder / "run", conformal=own_property.intervals(choice.recipe, run, folder / "run", groups))
    entry = load_facts(folder / "run")["conformal"]["y"]
    records = [ProteinRecord(str(k), sequence) for k, sequence in enumerate(sequences[rows:])]
    found = list(predict(load_model(folder / "run"), records))
    given = np.array([row.values[0] for row in found])
    spread = None if found[0].spread is None else np.array([row.spread[0] for row in found if row.spread is not None])
    errors = np.abs(values[rows:] - given)
    again = conformal.fit(values[rows : 2 * rows], given[:rows], None if spread is None else spread[:rows])
    assert again is not None
    held = []
    for one in (entry, again):
        half = conformal.half_widths(one, 0.9, given[rows:], None if spread is None else spread[rows:])
        held.append(float(np.mean(errors[rows:] <= half)))
    return held[0], held[1]


def main() -> None:
    """Print a table: rows, seeds, mean coverage of each, and its standard error over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="40,80,200,1000")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--model", help="as of biorrn train protein; default: what it chooses")
    asked = parser.parse_args()
    print("rows\tseeds\ttrain\tstandard_error\tcalibrate\tstandard_error", flush=True)
    for rows in map(int, asked.rows.split(",")):
        held = []
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
                held.append(coverage(rows, seed, asked.model, Path(folder)))
        mean, error = np.mean(held, 0), np.std(held, 0, ddof=1) / np.sqrt(len(held))
        cells = [f"{value:.4f}" for pair in zip(mean, error, strict=True) for value in pair]
        print(rows, asked.seeds, *cells, sep="\t", flush=True)


if __name__ == "__main__":
    main()
