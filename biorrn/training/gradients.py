"""The size of gradients over the depth of a network: one norm a part, measured at each step, averaged over an epoch."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

# by depth; parts with other names come last, as the module tree has them
ORDER = ("frontend", "core", "steps", "pool", "head")


class GradientNorms:
    """Norms of the gradient of each part of a model, gathered on its device and read once an epoch.

    Parameters
    ----------
    model : a `SequenceModel`. Its parts are `frontend`, each layer of the core as `core.0`, `core.1`, ..., `steps`,
        `pool` and `head`, as far as they learn; of a list of cores `core.0` is the first core. A front end of blocks
        without a core is told by its blocks, `frontend.0`, ...
    """

    def __init__(self, model: nn.Module) -> None:
        learned = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        deep = "core" if any(name.startswith("core.") for name, _ in learned) else "frontend"
        own = [_part(name, deep) for name, _ in learned]
        self.parts = sorted(dict.fromkeys(own), key=_depth)
        self.parameters = [parameter for _, parameter in learned]
        self._index = torch.tensor([self.parts.index(part) for part in own])
        self._sum = torch.zeros(len(self.parts))
        self._steps = 0

    def measure(self) -> Tensor:
        """Return the norm of the whole gradient, a scalar tensor, and remember those of the parts for `keep`."""
        there = [place for place, parameter in enumerate(self.parameters) if parameter.grad is not None]
        gradients = [gradient for parameter in self.parameters if (gradient := parameter.grad) is not None]
        if not gradients:
            self._squares = torch.zeros_like(self._sum)
            return torch.zeros(())
        norms = torch.stack(torch._foreach_norm(gradients))
        if self._index.device != norms.device:
            self._index, self._sum = self._index.to(norms.device), self._sum.to(norms.device)
        index = self._index if len(there) == len(self.parameters) else self._index[there]
        self._squares = torch.zeros_like(self._sum).index_add_(0, index, norms.float().square())
        return torch.linalg.vector_norm(norms)

    def keep(self) -> None:
        """Count the step that was measured last."""
        self._sum += self._squares.sqrt()
        self._steps += 1

    def take(self) -> dict[str, float]:
        """Return the mean norm of each part over the steps that were kept, by depth, and begin anew."""
        means = (self._sum / max(1, self._steps)).tolist()
        self._sum.zero_()
        self._steps = 0
        return dict(zip(self.parts, means, strict=True))


def _part(name: str, deep: str) -> str:
    """Return the part that a parameter belongs to; a layer of the second of several cores is core.1.<layer>.

    >>> _part("core.layers.1.cells.0.weight_hh_l0", "core"), _part("core.norms.1.bias", "core")
    ('core.1', 'core.1')
    >>> _part("core.parts.1.layers.0.cells.0.bias_hh_l0", "core"), _part("core.parts.1.norm.bias", "core")
    ('core.1.0', 'core.1')
    >>> _part("frontend.layers.2.weight", "core"), _part("head.output.1.weight", "core")
    ('frontend', 'head')
    """
    top = name.split(".")[0]
    if inner := re.match(r"core\.parts\.(\d+)\.(?:\w+\.(\d+)\.)?", name):
        return ".".join(["core", *(number for number in inner.groups() if number)])
    number = re.match(rf"{deep}\.\w+\.(\d+)\.", name)
    return f"{top}.{number[1]}" if number else top


def _depth(part: str) -> tuple[int, ...]:
    top, *numbers = part.split(".")
    return ORDER.index(top) if top in ORDER else len(ORDER), *map(int, numbers)
