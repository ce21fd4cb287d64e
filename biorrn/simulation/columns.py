"""The columns of a pore model from events whose reads were refitted."""

import numpy as np

from biorrn.simulation.additive import additive
from biorrn.simulation.events import LabelledSignal
from biorrn.simulation.pore_model import FLAGS, Device, PoreModel
from biorrn.simulation.refit import CLIP, FEW, MIN_READ, Fit
from biorrn.simulation.wander import autocovariance, autoregression, drift, noise_within, tail_of


def assemble(
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
