"""The baseline that copies: a row gets the value of the training sequence most like it."""

from __future__ import annotations

import numpy as np

from biorrn.datasets.similarity import nearest
from biorrn.evaluation.baselines_rows import Baseline, Problem, padded, places
from biorrn.evaluation.predictions import Proteins
from biorrn.jit import jit

LEAST = 0.35  # identity below which a neighbour says nothing and the mean is taken
WORD = 3  # residues: sequences of 35 % identity still share some such words
EDIT_LONGEST = 500  # residues read of a sequence where the edit distance is computed: its time grows with the square
NEIGHBOUR_ROWS = 200_000  # at most this many training rows are looked at


@jit()
def closest(rows: np.ndarray, table: np.ndarray, values: np.ndarray, weights: np.ndarray) -> tuple:
    """Return for each row the most places at which a sequence of the table agrees, and the mean value of those.

    Parameters
    ----------
    rows, table : uint8 arrays (N, L), (M, L): tokens of sequences of one length, no padding.
    values, weights : float64 arrays (M,).
    """
    best = np.full(len(rows), -1, np.int64)
    found = np.zeros(len(rows))
    for i in range(len(rows)):
        row = rows[i]
        sums = total = 0.0
        for j in range(len(table)):
            other = table[j]
            same = 0
            for k in range(len(row)):
                same += row[k] == other[k]
            if same > best[i]:
                best[i], sums, total = same, 0.0, 0.0
            if same == best[i]:
                sums += weights[j] * values[j]
                total += weights[j]
        found[i] = sums / total if total > 0 else np.nan
    return best, found


def _cut(rows: Proteins) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of all rows, each cut at `EDIT_LONGEST` residues, and their offsets (N + 1,)."""
    lengths = np.minimum(rows.lengths, EDIT_LONGEST)
    return rows.tokens[places(rows) < EDIT_LONGEST], np.concatenate([[0], np.cumsum(lengths)])


def neighbour(problem: Problem) -> Baseline:
    """Predict the value of the nearest training sequence by identity; the mean where none is alike.

    Sequences of equal length are compared place by place with all of that length, and ties are averaged; besides,
    those that share words of three residues by their edit distance (`datasets.similarity`). The higher identity counts.
    """
    chosen = problem.some(NEIGHBOUR_ROWS)
    kept = np.zeros(len(problem.train), bool)
    kept[chosen] = True
    train, rows, target = problem.train.select(kept), problem.rows, problem.target[chosen]
    predicted, reached = np.full(len(rows), problem.scale()[0]), np.full(len(rows), LEAST)
    tokens, offsets = _cut(train)
    queries, bounds = _cut(rows)
    other, identity = nearest(queries, bounds, tokens, offsets, LEAST, WORD, 1.0)
    better = other >= 0
    predicted[better], reached[better] = target[other[better]], identity[better]
    for size in np.intersect1d(rows.lengths, train.lengths):
        if size == 0:
            continue
        mine, theirs = rows.lengths == size, train.lengths == size
        table, ours = padded(train.select(theirs), int(size)), padded(rows.select(mine), int(size))
        agree, values = closest(ours, table, target[theirs], train.weights[theirs])
        # equal counts too: all that agree at as many places were averaged here, the other search gives one of them
        nearer = (agree / size >= reached[mine]) & np.isfinite(values)
        at = np.flatnonzero(mine)[nearer]
        predicted[at], reached[at] = values[nearer], (agree / size)[nearer]
    alike = int((reached > LEAST).sum())
    return Baseline(
        predicted,
        f"the value of the nearest of {len(train):,} of {len(problem.train):,} training sequences by identity, or the "
        f"mean where none reaches {100 * LEAST:.0f} % ({alike:,} of {len(rows):,} rows have one)",
    )
