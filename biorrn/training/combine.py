"""How the members of an ensemble become one model: their weights, and the line that calibrates their mean."""

from __future__ import annotations

import numpy as np

from biorrn.models.ensemble import KNOTS

STRAIGHT = 0.05  # share of the straight line in a calibration, which makes it rise everywhere
FEWEST = 2 * KNOTS  # measured rows that a calibration needs


def stacked_weights(values: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the weights, none negative and together one, of the best mean of the members (Breiman 1996, stacking).

    Parameters
    ----------
    values : float array (M, N): what each member predicts of each row.
    true : float array (N,): what was measured; rows that are not finite do not count.

    Returns
    -------
    float64 array (M,): equal weights where fewer than two rows a member were measured.
    """
    from scipy.optimize import nnls

    there = np.isfinite(true)
    members = len(values)
    if there.sum() < 2 * members:
        return np.full(members, 1 / members)
    columns, wanted = values[:, there].T.astype(np.float64), true[there].astype(np.float64)
    # of weights that sum to one, an offset of all values changes nothing; so the last row, which asks for that sum,
    # can outweigh the others without harm to the arithmetic
    middle, spread = wanted.mean(), max(wanted.std(), 1e-12)
    heavy = 1e3 * np.sqrt(len(wanted))
    found, _ = nnls(
        np.vstack([(columns - middle) / spread, np.full(members, heavy)]), [*(wanted - middle) / spread, heavy]
    )
    return found / found.sum()


def rising_knots(values: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the knots of a calibration: isotonic regression of the measured on the predicted, at a few quantiles.

    Parameters
    ----------
    values, true : float arrays (N,): predicted and measured; rows that are not finite do not count.

    Returns
    -------
    x, y : float32 arrays (`KNOTS`,), both strictly rising; y is x where there is too little to fit.
    """
    from scipy.optimize import isotonic_regression

    there = np.isfinite(true) & np.isfinite(values)
    values, true = values[there].astype(np.float64), true[there].astype(np.float64)
    rise = ((values - values.mean()) * (true - true.mean())).sum() if len(values) >= FEWEST else 0.0
    if not rise > 0:
        line = np.arange(KNOTS, dtype=np.float32)
        return line, line.copy()
    order = np.argsort(values, kind="stable")
    values, true = values[order], true[order]
    rising = isotonic_regression(true).x  # (N,), a staircase
    x = np.quantile(values, np.linspace(0, 1, KNOTS))
    gap = (values[-1] - values[0]) / (100 * KNOTS)  # many equal predictions give equal quantiles
    x = _apart(x, gap)
    # the mean step around a knot: a staircase read at one point depends on where its steps happen to lie
    edges = np.concatenate([[-np.inf], (x[1:] + x[:-1]) / 2, [np.inf]])
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, KNOTS - 1)
    counts = np.bincount(bins, minlength=KNOTS)
    filled = counts > 0
    places = np.bincount(bins, values, KNOTS)[filled] / counts[filled]
    steps = np.interp(x, places, np.bincount(bins, rising, KNOTS)[filled] / counts[filled])
    slope, offset = np.polyfit(values, true, 1)
    y = (1 - STRAIGHT) * np.maximum.accumulate(steps) + STRAIGHT * (slope * x + offset)
    return x.astype(np.float32), y.astype(np.float32)


def _apart(x: np.ndarray, gap: float) -> np.ndarray:
    """Return rising numbers at least `gap` apart, each at or above the one given."""
    steps = np.arange(len(x)) * gap
    return np.maximum.accumulate(x - steps) + steps
