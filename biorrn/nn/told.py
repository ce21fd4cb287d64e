"""What a model of effects tells of each substitution of one protein: features for models of its variants."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import ConfigError
from biorrn.nn.frontends import Trained
from biorrn.nn.store import load_model
from biorrn.sequences.alphabets import N_TOKENS, STANDARD

RESIDUES = len(STANDARD)


def told(name: str, reference: np.ndarray) -> np.ndarray:
    """Return what a model tells of each substitution, float64 (L, N_TOKENS, F), each feature with deviation 1.

    The features are the model's effect, its mean over the residues of the position, and what the models in its front
    end say: language models the log odds of the new residue, taggers their values of the position. Those of an unknown
    or deleted residue are the means of the position; those of the reference's own residue are 0.

    Parameters
    ----------
    name : str: a shipped model or folder.
    reference : uint8 array (L,): tokens.

    Raises
    ------
    ConfigError: no such model, or one that does not tell effects of substitutions.
    """
    return _told(name, reference.astype(np.uint8).tobytes()).copy()


@lru_cache(maxsize=4)  # the Gaussian process and the forest of a table, and each of its folds, ask for the same
def _told(name: str, reference_bytes: bytes) -> np.ndarray:
    reference = np.frombuffer(reference_bytes, np.uint8)
    stored = load_model(name)
    if not stored.facts.get("effect"):
        raise ConfigError(f"effects: {name} is a model for {stored.facts.get('task')}; expected one such as ddg")
    x, lengths = torch.from_numpy(reference.astype(np.int64))[None], torch.tensor([len(reference)])
    model = stored.model.eval()
    frontend = getattr(model, "frontend", None)
    parts: list[Any] = list(frontend.models) if isinstance(frontend, Trained) else []
    with torch.inference_mode():
        table = model(x, lengths)[0][0].double().numpy()  # (L, 20)
        others = [part(x, lengths)[0].double().numpy() for part in parts]  # (L, width)
    other = np.arange(1, RESIDUES + 1) != reference[:, None]  # (L, 20)
    layers = [np.where(other, table, 0.0)]
    layers.append(np.broadcast_to(layers[0].mean(1, keepdims=True), table.shape))
    for values in others:
        if values.shape[1] >= RESIDUES:
            layers.append(values[:, :RESIDUES])
        else:
            layers += [np.broadcast_to(column[:, None], table.shape) for column in values.T]
    found = np.stack(layers, -1)  # (L, 20, F)
    found = found / np.maximum(found[other].std(0), 1e-6)
    every = np.repeat(found.mean(1, keepdims=True), N_TOKENS, 1)
    every[:, 1 : RESIDUES + 1] = found
    every[np.arange(len(reference)), reference] = 0.0
    return every
