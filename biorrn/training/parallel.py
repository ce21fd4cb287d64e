"""Data-parallel training: a batch split over processes, and over threads.

Each process has the same batches and computes some rows of each. If the loss of a batch is a mean over its rows, that
of a piece is weighted by its share of the denominator; if it compares rows with each other, every process gathers the
outputs of all. Dropout draws its mask for the whole batch and batch norm uses the statistics of all rows, so that the
number of processes changes only the order of sums.
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
    """The rows of the current batch that this process has: `start` up to but not including `stop`, of `rows`."""

    start: int = 0
    stop: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A batch, and the rows of it that this process computes.

    Attributes
    ----------
    whole : the batch, on the CPU.
    own : the rows of this process; one row of length 0 if it has none.
    place : their indices.
    weight : float, optional: weight of the mean loss of the own rows in that of the batch; None if the loss of the
        batch is not such a mean, see `Task.share`.
    """

    whole: Batch
    own: Batch
    place: Place
    weight: float | None = 1.0

    def to(self, device: Any) -> Piece:
        """Return the piece with its own rows on `device`."""
        return replace(self, own=self.own.to(device))

    def pinned(self) -> Piece:
        """Return the piece with its own rows in memory that a GPU reads without waiting."""
        return replace(self, own=self.own.pinned())


class Pieces:
    """Splits batches, and computes the loss of a piece.

    Parameters
    ----------
    model : its dropout and batch norm are changed to work on the whole batch.
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
        """Set the rows of the next forward pass, for dropout."""
        self.place.start, self.place.stop, self.place.rows = piece.place.start, piece.place.stop, piece.place.rows

    def loss(self, model: SequenceModel, outputs: Tensor, lengths: Tensor, piece: Piece) -> tuple[Tensor, Tensor]:
        """Return the loss to differentiate, and its part of the batch's loss.

        The gradients of the first, averaged over processes, are those of the batch's loss; the second sums to it.
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
        if piece.weight == 0:  # perhaps no rows; all processes must run the same backward pass
            loss = outputs.sum() * 0
        else:
            loss = task.loss(model, outputs, lengths, piece.own, self.recipe) * piece.weight
        return loss * size, loss.detach()


class AllRows(torch.autograd.Function):
    """Gathers outputs (B, K) of all processes; the gradient of the own rows is passed back."""

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
    """The sum of a tensor over all processes, differentiable for a loss that is the sum over processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, add: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.add = add
        return add(tensor.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.add(gradient.clone()), None


class WholeDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch, so that it does not depend on the number of processes.

    The memory layout of the batch may not follow from that of a single row, which then gets another random mask.
    """

    def __init__(self, p: float, place: Place) -> None:
        super().__init__(p)
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        # in the memory layout of x, since random numbers are drawn in memory order
        strides = x.stride()
        order = sorted(range(x.dim()), key=lambda d: (-strides[d], d == 0))
        shape = (self.place.rows, *x.shape[1:])
        ones = x.new_ones([shape[d] for d in order]).permute([order.index(d) for d in range(x.dim())])
        mask = F.dropout(ones, self.p)[self.place.start : max(self.place.stop, self.place.start + 1)]
        return x * (mask if len(mask) else mask.new_zeros(x.shape))


def see_whole(model: nn.Module, place: Place, add: Callable[[Tensor], Tensor]) -> None:
    """Replace dropout and batch norm of a model by versions for whole batches; it is given the rows of `place`."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, WholeDropout(child.p, place).train(child.training))
        if isinstance(module, MaskedBatchNorm):
            module.across = lambda sums: Total.apply(sums, add)  # type: ignore[no-any-return]


def take(batch: Batch, start: int, stop: int) -> Batch:
    """Return the rows start:stop of a batch."""
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return replace(batch, **{name: value[start:stop] for name, value in values.items() if value is not None})


FEWEST = 32  # rows of a shard; the LSTM of the CPU library is less efficient with 16


class Shards:
    """Runs a model on shards of a batch in threads; the same call and gradients as those of the model.

    Parameters
    ----------
    model : maps x (B, T, F) and lengths (B,) to outputs (B, ...) and lengths; must be `separable`.
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
        """Return the results of `work` for all shards, run in parallel."""
        return list(self.pool.map(work, *parts))


class _Sharded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shards: Shards, count: int, x: Tensor, lengths: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        low, kind = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

        def run(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            # both settings are thread-local
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
    """Return whether a batch can be run in shards: no dropout, no batch statistics, no state kept for the loss."""
    modules = list(model.modules())
    if any(getattr(module, "keep", False) for module in modules):  # for the loss, which needs the whole batch
        return False
    if any(
        getattr(module, "teacher_forced", False) for module in modules
    ):  # the loss runs modules that do not affect the outputs
        return False
    random = any(isinstance(module, nn.Dropout) and module.p > 0 for module in modules)
    return not random and not any("norm" in type(module).__name__.lower() and _running(module) for module in modules)


def _running(module: nn.Module) -> bool:
    return any(name.startswith("running") for name, _ in module.named_buffers())
