"""Linear-chain CRF in plain torch and log space: any number of states, device and type; the measure of the fast form.

See `kernels.chain` for the arguments. The recursions are those of Rabiner 1989, Proc IEEE 77:257.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor


def all_paths(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield each of the S**T paths through one sequence (T, S) and its score, written from the definition."""
    for path in itertools.product(range(emissions.shape[1]), repeat=len(emissions)):
        score = float(start[path[0]] + end[path[-1]])
        score += sum(float(emissions[t, state]) for t, state in enumerate(path))
        yield path, score + sum(float(transitions[a, b]) for a, b in itertools.pairwise(path))


def log_partition(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return the log of the sum over all paths (B,); 0 for an empty row."""
    alpha = start + emissions[:, 0]
    for t in range(1, emissions.shape[1]):
        after = torch.logsumexp(alpha[:, :, None] + transitions, 1) + emissions[:, t]
        alpha = torch.where((t < lengths)[:, None], after, alpha)
    return torch.where(lengths > 0, torch.logsumexp(alpha + end, 1), 0.0)


def marginals(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return the probability of each state at each step, (B, T, S), by forward-backward; 0 beyond a row's length."""
    rows, time, states = emissions.shape
    alphas = [start + emissions[:, 0]]
    for t in range(1, time):
        alphas.append(torch.logsumexp(alphas[-1][:, :, None] + transitions, 1) + emissions[:, t])
    beta, found = end.expand(rows, states), []
    for t in range(time - 1, -1, -1):
        if t + 1 < time:
            before = torch.logsumexp(transitions + (emissions[:, t + 1] + beta)[:, None], 2)
            beta = torch.where((t + 1 < lengths)[:, None], before, end)
        mass = torch.softmax(alphas[t] + beta, 1)
        found.append(torch.where((t < lengths)[:, None], mass, 0.0))
    return torch.stack(found[::-1], 1)


def viterbi(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return the best path int64 (B, T); 0 beyond a row's length. Of paths as good, that of the lower last states."""
    time = emissions.shape[1]
    best, back = start + emissions[:, 0], []
    same = torch.arange(emissions.shape[2], device=emissions.device).expand_as(best)
    for t in range(1, time):
        score, source = (best[:, :, None] + transitions).max(1)
        inside = (t < lengths)[:, None]
        back.append(torch.where(inside, source, same))
        best = torch.where(inside, score + emissions[:, t], best)
    state = (best + end).argmax(1)
    path = [state]
    for source in reversed(back):
        state = source.gather(1, state[:, None])[:, 0]
        path.append(state)
    found = torch.stack(path[::-1], 1)
    return found.masked_fill(torch.arange(time, device=found.device) >= lengths[:, None], 0)
