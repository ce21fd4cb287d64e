"""What a k-mer with few events borrows: a linear model of the bases in it and of neighbouring pairs."""

from itertools import pairwise

import numpy as np

ROWS = 1 << 14  # k-mers whose features are in memory at once
RIDGE = 1e-3  # keeps the solution finite: the features of a place sum to one
SEEN = 8  # events; k-mers with as many say how far the additive model is off


def features(rows: np.ndarray, k: int) -> np.ndarray:
    """Return which base stands at each place, and which pair at each two places side by side, float64 (N, F)."""
    digits = [(rows // 4 ** (k - 1 - place)) % 4 for place in range(k)]
    single = [np.eye(4)[digit] for digit in digits]
    pairs = [np.eye(16)[4 * left + right] for left, right in pairwise(digits)]
    return np.concatenate(single + pairs, axis=1)


def predict(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the additive model's value for each k-mer, float64 (4**k,), fitted to values and weights of that shape."""
    size = len(values)
    k = round(np.log2(size) / 2)
    centre = float(np.average(values, weights=weights)) if weights.sum() > 0 else 0.0
    width = features(np.zeros(1, int), k).shape[1]
    left, right = RIDGE * max(float(weights.sum()) / size, 1e-12) * np.eye(width), np.zeros(width)
    blocks = [np.arange(start, min(size, start + ROWS)) for start in range(0, size, ROWS)]
    for rows in blocks:
        block = features(rows, k)
        weighted = block * weights[rows, None]
        left += weighted.T @ block
        right += weighted.T @ (values[rows] - centre)
    solution = np.linalg.solve(left, right)
    return centre + np.concatenate([features(rows, k) @ solution for rows in blocks])


def additive(values: np.ndarray, counts: np.ndarray, error: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Return values pulled towards the additive model the more, the fewer events they rest on.

    The pull is that of empirical Bayes: the model counts as many events as make an estimate as uncertain as the model
    is wrong where many events tell.

    Parameters
    ----------
    values : float64 array (4**k,): estimates; what stands where counts is 0 does not matter.
    counts : int array (4**k,): events that each rests on.
    error : float64 array (4**k,) or float: standard deviation of one event about the value.

    Returns
    -------
    float64 array (4**k,): the values.
    float64 array (4**k,): the part of each that is the additive model's, 0 to 1.
    """
    seen = counts > 0
    many = counts >= SEEN
    if not seen.any():
        return np.zeros(len(values)), np.ones(len(values))
    errors = np.broadcast_to(np.asarray(error, np.float64), values.shape)
    typical = float(np.median(errors[many])) if many.any() else float(np.median(errors[seen]))
    typical = max(typical, 1e-9)
    model = predict(np.where(seen, values, 0.0), np.minimum(counts, 50).astype(np.float64))
    wrong = typical**2  # with no k-mer seen often, the model is trusted as much as one event
    if many.sum() >= 20:
        off = (values - model)[many]
        wrong = max(float((off**2).mean() - (typical**2 / counts[many]).mean()), 1e-4 * typical**2)
    borrowed = typical**2 / wrong  # events that the model is worth
    part = borrowed / (counts + borrowed)
    return np.where(seen, (1 - part) * values + part * model, model), np.where(seen, part, 1.0)
