"""What a command uses when its user names nothing."""

from __future__ import annotations

import torch

from biorrn.config import load_recipe
from biorrn.errors import ConfigError
from biorrn.models.store import RECIPE, find_model, shipped_models


def default_batch_size(device: torch.device) -> int:
    """Return the chunks a forward pass that keep a device busy."""
    return 64 if device.type == "cpu" else 512


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
