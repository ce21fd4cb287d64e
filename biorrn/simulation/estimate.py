"""Levels, spreads and dwells of k-mers from labelled signal.

Each read's offset and gain are refitted to the levels, the levels to the reads so corrected, and so on (as f5c and
Tombo do for single reads); between rounds the events may be aligned anew.
"""

from collections.abc import Callable

import numpy as np

from biorrn.errors import BiorrnError, ConfigError
from biorrn.kernels.realign import realign
from biorrn.simulation.additive import additive
from biorrn.simulation.pore_model import FLAGS, SIZES, Device, LabelledSignal, PoreModel
from biorrn.simulation.refit import CLIP, FEW, MIN_READ, Fit, corrected, refit
from biorrn.simulation.wander import autocovariance, autoregression, drift, noise_within, tail_of

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
    data : LabelledSignal; its signal and edges are changed where reads are refitted and realigned.
    k : int: bases that the level depends on.
    rounds : int: how often the bases are aligned to the signal anew; 0 keeps the labels' own starts.
    centre : int or None: which base of the k-mer an event is counted to; None: the one that explains most.
    notes : dict: further lines of the header.
    threads : int: of the alignment.
    say : called with a line a round.

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
    """Fit gain and offset of each read to the levels of its k-mers, and `rounds` times the starts of the bases too.

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
    """Return the base of the k-mer to which the events' current belongs: least squares left over."""
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
    """Return the table of a fit: each column pulled towards the additive model where events are few.

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
    said = {
        "normaliser": data.normaliser,
        "picoamperes": "measured" if known else "assumed, as the input holds none: those of R9.4.1",
        "events in all": str(int(used.sum())),
        "k-mers flagged": ", ".join(f"{name} {int((flag == FLAGS.index(name)).sum())}" for name in FLAGS if name),
        "left out": data.left_out or "nothing",
    }
    return PoreModel(k, centre, level, spread, noise, mean_dwell, shape, count, flag, device, notes | said)


def _positive(values: np.ndarray, counts: np.ndarray, error: float) -> np.ndarray:
    """Return positive values (4**k,) pulled towards the additive model of their logarithms."""
    seen = (counts > 0) & (values > 0)
    if not seen.any():
        return np.zeros(len(values))
    return np.exp(additive(np.log(np.where(seen, values, 1.0)), np.where(seen, counts, 0), error)[0])


def _speed_sd(dwell: np.ndarray, reads: np.ndarray) -> float:
    """Return the standard deviation over reads of the logarithm of their mean dwell (robust)."""
    count = np.bincount(reads)
    mean = np.log(np.bincount(reads, dwell)[count >= MIN_READ] / count[count >= MIN_READ])
    return float(1.4826 * np.median(np.abs(mean - np.median(mean)))) if len(mean) > 1 else 0.0
