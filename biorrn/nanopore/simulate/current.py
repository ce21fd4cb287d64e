"""Noise model of the current: jitter of event levels, drift, correlated noise and the device's filter.

Its parameters are estimated from labelled signal; `Wander` draws from it.
"""

import numpy as np

from biorrn.nanopore.simulate.labelled_signal import LabelledSignal
from biorrn.nanopore.simulate.pore_model import PoreModel

ORDER = 3  # of the autoregressive noise
EDGE = 2  # samples left out at either end of an event, where the current still changes
LONG = 20  # samples; shortest event in which noise correlation is measured
SHORT = 8  # samples; shortest event in which noise size is measured
LAGS = 40  # events over which drift is measured
MOST = 200_000  # events used for the correlation


def interiors(data: LabelledSignal, shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the events of at least `shortest` samples (N,) and the interior samples of each, (N,) first and last."""
    dwell = np.diff(data.edges)
    events = np.flatnonzero(dwell >= shortest)
    return events, np.stack([data.edges[events] + EDGE, data.edges[events + 1] - EDGE])


def autocovariance(data: LabelledSignal, lags: int = ORDER + 1) -> tuple[np.ndarray, float]:
    """Return the covariance of interior samples of long events about their mean at each lag (lags,), and their length.

    Events with ten times the median variance are left out, as a step within them was missed.
    """
    events, (first, _) = interiors(data, LONG)
    if not len(events):
        return np.zeros(lags), 0.0
    events, first = events[:MOST], first[:MOST]
    width = LONG - 2 * EDGE
    block = data.signal[first[:, None] + np.arange(width)].astype(np.float64)  # (N, width)
    block -= block.mean(1, keepdims=True)
    variance = block.var(1)
    block = block[(variance < 10 * np.median(variance)) & (variance > 0)]
    if not len(block):
        return np.zeros(lags), 0.0
    return np.array([(block[:, : width - lag] * block[:, lag:]).mean() for lag in range(lags)]), float(width)


def autoregression(covariance: np.ndarray, width: float) -> tuple[float, ...]:
    """Return the coefficients of the autoregressive process with these covariances (Yule-Walker), lag 1 first.

    Subtracting the mean of `width` samples lowers every covariance by the variance of that mean; it is added back.
    """
    if covariance[0] <= 0:
        return ()
    order = len(covariance) - 1
    lost = 0.0
    coefficients: np.ndarray = np.zeros(order)
    for _ in range(20):
        whole = covariance + lost
        matrix = whole[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
        coefficients = np.linalg.solve(matrix, whole[1:])
        coefficients *= min(1.0, 0.95 / max(np.abs(coefficients).sum(), 1e-9))  # stationary
        lost = whole[0] * float(variance_share(tuple(coefficients), np.array([width]))[0])
        lost = min(lost, covariance[0])
    return tuple(float(value) for value in coefficients)


def correlation(coefficients: tuple[float, ...], lags: int) -> np.ndarray:
    """Return the autocorrelation of an autoregressive process at lags 0 to lags - 1, float64 (lags,)."""
    order = len(coefficients)
    response = np.zeros(1 << 10)  # to an impulse
    response[0] = 1.0
    for t in range(1, len(response)):
        response[t] = sum(coefficients[j] * response[t - 1 - j] for j in range(min(order, t)))
    padded = np.concatenate([response, np.zeros(lags)])
    sums = np.array([(response * padded[lag : lag + len(response)]).sum() for lag in range(lags)])
    return np.asarray(sums / sums[0])


def variance_share(coefficients: tuple[float, ...], samples: np.ndarray) -> np.ndarray:
    """Return the variance of the mean of n samples relative to that of one sample, float64 (N,), for n in samples (N,).

    >>> variance_share((), np.array([1.0, 4.0]))
    array([1.  , 0.25])
    """
    counts = np.maximum(1, np.rint(np.asarray(samples, np.float64))).astype(np.int64)
    counts = np.minimum(counts, 500)
    longest = int(counts.max(initial=1))
    rho = correlation(coefficients, longest) if coefficients else np.eye(1, longest)[0]
    lags = np.arange(longest)
    first, second = np.cumsum(rho), np.cumsum(rho * lags)
    # sum over |i - j| of rho, divided by n squared
    share = np.array([(2 * (n * first[n - 1] - second[n - 1]) - n * rho[0]) / n**2 for n in range(1, longest + 1)])
    return np.asarray(share[counts - 1])


def noise_within(
    data: LabelledSignal, index: np.ndarray, size: int, coefficients: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation of samples within events of each k-mer and the number of events, both (size,).

    Of the interior of events, corrected for the smaller variance of correlated noise in short events.
    """
    events, (first, last) = interiors(data, SHORT)
    keep = index[events] >= 0
    events, first, last = events[keep], first[keep], last[keep]
    if not len(events):
        return np.zeros(size), np.zeros(size, np.int64)
    count = last - first
    cuts = np.stack([first, last], axis=1).ravel()
    signal = np.append(data.signal, np.float32(0)).astype(np.float64)
    mean = np.add.reduceat(signal, cuts)[::2] / count
    variance = np.add.reduceat(signal**2, cuts)[::2] / count - mean**2
    variance = np.maximum(variance, 0) / np.maximum(1 - variance_share(coefficients, count), 0.05)
    near = variance < 6 * np.median(variance)  # above, a step was missed
    kmers, weight = index[events][near], count[near].astype(np.float64)
    number = np.bincount(kmers, minlength=size)
    total = np.bincount(kmers, weight, size)
    return np.sqrt(np.bincount(kmers, weight * variance[near], size) / np.maximum(total, 1e-9)), number


def drift(residual: np.ndarray, used: np.ndarray, segments: np.ndarray) -> tuple[float, float]:
    """Return standard deviation and memory (correlation of neighbouring events) of the drift of the current.

    The covariance of residuals `lag` events apart is sd^2 x memory^lag. White jitter adds to lag 0 and alignment errors
    to lag 1, so both numbers are fitted to lags from 2 on.

    Parameters
    ----------
    residual : float64 array (L,): event means minus their levels.
    used : bool array (L,): events that count.
    segments : int64 array (N + 1,): bounds of the segments; pairs do not cross them.
    """
    owner = np.repeat(np.arange(len(segments) - 1), np.diff(segments))
    value = np.where(used, residual, 0.0)
    found = []
    for lag in range(2, LAGS):
        pairs = used[:-lag] & used[lag:] & (owner[:-lag] == owner[lag:])
        found.append((value[:-lag] * value[lag:])[pairs].sum() / max(1, pairs.sum()))
    covariance, lags = np.array(found), np.arange(2, LAGS)
    best = (np.inf, 0.0, 0.0)
    for memory in np.concatenate([np.arange(0.5, 0.99, 0.02), [0.99, 0.995]]):
        shape = memory**lags
        variance = max(0.0, float((shape * covariance).sum() / (shape**2).sum()))
        error = float(((covariance - variance * shape) ** 2).sum())
        best = min(best, (error, variance, float(memory)))
    return float(np.sqrt(best[1])), best[2]


def tail_of(standard: np.ndarray) -> float:
    """Return the degrees of freedom of Student's t by the ratio of the 95 % and 50 % quantiles of |x|."""
    from scipy.stats import t

    if len(standard) < 1000:
        return 30.0
    low, high = np.quantile(np.abs(standard), [0.5, 0.95])
    degrees = np.array([2.5, 3, 3.5, 4, 5, 6, 8, 10, 15, 30])
    ratios = t.ppf(0.975, degrees) / t.ppf(0.75, degrees)
    return float(degrees[int(np.argmin(np.abs(ratios - high / max(low, 1e-9))))])


FILTER = (0.1, 0.8, 0.1)  # of the levels: the device's low-pass at half the sample rate
REACH = 5.0  # standard deviations at which jitter is clipped; beyond, real reads have mostly wrong labels
NORMAL = 0.6745  # 75 % quantile of the normal distribution


class Wander:
    """Generator of current about the levels of a pore model.

    The observed spread of events is the sum of jitter of each event's level, drift over events, and the noise left in
    an event's mean. The latter two are subtracted before jitter is drawn, so that simulated reads have the table's
    spread.

    Parameters
    ----------
    model : PoreModel.
    factor : float: of all three; 0 gives the bare levels.
    """

    def __init__(self, model: PoreModel, factor: float = 1.0) -> None:
        from scipy.stats import t

        device = model.device
        self.factor = factor
        self.ar = device.noise_ar
        self.tail = max(device.tail, 2.1)
        self.level = model.level.astype(np.float32)
        self.noise = (factor * model.noise).astype(np.float32)
        # share of the noise in an event's mean, averaged over 16 quantiles of the dwells of each k-mer
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
    """Return equally probable quantiles of the standard normal, float64 (number,)."""
    from scipy.stats import norm

    return np.asarray(norm.ppf((np.arange(number) + 0.5) / number))
