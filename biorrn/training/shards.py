"""One batch on several CPU threads: each runs forward and backward of some of the rows, and the gradients are added.

Within one layer two threads gain nothing at the sizes of a small recurrent model: a step of the recurrence is a product
of a few rows with a small matrix. Rows do not depend on each other, so whole passes run side by side instead.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEWEST = 32  # rows of a shard; with 16 the LSTM of the CPU library needs more than half of the time that 32 take


class Shards:
    """Calls a model on shards of the rows of a batch, as `model(x, lengths)` would, with gradients for its parameters.

    Parameters
    ----------
    model : maps x (B, T, F) and lengths (B,) to outputs (B, ...) and lengths; each row on its own, and nothing at
        random: see `separable`.
    workers : int: threads.
    """

    def __init__(self, model: nn.Module, workers: int) -> None:
        self.model = model
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.workers = workers
        self.pool = ThreadPoolExecutor(workers, "shard", initializer=torch.set_num_threads, initargs=(1,))

    def __call__(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        count = min(self.workers, len(x) // FEWEST)
        if count < 2 or not torch.is_grad_enabled():
            return self.model(x, lengths)  # type: ignore[no-any-return]
        outputs: tuple[Tensor, Tensor] = _Sharded.apply(self, count, x, lengths, *self.parameters)
        return outputs

    def each(self, work: Callable[..., Any], *parts: Any) -> list[Any]:
        """Return what `work` gives for each shard, all of them at the same time."""
        return list(self.pool.map(work, *parts))


class _Sharded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shards: Shards, count: int, x: Tensor, lengths: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        low, kind = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

        def run(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            # both settings are a thread's own
            with torch.enable_grad(), torch.autocast("cpu", dtype=kind, enabled=low):
                return shards.model(x, lengths)  # type: ignore[no-any-return]

        done = shards.each(run, x.chunk(count), lengths.chunk(count))
        ctx.shards, ctx.outputs = shards, [outputs for outputs, _ in done]
        lengths = torch.cat([lengths for _, lengths in done])
        ctx.mark_non_differentiable(lengths)
        return torch.cat([outputs.detach() for outputs, _ in done]), lengths

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Any, ...]:
        def run(outputs: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
            return torch.autograd.grad(outputs, ctx.shards.parameters, gradient)

        parts = gradient.split([len(outputs) for outputs in ctx.outputs])
        found = ctx.shards.each(run, ctx.outputs, parts)
        ctx.outputs = []
        return None, None, None, None, *(torch.stack(gradients).sum(0) for gradients in zip(*found, strict=True))


def separable(model: nn.Module) -> bool:
    """Tell whether the rows of a batch can be run apart: no dropout, no statistics over the batch, nothing kept."""
    modules = list(model.modules())
    if any(getattr(module, "keep", False) for module in modules):  # for the loss, which would find one part
        return False
    if any(getattr(module, "taught", False) for module in modules):  # the loss runs what is not behind the outputs
        return False
    random = any(isinstance(module, nn.Dropout) and module.p > 0 for module in modules)
    return not random and not any("norm" in type(module).__name__.lower() and _running(module) for module in modules)


def _running(module: nn.Module) -> bool:
    return any(name.startswith("running") for name, _ in module.named_buffers())
