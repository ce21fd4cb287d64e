"""Posterior Viterbi decoding of CTC-CRF scores on CUDA in Triton: one program a row, no call waits for the device.

The steps are those of `kernels.crf_triton`, the result that of `kernels.crf_decode.posterior_viterbi`.
"""

import torch

from biorrn.kernels.crf_decode import FLOOR
from biorrn.kernels.crf_triton import finite, log_total, step, warps
from biorrn.kernels.triton_import import jit, tl


@jit
def _decode(  # type: ignore[no-untyped-def]
    scores, lengths, beta, choice, emitted, mass, frames, stride_b, stride_t, floor, Q: tl.constexpr
):
    """Fill emitted uint8 (B, T) with the base of each frame's move, 0 for none, and mass (B, T, 4): see `decode`.

    beta float32 (B, T, 4 Q) and choice uint8 (B, T, 4 Q) are scratch.
    """
    row = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + row).to(tl.int32)
    scores += row * stride_b
    beta += row * frames * 4 * Q
    choice += row * frames * 4 * Q
    s = tl.arange(0, 4 * Q)
    after = tl.zeros((4 * Q,), tl.float32)
    for back in range(length):
        t = length - 1 - back
        tl.store(beta + t * 4 * Q + s, after)
        after, _stay, _move = step(scores + t * stride_t, after, Q, True)
        after -= finite(tl.max(after, 0))
    tl.debug_barrier()
    before = tl.zeros((4 * Q,), tl.float32)
    best = tl.zeros((4 * Q,), tl.float32)
    for t in range(length):
        after = tl.load(beta + t * 4 * Q + s)
        before, stay, move = step(scores + t * stride_t, before, Q, False)
        whole = finite(log_total(before + after))
        before -= finite(tl.max(before, 0))
        stay = tl.exp(stay + after - whole)
        move = tl.exp(move + tl.reshape(after, (Q, 4))[None, :, :] - whole)
        tl.store(mass + (row * frames + t) * 4 + tl.arange(0, 4), tl.sum(tl.sum(move, 0), 0))
        stay = tl.log(stay + floor) + best
        move = tl.log(move + floor) + tl.reshape(best, (4, Q))[:, :, None]
        top = tl.reshape(tl.max(move, 0), (4 * Q,))
        pick = tl.reshape(tl.argmax(move, 0), (4 * Q,)) + 1
        tl.store(choice + t * 4 * Q + s, tl.where(stay >= top, 0, pick).to(tl.uint8))
        best = tl.maximum(stay, top)
        best -= tl.max(best, 0)
    tl.debug_barrier()
    state = tl.argmax(best, 0).to(tl.int32)
    for back in range(length):
        t = length - 1 - back
        pick = tl.load(choice + t * 4 * Q + state).to(tl.int32)
        tl.store(emitted + row * frames + t, tl.where(pick > 0, state % 4 + 1, 0).to(tl.uint8))
        state = tl.where(pick > 0, (pick - 1) * Q + state // 4, state)


def decode(scores: torch.Tensor, lengths: torch.Tensor, state_len: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what posterior Viterbi decoding (`kernels.crf_decode.posterior_viterbi`) finds in scores (B, T, 5 S).

    That is uint8 (B, T): the base 1 to 4 that each frame's move emits, 0 where it stays; and float32 (B, T, 4): the
    posterior probability that the frame emits each base, of which `kernels.crf_decode.qualities` makes qualities. Both
    are on the device of `scores`; frames from `lengths` (B,) on hold 0.
    """
    rows, frames, _ = scores.shape
    quarter, device = 4 ** (state_len - 1), scores.device
    emitted = torch.zeros((rows, frames), dtype=torch.uint8, device=device)
    mass = torch.zeros((rows, frames, 4), dtype=torch.float32, device=device)
    if rows:
        scores = scores if scores.stride(2) == 1 else scores.contiguous()
        beta = torch.empty((rows, frames, 4 * quarter), dtype=torch.float32, device=device)
        choice = torch.empty(beta.shape, dtype=torch.uint8, device=device)
        found = beta, choice, emitted, mass
        sizes = frames, scores.stride(0), scores.stride(1), FLOOR
        _decode[(rows,)](scores, lengths, *found, *sizes, Q=quarter, num_warps=warps(20 * quarter))
    return emitted, mass
