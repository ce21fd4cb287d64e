"""Batch: padded values with lengths and, for training, targets; masks; alignment of rows to a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """A padded batch.

    Attributes
    ----------
    x : int64 tensor (B, T) of residue tokens, 0 is padding; or float32 tensor (B, T, 1) of normalised current.
    lengths : int64 tensor (B,): valid steps of each row of `x`.
    targets : tensor, optional: regression float32 (B, K), NaN where missing; CTC int64 (B, L) of bases, 0 is padding.
    target_lengths : int64 tensor (B,), optional: valid bases of each row of `targets`; for a language model, the
        letters that the targets of each row represent.
    probabilities : float32 tensor (B, T, S), optional: of each state, where a model's prediction replaces an unknown
        label; 0 elsewhere.
    carried : bool tensor (B,), optional: rows that continue the same row of the batch before, with its state.
    weights : float32 tensor (B,), optional: weight of each row in the loss.
    bounds : float32 tensor (B, K, 2), optional: lowest and highest possible value of a censored target, which is
        missing in `targets`; one of them is infinite. NaN elsewhere.
    ids : list of str: the record of each row; may be empty.
    """

    x: torch.Tensor
    lengths: torch.Tensor
    targets: torch.Tensor | None = None
    target_lengths: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    ids: list[str] = field(default_factory=list)
    carried: torch.Tensor | None = None
    probabilities: torch.Tensor | None = None
    bounds: torch.Tensor | None = None

    def to(self, device: Any) -> Batch:
        """Return the batch with every tensor on `device`; the copy of pinned memory to CUDA is not waited for."""
        later = str(device).startswith("cuda")
        return self._each(lambda tensor: tensor.to(device, non_blocking=later))

    def pinned(self) -> Batch:
        """Return the batch in memory that a GPU reads without waiting."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        changed: dict[str, Any] = {name: change(value) for name, value in values.items() if hasattr(value, "to")}
        return replace(self, **changed)

    def __len__(self) -> int:
        return int(self.lengths.shape[0])


def valid(lengths: torch.Tensor, time: int) -> torch.Tensor:
    """Return the bool tensor (B, T) that is True on the valid steps of each row."""
    import torch

    return torch.arange(time, device=lengths.device)[None, :] < lengths[:, None]


def place(x: torch.Tensor, lengths: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Align rows to a reference: return the token at each position, and the residues inserted there.

    A row of the reference's length is compared position by position. In a row of another length one run of residues is
    assumed to be deleted or inserted, at the place where most of the other residues agree with the reference.

    Parameters
    ----------
    x : int64 (B, T), 0-padded; lengths : int64 (B,); reference : int64 (L,).

    Returns
    -------
    symbols : int64 (B, L): tokens, 0 where the residue is deleted.
    inserted : int64 (B, L): residues inserted before each position; those after the last count there.
    """
    import torch

    size, height = len(reference), x.shape[0]
    at = torch.arange(size, device=x.device).expand(height, size)
    shift = (lengths - size)[:, None]  # extra residues, (B, 1)
    padded = torch.nn.functional.pad(x, (0, max(0, size - x.shape[1])))

    def symbols_at(where: torch.Tensor) -> torch.Tensor:
        inside = (where >= 0) & (where < lengths[:, None])
        return torch.where(inside, padded.gather(1, where.clamp(0, padded.shape[1] - 1)), 0)

    left, right = symbols_at(at), symbols_at(at + shift)  # aligned at the first and at the last residue
    # agree[:, c]: matches with positions below c aligned left and the others aligned right
    matches = (left == reference).long(), (right == reference).long()
    agree = matches[1].sum(1, keepdim=True) + torch.nn.functional.pad((matches[0] - matches[1]).cumsum(1), (1, 0))
    deleted = (-shift).clamp(min=0)
    cut = torch.arange(size + 1, device=x.device).expand(height, size + 1)
    allowed = (cut + deleted <= size) & (cut <= lengths[:, None])
    # a deletion covers the positions from the cut on; the right part starts after it
    after = (cut + deleted).clamp(max=size)
    if bool((deleted > 0).any()):
        tail = matches[1].flip(1).cumsum(1).flip(1)  # matches at or after a position
        tail = torch.nn.functional.pad(tail, (0, 1))
        agree = torch.nn.functional.pad(matches[0].cumsum(1), (1, 0)) + tail.gather(1, after)
    start = torch.where(allowed, agree, -1).argmax(1, keepdim=True)  # ties: the first
    start = torch.where(shift == 0, size, start)
    symbols = torch.where(at < start, left, torch.where(at < start + deleted, 0, right))
    inserted = torch.where(at == start.clamp(max=size - 1), shift.clamp(min=0), 0)
    return symbols, inserted
