"""Estimation of a pore model from labelled signal.

The offset and gain of each read are fitted to the levels, the levels to the corrected reads, and so on in turn (as f5c
and Tombo do for single reads); between rounds the events can be realigned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from biorrn.base.compute import each_row, jit
from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.base.files import open_text
from biorrn.nanopore.simulate.current import autocovariance, autoregression, drift, noise_within, tail_of
from biorrn.nanopore.simulate.labelled_signal import LabelledSignal
from biorrn.nanopore.simulate.pore_model import FLAGS, SIZES, Device, PoreModel, kmers

PASSES = 5  # refits of reads and levels in each round
FEW = 8  # events; a k-mer with fewer is flagged
CLIP = 3.0  # spreads; events further from the median are outliers
MIN_READ = 200  # events; a read with fewer keeps its own median and MAD


@dataclass(slots=True)
class Fit:
    """State of an estimate: arrays (4**k,), and `gain` and `offset` (M,) of the reads.

    The events of a read follow offset + gain x level.
    """

    level: np.ndarray
    spread: np.ndarray
    counts: np.ndarray
    gain: np.ndarray
    offset: np.ndarray


def robust_levels(values: np.ndarray, index: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return location, spread and count of the values of each group, each (size,); 0 for an empty group.

    The spread is 1.4826 x the median absolute deviation, the location the mean of the values within `CLIP` spreads of
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
    """Return the median of each group (size,), 0 for an empty one; `count` is the size of each."""
    order = np.lexsort((values, index))
    first = np.cumsum(count) - count
    low, high = first + np.maximum(count - 1, 0) // 2, first + count // 2
    ordered = np.append(values[order], [0.0, 0.0])
    top = len(values)
    middle = (ordered[np.minimum(low, top)] + ordered[np.minimum(high, top)]) / 2
    return np.where(count > 0, middle, 0.0)


def refit(means: np.ndarray, dwell: np.ndarray, index: np.ndarray, reads: np.ndarray, size: int) -> Fit:
    """Return levels, and gain and offset of each read, fitted in turn; their means over reads are 1 and 0.

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
        # a k-mer seen once has no residual
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
    """Return the signal corrected for the offset and gain of each read, float32 (T,)."""
    spans = np.diff(data.edges[data.segments])
    gain, offset = (np.repeat(values[data.reads], spans).astype(np.float32) for values in (fit.gain, fit.offset))
    return (data.signal - offset) / gain


ROWS = 1 << 14  # k-mers whose features are in memory at once
RIDGE = 1e-3  # the features are collinear
SEEN = 8  # events; k-mers with as many measure the error of the additive model


def features(rows: np.ndarray, k: int) -> np.ndarray:
    """Return one-hot bases at each position and one-hot pairs of adjacent bases, float64 (N, F)."""
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
    """Return values shrunk towards the additive model by empirical Bayes: the more, the fewer events they have.

    Parameters
    ----------
    values : float64 array (4**k,): estimates; ignored if counts is 0.
    counts : int array (4**k,): events of each.
    error : float64 array (4**k,) or float: standard deviation of one event about the value.

    Returns
    -------
    float64 array (4**k,): the values.
    float64 array (4**k,): the weight of the additive model in each, 0 to 1.
    """
    seen = counts > 0
    many = counts >= SEEN
    if not seen.any():
        return np.zeros(len(values)), np.ones(len(values))
    errors = np.broadcast_to(np.asarray(error, np.float64), values.shape)
    typical = float(np.median(errors[many])) if many.any() else float(np.median(errors[seen]))
    typical = max(typical, 1e-9)
    model = predict(np.where(seen, values, 0.0), np.minimum(counts, 50).astype(np.float64))
    wrong = typical**2  # with few k-mers seen often, the model weighs as much as one event
    if many.sum() >= 20:
        off = (values - model)[many]
        wrong = max(float((off**2).mean() - (typical**2 / counts[many]).mean()), 1e-4 * typical**2)
    borrowed = typical**2 / wrong  # weight of the model, in events
    part = borrowed / (counts + borrowed)
    return np.where(seen, (1 - part) * values + part * model, model), np.where(seen, part, 1.0)


LEVELS = ("level_mean", "level")  # names of the column


def read_levels(path: str | Path) -> dict[str, float]:
    """Return the level of each k-mer of a table with a header (ONT's, f5c's or biorrn's own), in the table's units.

    Raises
    ------
    InputError: no column of k-mers or of levels, or an invalid level.
    """
    with open_text(path) as file:
        rows = [line.rstrip("\r\n").split("\t") for line in file if line.strip() and not line.startswith("#")]
    names = rows[0] if rows else []
    columns = [names.index(name) for name in LEVELS if name in names]
    if "kmer" not in names or not columns:
        raise InputError(path, f"found the columns {', '.join(names)[:100]}; expected kmer and {' or '.join(LEVELS)}")
    try:
        return {row[names.index("kmer")]: float(row[columns[0]]) for row in rows[1:]}
    except (ValueError, IndexError) as error:
        raise InputError(path, f"a row cannot be used: {error}") from error


def agreement(model: PoreModel, other: dict[str, float]) -> list[str]:
    """Return lines that compare a model's levels with another table: correlation, and residual of a linear fit."""
    names = kmers(model.k)
    shared = np.array([name in other for name in names])
    if shared.sum() < 3:
        return [f"comparison: the other table has no {model.k}-mers"]
    theirs = np.array([other.get(name, 0.0) for name in names])
    lines = []
    for what, rows in (
        ("all", shared),
        ("not flagged", shared & (model.flag == 0)),
        ("flagged", shared & (model.flag > 0)),
    ):
        if rows.sum() < 3:
            continue
        slope, cut = np.polyfit(theirs[rows], model.level[rows], 1)
        left = float((model.level[rows] - slope * theirs[rows] - cut).std())
        r = float(np.corrcoef(theirs[rows], model.level[rows])[0, 1])
        lines.append(
            f"comparison, {what}: {int(rows.sum())} k-mers, r = {r:.4f}, residual {left:.4f} units of the read"
        )
    return lines


@jit()
def _realign(signal, levels, weights, edges, band, dwell_cost, edge_costs, back, out):  # type: ignore[no-untyped-def]
    """Fill `out` (L + 1,) with the edges of least cost; `edge_costs` (2, W) and `back` (L + 1, W) are scratch.

    Edge i may move by `band` samples either way; edge_costs[i % 2, w] is the least cost of the signal before edge i at
    low_i + w. An event costs weights[i] x sum (x - levels[i])^2 + dwell_cost[its length].
    """
    count = levels.shape[0]
    width = 2 * band + 1
    longest = dwell_cost.shape[0] - 1
    never = np.inf
    samples = signal.shape[0]
    edge_costs[:] = never
    edge_costs[0, band] = 0.0  # the first edge is fixed
    sums = np.empty(0, np.float64)
    for i in range(count):
        before, now = i % 2, (i + 1) % 2
        low = edges[i] - band
        next_low = edges[i + 1] - band
        end = min(samples, edges[i + 1] + band)
        first = max(0, low)
        if sums.shape[0] < end - first + 1:
            sums = np.empty(2 * (end - first + 1), np.float64)
        sums[0] = 0.0  # cumulative cost of this base's level, from `first` on
        for t in range(first, end):
            off = signal[t] - levels[i]
            sums[t - first + 1] = sums[t - first] + weights[i] * off * off
        for w in range(width):
            edge_costs[now, w] = never
            place = next_low + w
            if place <= 0 or place > samples or (i == count - 1 and place != edges[count]):
                continue
            for v in range(width):
                start = low + v
                if start >= place:
                    break
                if edge_costs[before, v] == never:
                    continue
                cost = edge_costs[before, v] + sums[place - first] - sums[start - first]
                cost += dwell_cost[min(place - start, longest)]
                if cost < edge_costs[now, w]:
                    edge_costs[now, w] = cost
                    back[i + 1, w] = v
    if edge_costs[count % 2, band] == never:
        out[:] = edges
        return never
    w = band
    for i in range(count, 0, -1):
        out[i] = edges[i] - band + w
        w = back[i, w]
    out[0] = edges[0]
    return edge_costs[count % 2, band]


def realign(
    signal: np.ndarray,
    levels: np.ndarray,
    spreads: np.ndarray,
    edges: np.ndarray,
    segments: np.ndarray,
    dwell_cost: np.ndarray,
    band: int = 12,
    threads: int = 1,
) -> np.ndarray:
    """Return realigned edges of the events, int64 (L + 1,); the ends of each segment are fixed.

    The edges minimise the squared distance of each sample from the level of its base over twice the variance, plus the
    cost of each dwell (dynamic programming in a band). Every event keeps at least one sample.

    Parameters
    ----------
    signal : float32 array (T,): current of all segments.
    levels, spreads : float64 arrays (L,): expected current of each base and its standard deviation over samples.
    edges : int64 array (L + 1,): current starts of the events, and the end of the last.
    segments : int64 array (N + 1,): bases of segment i are segments[i]:segments[i + 1].
    dwell_cost : float64 array (D,): -log probability of an event of d samples; the last entry is for all longer ones.
    band : int: samples by which an edge may move.
    threads : int: segments aligned in parallel.
    """
    out = edges.astype(np.int64).copy()
    weights = 0.5 / np.maximum(np.asarray(spreads, np.float64), 1e-3) ** 2
    lengths = np.diff(segments)

    def work(row: int) -> None:
        first, last = int(segments[row]), int(segments[row + 1])
        start, end = int(edges[first]), int(edges[last])
        costs = np.empty((2, 2 * band + 1))
        back = np.zeros((last - first + 1, 2 * band + 1), np.int16)
        own = edges[first : last + 1] - start
        found = np.empty(last - first + 1, np.int64)
        part = np.ascontiguousarray(signal[start:end], np.float64)
        _realign(
            part,
            np.ascontiguousarray(levels[first:last]),
            weights[first:last],
            own,
            band,
            dwell_cost,
            costs,
            back,
            found,
        )
        out[first:last] = found[:-1] + start

    each_row(work, [int(row) for row in np.argsort(-lengths) if lengths[row]], threads)
    return out


LONGEST = 400  # samples: longer dwells cost the same


def estimate_pore_model(
    data: LabelledSignal,
    k: int = 6,
    rounds: int = 1,
    centre: int | None = None,
    notes: dict[str, str] | None = None,
    threads: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> PoreModel:
    """Return the pore model of labelled signal.

    Parameters
    ----------
    data : LabelledSignal; its signal and edges are changed.
    k : int: bases that the level depends on.
    rounds : int: rounds of realignment; 0 keeps the starts of the labels.
    centre : int or None: base of the k-mer that an event belongs to; None: the one that explains most variance.
    notes : dict: further lines of the header.
    threads : int: of the alignment.
    say : called with a line per round.

    Raises
    ------
    ConfigError: k, rounds or centre out of range.
    BiorrnError: too few events.
    """
    if k not in SIZES:
        raise ConfigError(f"--k: found {k}; allowed is {SIZES[0]} to {SIZES[-1]}")
    if rounds < 0:
        raise ConfigError(f"--rounds: found {rounds}; allowed is 0 or more")
    if centre is not None and not 0 <= centre < k:
        raise ConfigError(f"--centre: found {centre}; allowed is 0 to {k - 1}")
    if len(data.bases) < 50 * k:
        raise BiorrnError(f"found {len(data.bases)} labelled bases; expected at least {50 * k}")
    centre = _best_centre(data, k) if centre is None else centre
    index = data.kmers(k, centre)
    fit = fit_rounds(data, index, k, rounds, threads, say)
    return pore_model_of(data, fit, index, k, centre, {**(notes or {}), "rounds of alignment": str(rounds)})


def fit_rounds(
    data: LabelledSignal,
    index: np.ndarray,
    k: int,
    rounds: int,
    threads: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Fit:
    """Fit gain and offset of each read to the levels of its k-mers, and realign the bases in `rounds` rounds.

    Changes the signal and edges of `data` and returns the last fit; index (L,) is the k-mer of each base, -1 for none.
    """
    for done in range(rounds + 1):
        fit = refit(data.means(), np.diff(data.edges), index, data.read_of_base, 4**k)
        data.signal = corrected(data, fit)
        say(f"round {done}: {int((index >= 0).sum())} events, spread {np.median(fit.spread[fit.counts > 0]):.4f}")
        if done < rounds:
            data.edges = aligned(data, fit, index, threads)
    return fit


def _best_centre(data: LabelledSignal, k: int) -> int:
    """Return the base of the k-mer with the least residual variance of the events."""
    means = np.clip(data.means(), -4, 4)
    left = []
    for centre in range(k):
        index = data.kmers(k, centre)
        used = index >= 0
        count = np.bincount(index[used], minlength=4**k)
        level = np.bincount(index[used], means[used], 4**k) / np.maximum(count, 1)
        degrees = max(1, int(used.sum()) - int((count > 0).sum()))
        left.append(float(((means[used] - level[index[used]]) ** 2).sum()) / degrees)
    return int(np.argmin(left))


def dwell_costs(dwell: np.ndarray) -> np.ndarray:
    """Return -log of the probability of each dwell, float64 (LONGEST + 1,), of a log-normal fitted to dwells (L,)."""
    logs = np.log(np.maximum(dwell, 1))
    place, width = float(logs.mean()), max(float(logs.std()), 0.2)
    grid = np.log(np.maximum(np.arange(LONGEST + 1), 0.5))
    return np.asarray(0.5 * ((grid - place) / width) ** 2 + grid + np.log(width) + 0.5 * np.log(2 * np.pi))


def aligned(data: LabelledSignal, fit: Fit, index: np.ndarray, threads: int) -> np.ndarray:
    """Return the edges of the events aligned to the levels of a fit, int64 (L + 1,)."""
    level = additive(fit.level, fit.counts, fit.spread)[0]
    samples = np.diff(data.edges)
    expected = np.where(index >= 0, level[np.maximum(index, 0)], data.means())  # at the ends the k-mer is unknown
    off = data.signal - np.repeat(expected, samples).astype(np.float32)
    spread = max(1.4826 * float(np.median(np.abs(off))), 1e-3)
    costs = dwell_costs(samples)
    return realign(
        data.signal, expected, np.full(len(expected), spread), data.edges, data.segments, costs, threads=threads
    )


def pore_model_of(
    data: LabelledSignal, fit: Fit, index: np.ndarray, k: int, centre: int, notes: dict[str, str]
) -> PoreModel:
    """Return the pore model of a fit; columns are shrunk towards the additive model where events are few.

    Parameters
    ----------
    data : LabelledSignal, corrected by the fit.
    index : int64 array (L,): k-mer of each event, -1 where it is unknown.
    notes : dict: further lines of the header.
    """
    size, used = 4**k, index >= 0
    dwell = np.diff(data.edges)
    ar = autoregression(*autocovariance(data))
    level, _ = additive(fit.level, fit.counts, fit.spread)
    spread = _positive(fit.spread, np.where(fit.spread > 0, fit.counts, 0), 1.2)  # error of log MAD: 1.2 / sqrt(n)
    noise = _positive(*noise_within(data, index, size, ar), 0.5)
    logs = np.log(np.maximum(dwell[used], 1))
    count = np.bincount(index[used], minlength=size)
    mean_log = np.bincount(index[used], logs, size) / np.maximum(count, 1)
    shape = np.sqrt(np.bincount(index[used], (logs - mean_log[index[used]]) ** 2, size) / np.maximum(count - 1, 1))
    shape = _positive(shape, np.where(count > 1, count, 0), 0.7)
    mean_dwell = _positive(np.bincount(index[used], dwell[used], size) / np.maximum(count, 1), count, 1.0)
    residual = np.where(used, data.means() - level[np.maximum(index, 0)], 0.0)
    near = used & (np.abs(residual) < CLIP * spread[np.maximum(index, 0)])
    drift_sd, memory = drift(residual, near, data.segments)
    pa = data.picoamperes
    known: dict[str, float] = {}
    if len(pa):
        known = dict(zip(("shift", "scale"), map(float, np.median(pa, axis=0)), strict=True))
        known |= dict(zip(("shift_sd", "scale_sd"), map(float, pa.std(axis=0)), strict=True))
    device = Device(
        sample_rate=data.sample_rate,
        speed_sd=_speed_sd(dwell[used], data.read_of_base[used]),
        noise_ar=ar,
        drift_sd=drift_sd,
        drift_memory=memory,
        tail=tail_of(residual[used] / np.maximum(spread[index[used]], 1e-9)),
        **known,
    )
    flag = np.where(count == 0, FLAGS.index("none"), np.where(count < FEW, FLAGS.index("few"), 0))
    found = {
        "normaliser": data.normaliser,
        "picoamperes": "measured" if known else "assumed, as the input holds none: those of R9.4.1",
        "events in all": str(int(used.sum())),
        "k-mers flagged": ", ".join(f"{name} {int((flag == FLAGS.index(name)).sum())}" for name in FLAGS if name),
        "left out": data.left_out or "nothing",
    }
    return PoreModel(k, centre, level, spread, noise, mean_dwell, shape, count, flag, device, notes | found)


def _positive(values: np.ndarray, counts: np.ndarray, error: float) -> np.ndarray:
    """Return positive values (4**k,) shrunk towards the additive model of their logarithms."""
    seen = (counts > 0) & (values > 0)
    if not seen.any():
        return np.zeros(len(values))
    return np.exp(additive(np.log(np.where(seen, values, 1.0)), np.where(seen, counts, 0), error)[0])


def _speed_sd(dwell: np.ndarray, reads: np.ndarray) -> float:
    """Return the standard deviation over reads of the logarithm of their mean dwell (robust)."""
    count = np.bincount(reads)
    mean = np.log(np.bincount(reads, dwell)[count >= MIN_READ] / count[count >= MIN_READ])
    return float(1.4826 * np.median(np.abs(mean - np.median(mean)))) if len(mean) > 1 else 0.0
