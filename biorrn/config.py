"""Recipes: a model and its training numbers in one YAML file, checked whole before anything runs. Imports no torch."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError

from biorrn.config_frontends import Closed as Closed
from biorrn.config_frontends import Conv as Conv
from biorrn.config_frontends import ConvLayer as ConvLayer
from biorrn.config_frontends import Embedding as Embedding
from biorrn.config_frontends import Fixed as Fixed
from biorrn.config_frontends import Frontend as Frontend
from biorrn.config_frontends import OneHot as OneHot
from biorrn.config_frontends import Residual as Residual
from biorrn.config_frontends import Separable as Separable
from biorrn.config_frontends import SeparableBlock as SeparableBlock
from biorrn.errors import ConfigError, InputError
from biorrn.lookup import nearest


class Core(Closed):
    cell: Literal["rnn", "gru", "lstm"] = "gru"  # an entry of models.recurrent.CELLS
    hidden: int = Field(128, ge=1)  # units a direction
    layers: int = Field(2, ge=0)  # 0: no recurrent core, and what stands above says nothing
    direction: Literal["forward", "bidirectional", "alternating"] = "bidirectional"
    dropout: float = Field(0.0, ge=0, lt=1)  # between layers
    skip: bool = False  # add each layer's input to its output where the widths agree
    layer_norm: bool = False  # after each layer


class PlainHead(Closed):
    name: Literal["regression", "ctc"] = "regression"  # an entry of models.heads.HEADS
    hidden: int = Field(0, ge=0)  # width of one hidden layer before the output; 0 is none
    dropout: float = Field(0.0, ge=0, lt=1)


class CRFHead(Closed):
    name: Literal["crf"] = "crf"
    state_len: int = Field(3, ge=1, le=5)  # bases a state remembers
    blank: float | None = 2.0  # score of staying in a state; null is learned, one for each state
    scale: float = Field(5.0, gt=0)  # scores of moves lie within +- this
    hidden: int = Field(0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)


Head = Annotated[PlainHead | CRFHead, Field(discriminator="name")]


class Model(Closed):
    frontend: Frontend
    input_dropout: float = Field(0.0, ge=0, lt=1)
    core: Core = Core()
    # entries of models.heads.POOLS, concatenated; empty keeps every step
    pool: list[Literal["last", "mean", "max", "attention"]] = Field(default_factory=list)
    head: Head = PlainHead()


class Augment(Closed):
    """Random changes of the signal in training."""

    stretch: float = Field(0.0, ge=0, lt=0.5)  # time is stretched by a factor drawn from 1 +- this
    scale: float = Field(0.0, ge=0)  # standard deviation of a factor around 1
    shift: float = Field(0.0, ge=0)  # standard deviation of an offset, in units of the normalised signal
    noise: float = Field(0.0, ge=0)  # largest standard deviation of white noise added, same units


class Chunks(Closed):
    """How signal is cut."""

    samples: int = Field(2400, ge=10)  # samples a chunk
    overlap: int = Field(300, ge=0)  # samples shared by neighbours when calling; a multiple of 2 * stride
    epoch: int = Field(1024, ge=1)  # random windows an epoch


class Training(Closed):
    batch_size: int = Field(64, ge=1)
    epochs: int = Field(10, ge=1)
    max_minutes: float | None = Field(None, gt=0)  # stop at the end of the epoch that passes this
    lr: float = Field(2e-3, gt=0)  # peak of the schedule
    warmup: float = Field(0.05, ge=0, lt=1)  # part of all steps
    final_lr: float = Field(0.01, ge=0, le=1)  # where the cosine ends, as a part of the peak
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    loss: Literal["mse", "huber", "ctc", "crf"] = "mse"  # an entry of the task's LOSSES
    clip_quantile: float = Field(0.9, gt=0, le=1)  # gradients are clipped at this quantile of the recent norms
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the averaged weights; 0 is off
    patience: int | None = Field(None, ge=1)  # epochs without a better validation score before stopping
    precision: Literal["32", "bf16", "16", "auto"] = "32"
    augment: Augment = Augment()


class Recipe(Closed):
    """What `biorrn train` makes: one task, one model, one way of training it."""

    name: str
    task: Literal["regression", "basecalling"]  # an entry of tasks.TASKS
    model: Model
    chunks: Chunks | None = None
    training: Training = Training()


def recipe_names() -> list[str]:
    """Return the ids of the recipes in the package."""
    return sorted(
        entry.name[:-5] for entry in resources.files("biorrn.recipes").iterdir() if entry.name.endswith(".yaml")
    )


def load_recipe(name: str | Path) -> Recipe:
    """Return a recipe by its id in the package, or from a YAML file.

    Raises
    ------
    ConfigError: no such recipe; or a key or value that is unknown or out of range, with the nearest known key.
    """
    text, source = _recipe_text(name)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InputError(source, f"not YAML{where}: {getattr(error, 'problem', error)}") from error
    return parse_recipe(content, source)


def parse_recipe(content: Any, source: str = "recipe") -> Recipe:
    """Check a recipe that is already a mapping; see `load_recipe`."""
    if not isinstance(content, dict):
        raise InputError(source, f"found {type(content).__name__} at the top; a recipe is a mapping of keys")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, Recipe)}") from error


def change_recipe(recipe: Recipe, changes: list[str]) -> Recipe:
    """Return the recipe with `KEY.KEY=VALUE` applied, each value read as YAML, and checked again.

    >>> change_recipe(load_recipe("stability_gru"), ["training.epochs=2"]).training.epochs
    2
    """
    content = recipe.model_dump(mode="json")
    for change in changes:
        key, found, value = change.partition("=")
        if not found or not key:
            raise ConfigError(f"--set: found '{change}'; allowed is KEY=VALUE, for example training.epochs=3")
        *parents, last = key.split(".")
        place = content
        for parent in parents:
            if not isinstance(place.setdefault(parent, {}), dict):
                raise ConfigError(f"--set: key '{key}': '{parent}' holds no keys")
            place = place[parent]
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set: key '{key}': value '{value}' is not YAML") from error
    return parse_recipe(content, "--set" if changes else recipe.name)


def dump_recipe(recipe: Recipe) -> str:
    """Return a recipe as YAML that `load_recipe` reads back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _recipe_text(name: str | Path) -> tuple[str, str]:
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if str(name) not in recipe_names():
        close = nearest(str(name), recipe_names())
        hint = f"; did you mean '{close}'?" if close else "."
        raise ConfigError(
            f"recipe '{name}' is unknown{hint} Known: {', '.join(recipe_names())}, or a path to a .yaml file"
        )
    return (resources.files("biorrn.recipes") / f"{name}.yaml").read_text(encoding="utf-8"), str(name)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first fault of a validation as one line, with the nearest known key for an unknown one."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        close = nearest(str(first["loc"][-1]), sorted(_keys(model)))
        return f"key '{place}' is unknown" + (f"; did you mean '{close}'?" if close else "")
    if first["type"] == "missing":
        return f"key '{place}' is missing"
    return f"key '{place}': found {first['input']!r}; {first['msg'][0].lower()}{first['msg'][1:]}"


def _keys(model: type[BaseModel]) -> set[str]:
    keys: set[str] = set()
    for name, info in model.model_fields.items():
        keys.add(name)
        for kind in _models(info.annotation):
            keys |= _keys(kind)
    return keys


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _models(part)]
