"""Recipes: a model and its training numbers in one YAML file, checked whole before anything runs. Imports no torch."""

from __future__ import annotations

import os
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
    field_validator,
    model_serializer,
    model_validator,
)

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import inside, read_text
from biorrn.base.lookup import nearest
from biorrn.config.network import LONGEST, MANY, WIDEST, AnyCore, Closed
from biorrn.config.network import ActivatedLayer as ActivatedLayer
from biorrn.config.network import Adapted as Adapted
from biorrn.config.network import ChainHead as ChainHead
from biorrn.config.network import Conv as Conv
from biorrn.config.network import ConvLayer as ConvLayer
from biorrn.config.network import Core as Core
from biorrn.config.network import CRFHead as CRFHead
from biorrn.config.network import DecoderHead as DecoderHead
from biorrn.config.network import Descriptors as Descriptors
from biorrn.config.network import Dilated as Dilated
from biorrn.config.network import Embedding as Embedding
from biorrn.config.network import Embeddings as Embeddings
from biorrn.config.network import Fixed as Fixed
from biorrn.config.network import Forest as Forest
from biorrn.config.network import Frontend as Frontend
from biorrn.config.network import GaussianProcess as GaussianProcess
from biorrn.config.network import Head as Head
from biorrn.config.network import LanguageModel as LanguageModel
from biorrn.config.network import MeanEmbeddings as MeanEmbeddings
from biorrn.config.network import OneHot as OneHot
from biorrn.config.network import PlainHead as PlainHead
from biorrn.config.network import Proteins as Proteins
from biorrn.config.network import Residual as Residual
from biorrn.config.network import SelfAttention as SelfAttention
from biorrn.config.network import Separable as Separable
from biorrn.config.network import SeparableBlock as SeparableBlock
from biorrn.config.network import Sites as Sites
from biorrn.config.network import Substitutions as Substitutions
from biorrn.config.network import Tokeniser as Tokeniser
from biorrn.config.network import Tokens as Tokens
from biorrn.config.network import Trained as Trained
from biorrn.config.network import Variant as Variant
from biorrn.config.network import Vectors as Vectors
from biorrn.config.network import cores as cores
from biorrn.config.network import sees as sees
from biorrn.config.yaml import MOST_TEXT, load_yaml, set_key
from biorrn.config.yaml import explain as explain


class Augment(Closed):
    """Random changes of the signal, or of the residues, in training."""

    stretch: float = Field(0.0, ge=0, lt=0.5)  # time is stretched by a factor drawn from 1 +- this
    scale: float = Field(0.0, ge=0)  # standard deviation of a factor around 1
    shift: float = Field(0.0, ge=0)  # standard deviation of an offset, in units of the normalised signal
    noise: float = Field(0.0, ge=0)  # largest standard deviation of white noise added, same units
    # task tagging: mean share of residues replaced, each by another drawn by BLOSUM62; a chain's share is 0 to twice
    # it. Of effects of substitutions: by a mutant that was measured; see `tagging.data.Mutants`
    substitute: float = Field(0.0, ge=0, le=0.5)


class Chunks(Closed):
    """How signal is cut."""

    samples: int = Field(2400, ge=10, le=1 << 20)  # samples a chunk
    overlap: int = Field(300, ge=0, le=1 << 20)  # samples shared by neighbours when calling; a multiple of 2 * stride
    epoch: int = Field(1024, ge=1, le=LONGEST)  # random windows an epoch


Part = Annotated[float, Field(ge=0, lt=1)]


class Training(Closed):
    batch_size: int = Field(64, ge=1, le=LONGEST)
    # task tagging: padded steps a batch; its rows are as many as fit. Default: batch_size rows, long or short
    batch_residues: int | None = Field(None, ge=1, le=LONGEST)
    crop: int | None = Field(None, ge=32, le=LONGEST)  # task tagging: longer chains are cut, at new places every epoch
    epochs: int = Field(10, ge=1, le=LONGEST)
    # tasks regression and classification: rows of the prepared file that are fitted. Beyond `train` the last epoch is
    # kept, since no row is left to choose another, and the scores of the validation rows are no estimate for new ones
    rows: Literal["train", "train+valid", "all"] = "train"
    max_minutes: float | None = Field(None, gt=0)  # stop at the end of the epoch that passes this
    lr: float = Field(2e-3, gt=0)  # peak of the schedule
    warmup: float = Field(0.05, ge=0, lt=1)  # part of all steps
    final_lr: float = Field(0.01, ge=0, le=1)  # where the cosine ends, as a part of the peak
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[Part, Part] = (0.9, 0.999)
    # an entry of the task's LOSSES
    loss: Literal["mse", "huber", "rank", "mse+rank", "huber+rank", "huber+order", "ctc", "crf", "cross_entropy"] = (
        "mse"
    )
    # task basecalling: a trained model, by name or folder, whose paths are learned beside the labels, and their share
    teacher: str | None = None
    teacher_share: float = Field(0.5, gt=0, le=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # of cross_entropy: share of the target spread over all states
    rank_weight: float = Field(1.0, ge=0)  # of the order of rows, or of values within one, beside the values
    clip_quantile: float = Field(0.9, gt=0, le=1)  # gradients are clipped at this quantile of the recent norms
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the averaged weights; 0 is off
    bptt: int = Field(0, ge=0, le=LONGEST)  # task language: steps a gradient goes back, state carried on; 0 is all
    # task language: weight in the loss of the mean square of hidden states (AR), and of their change a step (TAR)
    activation: float = Field(0.0, ge=0)
    activation_change: float = Field(0.0, ge=0)
    patience: int | None = Field(None, ge=1, le=LONGEST)  # epochs without a better validation score before stopping
    precision: Literal["32", "bf16", "16", "auto"] = "32"
    augment: Augment = Augment()


ENSEMBLE_KEYS = ("members", "combine", "calibrate", "neighbours")  # of a recipe, and only of one with members
MODEL_KEYS = ("model", "chunks", "training")  # of a recipe, and only of one without


class Model(Closed):
    frontend: Frontend
    input_dropout: float = Field(0.0, ge=0, lt=1)
    locked_dropout: bool = False  # variational dropout: one mask for all steps of a row
    core: AnyCore = Core()  # one, or a list of cores that run one after another
    steps: int = Field(0, ge=0, le=WIDEST)  # width of a layer with SiLU at each step, between core and pool; 0 is none
    # entries of nn.heads.POOLS, concatenated; empty keeps every step
    pool: list[Literal["last", "mean", "max", "sum", "attention", "multihead"]] = Field(
        default_factory=list, max_length=MANY
    )
    head: Head = PlainHead()


def _kind(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return name if name in ("gaussian_process", "forest") else "network"


AnyModel = Annotated[
    Annotated[Model, Tag("network")]
    | Annotated[GaussianProcess, Tag("gaussian_process")]
    | Annotated[Forest, Tag("forest")],
    Discriminator(_kind),
]


def _how_given(value: Any) -> str:
    return "name" if isinstance(value, str) else "inline"


class Member(Closed):
    """One model of an ensemble."""

    # a recipe of the package, by name; a path to a .yaml file, relative to the file it stands in; or the recipe itself
    recipe: Annotated[Annotated[str, Tag("name")] | Annotated[Recipe, Tag("inline")], Discriminator(_how_given)]
    seed: int = Field(0, ge=0, le=LONGEST)  # the member is trained with this seed + 1000 * the run's seed
    # in the mean, relative to the other members; or a list with one weight a target
    weight: float | list[float] = 1.0

    @field_validator("weight")
    @classmethod
    def counts(cls, weight: float | list[float]) -> float | list[float]:
        """Check that a number is above 0, and that none of a list is below."""
        if weight == [] or not (min(weight) >= 0 if isinstance(weight, list) else weight > 0):
            raise ValueError("allowed is a number above 0, or one a target, 0 or more")
        return weight


class Neighbours(Closed):
    """Residuals of training rows that a protein differs from in few residues are added, by kriging."""

    mismatches: int = Field(3, ge=0, le=MANY)  # residues, at most
    noise: float = Field(1.0, gt=0)  # variance of a residual's own noise over that which neighbours share
    decay: float = Field(0.1, ge=0)  # covariance of two rows falls by exp(-decay) per mismatch
    weight: float = Field(0.0, ge=0)  # of a training row in the loss, at the least


class Recipe(Closed):
    """What `biorrn train` makes: one task, and either one model and one way of training it, or members."""

    name: str = Field(max_length=200)
    # an entry of training.task.TASKS
    task: Literal["regression", "classification", "basecalling", "language", "tagging", "translation"]
    model: AnyModel | None = None
    chunks: Chunks | None = None
    training: Training = Training()
    members: list[Member] | None = Field(None, min_length=1, max_length=MANY)  # an ensemble: the mean of these
    # weights of the members: as given; or fitted to the validation rows, none below zero and together one
    combine: Literal["mean", "stack"] = "mean"
    calibrate: Literal["none", "monotone"] = "none"  # a rising line through knots, fitted to the validation rows
    neighbours: Neighbours | None = None  # residuals of near training rows, beyond the members

    @model_validator(mode="after")
    def one_kind(self) -> Recipe:
        _check_members(self)
        if self.training.rows != "train" and self.task not in ("regression", "classification"):
            raise ValueError(
                f"key 'training.rows' is for tasks regression and classification; found task '{self.task}'"
            )
        if self.training.teacher is not None and self.training.loss != "crf":
            raise ValueError(f"key 'training.teacher' is for loss crf; found loss '{self.training.loss}'")
        return self

    @property
    def network(self) -> Model:
        """The model, where it is one network; ConfigError where it is of another kind."""
        if not isinstance(self.model, Model):
            raise ConfigError(f"recipe '{self.name}': task {self.task} needs a network under 'model' here")
        return self.model

    @property
    def fitted(self) -> str | None:
        """The rows that are fitted, as `ProteinDataset` takes a split: "train", "train+valid", or None for all."""
        parts = [self] if self.members is None else [m.recipe for m in self.members if isinstance(m.recipe, Recipe)]
        found = {part.training.rows for part in parts}
        return None if "all" in found else "train+valid" if "train+valid" in found else "train"

    @model_serializer(mode="wrap")
    def without_the_other_kind(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        hidden = ENSEMBLE_KEYS if self.members is None else MODEL_KEYS
        return {key: value for key, value in dump(self).items() if key not in hidden}


def adapted(recipe: Recipe) -> list[Adapted]:
    """Return the language models with adapters that a recipe, or its members, have."""
    if recipe.members is not None:
        parts = [adapted(member.recipe) for member in recipe.members if isinstance(member.recipe, Recipe)]
        return [one for part in parts for one in part]
    frontend = getattr(recipe.model, "frontend", None)
    return [frontend] if isinstance(frontend, Adapted) else []


def _check_members(recipe: Recipe) -> None:
    """Check keys that depend on one another."""
    if recipe.members is None:
        if recipe.model is None:
            raise ValueError("key 'model' is missing; a recipe has either 'model' or 'members'")
        own = sorted(recipe.model_fields_set.intersection(ENSEMBLE_KEYS) - {"members"})
        if own:
            raise ValueError(f"key '{own[0]}' is only for a recipe with 'members'")
        return
    others = sorted(recipe.model_fields_set.intersection(MODEL_KEYS))
    if others:
        raise ValueError(f"key '{others[0]}' cannot be combined with 'members'; set it in the recipe of each member")
    if recipe.task not in ("regression", "classification", "tagging"):
        raise ValueError(f"'members' are for tasks regression, classification and tagging; found task '{recipe.task}'")
    lists = {len(member.weight) for member in recipe.members if isinstance(member.weight, list)}
    if lists and (len(lists) > 1 or not all(isinstance(member.weight, list) for member in recipe.members)):
        raise ValueError("key 'weight' of the members: either each has one number, or each a list of one length")
    if lists and not all(any(column) for column in zip(*(member.weight for member in recipe.members), strict=True)):  # type: ignore[arg-type]
        raise ValueError("key 'weight' of the members: a target for which every member has weight 0")
    stacked = recipe.combine == "stack" and recipe.task != "classification"
    plain = {"combine": not stacked, "calibrate": recipe.calibrate == "none"}
    for key, fine in (plain | {"neighbours": recipe.neighbours is None}).items():
        if recipe.task != "regression" and not fine:
            raise ValueError(f"key '{key}' is for task regression; an ensemble of task {recipe.task} is a mean")
    seen: list[tuple[object, int]] = []
    for place, member in enumerate(recipe.members):
        own_recipe = member.recipe
        if not isinstance(own_recipe, str):
            if own_recipe.members is not None:
                raise ValueError(f"member {place} is an ensemble; members are single models")
            if own_recipe.task != recipe.task:
                raise ValueError(f"member {place} is for task '{own_recipe.task}'; the ensemble is for '{recipe.task}'")
        if (own_recipe, member.seed) in seen:
            raise ValueError(
                f"members {seen.index((own_recipe, member.seed))} and {place} have the same recipe and seed"
            )
        seen.append((own_recipe, member.seed))


Member.model_rebuild()
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
    return resolve(recipe, Path(source).parent, source)


def resolve(recipe: Recipe, folder: str | Path = ".", source: str | Path | None = None) -> Recipe:
    """Return the recipe with each member that is named by id or path (relative to `folder`) put in its place.

    Parameters
    ----------
    source : the file that names the members, whose paths then may not lead out of `folder`; None: the user did.

    Raises
    ------
    ConfigError: no such recipe, or one that cannot be a member.
    InputError: a path leads out of the folder.
    """
    if not any(isinstance(member.recipe, str) for member in recipe.members or ()):
        return recipe
    content = recipe.model_dump(mode="json")
    for member in content["members"]:
        if isinstance(name := member["recipe"], str):
            member["recipe"] = _read(_place(name, folder, source))[0].model_dump(mode="json")
    return parse_recipe(content, recipe.name)


def _place(name: str, folder: str | Path, source: str | Path | None) -> str | Path:
    if source is not None and name not in recipe_names():
        return inside(folder, name, source)
    return Path(folder) / name if name.endswith((".yaml", ".yml")) else name


def _read(name: str | Path) -> tuple[Recipe, str]:
    text, source = _recipe_text(name)
    return parse_recipe(load_yaml(text, source), source), source


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
        set_key(content, key, load_yaml(value, f"--set: key '{key}': value '{value[:60]}'"))
    return resolve(parse_recipe(content, "--set" if changes else recipe.name))


def dump_recipe(recipe: Recipe) -> str:
    """Return a recipe as YAML that `load_recipe` reads back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _recipe_text(name: str | Path) -> tuple[str, str]:
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):  # which a name too long for a file does not disturb
        return read_text(path, MOST_TEXT), str(path)
    if str(name) not in recipe_names():
        close = nearest(str(name), recipe_names())
        hint = f"; did you mean '{close}'?" if close else "."
        raise ConfigError(
            f"recipe '{name}' is unknown{hint} Known: {', '.join(recipe_names())}, or a path to a .yaml file"
        )
    return (resources.files("biorrn.recipes") / f"{name}.yaml").read_text(encoding="utf-8"), str(name)
