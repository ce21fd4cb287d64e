"""The recurrence of minGRU for one row on the CPU, and its gradient: one pass over memory each."""

from biorrn.jit import jit

# sums may be reordered (it is what lets them be vectorised); NaN and infinity keep their meaning
FAST = {"reassoc", "contract", "nsz"}


@jit(fastmath=FAST)
def forward(gates, start, out):  # type: ignore[no-untyped-def]
    """Fill `out` (T, H) from `gates` (T, 2 H), z and then c, and the state before the first step, `start` (H,)."""
    steps, width = out.shape
    for t in range(steps):
        for j in range(width):
            before = out[t - 1, j] if t > 0 else start[j]
            out[t, j] = before + gates[t, j] * (gates[t, width + j] - before)


@jit(fastmath=FAST)
def backward(gates, start, out, gradient, total, of_bias):  # type: ignore[no-untyped-def]
    """Replace `gates` by the gradient of what the input said to each, c first and then z; see `forward`.

    `total` (H,) and `of_bias` (2 H,) come as zeros: the first becomes the gradient of `start`, to the second the sum of
    the new `gates` over steps is added.
    """
    steps, width = out.shape
    one = gates.dtype.type(1)
    for t in range(steps - 1, -1, -1):
        before = out[t - 1] if t > 0 else start
        z, c = gates[t, :width], gates[t, width:]
        # short loops of few arrays: of one with all in it the compiler gives up proving that they lie apart, and takes
        # numbers one by one; and the place of z takes what belongs to c, since that is what the others still need of z
        for j in range(width):
            total[j] += gradient[t, j]
        for j in range(width):
            c[j] = (c[j] - before[j]) * total[j] * z[j] * (one - z[j])
        for j in range(width):
            z[j] *= total[j]
        for j in range(width):
            total[j] -= z[j]
        for j in range(2 * width):
            of_bias[j] += gates[t, j]
