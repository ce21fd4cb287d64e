"""Two synthetic tasks that need memory, made as they are trained on (Hochreiter and Schmidhuber 1997).

`adding`: each step shows a number in [0, 1] and a mark; the sum of the two numbers that are marked, one in either half,
is to be told at the end. `copying`: ten symbols of eight kinds come first, then nothing for a while; at a sign they are
to be told in their order. Nothing but the state carries what was seen, so that the score says how far a cell remembers.
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

    With the few features of these tasks alone, a budget of parameters would go to thousands of units in a cell whose
    state has no matrix, which no task of the field asks for.
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
    """Return x (B, T + 20, 10), one-hot, and the symbols (B, 10) that the last ten steps are to tell.

    The symbols come first; then blanks; a sign at the eleventh step from the end; then blanks again.
    """
    symbols = torch.randint(0, SYMBOLS, (rows, COPIED), generator=generator)
    shown = torch.full((rows, length + 2 * COPIED), SYMBOLS)
    shown[:, :COPIED] = symbols
    shown[:, -COPIED - 1] = SYMBOLS + 1
    return F.one_hot(shown, SYMBOLS + 2).float(), symbols


def _adding_loss(outputs: Tensor, sums: Tensor) -> Tensor:
    return F.mse_loss(outputs[:, -1, 0].float(), sums)


def _adding_score(outputs: Tensor, sums: Tensor) -> float:
    """Return R2: the part of the sums' variance that is told; 0 is what their mean gives."""
    return 1 - float((outputs[:, -1, 0] - sums).square().mean() / sums.var(unbiased=False))


def _copying_loss(outputs: Tensor, symbols: Tensor) -> Tensor:
    return F.cross_entropy(outputs[:, -COPIED:].flatten(0, 1).float(), symbols.flatten())


def _copying_score(outputs: Tensor, symbols: Tensor) -> float:
    """Return the part of the symbols that are right; chance gives one in eight."""
    return float((outputs[:, -COPIED:].argmax(2) == symbols).float().mean())


@dataclass(frozen=True, slots=True)
class Synthetic:
    """One task: its sizes, what makes a batch, loss and score."""

    metric: str
    inputs: int
    outputs: int
    shortest: int
    make: Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], float]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a synthetic task is trained: steps of gradient, sequences a step, the highest rate, the gradient's norm."""

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
    """Train a model on batches made on the way; return the seconds it took and whether the time limit ended it."""
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
            if math.isfinite(float(norm)):  # else this step would end the model
                optimiser.step()
            schedule.step()
            advance(1)
    return time.monotonic() - start, stopped


def judge(task: Synthetic, model: Recall, length: int, *, seed: int, device: torch.device) -> float:
    """Return the score of a model on sequences that training has not seen, the same for every model of a seed."""
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
