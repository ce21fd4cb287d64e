"""Scores over folds."""

import numpy as np
import pytest

from biorrn.proteins.train_table.folds import FEWEST, fold_scores


def test_folds_of_few_rows_do_not_count() -> None:
    true = np.arange(4.0 * FEWEST)
    fold = np.repeat(np.arange(4), FEWEST)
    values = true * np.where(fold == 1, -1, 1)
    values[0] = values[2]  # a score below 1
    entry = fold_scores(true, values, fold)
    assert entry["folds"] == 4
    true[fold >= 2] = np.where(np.arange(2 * FEWEST) % FEWEST, true[fold >= 2], np.nan)  # one row less in two folds
    entry = fold_scores(true, values, fold)
    assert (entry["folds"], entry["rows"]) == (2, 2 * FEWEST)
    assert entry["spearman"] == pytest.approx(-0.05, abs=0.06)
    assert (entry["low"], entry["high"]) == (-1, 1)  # of Student's t it would go beyond
    true[fold == 1] = np.nan
    assert fold_scores(true, values, fold) == {}
