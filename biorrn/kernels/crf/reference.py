"""CTC-CRF loss in plain torch and log space, by autograd, for any device and type: the reference of the fast kernels.

See `kernels.crf.loss` for the layout of the scores and the arguments.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import torch

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
