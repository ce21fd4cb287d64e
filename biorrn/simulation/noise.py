"""The current of simulated events: jitter of their level, drift, correlated noise, and the filter of the device."""

import numpy as np

from biorrn.simulation.pore_model import PoreModel
from biorrn.simulation.wander import correlation, variance_share

FILTER = (0.1, 0.8, 0.1)  # of the levels: what the device's low-pass (half the sample rate) leaves of a step
REACH = 5.0  # standard deviations: jitter beyond is drawn in; what real reads show there is mostly wrong labels
NORMAL = 0.6745  # 75 % quantile of the normal distribution


class Wander:
    """Draws the current about the levels of a pore model.

    The observed spread of events holds jitter of each event's own level, drift that lasts over events, and what the
    noise within an event leaves in its mean. The latter two are taken off before jitter is drawn, so that simulated
    reads show the spread of the table.

    Parameters
    ----------
    model : PoreModel.
    factor : float: on all three; 0 gives the bare levels.
    """

    def __init__(self, model: PoreModel, factor: float = 1.0) -> None:
        from scipy.stats import t

        device = model.device
        self.factor = factor
        self.ar = device.noise_ar
        self.tail = max(device.tail, 2.1)
        self.level = model.level.astype(np.float32)
        self.noise = (factor * model.noise).astype(np.float32)
        # the share of the noise that an event's mean keeps, over the dwells of each k-mer: 16 quantiles of them
        steps = np.exp(np.outer(model.dwell_shape, _quantiles(16)) - model.dwell_shape[:, None] ** 2 / 2)
        share = variance_share(self.ar, (model.dwell[:, None] * steps).ravel()).reshape(steps.shape).mean(1)
        rest = model.spread**2 - share * model.noise**2 - device.drift_sd**2
        self.drift_sd, self.memory = factor * device.drift_sd, device.drift_memory
        heavy = float(t.ppf(0.75, self.tail)) / NORMAL  # the spread is that of the quartiles
        self.jitter = factor * np.sqrt(np.maximum(rest, 0.0)) / heavy
        # the innovations of an autoregressive process of variance 1
        rho = correlation(self.ar, len(self.ar) + 1)
        self.innovation = float(np.sqrt(max(1e-6, 1 - float(np.dot(self.ar, rho[1:]))))) if self.ar else 1.0

    def current(self, kmers: np.ndarray, dwell: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the current of events, float32 (T,), from their rows of the table (L,) and samples each (L,)."""
        from scipy.signal import lfilter

        level = self.level[kmers]
        count, samples = len(kmers), int(dwell.sum())
        jitter = np.clip(rng.standard_t(self.tail, count), -REACH, REACH) * self.jitter[kmers]
        events = level + jitter.astype(np.float32)
        if self.drift_sd > 0:
            steps = rng.standard_normal(count) * np.sqrt(1 - self.memory**2)
            start = [self.memory * rng.standard_normal()]
            events += (self.drift_sd * lfilter([1.0], [1.0, -self.memory], steps, zi=start)[0]).astype(np.float32)
        out = np.repeat(events, dwell)
        left, middle, right = FILTER
        padded = np.concatenate([out[:1], out, out[-1:]])
        out = np.float32(left) * padded[:-2] + np.float32(middle) * out + np.float32(right) * padded[2:]
        if self.factor > 0:
            white = rng.standard_normal(samples, dtype=np.float32)
            if self.ar:
                poles = np.array([1.0, *(-value for value in self.ar)], np.float32)
                white = lfilter(np.array([self.innovation], np.float32), poles, white)
            out += np.repeat(self.noise[kmers], dwell) * white
        return np.asarray(out, np.float32)


def _quantiles(number: int) -> np.ndarray:
    """Return equally likely places of a standard normal, float64 (number,)."""
    from scipy.stats import norm

    return np.asarray(norm.ppf((np.arange(number) + 0.5) / number))
