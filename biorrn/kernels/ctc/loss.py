"""CTC loss (Graves et al. 2006) including the softmax: dispatch to the numba, torch or reference kernel.

`numba` is the default on the CPU, `torch` (PyTorch's own) on CUDA; `reference` is plain log space, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from biorrn.base.compute import each_row
from biorrn.base.lookup import lookup
from biorrn.kernels.ctc import cpu
from biorrn.kernels.ctc.reference import exact, reference


def ctc_loss(
    scores: torch.Tensor,
    lengths: torch.Tensor,
    targets: torch.Tensor,
    target_lengths: torch.Tensor,
    implementation: str | None = None,
) -> torch.Tensor:
    """Return the CTC loss of each row in nats, differentiable (once) in `scores`.

    Parameters
    ----------
    scores : float tensor (B, T, S): raw scores, before any softmax; class 0 is the blank.
    lengths : int tensor (B,): valid frames of each row; frames beyond get gradient 0.
    targets : int tensor (B, L): classes 1 to S - 1; entries beyond a row's target length are ignored.
    target_lengths : int tensor (B,): valid entries of each row of `targets`; 0 is a row of blanks only.
    implementation : str, optional: an entry of `KERNELS`; by default "torch" on CUDA and "numba" elsewhere.

    Returns
    -------
    tensor (B,), of the dtype of `scores` (float32 for a half type). A row that cannot be aligned (see `feasible`), or
    whose probability is 0 because a score is -inf, gives loss 0 and gradient 0. (If such a row can be aligned around
    the -inf, the gradient of "torch" is NaN; that of the others is finite.)

    Raises
    ------
    ValueError: shapes that do not agree, a length or a target out of range.
    """
    lengths, targets, target_lengths = checked(scores, lengths, targets, target_lengths, scores.shape[2] - 1)
    if implementation is None:
        implementation = "torch" if scores.device.type == "cuda" else "numba"
    if scores.dtype in (torch.bfloat16, torch.float16):
        scores = scores.float()
    if scores.numel() == 0:  # no row, or no frame: loss 0; torch's own kernel refuses these
        return scores.sum((1, 2))
    return lookup(KERNELS, implementation, "CTC implementation")(scores, lengths, targets, target_lengths)


def checked(
    scores: torch.Tensor,
    lengths: torch.Tensor,
    targets: torch.Tensor,
    target_lengths: torch.Tensor,
    highest: int,
    cuda: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return lengths, targets and target lengths as int64 on the CPU; unused targets are 1.

    Parameters
    ----------
    highest : int: the highest class of a target.
    cuda : bool: leave them on CUDA and clamp the values, since a check would synchronise with the device.

    Raises
    ------
    ValueError: see `ctc_loss`.
    """
    rows, frames, _ = scores.shape
    where = scores.device if cuda else torch.device("cpu")
    lengths, targets, target_lengths = (x.detach().to(where, torch.int64) for x in (lengths, targets, target_lengths))
    if targets.dim() != 2 or {len(targets), len(lengths), len(target_lengths)} != {rows}:
        raise ValueError(
            f"scores of {rows} rows with targets {tuple(targets.shape)}, {len(lengths)} lengths and "
            f"{len(target_lengths)} target lengths; allowed is {rows} rows of each"
        )
    targets = targets.masked_fill(torch.arange(targets.shape[1], device=where) >= target_lengths[:, None], 1)
    for what, values, low, high in (
        ("lengths", lengths, 0, frames),
        ("target_lengths", target_lengths, 0, targets.shape[1]),
        ("targets", targets, 1, highest),
    ):
        if cuda:
            values.clamp_(low, high)
        elif values.numel() and (values.min() < low or values.max() > high):
            raise ValueError(f"{what}: found {int(values.min())} to {int(values.max())}; allowed is {low} to {high}")
    return lengths, targets, target_lengths


def feasible(lengths: torch.Tensor, targets: torch.Tensor, target_lengths: torch.Tensor) -> torch.Tensor:
    """Return bool (B,): rows that have an alignment. A base takes one frame, a repeated base two."""
    used = torch.arange(targets.shape[1], device=targets.device)[1:] < target_lengths[:, None]
    repeats = ((targets[:, 1:] == targets[:, :-1]) & used).sum(1)
    return lengths >= target_lengths + repeats


def _reference(
    scores: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, target_lengths: torch.Tensor
) -> torch.Tensor:
    device = scores.device
    losses = reference(scores, lengths.to(device), targets.to(device), target_lengths.to(device))
    return torch.where(losses == torch.inf, 0.0, losses)


def _torch(
    scores: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, target_lengths: torch.Tensor
) -> torch.Tensor:
    log_probs = scores.log_softmax(-1).transpose(0, 1)  # (B, T, S) -> (T, B, S)
    return torch.nn.functional.ctc_loss(
        log_probs, targets.to(scores.device), lengths, target_lengths, reduction="none", zero_infinity=True
    )


class RowLoss(torch.autograd.Function):
    """Losses (B,) of scores (B, T, S) by a function that returns losses and gradient, as `loss_and_gradient`."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, work: Callable[..., Any], *rest: torch.Tensor) -> torch.Tensor:
        losses, gradient = work(scores.detach().cpu().contiguous().numpy(), *(x.cpu().numpy() for x in rest))
        ctx.save_for_backward(torch.from_numpy(gradient).to(scores.device))
        ctx.inputs = 2 + len(rest)
        return torch.from_numpy(losses).to(scores.dtype).to(scores.device)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return grad[:, None, None] * gradient, *[None] * (ctx.inputs - 1)


def _numba(scores: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = RowLoss.apply(scores, loss_and_gradient, *rest)
    return found


def loss_and_gradient(
    scores: np.ndarray, lengths: np.ndarray, targets: np.ndarray, target_lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses float64 (B,) and gradient (B, T, S) of `checked` arguments, on torch's number of threads."""
    gradient = np.zeros_like(scores)
    losses = np.zeros(len(scores))
    possible = feasible(*(torch.from_numpy(x) for x in (lengths, targets, target_lengths))).numpy()
    rows = np.flatnonzero(possible & (lengths > 0))

    def work(row: int) -> None:
        frames = lengths[row]
        losses[row] = one_row(scores[row, :frames], targets[row, : target_lengths[row]], gradient[row, :frames])

    # longest rows first, for even threads
    order = rows[np.argsort(-lengths[rows] * target_lengths[rows], kind="stable")]
    each_row(work, order.tolist(), torch.get_num_threads())
    return losses, gradient


def one_row(scores: np.ndarray, bases: np.ndarray, gradient: np.ndarray) -> float:
    """Fill `gradient` (T, S) and return the loss: in float32, else float64, else by the reference kernel."""
    frames, symbols = scores.shape
    size = len(bases)
    for kind in [np.float32, np.float64] if scores.dtype == np.float32 else [np.float64]:
        dtype = np.dtype(kind)
        skips = np.zeros(size + 1, dtype)
        skips[1:size] = bases[1:] != bases[:-1]
        masks = (bases == np.arange(symbols)[:, None]).astype(dtype)
        scratch = [
            np.empty(shape, dtype) for shape in ((frames + 1, 2, size + 2), (frames, symbols), frames, (6, size + 2))
        ]
        filled = gradient if dtype == gradient.dtype else np.empty((frames, symbols), dtype)
        limits = [kind(x) for x in cpu.LIMITS[dtype]]
        loss, trusted = cpu.scaled(scores.astype(dtype, copy=False), bases, skips, masks, *scratch, filled, *limits)
        if trusted:
            gradient[:] = filled
            return loss
    loss, gradient[:] = exact(reference, scores, bases)
    return loss


Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

KERNELS: dict[str, Kernel] = {"numba": _numba, "torch": _torch, "reference": _reference}
