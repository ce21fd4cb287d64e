"""Recipes: a model and its training numbers in one YAML file, checked whole before anything runs. Imports no torch."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)

from biorrn.config_data import Augment as Augment
from biorrn.config_data import Chunks as Chunks
from biorrn.config_frontends import Closed as Closed
from biorrn.config_frontends import Conv as Conv
from biorrn.config_frontends import ConvLayer as ConvLayer
from biorrn.config_frontends import Embedding as Embedding
from biorrn.config_frontends import Fixed as Fixed
from biorrn.config_frontends import Frontend as Frontend
from biorrn.config_frontends import LanguageModel as LanguageModel
from biorrn.config_frontends import OneHot as OneHot
from biorrn.config_frontends import Residual as Residual
from biorrn.config_frontends import Separable as Separable
from biorrn.config_frontends import SeparableBlock as SeparableBlock
from biorrn.config_frontends import Variant as Variant
from biorrn.config_frontends import Vectors as Vectors
from biorrn.config_gaussian import Descriptors as Descriptors
from biorrn.config_gaussian import GaussianProcess as GaussianProcess
from biorrn.config_gaussian import Proteins as Proteins
from biorrn.config_gaussian import Sites as Sites
from biorrn.config_gaussian import Substitutions as Substitutions
from biorrn.config_keys import explain as explain
from biorrn.config_keys import set_key
from biorrn.config_members import ENSEMBLE_KEYS, MODEL_KEYS, check_members
from biorrn.config_members import Member as Member
from biorrn.config_members import Neighbours as Neighbours
from biorrn.errors import ConfigError, InputError
from biorrn.lookup import nearest


class Core(Closed):
    cell: Literal["rnn", "gru", "lstm"] = "gru"  # an entry of models.recurrent.CELLS
    hidden: int = Field(128, ge=1)  # units a direction
    layers: int = Field(2, ge=0)  # 0: no recurrent core, and what stands above says nothing
    direction: Literal["forward", "backward", "bidirectional", "alternating"] = "bidirectional"
    dropout: float = Field(0.0, ge=0, lt=1)  # between layers
    skip: bool = False  # add each layer's input to its output where the widths agree
    layer_norm: bool = False  # after each layer


class PlainHead(Closed):
    name: Literal["regression", "ctc", "tokens"] = "regression"  # an entry of models.heads.HEADS
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
    steps: int = Field(0, ge=0)  # width of a layer with SiLU at each step, between core and pool; 0 is none
    # entries of models.heads.POOLS, concatenated; empty keeps every step
    pool: list[Literal["last", "mean", "max", "sum", "attention"]] = Field(default_factory=list)
    head: Head = PlainHead()


def _kind(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return "gaussian_process" if name == "gaussian_process" else "network"


AnyModel = Annotated[
    Annotated[Model, Tag("network")] | Annotated[GaussianProcess, Tag("gaussian_process")], Discriminator(_kind)
]


class Training(Closed):
    batch_size: int = Field(64, ge=1)
    epochs: int = Field(10, ge=1)
    max_minutes: float | None = Field(None, gt=0)  # stop at the end of the epoch that passes this
    lr: float = Field(2e-3, gt=0)  # peak of the schedule
    warmup: float = Field(0.05, ge=0, lt=1)  # part of all steps
    final_lr: float = Field(0.01, ge=0, le=1)  # where the cosine ends, as a part of the peak
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    # an entry of the task's LOSSES
    loss: Literal["mse", "huber", "rank", "mse+rank", "huber+rank", "ctc", "crf", "cross_entropy"] = "mse"
    rank_weight: float = Field(1.0, ge=0)  # of the order of pairs, where the loss has it beside the values
    clip_quantile: float = Field(0.9, gt=0, le=1)  # gradients are clipped at this quantile of the recent norms
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the averaged weights; 0 is off
    patience: int | None = Field(None, ge=1)  # epochs without a better validation score before stopping
    precision: Literal["32", "bf16", "16", "auto"] = "32"
    augment: Augment = Augment()


class Recipe(Closed):
    """What `biorrn train` makes: one task, and either one model and one way of training it, or members."""

    name: str
    task: Literal["regression", "basecalling", "language"]  # an entry of tasks.TASKS
    model: AnyModel | None = None
    chunks: Chunks | None = None
    training: Training = Training()
    members: list[Member] | None = Field(None, min_length=1)  # an ensemble: the mean of these
    # weights of the members: as given; or fitted to the validation rows, none below zero and together one
    combine: Literal["mean", "stack"] = "mean"
    calibrate: Literal["none", "monotone"] = "none"  # a rising line through knots, fitted to the validation rows
    neighbours: Neighbours | None = None  # what near training rows say beyond the members

    @model_validator(mode="after")
    def one_kind(self) -> Recipe:
        check_members(self)
        return self

    @property
    def network(self) -> Model:
        """The model, where it is one network; ConfigError where it is of another kind."""
        if not isinstance(self.model, Model):
            raise ConfigError(f"recipe '{self.name}': task {self.task} needs a network under 'model' here")
        return self.model

    @model_serializer(mode="wrap")
    def without_the_other_kind(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        hidden = ENSEMBLE_KEYS if self.members is None else MODEL_KEYS
        return {key: value for key, value in dump(self).items() if key not in hidden}


Member.model_rebuild(_types_namespace={"Recipe": Recipe})
Recipe.model_rebuild()


def recipe_names() -> list[str]:
    """Return the ids of the recipes in the package."""
    return sorted(
        entry.name[:-5] for entry in resources.files("biorrn.recipes").iterdir() if entry.name.endswith(".yaml")
    )


def load_recipe(name: str | Path) -> Recipe:
    """Return a recipe by its id in the package, or from a YAML file; that of an ensemble has all members inline.

    Raises
    ------
    ConfigError: no such recipe; or a key or value that is unknown or out of range, with the nearest known key.
    """
    recipe, source = _read(name)
    return resolve(recipe, Path(source).parent)


def resolve(recipe: Recipe, folder: str | Path = ".") -> Recipe:
    """Return the recipe with each member that is named by id or path (relative to `folder`) put in its place.

    Raises
    ------
    ConfigError: no such recipe, or one that cannot be a member.
    """
    if not any(isinstance(member.recipe, str) for member in recipe.members or ()):
        return recipe
    content = recipe.model_dump(mode="json")
    for member in content["members"]:
        if isinstance(name := member["recipe"], str):
            place = Path(folder) / name if name.endswith((".yaml", ".yml")) else name
            member["recipe"] = _read(place)[0].model_dump(mode="json")
    return parse_recipe(content, recipe.name)


def _read(name: str | Path) -> tuple[Recipe, str]:
    text, source = _recipe_text(name)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise InputError(source, f"not YAML{where}: {getattr(error, 'problem', error)}") from error
    return parse_recipe(content, source), source


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

    `training.KEY` of an ensemble changes every member; `members.0.KEY` one of them.

    >>> change_recipe(load_recipe("stability_gru"), ["training.epochs=2"]).training.epochs
    2
    """
    content = resolve(recipe).model_dump(mode="json")
    for change in changes:
        key, found, value = change.partition("=")
        if not found or not key:
            raise ConfigError(f"--set: found '{change}'; allowed is KEY=VALUE, for example training.epochs=3")
        try:
            set_key(content, key, yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise ConfigError(f"--set: key '{key}': value '{value}' is not YAML") from error
    return resolve(parse_recipe(content, "--set" if changes else recipe.name))


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
