"""Raw current made comparable between reads, and the adapter cut off its start."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LIMIT = 5.0  # normalised current is clipped to +- this: spikes and blocked pores carry no bases
PA_MEAN, PA_STD = 85.0, 14.0  # picoamperes: a strand in an R9.4.1 pore (medians over 250 reads of four public runs)

# trim_start; spreads are those of the whole read
WINDOW = 0.01  # seconds
LONGEST = 6.0  # seconds that are looked at
SHORTEST, FIRST = 3, 5  # windows: a stall has at least so many, and begins by this one
FLAT = 0.7  # spreads between the 10 % and 90 % quantiles of a flat window
OPEN = 4.0  # spreads above the median: open pore
HIGH, PLATEAU = 1.7, 0.03  # spreads above the median, seconds: the plateau behind the stall

Normaliser = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Scaling:
    """Shift and scale in picoamperes: normalised = (current - shift) / scale; `name` is the method, as SAM tags it."""

    shift: float
    scale: float
    name: str


def _finite(current: np.ndarray) -> np.ndarray:
    """Return those samples of the current that are finite (at least one), as float32."""
    current = np.asarray(current, np.float32)
    kept = current[np.isfinite(current)]
    return kept if len(kept) else np.zeros(1, np.float32)


def scaled(current: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Return (current - shift) / scale as float32 (T,), clipped to +- LIMIT; a sample that is no number becomes 0."""
    current, shift, scale = np.asarray(current, np.float32), scaling.shift, scaling.scale
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.clip((current - np.float32(shift)) / np.float32(scale), -LIMIT, LIMIT)
    return np.where(np.isnan(scaled), np.float32(0), scaled).astype(np.float32)


def medmad_scaling(current: np.ndarray) -> Scaling:
    """Return the read's median and median absolute deviation (times 1.4826: the standard deviation of a normal)."""
    kept = _finite(current)
    wide = kept.astype(np.float64)  # float32 overflows in the mean of two large values
    shift = float(np.median(wide))
    scale = 1.4826 * float(np.median(np.abs(wide - shift)))
    return Scaling(shift, _usable(scale, kept), "med_mad")


def quantile_scaling(current: np.ndarray) -> Scaling:
    """Return shift and scale from the read's 20 % and 90 % quantiles.

    Much as Bonito does: the scale is 0.53 of their difference; the shift is their middle (Bonito takes 0.51 of their
    sum, which keeps a trace of the pore's offset).
    """
    kept = _finite(current)
    low, high = (float(value) for value in np.quantile(kept.astype(np.float64), [0.2, 0.9]))
    return Scaling((low + high) / 2, _usable(0.53 * (high - low), kept), "quantile")


def picoampere_scaling(current: np.ndarray) -> Scaling:
    """Return one fixed mean and spread, so that the absolute current keeps its meaning."""
    return Scaling(PA_MEAN, PA_STD, "pa")


def medmad(current: np.ndarray) -> np.ndarray:
    """Return a current normalised by `medmad_scaling`.

    Parameters
    ----------
    current : float32 array (T,): current of one read in picoamperes; NaN, infinite, constant and empty are accepted.

    Returns
    -------
    float32 array (T,), finite, in -5..5; a sample that was NaN is 0, a constant read is 0 throughout.
    """
    return scaled(current, medmad_scaling(current))


def quantile(current: np.ndarray) -> np.ndarray:
    """Return a current normalised by `quantile_scaling`; see `medmad`."""
    return scaled(current, quantile_scaling(current))


def picoampere(current: np.ndarray) -> np.ndarray:
    """Return a current normalised by `picoampere_scaling`; see `medmad`, but a constant read keeps its level."""
    return scaled(current, picoampere_scaling(current))


def _usable(scale: float, kept: np.ndarray) -> float:
    """Return a scale that can be divided by: a signal of two levels has a spread of 0 although it is not constant."""
    if scale > 1e-6:
        return scale
    spread = float(kept.astype(np.float64).std())
    return spread if spread > 1e-6 else 1.0


def trim_start(current: np.ndarray, sample_rate: float) -> int:
    """Return the first sample after the adapter stall: where the strand begins to move.

    A ligated strand waits in the pore with its adapter: the current is flat, then jumps to a short high plateau when
    the motor starts. Windows of 10 ms that vary little beside the read as a whole are flat; the flat stretch that
    begins within 50 ms of the start is cut, with the plateau behind it. Open pore at the very start is cut as well.

    Parameters
    ----------
    current : float32 array (T,): current of one read in picoamperes.
    sample_rate : float: samples a second (Hz).

    Returns
    -------
    int: 0 where no stall is seen; at most half of the read and at most 6 s, so that a misread start costs little.
    """
    width = max(8, round(WINDOW * sample_rate))
    bound = min(len(current) // 2, round(LONGEST * sample_rate))
    if bound < 2 * width:
        return 0
    current = np.nan_to_num(np.asarray(current, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    body = current[bound : 4 * bound]  # behind any stall, which would narrow the spread
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


NORMALISERS: dict[str, Normaliser] = {"medmad": medmad, "quantile": quantile, "picoampere": picoampere}
# by what each of them shifts and divides
SCALINGS: dict[str, Callable[[np.ndarray], Scaling]] = {
    "medmad": medmad_scaling,
    "quantile": quantile_scaling,
    "picoampere": picoampere_scaling,
}
