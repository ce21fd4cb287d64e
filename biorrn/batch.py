"""What travels to a model: padded values with their lengths, and for training the targets."""

from __future__ import annotations

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
    target_lengths : int64 tensor (B,), optional: valid bases of each row of `targets`.
        Of a language model: letters that the targets of each row stand for.
    probabilities : float32 tensor (B, T, S), optional: of each state, where a model's word stands for a label that is
        not known; 0 elsewhere.
    carried : bool tensor (B,), optional: rows that go on where the same row of the batch before ended, memory and all.
    weights : float32 tensor (B,), optional: weight of each row in the loss.
    bounds : float32 tensor (B, K, 2), optional: of a censored target, missing in `targets`, the lowest and the highest
        value that it may have, one of them infinite; NaN elsewhere.
    ids : list of str: the record behind each row; may be empty.
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
        """Return the batch with every tensor on `device`."""
        moved = {
            item.name: getattr(self, item.name).to(device)
            for item in fields(self)
            if hasattr(getattr(self, item.name), "to")
        }
        return replace(self, **moved)

    def __len__(self) -> int:
        return int(self.lengths.shape[0])


def valid(lengths: torch.Tensor, time: int) -> torch.Tensor:
    """Return the bool tensor (B, T) that is True on the valid steps of each row."""
    import torch

    return torch.arange(time, device=lengths.device)[None, :] < lengths[:, None]
