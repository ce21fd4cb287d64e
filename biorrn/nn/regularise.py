"""Dropout of a language model: of weights, of whole symbols, and of the same features at every step.

After Merity, Keskar and Socher 2018 (ICLR, Regularizing and Optimizing LSTM Language Models), and Gal and Ghahramani
2016 (NIPS, 1019-1027).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

RECURRENT = "weight_hh"  # how the names of hidden-to-hidden matrices begin


class SharedDropout(nn.Dropout):
    """Dropout of what all rows of a batch share, such as weights; where processes share a batch, all drop the same."""


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps of a row; of what has no steps, ordinary dropout."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 3 or not self.training or self.drop.p == 0:
            return self.drop(x)  # type: ignore[no-any-return]
        return x * self.drop(x.new_ones(x.shape[0], 1, x.shape[2]))  # type: ignore[no-any-return]


def lock(model: nn.Module) -> None:
    """Replace every dropout of features in a model by `LockedDropout`."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, LockedDropout(child.p))


def run_cell(cell: nn.Module, x: Tensor, state: Any, drop: nn.Dropout) -> tuple[Tensor, Any]:
    """Return outputs and final state of a cell, some of its hidden-to-hidden weights dropped for this call.

    The cell's own kernel runs over all steps, fused where it is one of torch.

    Parameters
    ----------
    x : float tensor (B, T, F).
    state : as the cell gives it, or None: zeros.
    drop : whose mask is drawn once for all rows and steps; without effect in evaluation.
    """
    if not drop.training or drop.p == 0:
        return cell(x, state)  # type: ignore[no-any-return]
    dropped = {name: drop(weight) for name, weight in cell.named_parameters() if RECURRENT in name}
    if not isinstance(cell, nn.RNNBase):
        return functional_call(cell, dropped, (x, state))  # type: ignore[no-any-return]
    kept = cell._flat_weights  # what its kernel reads: a call with other parameters would not reach it
    names = cell._flat_weights_names
    try:
        cell._flat_weights = [dropped.get(name, weight) for name, weight in zip(names, kept, strict=True)]
        return cell(x, state)  # type: ignore[no-any-return]
    finally:
        cell._flat_weights = kept
