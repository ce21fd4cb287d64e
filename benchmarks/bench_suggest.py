"""Replay of protein-engineering campaigns with the choice of `biorrn suggest`, beside greedy and random choice.

    python benchmarks/bench_suggest.py ../shared/data/protein --sets gb1,SYUA_HUMAN_Newberry_2020 --seeds 5

A set is `gb1` (FLIP's four sites, splits.zip in FOLDER/flip_gb1) or a scan of FOLDER/dms (SCAN.csv.gz with the columns
mutant and score, SCAN.fasta). A campaign starts from 96 random measured variants; each round fits the Gaussian process
of the command to what is known, chooses 96 of the others, and looks up their values. Each seed has its own start, the
same for all ways to choose. Printed for each way, means over seeds:

best     best value found after the last round, 0 for the median of the set and 1 for its maximum
area     mean of the best so far over the rounds (the area under its curve), on the same scale
top 1 %  share of the best hundredth of the set that was found after the last round, and its mean over the rounds
wins     seeds in which the area is above, equal to, below that of greedy; the mean difference and its standard error
"""

import argparse
import contextlib
import csv
import io
import os
import time
import zipfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from biorrn.base.files import write_text
from biorrn.proteins.suggest.acquisition import ACQUISITIONS, EXPLORE, choose
from biorrn.proteins.suggest.campaign import Measured, Oracle, averaged, read_campaign
from biorrn.proteins.train_table.table import Columns

GB1 = ("flip_gb1/splits.zip", "splits/one_vs_rest.csv")
RANDOM = "random"


def read_set(folder: Path, name: str) -> Measured:
    """Return all measured variants of a set."""
    if name == "gb1":
        with zipfile.ZipFile(folder / GB1[0]) as archive, archive.open(GB1[1]) as file:
            rows = list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))
        sequences = [row["sequence"] for row in rows]
        values = np.array([float(row["target"]) for row in rows])
        return averaged("target", "", sequences, values, sequences[0], GB1[1])  # the first is the wild type
    path = folder / "dms" / f"{name}.csv.gz"
    with contextlib.redirect_stderr(io.StringIO()):
        return read_campaign(Columns(str(path), ("score",), sequence="mutant"), str(folder / "dms" / f"{name}.fasta"))


def replay(data: Measured, how: str, explore: float, rounds: int, batch: int, seed: int) -> tuple[list[int], float]:
    """Return the rows measured in a campaign, in order, and the seconds that fits and choices took."""
    every, rng = np.arange(len(data)), np.random.default_rng([seed, 1])
    known = np.random.default_rng(seed).permutation(len(data))[:batch].tolist()
    started = time.monotonic()
    for _ in range(rounds):
        left = np.setdiff1d(every, known)
        if how == RANDOM:
            picked = rng.permutation(len(left))[:batch]
        else:
            sequences = [data.sequences[k] for k in known]
            so_far = averaged(data.target, "", sequences, data.values[known], data.wild_type, "")
            # the kernel has to tell all variants of the set apart, as that of the command all candidates
            oracle = Oracle(so_far, None, 0, 1.0, seed, data.sequences)
            belief = oracle.believe([data.sequences[k] for k in left])
            picked = choose(belief, batch, how, rng, explore)
        known += left[picked].tolist()
    return known, time.monotonic() - started


def curves(data: Measured, known: list[int], rounds: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the best so far and the share of the top hundredth after each round, the start first: (R + 1,) both."""
    order = np.argsort(-data.values, kind="stable")
    top = set(order[: max(1, round(len(data) / 100))].tolist())
    low, high = np.median(data.values), data.values.max()
    ends = [batch * (k + 1) for k in range(rounds + 1)]
    best = np.array([(data.values[known[:end]].max() - low) / (high - low) for end in ends])
    return best, np.array([len(top & set(known[:end])) / len(top) for end in ends])


def main() -> None:
    """Print the figures, and write those of each campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="gb1", help="gb1 and names of scans, joined by commas")
    parser.add_argument("--how", default=f"{RANDOM},greedy,{','.join(ACQUISITIONS)}", help="ways to choose")
    parser.add_argument("--explore", type=float, default=EXPLORE, help="of ucb")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("-o", "--output", type=Path, help="table of all campaigns, a row a round")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    lines = ["set\tchoice\tseed\tround\tbest\ttop"]
    for name in asked.sets.split(","):
        data = read_set(asked.folder, name)
        area: dict[str, np.ndarray] = {}
        for how in dict.fromkeys(asked.how.split(",")):
            found, took = [], 0.0
            for seed in range(asked.first, asked.first + asked.seeds):
                known, seconds = replay(data, how, asked.explore, asked.rounds, asked.batch, seed)
                best, top = curves(data, known, asked.rounds, asked.batch)
                rows = enumerate(zip(best, top, strict=True))
                lines += [f"{name}\t{how}\t{seed}\t{k}\t{b:.5f}\t{t:.5f}" for k, (b, t) in rows]
                found.append((best, top))
                took += seconds
            bests, tops = (np.array(part) for part in zip(*found, strict=True))
            area[how] = bests[:, 1:].mean(1)
            said = f"best {bests[:, -1].mean():.3f}, area {area[how].mean():.3f}"
            said += f"; top 1 % {tops[:, -1].mean():.3f}, mean {tops[:, 1:].mean():.3f}"
            if "greedy" in area and how != "greedy":
                gain = area[how] - area["greedy"]
                error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
                counts = [(gain > 1e-9).sum(), (abs(gain) <= 1e-9).sum(), (gain < -1e-9).sum()]
                said += f"; area against greedy {gain.mean():+.3f} (SE {error:.3f}), wins {'/'.join(map(str, counts))}"
            seconds = took / asked.seeds / asked.rounds
            print(f"{name}, {len(data):,} variants, {how}: {said}; {seconds:.1f} s a round", flush=True)
    if asked.output is not None:
        with write_text(asked.output) as stream:
            stream.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
