"""Model folders: weights.safetensors with facts of the training data, and recipe.yaml; read, write and describe.

A model folder contains no code and no paths to other files, and a model is never built larger than its weights file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from biorrn.base.errors import BiorrnError, ConfigError, InputError, reason
from biorrn.base.files import atomic_path, read_text, sha256, write_text
from biorrn.base.lookup import nearest
from biorrn.config import recipe as config
from biorrn.config.network import LONGEST, MANY, WIDEST
from biorrn.config.recipe import Recipe, Tokens, dump_recipe, load_recipe
from biorrn.nn.frontends import Part
from biorrn.nn.sequence import SPARE, Budget, build, settle
from biorrn.sequences import tokenisers
from biorrn.sequences.alphabets import ALPHABETS, BASES, RESIDUES
from biorrn.version import __version__

Count = Annotated[int, Field(ge=0, le=LONGEST)]
Residues = Annotated[str, Field(max_length=WIDEST, pattern=f"^[{RESIDUES}]*$")]
Text = Annotated[str, Field(max_length=WIDEST)]


class FactPart(BaseModel):
    """A mapping whose known keys are checked; unknown keys, as of later versions, are kept."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, strict=True)


class Target(FactPart):
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    unit: Text = ""
    sign: Text = ""
    bounds: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None


class Gaussian(FactPart):
    reference: Residues
    positions: list[Annotated[int, Field(ge=1, le=LONGEST)]]
    rows: list[Count] = Field(max_length=MANY)


Quantiles = Annotated[list[Annotated[float, Field(ge=0)] | None], Field(min_length=50, max_length=50)]


class Difference(FactPart):
    quantiles: Quantiles
    unlike: Difference | None = None


class Forest(FactPart):
    reference: Residues
    nodes: list[Count] = Field(max_length=MANY)


class Interval(FactPart):
    quantiles: Quantiles
    floor: Annotated[float, Field(ge=0)] | None = None
    difference: Quantiles | None = None
    unlike: Interval | None = None


class Novelty(FactPart):
    mean: list[float]
    unit: list[Annotated[float, Field(gt=0)]]
    root: list[float]
    threshold: float


class Tokeniser(FactPart):
    name: Text
    alphabet: Text
    k: Count
    merges: list[Annotated[list[Count], Field(min_length=2, max_length=2)]] = Field(max_length=WIDEST)


class Facts(FactPart):
    """The facts that inference uses: for regression targets; for basecalling normaliser, sample_rate, stride, and
    chemistry (entries of `nanopore.chemistry.CHEMISTRIES`) if the training reads name it."""

    task: Literal["regression", "basecalling", "language", "tagging", "translation"] | None = None
    kind: Literal["states", "values"] | None = None
    states: Text | None = None
    state_names: list[Text] = Field(default_factory=list, max_length=WIDEST)
    outputs: int = Field(1, ge=1, le=WIDEST)
    targets: list[Target] = Field(default_factory=list, max_length=WIDEST)
    alphabet: Text | None = None
    tokeniser: Tokeniser | None = None
    reference: Residues | None = None
    min_length: Count = 0
    max_length: Count = 0
    gaussian: Gaussian | None = None
    forest: Forest | None = None
    neighbours: list[Count] | None = Field(None, min_length=2, max_length=2)
    members: list[Facts] | None = Field(None, max_length=MANY)
    conformal: dict[str, Interval | None] | None = None
    difference: dict[str, Difference | None] | None = None
    novelty: Novelty | None = None
    relatives: Annotated[str, Field(max_length=1 << 24)] | None = None
    most_mutations: Count | None = None
    predicts: Text = ""  # for these five, and unit, sign and bounds of targets, see `About`
    inputs: Text = ""
    measured: Text = ""
    licence: Text = ""
    mutants: bool | None = None
    source: Text | None = None
    target: Text | None = None
    symbols_a_step: float | None = Field(None, gt=0, le=1e6)
    normaliser: Text | None = None
    sample_rate: float | None = Field(None, gt=0, le=1e9)
    chemistry: list[Text] | None = Field(None, max_length=MANY)
    stride: int | None = Field(None, ge=1, le=LONGEST)
    early: Count = 0
    qscore: dict[str, Any] | None = None  # checked by `nanopore.basecall.quality.calibration_of`


class About(BaseModel):
    """The keys of `about.yaml`, the description of a model for its users.

    predicts: the meaning of a value; inputs: the proteins or reads that it is for; measured: accuracy, and on which
    data; licence: of the weights; mutants: whether the training rows hold mutants of its proteins; targets: unit, sign
    (the meaning of a larger value) and bounds of each.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    predicts: Text
    inputs: Text
    measured: Text
    licence: Text = ""
    mutants: bool | None = None
    most_mutations: Count | None = None
    targets: list[Target] = Field(default_factory=list, max_length=WIDEST)


def parse_about(text: str, source: object) -> dict[str, Any]:
    """Return the keys that the text of an `about.yaml` sets.

    Raises
    ------
    InputError: not YAML, or not valid as `About`.
    """
    import yaml

    try:
        return About.model_validate(yaml.safe_load(text)).model_dump(exclude_unset=True)
    except yaml.YAMLError as error:
        raise InputError(str(source), f"is not YAML: {' '.join(str(error).split())[:100]}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(str(source), f"key '{'.'.join(map(str, first['loc']))}': {first['msg'].lower()}") from error


def parse_facts(text: str | None, source: object) -> dict[str, Any]:
    """Return the checked facts from the metadata of a weights file, which are JSON; `source` names the file.

    Raises
    ------
    InputError: no facts, not JSON, or a fact of a wrong type or out of range.
    """
    try:
        facts = json.loads(text or "null")
    except (ValueError, RecursionError) as error:
        raise InputError(str(source), f"its facts are not JSON: {str(error)[:100]}") from error
    if not isinstance(facts, dict):
        raise InputError(str(source), "holds no facts of the training data; was it written by biorrn?")
    try:
        checked = Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        found = repr(first["input"])[:100]
        raise InputError(str(source), f"fact '{place}': found {found}; {first['msg'].lower()}") from error
    if checked.targets and len(checked.targets) != checked.outputs:
        raise InputError(str(source), f"names {len(checked.targets)} targets for {checked.outputs} outputs")
    return facts


def check_task(facts: dict[str, Any], recipe: Recipe, source: object) -> None:
    """Check that the facts are those that inference needs for the recipe's task.

    Raises
    ------
    InputError: another task than the recipe's, a missing fact, or a wrong number of outputs.
    """
    task = facts.get("task")
    if task is None:
        return  # weights of a part of a model
    if task != recipe.task:
        raise InputError(str(source), f"is of a model for {task}; the recipe in its folder is for {recipe.task}")
    missing = [name for name in NEEDED.get(task, ()) if not facts.get(name)]
    if missing:
        raise InputError(str(source), f"fact '{missing[0]}' is missing; a model for {task} needs it")
    if task == "basecalling" and facts["outputs"] != len(BASES):
        # compiled decoders rely on this number
        raise InputError(str(source), f"is not a basecaller: found {facts['outputs']} outputs; expected {len(BASES)}")
    if task == "translation":
        _check_translation(facts, source)
    if task == "tagging":
        needed = "states" if facts["kind"] == "states" else "targets"
        if len(facts.get(needed) or ()) != facts["outputs"]:
            raise InputError(str(source), f"has {facts['outputs']} outputs for {len(facts.get(needed) or ())} {needed}")
        if needed == "states" and len(set(facts["states"])) != len(facts.get("state_names") or ()):
            raise InputError(str(source), "fact 'state_names': expected one name for each of its states")
    if task == "language":
        if not isinstance(getattr(recipe.model, "frontend", None), Tokens):
            raise InputError(str(source), "is of a language model; its recipe has another front end than tokens")
        try:
            symbols = tokenisers.Tokeniser.from_dict(facts["tokeniser"]).size
        except BiorrnError as error:
            raise InputError(str(source), f"fact 'tokeniser': {error}") from error
        if facts.get("outputs") != symbols:
            raise InputError(str(source), f"has {facts.get('outputs')} outputs; its tokeniser has {symbols} symbols")


def _check_translation(facts: dict[str, Any], source: object) -> None:
    known = {"source": [*ALPHABETS, "signal"], "target": [*ALPHABETS, "bases"]}
    for side, names in known.items():
        if facts[side] not in names:
            raise InputError(str(source), f"fact '{side}': found {facts[side]!r:.60}; allowed is {', '.join(names)}")
    symbols = len(BASES) if facts["target"] == "bases" else len(ALPHABETS[facts["target"]].symbols) + 1
    if facts["outputs"] != symbols:
        raise InputError(str(source), f"has {facts['outputs']} outputs; {facts['target']} and the end are {symbols}")
    if facts["source"] == "signal" and not (facts.get("normaliser") and facts.get("stride")):
        raise InputError(str(source), "fact 'normaliser' or 'stride' is missing; a model of signal needs both")


# task -> facts that it requires
NEEDED = {
    "regression": ("targets",),
    "basecalling": ("outputs", "normaliser", "sample_rate", "stride"),
    "language": ("tokeniser",),
    "tagging": ("outputs", "kind", "alphabet"),
    "translation": ("outputs", "source", "target", "symbols_a_step"),
}


WEIGHTS, RECIPE, ABOUT = "weights.safetensors", "recipe.yaml", "about.yaml"
FOREIGN = "config.toml"  # of the model folders of Dorado and Bonito
VARIABLE = "BIORRN_MODELS"  # folders that hold the user's models, separated as in PATH
LARGE = 1000  # elements from which `shrink` halves a tensor


@dataclass(frozen=True, slots=True)
class Stored:
    """A loaded model.

    Attributes
    ----------
    model : module in evaluation mode, on the CPU, as `nn.sequence.build` makes it.
    recipe : Recipe: of the model.
    facts : dict: see `Facts`.
    path : Path: of the folder.
    """

    model: nn.Module
    recipe: Recipe
    facts: dict[str, Any]
    path: Path

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """Return the weights by name, as stored or float32."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}

    @property
    def name(self) -> str:
        """Return the name of the model's folder; of a shipped model it is its id."""
        return self.path.resolve().name

    def settings(self, **options: Any) -> dict[str, Any]:
        """Return version, model and options under their names on the command line, which `--resume` compares."""
        files = [self.path / name for name in (WEIGHTS, RECIPE) if (self.path / name).is_file()]
        model = hashlib.sha256("".join(map(sha256, files)).encode())
        return {
            "biorrn": __version__,
            "--model": f"{self.name} ({model.hexdigest()[:12]})",
            **{f"--{name.replace('_', '-')}": value for name, value in options.items()},
        }


def shipped_models() -> list[str]:
    """Return the ids of the shipped models."""
    root = resources.files("biorrn.pretrained")
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and (entry / WEIGHTS).is_file())


def model_folders(given: Iterable[str | Path] = ()) -> list[Path]:
    """Return the folders that hold the user's models: `given`, then those of the environment variable BIORRN_MODELS.

    Raises
    ------
    ConfigError: one is not a folder.
    """
    variable = [place for place in os.environ.get(VARIABLE, "").split(os.pathsep) if place]
    for name, places in (("--models-dir", given := list(given)), (VARIABLE, variable)):
        if odd := [place for place in places if not os.path.isdir(place)]:
            raise ConfigError(f"{name}: '{odd[0]}' is not a folder; expected one that holds model folders")
    return list({os.path.abspath(place): Path(place) for place in [*given, *variable]}.values())


def models_in(folder: Path) -> list[Path]:
    """Return the model folders in a folder, by name, of biorrn or of another basecaller; or itself if it is one.

    Raises
    ------
    InputError: the folder cannot be read.
    """
    try:
        inside = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(folder, reason(error)) from error
    return [place for place in (folder, *inside) if (place / WEIGHTS).is_file() or (place / FOREIGN).is_file()]


def find_model(name: str | Path, folders: Iterable[str | Path] = ()) -> Path:
    """Return the folder of a model, by path, by shipped id, or by the name of a model folder in `model_folders`.

    Raises
    ------
    ConfigError: no such model.
    """
    if os.path.isdir(name):  # unlike Path.is_dir, no error for a name that is too long
        return Path(name)
    known = shipped_models()
    if str(name) in known:
        return Path(str(resources.files("biorrn.pretrained") / str(name)))
    places = model_folders(folders)
    own: dict[str, Path] = {}
    for place in places:
        for model in models_in(place):
            own.setdefault(model.name, model)
    if str(name) in own:
        return own[str(name)]
    close = nearest(str(name), [*own, *known])
    hint = f"; did you mean '{close}'?" if close else "."
    also = f" nor in {', '.join(map(str, places))}" if places else ""
    raise ConfigError(
        f"model '{name}' is not a folder nor a shipped model{also}{hint} Shipped: {', '.join(known) or 'none'}"
    )


def save_model(folder: str | Path, model: nn.Module, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write a model folder; each file appears whole or not at all."""
    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with write_text(folder / RECIPE) as stream:
        stream.write(dump_recipe(settle(recipe, model)))
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(weights, temporary, metadata={"biorrn": json.dumps(facts, sort_keys=True)})


def update_facts(folder: str | Path, **entries: Any) -> None:
    """Set entries of the facts of a model folder; weights, recipe and other facts do not change.

    Raises
    ------
    InputError: the folder holds no readable weights of biorrn.
    BiorrnError: the folder cannot be written; it is then unchanged.
    """
    tensors, facts = _stored_weights(folder)
    _write_weights(folder, tensors, facts | entries)


def shrink(folder: str | Path) -> None:
    """Convert the large float32 tensors of a model folder to float16, which halves its size.

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
    """Return the facts of a model, completed by the `about.yaml` of its folder if there is one.

    Raises
    ------
    InputError: the file is not YAML, has an unknown key, or names a target that the model does not have.
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
    """Load a model folder or a shipped model, strictly: the tensors are exactly those of the recipe.

    Raises
    ------
    ConfigError: no such model, or its recipe is not valid.
    InputError: the weights are missing, damaged, or not those of the recipe; or the recipe names a file.
    """
    folder = find_model(name)
    weights = folder / WEIGHTS
    for part in (weights, folder / RECIPE):
        if not part.is_file():
            raise InputError(folder, f"is not a model folder: {part.name} is missing")
    recipe = load_recipe(folder / RECIPE)
    for path in _paths(recipe):
        raise InputError(folder / RECIPE, f"names the file '{path}'; the recipe of a model folder must not name files")
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
    """Yield the paths in a recipe, which are allowed in training but not in a model folder."""
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
        raise InputError(folder, f"its recipe does not match the facts of its weights: {words}") from error


def language_models(frontend: config.Frontend) -> list[Part]:
    """Return the loaded language models of a front end `language_model`; none for any other front end.

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
    """Copy the tensors of a stored model that fit another by name and shape, and return their number.

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
            shape = tuple(stream.get_slice(name).get_shape())  # checked before allocation
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
                raise InputError(source, f"tensor '{name}' holds a NaN")
            tensor.copy_(found)
    for place, module in model.named_modules():
        for name, limit in module.limits().items() if hasattr(module, "limits") else ():  # type: ignore[operator]
            indices = getattr(module, name)
            if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < limit:
                raise InputError(source, f"tensor '{place}.{name}' holds an index beyond 0 to {limit - 1}")


CARD = "card.md"


def describe(folder: Path) -> Iterator[str]:
    """Yield the summary of a model as lines, then its card.

    Raises
    ------
    InputError: as `store.load_facts`.
    """
    yield from summary(folder.resolve().name, folder, load_facts(folder))
    if (folder / CARD).is_file():
        yield ""
        yield from (folder / CARD).read_text(encoding="utf-8").splitlines()


def summary(name: str, folder: Path, facts: dict[str, Any]) -> Iterator[str]:
    """Yield a summary of the facts of a model, one line each."""
    yield f"model: {name}"
    yield f"task: {facts.get('task')}"
    for key in ("predicts", "inputs", "measured", "licence"):
        if facts.get(key):
            yield f"{key}: {facts[key]}"
    for target in facts.get("targets") or ():
        yield f"target: {target['name']}" + "".join(_detail(target, key) for key in ("unit", "sign", "bounds"))
    if facts.get("max_length"):
        yield f"lengths trained on: {facts.get('min_length', 0):,} to {facts['max_length']:,} residues"
    for target, entry in (facts.get("conformal") or {}).items():
        others = "have their own" if entry.get("unlike") else "have none"
        yield f"intervals: {target}: from {entry['rows']:,} rows; proteins that the model does not know {others}"
    if facts.get("task") == "regression":
        known = facts["mutants"] if facts.get("mutants") is not None else bool(facts.get("reference"))
        yield f"mutants among the training rows: {'yes' if known else 'no: biorrn scan flags its differences'}"
    yield f"size: {_size(folder)}"


def _detail(target: dict[str, Any], key: str) -> str:
    value = target.get(key)
    if not value:
        return ""
    return f"; {key}: " + (f"{value[0]:g} to {value[1]:g}" if key == "bounds" else str(value))


def _size(folder: Path) -> str:
    return f"{(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB"
