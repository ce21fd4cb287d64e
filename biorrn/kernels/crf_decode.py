"""From CTC-CRF scores of one read to bases: posterior Viterbi decoding, alignment of a known sequence.

The layout of the scores is that of `kernels.crf`. All functions work on one read (T, 5 S) on the CPU, release the GIL
in their loops and may be called from several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from biorrn.kernels import crf_decode_numba, crf_numba

# bases uint8 (L,) 1..4, frames of the moves int32 (L,), evidence float32 (L, 2): see `posterior_viterbi`
Decoded = tuple[np.ndarray, np.ndarray, np.ndarray]

BLOCK = 2**16  # exponentials held at a time; they stay in the processor's cache
TRACE = 2**26  # bytes of traceback held at a time in `align`
FLOOR = 1e-8  # added to posteriors before their product is taken, so that no path is impossible
DEPTH = 600.0  # nats that float64 can hold below the best

# tried in order: the type, and whether what lies too far below the best of its frame for k + 1 transitions of it to fit
# in float64 is raised to what fits
Effort = tuple[type, bool]
EFFORTS: dict[str, list[Effort]] = {
    "float32": [(np.float32, False), (np.float64, False), (np.float64, True)],
    "float64": [(np.float64, False), (np.float64, True)],
}


def checked(scores: np.ndarray, state_len: int) -> np.ndarray:
    """Return scores as a contiguous float array; ValueError where the shape or a value does not fit.

    >>> checked(np.zeros((7, 20)), 2)
    Traceback (most recent call last):
    ValueError: scores of shape (7, 20); state_len 2 needs 80 columns
    """
    if scores.ndim != 2 or scores.shape[1] != 5 * 4**state_len:
        raise ValueError(f"scores of shape {scores.shape}; state_len {state_len} needs {5 * 4**state_len} columns")
    return np.ascontiguousarray(scores, np.float64 if scores.dtype == np.float64 else np.float32)


def blocks(scores: np.ndarray, effort: Effort, state_len: int, reverse: bool = False) -> Iterator[tuple[slice, Any]]:
    """Yield (frames, exponentials of their scores less the best) block by block, in one reused array."""
    kind, clip = effort
    frames = len(scores)
    size = BLOCK // scores.shape[1]
    buffer = np.empty((min(size, frames), scores.shape[1]), kind)
    first = range(0, frames, size)
    for start in reversed(first) if reverse else first:
        where = slice(start, min(start + size, frames))
        part = scores[where]
        top = part.max(1, keepdims=True)
        if not np.isfinite(top).all():
            raise ValueError(f"CRF scores: NaN or infinity among those of frames {where.start} to {where.stop - 1}")
        e = buffer[: len(part)]
        np.subtract(part, top, out=e)
        if clip:
            np.maximum(e, -DEPTH / (state_len + 1), out=e)
        yield where, np.exp(e, out=e)


def backward_mass(scores: np.ndarray, effort: Effort, state_len: int) -> np.ndarray:
    """Return the backward mass (T + 1, S) from each frame on, scaled to a sum of 1 a frame; zeros where it was lost."""
    states = 4**state_len
    beta = np.empty((len(scores) + 1, states), effort[0])
    beta[-1] = 1 / states
    work = np.empty(4 * states, effort[0])
    for where, e in blocks(scores, effort, state_len, reverse=True):
        if not crf_decode_numba.backward(e, beta[where.start : where.stop + 1], work):
            beta[: where.stop] = 0
            break
    return beta


def posterior_viterbi(scores: np.ndarray, state_len: int) -> Decoded:
    """Return the path that has the largest product of posterior transition probabilities.

    Parameters
    ----------
    scores : float32 array (T, 5 S).
    state_len : int: bases a state remembers.

    Returns
    -------
    bases uint8 (L,), 1 to 4; starts int32 (L,): the frame of each base's move; evidence float32 (L, 2), 0 to 1. Its
    first column: of the posterior probability of moves in the frames between the moves before and after a base, the
    share that emits it (a base's own frame is uncertain by some frames, so that one frame's posterior says too little).
    Its second: the highest posterior probability, before the next move, of the state that the base leads to.

    Memory is about a third of that of the scores. One frame takes about a microsecond for each 64 states.

    Raises
    ------
    ValueError: a shape that does not fit, or NaN or infinity that leaves a frame without a best score.
    """
    _, choice, mass, held, last = best_ways(checked(scores, state_len), state_len)
    bases, starts = np.empty(len(scores), np.uint8), np.empty(len(scores), np.int32)
    first, state = crf_decode_numba.follow(choice, last, bases, starts)
    bases, starts = bases[first:].copy(), starts[first:].copy()
    return bases, starts, evidence(mass, held, bases, starts, state)


def best_ways(
    scores: np.ndarray, state_len: int, keep: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Return what one pass back and one pass forward through checked scores find.

    That is the backward mass (T + 1, S), scaled to a sum of 1 a frame, if it is to be kept; the best way uint8 (T, S)
    into each state, 0 to stay or 1 + d; the posterior probability float32 (T, 4) that a frame emits each base; the
    posterior probability (T, S) of each state after each frame; the best path's last state.
    """
    frames, states = len(scores), 4**state_len
    choice, mass = np.empty((frames, states), np.uint8), np.empty((frames, 4), np.float32)
    for effort in EFFORTS[scores.dtype.name]:
        kind = effort[0]
        beta = backward_mass(scores, effort, state_len)
        carry, work = np.full((2, states), 1 / states, kind), np.empty((11, states), kind)
        limits = kind(FLOOR), kind(crf_numba.LEAST[np.dtype(kind)])
        held = np.empty((frames, states), kind) if keep else beta[:-1]  # a row of beta is free when the next is read
        if all(
            crf_decode_numba.forward_viterbi(
                e, beta[1:][where], carry, work, choice[where], mass[where], held[where], *limits
            )
            for where, e in blocks(scores, effort, state_len)
        ):
            break
    return beta, choice, mass, held, int(carry[1].argmax())


def evidence(mass: np.ndarray, held: np.ndarray, bases: np.ndarray, starts: np.ndarray, state: int) -> np.ndarray:
    """Return the evidence float32 (L, 2) for called bases, as `posterior_viterbi` defines it.

    Parameters
    ----------
    mass, held : what `best_ways` returns. state : int: before the first base.
    """
    shares, peaks = np.empty((2, len(bases)), np.float32)
    crf_decode_numba.quality(mass, bases, starts, shares)
    crf_decode_numba.highest(held, bases, starts, state, peaks)
    return np.stack([shares, peaks], axis=1)


def chain(target: np.ndarray, state_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns int32 (M + 1,) of staying in each position of a target and of moving into it (0: a dummy)."""
    bases = np.asarray(target, np.int64) - 1
    if len(bases) < state_len or bases.min() < 0 or bases.max() > 3:
        raise ValueError(f"a target of {len(bases)} bases; allowed are {state_len} or more of 1 to 4")
    place = 4 ** np.arange(state_len - 1, -1, -1)
    stays = np.lib.stride_tricks.sliding_window_view(bases, state_len) @ place
    moves = np.zeros_like(stays)
    moves[1:] = (1 + bases[: len(stays) - 1]) * 4**state_len + stays[1:]
    return stays.astype(np.int32), moves.astype(np.int32)


def align(scores: np.ndarray, stays: np.ndarray, moves: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> np.ndarray:
    """Return the frame int32 (M,) of each move on the best path inside a window of positions a frame.

    The traceback is held for a block of frames at a time; where there are several, each is computed twice.
    """
    frames, count = len(scores), len(stays) - 1
    starts = np.empty(count, np.int32)
    if frames == 0:
        return starts
    width = int((highs - lows).max())
    block = max(int(frames**0.5), TRACE // width)
    now, before, kept = np.empty(count + 2), np.empty(count + 2), {}
    trace = np.empty((min(block, frames), width), np.bool_)

    def advance(origin: int) -> np.ndarray:
        part = slice(origin, min(origin + block, frames))
        rest = lows[part], highs[part], before, now, trace
        return crf_decode_numba.align_block(scores[part], origin == 0, stays, moves, *rest)

    for origin in range(0, frames, block):
        kept[origin] = before.copy()
        last = advance(origin)
        before[:] = last.copy()
    if not last[count + 1] > -np.inf:
        raise ValueError("a target all of whose paths have a score of -inf or NaN")
    position = count
    for origin in reversed(kept):
        if origin + block < frames:
            before[:] = kept[origin]
            advance(origin)
        size = min(origin + block, frames) - origin
        position = crf_decode_numba.retrace(trace[:size], lows[origin : origin + size], position, origin, starts)
    return starts
