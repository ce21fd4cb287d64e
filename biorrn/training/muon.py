"""Muon: momentum whose matrices are made orthogonal, with AdamW for everything that is not a matrix.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". Steps are scaled as by Liu et al. 2025
(arXiv 2502.16982), so that learning rates and weight decay are those of AdamW. The gates of a recurrent layer lie on
top of one another in one tensor; each is a matrix of its own here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
STEPS = 5  # of the iteration of Newton and Schulz, with these coefficients
QUINTIC = (3.4445, -4.7750, 2.0315)
RMS = 0.2  # root mean square of a step over its learning rate, about that of AdamW
NARROW = 32  # filters and matrices with a side below this are left to AdamW


class Muon(torch.optim.AdamW):
    """The optimiser; a group of parameters with the key `gates` is a group of matrices, any other is left to AdamW.

    A group's `gates` is the number of matrices of one shape that lie on top of one another in each of its tensors.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group.get("gates")]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            for parameter in group["params"] if group.get("gates") else ():
                if parameter.grad is not None:
                    self._turn(parameter, parameter.grad, group)
        return loss

    def _turn(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            # AdamW asks for a step when it takes over a state
            state["momentum"], state["step"] = torch.zeros_like(parameter), torch.zeros(())
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(momentum, MOMENTUM)  # Nesterov
        found = orthogonal(ahead.reshape(group["gates"], len(parameter) // group["gates"], -1))
        size = RMS * max(found.shape[1:]) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(found.reshape(parameter.shape), alpha=-group["lr"] * size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices (N, R, C) with the same singular vectors and all singular values about 1 (0.7 to 1.2)."""
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        square = x @ x.mT
        x = a * x + torch.baddbmm(square, square, square, beta=b, alpha=c) @ x
    return x.mT if tall else x


def groups_of(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the groups of a network's learned parameters: matrices by their number of gates, and those left to AdamW.

    Tables of embeddings, the head and narrow filters are left to AdamW, as by Jordan et al.
    """
    gates = {
        id(weight): len(weight) // int(module.hidden_size)  # type: ignore[arg-type]
        for module in model.modules()
        for name, weight in module.named_parameters(recurse=False)
        if name.startswith("weight_") and hasattr(module, "hidden_size")
    }
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found: dict[tuple[int, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            hidden = parameter.ndim > 1 and not name.startswith("head.") and id(parameter) not in tables
            wide = hidden and min(parameter.flatten(1).shape) >= NARROW
            key = (gates.get(id(parameter), 1) if wide else 0, weight_decay if parameter.ndim > 1 else 0.0)
            found.setdefault(key, []).append(parameter)
    return [{"params": those, "weight_decay": decay, "gates": count} for (count, decay), those in found.items()]
