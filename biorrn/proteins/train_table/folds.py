"""Cross-validation on a user's table: each row is predicted by a model that saw neither it nor its group.

Each fold trains on the other folds, less a tenth of their groups that chooses the epoch. The final model is the plain
mean of the models of the folds: it has seen every row, needs no further training, and each member was stopped by rows
that it had not seen, which is impossible for a model of all rows. After folds of positions it is fitted again to all
rows instead (`refit.refit_folds`), since one of the models knows nothing of a position. The intervals come from the
residuals of the rows outside each fold (cross-conformal, CV+ style: Barber et al. 2021, Annals of Statistics 49:486);
the errors of an ensemble are smaller than those of one fold's model, so the intervals are slightly too wide.

Folds of positions (`sequences.splits.site_fold_splits`) do not predict every row: one whose mutations lie in several
folds is known in part to each model that could be asked, and the wild type has no position.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.nn.ensemble import Ensemble
from biorrn.nn.sequence import build
from biorrn.nn.store import load_model, save_model, update_facts
from biorrn.proteins.baselines.fit import BASELINES, beside
from biorrn.proteins.baselines.problem import Problem
from biorrn.proteins.evaluate import evaluate_regression
from biorrn.proteins.predicted import Prediction
from biorrn.proteins.predictions import Prepared, Proteins, join, read_prepared, rows_in
from biorrn.proteins.train_table.budget import Budget, Cost
from biorrn.proteins.train_table.outputs import (
    DATA,
    OUT_OF_FOLD,
    PREDICTIONS,
    Session,
    add_positions,
    coverage,
    predicted,
    unproven,
    write_pages,
    write_predictions,
)
from biorrn.proteins.train_table.refit import refit_folds
from biorrn.proteins.uncertainty import conformal, novelty
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.files import offsets_of, protein_writer
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.splits import LEFT_OUT, Folds, Sites, fold_splits, mutated_sites, site_fold_splits
from biorrn.stats.metrics import METRICS, paired
from biorrn.training.checkpoint import write_provenance
from biorrn.training.ensemble import kinds_of
from biorrn.training.task import load_task
from biorrn.training.train import train

FOLDS, CROSS = "folds", "calibration"
CROSS_FOLDS = (10, 5)  # calibrate a run without folds, below and from MANY rows on: of few rows each fold needs most
MANY = 100
FEWEST = 5  # rows of a fold whose correlation counts
FLAT = 1e-9  # of predictions of a fold: no difference but rounding
COMPARED = ("mean", "length", "ridge", "neighbour", "site_trees", "extra_trees")  # baselines, fitted once a fold
Beside = Callable[[Path], dict[str, Any]]
STEP = 100  # of seeds: folds of runs with neighbouring seeds share none


def train_folds(
    recipe: Recipe,
    run: Session,
    folds: Folds,
    groups: np.ndarray,
    wild_type: str,
    beside: Beside,
    state: dict[str, Any],
) -> None:
    """Train a model per fold, predict each row with the one that did not see it, and make one model of all rows.

    Parameters
    ----------
    recipe : what every fold trains.
    run : its folder has the prepared file, whose test rows are in no fold; its seed assigns the groups to folds.
    folds : which kind, and how many.
    groups : int64 array (N,): of all rows of the prepared file; whole groups are in one fold, if not positions are.
    wild_type : str: of folds of positions, what they are positions of.
    beside : returns what is told of new positions, given the folder of a model; see `positions.measure_positions`.
    state : dict: of the run, see `refit.refit_folds`.

    Raises
    ------
    ConfigError: fewer groups or positions than folds.
    """
    folder, seed, number = run.folder, run.seed, folds.number
    data = read_prepared(folder / DATA)
    names = [str(target["name"]) for target in data.targets]
    outside = data.split != SPLITS.index("test")
    rows, own = data.rows.select(outside), groups[outside]
    baselines = {key: np.full(rows.targets.shape, np.nan) for key in COMPARED}
    astride: list[int] = []

    def after(codes: np.ndarray, held: np.ndarray, place: int) -> None:
        fit_baselines(rows.select(codes == 0), rows.select(held), seed, run.options["threads"], baselines, held)
        astride.append(int((codes == LEFT_OUT).sum()))
        left = f"; {astride[-1]:,} with mutations there and elsewhere are left out" if astride[-1] else ""
        run.say(f"fold {place} of {number}: {int(held.sum()):,} rows{left}")

    rounds = fold_splits(own, number, seed)
    if folds.by_site:
        rounds = site_fold_splits(sites_of(rows, wild_type), folds, seed)
    # where the model is fitted again, that takes about as long as a fold
    budget = Budget(folder / FOLDS, number, run.left, run.say, more=int(folds.by_site))
    found, fold, runs = out_of_fold(recipe, run, folder / FOLDS, rows, data, rounds, after, budget)
    seen = fold > 0  # rows that a fold has tested
    tested, fold = rows.select(seen), fold[seen]
    write_predictions(folder / OUT_OF_FOLD, found, names, fold)
    final = whole_model(runs, run, folds, budget, state)
    # without a spread: that of one fold's members is not that of the ensemble
    values = np.array([prediction.values for prediction in found])
    entries = {name: conformal.fit(tested.targets[:, k], values[:, k]) for k, name in enumerate(names)}
    entry = novelty.fit(rows.tokens, rows.lengths, rows.tokens[:0], rows.lengths[:0])
    facts: dict[str, Any] = {"measured": final}
    if entry is not None:
        facts |= {"novelty": entry, "mutants": novelty.has_mutants(rows.tokens, rows.lengths)}
    update_facts(folder, conformal={name: one for name, one in entries.items() if one is not None}, **facts)
    write_rows(folder / FOLDS / DATA, tested, np.full(len(tested), SPLITS.index("test"), np.uint8), data)
    content, true, given = evaluate_regression(
        folder / OUT_OF_FOLD, folder / FOLDS / DATA, name=folder.name, split="test", baselines="none", seed=seed
    )
    content["split"] = f"out of {len(runs)} {folds.kind} folds".replace("  ", " ")
    content["folds"] = {name: fold_scores(true[:, k], given.values[:, k], fold) for k, name in enumerate(names)}
    content["cautions"] += [f"{name}: {fold_line(entry)}" for name, entry in content["folds"].items() if entry]
    content["cautions"] += [final, *unproven(folder, content)]
    if not seen.all():
        reasons = ["their mutations lie in several, or they have none"] if folds.by_site else []
        reasons += [f"--max-minutes allowed {len(runs)} of {number} folds"] if len(runs) < number else []
        content["cautions"].append(
            f"{int((~seen).sum()):,} of {len(rows):,} rows are tested in no fold: {'; '.join(reasons)}."
            + f" In the mean {np.mean(astride):,.0f} rows of a fold were left out of training." * any(astride)
        )
    add_positions(content, beside(runs[0]))
    for k, name in enumerate(names):
        fitted = {key: entry[seen] for key, entry in baselines.items()}
        content["baselines"][name] = compare_baselines(tested, given.values[:, k], fitted, k, fold, seed)
    write_pages(run, content, true, given)
    if not outside.all():
        test = data.rows.select(~outside)
        ours = predicted(folder, test, run.device)
        write_predictions(folder / PREDICTIONS, ours, names)
        for k, name in enumerate(names):
            true_k, ours_k = paired(test.targets[:, k], np.array([row.values[k] for row in ours]))
            score = METRICS["spearman"](true_k, ours_k)
            run.say(f"test: {name}: Spearman {score:.4f} of the model on {len(true_k):,} rows that were in no fold")
        for line in coverage(test, names, ours):
            run.say(f"test: {line}")


def whole_model(runs: list[Path], run: Session, folds: Folds, budget: Budget, state: dict[str, Any]) -> str:
    """Make the model of all rows from those of the folds, and return a sentence about it."""
    reason = f"{folds.kind or 'random'} folds are not refitted: all of them together have trained on every row"
    if folds.by_site:
        reason = refit_folds(runs, run, state, budget.costs)
        if not reason:
            return "each row was predicted by the model of its fold; the model itself was then refitted on all rows"
    join_folds(runs, run.folder, read_prepared(run.folder / DATA), run.seed)
    return f"each row was predicted by the model of its fold; the model is the mean of those {len(runs)}: {reason}"


def sites_of(rows: Proteins, wild_type: str) -> Sites:
    """Return the mutated positions of variants of one protein."""
    return mutated_sites(rows.tokens, offsets_of(rows.lengths), tokens(wild_type))


def out_of_fold(
    recipe: Recipe,
    run: Session,
    folder: Path,
    rows: Proteins,
    data: Prepared,
    rounds: Iterable[np.ndarray],
    after: Callable[[np.ndarray, np.ndarray, int], None] = lambda codes, held, place: None,
    budget: Budget | None = None,
) -> tuple[list[Prediction], np.ndarray, list[Path]]:
    """Train a model per fold in folders 1, 2, ... and predict the test rows of each with it.

    Returns the predictions in the order of the rows, the fold of each row, 0 for a row of none, and the run folders.
    Members train in this process, since a process for each would often take longer to start than to train.

    Parameters
    ----------
    rounds : for each fold the code of each row, uint8 (N,): of its split, or `LEFT_OUT`.
    after : takes, after each fold, the split of each row in it, which rows were held out, and its number.
    budget : Budget, optional: decides what each fold trains.
    """
    found: dict[int, Prediction] = {}
    fold, runs = np.zeros(len(rows), np.int64), []
    for place, codes in enumerate(rounds, 1):
        began = time.monotonic()
        own = recipe if budget is None else budget.begin(place, recipe)
        if own is None:
            break
        model, held, used = folder / str(place), codes == SPLITS.index("test"), codes != LEFT_OUT
        write_rows(model / DATA, rows.select(used), codes[used], data)
        inside = {"inside": True} if own.members is not None else {}
        options = {key: value for key, value in run.options.items() if key != "inside"} | inside
        train(own, model / DATA, model, load_task("regression"), seed=STEP * run.seed + place - 1, **options)
        found.update(zip(np.flatnonzero(held).tolist(), predicted(model, rows.select(held), run.device), strict=True))
        fold[held] = place
        runs.append(model)
        after(codes, held, place)
        if budget is not None:
            budget.end(place, model, time.monotonic() - began)
    return [found[row] for row in sorted(found)], fold, runs


def cross_fit(
    recipe: Recipe, run: Session, groups: np.ndarray, before: Cost | None = None, kept: float = 0.0
) -> dict[str, Any]:
    """Return the conformal facts of a model, {target: entry}, from residuals of rows outside each fold.

    Each fold of the rows outside the test is predicted by a model of the others, a tenth of which chose its epoch and
    weights: no row calibrates by a model that it trained or chose (CV+ style: Barber et al. 2021, Annals of Statistics
    49:486). The model of the run itself has more rows and more seeds, so that the intervals are rather too wide than
    too narrow. One network of each kind trains, and no spread is used, which of fewer members would be another one.

    The predictions are kept as `OUT_OF_FOLD`, where a resumed run finds them.

    Parameters
    ----------
    groups : int64 array (N,): of all rows of the prepared file; whole groups are in one fold.
    before : Cost, optional: of the model, by which the folds are planned.
    kept : float: seconds of the time left that are for what follows.
    """
    folder = run.folder
    data = read_prepared(folder / DATA)
    names = [str(target["name"]) for target in data.targets]
    outside = data.split != SPLITS.index("test")
    rows, own = data.rows.select(outside), groups[outside]
    number = min(CROSS_FOLDS[len(rows) >= MANY], len(np.unique(own)))
    if number < 3:
        run.say("intervals: none, since fewer than 3 groups are there to calibrate them")
        return {}
    if not (folder / OUT_OF_FOLD).is_file():
        budget = Budget(folder / CROSS, number, lambda: run.left() - kept, run.say, before)
        rounds = fold_splits(own, number, run.seed)
        found, fold, _ = out_of_fold(one_of_each(recipe), run, folder / CROSS, rows, data, rounds, budget=budget)
        write_predictions(folder / OUT_OF_FOLD, found, names, fold[fold > 0])
        shutil.rmtree(folder / CROSS)
    rows = rows.select(rows_in(folder / OUT_OF_FOLD, rows))  # of fewer folds, fewer
    values = join(folder / OUT_OF_FOLD, rows, data.targets, folder / DATA).values
    entries = {name: conformal.fit(rows.targets[:, k], values[:, k]) for k, name in enumerate(names)}
    run.say(f"intervals: calibrated on {len(rows):,} rows, each predicted by the model of a fold that did not see it")
    return {name: entry for name, entry in entries.items() if entry is not None}


def one_of_each(recipe: Recipe) -> Recipe:
    """Return the recipe of an ensemble with one member of each network, the first; of one model, the recipe itself."""
    if recipe.members is None:
        return recipe
    kept = [recipe.members[place] for place in sorted(np.unique(kinds_of(recipe), return_index=True)[1])]
    if len(kept) == 1:
        assert isinstance(kept[0].recipe, Recipe)
        return kept[0].recipe
    return recipe.model_copy(update={"members": kept})


def write_rows(path: Path, rows: Proteins, codes: np.ndarray, data: Prepared) -> None:
    """Write rows with these codes of splits (N,) to a prepared file, unless it is there from a killed run."""
    if path.is_file():
        return
    ends = np.cumsum(rows.lengths)
    with protein_writer(path, data.targets) as writer:
        writer.file.attrs["note"] = data.note
        for place, name in enumerate(rows.ids):
            tokens = rows.tokens[ends[place] - rows.lengths[place] : ends[place]]
            bounds = () if rows.bounds is None else rows.bounds[place]
            values, weight = rows.targets[place].tolist(), float(rows.weights[place])
            writer.add(str(name), tokens, values, weight, int(codes[place]), bounds)
        writer.flush()


def fit_baselines(
    train_rows: Proteins, held: Proteins, seed: int, threads: int, into: dict[str, np.ndarray], where: np.ndarray
) -> None:
    """Fit the baselines of `into` on the training rows of a fold; write their predictions of the held rows into it."""
    for column in range(held.targets.shape[1]):
        known = train_rows.select(~np.isnan(train_rows.targets[:, column]))
        if not len(known):
            continue
        problem = Problem(known, known.targets[:, column], held, seed, threads)
        for key, values in into.items():
            values[where, column] = BASELINES[key](problem).predicted


def compare_baselines(
    rows: Proteins, values: np.ndarray, baselines: dict[str, np.ndarray], column: int, fold: np.ndarray, seed: int
) -> dict[str, dict[str, Any]]:
    """Compare out-of-fold predictions with those of the baselines, as `proteins.baselines.fit.compare`.

    A baseline that predicts the same for all rows of a fold, as the mean of the others, ranks nothing, and has no
    correlation. Over folds it would have one far below 0, since the mean of the others is low where a fold is high.
    """
    results = {}
    measured, groups = rows.targets[:, column], rows.proteins()
    for key, all_values in baselines.items():
        other = all_values[:, column]
        if np.isfinite(paired(measured, other)[1]).all():
            how = "fitted on the training rows of each fold"
            results[key] = beside(key, how, measured, values, other, seed, groups)
            if all(np.ptp(other[fold == place]) < FLAT for place in np.unique(fold)):
                flat = beside(key, how, measured, values, np.zeros_like(other), seed, groups)
                errors = {name: results[key]["metrics"][name] for name in ("rmse", "mae", "r2")}
                flat["metrics"] |= errors
                flat["difference"]["rmse"] = results[key]["difference"]["rmse"]
                results[key] = flat
    return results


def fold_scores(true: np.ndarray, values: np.ndarray, fold: np.ndarray) -> dict[str, Any]:
    """Return Spearman's correlation over folds: mean, standard deviation, 95 % interval of Student's t, counts.

    Folds of fewer than `FEWEST` measured rows do not count, as their correlations are little but -1 and 1; empty where
    it is defined in fewer than two folds. The folds share training rows, so that the interval is too narrow.

    Parameters
    ----------
    true, values : float64 arrays (N,): measured, NaN is missing; predicted.
    fold : int64 array (N,).
    """
    pairs = [paired(true[fold == place], values[fold == place]) for place in np.unique(fold)]
    pairs = [pair for pair in pairs if len(pair[0]) >= FEWEST]
    scores = np.array([METRICS["spearman"](*pair) for pair in pairs])
    known = scores[np.isfinite(scores)]
    if len(known) < 2:
        return {}
    mean, deviation = float(known.mean()), float(known.std(ddof=1))
    half = float(stats.t.ppf(0.975, len(known) - 1)) * deviation / np.sqrt(len(known))
    counts = {"folds": len(known), "rows": sum(len(pair[0]) for pair in pairs)}
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return {"spearman": mean, "deviation": deviation, "low": low, "high": high, **counts}


def fold_line(entry: dict[str, Any]) -> str:
    """Return the scores of folds as a sentence."""
    return (
        f"mean Spearman over {entry['folds']} folds {entry['spearman']:.3f}, SD {entry['deviation']:.3f}, "
        f"95 % interval {entry['low']:.3f} to {entry['high']:.3f}; the folds share training rows, so it is too narrow."
    )


def join_folds(runs: list[Path], folder: Path, data: Prepared, seed: int) -> None:
    """Make one model folder of the models of the folds: all their members, each fold with the same weight."""
    members: list[dict[str, Any]] = []
    states, weights, facts = [], [], []
    for place, run in enumerate(runs):
        stored = load_model(run)
        parts: list[tuple[Recipe, int, Any, Any, dict[str, Any]]] = [
            (stored.recipe, 0, stored.model, 1.0, stored.facts)
        ]
        if stored.recipe.members is not None:
            assert isinstance(stored.model, Ensemble)
            own = stored.facts.get("members") or [{}] * len(stored.recipe.members)
            parts = [
                (member.recipe, member.seed, model, weight, stored.facts | more)  # type: ignore[misc]
                for member, model, weight, more in zip(
                    stored.recipe.members, stored.model.members, stored.model.weights, own, strict=True
                )
            ]
        for own_recipe, own_seed, model, weight, more in parts:
            # members of one recipe differ by their seed
            number = own_seed + 1000 * (STEP * seed + place)
            members.append({"recipe": own_recipe.model_dump(mode="json"), "seed": number})
            states.append(model.state_dict())
            weights.append(torch.as_tensor(weight).expand(len(data.targets)) / len(runs))
            facts.append(more)
    recipe = parse_recipe({"name": "own_folds", "task": "regression", "members": members})
    common = {
        **facts[0],
        "min_length": min(entry["min_length"] for entry in facts),
        "max_length": max(entry["max_length"] for entry in facts),
        "weights": torch.stack(weights).tolist(),
        "members": facts,
    }
    model = build(recipe, common)
    assert isinstance(model, Ensemble)
    for part, state in zip(model.members, states, strict=True):
        part.load_state_dict(state)
    model.weights.copy_(torch.stack(weights))
    common["members"] = [{k: v for k, v in entry.items() if common.get(k) != v and k != "members"} for entry in facts]
    if not any(common["members"]):
        del common["members"]
    save_model(folder, model, recipe, common)
    seconds = [json.loads((run / "provenance.json").read_text(encoding="utf-8"))["seconds"] for run in runs]
    content = {"task": "regression", "recipe": recipe.name, "data": {str(folder / DATA): ""}, "seed": seed}
    write_provenance(folder, content | {"folds": len(runs), "seconds": round(sum(seconds), 1)})
