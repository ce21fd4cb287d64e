"""Models of `biorrn train protein` on deep mutational scans, with and without the effects of `ddg`, beside baselines.

    python benchmarks/bench_scans.py ../shared/data/protein/dms --scans 12 --rows 1500

Each scan is a table SCAN.csv.gz (columns mutant, score) with its wild type in SCAN.fasta. Folds are those of `--folds`:
at random, of whole positions, of stretches of positions; a tenth of the other rows chooses and weighs the models, as in
the command. Printed is Spearman's correlation on the rows held out, its mean and standard deviation over the folds, and
its mean over the scans: `model` is what the command makes of its Gaussian process and its forest; `before`, the same
without the effects; the baselines are those of a report. The network that the command tries too is left out here: with
scans its weight is nearly always 0, and it takes longer.
"""

import argparse
import contextlib
import io
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import spearmanr

from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.nn.store import load_model
from biorrn.proteins import task as regression
from biorrn.proteins.baselines.fit import BASELINES
from biorrn.proteins.baselines.problem import Problem
from biorrn.proteins.predictions import read_prepared
from biorrn.proteins.prepare import prepare_protein
from biorrn.proteins.train_table.choice import CANDIDATES
from biorrn.proteins.train_table.table import Columns, Table, distinct, look, read_table
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.splits import FOLD_NUMBER, LEFT_OUT, Column, Folds, fold_splits, mutated_sites, site_fold_splits
from biorrn.training.batches import pad_tokens
from biorrn.training.train import train

KINDS = ("random", "position", "contiguous")
BESIDE = ("ridge", "extra_trees", "site_trees", "svm")
FEWEST = 150  # rows of a scan


def recipe_of(table: Table, effects: bool) -> Recipe:
    """Return the ensemble of Gaussian process and forest that the command chooses."""
    seen = look(table, ("score",), 0)
    members = []
    for name in ("gaussian", "forest"):
        found = CANDIDATES[name](seen, len(table))
        assert found is not None
        content = found.recipe.model_dump(mode="json")
        if not effects:
            content["model"] |= {"kernel": content["model"]["kernel"] | {"effects": None}} if name == "gaussian" else {}
            content["model"] |= {"effects": None} if name == "forest" else {}
        members.append({"recipe": content, "seed": 0})
    return parse_recipe({"name": "own", "task": "regression", "members": members, "combine": "stack"})


def rounds(table: Table, kind: str, seed: int) -> Iterator[np.ndarray]:
    """Yield, for each fold of a kind, the code of each row."""
    if kind == "random":
        return fold_splits(distinct(table), FOLD_NUMBER, seed)
    sites = mutated_sites(table.tokens, table.offsets, tokens(table.wild_type))
    return site_fold_splits(sites, Folds(kind, FOLD_NUMBER), seed)


def scores_of(table: Table, codes: np.ndarray, folder: Path, models: dict[str, bool]) -> dict[str, float]:
    """Return Spearman's correlation on the test rows of the models and the baselines."""
    pairs = zip(table.rows, codes, strict=True)
    rows = (replace(row, split=SPLITS[code]) for row, code in pairs if code != LEFT_OUT)
    with contextlib.redirect_stderr(io.StringIO()):
        prepare_protein(rows, folder / "d.h5", Column("split"), [{"name": "score", "unit": ""}], source="scan")
        values: dict[str, np.ndarray] = {}
        prepared = read_prepared(folder / "d.h5")
        held = prepared.split == SPLITS.index("test")
        test, fit = prepared.rows.select(held), prepared.rows.select(~held)
        x, lengths = pad_tokens(np.split(test.tokens, np.cumsum(test.lengths)[:-1]))
        for name, effects in models.items():
            train(recipe_of(table, effects), folder / "d.h5", folder / name, regression, seed=0, threads=1, inside=True)
            model = load_model(folder / name).model.eval()
            with torch.inference_mode():
                values[name] = model(x, lengths)[0][:, 0].numpy()
                for member, part in zip(model.members, ("gaussian", "forest"), strict=True):  # type: ignore[arg-type]
                    values[f"{name}: {part}"] = member(x, lengths)[0][:, 0].numpy()
        problem = Problem(fit, fit.targets[:, 0], test, 0, 1)
        values |= {name: BASELINES[name](problem).predicted for name in BESIDE}
    true = test.targets[:, 0]
    return {name: float(spearmanr(true, own)[0]) if np.ptp(own) > 0 else 0.0 for name, own in values.items()}


def spread(scores: list[float]) -> float:
    """Return the standard deviation over folds, 0 of one."""
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int, default=12, help="how many, evenly from the sorted names")
    parser.add_argument("--rows", type=int, default=1500, help="of a scan at most, at random")
    parser.add_argument("--names", nargs="*", default=[], help="of scans, in place of a number of them")
    parser.add_argument("--folds", type=int, default=1, help="how many of the five of each kind are trained")
    parser.add_argument("--before", action="store_true", help="also train without the effects")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    models = {"model": True} | ({"before": False} if asked.before else {})
    every = sorted(
        path for path in asked.folder.glob("*.csv.gz") if path.with_name(path.name[:-7] + ".fasta").is_file()
    )
    places = np.unique(np.linspace(0, len(every) - 1, asked.scans).round().astype(int))
    chosen = [path for path in every if path.name[:-7] in asked.names] or [every[k] for k in places]
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for path in chosen:
        wild = path.with_name(path.name[:-7] + ".fasta")
        with contextlib.redirect_stderr(io.StringIO()):
            table = read_table(Columns(str(path), ("score",), sequence="mutant", wild_type=str(wild)))
        if len(table) < FEWEST:
            continue
        if len(table) > asked.rows:
            kept = np.sort(np.random.default_rng(asked.seed).permutation(len(table))[: asked.rows])
            lengths = table.lengths[kept]
            table = replace(
                table,
                rows=[table.rows[k] for k in kept],
                targets=table.targets[kept],
                tokens=np.concatenate([table.sequence(int(k)) for k in kept]),
                offsets=np.concatenate([[0], np.cumsum(lengths)]),
                codes=table.codes[kept],
            )
        for kind in KINDS:
            began, of_folds = time.monotonic(), []
            for codes in itertools.islice(rounds(table, kind, asked.seed), asked.folds):
                with tempfile.TemporaryDirectory() as folder:
                    of_folds.append(scores_of(table, codes, Path(folder), models))
            columns = {name: [scores[name] for scores in of_folds] for name in of_folds[0]}
            found[kind].append({name: float(np.mean(scores)) for name, scores in columns.items()})
            said = "  ".join(f"{name} {np.mean(own):.3f} +- {spread(own):.3f}" for name, own in columns.items())
            print(
                f"{path.name[:-7]}, {kind}, {len(table):,} rows: {said}; {time.monotonic() - began:.0f} s", flush=True
            )
    for kind, all_scores in found.items():
        means = {name: np.mean([scores[name] for scores in all_scores]) for name in all_scores[0]}
        print(f"mean of {len(all_scores)}, {kind}: " + "  ".join(f"{name} {mean:.3f}" for name, mean in means.items()))


if __name__ == "__main__":
    main()
