"""CTC-CRF decoding in numba: posterior Viterbi, beam search, and alignment of a known sequence.

Scores have the layout of `kernels.crf.loss`. All functions take one read (T, 5 S) on the CPU and release the GIL in
their loops, so they may run in several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from biorrn.base.compute import jit
from biorrn.kernels.crf import cpu
from biorrn.kernels.crf.scores import FLOOR, Decoded, checked

BLOCK = 2**16  # exponentials held at a time; they stay in the processor's cache
TRACE = 2**26  # bytes of traceback held at a time in `align`
DEPTH = 600.0  # nats that float64 can hold below the best

# tried in order: the type, and whether scores too far below the best of their frame are raised, so that k + 1
# transitions fit into float64
Effort = tuple[type, bool]
EFFORTS: dict[str, list[Effort]] = {
    "float32": [(np.float32, False), (np.float64, False), (np.float64, True)],
    "float64": [(np.float64, False), (np.float64, True)],
}


def blocks(scores: np.ndarray, effort: Effort, state_len: int, reverse: bool = False) -> Iterator[tuple[slice, Any]]:
    """Yield (frames, exponentials of their scores relative to the best) block by block, in one reused array."""
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
    """Return the backward mass (T + 1, S), scaled to a sum of 1 per frame; zeros where it underflowed."""
    states = 4**state_len
    beta = np.empty((len(scores) + 1, states), effort[0])
    beta[-1] = 1 / states
    work = np.empty(4 * states, effort[0])
    for where, e in blocks(scores, effort, state_len, reverse=True):
        if not cpu.backward_scores(e, beta[where.start : where.stop + 1], work):
            beta[: where.stop] = 0
            break
    return beta


def posterior_viterbi(scores: np.ndarray, state_len: int) -> Decoded:
    """Return what `viterbi.posterior_viterbi` does, for scores of any type and range: its reference and fallback.

    Memory is about a third of that of the scores.
    """
    _, choice, mass, held, last = best_ways(checked(scores, state_len), state_len)
    bases, starts = np.empty(len(scores), np.uint8), np.empty(len(scores), np.int32)
    first, state = cpu.follow(choice, last, bases, starts)
    bases, starts = bases[first:].copy(), starts[first:].copy()
    return bases, starts, evidence(mass, held, bases, starts, state)


def best_ways(
    scores: np.ndarray, state_len: int, keep: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the results of one backward and one forward pass over checked scores.

    Returns
    -------
    The backward mass (T + 1, S), scaled to a sum of 1 per frame, if `keep`; the best move uint8 (T, S) into each state,
    0 to stay or 1 + d; the posterior probability float32 (T, 4) that a frame emits each base; the posterior probability
    (T, S) of each state after each frame; the last state of the best path.
    """
    frames, states = len(scores), 4**state_len
    choice, mass = np.empty((frames, states), np.uint8), np.empty((frames, 4), np.float32)
    for effort in EFFORTS[scores.dtype.name]:
        kind = effort[0]
        beta = backward_mass(scores, effort, state_len)
        carry, work = np.full((2, states), 1 / states, kind), np.empty((11, states), kind)
        limits = kind(FLOOR), kind(cpu.LEAST[np.dtype(kind)])
        held = np.empty((frames, states), kind) if keep else beta[:-1]  # a row of beta is free when the next is read
        if all(
            cpu.forward_viterbi(e, beta[1:][where], carry, work, choice[where], mass[where], held[where], *limits)
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
    cpu.quality(mass, bases, starts, shares)
    cpu.highest(held, bases, starts, state, peaks)
    return np.stack([shares, peaks], axis=1)


def chain(target: np.ndarray, state_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns int32 (M + 1,) of staying in each position of a target, and of moving into it (the first is 0)."""
    bases = np.asarray(target, np.int64) - 1
    if len(bases) < state_len or bases.min() < 0 or bases.max() > 3:
        raise ValueError(f"a target of {len(bases)} bases; allowed are {state_len} or more of 1 to 4")
    place = 4 ** np.arange(state_len - 1, -1, -1)
    stays = np.lib.stride_tricks.sliding_window_view(bases, state_len) @ place
    moves = np.zeros_like(stays)
    moves[1:] = (1 + bases[: len(stays) - 1]) * 4**state_len + stays[1:]
    return stays.astype(np.int32), moves.astype(np.int32)


def align(scores: np.ndarray, stays: np.ndarray, moves: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> np.ndarray:
    """Return the frame int32 (M,) of each move on the best path within a window of positions per frame.

    The traceback is kept for one block of frames at a time; with several blocks, each is computed twice.
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
        return cpu.align_block(scores[part], origin == 0, stays, moves, *rest)

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
        position = cpu.retrace(trace[:size], lows[origin : origin + size], position, origin, starts)
    return starts


LOST = -(2**62)
BAND = 64  # positions aligned a frame, below the last that had entered the beam


@jit()
def _beam(scores, beta, size, cut, parent, label, born):  # type: ignore[no-untyped-def]
    """Fill the tree of prefixes and return the node of the most probable sequence; `LOST` if all mass underflowed.

    scores (T, 5 S), T > 0; beta (T + 1, S). parent int64, label uint8 and born int32 have T * size places: the node
    that a node extends (-1 - s if it begins in state s), its base 1 to 4 and the frame in which it entered the beam.
    """
    frames, states = scores.shape[0], scores.shape[1] // 5
    slots = 1
    while slots < 10 * size:
        slots *= 2
    slots = max(slots, 16)
    table, stamp = np.empty(slots, np.int64), np.full(slots, -1, np.int64)
    top = max(5 * size, states)
    # two sets of candidates; the beam is in the first places of the set not in use
    hashes, states_of, nodes = np.empty((2, top), np.uint64), np.empty((2, top), np.int64), np.empty((2, top), np.int64)
    mass, added, guided = np.empty((2, top)), np.empty(top, np.uint8), np.empty(top)
    now = 0
    for s in range(states):
        hashes[0, s], states_of[0, s], nodes[0, s], mass[0, s] = np.uint64(0), s, -1 - s, 1.0
        added[s] = 0
        guided[s] = beta[0, s]
    count, made = states, 0

    for t in range(frames + 1):
        # the best candidates move on to the other set; the first candidates are the initial states
        bar, spare = threshold(guided[:count], size)
        held, highest = 0, 0.0
        h, st, nd, ms = hashes[1 - now], states_of[1 - now], nodes[1 - now], mass[1 - now]
        for c in range(count):
            if guided[c] < bar or (guided[c] == bar and spare == 0):
                continue
            spare -= guided[c] == bar
            node = nodes[now, c]
            if added[c] > 0:
                parent[made], label[made], born[made] = node, added[c], t - 1
                node = made
                made += 1
            h[held], st[held], nd[held], ms[held] = hashes[now, c], states_of[now, c], node, mass[now, c]
            highest = max(highest, mass[now, c])
            held += 1
        if not highest > 0.0:
            return LOST
        if t == frames:
            break
        row, after = scores[t], beta[t + 1]
        shift = row[0]
        for c in range(row.shape[0]):
            shift = max(shift, row[c])
        count, best = 0, 0.0
        for i in range(held):
            ms[i] /= highest
        for turn in range(5):  # staying first, so that a prefix in the beam keeps its node
            for i in range(held):
                s, code = st[i], h[i]
                column = s
                if turn > 0:
                    column = states + 4 * s + turn - 1
                    s = (4 * s + turn - 1) % states
                    code = (code ^ (code >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(turn)
                value = ms[i] * np.exp(np.float64(row[column]) - shift)
                worth = value * after[s]
                if not worth > best * cut:
                    continue
                place = np.int64((code ^ (code >> np.uint64(32))) + np.uint64(s)) & (slots - 1)
                found = -1
                while stamp[place] == t:
                    c = table[place]
                    if hashes[now, c] == code and states_of[now, c] == s:
                        found = c
                        break
                    place = (place + 1) & (slots - 1)
                if found < 0:
                    found = count
                    count += 1
                    stamp[place], table[place] = t, found
                    hashes[now, found], states_of[now, found], nodes[now, found] = code, s, nd[i]
                    added[found], mass[now, found], guided[found] = turn, 0.0, 0.0
                mass[now, found] += value
                guided[found] += worth
                best = max(best, guided[found])

    # sequences shorter than a state may be held in several states, whose mass is summed
    winner, most = -1, -1.0
    for i in range(held):
        total = 0.0
        for j in range(held):
            if h[j] == h[i]:
                total += ms[j]
        if total > most or (total == most and ms[i] > ms[winner]):
            winner, most = i, total
    return nd[winner]


@jit()
def threshold(values, size):  # type: ignore[no-untyped-def]
    """Return the smallest of the `size` largest values, and how many values equal to it are among them."""
    count = values.shape[0]
    if count <= size:
        return -1.0, 0
    pool = values.copy()
    low, high = 0, count
    want = size  # how many of pool[low:high] are wanted
    while True:
        pivot = pool[(low + high) // 2]
        above, same = low, low  # [low, above): larger; [above, same): equal; [same, i): smaller
        for i in range(low, high):
            value = pool[i]
            if value >= pivot:
                pool[i] = pool[same]
                pool[same] = value
                if value > pivot:
                    pool[same] = pool[above]
                    pool[above] = value
                    above += 1
                same += 1
        if want <= above - low:
            high = above
        elif want <= same - low:
            return pivot, want - (above - low)
        else:
            want -= same - low
            low = same


def beam_search(scores: np.ndarray, state_len: int, size: int = 32, cut: float = 1e-4) -> Decoded:
    """Return the most probable base sequence that a beam search finds.

    Parameters
    ----------
    scores : float32 array (T, 5 S), in the layout of `kernels.crf.loss`.
    state_len : int: bases a state remembers.
    size : int: prefixes kept per frame. Default 32.
    cut : float: extensions less probable than this, relative to the best prefix, are dropped at once. Default 1e-4.

    Returns
    -------
    (bases, starts, evidence) as of `posterior_viterbi`; the starts are those of the best path of the sequence (banded
    Viterbi).

    Raises
    ------
    ValueError: a shape that does not fit, or NaN or infinity in a frame.
    """
    scores = checked(scores, state_len)
    frames = len(scores)
    if frames == 0:
        return np.zeros(0, np.uint8), np.zeros(0, np.int32), np.zeros((0, 2), np.float32)
    beta, _, mass, held, _ = best_ways(scores, state_len, keep=True)
    places = frames * size + 1
    parent, label, born = np.empty(places, np.int64), np.empty(places, np.uint8), np.empty(places, np.int32)
    node = _beam(scores, beta, size, cut, parent, label, born)
    if node == LOST:  # scores further apart than float64 can hold
        return posterior_viterbi(scores, state_len)
    way = []
    while node >= 0:
        way.append(node)
        node = parent[node]
    way.reverse()
    bases, entered = label[way].astype(np.uint8), born[way]
    state = -1 - node
    first = state // 4 ** np.arange(state_len - 1, -1, -1) % 4 + 1
    stays, moves = chain(np.concatenate([first, bases]), state_len)
    highs = np.searchsorted(entered, np.arange(frames), side="right") + 1
    lows = np.maximum(0, highs - BAND)
    starts = align(scores, stays, moves, lows, highs)
    return bases, starts, evidence(mass, held, bases, starts, state)
