"""CTC-CRF loss, gradient and decoding loops of one read in numba, with scaled probabilities.

Scores are planar (see `kernels.crf.loss`): with S states, column s is staying in s, and column S + j, j = 0..4S-1, is
the move from state j // 4 into state j % S. A move needs no table: the forward mass is spread over j by repeating each
state four times, the backward mass by repeating the whole vector, and all inner loops run over contiguous memory.
Method: forward-backward for a linear-chain conditional random field (Lafferty et al. 2001), scaled as in Rabiner 1989.
The chain of the target is computed within the window of positions that the first frame can reach and that can reach
the last frame.

Scaled numbers can underflow. What underflows in a frame is at most the smallest number times the number of transitions,
which is harmless while forward and backward mass overlap by far more. The kernels return False (or NaN) otherwise; the
row is then computed in float64, and finally by `kernels.crf.reference`, which does not scale.
"""

import numpy as np

from biorrn.base.compute import jit

# sums may be reordered (it is what lets them be vectorised); NaN and infinity keep their meaning
FAST = {"reassoc", "contract", "nsz", "arcp"}

# the smallest value kept of each type: above the denormals, which are slow
LEAST = {np.dtype(np.float32): 1e-37, np.dtype(np.float64): 1e-300}


@jit(fastmath=FAST)
def spread(values, out, factor):  # type: ignore[no-untyped-def]
    """Fill `out` (4 S) with each of `values` (S) four times over, times `factor`."""
    for p in range(values.shape[0]):
        value = values[p] * factor
        out[4 * p] = value
        out[4 * p + 1] = value
        out[4 * p + 2] = value
        out[4 * p + 3] = value


@jit(fastmath=FAST)
def forward(e, alpha, work):  # type: ignore[no-untyped-def]
    """Fill `alpha[1:]` (T, S), scaled to a sum of 1 per frame, from exponentials `e` (T, 5 S) and `alpha[0]`.

    Returns the log of the product of the sums, or NaN if one is 0 or not a number. `work` (4 S) is scratch.
    """
    frames, states = e.shape[0], alpha.shape[1]
    zero = e.dtype.type(0)
    one = e.dtype.type(1)
    log_total = 0.0
    for t in range(frames):
        before, after, row = alpha[t], alpha[t + 1], e[t]
        spread(before, work, one)
        stay, d0, d1, d2, d3 = (
            row[:states],
            row[states : 2 * states],
            row[2 * states : 3 * states],
            row[3 * states : 4 * states],
            row[4 * states :],
        )
        w0, w1, w2, w3 = work[:states], work[states : 2 * states], work[2 * states : 3 * states], work[3 * states :]
        total = zero
        for s in range(states):
            value = before[s] * stay[s] + (w0[s] * d0[s] + w1[s] * d1[s]) + (w2[s] * d2[s] + w3[s] * d3[s])
            after[s] = value
            total += value
        if not total > zero:
            return np.nan
        log_total += np.log(np.float64(total))
        scale = one / total
        for s in range(states):
            after[s] *= scale
    return log_total


@jit(fastmath=FAST)
def chain_forward(e, stays, moves, alpha, es, em, least):  # type: ignore[no-untyped-def]
    """Fill `alpha` (T + 1, M + 3) for a target of M moves and return the log of its sum (NaN: 0 or not a number).

    stays, moves (M + 2,): the columns of staying in position i and of moving into it. Position i stands at i + 1, and
    place 0 is 0. `es` and `em` (M + 2,) are scratch.
    """
    frames, last = e.shape[0], stays.shape[0] - 2
    zero = least - least
    one = e.dtype.type(1)
    alpha[:, 0] = zero
    alpha[0, 1] = one
    alpha[0, 2] = zero
    total = one
    log_total = 0.0
    for t in range(frames):
        lo, hi = max(0, last - frames + t + 1), min(t + 1, last) + 1
        before, after, row = alpha[t], alpha[t + 1], e[t]
        scale = one / total
        for i in range(lo, hi):
            es[i] = row[stays[i]] * scale
            em[i] = row[moves[i]] * scale
        total = zero
        for i in range(lo, hi):
            value = before[i + 1] * es[i] + before[i] * em[i]
            value = value if value > least else zero
            after[i + 1] = value
            total += value
        after[hi + 1] = zero  # one place beyond the window is read by the next frame
        if not total > zero:
            return np.nan
        log_total += np.log(np.float64(total))
    reached = alpha[frames, last + 1]
    return log_total - np.log(np.float64(total)) + np.log(np.float64(reached)) if reached > zero else np.nan


@jit(fastmath=FAST)
def backward(e, alpha, gradient, work, betas, least):  # type: ignore[no-untyped-def]
    """Fill `gradient` (T, 5 S) with the posterior probability of every transition; return whether it can be trusted.

    `e` and `alpha` as left by `forward`. betas (2, S): in its first row the backward mass after the last frame, and in
    the end that of the first. work (2, 4 S) is scratch.
    """
    frames, states = e.shape[0], alpha.shape[1]
    zero = least - least
    one = e.dtype.type(1)
    after, here = betas[0], betas[1]
    enough = least * e.dtype.type(1e12 * 5 * states)
    repeated, product = work[0], work[1]
    for t in range(frames - 1, -1, -1):
        row, out, a = e[t], gradient[t], alpha[t]
        for d in range(4):
            w, m = product[d * states : (d + 1) * states], row[(1 + d) * states : (2 + d) * states]
            for s in range(states):
                w[s] = m[s] * after[s]
        total, overlap = zero, zero
        for p in range(states):
            stayed = row[p] * after[p]
            value = stayed + (product[4 * p] + product[4 * p + 1]) + (product[4 * p + 2] + product[4 * p + 3])
            out[p] = stayed * a[p]
            here[p] = value
            total += value
            overlap += value * a[p]
        if not overlap > enough * max(total, one):
            return False
        inverse = one / overlap
        spread(a, repeated, inverse)
        moved = out[states:]
        for j in range(4 * states):
            moved[j] = repeated[j] * product[j]
        scale = one / total
        for p in range(states):
            out[p] *= inverse
            after[p] = here[p] * scale
    return True


@jit(fastmath=FAST)
def chain_backward(e, stays, moves, alpha, gradient, work, least):  # type: ignore[no-untyped-def]
    """Take the posterior probability of the target's transitions off `gradient`; return whether it can be trusted.

    `alpha` as left by `chain_forward`, which scales each frame's sum to 1 when the next is computed; work (4, M + 2).
    """
    frames, last = e.shape[0], stays.shape[0] - 2
    zero = least - least
    one = e.dtype.type(1)
    es, em = work[0], work[1]
    after, here = work[2], work[3]
    after[:] = zero
    here[:] = zero
    after[last] = one
    total = one
    for t in range(frames - 1, -1, -1):
        lo, hi = max(0, last - frames + t), min(t, last) + 1
        a, row, out = alpha[t], e[t], gradient[t]
        scale = one / total
        for i in range(lo, hi + 1):
            es[i] = row[stays[i]] * scale * after[i]
            em[i] = row[moves[i]] * scale * after[i]
        total, overlap, mass = zero, zero, zero
        for i in range(lo, hi):
            value = es[i] + em[i + 1]
            value = value if value > least else zero
            here[i] = value
            total += value
            mass += a[i + 1]
            overlap += value * a[i + 1]
        # what was dropped is below `least` a position, of either mass: a million of them stay below one in 1e6
        if not overlap > 1e12 * np.float64(least) * max(np.float64(total) + np.float64(mass), 1e-11):
            return False
        inverse = one / overlap
        for i in range(lo, hi):
            part = a[i + 1] * inverse
            out[stays[i]] -= part * es[i]
            out[moves[i + 1]] -= part * em[i + 1]
        # windows move left from here on, so whatever is read outside this one was never written and is 0
        after, here = here, after
    return True


@jit(fastmath=FAST)
def backward_scores(e, beta, work):  # type: ignore[no-untyped-def]
    """Fill `beta[:-1]` (T, S), scaled to a sum of 1 per frame, from exponentials `e` (T, 5 S) and `beta[-1]`.

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
    """Advance Viterbi over posteriors through frames of exponentials `e` (T, 5 S).

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
            # from here on, values are posteriors up to one factor per frame
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

    The frame of a move is less certain than its base, so the frames on both sides count, and only the base that they
    emit, not the probability of emitting.
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
