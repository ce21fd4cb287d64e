"""CTC loss and gradient of one row in numba, with probabilities rescaled at each frame.

Blanks 0..L and bases 0..L-1 are separate arrays (the order is blank 0, base 0, blank 1, ..., blank L), so that inner
loops run over contiguous memory. Only states that the first frame can reach and that can reach the last frame are
computed. Method: Graves et al. 2006, with the scaling of Rabiner 1989.

Scaled numbers can underflow, and an underflown state counts as impossible. That is harmless while forward and backward
mass overlap in every frame, but not for a target that does not belong to the signal or for scores in the hundreds.
`scaled` bounds the lost mass and reports a bound that is not small; the row is then computed in a wider type, and
finally by `kernels.ctc.reference`, which does not scale.
"""

import numpy as np

from biorrn.base.compute import jit

# sums may be reordered (it is what lets them be vectorised); NaN and infinity keep their meaning
FAST = {"reassoc", "contract", "nsz", "arcp"}

# A type's limits: the mass given to a frame (a product of two, times 27, must not overflow); the smallest value kept
# (above the denormals, which are slow); the least class probability that is trusted.
LIMITS = {
    np.dtype(np.float32): (2.0**58, 1e-37, 1e-26),
    np.dtype(np.float64): (2.0**480, 1e-300, 1e-200),
}


@jit(fastmath=FAST)
def softmax(scores, probs):  # type: ignore[no-untyped-def]
    """Fill `probs` with the softmax of `scores` (both (T, S)) and return the smallest value."""
    frames, symbols = scores.shape
    lowest = scores.dtype.type(1)
    for t in range(frames):
        top = scores[t, 0]
        for c in range(1, symbols):
            top = max(top, scores[t, c])
        total = scores.dtype.type(0)
        for c in range(symbols):
            value = np.exp(scores[t, c] - top)
            probs[t, c] = value
            total += value
        scale = 1 / total
        for c in range(symbols):
            probs[t, c] *= scale
            if not probs[t, c] >= lowest:  # true for NaN as well
                lowest = probs[t, c]
    return lowest


@jit(fastmath=FAST)
def forward_frame(before_b, before_k, b, k, skips, emitted, blank, lo, hi, extra, least):  # type: ignore[no-untyped-def]
    """Fill one frame of forward mass, bases lo..hi-1 and blanks lo..hi-1+extra, and return its sum."""
    zero = least - least
    total = zero
    for i in range(lo, hi):
        moved = (before_k[i + 1] + before_b[i] + skips[i] * before_k[i]) * emitted[i]
        moved = moved if moved > least else zero
        k[i + 1] = moved
        total += moved
    for i in range(lo, hi + extra):
        moved = (before_b[i] + before_k[i]) * blank
        moved = moved if moved > least else zero
        b[i] = moved
        total += moved
    return total


@jit(fastmath=FAST)
def scaled(scores, bases, skips, masks, alpha, probs, totals, work, gradient, mass, least, floor):  # type: ignore[no-untyped-def]
    """Fill `gradient` (T, S) with d loss / d scores and return (loss in nats, whether it can be trusted).

    scores (T, S); bases int (L,) with 1 <= base < S; skips (L + 1,) 1 where a base differs from the one before it,
    else 0; masks (S, L) 1 where the base is that symbol; scratch: alpha (T + 1, 2, L + 2), probs (T, S), totals (T,),
    work (6, L + 2). All floating arrays and scalars have one type. T > 0, and at least one alignment exists.
    """
    frames, symbols = scores.shape
    size = bases.shape[0]
    zero = mass - mass
    if not softmax(scores, probs) > floor:
        return 0.0, False

    emitted = work[4]
    # in alpha[t + 1], blank i stands at [0, i] and base i at [1, i + 1]; alpha[0] holds all mass on the first blank
    alpha[:, 1, 0] = zero
    alpha[0] = zero
    alpha[0, 0, 0] = mass
    total, log_mass = mass, np.log(np.float64(mass))
    for t in range(frames):
        lo, hi = max(0, size - frames + t), min(t + 1, size)
        extra = 1 if t >= size else 0
        scale = mass / total
        log_mass += np.log(np.float64(scale))
        y = probs[t]
        for i in range(lo, hi):
            emitted[i] = y[bases[i]] * scale
        b, k = alpha[t + 1, 0], alpha[t + 1, 1]
        total = forward_frame(alpha[t, 0], alpha[t, 1], b, k, skips, emitted, y[0] * scale, lo, hi, extra, least)
        totals[t] = total
        if not total > zero:
            return 0.0, False
        # one place beyond the window is read by the next frame
        b[hi + extra] = zero
        k[hi + 1] = zero
    reached = alpha[frames, 0, size] + alpha[frames, 1, size]
    if not reached > zero:
        return 0.0, False
    loss = log_mass - np.log(np.float64(reached))

    # backward: g is the mass from frame t + 1 on, its emission included; blank i at gb[i], base i at gk[i]
    gb, gk, nb, nk, product = work[0], work[1], work[2], work[3], work[5]
    work[:4] = zero
    gb[size] = mass
    total = mass
    for t in range(frames - 1, -1, -1):
        lo, hi = max(0, size - frames + t), min(t + 1, size)
        extra = 1 if t >= size else 0
        b, k = alpha[t + 1, 0], alpha[t + 1, 1]
        y = probs[t]
        scale = mass / total
        blank = y[0] * scale
        for i in range(lo, hi):
            emitted[i] = y[bases[i]] * scale
        new, at_blank = zero, zero
        for i in range(lo, hi + extra):
            beta = gb[i] + gk[i]
            at_blank += b[i] * beta
            beta *= blank
            beta = beta if beta > least else zero
            nb[i] = beta
            new += beta
        for i in range(lo, hi):
            beta = gk[i] + gb[i + 1] + skips[i + 1] * gk[i + 1]
            product[i] = k[i + 1] * beta
            beta *= emitted[i]
            beta = beta if beta > least else zero
            nk[i] = beta
            new += beta
        overlap = at_blank
        row = gradient[t]
        row[0] = at_blank
        for c in range(1, symbols):
            mask = masks[c]
            part = zero
            for i in range(lo, hi):
                part += product[i] * mask[i]
            row[c] = part
            overlap += part
        # what was dropped here is below least * (3 * total + totals[t]) a state: a million states stay below one in 1e6
        if not overlap > 1e12 * np.float64(least) * (3.0 * np.float64(total) + np.float64(totals[t])):
            return 0.0, False
        for c in range(symbols):
            row[c] = y[c] - row[c] / overlap
        # windows move left from here on, so whatever is read outside this one was never written and is 0
        gb, gk, nb, nk = nb, nk, gb, gk
        total = new
        if t > 0 and not total > zero:
            return 0.0, False
    return loss, True
