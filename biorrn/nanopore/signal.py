"""Normalisation of the raw current, trimming of the adapter at the start of a read, and open pore inside a read."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup

LIMIT = 5.0  # normalised current is clipped to +- this; spikes and blocked pores carry no bases
PA_MEAN, PA_STD = 85.0, 14.0  # picoamperes: a strand in an R9.4.1 pore (medians over 250 reads of four public runs)

# of `trim_start`, in units of the spread (scaled MAD) of the read
WINDOW = 0.01  # seconds
LONGEST = 6.0  # seconds searched
SHORTEST, FIRST = 3, 5  # windows: least length of a stall, and the last window in which it may begin
FLAT = 0.7  # spreads: largest distance of the 10 % and 90 % quantiles of a flat window
OPEN = 4.0  # spreads above the median: open pore current
HIGH, PLATEAU = 1.7, 0.03  # spreads above the median, and most seconds: the plateau after the stall

# of `open_pores`; seconds but for RATIO, BRIEF and the shares. Open pore is 1.9 to 2.8 times the median in real reads.
RATIO = 1.7  # of open pore to the median of a read, at least
LASTING, BRIEF = 0.005, 3  # open pore that needs no stall behind it, and samples of one that does
JOINED, NEAREST = 0.02, 0.25  # apart in one gap; shortest part of a read
STALL, WITHIN, STEADY = 0.012, 0.012, 0.2  # flat current behind, how soon, and its range as a share of the read's
RISE, RISEN, JUMP = 0.004, 0.6, 0.4  # before a single high sample: how long, how far up, and the jump from there


@dataclass(frozen=True, slots=True)
class Scaling:
    """Shift and scale in picoamperes: normalised = (current - shift) / scale; `name` is for the SAM tag `sv`."""

    shift: float
    scale: float
    name: str


def _finite(current: np.ndarray) -> np.ndarray:
    """Return the finite samples as float32; one zero where there are none."""
    current = np.asarray(current, np.float32)
    kept = current[np.isfinite(current)]
    return kept if len(kept) else np.zeros(1, np.float32)


def scaled(current: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Return (current - shift) / scale as float32 (T,), clipped to +- LIMIT; NaN becomes 0."""
    current, shift, scale = np.asarray(current, np.float32), scaling.shift, scaling.scale
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.clip((current - np.float32(shift)) / np.float32(scale), -LIMIT, LIMIT)
    return np.where(np.isnan(scaled), np.float32(0), scaled).astype(np.float32)


def medmad_scaling(current: np.ndarray) -> Scaling:
    """Return median and 1.4826 times the median absolute deviation, the standard deviation of a normal."""
    kept = _finite(current)
    wide = kept.astype(np.float64)  # float32 overflows in the mean of two large values
    shift = float(np.median(wide))
    scale = 1.4826 * float(np.median(np.abs(wide - shift)))
    return Scaling(shift, _usable(scale, kept), "med_mad")


def quantile_scaling(current: np.ndarray) -> Scaling:
    """Return shift and scale from the 20 % and 90 % quantiles.

    The scale is 0.53 times their difference, as in Bonito. The shift is their mean; Bonito takes 0.51 times their sum,
    which does not remove the offset of the pore.
    """
    kept = _finite(current)
    low, high = (float(value) for value in np.quantile(kept.astype(np.float64), [0.2, 0.9]))
    return Scaling((low + high) / 2, _usable(0.53 * (high - low), kept), "quantile")


def quantile_sum_scaling(
    current: np.ndarray, low: float = 0.2, high: float = 0.9, shift: float = 0.51, scale: float = 0.53
) -> Scaling:
    """Return shift and scale from two quantiles as Bonito and Dorado do, for their models.

    Parameters
    ----------
    low, high : float: the quantiles; shift, scale : float: factors of their sum and of their difference. The shift is
        10 picoamperes or more, the scale 1 or more.
    """
    kept = _finite(current)
    a, b = (float(value) for value in np.quantile(kept.astype(np.float64), [low, high]))
    return Scaling(max(10.0, shift * (a + b)), max(1.0, scale * (b - a)), "quantile")


def picoampere_scaling(current: np.ndarray, mean: float = PA_MEAN, stdev: float = PA_STD) -> Scaling:
    """Return a fixed shift and scale, which keeps the absolute current."""
    return Scaling(mean, stdev, "pa")


def normalise(current: np.ndarray, method: str = "medmad") -> np.ndarray:
    """Return a current normalised by an entry of `NORMALISERS`; see `normaliser_of`.

    Parameters
    ----------
    current : float32 array (T,): current of one read in picoamperes; NaN, infinite, constant and empty are accepted.

    Returns
    -------
    float32 array (T,), finite, in -5..5; a sample that was NaN is 0. A constant read is 0, except with picoampere and
    quantile_sum.
    """
    return scaled(current, normaliser_of(method)(current))


def normaliser_of(text: str) -> Callable[[np.ndarray], Scaling]:
    """Return an entry of `NORMALISERS` with its parameters; see `parse_normaliser`.

    >>> normaliser_of("picoampere(91.88, 22.65)")(np.zeros(3, np.float32))
    Scaling(shift=91.88, scale=22.65, name='pa')
    """
    name, parameters = parse_normaliser(text)
    return partial(NORMALISERS[name], **parameters)


def parse_normaliser(text: str) -> tuple[str, dict[str, float]]:
    """Return the name of an entry of `NORMALISERS`, and its parameters: the numbers in brackets, or their defaults.

    Raises
    ------
    ConfigError: the name is unknown, or the numbers are not those that it takes.
    """
    found = re.fullmatch(r"(\w+)(?:\(([-+.\d, e]*)\))?", text)
    name, numbers = (found[1], found[2]) if found else (text, None)
    known = inspect.signature(lookup(NORMALISERS, name, "normaliser")).parameters
    values = {key: float(parameter.default) for key, parameter in list(known.items())[1:]}
    if numbers is None:
        return name, values
    try:
        given = dict(zip(values, map(float, numbers.split(",")), strict=True))
    except ValueError:
        allowed = f"{name}({', '.join(values)}), with numbers" if values else name
        raise ConfigError(f"normaliser '{text:.80}': allowed is {allowed}") from None
    if not _possible(given):
        raise ConfigError(
            f"normaliser '{text:.80}': allowed are quantiles from 0 to 1, the lower first, scales above 0"
        )
    return name, given


def _possible(values: dict[str, float]) -> bool:
    ordered = 0 <= values.get("low", 0) < values.get("high", 1) <= 1
    return ordered and all(values.get(name, 1) > 0 for name in ("scale", "stdev"))


def _usable(scale: float, kept: np.ndarray) -> float:
    """Return a positive scale: the standard deviation where the MAD is 0, as of a signal of two levels; else 1."""
    if scale > 1e-6:
        return scale
    spread = float(kept.astype(np.float64).std())
    return spread if spread > 1e-6 else 1.0


def trim_start(current: np.ndarray, sample_rate: float) -> int:
    """Return the first sample after the adapter stall, where the strand begins to move.

    While the adapter stalls in the pore the current is flat; then it jumps to a short high plateau when the motor
    starts. Flat windows of 10 ms vary little compared with the whole read. The flat stretch that begins within 50 ms of
    the start is cut, with the plateau after it, and open pore current before it.

    Parameters
    ----------
    current : float32 array (T,): current of one read in picoamperes.
    sample_rate : float: samples per second (Hz).

    Returns
    -------
    int: 0 without a stall; at most half of the read and at most 6 s, which limits the cost of a false detection.
    """
    width = max(8, round(WINDOW * sample_rate))
    bound = min(len(current) // 2, round(LONGEST * sample_rate))
    if bound < 2 * width:
        return 0
    current = np.nan_to_num(np.asarray(current, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    body = current[bound : 4 * bound]  # after any stall, which would reduce the spread
    level = float(np.median(body))
    spread = 1.4826 * float(np.median(np.abs(body - level)))
    if spread <= 0:
        return 0
    count = bound // width
    windows = current[: count * width].reshape(count, width)  # (T,) -> (windows, samples)
    open_pore = int(np.argmax(np.append(windows.mean(1) <= level + OPEN * spread, True)))
    end = _stall_end(windows[open_pore:], spread) + open_pore
    cut = end * width
    if end > open_pore:
        plateau = np.flatnonzero(current[cut : min(bound, cut + round(PLATEAU * sample_rate))] > level + HIGH * spread)
        cut += int(plateau[-1]) + 1 if len(plateau) else 0
    return min(cut, bound)


def _stall_end(windows: np.ndarray, spread: float) -> int:
    """Return the window after the flat stretch at the start of windows (N, samples); 0 where there is none."""
    # quantiles, not the standard deviation: single spikes are common in a stall
    low, high = np.quantile(windows, [0.1, 0.9], axis=1)
    flat = (high - low) < FLAT * spread
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(np.int8), [0]])))
    end, level = 0, 0.0
    for start, stop in edges.reshape(-1, 2):  # runs of flat windows
        middle = float(np.median(windows[start:stop]))
        first = not end and stop - start >= SHORTEST and start <= FIRST
        joined = end and stop - start >= 2 and start - end <= 2 and abs(middle - level) < FLAT * spread
        if first or joined:
            end, level = int(stop), middle
        elif end or start > FIRST:
            break
    return end


def open_pores(current: np.ndarray, sample_rate: float) -> list[tuple[int, int]]:
    """Return the stretches of open pore inside a read, half-open in samples, at which two molecules meet.

    Open pore is `RATIO` times the median of the read or more, and as far above its 90 % quantile as that is above the
    10 % quantile, so that it is found too where the calibration is off. Single high samples are common inside a
    molecule. A stretch therefore counts if it lasts `LASTING`, or if flat current follows, the stall of the next
    adapter, and it has `BRIEF` samples in a row or the current had risen before it, as when the end of a strand leaves.

    Parameters
    ----------
    current : float32 array (T,): current of one read in picoamperes.
    sample_rate : float: samples per second (Hz).

    Returns
    -------
    list of (start, end): at least `NEAREST` from the ends and from each other; what is less apart is one stretch.
    """
    nearest, joined = round(NEAREST * sample_rate), round(JOINED * sample_rate)
    if len(current) < 2 * nearest + 1:
        return []
    low, middle, high = (float(value) for value in np.quantile(current[::7], [0.1, 0.5, 0.9]))
    span = high - low
    limit = max(high + span, RATIO * middle)
    if not span > 0:  # a constant or not finite
        return []
    places = np.flatnonzero(current > limit)
    if not len(places):
        return []
    found: list[tuple[int, int]] = []
    for stretch in np.split(places, np.flatnonzero(np.diff(places) > joined) + 1):
        start, end = int(stretch[0]), int(stretch[-1]) + 1
        if start < nearest or end > len(current) - nearest:
            continue
        longest = max(len(run) for run in np.split(stretch, np.flatnonzero(np.diff(stretch) > 1) + 1))
        before = float(np.median(current[start - round(RISE * sample_rate) : start]))
        risen = before > middle + RISEN * (limit - middle) and current[start:end].max() > before + JUMP * span
        peak = longest >= BRIEF or risen
        if longest < LASTING * sample_rate and not (peak and _stalls(current[end:], sample_rate, STEADY * span)):
            continue
        if found and start - found[-1][1] < nearest:
            start = found.pop()[0]
        found.append((start, end))
    return found


def _stalls(current: np.ndarray, sample_rate: float, most: float) -> bool:
    """Return whether current becomes flat at once: its 10 % and 90 % quantiles are less than `most` apart."""
    size, step = round(STALL * sample_rate), max(1, round(0.002 * sample_rate))
    starts = np.arange(step // 4, round(WITHIN * sample_rate), step)
    low, high = np.quantile(current[starts[:, None] + np.arange(size)], [0.1, 0.9], axis=1)
    return bool((high - low).min() < most)


# each returns shift and scale of a current float32 (T,) in picoamperes; further parameters are numbers
NORMALISERS: dict[str, Callable[..., Scaling]] = {
    "medmad": medmad_scaling,
    "quantile": quantile_scaling,
    "quantile_sum": quantile_sum_scaling,
    "picoampere": picoampere_scaling,
}
