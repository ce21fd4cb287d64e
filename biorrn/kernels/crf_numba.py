"""CTC-CRF loss and gradient of one row on the CPU: scaled probabilities.

Columns are planar (see `kernels.crf`): with S states, column s is staying in s, and column S + j, j = 0..4S-1, is a
move from state j // 4 into state j % S. So a move needs no table: the forward mass is spread over j by repeating each
state four times, the backward mass by repeating the whole, and all inner loops run over neighbours in memory.
Method: forward-backward for a linear-chain conditional random field (Lafferty et al. 2001), with the scaling of
Rabiner 1989. The chain of the target is computed inside the window of positions that can be reached from the first
frame and can reach the last.

Scaled numbers have an end. What falls below it in one frame is bounded by that end times the number of transitions, and
is harmless while forward and backward mass overlap by far more; `scaled` says when they do not, and the row is done
again in float64, and at last by `crf_reference`, which does not scale.
"""

import numpy as np

from biorrn.jit import jit

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
    """Fill `alpha[1:]` (T, S), each frame's sum being 1, from exponentials `e` (T, 5 S) and `alpha[0]`.

    Returns the log of what the sums were, or NaN if one is 0 or not a number. `work` (4 S) is scratch.
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
