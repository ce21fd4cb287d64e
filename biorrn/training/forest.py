"""Train a forest on substitutions and means of sites: one fit, and the run folder that any other training leaves."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.config import Forest, Recipe
from biorrn.encoders.consensus import consensus
from biorrn.encoders.residues import sequence
from biorrn.encoders.site_features import features, learn, learn_in_folds, substitutions
from biorrn.errors import ConfigError, InputError
from biorrn.models.forest import ForestModel
from biorrn.models.store import save_model
from biorrn.training.begin import begin
from biorrn.training.checkpoint import write_history, write_provenance
from biorrn.training.gaussian import STRANGE, encode_rows, validate
from biorrn.training.launch import refuse
from biorrn.training.task import Task


def train(
    recipe: Recipe,
    data_path: str | Path,
    folder: str | Path,
    task: Task,
    *,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    replace: bool = False,
    init: str | Path | None = None,
) -> Path:
    """Fit a forest to the training rows and return the model folder; see `training.loop.train`.

    The validation rows are only scored. It computes on the CPU whatever the device. Bounds of censored values are not
    learned: such rows are left out.

    Raises
    ------
    ConfigError: the folder holds another run; the rows are no variants of one protein; or `init` is given.
    InputError: a target has fewer than two training rows.
    """
    folder, settings = Path(folder), recipe.model
    assert isinstance(settings, Forest)
    refuse("a forest is fitted by one")
    if init is not None:
        raise ConfigError(f"--init: recipe '{recipe.name}' is a forest, which has no first weights")
    begun = begin(recipe, data_path, folder, task, seed=seed, device=device, threads=threads, replace=replace)
    if begun is None:
        return folder
    data: Any = begun.data
    started = time.monotonic()
    reference = consensus(data.rows.flat, data.rows.lengths)
    codes = encode_rows(ForestModel(torch.from_numpy(reference).long(), 1, [1]), data.rows).numpy().astype(np.uint8)
    if float(np.median((codes != reference).mean(1))) > STRANGE:
        raise ConfigError(f"recipe '{recipe.name}': a forest is for variants of one protein, and these rows are none")
    print(f"training {recipe.name}: a forest of {settings.trees} trees on {len(codes):,} rows", file=sys.stderr)
    fits = []
    for k, name in enumerate(data.rows.names):
        measured = data.rows.targets[:, k].astype(np.float64)
        there = np.isfinite(measured)
        if there.sum() < 2:
            raise InputError(data_path, f"target '{name}': {there.sum()} training rows; a forest takes 2 or more")
        fits.append(_fit(settings, codes[there], reference, measured[there], data.rows.weights[there], seed, threads))
    nodes = [sum(tree.tree_.node_count for tree in forest.estimators_) for forest, *_ in fits]
    facts = data.facts | {"forest": {"reference": sequence(reference), "nodes": nodes}}
    facts.setdefault("reference", facts["forest"]["reference"])
    model = ForestModel(torch.from_numpy(reference).long(), settings.trees, nodes)
    for trees, (forest, base, effects, _) in zip(model.targets, fits, strict=True):
        trees.fill(forest.estimators_, base, effects)  # type: ignore[operator]
    scores, valid_loss = validate(model, data, task)
    seconds = time.monotonic() - started
    loss = float(np.mean([fit[3] for fit in fits]))
    row = {"epoch": 0, "step": settings.trees, "seconds": round(seconds, 2), "train_loss": loss}
    row |= {"valid_loss": valid_loss} | {f"valid_{name}": value for name, value in scores.items()}
    print(
        f"fitted: {begun.scored} loss {valid_loss:.4f}, {task.monitor} {scores[task.monitor]:.4f}, {seconds:.0f} s",
        file=sys.stderr,
    )
    write_history(folder, [row])
    save_model(folder, model.eval(), recipe, facts)
    write_provenance(
        folder,
        {
            **begun.facts(),
            "device": "cpu",
            "precision": "64",
            "parameters": sum(nodes),
            "seconds": round(seconds, 1),
            "rate": {"value": round(data.training_size / max(seconds, 1e-9), 1), "unit": f"{task.unit}/s"},
            "best": {"epoch": 0, "metric": begun.metric(task), "value": scores[task.monitor]},
        },
    )
    return folder


def _fit(
    settings: Forest,
    codes: np.ndarray,
    reference: np.ndarray,
    measured: np.ndarray,
    weights: np.ndarray,
    seed: int,
    threads: int | None,
) -> tuple[Any, float, Any, float]:
    """Return the fitted trees, the mean of the target, the tables of effects, and the training loss in variances."""
    from sklearn.ensemble import ExtraTreesRegressor

    weights = weights.astype(np.float64) / max(float(weights.mean()), 1e-12)
    base = float(np.average(measured, weights=weights))
    known = substitutions(codes, reference)
    learned = learn_in_folds(known, measured - base, weights, len(reference), seed)
    forest = ExtraTreesRegressor(
        settings.trees,
        min_samples_leaf=settings.leaf,
        max_features=settings.columns,
        n_jobs=threads or 1,
        random_state=seed,
    )
    x = features(known, learned, len(reference))
    forest.fit(x, measured - base, sample_weight=weights)
    loss = float(np.square(forest.predict(x) - measured + base).mean() / max(measured.var(), 1e-12))
    return forest, base, learn(known, measured - base, weights, len(reference)), loss
