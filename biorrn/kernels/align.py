"""Where each base of a called sequence stands among the frames, and how sure those frames are of it."""

import numpy as np

from biorrn.jit import jit

BAND = 64  # states a frame, two a base: how far a beam runs ahead of the frame that settles a base


@jit()
def _align(logs, bases, earliest, band, steps, path):  # type: ignore[no-untyped-def]
    """Fill `path` (T,) with the state of each frame on the best path: 2 i + 1 is base i, even states are blanks."""
    frames = logs.shape[0]
    width = 2 * bases.shape[0] + 1
    never = np.float32(-np.inf)
    before = np.full(width + 2, never, np.float32)  # state s stands at s + 2
    now = np.full(width + 2, never, np.float32)
    before[2] = 0.0
    lows = np.empty(frames, np.int32)
    entered = 0
    for t in range(frames):
        while entered < bases.shape[0] and earliest[entered] <= t:
            entered += 1
        high = 2 * entered + 1
        low = max(0, high - band)
        lows[t] = low
        for s in range(low, high):
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
    for t in range(frames - 1, -1, -1):
        path[t] = s
        s -= steps[t, s - lows[t]]


@jit()
def peaks(probs, bases, starts):  # type: ignore[no-untyped-def]
    """Return float32 (L,): the highest probability of each base from its first frame to the next base's."""
    found = np.zeros(bases.shape[0], np.float32)
    for i in range(bases.shape[0]):
        end = starts[i + 1] if i + 1 < bases.shape[0] else probs.shape[0]
        for t in range(starts[i], end):
            found[i] = max(found[i], probs[t, bases[i]])
    return found


@jit()
def shares(probs, bases, starts):  # type: ignore[no-untyped-def]
    """Return float32 (L,): the part of each base in all but the blank, from its first frame to the next base's."""
    found = np.zeros(bases.shape[0], np.float32)
    for i in range(bases.shape[0]):
        end = starts[i + 1] if i + 1 < bases.shape[0] else probs.shape[0]
        own, total = np.float32(0), np.float32(1e-30)
        for t in range(starts[i], end):
            own += probs[t, bases[i]]
            for c in range(1, probs.shape[1]):
                total += probs[t, c]
        found[i] = min(own / total, np.float32(1))
    return found


def align(probs: np.ndarray, bases: np.ndarray, earliest: np.ndarray, band: int = BAND) -> np.ndarray:
    """Return the first frame of each base on the best path of a sequence (Viterbi in a band), int32 (L,).

    Parameters
    ----------
    probs : float32 array (T, S): class probabilities, class 0 the blank.
    bases : uint8 array (L,): the sequence called.
    earliest : int32 array (L,): no base begins before its frame here, and the sequence can be read with each base
        beginning in just that frame; what `kernels.beam.beam` returns is such.
    band : int: states searched a frame, below the last that `earliest` allows.
    """
    frames = len(probs)
    if not len(bases):
        return np.zeros(0, np.int32)
    logs = np.log(np.maximum(np.asarray(probs, np.float32), np.float32(1e-37)))  # finite, so that a path always exists
    path = np.empty(frames, np.int32)
    _align(logs, bases, earliest, band, np.empty((frames, band), np.uint8), path)
    fresh = (path % 2 == 1) & (path != np.concatenate([[-1], path[:-1]]))
    return np.flatnonzero(fresh).astype(np.int32)
