"""CTC-CRF loss (by autograd) and decoding in plain torch and log space, for any device and type: the reference of the
fast kernels.

See `kernels.crf.loss` for the layout of the scores and the arguments.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from biorrn.kernels.crf.scores import FLOOR
from biorrn.kernels.ctc.reference import logsumexp


def all_paths(scores: np.ndarray, state_len: int) -> Iterator[tuple[int, tuple[int, ...], list[int], float]]:
    """Yield (first state, bases emitted, column of each frame, score) of all S * 5**T paths through scores (T, 5 S).

    Written from the definition, for tests.
    """
    frames, states = len(scores), 4**state_len
    for first, *steps in itertools.product(range(states), *[range(5)] * frames):
        state, columns_used = first, []
        for step in steps:
            if step == 0:
                columns_used.append(state)
                continue
            forgotten, state = state // (states // 4), (4 * state + step - 1) % states
            columns_used.append((1 + forgotten) * states + state)
        bases = tuple(step for step in steps if step)
        yield first, bases, columns_used, sum(float(scores[t, c]) for t, c in enumerate(columns_used))


def log_partition(scores: torch.Tensor, lengths: torch.Tensor, state_len: int) -> torch.Tensor:
    """Return the log of the sum over all paths (B,) of scores (B, T, 5 S); the length of a row is its transitions."""
    rows, states = len(scores), 4**state_len
    # the empty sum ties the result to `scores`, so that rows without a frame have a gradient of 0
    alpha = scores.new_zeros(rows, states) + scores[:, :0].sum((1, 2))[:, None]
    for t, frame in enumerate(scores.unbind(1)):  # the gradient of an index would be of full size
        stay = alpha + frame[:, :states]
        move = alpha.repeat_interleave(4, 1) + frame[:, states:]  # column j: from state j // 4 into j % S
        after = logsumexp(torch.cat([stay[:, None], move.view(rows, 4, states)], 1), 1)
        alpha = torch.where((t < lengths)[:, None], after, alpha)
    return logsumexp(alpha, 1)


def log_target(
    scores: torch.Tensor,
    lengths: torch.Tensor,
    targets: torch.Tensor,
    target_lengths: torch.Tensor,
    state_len: int,
) -> torch.Tensor:
    """Return the log of the sum over the paths (B,) that spell the target; a row without any gives -inf."""
    rows = len(scores)
    never = scores.new_full((rows, 1), -torch.inf)
    if targets.shape[1] < state_len:
        return never[:, 0]
    stays, moves = columns(targets, state_len)
    alpha = torch.cat([torch.zeros_like(never), never.expand(-1, stays.shape[1] - 1)], 1)
    for t, frame in enumerate(scores.unbind(1)):
        stay = alpha + frame.gather(1, stays)
        move = torch.cat([never, alpha[:, :-1] + frame.gather(1, moves)], 1)
        alpha = torch.where((t < lengths)[:, None], logsumexp(torch.stack([stay, move], 1), 1), alpha)
    last = (target_lengths - state_len)[:, None]
    return alpha.gather(1, last.clamp(min=0))[:, 0].masked_fill(last[:, 0] < 0, -torch.inf)


def columns(targets: torch.Tensor, state_len: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the columns of staying at each place of targets (B, L), (B, L - k + 1), and of each move, (B, L - k)."""
    bases = targets.clamp(1, 4) - 1
    place = 4 ** torch.arange(state_len - 1, -1, -1, device=targets.device)
    stays = (bases.unfold(1, state_len, 1) * place).sum(-1)
    return stays, (1 + bases[:, : stays.shape[1] - 1]) * 4**state_len + stays[:, 1:]


def reference(
    scores: torch.Tensor,
    lengths: torch.Tensor,
    targets: torch.Tensor,
    target_lengths: torch.Tensor,
    state_len: int,
) -> torch.Tensor:
    """Return the CTC-CRF loss of each row in nats; a row without any alignment gives +inf and gradient 0."""
    target = log_target(scores, lengths, targets, target_lengths, state_len)
    possible = target > -torch.inf
    every = log_partition(scores, lengths, state_len)
    return torch.where(possible, every - target, torch.inf)


def posteriors(scores: torch.Tensor, lengths: torch.Tensor, state_len: int) -> torch.Tensor:
    """Return the posterior probability (B, T, 5 S) of every transition: the derivative of the log partition."""
    with torch.enable_grad():
        leaf = scores.detach().requires_grad_()
        return torch.autograd.grad(log_partition(leaf, lengths, state_len).sum(), leaf)[0]


def posterior_viterbi(
    scores: torch.Tensor, starts: torch.Tensor, lengths: torch.Tensor, state_len: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Decode several reads (N, 5 S) at once; arguments and results as for `gpu.posterior_viterbi`."""
    frames, width = scores.shape
    states, reads, device = width // 5, len(starts), scores.device
    letters = torch.zeros(frames, dtype=torch.uint8, device=device)
    evidence = torch.zeros((2, frames), device=device)
    time = int(lengths.max()) if reads else 0
    inside = torch.arange(time, device=device) < lengths[:, None]
    at = torch.where(inside, starts[:, None] + torch.arange(time, device=device), 0)  # (P, T): rows of `scores`
    x = scores[at.flatten()].float().view(reads, time, width)
    moves = x[..., states:].view(reads, time, 4, states // 4, 4)  # forgotten, kept, emitted
    beta = x.new_zeros(reads, time + 1, states)
    for t in reversed(range(time)):
        stay = beta[:, t + 1] + x[:, t, :states]
        move = moves[:, t] + beta[:, t + 1].view(reads, 1, -1, 4)
        mass = logsumexp(torch.cat([stay[..., None], move.reshape(reads, states, 4)], 2), 2)
        mass = mass - mass.amax(1, keepdim=True)
        beta[:, t] = torch.where(inside[:, t, None], mass, 0.0)
    faults = (~beta[:, 0].isfinite().all(1)).to(torch.int8)
    alpha, best = x.new_zeros(reads, states), x.new_full((reads, states), 1 / states)
    picks = torch.empty((time, reads, states), dtype=torch.int64, device=device)
    held, emitted = x.new_empty(time, reads, states), x.new_empty(time, reads, 4)
    for t in range(time):
        stay = alpha + x[:, t, :states]
        move = moves[:, t] + alpha.view(reads, 4, -1, 1)
        every = torch.cat([stay[:, None], move.reshape(reads, 4, states)], 1)  # (P, 5, S)
        mass = logsumexp(every, 1)
        whole = logsumexp(mass + beta[:, t + 1], 1)
        posterior = torch.exp(every + (beta[:, t + 1] - whole[:, None])[:, None])
        held[t] = posterior.sum(1)
        emitted[t] = posterior[:, 1:].reshape(reads, -1, 4).sum(1)
        before = torch.cat([best[:, None], best.view(reads, 4, -1, 1).expand(-1, -1, -1, 4).reshape(reads, 4, -1)], 1)
        top, picks[t] = ((posterior + FLOOR) * before).max(1)
        now = inside[:, t, None]
        best = torch.where(now, top / top.sum(1, keepdim=True), best)
        alpha = torch.where(now, mass - mass.amax(1, keepdim=True), alpha)
    state, rows = best.argmax(1), torch.arange(reads, device=device)
    peak = x.new_zeros(reads)
    gap, own = x.new_zeros(2, reads, 4)
    place, base = torch.full((2, reads), -1, device=device)

    def settle(which: torch.Tensor) -> None:
        which = which & (place >= 0)
        both = (gap + own)[which]
        share = both.gather(1, base[which, None])[:, 0] / (both.sum(1) + 1e-30)
        evidence[0, (starts + place)[which]] = share.clamp(max=1)

    for t in reversed(range(time)):
        now = inside[:, t]
        pick = torch.where(now, picks[t, rows, state], 0)
        here = torch.where(now[:, None], emitted[t], 0.0)
        peak = torch.where(now, torch.maximum(peak, held[t, rows, state]), 0.0)
        moved = pick > 0
        settle(moved)
        where = (starts + t)[moved]
        letters[where], evidence[1, where] = (state[moved] % 4 + 1).to(torch.uint8), peak[moved].clamp(max=1)
        own = torch.where(moved[:, None], gap + here, own)
        gap = torch.where(moved[:, None], 0.0, gap + here)
        peak = torch.where(moved, 0.0, peak)
        place, base = torch.where(moved, t, place), torch.where(moved, state % 4, base)
        state = torch.where(moved, (pick - 1) * (states // 4) + state // 4, state)
    settle(torch.ones_like(place, dtype=torch.bool))
    return letters, evidence, faults
