"""How long an epoch of a network takes here: a few batches of the data at hand, timed."""

from __future__ import annotations

import time

import numpy as np
import torch

from biorrn.config import Recipe
from biorrn.datasets.proteins import pad_tokens
from biorrn.models.build import build
from biorrn.tasks.protein_table import Table

SPENT = 1.0  # seconds of timing after which no further batch is taken
BATCHES = 3
RESIDUES = 60_000  # in a timed batch at most


def seconds_an_epoch(recipe: Recipe, table: Table, device: torch.device, reference: str = "", seed: int = 0) -> float:
    """Return the seconds that one pass of training over a table would take.

    Parameters
    ----------
    recipe : Recipe of one network.
    table : the rows; batches of them, of median length, are timed.
    reference : str: of a variant front end that names none.
    """
    facts = {"outputs": table.targets.shape[1]}
    model = build(with_reference(recipe, reference), facts).to(device).train()
    rng = np.random.default_rng(seed)
    order = np.argsort(table.lengths, kind="stable")
    size = max(1, min(recipe.training.batch_size, len(table), RESIDUES // max(1, int(np.median(table.lengths)))))
    middle = max(0, len(order) // 2 - size // 2)
    rows = rng.permutation(order[middle : middle + size])
    x, lengths = (part.to(device) for part in pad_tokens([table.sequence(row) for row in rows]))
    times, start = [], time.perf_counter()
    state = torch.random.get_rng_state()
    for _ in range(BATCHES):
        before = time.perf_counter()
        outputs, _ = model(x, lengths)
        outputs.square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - before)
        if time.perf_counter() - start > SPENT and len(times) > 1:
            break
    torch.random.set_rng_state(state)
    # of the first, kernels are built
    return min(times[1:]) * float(table.lengths.sum()) / float(x.numel())


def with_reference(recipe: Recipe, reference: str) -> Recipe:
    """Return a recipe whose variant front end, where it has one without a reference, names this one."""
    frontend = getattr(recipe.model, "frontend", None)
    if not reference or recipe.model is None or getattr(frontend, "name", "") != "variant":
        return recipe
    if frontend.reference is not None:  # type: ignore[union-attr]
        return recipe
    settled = frontend.model_copy(update={"reference": reference})  # type: ignore[union-attr]
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"frontend": settled})})
