"""Bootstrap confidence intervals, and Wilson intervals of proportions.

A resample is a row of counts, so a statistic over 1,000 resamples is a few array operations. Drawing n rows with
replacement is the same as giving the rows integer weights that sum to n. Statistics that take such counts need no copy
of the data for each resample, and one seed gives two statistics the same resamples, which makes their difference a
paired one (Efron and Tibshirani 1993, An Introduction to the Bootstrap).
"""

from collections.abc import Callable, Iterator

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95  # of the intervals
Z = 1.959964  # standard errors on either side in a 95 % interval of a normal distribution
CELLS = 1_000_000  # counts held at once: 8 MB

# (arrays of n rows ..., counts (R, n)) -> one value a resample (R,)
Statistic = Callable[..., np.ndarray]


def independent(n: int, groups: np.ndarray | None = None) -> int:
    """Return how many of `n` items are independent: their number, or that of the groups; see `resample_counts`."""
    return n if groups is None else int(groups.max(initial=-1)) + 1


def resample_counts(
    n: int, resamples: int = RESAMPLES, seed: int = 0, groups: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yield float64 arrays (R, n), `resamples` rows in all: how often each of `n` items was drawn.

    Parameters
    ----------
    groups : int64 array (n,), optional: numbers from 0 on, the same for items that are drawn together, as repeated
        measurements of one protein are: they are not independent (cluster bootstrap, Davison and Hinkley 1997, 3.8).

    >>> [float(block.sum()) for block in resample_counts(5, resamples=2)]
    [10.0]
    """
    if groups is not None and (many := independent(n, groups)) < n:
        for counts in resample_counts(many, resamples, seed):
            yield counts[:, groups]
        return
    rng = np.random.default_rng(seed)
    block = max(1, min(resamples, CELLS // max(n, 1)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def resampled(
    statistic: Statistic,
    *arrays: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return `statistic` of each resample, float64 (resamples,); NaN where there is nothing to resample."""
    n = len(arrays[0])
    if n == 0:
        return np.full(resamples, np.nan)
    return np.concatenate([statistic(*arrays, counts) for counts in resample_counts(n, resamples, seed, groups)])


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of resampled values; resamples without a value (NaN) are left out.

    >>> interval(np.array([np.nan, 1.0, 2.0, 3.0]), level=0.5)
    (1.5, 2.5)
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def estimate(
    statistic: Statistic,
    *arrays: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    fewest: int = 2,
    groups: np.ndarray | None = None,
) -> dict[str, float]:
    """Return {"n", "value", "low", "high"}: the statistic of the data itself with its bootstrap interval.

    Parameters
    ----------
    fewest : int: rows, or groups of these, below which there is no interval, NaN.
    groups : of rows that are drawn together; see `resample_counts`.
    """
    n = len(arrays[0])
    value = float(statistic(*arrays, np.ones((1, n)))[0]) if n else float("nan")
    # one row resampled is always that row: its interval would have width 0
    enough = independent(n, groups) >= max(fewest, 2)
    values = resampled(statistic, *arrays, resamples=resamples, seed=seed, groups=groups) if enough else np.empty(0)
    low, high = interval(values)
    return {"n": n, "value": value, "low": low, "high": high}


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion of `hits` out of `n` (Wilson 1927, JASA 22:209); NaN for n = 0.

    It takes the `n` as independent. If errors come in bursts, as in basecalls, the interval is slightly too narrow.

    >>> [round(value, 4) for value in wilson(10, 100)]
    [0.0552, 0.1744]
    """
    if n == 0:
        return float("nan"), float("nan")
    rate, spread = hits / n, Z * Z / n
    centre = rate + spread / 2
    half = Z * np.sqrt(rate * (1 - rate) / n + spread / (4 * n))
    low = 0.0 if hits == 0 else float((centre - half) / (1 + spread))
    high = 1.0 if hits == n else float((centre + half) / (1 + spread))
    return low, high


def proportion(hits: int, n: int) -> dict[str, float]:
    """Return {"n", "value", "low", "high"}: `hits` out of `n` with the interval of `wilson`; NaN for n = 0."""
    low, high = wilson(hits, n)
    return {"n": n, "value": hits / n if n else float("nan"), "low": low, "high": high}
