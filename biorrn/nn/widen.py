"""Widening of a trained network: a wider one that computes the same, from which a training may go on.

Units of each layer are copied, and the weights of what reads them are shared out among the copies, in random shares so
that the copies come apart. Chen et al. 2016 (ICLR, Net2Net: Accelerating Learning via Knowledge Transfer).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def widen(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor] | None:
    """Return the tensors of a wider network; None if none is wider, or if they differ in more than widths of layers.

    The last layer has no wider outputs, since each has a meaning; if their number differs, it is left out.

    Parameters
    ----------
    given : tensors of the trained network, for which `nn.layout.stacked` is true, in the order of its layers.
    wanted : tensors of the wider one, whose names, order and shapes count.
    """
    if list(given) != list(wanted) or all(given[name].shape == wanted[name].shape for name in given):
        return None
    last = next(name for name in reversed(list(given)) if name.endswith("weight"))
    if given[last].shape[0] != wanted[last].shape[0]:
        given = {name: tensor for name, tensor in given.items() if name.rpartition(".")[0] != last.rpartition(".")[0]}
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    before = torch.zeros(1, dtype=torch.long)  # for each unit of the layer below, the unit it is a copy of
    own: Tensor | None = before
    for name, old in given.items():
        new = wanted[name]
        gates = 4 if "_l0" in name else 1
        if name.endswith("weight_ih_l0") or (name.endswith("weight") and old.ndim > 1):
            if own is not None:
                before = own
            own = copies(len(old) // gates, len(new) // gates, generator)
        if own is None:
            return None
        rows = torch.cat([own + gate * (len(old) // gates) for gate in range(gates)])
        value = old[rows]
        if old.ndim > 1:
            value = shared(value, own if "_hh_" in name else before, generator)
        if value.shape != new.shape:
            return None
        found[name] = value
    return found


def copies(old: int, new: int, generator: torch.Generator) -> Tensor | None:
    """Return the unit that each of `new` units is a copy of: the `old` ones, then random ones in equal numbers."""
    if new < old:
        return None
    rounds = [torch.arange(old)]
    while sum(map(len, rounds)) < new:
        rounds.append(torch.randperm(old, generator=generator))
    return torch.cat(rounds)[:new]


def shared(weights: Tensor, units: Tensor, generator: torch.Generator) -> Tensor:
    """Return weights (rows, old, ...) as (rows, new, ...), with each column shared out among the copies of its unit."""
    shares = torch.rand((len(weights), len(units)), generator=generator) + 0.5
    sums = torch.zeros(len(weights), weights.shape[1]).index_add_(1, units, shares)
    shares = shares / sums[:, units]
    return weights[:, units] * shares.reshape(*shares.shape, *[1] * (weights.ndim - 2))
