"""What a command uses when its user names nothing."""

from __future__ import annotations

import torch

from biorrn.base.errors import ConfigError
from biorrn.config.recipe import Chunks, load_recipe
from biorrn.nn.store import RECIPE, find_model, shipped_models

# Measured on lambda: a CRF trained on 2,000 samples calls best in chunks of 3,000 (0.875 mean identity; 0.873 in 2,000)
# and loses with longer ones (0.874 in 4,000, 0.871 in 8,000): its states drift to where training never was.
LONGER = 1.5


def default_batch_size(device: torch.device) -> int:
    """Return the chunks a batch that keep a device busy."""
    return 96 if device.type == "cpu" else 256


def calling_chunks(trained: Chunks, stride: int) -> Chunks:
    """Return how signal is cut to be called: in chunks `LONGER` times those of training, so that less is scored twice.

    >>> calling_chunks(Chunks(samples=2400, overlap=300), 5).samples
    3600
    """
    return trained.model_copy(update={"samples": round(LONGER * trained.samples / stride) * stride})


def default_model() -> str:
    """Return the id of the shipped basecalling model.

    Raises
    ------
    ConfigError: none is shipped, or more than one.
    """
    known = [name for name in shipped_models() if load_recipe(find_model(name) / RECIPE).task == "basecalling"]
    if len(known) != 1:
        found = f"several are shipped: {', '.join(known)}" if known else "this version ships none"
        raise ConfigError(f"--model: name a basecalling model, a run folder or a shipped id; {found}")
    return known[0]
