"""Baseline for variants of one protein: a forest on what is substituted by what, and on the means of the sites."""

from __future__ import annotations

import numpy as np

from biorrn.encoders.consensus import consensus
from biorrn.encoders.site_features import features, learn, learn_in_folds, substitutions
from biorrn.evaluation.baselines_features import FOREST_ROWS, TREES
from biorrn.evaluation.baselines_rows import Baseline, Problem, padded

LEAF = 2  # training rows of a leaf, at the least
COLUMNS = 0.4  # of the features, tried at each split
LONGEST = 2_000  # positions that are looked at
STRANGE = 0.3  # of the residues differ from the consensus in half of the rows: they are no variants
LOOKED = 500  # rows that tell it


def site_trees(problem: Problem) -> Baseline:
    """Extremely randomised trees on substitutions and means of sites (Geurts, Ernst and Wehenkel 2006).

    Of proteins that are no variants of one it predicts the mean.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    mask = np.zeros(len(problem.train), bool)
    mask[problem.some(FOREST_ROWS)] = True
    train, target = problem.train.select(mask), problem.target[mask]
    middle, _ = problem.scale()
    reference = consensus(train.tokens, train.lengths)[:LONGEST]
    length = len(reference)
    few = np.arange(len(train)) < LOOKED
    if np.median(substitutions(padded(train.select(few), length), reference).counts) > STRANGE * length:
        what = f"no variants of one protein: the mean of {len(problem.train):,} training rows in place of a forest"
        return Baseline(np.full(len(problem.rows), middle), what)
    known, asked = (substitutions(padded(rows, length), reference) for rows in (train, problem.rows))
    values, weights = target - middle, train.weights / max(float(train.weights.mean()), 1e-12)
    own = features(known, learn_in_folds(known, values, weights, length, problem.seed), length)
    new = features(asked, learn(known, values, weights, length).of(asked), length)
    model = ExtraTreesRegressor(
        TREES, min_samples_leaf=LEAF, max_features=COLUMNS, n_jobs=problem.threads, random_state=problem.seed
    )
    model.fit(own, values, sample_weight=weights)
    return Baseline(
        middle + model.predict(new),
        f"{TREES} extremely randomised trees on substitutions in a consensus of {length} residues and means of sites, "
        f"{len(train):,} of {len(problem.train):,} training rows",
    )
