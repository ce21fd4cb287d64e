"""Synthetic tasks with long time lags: adding and copying (Hochreiter and Schmidhuber 1997).

`adding`: each step has a number in [0, 1] and a mark; the target at the end is the sum of the two marked numbers, one
in either half. `copying`: ten symbols of eight kinds come first, then blanks; after a cue, the symbols are to be output
in order. Only the state carries the input, so the score shows how far back a cell remembers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn.base.terminal import progress
from biorrn.config import recipe as config
from biorrn.nn.cells import Stack
from biorrn.training.learner import derive_seed, warmup_cosine

SYMBOLS, COPIED = 8, 10
FEATURES = 32  # of a step that the core reads
JUDGED = 1000  # sequences of the test


class Recall(nn.Module):
    """A linear layer to `FEATURES` a step, a recurrent core, a linear layer: (B, T, inputs) -> (B, T, outputs).

    The linear layer in front keeps the number of units realistic for cells without a recurrent matrix, which would
    otherwise get thousands of units within a parameter budget.
    """

    def __init__(self, inputs: int, outputs: int, core: config.Core) -> None:
        super().__init__()
        self.front = nn.Linear(inputs, FEATURES)
        self.core = Stack(FEATURES, core)
        self.head = nn.Linear(self.core.width, outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        h: Tensor = self.head(self.core(self.front(x), lengths)[0])
        return h


def make_adding(rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return x (B, T, 2), numbers and marks, and the sums of the marked numbers (B,)."""
    numbers = torch.rand(rows, length, generator=generator)
    half = length // 2
    places = torch.stack(
        [
            torch.randint(0, half, (rows,), generator=generator),
            torch.randint(half, length, (rows,), generator=generator),
        ],
        1,
    )
    marks = torch.zeros(rows, length).scatter_(1, places, 1.0)
    return torch.stack([numbers, marks], 2), numbers.gather(1, places).sum(1)


def make_copying(rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return x (B, T + 20, 10), one-hot, and the symbols (B, 10) to output in the last ten steps.

    The symbols come first, then blanks, a cue at the eleventh step from the end, and blanks again.
    """
    symbols = torch.randint(0, SYMBOLS, (rows, COPIED), generator=generator)
    shown = torch.full((rows, length + 2 * COPIED), SYMBOLS)
    shown[:, :COPIED] = symbols
    shown[:, -COPIED - 1] = SYMBOLS + 1
    return F.one_hot(shown, SYMBOLS + 2).float(), symbols


def _adding_loss(outputs: Tensor, sums: Tensor) -> Tensor:
    return F.mse_loss(outputs[:, -1, 0].float(), sums)


def _adding_score(outputs: Tensor, sums: Tensor) -> float:
    """Return R2; predicting the mean gives 0."""
    return 1 - float((outputs[:, -1, 0] - sums).square().mean() / sums.var(unbiased=False))


def _copying_loss(outputs: Tensor, symbols: Tensor) -> Tensor:
    return F.cross_entropy(outputs[:, -COPIED:].flatten(0, 1).float(), symbols.flatten())


def _copying_score(outputs: Tensor, symbols: Tensor) -> float:
    """Return the accuracy of the symbols; chance is one in eight."""
    return float((outputs[:, -COPIED:].argmax(2) == symbols).float().mean())


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A synthetic task: sizes, maker of batches, loss and score."""

    metric: str
    inputs: int
    outputs: int
    shortest: int
    make: Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], float]


@dataclass(frozen=True, slots=True)
class Settings:
    """Training of a synthetic task: steps, sequences per step, peak learning rate, clipping norm."""

    steps: int = 2000
    batch_size: int = 32
    lr: float = 5e-3
    clip: float = 1.0


def fit(
    task: Synthetic,
    model: Recall,
    length: int,
    settings: Settings,
    *,
    seed: int,
    device: torch.device,
    max_minutes: float | None,
    what: str,
) -> tuple[float, bool]:
    """Train a model on generated batches; return the seconds and whether the time limit stopped it."""
    generator = torch.Generator().manual_seed(derive_seed(seed))
    optimiser = torch.optim.AdamW(model.parameters(), settings.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: warmup_cosine(step, settings.steps, 0.05, 0.01)
    )
    model.train()
    start, stopped = time.monotonic(), False
    with progress(what, "steps", settings.steps) as advance:
        for _ in range(settings.steps):
            if max_minutes is not None and time.monotonic() - start > 60 * max_minutes:
                stopped = True
                break
            x, targets = (part.to(device) for part in task.make(settings.batch_size, length, generator))
            loss = task.loss(model(x, _full(x)), targets)
            optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            if math.isfinite(float(norm)):  # skip a step that would make the weights NaN
                optimiser.step()
            schedule.step()
            advance(1)
    return time.monotonic() - start, stopped


def judge(task: Synthetic, model: Recall, length: int, *, seed: int, device: torch.device) -> float:
    """Return the score of a model on test sequences, the same for every model of a seed."""
    generator = torch.Generator().manual_seed(derive_seed(seed, 1))
    outputs, targets = [], []
    with torch.inference_mode():
        for _ in range(0, JUDGED, 100):
            x, target = task.make(100, length, generator)
            outputs.append(model.eval()(x.to(device), _full(x).to(device)).float().cpu())
            targets.append(target)
    return task.score(torch.cat(outputs), torch.cat(targets))


def _full(x: Tensor) -> Tensor:
    return torch.full((x.shape[0],), x.shape[1], device=x.device)


SYNTHETIC: dict[str, Synthetic] = {
    "adding": Synthetic("r2", 2, 1, 2, make_adding, _adding_loss, _adding_score),
    "copying": Synthetic("symbols_right", SYMBOLS + 2, SYMBOLS, 1, make_copying, _copying_loss, _copying_score),
}
