"""Models on disk: a folder with `weights.safetensors` and `recipe.yaml`. Nothing in it is ever executed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from biorrn.config import Recipe, dump_recipe, load_recipe
from biorrn.errors import ConfigError, InputError
from biorrn.files import atomic_path, write_text
from biorrn.lookup import nearest
from biorrn.models.build import build, settle

WEIGHTS, RECIPE = "weights.safetensors", "recipe.yaml"
LARGE = 1000  # numbers of a tensor from which `shrink` halves it


@dataclass(frozen=True, slots=True)
class Stored:
    """A loaded model.

    Attributes
    ----------
    model : module in evaluation mode, on the CPU: a SequenceModel, or for regression also another of `models.build`.
    recipe : Recipe that it was built from.
    facts : dict: what inference must know of the training data (task, targets, lengths; or normaliser, sample rate).
    path : Path of its folder.
    """

    model: nn.Module
    recipe: Recipe
    facts: dict[str, Any]
    path: Path


def shipped_models() -> list[str]:
    """Return the ids of the models in the package."""
    root = resources.files("biorrn.pretrained")
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and (entry / WEIGHTS).is_file())


def find_model(name: str | Path) -> Path:
    """Return the folder of a model, by path or by shipped id.

    Raises
    ------
    ConfigError: neither a folder nor the id of a shipped model.
    """
    if Path(name).is_dir():
        return Path(name)
    known = shipped_models()
    if str(name) in known:
        return Path(str(resources.files("biorrn.pretrained") / str(name)))
    close = nearest(str(name), known)
    hint = f"; did you mean '{close}'?" if close else "."
    raise ConfigError(f"model '{name}' is not a folder nor a shipped model{hint} Shipped: {', '.join(known) or 'none'}")


def save_model(folder: str | Path, model: nn.Module, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write a model folder; each file appears whole or not at all."""
    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with write_text(folder / RECIPE) as stream:
        stream.write(dump_recipe(settle(recipe, model)))
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(weights, temporary, metadata={"biorrn": json.dumps(facts, sort_keys=True)})


def update_facts(folder: str | Path, **entries: Any) -> None:
    """Set entries of the facts of a model folder; weights, recipe and all other facts stay as they are.

    Raises
    ------
    InputError: the folder holds no readable weights of biorrn.
    BiorrnError: the folder cannot be written; it is then as it was.
    """
    tensors, facts = _stored_weights(folder)
    _write_weights(folder, tensors, facts | entries)


def shrink(folder: str | Path) -> None:
    """Keep the large float32 tensors of a model folder as float16, which halves it; small ones stay exact.

    Raises
    ------
    InputError, BiorrnError: as `update_facts`.
    """
    tensors, facts = _stored_weights(folder)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.float32 and tensor.numel() >= LARGE:
            tensors[name] = tensor.half()
    _write_weights(folder, tensors, facts)


def _stored_weights(folder: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    weights = Path(folder) / WEIGHTS
    try:
        with safe_open(str(weights), framework="pt") as stream:
            facts = json.loads((stream.metadata() or {}).get("biorrn", "null"))
            names = stream.keys()
            tensors = {name: stream.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(weights, f"is not a readable safetensors file: {error}") from error
    if not isinstance(facts, dict):
        raise InputError(weights, "holds no facts of the training data; was it written by biorrn?")
    return tensors, facts


def _write_weights(folder: str | Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    with atomic_path(Path(folder) / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"biorrn": json.dumps(facts, sort_keys=True)})


def load_facts(name: str | Path) -> dict[str, Any]:
    """Return the facts of a model folder or a shipped model.

    Raises
    ------
    ConfigError: no such model.
    InputError: the folder holds no readable weights of biorrn.
    """
    return _stored_weights(find_model(name))[1]


def load_model(name: str | Path) -> Stored:
    """Load a model folder or a shipped model, strictly: every tensor in place, of the right shape, none left over.

    Raises
    ------
    ConfigError: no such model, or its recipe is not valid.
    InputError: the weights are missing, damaged, or do not belong to the recipe.
    """
    folder = find_model(name)
    weights = folder / WEIGHTS
    for part in (weights, folder / RECIPE):
        if not part.is_file():
            raise InputError(folder, f"is not a model folder: {part.name} is missing")
    recipe = load_recipe(folder / RECIPE)
    try:
        with safe_open(str(weights), framework="pt") as stream:
            facts = json.loads((stream.metadata() or {}).get("biorrn", "null"))
            if not isinstance(facts, dict):
                raise InputError(weights, "holds no facts of the training data; was it written by biorrn?")
            model = build(recipe, facts)
            _fill(model, stream, weights)
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(weights, f"is not a readable safetensors file: {error}") from error
    return Stored(model.eval(), recipe, facts, folder)


def start_from(model: nn.Module, name: str | Path) -> int:
    """Copy what fits from a stored model into another: tensors of the same name and shape. Return how many.

    Raises
    ------
    ConfigError: no tensor fits, or no such model.
    """
    given, own = load_model(name).model.state_dict(), model.state_dict()
    fitting = [key for key, tensor in own.items() if key in given and given[key].shape == tensor.shape]
    if not fitting:
        raise ConfigError(f"--init {name}: none of its tensors has the name and shape of one of the recipe's model")
    with torch.no_grad():
        for key in fitting:
            own[key].copy_(given[key])
    return len(fitting)


def _fill(model: nn.Module, stream: Any, source: Path) -> None:
    own = model.state_dict()
    found = set(stream.keys())
    if found != set(own):
        odd = sorted(found ^ set(own))[0]
        raise InputError(source, f"tensor '{odd}' is {'unexpected' if odd in found else 'missing'} for its recipe")
    with torch.no_grad():
        for name, tensor in own.items():
            shape = tuple(stream.get_slice(name).get_shape())  # before anything of that size is allocated
            if shape != tuple(tensor.shape):
                raise InputError(
                    source, f"tensor '{name}' has shape {shape}; its recipe asks for {tuple(tensor.shape)}"
                )
            tensor.copy_(stream.get_tensor(name))
