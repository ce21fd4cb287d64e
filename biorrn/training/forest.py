"""Training of a forest: features of substitutions, one fit of scikit-learn's extra trees, and the run folder."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import Forest
from biorrn.nn.forest import WIDTH, ForestModel, features, learn, learn_in_folds, substitutions
from biorrn.nn.told import told
from biorrn.sequences.alphabets import consensus, sequence
from biorrn.training.gaussian import STRANGE, encode_rows, write_fit
from biorrn.training.loop import Begun
from biorrn.training.task import Task


def run(begun: Begun, task: Task) -> None:
    """Fit a forest to the training rows and write the model folder.

    The validation rows are only scored. It computes on the CPU whatever the device. Rows with a censored value are left
    out.

    Raises
    ------
    ConfigError: the rows are not variants of one protein.
    InputError: a target has fewer than two training rows.
    """
    recipe, settings = begun.recipe, begun.recipe.model
    assert isinstance(settings, Forest)
    data: Any = begun.data
    started = time.monotonic()
    reference = consensus(data.rows.flat, data.rows.lengths)
    codes = encode_rows(ForestModel(torch.from_numpy(reference).long(), 1, [1]), data.rows).numpy().astype(np.uint8)
    if (differing := float(np.median((codes != reference).mean(1)))) > STRANGE:
        raise ConfigError(
            f"recipe '{recipe.name}': a forest is for variants of one protein; half of the training rows differ from "
            f"their consensus at {100 * differing:.0f} % of the positions or more"
        )
    known = told(settings.effects, reference).astype(np.float32) if settings.effects else None
    told_of = np.zeros((len(reference), WIDTH, 0), np.float32) if known is None else known
    print(f"training {recipe.name}: a forest of {settings.trees} trees on {len(codes):,} rows", file=sys.stderr)
    fits = []
    for k, name in enumerate(data.rows.names):
        measured = data.rows.targets[:, k].astype(np.float64)
        there = np.isfinite(measured)
        if there.sum() < 2:
            raise InputError(begun.source, f"target '{name}': {there.sum()} training rows; a forest takes 2 or more")
        weights = data.rows.weights[there]
        fits.append(_fit(settings, codes[there], reference, told_of, measured[there], weights, begun))
    nodes = [sum(tree.tree_.node_count for tree in forest.estimators_) for forest, *_ in fits]
    own = {"reference": sequence(reference), "nodes": nodes}
    facts = data.facts | {"forest": own if known is None else own | {"told": known.shape[-1]}}
    facts.setdefault("reference", own["reference"])
    model = ForestModel(torch.from_numpy(reference).long(), settings.trees, nodes, told_of.shape[-1])
    model.told.copy_(torch.from_numpy(told_of))
    for trees, (forest, base, effects, _) in zip(model.targets, fits, strict=True):
        trees.fill(forest.estimators_, base, effects)  # type: ignore[operator]
    loss = float(np.mean([fit[3] for fit in fits]))
    write_fit(begun, task, model, facts, started, settings.trees, sum(nodes), loss)


def _fit(
    settings: Forest,
    codes: np.ndarray,
    reference: np.ndarray,
    told_of: np.ndarray,
    measured: np.ndarray,
    weights: np.ndarray,
    begun: Begun,
) -> tuple[Any, float, Any, float]:
    """Return the trees, the mean of the target, the effects, and the training loss relative to the variance.

    Each row is there twice: with the means of its sites from other rows, and with those of other sites, as a row with
    substitutions at new sites will have them.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    weights = weights.astype(np.float64) / max(float(weights.mean()), 1e-12)
    base = float(np.average(measured, weights=weights))
    known, values, length = substitutions(codes, reference), measured - base, len(reference)
    more = told_of[known.site, known.new]  # (M, F)
    x = [
        features(known, np.concatenate([found, more], 1), length)
        for found in (learn_in_folds(known, values, weights, length, begun.seed, sites) for sites in (False, True))
    ]
    forest = ExtraTreesRegressor(
        settings.trees,
        min_samples_leaf=settings.leaf,
        max_features=settings.columns,
        n_jobs=begun.threads,
        random_state=begun.seed,
    )
    forest.fit(np.concatenate(x), np.tile(values, 2), sample_weight=np.tile(weights, 2))
    forest.n_jobs = 1  # several threads would add the trees in random order
    loss = float(np.square(forest.predict(x[0]) - values).mean() / max(measured.var(), 1e-12))
    return forest, base, learn(known, values, weights, length), loss
