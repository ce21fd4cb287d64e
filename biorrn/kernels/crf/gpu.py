"""CTC-CRF loss, gradient and posterior Viterbi decoding on CUDA in Triton: one program per row, one lane per state.

No call synchronises with the device. Mass is kept in float32 log space relative to the maximum of each frame; the
maxima are summed in float64, so scores of any size are exact to float32. Viewed as (4, S / 4, 4), a move from state
j // 4 into state j % S is a broadcast over the last axis in the forward pass and over the first in the backward pass,
so no state is exchanged through memory. Method as in `kernels.crf.cpu`. Triton comes with PyTorch for CUDA; without it
this module can be imported but not used.
"""

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from biorrn.kernels.crf.reference import columns
from biorrn.kernels.crf.scores import FLOOR

if find_spec("triton"):
    import triton.language as tl
    from triton import jit
else:
    tl = SimpleNamespace(constexpr=None)

    def jit(function: Any) -> Any:  # type: ignore[no-redef,unused-ignore]
        """Return the function, which cannot be called: it is no Python."""
        return function


@jit
def finite(x):  # type: ignore[no-untyped-def]
    """Return x with -inf replaced by 0, to take off before an exponential."""
    return tl.where(x == float("-inf"), 0.0, x)


@jit
def log_total(x):  # type: ignore[no-untyped-def]
    """Return the log of the sum of exponentials of a vector."""
    top = finite(tl.max(x, 0))
    return top + tl.log(tl.sum(tl.exp(x - top), 0))


@jit
def frame(here, left, Q: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the scores of a frame, of staying (4 Q,) and of each move (4, Q, 4), if one or more are `left`."""
    s = tl.arange(0, 4 * Q)
    block = tl.arange(0, 4)[:, None, None] * 4 * Q + tl.arange(0, Q)[None, :, None] * 4 + tl.arange(0, 4)[None, None, :]
    stay = tl.load(here + s, mask=s * 0 < left, other=0.0)
    return stay, tl.load(here + 4 * Q + block, mask=block * 0 < left, other=0.0)


@jit
def advance(stay, move, mass, Q: tl.constexpr, BACK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return (mass (4 Q,) one frame on, or one back; that of staying (4 Q,); that of each move (4, Q, 4))."""
    stay = mass + stay.to(tl.float32)
    move = move.to(tl.float32)
    if BACK:
        move += tl.reshape(mass, (Q, 4))[None, :, :]
        top = tl.maximum(stay, tl.reshape(tl.max(move, 2), (4 * Q,)))
        shift = finite(top)
        moved = tl.reshape(tl.sum(tl.exp(move - tl.reshape(shift, (4, Q))[:, :, None]), 2), (4 * Q,))
    else:
        move += tl.reshape(mass, (4, Q))[:, :, None]
        top = tl.maximum(stay, tl.reshape(tl.max(move, 0), (4 * Q,)))
        shift = finite(top)
        moved = tl.reshape(tl.sum(tl.exp(move - tl.reshape(shift, (Q, 4))[None, :, :]), 0), (4 * Q,))
    return shift + tl.log(tl.exp(stay - shift) + moved), stay, move


@jit
def step(here, mass, Q: tl.constexpr, BACK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return what `advance` returns, with the scores at an address."""
    stay, move = frame(here, 1, Q)
    return advance(stay, move, mass, Q, BACK)


@jit
def _all_paths(  # type: ignore[no-untyped-def]
    scores, lengths, alpha, totals, gradient, frames, stride_b, stride_t, Q: tl.constexpr
):
    """Fill totals (B,) with the log of the sum over all paths, gradient (B, T, 20 Q) with the posteriors.

    alpha (B, T, 4 Q) is scratch.
    """
    row = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + row).to(tl.int32)
    scores += row * stride_b
    alpha += row * frames * 4 * Q
    gradient += row * frames * 20 * Q
    s = tl.arange(0, 4 * Q)
    block = tl.arange(0, 4)[:, None, None] * 4 * Q + tl.arange(0, Q)[None, :, None] * 4 + tl.arange(0, 4)[None, None, :]
    mass = tl.zeros((4 * Q,), tl.float32)
    offset = tl.full((), 0.0, tl.float64)
    for t in range(length):
        tl.store(alpha + t * 4 * Q + s, mass)
        mass, _stay, _move = step(scores + t * stride_t, mass, Q, False)
        top = finite(tl.max(mass, 0))
        offset += top.to(tl.float64)
        mass -= top
    tl.store(totals + row, offset + log_total(mass).to(tl.float64))
    tl.debug_barrier()
    mass = tl.zeros((4 * Q,), tl.float32)
    for back in range(length):
        t = length - 1 - back
        before = tl.load(alpha + t * 4 * Q + s)
        mass, stay, move = step(scores + t * stride_t, mass, Q, True)
        whole = finite(log_total(before + mass))
        tl.store(gradient + t * 20 * Q + s, tl.exp(before + stay - whole))
        tl.store(gradient + t * 20 * Q + 4 * Q + block, tl.exp(tl.reshape(before, (4, Q))[:, :, None] + move - whole))
        mass -= finite(tl.max(mass, 0))


@jit
def _target(  # type: ignore[no-untyped-def]
    scores, lengths, counts, stays, moves, alpha, totals, gradient, frames, width, columns, stride_b, stride_t,
    M: tl.constexpr,
):  # fmt: skip
    """Fill totals (B,) with the log of the sum over a target's paths and take their posteriors off `gradient`.

    counts (B,): the moves of a row, at most its length; below 0 for one to leave out. stays, moves int32 (B, width):
    the columns of staying in a place and of moving into it. alpha (B, T + 2, M) is scratch, M above all counts.
    Places may share a column, so the gradient is changed by atomic addition.
    """
    row = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + row).to(tl.int32)
    count = tl.load(counts + row).to(tl.int32)
    scores += row * stride_b
    alpha += row * (frames + 2) * M
    gradient += row * frames * columns
    i = tl.arange(0, M)
    never = float("-inf")
    stay_at = tl.load(stays + row * width + i, mask=i <= count, other=0)
    move_to = tl.load(moves + row * width + i, mask=(i > 0) & (i <= count), other=0)
    move_on = tl.load(moves + row * width + i + 1, mask=i < count, other=0)
    mass = tl.where((i == 0) & (count >= 0), 0.0, never)
    offset = tl.full((), 0.0, tl.float64)
    for t in range(length):
        tl.store(alpha + t * M + i, mass)
        tl.debug_barrier()  # the place before stands with another thread
        stay = mass + tl.load(scores + t * stride_t + stay_at).to(tl.float32)
        move = tl.load(alpha + t * M + i - 1, mask=i > 0, other=never)
        move += tl.load(scores + t * stride_t + move_to).to(tl.float32)
        shift = finite(tl.maximum(stay, move))
        mass = tl.where(i <= count, shift + tl.log(tl.exp(stay - shift) + tl.exp(move - shift)), never)
        top = finite(tl.max(mass, 0))
        offset += top.to(tl.float64)
        mass -= top
    tl.store(totals + row, offset + tl.max(tl.where(i == count, mass, never), 0).to(tl.float64))
    mass = tl.where(i == count, 0.0, never)
    for back in range(length):
        t = length - 1 - back
        swap = alpha + (frames + back % 2) * M
        tl.store(swap + i, mass)
        before = tl.load(alpha + t * M + i)
        tl.debug_barrier()
        stay = mass + tl.load(scores + t * stride_t + stay_at).to(tl.float32)
        move = tl.load(swap + i + 1, mask=i < count, other=never)
        move += tl.load(scores + t * stride_t + move_on).to(tl.float32)
        shift = finite(tl.maximum(stay, move))
        mass = tl.where(i <= count, shift + tl.log(tl.exp(stay - shift) + tl.exp(move - shift)), never)
        whole = finite(log_total(before + mass))
        slope = gradient + t * columns
        tl.atomic_add(slope + stay_at, -tl.exp(before + stay - whole), mask=(i <= count) & (before + stay > never))
        tl.atomic_add(slope + move_on, -tl.exp(before + move - whole), mask=(i < count) & (before + move > never))
        mass -= finite(tl.max(mass, 0))


class CRFLoss(torch.autograd.Function):
    """Loss (B,) and gradient of `crf_loss`; all arguments on one device, lengths and targets unchecked."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, *rest: Any) -> torch.Tensor:
        losses, gradient = loss_and_gradient(scores.detach(), *rest)
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * grad[:, None, None]).to(gradient.dtype), None, None, None, None


def loss_and_gradient(
    scores: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, target_lengths: torch.Tensor, state_len: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return losses float32 (B,) and the gradient (B, T, 5 S) in the type of `scores` (float32 or a half type)."""
    rows, frames, width = scores.shape
    device, quarter = scores.device, 4 ** (state_len - 1)
    gradient = torch.zeros(scores.shape, dtype=torch.float32, device=device)
    if rows == 0 or targets.shape[1] < state_len:
        return scores.new_zeros(rows, dtype=torch.float32), gradient.to(scores.dtype)
    scores = scores if scores.stride(2) == 1 else scores.contiguous()
    counts = target_lengths - state_len
    counts = torch.where(counts <= lengths, counts, -1)
    stays, moves = columns(targets, state_len)
    moves = torch.nn.functional.pad(moves, (1, 0))
    places = 1 << (stays.shape[1] - 1).bit_length()  # Triton's vectors are powers of 2 long
    totals = torch.empty((2, rows), dtype=torch.float64, device=device)
    alpha = torch.empty(rows * max(frames * 4 * quarter, (frames + 2) * places), dtype=torch.float32, device=device)
    shape = frames, scores.stride(0), scores.stride(1)
    _all_paths[(rows,)](scores, lengths, alpha, totals[0], gradient, *shape, Q=quarter, num_warps=warps(20 * quarter))
    _target[(rows,)](
        scores, lengths, counts, stays.int(), moves.int(), alpha, totals[1], gradient, frames, stays.shape[1], width,
        *shape[1:], M=places, num_warps=warps(places),
    )  # fmt: skip
    possible = (counts >= 0) & (totals[1] > -torch.inf)
    losses = torch.where(possible, (totals[0] - totals[1]).clamp(min=0), 0.0)
    gradient = torch.where(possible[:, None, None], gradient, 0.0)
    return losses.float(), gradient.to(scores.dtype)


@jit
def _backward_mass(scores, starts, lengths, beta, faults, Q: tl.constexpr):  # type: ignore[no-untyped-def]
    """Fill beta (N + P, 4 Q), T + 1 rows a read, with the log mass of all paths on from each frame, below its maximum.

    faults (P,): 1 where NaN or infinity came in.
    """
    read = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + read).to(tl.int32)
    start = tl.load(starts + read).to(tl.int64)
    scores += start * 20 * Q
    beta += (start + read) * 4 * Q
    s = tl.arange(0, 4 * Q)
    mass = tl.zeros((4 * Q,), tl.float32)
    tl.store(beta + length * 4 * Q + s, mass)
    stay, move = frame(scores + (length - 1) * 20 * Q, length, Q)
    for back in range(length):
        t = length - 1 - back
        next_stay, next_move = frame(scores + (t - 1) * 20 * Q, t, Q)  # on its way while this one is computed
        mass, _stay, _move = advance(stay, move, mass, Q, True)
        stay, move = next_stay, next_move
        mass -= finite(tl.max(mass, 0))
        tl.store(beta + t * 4 * Q + s, mass)
    tl.store(faults + read, tl.max(tl.where(mass == mass, 0, 1), 0).to(tl.int8))


@jit
def _forward_viterbi(  # type: ignore[no-untyped-def]
    scores, starts, lengths, beta, choice, emitted, last, floor, Q: tl.constexpr
):
    """Advance Viterbi over posteriors, as `cpu.forward_viterbi` does.

    choice uint8 (N, 4 Q): 0 stay, 1 + d a move that forgets base d. emitted (N, 4): posterior probability that a frame
    emits each base. The rows of beta become the posterior probability of each state after their frame. last int32 (P,):
    the last state of the best path.
    """
    read = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + read).to(tl.int32)
    start = tl.load(starts + read).to(tl.int64)
    scores += start * 20 * Q
    beta += (start + read) * 4 * Q
    choice += start * 4 * Q
    emitted += start * 4
    s = tl.arange(0, 4 * Q)
    forgotten = tl.arange(0, 4)[:, None, None]
    mass = tl.zeros((4 * Q,), tl.float32)
    best = tl.full((4 * Q,), 0.25 / Q, tl.float32)
    next_stay, next_move = frame(scores, length, Q)
    after_next = tl.load(beta + 4 * Q + s, mask=s * 0 < length, other=0.0)
    for t in range(length):
        mass, stay, move = advance(next_stay, next_move, mass, Q, False)
        after = after_next
        next_stay, next_move = frame(scores + (t + 1) * 20 * Q, length - t - 1, Q)
        after_next = tl.load(beta + (t + 2) * 4 * Q + s, mask=s * 0 < length - t - 1, other=0.0)
        whole = log_total(mass + after)
        stay = tl.exp(stay + after - whole)
        move = tl.exp(move + tl.reshape(after, (Q, 4))[None, :, :] - whole)
        tl.store(emitted + t * 4 + tl.arange(0, 4), tl.sum(tl.sum(move, 0), 0))
        tl.debug_barrier()  # the row that is written was read before, by other threads
        tl.store(beta + t * 4 * Q + s, tl.exp(mass + after - whole))
        stay = (stay + floor) * best
        move = (move + floor) * tl.reshape(best, (4, Q))[:, :, None]
        top = tl.max(move, 0)
        pick = tl.min(tl.where(move == top[None, :, :], forgotten, 4), 0)
        top, pick = tl.reshape(top, (4 * Q,)), tl.reshape(pick, (4 * Q,))
        tl.store(choice + t * 4 * Q + s, tl.where(top > stay, 1 + pick, 0).to(tl.uint8))
        best = tl.maximum(top, stay)
        best /= tl.sum(best, 0)
        mass -= finite(tl.max(mass, 0))
    tl.store(last + read, tl.min(tl.where(best == tl.max(best, 0), s, 4 * Q), 0))


@jit
def _trace(  # type: ignore[no-untyped-def]
    choice, held, emitted, starts, lengths, last, letters, shares, peaks, Q: tl.constexpr
):
    """Walk back along the best path.

    letters uint8 (N,): the base 1 to 4 that begins in a frame, or 0. shares, peaks float32 (N,): the evidence of
    `decode.posterior_viterbi` in the frames in which a base begins, undefined elsewhere. held: beta as
    `_forward_viterbi` leaves it.
    """
    read = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + read).to(tl.int32)
    start = tl.load(starts + read).to(tl.int64)
    state = tl.load(last + read)
    choice += start * 4 * Q
    held += (start + read) * 4 * Q
    emitted += start * 4
    letters += start
    shares += start
    peaks += start
    four = tl.arange(0, 4)
    gap = tl.zeros((4,), tl.float32)  # emitted between the frame and the move that follows it
    own = tl.zeros((4,), tl.float32)  # emitted from that move to the next, exclusively
    place, base = -1, 0  # of that move
    peak = 0.0
    for back in range(length):
        t = length - 1 - back
        pick = tl.load(choice + t * 4 * Q + state).to(tl.int32)
        here = tl.load(emitted + t * 4 + four)
        peak = tl.maximum(peak, tl.load(held + t * 4 * Q + state))
        moved = pick > 0
        both = gap + own
        share = tl.sum(tl.where(four == base, both, 0.0), 0) / (tl.sum(both, 0) + 1e-30)
        tl.store(shares + place, tl.minimum(share, 1.0), mask=moved & (place >= 0))
        tl.store(letters + t, tl.where(moved, state % 4 + 1, 0).to(tl.uint8))
        tl.store(peaks + t, tl.minimum(peak, 1.0), mask=moved)
        own = tl.where(moved, gap + here, own)
        gap = tl.where(moved, 0.0, gap + here)
        peak = tl.where(moved, 0.0, peak)
        place, base = tl.where(moved, t, place), tl.where(moved, state % 4, base)
        state = tl.where(moved, (pick - 1) * Q + state // 4, state)
    both = gap + own
    share = tl.sum(tl.where(four == base, both, 0.0), 0) / (tl.sum(both, 0) + 1e-30)
    tl.store(shares + place, tl.minimum(share, 1.0), mask=place >= 0)


def posterior_viterbi(
    scores: torch.Tensor, starts: torch.Tensor, lengths: torch.Tensor, state_len: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Decode several reads at once, without synchronising with the device; see `decode.posterior_viterbi`.

    Parameters
    ----------
    scores : float tensor (N, 5 S) on CUDA, float32 or a half type: the frames of all reads, contiguous.
    starts, lengths : int tensors (P,) on the same device: first frame and frames of each read.
    state_len : int: bases a state remembers.

    Returns
    -------
    letters uint8 (N,): the base 1 to 4 that begins in a frame, or 0; evidence float32 (2, N): of the bases, in the
    frames in which they begin, undefined elsewhere; faults int8 (P,): 1 for a read with NaN or infinity in its scores.

    Memory beside the scores is 5 S + 25 bytes a frame.
    """
    frames, width = scores.shape
    states, reads, device = width // 5, len(starts), scores.device
    letters = torch.empty(frames, dtype=torch.uint8, device=device)
    evidence = torch.empty((2, frames), dtype=torch.float32, device=device)
    faults = torch.zeros(reads, dtype=torch.int8, device=device)
    if not reads:
        return letters, evidence, faults
    beta = torch.empty((frames + reads, states), dtype=torch.float32, device=device)
    choice = torch.empty((frames, states), dtype=torch.uint8, device=device)
    emitted = torch.empty((frames, 4), dtype=torch.float32, device=device)
    last = torch.empty(reads, dtype=torch.int32, device=device)
    more = {"Q": 4 ** (state_len - 1), "num_warps": warps(width)}
    _backward_mass[(reads,)](scores, starts, lengths, beta, faults, **more)
    _forward_viterbi[(reads,)](scores, starts, lengths, beta, choice, emitted, last, FLOOR, **more)
    _trace[(reads,)](choice, beta, emitted, starts, lengths, last, letters, *evidence, Q=more["Q"], num_warps=1)
    return letters, evidence, faults


def warps(width: int) -> int:
    """Return the warps, a power of 2 as Triton wants, of a program that works on `width` numbers at a time.

    >>> [warps(5 * 4**k) for k in range(1, 6)]
    [1, 1, 2, 8, 8]
    """
    return 1 << min(3, max(1, width // 128).bit_length() - 1)
