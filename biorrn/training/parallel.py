"""A batch cut into pieces, one a process, so that their gradients sum to that of the batch.

Each process has the same batches and takes some rows of each. Where the loss of a batch is a mean over its rows, that
of a piece counts by its part of the denominator; where it compares rows with each other, every process has the outputs
of all. Dropout draws its mask for the whole batch and batch norm takes the statistics of all rows, so that the number
of processes changes nothing but the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from biorrn.config.recipe import Recipe
from biorrn.nn.batch import Batch
from biorrn.nn.convolutions import MaskedBatchNorm
from biorrn.nn.sequence import SequenceModel
from biorrn.training.processes import Processes
from biorrn.training.task import Task


@dataclass(slots=True)
class Place:
    """Which rows of the batch at hand this process has: from `start` to before `stop`, of `rows`."""

    start: int = 0
    stop: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A batch, and the part of it that this process computes.

    Attributes
    ----------
    whole : the batch, on the CPU.
    own : the rows of this process. Where there are none, an empty row in their place.
    place : where they stand.
    weight : float, optional: of the mean loss of the own rows in that of the batch; None where it is no such mean.
    """

    whole: Batch
    own: Batch
    place: Place
    weight: float | None = 1.0

    def to(self, device: Any) -> Piece:
        """Return the piece with what is computed on `device`."""
        return replace(self, own=self.own.to(device))


class Pieces:
    """Cuts batches, and computes the loss of a piece.

    Parameters
    ----------
    model : its dropout and batch norm are made to see the whole batch.
    """

    def __init__(self, model: SequenceModel, task: Task, recipe: Recipe, processes: Processes) -> None:
        self.task, self.recipe, self.processes = task, recipe, processes
        self.place = Place()
        if processes.size > 1:
            see_whole(model, self.place, processes.add)

    def cut(self, batch: Batch) -> Piece:
        """Return the piece of this process."""
        here, rows = self.processes, len(batch)
        if here.size == 1:
            return Piece(batch, batch, Place(0, rows, rows))
        start, stop = rows * here.rank // here.size, rows * (here.rank + 1) // here.size
        own = take(batch, start, max(stop, start + 1)) if start < rows else take(batch, 0, 1)
        if stop == start:
            own = replace(own, lengths=torch.zeros_like(own.lengths))
        weight = self.task.share(batch, self.recipe)
        if weight is not None:
            part = self.task.share(own, self.recipe) if stop > start else 0.0
            assert part is not None
            weight = part / weight if part else 0.0
        return Piece(batch, own, Place(start, stop, rows), weight)

    def enter(self, piece: Piece) -> None:
        """Tell the model which rows come next."""
        self.place.start, self.place.stop, self.place.rows = piece.place.start, piece.place.stop, piece.place.rows

    def loss(self, model: SequenceModel, outputs: Tensor, lengths: Tensor, piece: Piece) -> tuple[Tensor, Tensor]:
        """Return the loss to differentiate, and the part of it in the batch's loss.

        The gradients of the first, averaged over the processes, are those of the batch's loss; the second sums to it.
        """
        size, task = self.processes.size, self.task
        if size == 1:
            loss = task.loss(model, outputs, lengths, piece.own, self.recipe)
            return loss, loss.detach()
        if piece.weight is None:
            found = AllRows.apply(outputs, piece.place, self.processes.add)
            whole = piece.whole.to(outputs.device)
            loss = task.loss(model, found, whole.lengths, whole, self.recipe)
            return loss * size, loss.detach() / size
        if piece.weight == 0:  # there may be nothing to take a mean of; all processes must go the same way back
            loss = outputs.sum() * 0
        else:
            loss = task.loss(model, outputs, lengths, piece.own, self.recipe) * piece.weight
        return loss * size, loss.detach()


class AllRows(torch.autograd.Function):
    """Outputs (B, K) of all processes from those of one; the gradient of its own rows goes back."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, place: Place, add: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.place, ctx.rows = (place.start, place.stop), len(outputs)
        found = outputs.new_zeros(place.rows, *outputs.shape[1:])
        found[place.start : place.stop] = outputs[: place.stop - place.start]
        return add(found)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        start, stop = ctx.place
        own = gradient.new_zeros(ctx.rows, *gradient.shape[1:])
        own[: stop - start] = gradient[start:stop]
        return own, None, None


class Total(torch.autograd.Function):
    """The sum of a tensor over all processes, whose loss is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, add: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.add = add
        return add(tensor.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.add(gradient.clone()), None


class WholeDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch, so that a row's does not depend on who computes it.

    One row alone may not show how the batch would lie in memory; it then gets another mask, as random as its own.
    """

    def __init__(self, p: float, place: Place) -> None:
        super().__init__(p)
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        # in the memory layout of x, in whose order the numbers are drawn
        strides = x.stride()
        order = sorted(range(x.dim()), key=lambda d: (-strides[d], d == 0))
        shape = (self.place.rows, *x.shape[1:])
        ones = x.new_ones([shape[d] for d in order]).permute([order.index(d) for d in range(x.dim())])
        mask = F.dropout(ones, self.p)[self.place.start : max(self.place.stop, self.place.start + 1)]
        return x * (mask if len(mask) else mask.new_zeros(x.shape))


def see_whole(model: nn.Module, place: Place, add: Callable[[Tensor], Tensor]) -> None:
    """Make dropout and batch norm of a model work on whole batches, of which it is given the rows of `place`."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, WholeDropout(child.p, place).train(child.training))
        if isinstance(module, MaskedBatchNorm):
            module.across = lambda sums: Total.apply(sums, add)  # type: ignore[no-any-return]


def take(batch: Batch, start: int, stop: int) -> Batch:
    """Return the rows from `start` to before `stop`."""
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return replace(batch, **{name: value[start:stop] for name, value in values.items() if value is not None})


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
    if any(
        getattr(module, "teacher_forced", False) for module in modules
    ):  # the loss runs what is not behind the outputs
        return False
    random = any(isinstance(module, nn.Dropout) and module.p > 0 for module in modules)
    return not random and not any("norm" in type(module).__name__.lower() and _running(module) for module in modules)


def _running(module: nn.Module) -> bool:
    return any(name.startswith("running") for name, _ in module.named_buffers())
