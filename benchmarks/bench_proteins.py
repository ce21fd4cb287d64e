"""Benchmark of training on protein stability, compared with TAPE's LSTM and biotrainer's LightAttention on one-hot.

Same rows, same batch size, one thread. Only training is timed: no reading, one-hot encoding or validation. In every
round each entry trains from scratch; then each trains once more, for as many epochs as fit in equal CPU time. Scores
are of the weights of the last epoch. A peer that is not installed is left out (see peers.txt).

The width of TAPE is given; that of LightAttention is its encoding, 21. biorrn is measured at both widths: its recipes,
and a network of the kind of the peer (three bidirectional LSTM layers; a pooled convolution). biorrn trains in bfloat16
if that is faster (`--set training.precision=auto`), the peers in float32, their default.
"""

# ruff: noqa: E402
import argparse
import contextlib
import csv
import gzip
import io
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from biorrn.base.compute import prepare_libraries  # isort: skip

prepare_libraries()  # before torch

import numpy as np
import torch
from measure import Clock, machine
from peers import LETTERS, TAPE_LAYERS, Contender, Run, available, light_attention, tape_lstm, versions

from biorrn.config.recipe import Recipe, load_recipe, parse_recipe
from biorrn.nn.batch import Batch
from biorrn.proteins import task as regression
from biorrn.sequences.alphabets import RESIDUES, tokens
from biorrn.sequences.prepared.files import protein_writer
from biorrn.training.batches import ProteinDataset
from biorrn.training.learner import count_parameters
from biorrn.training.train import train

SHARED = Path(os.environ.get("BIORRN_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TABLE = SHARED / "protein" / "stability" / "stability.csv.gz"
TAPE, BIOTRAINER = "TAPE LSTM", "biotrainer LightAttention"


def table(rows: int, held_out: int, rng: np.random.Generator) -> Iterator[tuple[str, float, str]]:
    """Yield sequence, value and split of a random sample of the stability table, or of similar synthetic proteins."""
    if TABLE.exists():
        with gzip.open(TABLE, "rt") as handle:
            found = [(row["sequence"], float(row["stability"]), row["set"]) for row in csv.DictReader(handle)]
        for split, wanted in (("train", rows), ("valid", held_out)):
            there = [row for row in found if row[2] == split]
            yield from (there[place] for place in rng.permutation(len(there))[:wanted])
        return
    weights = rng.normal(size=20)
    for number in range(rows + held_out):
        drawn = rng.integers(0, 20, rng.integers(43, 51))
        value = weights[drawn].mean() + 0.5 * weights[drawn[:-1]] @ weights[drawn[1:]] / len(drawn)
        letters = "".join(RESIDUES[place] for place in drawn)
        yield letters, float(value + 0.1 * rng.normal()), "train" if number < rows else "valid"


def prepared(path: Path, rows: int, held_out: int) -> tuple[int, int]:
    """Write a prepared file of these numbers of training and validation rows; return the numbers."""
    counts = [0, 0]
    with protein_writer(path, [{"name": "stability", "unit": "score"}]) as writer:
        for number, (letters, value, split) in enumerate(table(rows, held_out, np.random.default_rng(0))):
            code = int(split == "valid")
            writer.add(f"p{number}", tokens(letters), [value], split=code)
            counts[code] += 1
    return counts[0], counts[1]


class TimedData(regression.ProteinData):
    """The data of a run of biorrn; the clock runs from the first batch of an epoch to the first of validation."""

    def __init__(self, path: str | Path, recipe: Recipe, clock: Clock) -> None:
        super().__init__(path, recipe)
        self.clock = clock

    def train(self, epoch: int, seed: int) -> Iterator[Batch]:
        self.clock.start()
        yield from super().train(epoch, seed)

    def valid(self) -> Iterator[Batch]:
        self.clock.stop()
        yield from super().valid()


class TimedTask:
    """The regression task, on data with a clock."""

    def __init__(self, job: Run) -> None:
        self.job = job

    def __getattr__(self, name: str) -> Any:
        return getattr(regression, name)

    def open_data(self, path: str | Path, recipe: Recipe) -> TimedData:
        """Open a prepared file."""
        return TimedData(path, recipe, self.job.clock)

    def make_model(self, recipe: Recipe, data: TimedData) -> torch.nn.Module:
        """Return the untrained model, and note its size."""
        model = regression.make_model(recipe, data)
        self.job.parameters = count_parameters(model)
        return model


def biorrn_run(content: dict[str, Any], job: Run) -> float:
    """Train a recipe as `biorrn train --set training.precision=auto`; return the last epoch's validation score."""
    training = content["training"] | {"epochs": job.epochs, "batch_size": job.batch_size, "precision": "auto"}
    recipe = parse_recipe(content | {"training": training})
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        path = Path(folder) / "run"
        train(recipe, job.path, path, TimedTask(job), seed=job.seed, device="cpu", threads=1)  # type: ignore[arg-type]
        with open(path / "history.tsv") as handle:
            return float(list(csv.DictReader(handle, delimiter="\t"))[-1]["valid_spearman"])


def recipes(width: int, kind: str) -> dict[str, dict[str, Any]]:
    """Return recipes by name with `width` units per direction; wider layers keep their ratio to it.

    kind : str: also return a network of the kind of this peer.
    """
    net = load_recipe("stability_net").model_dump(mode="json")
    double = 2 * width
    net["model"] |= {"core": net["model"]["core"] | {"hidden": width}, "steps": double}
    net["model"]["frontend"]["layers"] = [{"width": double, "kernel": 5}]
    gru = load_recipe("stability_gru").model_dump(mode="json")
    gru["model"]["core"] |= {"hidden": width}
    lstm = load_recipe("stability_gru").model_dump(mode="json")
    lstm["model"]["core"] |= {"hidden": width, "cell": "lstm"}
    same = load_recipe("stability_gru").model_dump(mode="json")
    if kind == TAPE:
        name = f"{TAPE_LAYERS} LSTM layers, both ways"
        core = {"cell": "lstm", "hidden": width, "layers": TAPE_LAYERS, "direction": "bidirectional"}
        same["model"]["core"] |= core
    else:
        name = "convolution, attention and max"
        same["model"]["frontend"] |= {"width": width, "layers": [{"width": width, "kernel": 9}]}
        same["model"] |= {"core": same["model"]["core"] | {"layers": 0}, "pool": ["attention", "max"]}
        same["model"]["head"] |= {"hidden": 32, "dropout": 0.25}
    return {"stability_net": net, "stability_gru": gru, "stability_gru, LSTM": lstm, name: same}


@dataclass
class Entry:
    """A trainer and its measurements."""

    run: Contender
    peer: str  # of the same width: what its rate is divided by
    width: int
    parameters: int = 0
    clocks: list[Clock] = field(default_factory=list)  # one a round
    scores: list[float] = field(default_factory=list)
    epochs: int = 0  # that fit in the equal time
    score: float = float("nan")

    def ratio(self, other: "Entry") -> float:
        """Return the CPU seconds of the other relative to those of this one: the median of rounds."""
        return statistics.median(sum(b.cpu) / sum(a.cpu) for a, b in zip(self.clocks, other.clocks, strict=True))


def line(name: str, entry: Entry, entries: dict[str, Entry], rows: int) -> str:
    """Return a row of the table."""
    wall, cpu = (
        statistics.median(rows * len(getattr(c, of)) / sum(getattr(c, of)) for c in entry.clocks)
        for of in ("wall", "cpu")
    )
    times = f"{entry.ratio(entries[entry.peer]):6.2f}" if entry.peer in entries else f"{'-':>6}"
    return (
        f"{name:48} {entry.parameters:9,} {wall:8,.0f} {cpu:8,.0f} {times} {statistics.mean(entry.scores):9.4f} "
        f"{entry.epochs:6} {entry.score:9.4f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8192, help="training rows (default 8192)")
    parser.add_argument("--valid", type=int, default=2512, help="validation rows (default 2512)")
    parser.add_argument("--width", type=int, default=96, help="units per direction, for TAPE (default 96)")
    parser.add_argument("--batch", type=int, default=256, help="rows a batch (default 256)")
    parser.add_argument("--lr", type=float, default=1e-3, help="of the peers (default 1e-3, biotrainer's own)")
    parser.add_argument("--epochs", type=int, default=2, help="of each round (default 2)")
    parser.add_argument("--rounds", type=int, default=2, help="interleaved repeats (default 2)")
    parser.add_argument(
        "--seconds", type=float, default=20, help="CPU time of the equal-time run; 0: none (default 20)"
    )
    parser.add_argument("--tape", help="folder that holds the package `tape`, if it is not installed")
    options = parser.parse_args()

    torch.set_num_threads(1)
    makers: dict[str, Callable[[], Contender]] = {
        TAPE: partial(tape_lstm, options.width, options.tape),
        BIOTRAINER: light_attention,
    }
    peers, missing = available(makers)
    entries: dict[str, Entry] = {}
    for peer, width in ((TAPE, options.width), (BIOTRAINER, LETTERS)):
        if peer in peers:
            entries[peer] = Entry(peers[peer], peer, width)
        for name, content in recipes(width, peer).items():
            entries[f"biorrn {name}, width {width}"] = Entry(partial(biorrn_run, content), peer, width)

    with tempfile.TemporaryDirectory() as folder:
        rows, held_out = prepared(Path(folder) / "rows.h5", options.rows, options.valid)

        def go(entry: Entry, epochs: int, seed: int, name: str = "rows.h5") -> tuple[float, Run]:
            path = Path(folder) / name
            train_rows, valid_rows = ProteinDataset(path, "train"), ProteinDataset(path, "valid")
            job = Run(path, train_rows, valid_rows, epochs, options.batch, options.lr, seed)
            score = entry.run(job)
            entry.parameters = job.parameters
            return score, job

        prepared(Path(folder) / "few.h5", 2 * options.batch, options.batch)
        for entry in entries.values():  # compile and warm up
            go(entry, 1, 0, "few.h5")
        for seed in range(options.rounds):
            for entry in entries.values():
                score, job = go(entry, options.epochs, seed)
                entry.scores.append(score)
                entry.clocks.append(job.clock)
        for entry in entries.values():
            epoch = statistics.median(seconds for clock in entry.clocks for seconds in clock.cpu)
            entry.epochs = max(1, round(options.seconds / epoch)) if options.seconds else 0
            if entry.epochs:
                entry.score, _ = go(entry, entry.epochs, 0)

    print(machine("torch"), versions("biotrainer", "tape_proteins"))
    source = "stability table" if TABLE.exists() else "synthetic proteins"
    print(f"# {source}: {rows:,} training and {held_out:,} validation rows, batch {options.batch}, one thread")
    print(
        f"# sequences/s: medians of {options.rounds} rounds of {options.epochs} epochs; ratio: by CPU time, to the peer"
    )
    print(f"# Spearman: mean of the rounds; then after the epochs that fit in {options.seconds:g} CPU seconds")
    print("\n".join(missing), end="\n" if missing else "")
    head = ("", "numbers", "wall/s", "CPU/s", "ratio", f"{options.epochs} epochs", "epochs", "time")
    print("{:48} {:>9} {:>8} {:>8} {:>6} {:>9} {:>6} {:>9}".format(*head))
    for name, entry in entries.items():
        print(line(name, entry, entries, rows))


if __name__ == "__main__":
    main()
