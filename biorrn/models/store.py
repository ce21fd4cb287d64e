"""Models on disk: a folder with `weights.safetensors` and `recipe.yaml`. Nothing in it is ever executed.

Nothing in it names another file either, and a model is built only as large as its weights are.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from biorrn import config
from biorrn.config import Recipe, dump_recipe, load_recipe
from biorrn.errors import ConfigError, InputError
from biorrn.files import atomic_path, read_text, write_text
from biorrn.lookup import nearest
from biorrn.models.budget import SPARE, Budget
from biorrn.models.build import build, settle
from biorrn.models.facts import check_task, parse_about, parse_facts
from biorrn.models.hidden import Part

WEIGHTS, RECIPE, ABOUT = "weights.safetensors", "recipe.yaml", "about.yaml"
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
    if os.path.isdir(name):  # which a name too long for a folder does not disturb
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
            facts = parse_facts((stream.metadata() or {}).get("biorrn"), weights)
            names = stream.keys()
            return {name: stream.get_tensor(name) for name in names}, facts
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(weights, f"is not a readable safetensors file: {error}") from error


def _write_weights(folder: str | Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    with atomic_path(Path(folder) / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"biorrn": json.dumps(facts, sort_keys=True)})


def described(facts: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the facts of a model with what `about.yaml` in its folder says of it, where there is one.

    Raises
    ------
    InputError: the file is no YAML, has an unknown key, or names a target that the model does not have.
    """
    if not (folder / ABOUT).is_file():
        return facts
    about = parse_about(read_text(folder / ABOUT), folder / ABOUT)
    more = {str(target["name"]): target for target in about.pop("targets", [])}
    names = [str(target["name"]) for target in facts.get("targets") or ()]
    if odd := [name for name in more if name not in names]:
        raise InputError(folder / ABOUT, f"target '{odd[0]}': the model has {', '.join(names) or 'none'}")
    targets = [target | more.get(str(target["name"]), {}) for target in facts.get("targets") or ()]
    return facts | about | {"targets": targets}


def load_facts(name: str | Path) -> dict[str, Any]:
    """Return the facts of a model folder or a shipped model.

    Raises
    ------
    ConfigError: no such model.
    InputError: the folder holds no readable weights of biorrn.
    """
    folder = find_model(name)
    return described(_stored_weights(folder)[1], folder)


def load_model(name: str | Path) -> Stored:
    """Load a model folder or a shipped model, strictly: every tensor in place, of the right shape, none left over.

    Raises
    ------
    ConfigError: no such model, or its recipe is not valid.
    InputError: the weights are missing, damaged, larger than the recipe needs or smaller than it asks for, or do not
        belong to it; or the recipe names a file.
    """
    folder = find_model(name)
    weights = folder / WEIGHTS
    for part in (weights, folder / RECIPE):
        if not part.is_file():
            raise InputError(folder, f"is not a model folder: {part.name} is missing")
    recipe = load_recipe(folder / RECIPE)
    for path in _paths(recipe):
        raise InputError(folder / RECIPE, f"names the file '{path}'; a model folder holds all that it needs")
    try:
        with safe_open(str(weights), framework="pt") as stream:
            facts = described(parse_facts((stream.metadata() or {}).get("biorrn"), weights), folder)
            check_task(facts, recipe, weights)
            held = sum(math.prod(stream.get_slice(name).get_shape()) for name in stream.keys())  # noqa: SIM118
            with Budget(held + SPARE, folder / RECIPE):
                model = _built(recipe, facts, folder)
            _fill(model, stream, weights)
    except (SafetensorError, OSError) as error:
        raise InputError(weights, f"is not a readable safetensors file: {error}") from error
    if facts.get("stride", model.stride) != model.stride:
        raise InputError(weights, f"fact 'stride': found {facts['stride']}; that of its recipe is {model.stride}")
    return Stored(model.eval(), recipe, facts, folder)


def _paths(recipe: Recipe) -> Iterator[str]:
    """Yield the files that a recipe names: training may read them, a model folder may not."""
    frontend = getattr(recipe.model, "frontend", None)
    found = [getattr(frontend, name, None) for name in ("path", "backward")]
    for part in getattr(frontend, "parts", ()):
        inner = part.get("frontend")
        found += [inner.get(name) for name in ("path", "backward")] if isinstance(inner, dict) else []
    yield from (path for path in found if path is not None)
    for member in recipe.members or ():
        yield from [member.recipe] if isinstance(member.recipe, str) else _paths(member.recipe)


def _built(recipe: Recipe, facts: dict[str, Any], folder: Path) -> nn.Module:
    try:
        return build(recipe, facts)
    except (ValueError, TypeError, LookupError, RuntimeError, ArithmeticError) as error:
        words = " ".join(str(error).split())[:100]
        raise InputError(folder, f"its recipe and the facts of its weights do not go together: {words}") from error


def language_models(frontend: config.Frontend) -> list[Part]:
    """Load the language models that a front end `language_model` names; none for any other.

    Raises
    ------
    ConfigError: no such model, or one of another task.
    InputError: as `load_model`.
    """
    parts = []
    for path in (frontend.path, frontend.backward) if isinstance(frontend, config.LanguageModel) else ():
        if path is None:
            continue
        stored = load_model(path)
        if stored.facts.get("task") != "language":
            raise ConfigError(f"{path}: is a model for {stored.facts.get('task')}; expected one for language")
        parts.append(Part(stored.recipe.network, stored.facts["tokeniser"], stored.model, path))
    return parts


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
    names = set(stream.keys())
    if names != set(own):
        odd = sorted(names ^ set(own))[0]
        raise InputError(source, f"tensor '{odd}' is {'unexpected' if odd in names else 'missing'} for its recipe")
    with torch.no_grad():
        for name, tensor in own.items():
            shape = tuple(stream.get_slice(name).get_shape())  # before anything of that size is allocated
            if shape != tuple(tensor.shape):
                raise InputError(
                    source, f"tensor '{name}' has shape {shape}; its recipe asks for {tuple(tensor.shape)}"
                )
            found = stream.get_tensor(name)
            if found.is_floating_point() != tensor.is_floating_point() or found.is_complex():
                raise InputError(
                    source, f"tensor '{name}' is of type {found.dtype}; its recipe asks for {tensor.dtype}"
                )
            if found.is_floating_point() and found.isnan().any():
                raise InputError(source, f"tensor '{name}' holds what is not a number")
            tensor.copy_(found)
    for place, module in model.named_modules():
        for name, limit in module.limits().items() if hasattr(module, "limits") else ():  # type: ignore[operator]
            indices = getattr(module, name)
            if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < limit:
                raise InputError(source, f"tensor '{place}.{name}' holds an index beyond 0 to {limit - 1}")
