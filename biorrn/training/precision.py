"""Which precision pays on this machine for this model: measured, not assumed."""

from __future__ import annotations

import sys
import time

import torch

from biorrn.batch import Batch
from biorrn.config import Recipe
from biorrn.device import has_bfloat16
from biorrn.errors import ConfigError
from biorrn.models.sequence import SequenceModel
from biorrn.training.task import Data, Task

LIGHTNING = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
GAIN = 1.1  # mixed precision must be faster by this factor to be worth its rounding


def choose_precision(model: SequenceModel, task: Task, data: Data, recipe: Recipe, device: torch.device) -> str:
    """Return "32", "bf16" or "16": what the recipe asks, or for "auto" the faster of float32 and bfloat16 on a batch.

    A device without bfloat16 is not asked how fast it is: "auto" is "32" there.

    Raises
    ------
    ConfigError: float16 on a device that only bfloat16 or float32 can be trained on.
    """
    asked = recipe.training.precision
    if asked == "16" and device.type != "cuda":
        raise ConfigError(f"training.precision: found '16' on {device}; allowed there is one of 32, bf16, auto")
    if asked != "auto":
        return asked
    if not has_bfloat16(device):
        return "32"
    print("measuring whether bfloat16 is faster here than float32", file=sys.stderr, flush=True)
    batch = next(iter(data.train(0, 0))).to(device)
    seconds = {name: _time(name, model, task, batch, recipe, device) for name in ("32", "bf16")}
    return "bf16" if seconds["bf16"] * GAIN < seconds["32"] else "32"


def possible(precision: str, device: torch.device) -> str:
    """Return the precision itself, or "32" with a line on standard error where the device cannot run bfloat16.

    A recipe may ask for bfloat16, and a run may have begun in it on another machine.
    """
    if precision != "bf16" or has_bfloat16(device):
        return precision
    processor = "this processor" if device.type == "cpu" else f"{device}"
    print(f"training.precision: bf16 is not possible, {processor} cannot run it; float32 instead", file=sys.stderr)
    return "32"


def _time(
    precision: str, model: SequenceModel, task: Task, batch: Batch, recipe: Recipe, device: torch.device
) -> float:
    """Return the seconds of the fastest of three training steps; weights and gradients stay as they were."""
    model = model.to(device)
    best = float("inf")
    for _ in range(4):  # the first builds kernels
        start = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            outputs, lengths = model(batch.x, batch.lengths)
            loss = task.loss(model, outputs, lengths, batch, recipe)
        torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best
