"""Linear-chain conditional random field over residue states (Lafferty, McCallum and Pereira 2001, ICML).

The score of a path is start[first] + the emission of each step's state + transitions[from, to] between neighbours +
end[last]; its probability is exp(score) over the sum of all paths. Up to four states, the sums run on the kernels of
the basecaller: a CTC-CRF with states of one base has four states that each reach any other in one frame, so a chain is
a CTC-CRF without staying (a state that continues is a move into itself). More states run in plain torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biorrn.base.compute import each_row
from biorrn.base.lookup import lookup
from biorrn.kernels.crf import cpu
from biorrn.kernels.ctc.loss import RowLoss


def log_partition(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return the log of the sum over all paths (B,); 0 for an empty row."""
    alpha = start + emissions[:, 0]
    for t in range(1, emissions.shape[1]):
        after = torch.logsumexp(alpha[:, :, None] + transitions, 1) + emissions[:, t]
        alpha = torch.where((t < lengths)[:, None], after, alpha)
    return torch.where(lengths > 0, torch.logsumexp(alpha + end, 1), 0.0)


def marginals_reference(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
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
    """Return the best path int64 (B, T); 0 beyond a row's length. Ties go to the lower last states."""
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


FEW = 4  # states, or fewer, run on the kernels of the basecaller
NEVER = -1e30  # in place of -inf in log space, where a sum of nothing else has no gradient


def chain_loss(
    emissions: Tensor,
    lengths: Tensor,
    targets: Tensor,
    transitions: Tensor,
    start: Tensor,
    end: Tensor,
    implementation: str | None = None,
) -> Tensor:
    """Return minus the log-likelihood (B,) of the known states in nats, differentiable in all scores.

    Steps of unknown state are summed over.

    Parameters
    ----------
    emissions : float tensor (B, T, S).
    lengths : int tensor (B,): valid steps; an empty row has loss 0.
    targets : int tensor (B, T): states; negative if unknown.
    transitions : float tensor (S, S): row from, column to.
    start, end : float tensors (S,).
    implementation : str, optional: an entry of `KERNELS`; see `default_kernel`.
    """
    emissions = emissions.float() if emissions.dtype in (torch.bfloat16, torch.float16) else emissions
    other = torch.arange(emissions.shape[2], device=targets.device) != targets[:, :, None]
    known = emissions.masked_fill(other & (targets >= 0)[:, :, None], -torch.inf)
    kernel = lookup(KERNELS, implementation or default_kernel(emissions), "chain implementation")
    whole, part = (kernel(scores, lengths, transitions, start, end) for scores in (emissions, known))
    return (whole - part).clamp(min=0)


def marginals(
    emissions: Tensor,
    lengths: Tensor,
    transitions: Tensor,
    start: Tensor,
    end: Tensor,
    implementation: str | None = None,
) -> Tensor:
    """Return the probability of each state at each step, float (B, T, S); 0 beyond a row's length.

    For the arguments see `chain_loss`.
    """
    given = (emissions, lengths, transitions.detach(), start.detach(), end.detach())
    if (implementation or default_kernel(emissions)) == "reference":
        return marginals_reference(*given)
    scores = dense(*given).detach().cpu().numpy()
    found = sums(scores, lengths.cpu().numpy())[1]
    mass = found[..., FEW:].reshape(*found.shape[:2], FEW, FEW).sum(2)[..., : emissions.shape[2]]
    return torch.from_numpy(mass).to(emissions.device)


def default_kernel(emissions: Tensor) -> str:
    """Return the default entry of `KERNELS`."""
    return "numba" if emissions.shape[2] <= FEW and not emissions.is_cuda else "reference"


def dense(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return a chain of at most `FEW` states as the scores (B, T, 20) of a basecaller with states of one base.

    In the layout of `kernels.crf.loss`, column (1 + d) * 4 + s is the move from state d into s; column s (staying) is
    -inf. All paths begin in state 0, whose moves in the first frame have the scores of `start`.
    """
    rows, time, states = emissions.shape
    if states > FEW:
        raise ValueError(f"a chain of {states} states; the kernels of the basecaller hold {FEW}")
    never, more = -torch.inf, FEW - states
    last = torch.arange(time, device=lengths.device) == lengths[:, None] - 1
    padded = F.pad(emissions + last[:, :, None] * end, (0, more), value=never)
    moves = F.pad(transitions, (0, more, 0, more)) + padded[:, :, None]  # (B, T, from, to)
    first = F.pad((F.pad(start, (0, more)) + padded[:, :1])[:, :, None], (0, 0, 0, FEW - 1), value=never)
    moves = torch.cat([first, moves[:, 1:]], 1)
    return torch.cat([moves.new_full((rows, time, FEW), never), moves.flatten(2)], 2)


def sums(scores: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of the sum over all paths float64 (B,) of basecaller's scores (B, T, 20), and its gradient.

    The gradient is the posterior probability of each transition. Rows are shared among torch's threads.
    """
    totals, gradient = np.zeros(len(scores)), np.zeros_like(scores)

    def work(row: int) -> None:
        frames = int(lengths[row])
        totals[row] = _one_row(scores[row, :frames], gradient[row, :frames])

    order = np.argsort(-lengths, kind="stable")
    each_row(work, order[lengths[order] > 0].tolist(), torch.get_num_threads())
    return totals, gradient


def _one_row(scores: np.ndarray, gradient: np.ndarray) -> float:
    """Fill `gradient` (T, 20) and return the log of the sum: in float32, else float64, else log space."""
    frames, states = len(scores), FEW
    top = scores.max(1, keepdims=True)
    for kind in [np.float32, np.float64] if scores.dtype == np.float32 else [np.float64]:
        e = np.exp(np.subtract(scores, top, dtype=kind))
        filled, alpha = np.empty(e.shape, kind), np.empty((frames + 1, states), kind)
        work, betas = np.empty((2, 4 * states), kind), np.ones((2, states), kind)
        alpha[0] = 1 / states
        total = np.log(states) + cpu.forward(e, alpha, work[0]) + top.sum(dtype=np.float64)
        least = kind(cpu.LEAST[np.dtype(kind)])
        if np.isfinite(total) and cpu.backward(e, alpha, filled, work, betas, least):
            gradient[:] = filled
            return float(total)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = torch.from_numpy(scores.astype(np.float64)).requires_grad_()
        whole = _in_log_space(leaf.clamp(min=NEVER))
        gradient[:] = torch.autograd.grad(whole, leaf)[0].numpy()
    return float(whole.detach())


def _in_log_space(scores: Tensor) -> Tensor:
    """Return the log of the sum over all paths of basecaller's scores (T, 20) that never stay."""
    alpha = scores[0, FEW : 2 * FEW]
    for frame in scores[1:]:
        alpha = torch.logsumexp(alpha[:, None] + frame[FEW:].view(FEW, FEW), 0)
    return torch.logsumexp(alpha, 0)


def _numba(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    return cast(Tensor, RowLoss.apply(dense(emissions, lengths, transitions, start, end), sums, lengths))


KERNELS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "numba": _numba,
    "reference": log_partition,
}
