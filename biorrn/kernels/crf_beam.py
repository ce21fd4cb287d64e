"""Beam search over the base sequences of CTC-CRF scores, compiled for the CPU.

A prefix is a sequence of emitted bases and the state it ends in; its mass is the sum over all its alignments. Prefixes
are ranked by that mass times the backward mass of their state, that is by the probability of all paths that begin with
them, so that the search looks ahead to the end of the read. Prefixes that come to be the same are merged, by a hash of
the sequence (64 bits) and the state. Method: prefix search (Graves et al. 2006; Graves and Jaitly 2014) over the states
of a CRF.
"""

import numpy as np

from biorrn.jit import jit
from biorrn.kernels.crf_decode import Decoded, align, best_ways, chain, checked, evidence, posterior_viterbi

LOST = -(2**62)
BAND = 64  # positions aligned a frame, below the last that had entered the beam


@jit()
def _beam(scores, beta, size, cut, parent, label, born):  # type: ignore[no-untyped-def]
    """Fill the tree of prefixes and return the node of the most probable sequence; `LOST` if all mass was lost.

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
    # candidates, and (in the first places, after each frame) what is held
    hashes, states_of, nodes = np.empty((2, top), np.uint64), np.empty((2, top), np.int64), np.empty((2, top), np.int64)
    mass, added, guided = np.empty((2, top)), np.empty(top, np.uint8), np.empty(top)
    now = 0
    for s in range(states):
        hashes[0, s], states_of[0, s], nodes[0, s], mass[0, s] = np.uint64(0), s, -1 - s, 1.0
        added[s] = 0
        guided[s] = beta[0, s]
    count, made = states, 0

    for t in range(frames + 1):
        # the best of the candidates of this place move on to the other; the first are the initial states
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

    # sequences shorter than a state may be held in several: the most probable sequence is that of their sum
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
    """Return the least of the `size` largest values, and how many of those equal to it are among them."""
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
    scores : float32 array (T, 5 S), in the layout of `kernels.crf`.
    state_len : int: bases a state remembers.
    size : int: prefixes kept a frame. Default 32.
    cut : float: extensions less probable than this, relative to the best prefix, are dropped at once. Default 1e-4.

    Returns
    -------
    (bases, starts, evidence) as of `crf_decode.posterior_viterbi`; the starts are those of the best path of the
    sequence (Viterbi in a band below what the beam had reached).

    Raises
    ------
    ValueError: a shape that does not fit, or NaN or infinity that leaves a frame without a best score.
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
