"""Minimal GRU (Feng et al. 2024) as a scan over time: dispatch to the fused, parallel or loop kernel.

    z_t = sigmoid(Wz x_t + bz)
    c_t = Wc x_t + bc
    h_t = (1 - z_t) h_{t-1} + z_t c_t

Neither z nor c depends on the state, so the recurrence is linear: h_t = a_t h_{t-1} + b_t.

`fused`, for the CPU, takes a few rows at a time through the product and the recurrence, so that the gates stay in the
cache; they are computed again in the backward pass rather than kept. `parallel`, for GPUs, combines neighbours in
log2(T) rounds over whole tensors (Hillis and Steele 1986). `loop` is the plain reference. None takes logarithms as the
stable form of the paper does, so c may have either sign; none divides by products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from biorrn.base.compute import each_row, jit
from biorrn.base.lookup import lookup

# sums may be reordered (it is what lets them be vectorised); NaN and infinity keep their meaning
FAST = {"reassoc", "contract", "nsz"}


@jit(fastmath=FAST)
def _forward_row(gates, start, out):  # type: ignore[no-untyped-def]
    """Fill `out` (T, H) from `gates` (T, 2 H), z and then c, and the state before the first step, `start` (H,)."""
    steps, width = out.shape
    for t in range(steps):
        for j in range(width):
            before = out[t - 1, j] if t > 0 else start[j]
            out[t, j] = before + gates[t, j] * (gates[t, width + j] - before)


@jit(fastmath=FAST)
def _backward_row(gates, start, out, gradient, total, of_bias):  # type: ignore[no-untyped-def]
    """Replace `gates` by the gradient of the preactivations, c first and then z; see `_forward_row`.

    `total` (H,) and `of_bias` (2 H,) come as zeros and become the gradients of `start` and of the bias.
    """
    steps, width = out.shape
    one = gates.dtype.type(1)
    for t in range(steps - 1, -1, -1):
        before = out[t - 1] if t > 0 else start
        z, c = gates[t, :width], gates[t, width:]
        # short loops over few arrays: the compiler does not vectorise one loop over all, since it cannot prove that
        # they do not overlap. The gradient of c goes into the place of z, and the other way round
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


BLOCK = 1 << 18  # numbers in the gates that `fused` takes at a time: 1 MB of float32


def mingru(x: Tensor, weight: Tensor, bias: Tensor, start: Tensor, implementation: str | None = None) -> Tensor:
    """Return the states (B, T, H), differentiable (once) in every argument.

    Parameters
    ----------
    x : float tensor (B, T, F).
    weight, bias : tensors (2 H, F) and (2 H,): update gate, then candidate.
    start : float32 or float64 tensor (B, H): the initial state; the recurrence has its type.
    implementation : str, optional: an entry of `KERNELS`; by default "fused" on the CPU and "parallel" elsewhere.

    Raises
    ------
    ValueError: `start` is of another type.
    """
    if start.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"start: found {start.dtype}; allowed is float32 or float64")
    if implementation is None:
        implementation = "fused" if x.device.type == "cpu" else "parallel"
    return lookup(KERNELS, implementation, "minGRU implementation")(x, weight, bias, start)


def _coefficients(x: Tensor, weight: Tensor, bias: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return a and b (B, T, H) of h_t = a_t h_{t-1} + b_t."""
    update, candidate = F.linear(x, weight, bias).to(kind).chunk(2, -1)
    z = update.sigmoid()
    return 1 - z, z * candidate


def _loop(x: Tensor, weight: Tensor, bias: Tensor, start: Tensor) -> Tensor:
    keep, add = _coefficients(x, weight, bias, start.dtype)
    h, outputs = start, []
    for a, b in zip(keep.unbind(1), add.unbind(1), strict=True):
        h = a * h + b
        outputs.append(h)
    return torch.stack(outputs, 1) if outputs else keep


def _parallel(x: Tensor, weight: Tensor, bias: Tensor, start: Tensor) -> Tensor:
    found: Tensor = _Scan.apply(*_coefficients(x, weight, bias, start.dtype), start)
    return found


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keep: Tensor, add: Tensor, start: Tensor) -> Tensor:
        first = torch.addcmul(add[:, :1], keep[:, :1], start[:, None])
        out = _doubling(keep, torch.cat([first, add[:, 1:]], 1))
        ctx.save_for_backward(keep, start, out)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        keep, start, out = ctx.saved_tensors
        # the gradient of a step is its own plus that of the next step times its `keep`: the same scan, from the end
        after = torch.cat([keep[:, 1:], torch.zeros_like(keep[:, :1])], 1)
        total = _doubling(after.flip(1), gradient.flip(1)).flip(1)
        before = torch.cat([start[:, None], out[:, :-1]], 1)[:, : keep.shape[1]]
        return total * before, total, (keep[:, :1] * total[:, :1]).sum(1)


def _doubling(keep: Tensor, add: Tensor) -> Tensor:
    """Return the recurrence from state 0, by doubling: each round combines twice as many steps."""
    reach = 1
    while reach < keep.shape[1]:
        add = torch.cat([add[:, :reach], torch.addcmul(add[:, reach:], keep[:, reach:], add[:, :-reach])], 1)
        keep = torch.cat([keep[:, :reach], keep[:, reach:] * keep[:, :-reach]], 1)
        reach *= 2
    return add


def _fused(x: Tensor, weight: Tensor, bias: Tensor, start: Tensor) -> Tensor:
    # autograd casts half types; autocast within would round the sums
    with torch.autocast("cpu", enabled=False):
        found: Tensor = _Fused.apply(*(part.to(start.dtype) for part in (x, weight, bias)), start)
    return found


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, start: Tensor) -> Tensor:
        x, start = x.contiguous(), start.contiguous()
        out = start.new_empty(*x.shape[:2], start.shape[1])
        for rows, gates in _gates(x, weight, bias):
            _each(_forward_row, gates, start[rows], out[rows])
        ctx.save_for_backward(x, weight, bias, start, out)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast("cpu", enabled=False):
            return _backward(gradient.contiguous(), ctx.needs_input_grad[0], *ctx.saved_tensors)


def _backward(
    gradient: Tensor, to_x: bool, x: Tensor, weight: Tensor, bias: Tensor, start: Tensor, out: Tensor
) -> tuple[Tensor | None, ...]:
    of_x = torch.empty_like(x) if to_x else None
    half = len(weight) // 2
    turned = weight.roll(half, 0)  # the kernel leaves the two gates in reverse order
    of_weight, of_start = torch.zeros_like(weight), torch.zeros_like(start)
    of_bias = bias.new_zeros(len(x), len(bias))  # one per row, so that threads do not share
    for rows, gates in _gates(x, weight, bias):
        _each(_backward_row, gates, start[rows], out[rows], gradient[rows], of_start[rows], of_bias[rows])
        flat = gates.flatten(0, 1)
        of_weight.addmm_(flat.t(), x[rows].flatten(0, 1))
        if of_x is not None:
            torch.mm(flat, turned, out=of_x[rows].flatten(0, 1))
    return of_x, of_weight.roll(half, 0), of_bias.sum(0).roll(half), of_start


def _gates(x: Tensor, weight: Tensor, bias: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield a few rows and their z and c (rows, T, 2 H), in reused memory."""
    rows, steps, _ = x.shape
    size = max(1, BLOCK // max(1, steps * len(weight)))
    buffer = x.new_empty(min(size, rows) * steps, len(weight))
    for first in range(0, rows, size):
        chosen = slice(first, min(first + size, rows))
        gates = buffer[: (chosen.stop - first) * steps]
        torch.addmm(bias, x[chosen].flatten(0, 1), weight.t(), out=gates)
        gates[:, : len(weight) // 2].sigmoid_()
        yield chosen, gates.view(chosen.stop - first, steps, len(weight))


def _each(kernel: Callable[..., None], *tensors: Tensor) -> None:
    """Call a kernel on each row of all tensors, on as many threads as torch uses."""
    arrays = [tensor.detach().numpy() for tensor in tensors]
    each_row(
        lambda row: kernel(*(array[row] for array in arrays)), list(range(len(arrays[0]))), torch.get_num_threads()
    )


Kernel = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

KERNELS: dict[str, Kernel] = {"fused": _fused, "parallel": _parallel, "loop": _loop}
