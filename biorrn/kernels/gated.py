"""Gated recurrent units without a fused kernel in torch, with a hand-written gradient.

    z = sigmoid(update + Uz h)           Uz may be absent; or it reads tanh(h)
    r = sigmoid(reset + Ur h)            may be absent, as if it were 1
    c = tanh(candidate + Uc (r * h))
    h = (1 - z) h + z c

The terms of the input are computed for all steps beforehand. Autograd over the loop would record a dozen small nodes
per step; here a step of the gradient is a few in-place calls, and the gradients of the weights are one product over all
steps at the end.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def gated_recurrence(
    update: Tensor,
    reset: Tensor | None,
    candidate: Tensor,
    weights: tuple[Tensor | None, Tensor | None, Tensor],
    start: Tensor,
    squash: bool = False,
) -> Tensor:
    """Return h (T, B, H) of all steps, differentiable (once) in every tensor.

    Parameters
    ----------
    update, reset, candidate : float32 or float64 tensors (T, B, H): the terms of the input, before the nonlinearity.
    weights : Uz, Ur, Uc, each (H, H) as in h @ U.T; Uz is None if the update gate does not depend on the state, Ur if
        `reset` is.
    start : tensor (B, H): the state before the first step.
    squash : bool: Uz reads tanh(h).
    """
    # autocast would round the state at each step
    with torch.autocast(candidate.device.type, enabled=False):
        found: Tensor = _Gated.apply(update, reset, candidate, *weights, start, squash)
    return found


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        update: Tensor,
        reset: Tensor | None,
        candidate: Tensor,
        uz: Tensor | None,
        ur: Tensor | None,
        uc: Tensor,
        start: Tensor,
        squash: bool,
    ) -> Tensor:
        z = update.sigmoid() if uz is None else torch.empty_like(update, memory_format=torch.contiguous_format)
        r = None if reset is None else torch.empty_like(reset, memory_format=torch.contiguous_format)
        c = torch.empty_like(candidate, memory_format=torch.contiguous_format)
        h = candidate.new_empty(len(candidate) + 1, *candidate.shape[1:])
        h[0] = start
        states, updates, resets, candidates = h.unbind(), z.unbind(), () if r is None else r.unbind(), c.unbind()
        for t, before in enumerate(states[:-1]):
            if uz is not None:
                seen = before.tanh() if squash else before
                torch.addmm(update[t], seen, uz.t(), out=updates[t]).sigmoid_()
            inner = before
            if reset is not None and ur is not None:
                inner = torch.addmm(reset[t], before, ur.t(), out=resets[t]).sigmoid_() * before
            torch.addmm(candidate[t], inner, uc.t(), out=candidates[t]).tanh_()
            torch.lerp(before, candidates[t], updates[t], out=states[t + 1])
        ctx.save_for_backward(z, r, c, h, uz, ur, uc)
        ctx.squash = squash
        return h[1:]

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(gradient.device.type, enabled=False):
            return _backward(gradient, ctx.squash, *ctx.saved_tensors)


def _backward(
    gradient: Tensor,
    squash: bool,
    z: Tensor,
    r: Tensor | None,
    c: Tensor,
    h: Tensor,
    uz: Tensor | None,
    ur: Tensor | None,
    uc: Tensor,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the arguments of `_Gated.forward`, in their order."""
    before = h[:-1]
    seen = before.tanh() if squash else before
    # derivatives of h by each preactivation, for all steps at once
    to_update = (c - before) * z * (1 - z)
    to_candidate = z * (1 - c * c)
    to_reset = None if r is None else before * r * (1 - r)
    to_seen = 1 - seen * seen if squash else None
    kept = 1 - z
    of_update, of_candidate = torch.empty_like(z), torch.empty_like(z)
    of_reset = None if r is None else torch.empty_like(z)
    total = torch.zeros_like(h[0])  # d loss / d h
    for t in range(len(z) - 1, -1, -1):
        total += gradient[t]
        torch.mul(total, to_candidate[t], out=of_candidate[t])
        torch.mul(total, to_update[t], out=of_update[t])
        inner = of_candidate[t] @ uc
        total *= kept[t]
        if r is None or ur is None or to_reset is None or of_reset is None:
            total += inner
        else:
            torch.mul(inner, to_reset[t], out=of_reset[t])
            total.addcmul_(inner, r[t]).addmm_(of_reset[t], ur)
        if uz is not None and to_seen is not None:
            total.addcmul_(of_update[t] @ uz, to_seen[t])
        elif uz is not None:
            total.addmm_(of_update[t], uz)
    return (
        of_update,
        of_reset,
        of_candidate,
        None if uz is None else _outer(of_update, seen),
        None if ur is None else _outer(of_reset, before),
        _outer(of_candidate, before if r is None else r * before),
        total,
        None,
    )


def _outer(of_sum: Tensor | None, seen: Tensor) -> Tensor:
    """Return the gradient (H, H) of a matrix from that of its product with `seen`; both arguments are (T, B, H)."""
    assert of_sum is not None
    return of_sum.flatten(0, 1).t() @ seen.flatten(0, 1)
