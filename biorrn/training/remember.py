"""Fill an ensemble's memory of the training rows: what they are, and what its members got wrong there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from biorrn.config import Recipe
from biorrn.models.build import neighbours
from biorrn.models.ensemble import Ensemble
from biorrn.training.task import Data


def remember(
    model: Ensemble, recipe: Recipe, data: Data, device: torch.device, facts: dict[str, Any]
) -> tuple[int, int]:
    """Give the model its `neighbours`, and return their size, rows and residues of the longest.

    Residuals are those of the trained members, on the rows that trained them, so they are smaller than on new rows; the
    recipe's `noise` is chosen for such residuals.
    """
    tokens, residuals = [], []
    model = model.to(device)
    with torch.inference_mode():
        for batch in data.train(0, 0):  # each row once; the order does not matter
            batch = batch.to(device)
            assert batch.targets is not None
            missing = (batch.targets - model(batch.x, batch.lengths)[0]).nan_to_num()
            residuals.append(missing.cpu().numpy().astype(np.float16))
            tokens.append(batch.x.cpu().numpy().astype(np.uint8))
    model.cpu()
    longest = max(int((part > 0).sum(1).max()) for part in tokens)
    size = (sum(len(part) for part in tokens), longest)
    memory = neighbours(recipe, facts | {"neighbours": size})
    assert memory is not None
    memory.tokens.copy_(torch.from_numpy(np.concatenate([_widened(part, longest) for part in tokens])))
    memory.residuals.copy_(torch.from_numpy(np.concatenate(residuals)))
    model.neighbours = memory
    return size


def _widened(rows: np.ndarray, longest: int) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, max(0, longest - rows.shape[1]))))[:, :longest]
