"""Where each base of a known sequence stands among the frames: Viterbi in a band around a first guess."""

import numpy as np

from biorrn.jit import jit

REACH = 24  # frames by which a base may begin before or after the guess
MARGIN = 6  # bases that may stand at a frame beyond those that the guess puts there


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
def _crf(scores, stays, moves, lows, highs, steps, path):  # type: ignore[no-untyped-def]
    """Fill `path` (T,) with the moves made up to and with each frame; return its score.

    scores (T, 5 S); stays, moves (M + 1,): the columns of staying after, and of making, each move (moves[0] is unused).
    """
    never = np.float32(-np.inf)
    before = np.full(stays.shape[0] + 1, never, np.float32)  # i moves made stand at i + 1
    now = np.full(stays.shape[0] + 1, never, np.float32)
    before[1] = 0.0
    for t in range(scores.shape[0]):
        low = lows[t]
        for i in range(low, highs[t]):
            best, step = before[i + 1] + scores[t, stays[i]], 0
            if i > 0:
                moved = before[i] + scores[t, moves[i]]
                if moved > best:
                    best, step = moved, 1
            steps[t, i - low] = step
            now[i + 1] = best
        now[low] = never
        before, now = now, before
    i = stays.shape[0] - 1
    total = before[i + 1]
    if total > never:
        for t in range(scores.shape[0] - 1, -1, -1):
            path[t] = i
            i -= steps[t, i - lows[t]]
    return total


def force_ctc(probs: np.ndarray, bases: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """Return the first frame of each base on the most probable path of a known sequence, int64 (L,).

    Parameters
    ----------
    probs : float32 array (T, 5): class probabilities, class 0 the blank; the sequence spans all T frames.
    bases : uint8 array (L,): 1 to 4.
    guess : int array (L,): about where each base begins, not decreasing.

    Returns
    -------
    int64 (L,), increasing; None where no path lies within `REACH` frames and `MARGIN` bases of the guess.
    """
    if not len(bases) or len(probs) < len(bases):
        return None
    logs = np.log(np.maximum(np.asarray(probs, np.float32), np.float32(1e-37)))
    low, high = _band(guess, len(probs), len(bases))
    lows, highs = 2 * low, 2 * high + 1
    path = np.zeros(len(probs), np.int32)
    steps = np.zeros((len(probs), int((highs - lows).max())), np.uint8)
    if not np.isfinite(_ctc(logs, np.asarray(bases, np.uint8), lows, highs, steps, path)):
        return None
    fresh = (path % 2 == 1) & (path != np.concatenate([[-1], path[:-1]]))
    return np.flatnonzero(fresh)


def force_crf(scores: np.ndarray, bases: np.ndarray, guess: np.ndarray, state_len: int) -> np.ndarray | None:
    """Return the frame in which each base is emitted on the best path of a known sequence through a CRF, int64 (L,).

    Takes what `force_ctc` takes, with scores float32 (T, 5 * 4**k) in the layout of `kernels.crf`; k is `state_len`.
    The first k bases are the state in which the path begins: they keep their guess, cut to before the next base.
    """
    length = len(bases) - state_len
    if length < 1 or len(scores) < length:
        return None
    codes = np.asarray(bases, np.int64) - 1
    states = np.zeros(length + 1, np.int64)
    for place in range(state_len):
        states = states * 4 + codes[place : place + length + 1]
    moves = np.zeros(length + 1, np.int64)
    moves[1:] = (1 + codes[:length]) * 4**state_len + states[1:]
    low, high = _band(np.asarray(guess)[state_len:], len(scores), length)
    path = np.zeros(len(scores), np.int32)
    steps = np.zeros((len(scores), int((high + 1 - low).max())), np.uint8)
    if not np.isfinite(_crf(np.asarray(scores, np.float32), states, moves, low, high + 1, steps, path)):
        return None
    frames = np.flatnonzero(np.diff(path, prepend=0))
    return np.concatenate([np.minimum(np.asarray(guess)[:state_len], frames[0]), frames])


def _band(guess: np.ndarray, frames: int, bases: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest and the most bases that may have begun at each frame, int64 (T,), neither decreasing."""
    times = np.arange(frames)
    low = np.clip(np.searchsorted(guess, times - REACH) - MARGIN, 0, bases)
    high = np.clip(np.searchsorted(guess, times + REACH, side="right") + MARGIN, 0, bases)
    high[-1] = bases
    return low, high
