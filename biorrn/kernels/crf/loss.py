"""CTC-CRF loss over k-mer states: dispatch to the numba, Triton or reference kernel; layout of the scores.

A state is the last k bases as a number in base 4 (A C G T = 0..3), the newest base least significant; S = 4**k. Each
frame is one transition: the path stays in its state or moves on by one base. Scores (B, T, 5 S) hold one number per
transition, in five planes of S columns: column s is staying in s; column (1 + d) * S + s is the move into s from state
d * 4**(k - 1) + s // 4, which forgets base d and emits base s % 4. Column S + j is therefore the move from state j // 4
into state j % S. The score of a path is the sum over its T transitions; first and last state are free.

The model is globally normalised: the probability of a path is exp(score) over the sum of all paths. (CTC-CRF: Xiang and
Ou 2019; k-mer states with an explicit score of staying are those of nanopore basecallers.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import torch

from biorrn.base.compute import each_row
from biorrn.base.lookup import lookup
from biorrn.kernels.crf import cpu
from biorrn.kernels.crf import reference as plain
from biorrn.kernels.crf.reference import columns, log_partition, reference
from biorrn.kernels.crf.scores import state_len_of
from biorrn.kernels.ctc.loss import RowLoss, checked
from biorrn.kernels.ctc.reference import exact


def crf_loss(
    scores: torch.Tensor,
    lengths: torch.Tensor,
    targets: torch.Tensor,
    target_lengths: torch.Tensor,
    state_len: int = 3,
    implementation: str | None = None,
) -> torch.Tensor:
    """Return the CTC-CRF loss of each row in nats, differentiable (once) in `scores`.

    Parameters
    ----------
    scores : float tensor (B, T, 5 * 4**state_len): a score for each transition, in the layout of this module.
    lengths : int tensor (B,): valid frames of each row; frames beyond get gradient 0.
    targets : int tensor (B, L): bases 1 to 4; entries beyond a row's target length are ignored. The first `state_len`
        bases are the state before frame 0 and are not emitted.
    target_lengths : int tensor (B,): valid entries of each row of `targets`.
    state_len : int: bases a state remembers (k). Default 3.
    implementation : str, optional: an entry of `KERNELS`; see `default_kernel`.

    Returns
    -------
    tensor (B,), of the dtype of `scores` (float32 for a half type): minus the log-probability of the target, 0 or
    more. A row that cannot be aligned (see `feasible`), or whose probability is 0 because a score is -inf, gives loss 0
    and gradient 0.

    Raises
    ------
    ValueError: shapes that do not agree, a length or a target out of range. (With all four tensors on CUDA, values are
    clamped instead, since a check would synchronise with the device.)
    """
    if scores.shape[2] != 5 * 4**state_len:
        raise ValueError(f"scores of {scores.shape[2]} columns; state_len {state_len} needs 5 * 4**{state_len}")
    cuda = scores.is_cuda and all(x.is_cuda for x in (lengths, targets, target_lengths))
    lengths, targets, target_lengths = checked(scores, lengths, targets, target_lengths, 4, cuda)
    implementation = implementation or default_kernel(scores)
    if scores.dtype in (torch.bfloat16, torch.float16) and implementation != "triton":
        scores = scores.float()
    return lookup(KERNELS, implementation, "CRF implementation")(scores, lengths, targets, target_lengths, state_len)


def default_kernel(scores: torch.Tensor) -> str:
    """Return the default entry of `KERNELS`: Triton's sums are float32 and run on CUDA only."""
    if not scores.is_cuda:
        return "numba"
    return "triton" if scores.dtype != torch.float64 and find_spec("triton") else "reference"


def feasible(lengths: torch.Tensor, target_lengths: torch.Tensor, state_len: int = 3) -> torch.Tensor:
    """Return bool (B,): rows that have an alignment. A move takes one frame; the first state is k bases."""
    moves = target_lengths - state_len
    return (moves >= 0) & (lengths >= moves)


def _reference(
    scores: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, target_lengths: torch.Tensor, state_len: int
) -> torch.Tensor:
    device = scores.device
    losses = reference(scores, lengths.to(device), targets.to(device), target_lengths.to(device), state_len)
    return torch.where(losses == torch.inf, 0.0, losses.clamp(min=0))


def _triton(
    scores: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, target_lengths: torch.Tensor, state_len: int
) -> torch.Tensor:
    from biorrn.kernels.crf.gpu import CRFLoss

    rest = (x.to(scores.device, non_blocking=True) for x in (lengths, targets, target_lengths))
    return cast(torch.Tensor, CRFLoss.apply(scores, *rest, state_len))


def _numba(scores: torch.Tensor, *rest: Any) -> torch.Tensor:
    *tensors, state_len = rest
    return cast(torch.Tensor, RowLoss.apply(scores, partial(loss_and_gradient, state_len=state_len), *tensors))


def loss_and_gradient(
    scores: np.ndarray, lengths: np.ndarray, targets: np.ndarray, target_lengths: np.ndarray, state_len: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses float64 (B,) and gradient (B, T, 5 S) of `checked` arguments, on torch's number of threads."""
    gradient = np.zeros_like(scores)
    losses = np.zeros(len(scores))
    possible = feasible(torch.from_numpy(lengths), torch.from_numpy(target_lengths), state_len).numpy()
    rows = np.flatnonzero(possible)
    if not len(rows):
        return losses, gradient
    stays, moves = (x.numpy().astype(np.int32) for x in columns(torch.from_numpy(targets), state_len))

    def work(row: int) -> None:
        frames, count = lengths[row], target_lengths[row] - state_len
        # padded by one at either end, which saves the kernels a comparison
        stay, move = np.zeros(count + 2, np.int32), np.zeros(count + 2, np.int32)
        stay[: count + 1], move[1 : count + 1] = stays[row, : count + 1], moves[row, :count]
        loss = one_row(scores[row, :frames], stay, move, gradient[row, :frames])
        if loss is None:
            loss, gradient[row, :frames] = exact(reference, scores[row, :frames], targets[row, : target_lengths[row]],
                                                 state_len)  # fmt: skip
        losses[row] = max(loss, 0.0)  # NaN stays

    # longest rows first, for even threads
    order = rows[np.argsort(-lengths[rows], kind="stable")]
    each_row(work, order.tolist(), torch.get_num_threads())
    return losses, gradient


def one_row(scores: np.ndarray, stays: np.ndarray, moves: np.ndarray, gradient: np.ndarray) -> float | None:
    """Fill `gradient` (T, 5 S) and return the loss, in float32 or else float64; None if neither is accurate."""
    size = len(stays)
    for kind in _kinds(scores):
        chain: np.ndarray = np.empty((len(scores) + 1, size + 1), kind)
        rows: np.ndarray = np.empty((4, size), kind)
        filled = gradient if gradient.dtype == kind else np.empty(scores.shape, kind)
        if (found := _all_paths(scores, filled)) is None:
            continue
        whole, e, least = found
        target = cpu.chain_forward(e, stays, moves, chain, rows[0], rows[1], least)
        if np.isfinite(whole - target) and cpu.chain_backward(e, stays, moves, chain, filled, rows, least):
            gradient[:] = filled
            return float(whole - target)
    return None


def _kinds(scores: np.ndarray) -> list[type]:
    """Return the types in which to compute, the faster first."""
    return [np.float32, np.float64] if scores.dtype == np.float32 else [np.float64]


def _all_paths(scores: np.ndarray, filled: np.ndarray) -> tuple[float, np.ndarray, Any] | None:
    """Fill `filled` (T, 5 S) with the posterior of each transition, in its type; None if that is not accurate.

    Returns the log of the sum over all paths and exponentials of scores (T, 5 S), from which the highest score of each
    frame is subtracted, and the smallest value of the type.
    """
    kind, frames, states = filled.dtype.type, len(scores), scores.shape[1] // 5
    top = scores.max(1, keepdims=True) if frames else np.zeros((0, 1))
    if not np.isfinite(top).all():
        return None
    e = np.subtract(scores, top, dtype=kind)
    np.exp(e, out=e)
    least = kind(cpu.LEAST[filled.dtype])
    alpha, work, betas = (
        np.empty((frames + 1, states), kind),
        np.empty((2, 4 * states), kind),
        np.ones((2, states), kind),
    )
    alpha[0] = 1 / states
    whole = np.log(states) + cpu.forward(e, alpha, work[0])
    trusted = np.isfinite(whole) and cpu.backward(e, alpha, filled, work, betas, least)
    return (whole, e, least) if trusted else None


def posteriors(scores: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the posterior probability of every transition, float32 (B, T, 5 S); 0 beyond a row's frames.

    Parameters
    ----------
    scores : float tensor (B, T, 5 S), in the layout of this module.
    lengths : int tensor (B,): valid frames of each row.
    """
    if scores.is_cuda:
        return plain.posteriors(scores.float(), lengths, state_len_of(scores.shape[2]))
    given, counts = scores.detach().float().cpu().numpy(), lengths.cpu().numpy()
    found = np.zeros(given.shape, np.float32)

    def work(row: int) -> None:
        _fill(given[row, : counts[row]], found[row, : counts[row]])

    each_row(work, list(range(len(given))), torch.get_num_threads())
    return torch.from_numpy(found).to(scores.device)


def _fill(scores: np.ndarray, out: np.ndarray) -> float:
    """Fill `out` with the posterior of each transition of scores (T, 5 S), and return the log of the sum over paths."""
    for kind in _kinds(scores):
        filled = out if out.dtype == kind else np.empty(scores.shape, kind)
        if (found := _all_paths(scores, filled)) is not None:
            out[:] = filled
            return float(found[0]) + (float(scores.max(1).sum(dtype=np.float64)) if len(scores) else 0.0)
    given, count = torch.from_numpy(scores)[None].double(), torch.tensor([len(scores)])
    out[:] = plain.posteriors(given, count, state_len_of(given.shape[2]))[0]
    return float(log_partition(given, count, state_len_of(given.shape[2])))


def crf_cross_entropy(scores: torch.Tensor, lengths: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of each row's paths with those of another model, in nats, differentiable in `scores`.

    The score of a path is a sum over transitions, so the probabilities of single transitions suffice, and the gradient
    is the difference of both models' posteriors. It is the other model's entropy more than the divergence between them.

    Parameters
    ----------
    scores : float tensor (B, T, 5 S); lengths : int tensor (B,): valid frames.
    probabilities : float32 tensor (B, T, 5 S): of each transition, as `posteriors` returns them; 0 beyond the frames.
    """
    if scores.is_cuda:
        whole = log_partition(scores.float(), lengths, state_len_of(scores.shape[2]))
        return whole - (probabilities * scores.float()).sum((1, 2))
    return cast(torch.Tensor, RowLoss.apply(scores.float(), _cross_entropy, lengths, probabilities))


def _cross_entropy(scores: np.ndarray, lengths: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gradient, losses = np.zeros_like(scores), np.zeros(len(scores))

    def work(row: int) -> None:
        own, given, out = (array[row, : lengths[row]] for array in (scores, probabilities, gradient))
        losses[row] = _fill(own, out) - float(np.vdot(given, own))
        out -= given

    each_row(work, list(range(len(scores))), torch.get_num_threads())
    return losses, gradient


Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]

KERNELS: dict[str, Kernel] = {"numba": _numba, "reference": _reference, "triton": _triton}
