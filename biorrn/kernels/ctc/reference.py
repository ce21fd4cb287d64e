"""CTC loss in plain torch and log space, by autograd: the reference of the fast kernels."""

import itertools
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch


def reference(
    scores: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, target_lengths: torch.Tensor
) -> torch.Tensor:
    """Return the CTC loss of each row (Graves et al. 2006), in nats; see `kernels.ctc.loss.ctc_loss` for the arguments.

    A row without any alignment gives +inf and gradient 0.
    """
    log_probs = scores.log_softmax(-1)
    rows, _, symbols = scores.shape
    width = 2 * targets.shape[1] + 1
    states = torch.zeros(rows, width, dtype=torch.int64, device=scores.device)  # blank, base, blank, base, ..., blank
    states[:, 1::2] = targets.clamp(0, symbols - 1)
    # a base may follow the base two states before it directly, unless both are the same
    skips = torch.zeros_like(states, dtype=torch.bool)
    skips[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    never = torch.full((rows, 1), -torch.inf, dtype=scores.dtype, device=scores.device)
    alpha = torch.cat([torch.zeros_like(never), never.expand(rows, width)], 1)[:, :width]  # before the first frame

    for t in range(scores.shape[1]):
        one = torch.cat([never, alpha[:, :-1]], 1)
        two = torch.cat([never, never, alpha[:, :-2]], 1)[:, :width].masked_fill(~skips, -torch.inf)
        moved = logsumexp(torch.stack([alpha, one, two])) + log_probs[:, t].gather(1, states)
        alpha = torch.where((t < lengths)[:, None], moved, alpha)
    last = 2 * target_lengths[:, None]
    ends = torch.stack([alpha.gather(1, last)[:, 0], alpha.gather(1, (last - 1).clamp(min=0))[:, 0]])
    ends = torch.stack([ends[0], ends[1].masked_fill(target_lengths == 0, -torch.inf)])
    return -logsumexp(ends)


def logsumexp(values: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """Return the log of the sum of exponentials over an axis, with gradient 0 (not NaN) where all are -inf."""
    top = values.amax(axis, keepdim=True).detach()
    shift = top.masked_fill(top == -torch.inf, 0.0)
    total = (values - shift).exp().sum(axis)
    empty = total == 0
    return torch.where(empty, -torch.inf, total.masked_fill(empty, 1.0).log() + shift.squeeze(axis))


def exact(
    reference: Callable[..., torch.Tensor], scores: np.ndarray, target: np.ndarray, *rest: int
) -> tuple[float, np.ndarray]:
    """Return loss and gradient (T, S) of one row by a reference in float64.

    Both are 0 where the probability of the target is 0. The loss is NaN where a score is NaN or +inf.
    """
    if not (scores < np.inf).all():
        return np.nan, np.zeros_like(scores)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = torch.from_numpy(scores.astype(np.float64))[None].requires_grad_()
        sizes = torch.tensor([len(scores)]), torch.from_numpy(target)[None], torch.tensor([len(target)])
        loss = reference(leaf, *sizes, *rest)
        gradient = torch.autograd.grad(loss.sum(), leaf)[0][0].numpy()
    return (0.0 if loss[0] == torch.inf else float(loss[0].detach())), gradient


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """Return a path without its repeats and then without its blanks.

    >>> collapse((0, 2, 2, 0, 2, 1))
    (2, 2, 1)
    """
    return tuple(c for c, _ in itertools.groupby(path) if c != 0)


def all_sequences(probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the probability of every sequence that probabilities (T, S) can give, by listing all S ** T paths."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    frames, symbols = probs.shape
    for path in itertools.product(range(symbols), repeat=frames):
        found[collapse(path)] += float(np.prod([probs[t, c] for t, c in enumerate(path)]))
    return dict(found)
