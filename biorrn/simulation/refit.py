"""Levels of k-mers and the offset and gain of each read, fitted in turn."""

from dataclasses import dataclass

import numpy as np

from biorrn.simulation.pore_model import LabelledSignal

PASSES = 5  # refits of reads and levels in each round
FEW = 8  # events; a k-mer with fewer is flagged
CLIP = 3.0  # spreads: events further from the median do not count towards a level
MIN_READ = 200  # events: with fewer a read keeps its own median and MAD


@dataclass(slots=True)
class Fit:
    """Where an estimate stands; arrays are (4**k,) but for `gain` and `offset` (M,), one a read.

    A read's events follow offset + gain x level.
    """

    level: np.ndarray
    spread: np.ndarray
    counts: np.ndarray
    gain: np.ndarray
    offset: np.ndarray


def robust_levels(values: np.ndarray, index: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return location, spread and count of the values of each group, each (size,); 0 where a group is empty.

    The spread is 1.4826 x the median absolute deviation, the location the mean of what lies within `CLIP` spreads of
    the median.
    """
    count = np.bincount(index, minlength=size)
    median = grouped_median(values, index, count)
    spread = 1.4826 * grouped_median(np.abs(values - median[index]), index, count)
    near = np.abs(values - median[index]) <= CLIP * np.maximum(spread[index], 1e-6)
    kept = np.bincount(index[near], minlength=size)
    total = np.bincount(index[near], values[near], size)
    return np.where(kept > 0, total / np.maximum(kept, 1), median), spread, count


def grouped_median(values: np.ndarray, index: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the median of each group (size,), 0 where it is empty; `count` is the size of each."""
    order = np.lexsort((values, index))
    first = np.cumsum(count) - count
    low, high = first + np.maximum(count - 1, 0) // 2, first + count // 2
    ordered = np.append(values[order], [0.0, 0.0])
    top = len(values)
    middle = (ordered[np.minimum(low, top)] + ordered[np.minimum(high, top)]) / 2
    return np.where(count > 0, middle, 0.0)


def refit(means: np.ndarray, dwell: np.ndarray, index: np.ndarray, reads: np.ndarray, size: int) -> Fit:
    """Return levels and each read's gain and offset, fitted in turn; on average over reads they are 1 and 0.

    Parameters
    ----------
    means, dwell : float64 and int64 arrays (L,): current and samples of each event.
    index, reads : int64 arrays (L,): k-mer (-1: none) and read of each event.
    size : int: number of k-mers.
    """
    used = index >= 0
    means, dwell, index, reads = means[used], dwell[used], index[used], reads[used]
    number = int(reads.max()) + 1
    gain, offset = np.ones(number), np.zeros(number)
    for _ in range(PASSES):
        level, spread, count = robust_levels((means - offset[reads]) / gain[reads], index, size)
        typical = float(np.median(spread[count >= FEW])) if (count >= FEW).any() else float(np.median(spread))
        expected = level[index]
        residual = (means - offset[reads]) / gain[reads] - expected
        # a k-mer seen once has no residual of its own: it says nothing about the read
        weight = np.where((np.abs(residual) < CLIP * typical) & (count[index] > 1), np.minimum(dwell, 10), 0.0)
        gain, offset = _lines(expected, means, weight, reads, number)
    level, spread, count = robust_levels((means - offset[reads]) / gain[reads], index, size)
    return Fit(level, spread, count, gain, offset)


def _lines(x: np.ndarray, y: np.ndarray, weight: np.ndarray, reads: np.ndarray, number: int) -> tuple:
    """Return slope and intercept of the weighted least-squares line of each read, scaled to 1 and 0 on average."""
    sums = [np.bincount(reads, weight * part, number) for part in (1.0 + 0 * x, x, y, x * x, x * y)]
    total, sx, sy, sxx, sxy = sums
    events = np.bincount(reads[weight > 0], minlength=number)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (total * sxy - sx * sy) / (total * sxx - sx * sx)
        cut = (sy - slope * sx) / total
    good = (events >= MIN_READ) & np.isfinite(slope) & (slope > 0.3) & (slope < 3) & (np.abs(cut) < 2)
    slope, cut = np.where(good, slope, 1.0), np.where(good, cut, 0.0)
    if good.any():
        share = np.where(good, events, 0) / events[good].sum()
        mean_slope, mean_cut = (slope * share).sum(), (cut * share).sum()
        slope, cut = np.where(good, slope / mean_slope, 1.0), np.where(good, cut - mean_cut, 0.0)
    return slope, cut


def corrected(data: LabelledSignal, fit: Fit) -> np.ndarray:
    """Return the signal with each read's offset and gain taken out, float32 (T,)."""
    spans = np.diff(data.edges[data.segments])
    gain, offset = (np.repeat(values[data.reads], spans).astype(np.float32) for values in (fit.gain, fit.offset))
    return (data.signal - offset) / gain
