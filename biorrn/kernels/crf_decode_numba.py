"""Decoding and alignment of one read of CTC-CRF scores, compiled for the CPU; `kernels.crf_decode` calls these.

The layout of the columns is that of `kernels.crf`: a move from state j // 4 into state j % S stands in column S + j.
"""

import numpy as np

from biorrn.jit import jit

# sums may be reordered (it is what lets them be vectorised); NaN and infinity keep their meaning
FAST = {"reassoc", "contract", "nsz", "arcp"}


@jit(fastmath=FAST)
def backward(e, beta, work):  # type: ignore[no-untyped-def]
    """Fill `beta[:-1]` (T, S), each frame's sum being 1, from exponentials `e` (T, 5 S) and `beta[-1]`.

    Returns whether all sums are above 0. `work` (4 S) is scratch.
    """
    frames, states = e.shape[0], beta.shape[1]
    zero = e.dtype.type(0)
    one = e.dtype.type(1)
    for t in range(frames - 1, -1, -1):
        row, after, here = e[t], beta[t + 1], beta[t]
        for d in range(4):
            w, m = work[d * states : (d + 1) * states], row[(1 + d) * states : (2 + d) * states]
            for s in range(states):
                w[s] = m[s] * after[s]
        total = zero
        for p in range(states):
            value = row[p] * after[p] + (work[4 * p] + work[4 * p + 1]) + (work[4 * p + 2] + work[4 * p + 3])
            here[p] = value
            total += value
        if not total > zero:
            return False
        scale = one / total
        for p in range(states):
            here[p] *= scale
    return True


@jit(fastmath=FAST)
def forward_viterbi(e, beta, carry, work, choice, mass, held, floor, least):  # type: ignore[no-untyped-def]
    """Go on through frames of exponentials `e` (T, 5 S) and note the best way into each state.

    beta (T, S): backward mass after each frame. carry (2, S): forward mass, and the product of posteriors of the best
    path into each state; both are scaled to a sum of 1, and left for the frames that follow. choice uint8 (T, S): 0
    stay, 1 + d a move that forgets base d. mass (T, 4): posterior probability that the frame emits each base. held (T,
    S): posterior probability of each state after each frame; its row t may be the row of `beta` before t. work (11, S)
    is scratch; `floor` is added to each posterior. Returns whether the numbers can be trusted.
    """
    frames, states = beta.shape
    zero = least - least
    one = e.dtype.type(1)
    alpha, best = carry[0], carry[1]
    w0, w1, w2, w3, v0, v1, v2, v3, moved, tops, picks = work
    flat, flat_v, quarter = work[:4].reshape(-1), work[4:8].reshape(-1), states // 4
    enough = least * e.dtype.type(1e12 * 5 * states)
    for t in range(frames):
        row, b = e[t], beta[t]
        for p in range(states):
            value, high = alpha[p], best[p]
            for c in range(4):
                flat[4 * p + c] = value
                flat_v[4 * p + c] = high
        m0, m1 = row[states : 2 * states], row[2 * states : 3 * states]
        m2, m3 = row[3 * states : 4 * states], row[4 * states :]
        total, overlap = zero, zero
        for s in range(states):
            # from here on, all that is kept is the posterior but for one factor a frame
            w0[s] *= m0[s]
            w1[s] *= m1[s]
            w2[s] *= m2[s]
            w3[s] *= m3[s]
            stayed = alpha[s] * row[s]
            move = (w0[s] + w1[s]) + (w2[s] + w3[s])
            value = stayed + move
            total += value
            overlap += value * b[s]
            moved[s] = move * b[s]
            tops[s] = stayed * b[s]
            alpha[s] = value
        if not overlap > enough * max(total, one):
            return False
        inverse, scale = one / overlap, one / total
        sum0, sum1, sum2, sum3 = zero, zero, zero, zero
        for g in range(quarter):
            sum0 += moved[4 * g]
            sum1 += moved[4 * g + 1]
            sum2 += moved[4 * g + 2]
            sum3 += moved[4 * g + 3]
        mass[t, 0], mass[t, 1], mass[t, 2], mass[t, 3] = sum0 * inverse, sum1 * inverse, sum2 * inverse, sum3 * inverse
        peak = zero
        kept = held[t]
        for s in range(states):
            after = b[s] * inverse
            kept[s] = (moved[s] + tops[s]) * inverse
            top, pick = (tops[s] * inverse + floor) * best[s], zero
            value = (w0[s] * after + floor) * v0[s]
            pick = one if value > top else pick
            top = value if value > top else top
            value = (w1[s] * after + floor) * v1[s]
            pick = one + one if value > top else pick
            top = value if value > top else top
            value = (w2[s] * after + floor) * v2[s]
            pick = one + one + one if value > top else pick
            top = value if value > top else top
            value = (w3[s] * after + floor) * v3[s]
            pick = one + one + one + one if value > top else pick
            top = value if value > top else top
            alpha[s] *= scale
            tops[s] = top
            picks[s] = pick
            peak += top
        scale = one / peak
        way = choice[t]
        for s in range(states):
            best[s] = tops[s] * scale
            way[s] = np.uint8(picks[s])
    return True


@jit()
def follow(choice, state, bases, starts):  # type: ignore[no-untyped-def]
    """Walk back through `choice` (T, S) from the last state and fill the last places of `bases` and `starts` (T,).

    Returns the first place filled, and the state before frame 0.
    """
    frames, states = choice.shape
    place = frames
    for t in range(frames - 1, -1, -1):
        pick = np.int64(choice[t, state])
        if pick > 0:
            place -= 1
            bases[place] = state % 4 + 1
            starts[place] = t
            state = (pick - 1) * (states // 4) + state // 4
    return place, state


@jit()
def quality(mass, bases, starts, found):  # type: ignore[no-untyped-def]
    """Fill `found` (L,) with the share of each base in the `mass` (T, 4) of the frames between its neighbours' moves.

    A base lasts about two frames, and when it moved is less sure than what it was: so the frames on both sides count,
    and only what they emit, not how surely they emit.
    """
    count = bases.shape[0]
    for i in range(count):
        begin = starts[i - 1] + 1 if i > 0 else 0
        end = starts[i + 1] if i + 1 < count else mass.shape[0]
        own = np.float32(0)
        total = np.float32(1e-30)
        for t in range(begin, end):
            own += mass[t, bases[i] - 1]
            for c in range(4):
                total += mass[t, c]
        found[i] = min(own / total, np.float32(1))


@jit()
def highest(held, bases, starts, state, found):  # type: ignore[no-untyped-def]
    """Fill `found` (L,) with the highest posterior in `held` (T, S) of each base's state until the next base's move.

    A base's state is that of the last bases up to it; `state` is the one before the first base.
    """
    count, states = bases.shape[0], held.shape[1]
    for i in range(count):
        state = (4 * state + bases[i] - 1) % states
        end = starts[i + 1] if i + 1 < count else held.shape[0]
        top = held[starts[i], state]
        for t in range(starts[i] + 1, end):
            top = max(top, held[t, state])
        found[i] = min(max(np.float32(top), np.float32(0)), np.float32(1))


@jit()
def align_block(scores, first, stays, moves, lows, highs, before, now, trace):  # type: ignore[no-untyped-def]
    """Advance the best scores of a target's positions through the frames of `scores` (T, 5 S).

    stays, moves (M + 1,): the columns of staying in position i and of moving into it. In the frame t the positions
    lows[t] to highs[t] - 1 are computed. before, now (M + 2,): position i at i + 1, place 0 -inf; `first` says that no
    frame came before. trace bool (T, widest window): whether position lows[t] + i is moved into at t. Returns the
    array, of the two, that holds the last frame's.
    """
    if first:
        before[:] = -np.inf
        now[:] = -np.inf
        before[1] = 0.0
    for t in range(scores.shape[0]):
        low, high, row, moved = lows[t], highs[t], scores[t], trace[t]
        for i in range(low, high):
            stay = before[i + 1] + row[stays[i]]
            move = before[i] + row[moves[i]]
            moved[i - low] = move > stay
            now[i + 1] = max(stay, move)
        # what the next frame reads beside this window
        now[low] = -np.inf
        if high + 1 < now.shape[0]:
            now[high + 1] = -np.inf
        before, now = now, before
    return before


@jit()
def retrace(trace, lows, position, origin, starts):  # type: ignore[no-untyped-def]
    """Fill `starts` for the moves in a block of frames that ends in `position`; return the position it began in."""
    for t in range(trace.shape[0] - 1, -1, -1):
        if trace[t, position - lows[t]]:
            position -= 1
            starts[position] = origin + t
    return position
