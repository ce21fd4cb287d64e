"""Benchmark of task classification on protein families: macro F1, coverage of sets, and what is of no known family.

    python benchmarks/bench_classification.py domains.csv.gz --members 20 --threads 1 -o families.json

The table has the columns `sequence`, `sequence_name` and `family_accession` (Pfam domains, such as those of
protein-embedding-retrieval). Families of `members` domains or more are used; a fifth of them, drawn at random, is held
out as a whole. The domains of the others are split by clusters of 50 % identity, so that no domain of the test has a
training domain of such identity. Recipe `protein_classes` trains on them. Reported, on the test rows: macro F1,
accuracy and Matthews correlation beside the baselines, calibration error, coverage of the sets at several levels; and
the share of flagged domains among those of known families and of those held out. Half of the held-out families (`dev`)
served to choose the score of the flag; the figures to quote are those of the other half.

The sets are promised for rows that are drawn as the calibration rows were; relatives count together there, each cluster
once. Coverage is measured three times: on the test clusters, with an interval over families; and on the rows that
neither trained nor chose anything, dealt into calibration and test many times, by clusters and by rows.

With --several, proteins are made of one to three of these domains, and have the set of their families (multi-label):
the domains are real, their combinations are not.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.config.recipe import change_recipe, load_recipe
from biorrn.nn.store import load_model
from biorrn.proteins.classes.calibration import Calibrated, fit
from biorrn.proteins.classes.evaluate import evaluate_classes
from biorrn.proteins.classes.task import scored
from biorrn.proteins.prepare import prepare_proteins
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import offsets_of
from biorrn.sequences.similarity import cluster
from biorrn.sequences.splits import Column, parse_split, shares
from biorrn.sequences.tables.reader import Reading
from biorrn.stats.results import summary_lines
from biorrn.training.task import complete, load_task
from biorrn.training.train import train

LEVELS = (0.8, 0.9, 0.95)
DEALS, RESAMPLES = 50, 1000
PARTS, DOMAINS = (0.6, 0.2, 0.2), (0.5, 0.35, 0.15)  # of --several: splits; proteins of one, two and three domains
HELD_OUT = 5  # one family in so many
SPLIT = "cluster:0.5:0.6,0.2,0.2"


def domains(path: Path, members: int) -> dict[str, list[tuple[str, str]]]:
    """Return {family: (name, sequence) of its domains}, each sequence once, of families of so many domains."""
    seen: set[str] = set()
    found: dict[str, list[tuple[str, str]]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["sequence"] not in seen:
                seen.add(row["sequence"])
                found.setdefault(row["family_accession"], []).append((row["sequence_name"], row["sequence"]))
    return {family: rows for family, rows in sorted(found.items()) if len(rows) >= members}


def write(path: Path, families: dict[str, list[tuple[str, str]]], chosen: list[str]) -> Path:
    """Write the domains of some families as a table."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream)
        lines.writerow(("id", "sequence", "family"))
        lines.writerows((name, sequence, family) for family in chosen for name, sequence in families[family])
    return path


def composed(path: Path, families: dict[str, list[tuple[str, str]]], seed: int) -> Path:
    """Write proteins of one to three domains, joined end to end, each domain once, with the set of their families.

    The domains are dealt to train, valid and test by clusters of 50 % identity before they are joined.
    """
    rng, rows = np.random.default_rng(seed), [(family, one) for family, own in families.items() for _, one in own]
    encoded = [tokens(one) for _, one in rows]
    codes = shares(cluster(np.concatenate(encoded), offsets_of([len(one) for one in encoded]), 0.5), PARTS, seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream)
        lines.writerow(("id", "sequence", "domains", "set"))
        for code, split in enumerate(("train", "valid", "test")):
            left = rng.permutation(np.flatnonzero(codes == code)).tolist()
            while left:
                taken = [rows[left.pop()] for _ in range(min(len(left), int(rng.choice([1, 2, 3], p=DOMAINS))))]
                names = ";".join(sorted({family for family, _ in taken}))
                lines.writerow((f"{split}{len(left)}", "".join(one for _, one in taken), names, split))
    return path


def several(asked: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate on `composed` proteins."""
    with tempfile.TemporaryDirectory() as name:
        table = composed(Path(name) / "x.csv", domains(asked.table, asked.members), asked.seed)
        prepared, model = Path(name) / "x.h5", Path(name) / "model"
        prepare_proteins(table, prepared, Column("set"), ["domains"], reading=Reading(strict=True, type="set"))
        recipe = change_recipe(load_recipe("protein_motifs"), ["model.head.name=labels", *asked.set])
        began = time.process_time()
        train(recipe, prepared, model, load_task("classification"), seed=asked.seed, threads=asked.threads)
        complete("classification", model, prepared, device="cpu")
        print(f"trained in {time.process_time() - began:.0f} s of CPU")
        content = evaluate_classes(model, prepared, name="domains", split="test")
    print(content["counts"], *summary_lines(content), sep="\n")
    return content


def held_by(made: Calibrated, logs: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the bool array (N,) of rows whose set holds the true class."""
    sets = made.sets(made(logs)[0])
    assert sets is not None
    return np.asarray(sets[np.arange(len(true)), true])


def over_families(held: np.ndarray, true: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of `held` (N,), over the families `true` (N,)."""
    hits, rows = np.bincount(true, held), np.bincount(true)
    there = np.flatnonzero(rows)
    drawn = np.random.default_rng(seed).choice(there, (RESAMPLES, len(there)))
    low, high = np.quantile(hits[drawn].sum(1) / rows[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)


def dealt_coverage(logs: np.ndarray, true: np.ndarray, groups: np.ndarray, level: float, seed: int) -> list[float]:
    """Return the coverage of sets for a level on a random half of the groups, calibrated on the others, `DEALS` times.

    Parameters
    ----------
    groups : int array (N,).
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(DEALS):
        one = np.isin(groups, rng.permutation(np.unique(groups))[::2])
        other = ~one
        entry = fit(logs[one], true[one], groups[one])
        made = Calibrated.of({"task": "classification", "class_calibration": entry}, level)
        assert made is not None
        found.append(float(held_by(made, logs[other], true[other]).mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--members", type=int, default=20, help="fewest domains of a family")
    parser.add_argument("--recipe", default="protein_classes")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe")
    parser.add_argument("--seed", type=int, default=0, help="of the families held out, the split and the training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON of the evaluations")
    parser.add_argument(
        "--several", action="store_true", help="proteins of one to three domains, with sets of families"
    )
    asked = parser.parse_args()
    if asked.several:
        asked.output.write_text(json.dumps(several(asked), default=float), encoding="utf-8")
        return
    families = domains(asked.table, asked.members)
    order = list(families)
    np.random.default_rng(asked.seed).shuffle(order)
    out = len(order) // HELD_OUT
    parts = {"dev": order[: out // 2], "unseen": order[out // 2 : out], "known": order[out:]}
    sizes = {name: sum(len(families[one]) for one in own) for name, own in parts.items()}
    print(", ".join(f"{name}: {len(own)} families, {sizes[name]:,} domains" for name, own in parts.items()))
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {part: write(folder / f"{part}.csv", families, own) for part, own in parts.items()}
        prepared, model = folder / "known.h5", folder / "model"
        splitter = parse_split(SPLIT, "protein", asked.seed)
        prepare_proteins(tables["known"], prepared, splitter, ["family"], reading=Reading(strict=True, type="class"))
        recipe = change_recipe(load_recipe(asked.recipe), asked.set)
        inside = {"inside": True} if recipe.members is not None else {}
        began, spent = time.monotonic(), time.process_time()
        train(recipe, prepared, model, load_task("classification"), seed=asked.seed, threads=asked.threads, **inside)
        complete("classification", model, prepared, device="cpu")
        print(f"trained in {time.monotonic() - began:.0f} s, {time.process_time() - spent:.0f} s of CPU")
        for level in LEVELS:
            chosen = "all" if level == 0.9 else "none"
            content = evaluate_classes(
                model, prepared, name=f"families {level:g}", split="test", level=level, baselines=chosen
            )
            results[f"test {level:g}"] = content
            print(f"\ntest, sets for {level:g}:", *summary_lines(content), sep="\n")
        stored, device = load_model(model), torch.device("cpu")
        spare, test = (scored(stored, prepared, part, device) for part in (None, "test"))
        apart = (spare[2], test[2] + spare[2].max() + 1)  # no cluster of one has rows in the other
        logs, true, clusters = (np.concatenate(both) for both in (*zip(spare[:2], test[:2], strict=True), apart))
        for level in LEVELS:
            made = Calibrated.of(stored.facts, level)
            assert made is not None
            held = held_by(made, *test[:2])
            low, high = over_families(held, test[1], asked.seed)
            by_cluster = dealt_coverage(logs, true, clusters, level, asked.seed)
            dealt = dealt_coverage(logs, true, np.arange(len(true)), level, asked.seed)
            results[f"coverage {level:g}"] = {
                "test": [held.mean(), low, high],
                "dealt by clusters": [np.mean(by_cluster), np.std(by_cluster)],
                "dealt": [np.mean(dealt), np.std(dealt)],
            }
            print(
                f"sets for {level:.0%} hold {held.mean():.1%} (over families {low:.1%} to {high:.1%}) of the test "
                f"clusters; {np.mean(by_cluster):.1%}, SD {np.std(by_cluster):.1%}, of clusters dealt at random; "
                f"{np.mean(dealt):.1%}, SD {np.std(dealt):.1%}, of {len(true) // 2:,} rows dealt at random"
            )
        for part in ("dev", "unseen"):
            content = evaluate_classes(model, tables[part], name=part, baselines="none")
            results[part] = content
            print(f"\n{part}:", *summary_lines(content), dict(Counter(content["flags"])), sep="\n")
    asked.output.write_text(json.dumps(results, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
