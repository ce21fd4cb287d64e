"""Lightning module of every task: loss, optimiser, learning rate, gradient clipping, validation and history."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.hooks import RemovableHandle

from biorrn.config.recipe import Recipe
from biorrn.nn.batch import Batch, valid
from biorrn.nn.cells import Layer
from biorrn.nn.sequence import SequenceModel, next_states
from biorrn.training.parallel import Piece, Pieces, Shards, separable
from biorrn.training.processes import Processes
from biorrn.training.task import Data, Diverged, Task


def warmup_cosine(step: int, steps: int, warmup: float, final: float) -> float:
    """Return the learning rate at `step` of `steps`, relative to its peak: a linear rise, then half a cosine.

    >>> [round(warmup_cosine(step, 100, 0.1, 0.0), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.48, 0.0]
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    done = min(1.0, (step + 1 - rise) / max(1, steps - rise))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


class QuantileClip:
    """Clips gradients at a quantile of the recent norms, so that a single outlier batch cannot derail training.

    Parameters
    ----------
    quantile : float: of the last `memory` norms above 0; 1 clips at the largest of them.
    memory : int: number of norms kept.
    start : float: the bound until ten norms are known.
    """

    def __init__(self, quantile: float, memory: int = 100, start: float = 2.0) -> None:
        self.quantile, self.start = quantile, start
        self.norms: deque[float] = deque(maxlen=memory)

    @property
    def bound(self) -> float:
        """The largest norm that is not clipped now."""
        if len(self.norms) < 10:
            return self.start
        return float(torch.tensor(list(self.norms)).quantile(self.quantile))

    def __call__(self, parameters: Iterable[nn.Parameter], measured: Tensor | None = None) -> float:
        """Clip in place and return the norm before clipping; if it is not finite, the gradients are removed.

        Parameters
        ----------
        measured : scalar tensor, optional: the norm of all gradients, if known.
        """
        parameters = list(parameters)
        bound = self.bound
        if measured is None:
            measured = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        nn.utils.clip_grads_with_norm_(parameters, bound, measured)
        norm = float(measured)
        if math.isfinite(norm):
            if norm > 0:  # zeros are not counted: a bound of 0 would stay 0
                # limited, so that an outlier does not raise the bound by its full size
                self.norms.append(min(norm, 4 * bound))
        else:
            for parameter in parameters:
                parameter.grad = None
        return norm


# by depth; parts of other names come last, in the order of the module tree
ORDER = ("frontend", "core", "steps", "pool", "head")


class GradientNorms:
    """Norms of the gradient of each part of a model, summed on its device and read once an epoch.

    Parameters
    ----------
    model : a `SequenceModel`. Its parts are `frontend`, the layers of the core `core.0`, `core.1`, ..., `steps`, `pool`
        and `head`, if they have parameters; of a list of cores `core.0` is the first core. Without a core the parts of
        the front end are its blocks, `frontend.0`, ...
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
        """Return the norm of the whole gradient, a scalar tensor, and store those of the parts for `keep`."""
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
        """Add the last measured step to the epoch's sums."""
        self._sum += self._squares.sqrt()
        self._steps += 1

    def take(self) -> dict[str, float]:
        """Return the mean norm of each part over the kept steps, by depth, and reset."""
        means = (self._sum / max(1, self._steps)).tolist()
        self._sum.zero_()
        self._steps = 0
        return dict(zip(self.parts, means, strict=True))


def _part(name: str, deep: str) -> str:
    """Return the part of a parameter; a layer of the second of several cores is core.1.<layer>.

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


FAR = 10.0  # a step's gradient norm is counted as far if above this many times the running quantile
KNOWN = 20  # norms before steps are counted
MEMORY = 100  # norms of the running quantile
TENTHS = 10  # parts of a sequence for the gradient over time


class Watch:
    """Measures of an epoch for the training warnings: outlier steps, bad losses, gradient over time.

    Parameters
    ----------
    model : the gradient over time is that of its first recurrent layer, in the first batch of an epoch.
    quantile : float: of the recent norms, with which a norm is compared.
    """

    def __init__(self, model: nn.Module, quantile: float) -> None:
        core = getattr(model, "core", None)
        layers = [] if core is None else [part for part in core.modules() if isinstance(part, Layer)]
        self.layer = layers[0] if layers else None
        self.quantile = quantile
        self.norms: deque[float] = deque(maxlen=MEMORY)
        self._far = 0
        self._squares: list[Tensor] = []  # of the gradient, by tenth of a sequence
        self._handle: RemovableHandle | None = None

    def begin(self) -> None:
        """Start an epoch."""
        self._far = 0
        self._squares = []
        self._release()
        if self.layer is not None:
            self._handle = self.layer.register_forward_pre_hook(self._listen)

    def step(self, norm: float) -> None:
        """Count a step whose gradient had this norm before clipping."""
        self._release()
        if not math.isfinite(norm):
            return
        if len(self.norms) >= KNOWN and norm > FAR * float(np.quantile(self.norms, self.quantile)):
            self._far += 1
        if norm > 0:  # as for clipping
            self.norms.append(norm)

    def take(self, losses: Tensor, add: Callable[[Tensor], Tensor] = lambda own: own) -> dict[str, float]:
        """End an epoch with these losses, (steps,), and return its columns of history.tsv.

        `add` sums a tensor over the processes that share a batch.

        first_loss : loss of the first step; bad_losses : steps whose loss is not finite; far_steps : steps whose
        gradient norm is far above the others; grad_time : smallest over largest gradient of the tenths of the
        sequences, nan if not measured.
        """
        self._release()
        parts = torch.stack(self._squares).sum(0).cpu() if self._squares else torch.zeros(TENTHS)
        parts = add(parts).sqrt() if self.layer is not None else parts
        finite = bool(parts.isfinite().all()) and float(parts.max()) > 0
        return {
            "first_loss": float(losses[0]) if len(losses) else math.nan,
            "bad_losses": int((~losses.isfinite()).sum()),
            "far_steps": self._far,
            "grad_time": float(parts.min() / parts.max()) if finite else math.nan,
        }

    def _release(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _listen(self, _: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x, lengths = given
        if not torch.is_grad_enabled():
            return None
        # features of a fixed table do not require a gradient
        x = x if x.requires_grad else x.detach().requires_grad_()

        def count(gradient: Tensor) -> None:
            self._squares.append(by_tenth(gradient.detach().float(), lengths))

        x.register_hook(count)
        return x, lengths


def by_tenth(gradient: Tensor, lengths: Tensor) -> Tensor:
    """Return the sum of squares of a gradient (B, T, F) in each tenth of the sequences, (10,).

    Sequences of fewer than ten steps are ignored.

    >>> by_tenth(torch.ones(2, 12, 1), torch.tensor([10, 9])).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    rows, time = gradient.shape[:2]
    steps = torch.arange(time, device=gradient.device).expand(rows, time)
    tenth = (steps * TENTHS // lengths[:, None].clamp(min=1)).clamp(max=TENTHS - 1)
    counted = valid(lengths, time) & (lengths >= TENTHS)[:, None]
    squares = torch.where(counted, gradient.square().sum(-1), 0.0)
    return torch.zeros(TENTHS, device=gradient.device).index_add_(0, tenth.flatten(), squares.flatten())


MAX_BAD_STEPS = 20  # consecutive steps without a finite gradient that abort a run


def derive_seed(seed: int, *place: int) -> int:
    """Return an independent seed for a place of a run (an epoch, a window).

    >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
    (True, False)
    """
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "little") % 2**63


class Batches:
    """The batches of an epoch, or of the validation set, for Lightning: iterable, with a length if known."""

    def __init__(self, make: Any, size: int | None) -> None:
        self.make, self.size = make, size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.make())

    def __len__(self) -> int:
        if self.size is None:
            raise TypeError("the number of batches is not known")
        return self.size


class Learner(pl.LightningModule):
    """Trains a `SequenceModel` on a `Task`.

    Order, augmentation and dropout of an epoch depend on (seed, epoch) alone, so that a run resumed at its last
    complete epoch ends with the same weights as an uninterrupted one. Several processes share each training batch, see
    `parallel`, and the validation batches.
    """

    def __init__(
        self,
        model: SequenceModel,
        task: Task,
        data: Data,
        recipe: Recipe,
        seed: int,
        workers: int = 1,
        processes: Processes | None = None,
    ) -> None:
        super().__init__()
        self.processes = processes or Processes()
        self.model = model
        # a function, not a module, whose parameters Lightning would count again
        self._run: Callable[..., Any] = Shards(model, workers) if workers > 1 and separable(model) else model.forward
        self.averaged = MovingAverage(model, recipe.training.ema) if recipe.training.ema else None
        if self.averaged is not None:
            self.averaged.requires_grad_(False)
        self.pieces = Pieces(model, task, recipe, self.processes)
        self.task, self.data, self.recipe, self.seed = task, data, recipe, seed
        self.gradients = GradientNorms(model)
        self.watch = Watch(model, recipe.training.clip_quantile)
        self.clip = QuantileClip(recipe.training.clip_quantile)
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0  # of training, over all parts of a resumed run
        self.bad_steps = 0
        self._losses: list[Tensor] = []
        self._norms: list[float] = []
        self._states: Any = None  # of the model after the last window, if batches carry them on
        self._collected: list[Any] = []
        self._valid_losses: list[tuple[float, float]] = []  # of each batch, and its weight
        # epoch -> predictions of the validation rows, for tasks that select the epoch again without some of them
        self.replay: dict[int, Any] = {}
        self._started = time.monotonic()

    @property
    def best_model(self) -> SequenceModel:
        """The model that is validated and saved: the moving average if the recipe has one."""
        return self.averaged.module if self.averaged is not None else self.model  # type: ignore[return-value]

    # -- data ---------------------------------------------------------------------------------------------------
    def train_dataloader(self) -> Batches:
        epoch = self.trainer.current_epoch
        steps = self.data.steps() if getattr(self.data, "sized", True) else None

        def pieces() -> Iterator[Piece]:
            made = map(self.pieces.cut, self.data.train(epoch, derive_seed(self.seed, epoch)))
            return ahead(piece.pinned() for piece in made) if self.device.type == "cuda" else made

        return Batches(pieces, steps)

    def val_dataloader(self) -> Batches:
        here = self.processes
        return Batches(lambda: islice(self.data.valid(), here.rank, None, here.size), None)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch.to(device)

    # -- training -----------------------------------------------------------------------------------------------
    def on_train_epoch_start(self) -> None:
        torch.manual_seed(derive_seed(self.seed, self.current_epoch, 1))  # dropout
        self._losses, self._norms, self._states = [], [], None
        self.watch.begin()
        self._started = time.monotonic()

    def training_step(self, piece: Piece, index: int) -> Tensor:
        self.pieces.enter(piece)
        outputs, lengths = self._outputs(piece.own)
        loss, part = self.pieces.loss(self.model, outputs, lengths, piece)
        self._losses.append(part)
        return loss

    def _outputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if batch.carried is None:
            return self._run(batch.x, batch.lengths)  # type: ignore[no-any-return]
        states = next_states(self._states, batch.carried)
        outputs, _, self._states = self.model.run_from(batch.x, batch.lengths, states)
        return outputs, batch.lengths

    def on_train_batch_end(self, *_: Any) -> None:
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        norm = self.clip(self.model.parameters(), self.gradients.measure())
        self._norms.append(norm)
        self.watch.step(norm)
        if math.isfinite(norm):
            self.gradients.keep()
        self.bad_steps = 0 if math.isfinite(norm) else self.bad_steps + 1
        if self.bad_steps >= MAX_BAD_STEPS:
            raise Diverged(
                f"training: the gradient was not finite in {self.bad_steps} steps in a row at epoch "
                f"{self.current_epoch}; lower training.lr (now {self.recipe.training.lr:g}) or use precision '32'"
            )

    def configure_optimizers(self) -> Any:
        settings = self.recipe.training
        decayed = [p for p in self.model.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in self.model.parameters() if p.requires_grad and p.ndim <= 1]  # biases and norms
        groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, foreach=True)
        steps = settings.epochs * self.data.steps()
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, steps, settings.warmup, settings.final_lr)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # -- validation ---------------------------------------------------------------------------------------------
    def on_validation_epoch_start(self) -> None:
        self._collected, self._valid_losses = [], []

    def validation_step(self, batch: Batch, index: int) -> None:
        outputs, lengths = self.best_model(batch.x, batch.lengths)
        loss = float(self.task.loss(self.best_model, outputs, lengths, batch, self.recipe))
        weight = self.task.share(batch, self.recipe)
        self._valid_losses.append((loss, float(len(batch)) if weight is None else weight))
        if hasattr(self.task, "collect_from"):  # predictions need a search
            self._collected.append(self.task.collect_from(self.best_model, outputs, lengths, batch, self.recipe))
        else:
            self._collected.append(self.task.collect(outputs, lengths, batch))

    def on_validation_epoch_end(self) -> None:
        collected, valid_losses = self._of_all(self._collected), self._of_all(self._valid_losses)
        scores = self.task.score(collected)
        if hasattr(self.task, "keep"):
            self.replay = {epoch: kept for epoch, kept in self.replay.items() if epoch < self.current_epoch}
            self.replay[self.current_epoch] = torch.from_numpy(self.task.keep(collected))
        self._collected = []
        now = time.monotonic()
        self.seconds += now - self._started
        self._started = now
        finite = [norm for norm in self._norms if math.isfinite(norm)]
        losses = self.processes.add(torch.stack(self._losses).float()) if self._losses else torch.zeros(0)
        row = {
            "epoch": self.current_epoch,
            "step": self.trainer.global_step,
            "seconds": round(self.seconds, 2),
            "train_loss": float(losses[losses.isfinite()].mean()),
            "valid_loss": weighted_mean(valid_losses),
            "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
            "grad_norm": sum(finite) / max(1, len(finite)),
            "skipped_steps": len(self._norms) - len(finite),
            **self.watch.take(losses, self.processes.add),
            **{f"grad_norm.{part}": mean for part, mean in self.gradients.take().items()},
            **{f"valid_{name}": value for name, value in scores.items()},
        }
        self.history = [*[old for old in self.history if old["epoch"] < row["epoch"]], row]
        self.log("monitor", self.monitored(row), logger=False)

    def monitored(self, row: dict[str, float]) -> float:
        """Return the value of an epoch, by its row of the history, of which the highest is the best.

        Validation rows that are trained on cannot select an epoch: the last one is the best.
        """
        whole = self.recipe.training.rows != "train"
        score = float(row["epoch"]) if whole else row[f"valid_{self.task.monitor}"]
        return score if math.isfinite(score) else -1e9

    def _of_all(self, own: list[Any]) -> list[Any]:
        """Return the values of the validation batches of all processes, in the order of the batches."""
        parts = self.processes.gather(own)
        return [parts[place % len(parts)][place // len(parts)] for place in range(sum(map(len, parts)))]

    # -- checkpoints --------------------------------------------------------------------------------------------
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # plain Python numbers, so that the checkpoint can be read without unpickling other objects
        history = [{name: _plain(value) for name, value in row.items()} for row in self.history]
        norms = [float(norm) for norm in self.clip.norms]
        checkpoint["biorrn"] = {
            "history": history,
            "norms": norms,
            "seconds": float(self.seconds),
            "replay": dict(self.replay),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["biorrn"]
        self.history, self.seconds = list(state["history"]), float(state["seconds"])
        self.clip.norms.extend(norm for norm in state["norms"] if norm > 0)
        self.replay = dict(state.get("replay") or {})


def weighted_mean(pairs: list[tuple[float, float]]) -> float:
    """Return the weighted mean of (value, weight) pairs; NaN if no weight is above 0.

    >>> weighted_mean([(1.0, 3.0), (5.0, 1.0), (float("nan"), 0.0)])
    2.0
    """
    weight = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs if weight) / weight if weight else math.nan


def _plain(value: Any) -> Any:
    """Return a number of numpy or torch as a Python number, and any other value unchanged."""
    return value.item() if hasattr(value, "item") else value


class MovingAverage(AveragedModel):
    """An exponential moving average of weights, whose decay rises at first, to forget the initial weights.

    Torch's own class asks the device for the number of steps at each of them, which this one counts by itself.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay
        self._steps: int | None = None  # None: as many as `n_averaged` says

    def update_parameters(self, model: nn.Module) -> None:
        """Add the weights of a step."""
        steps = int(self.n_averaged) if self._steps is None else self._steps
        averages, current = (
            [parameter.detach() for parameter in parameters]
            for parameters in (self.module.parameters(), model.parameters())
        )
        if steps:
            torch._foreach_lerp_(averages, current, 1 - min(self.decay, (1 + steps) / (10 + steps)))
        else:
            torch._foreach_copy_(averages, current)
        for kept, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
        self.n_averaged += 1
        self._steps = steps + 1

    def _load_from_state_dict(self, *given: Any, **named: Any) -> None:
        self._steps = None
        super()._load_from_state_dict(*given, **named)


AHEAD = 2  # batches that a thread makes while a GPU works on others
END = object()


def ahead(items: Iterable[Any], count: int = AHEAD) -> Iterator[Any]:
    """Yield items that another thread makes, up to `count` ahead."""
    source = iter(items)
    with ThreadPoolExecutor(1, "batches") as pool:
        made = deque(pool.submit(next, source, END) for _ in range(count))
        while (item := made.popleft().result()) is not END:
            made.append(pool.submit(next, source, END))
            yield item


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
