"""Forced alignment of a known sequence to the frames of a read: banded Viterbi for CTC and CTC-CRF scores."""

import numpy as np

from biorrn.base.compute import jit
from biorrn.kernels.crf import decode as crf

BAND = 64  # states per frame, two per base: how far a beam may run ahead
REACH = 24  # frames by which a base may begin before or after its guess
MARGIN = 6  # bases by which the band is wider than that


@jit()
def _ctc(logs, bases, lows, highs, steps, path):  # type: ignore[no-untyped-def]
    """Fill `path` (T,) with the state of each frame, 2 i + 1 for base i, even for blanks; return its log-probability.

    logs (T, 5); lows, highs (T,): the states allowed, neither ever decreasing; steps (T, widest band).
    """
    width = 2 * bases.shape[0] + 1
    never = np.float32(-np.inf)
    before = np.full(width + 2, never, np.float32)  # state s stands at s + 2
    now = np.full(width + 2, never, np.float32)
    before[2] = 0.0
    for t in range(logs.shape[0]):
        low = lows[t]
        for s in range(low, highs[t]):
            i = s // 2
            best, step = before[s + 2], 0
            if before[s + 1] > best:
                best, step = before[s + 1], 1
            if s % 2 == 1 and i > 0 and bases[i] != bases[i - 1] and before[s] > best:
                best, step = before[s], 2
            steps[t, s - low] = step
            now[s + 2] = best + logs[t, bases[i] if s % 2 == 1 else 0]
        now[low] = never  # the next frame looks two states below this window
        now[low + 1] = never
        before, now = now, before
    s = width - 1
    if width > 1 and before[width] > before[width + 1]:
        s = width - 2
    total = before[s + 2]
    if total > never:
        for t in range(logs.shape[0] - 1, -1, -1):
            path[t] = s
            s -= steps[t, s - lows[t]]
    return total


@jit()
def evidence(probs, bases, starts):  # type: ignore[no-untyped-def]
    """Return float32 (L, 2): share of each base in the non-blank probability of its frames, and its maximum.

    The frames of a base end where the next one begins.
    """
    found = np.zeros((bases.shape[0], 2), np.float32)
    for i in range(bases.shape[0]):
        end = starts[i + 1] if i + 1 < bases.shape[0] else probs.shape[0]
        own, total = np.float32(0), np.float32(1e-30)
        for t in range(starts[i], end):
            own += probs[t, bases[i]]
            for c in range(1, probs.shape[1]):
                total += probs[t, c]
            found[i, 1] = max(found[i, 1], probs[t, bases[i]])
        found[i, 0] = min(own / total, np.float32(1))
    return found


def align(probs: np.ndarray, bases: np.ndarray, earliest: np.ndarray, band: int = BAND) -> np.ndarray:
    """Return the first frame of each base on the best path of a sequence that a beam search found, int32 (L,).

    Parameters
    ----------
    probs : float32 array (T, S): class probabilities, class 0 the blank.
    bases : uint8 array (L,): the sequence called.
    earliest : int32 array (L,): the earliest frame of each base, itself a possible alignment, as from
        `kernels.ctc.decode.beam`.
    band : int: states searched per frame, below the last that `earliest` allows.
    """
    highs = 2 * np.searchsorted(earliest, np.arange(len(probs)), side="right") + 1
    found = _best_path(probs, bases, np.maximum(0, highs - band), highs) if len(bases) else None
    return np.zeros(0, np.int32) if found is None else found.astype(np.int32)


def _best_path(probs: np.ndarray, bases: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> np.ndarray | None:
    """Return the first frame of each base on the best path within a band of states; see `_ctc`."""
    logs = np.log(np.maximum(np.asarray(probs, np.float32), np.float32(1e-37)))  # finite, so that a path exists
    path = np.zeros(len(probs), np.int32)
    steps = np.zeros((len(probs), int((highs - lows).max())), np.uint8)
    if not np.isfinite(_ctc(logs, np.asarray(bases, np.uint8), lows, highs, steps, path)):
        return None
    return np.flatnonzero((path % 2 == 1) & (path != np.concatenate([[-1], path[:-1]])))


def force_ctc(probs: np.ndarray, bases: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """Return the first frame of each base on the most probable path of a known sequence, int64 (L,).

    Parameters
    ----------
    probs : float32 array (T, 5): class probabilities, class 0 the blank; the sequence spans all T frames.
    bases : uint8 array (L,): 1 to 4.
    guess : int array (L,): approximate first frame of each base, not decreasing.

    Returns
    -------
    int64 (L,), increasing; None where no path lies within `REACH` frames and `MARGIN` bases of the guess.
    """
    if not len(bases) or len(probs) < len(bases):
        return None
    low, high = _band(guess, len(probs), len(bases))
    return _best_path(probs, bases, 2 * low, 2 * high + 1)


def force_crf(scores: np.ndarray, bases: np.ndarray, guess: np.ndarray, state_len: int) -> np.ndarray | None:
    """Return the frame in which each base is emitted on the best path of a known sequence through a CRF, int64 (L,).

    Parameters as for `force_ctc`, but scores float32 (T, 5 * 4**k), k = `state_len`, in the layout of
    `kernels.crf.loss`. The first k bases are the initial state of the path: they keep their guess, cut to before the
    next base.
    """
    length = len(bases) - state_len
    if length < 1 or len(scores) < length:
        return None
    low, high = _band(np.asarray(guess)[state_len:], len(scores), length)
    stays, moves = crf.chain(bases, state_len)
    try:
        frames = crf.align(np.asarray(scores, np.float32), stays, moves, low, high + 1)
    except ValueError:  # no path within the band
        return None
    return np.concatenate([np.minimum(np.asarray(guess)[:state_len], frames[0]), frames]).astype(np.int64)


def _band(guess: np.ndarray, frames: int, bases: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest and the most bases that may have begun by each frame, int64 (T,), not decreasing."""
    times = np.arange(frames)
    low = np.clip(np.searchsorted(guess, times - REACH) - MARGIN, 0, bases)
    high = np.clip(np.searchsorted(guess, times + REACH, side="right") + MARGIN, 0, bases)
    high[-1] = bases
    return low, high
