"""Model folders: weights.safetensors with facts of the training data, and recipe.yaml; read, write and describe.

A model folder contains no code and no paths to other files, and a model is never built larger than its weights file.
torch is imported only where a module is asked for: kernels read the weights as arrays.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from biorrn.base.errors import ConfigError, InputError, reason, shown
from biorrn.base.files import VARIABLE, atomic_path, read_text, sha256, write_text
from biorrn.base.lookup import nearest
from biorrn.config import recipe as config
from biorrn.config.recipe import Recipe, adapted, dump_recipe, load_recipe
from biorrn.nn import layout
from biorrn.nn.facts import check_task, parse_about, parse_facts, targets_of
from biorrn.nn.layout import Slot
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import RESIDUES
from biorrn.version import __version__

if TYPE_CHECKING:
    import torch
    from torch import nn

    from biorrn.nn.frontends import Told

WEIGHTS, RECIPE, ABOUT = "weights.safetensors", "recipe.yaml", "about.yaml"
BEGUN = ("run.json", "choice.json")  # of a run folder, before its weights; see `training.checkpoint`
FOREIGN = "config.toml"  # of the model folders of Dorado and Bonito
# file of a model folder of another program -> module that reads it, by `read_model` and `read_facts`; named here as the
# domains are in `training.task.TASKS`
READERS = {FOREIGN: "biorrn.nanopore.models.importer"}
SIZES = ("fast", "hac", "sup")  # of basecallers: the end of their ids, and a name for the only one shipped that ends so


class Weights:
    """The weights of a model, as arrays by name and as a torch module; each is made when first asked for.

    Parameters
    ----------
    tensors : the arrays.
    make : makes the module of them.
    """

    def __init__(self, tensors: dict[str, np.ndarray], make: Callable[[dict[str, np.ndarray]], nn.Module]) -> None:
        self._tensors: dict[str, np.ndarray] | None = tensors
        self._make = make
        self._model: nn.Module | None = None

    @classmethod
    def of(cls, model: nn.Module) -> Weights:
        """Return the weights of a module that is already there."""
        found = cls({}, lambda tensors: model)
        found._tensors, found._model = None, model
        return found

    @property
    def model(self) -> nn.Module:
        """The module, in evaluation mode; it takes the place of the arrays."""
        if self._model is None:
            self._model, self._tensors = self._make(self._tensors or {}).eval(), None
        return self._model

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays, as stored or as the module has them."""
        if self._tensors is not None:
            return self._tensors
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}


@dataclass(frozen=True, slots=True)
class Stored:
    """A loaded model.

    Attributes
    ----------
    weights : Weights: arrays, and the module that is made of them.
    recipe : Recipe: of the model.
    facts : dict: see `nn.facts.Facts`.
    path : Path: of the folder.
    """

    weights: Weights
    recipe: Recipe
    facts: dict[str, Any]
    path: Path

    @classmethod
    def of(cls, model: nn.Module, recipe: Recipe, facts: dict[str, Any], path: Path) -> Stored:
        """Return a model whose module is already there."""
        return cls(Weights.of(model), recipe, facts, path)

    @property
    def model(self) -> nn.Module:
        """The module in evaluation mode, on the CPU, as `nn.sequence.build` makes it."""
        return self.weights.model

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """The weights by name, see `nn.layout`."""
        return self.weights.tensors

    @property
    def name(self) -> str:
        """Return the name of the model's folder; of a shipped model it is its id."""
        return self.path.resolve().name

    def settings(self, **options: Any) -> dict[str, Any]:
        """Return version, model and options under their names on the command line, which `--resume` compares."""
        files = [self.path / name for name in (WEIGHTS, RECIPE) if (self.path / name).is_file()]
        checksum = (
            hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest() if files else model_checksum(self.path)
        )
        return {
            "biorrn": __version__,
            "--model": f"{self.name} ({checksum[:12]})",
            **{f"--{name.replace('_', '-')}": value for name, value in options.items()},
        }


def model_checksum(folder: Path) -> str:
    """Return the SHA-256 checksum of the weights of a model folder; of another program, of all its files together."""
    if (folder / WEIGHTS).is_file():
        return sha256(folder / WEIGHTS)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256("".join(f"{path.name} {sha256(path)}\n" for path in files).encode()).hexdigest()


def model_bytes(folder: Path) -> int:
    """Return the bytes of the weights of a model folder; of another program, of all its files."""
    files = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else [*folder.glob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())


def shipped_models() -> list[str]:
    """Return the ids of the shipped models."""
    root = resources.files("biorrn.pretrained")
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and (entry / WEIGHTS).is_file())


def short_names() -> dict[str, str]:
    """Return the shipped basecallers by size: "hac" is the one whose id ends with _hac, unless several do."""
    found: dict[str, list[str]] = {}
    for name in shipped_models():
        found.setdefault(name.rpartition("_")[2], []).append(name)
    return {size: found[size][0] for size in SIZES if len(found.get(size, ())) == 1}


def is_shipped(folder: Path) -> bool:
    """Return whether a folder is that of a shipped model."""
    return folder.resolve().parent == Path(str(resources.files("biorrn.pretrained"))).resolve()


def model_folders(given: Iterable[str | Path] = ()) -> list[Path]:
    """Return the folders that hold the user's models: `given`, then those of the environment variable BIORRN_MODELS.

    Raises
    ------
    ConfigError: one is not a folder, or one that is given holds no model folder.
    """
    variable = [place for place in os.environ.get(VARIABLE, "").split(os.pathsep) if place]
    for name, places in (("--models-dir", given := list(given)), (VARIABLE, variable)):
        if odd := [place for place in places if not os.path.isdir(place)]:
            raise ConfigError(f"{name}: '{odd[0]}' is not a folder; expected one that holds model folders")
    if empty := [place for place in given if not models_in(Path(place))]:
        raise ConfigError(
            f"--models-dir: '{empty[0]}' holds no model folder; expected folders with {WEIGHTS} (biorrn) or {FOREIGN} "
            "(Dorado, Bonito)"
        )
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
    """Return the folder of a model: by path, shipped id, name of a model folder in `model_folders`, or `short_names`.

    Raises
    ------
    ConfigError: no such model.
    """
    if os.path.isdir(name):  # unlike Path.is_dir, no error for a name that is too long
        return Path(name)
    known = shipped_models()
    if str(name) in known:
        return Path(str(resources.files("biorrn.pretrained") / str(name)))
    own = own_models(folders)
    if str(name) in own:
        return own[str(name)]
    if str(name) in (short := short_names()):
        return find_model(short[str(name)])
    places = model_folders(folders)
    close = nearest(str(name), [*own, *known, *short])
    hint = f"; did you mean '{close}'?" if close else "."
    also = f" nor in {', '.join(map(str, places))}" if places else ""
    sizes = f" ({' and '.join(sorted(short))} for short)" if short else ""
    raise ConfigError(
        f"model '{name}' is not a folder nor a shipped model{also}{hint} Shipped: {', '.join(known) or 'none'}{sizes}; "
        f"biorrn models lists all, with those of {VARIABLE} and --models-dir"
    )


def own_models(folders: Iterable[str | Path] = ()) -> dict[str, Path]:
    """Return the model folders in `model_folders(folders)` by name; of equal names the first.

    Raises
    ------
    ConfigError, InputError: see `model_folders` and `models_in`.
    """
    return {model.name: model for place in reversed(model_folders(folders)) for model in models_in(place)}


def is_model(name: str | Path) -> bool:
    """Return whether a name is that of a model; see `find_model`."""
    return os.path.isdir(name) or str(name) in shipped_models() or str(name) in own_models()


def save_model(folder: str | Path, model: nn.Module, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write a model folder; each file appears whole or not at all."""
    from safetensors.torch import save_file

    from biorrn.nn.sequence import settle

    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with write_text(folder / RECIPE) as stream:
        stream.write(dump_recipe(settle(recipe, model)))
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(weights, temporary, metadata={"biorrn": json.dumps(facts, sort_keys=True)})


def save_arrays(folder: str | Path, tensors: dict[str, np.ndarray], recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write a model folder from arrays by the names of `nn.layout`, without torch; see `save_model`."""
    from safetensors.numpy import save_file

    with write_text(Path(folder) / RECIPE) as stream:
        stream.write(dump_recipe(recipe))
    whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with atomic_path(Path(folder) / WEIGHTS) as temporary:
        save_file(whole, temporary, metadata={"biorrn": json.dumps(facts, sort_keys=True)})


def update_facts(folder: str | Path, **entries: Any) -> None:
    """Set entries of the facts of a model folder; weights, recipe and other facts do not change.

    Raises
    ------
    InputError: the folder holds no readable weights of biorrn.
    BiorrnError: the folder cannot be written; it is then unchanged.
    """
    tensors, facts = stored_weights(folder)
    write_weights(folder, tensors, facts | entries)


def update_recipe(folder: str | Path, recipe: Recipe) -> None:
    """Write another recipe for the weights of a model folder, such as with another stay score."""
    with write_text(Path(folder) / RECIPE) as stream:
        stream.write(dump_recipe(recipe))


def with_recipe(stored: Stored, recipe: Recipe) -> Stored:
    """Return a loaded model whose weights are read with another recipe; see `update_recipe`."""
    weights = Weights(stored.tensors, lambda tensors: _module(recipe, stored.facts, stored.path, tensors))
    return replace(stored, weights=weights, recipe=recipe)


def stored_weights(folder: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors of a model folder by name, and its facts.

    Raises
    ------
    InputError: the folder holds no readable weights of biorrn.
    """
    facts = _stored_facts(folder)
    weights = Path(folder) / WEIGHTS
    try:
        with safe_open(str(weights), framework="pt") as stream:
            names = stream.keys()
            return {name: stream.get_tensor(name) for name in names}, facts
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(weights, f"is not a readable safetensors file: {error}") from error


def _require(folder: Path, *parts: str) -> None:
    """Raise InputError for a folder that lacks a part of a model."""
    for part in parts:
        if not (folder / part).is_file():
            if any((folder / name).is_file() for name in BEGUN):
                problem = "holds a training that has not finished; give the command that began it again"
                raise InputError(folder, f"{problem}, which goes on where it ended")
            raise InputError(folder, f"is not a model folder: {part} is missing")


def _stored_facts(folder: str | Path) -> dict[str, Any]:
    _require(Path(folder), WEIGHTS)
    weights = Path(folder) / WEIGHTS
    try:
        with safe_open(str(weights), framework="np") as stream:
            return parse_facts((stream.metadata() or {}).get("biorrn"), weights)
    except (SafetensorError, OSError) as error:
        raise InputError(weights, f"is not a readable safetensors file: {error}") from error


def write_weights(folder: str | Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Replace the weights file of a model folder, whole or not at all; its recipe does not change."""
    from safetensors.torch import save_file

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
    names = [str(target["name"]) for target in targets_of(facts)]
    if odd := [name for name in more if name not in names]:
        raise InputError(folder / ABOUT, f"target '{odd[0]}': the model has {', '.join(names) or 'none'}")
    targets = [target | more.get(str(target["name"]), {}) for target in targets_of(facts)]
    return facts | about | ({"effect": targets[0]} if facts.get("effect") else {"targets": targets})


def load_facts(name: str | Path) -> dict[str, Any]:
    """Return the facts of a model folder or a shipped model.

    Raises
    ------
    ConfigError: no such model.
    InputError: the folder holds no readable weights of biorrn.
    """
    folder = find_model(name)
    reader = _reader(folder)
    return described(_stored_facts(folder) if reader is None else reader.read_facts(folder), folder)


def _reader(folder: Path) -> Any:
    """Return the module of `READERS` for a model folder of another program; None for one of biorrn."""
    if (folder / WEIGHTS).is_file():
        return None
    found = next((module for name, module in READERS.items() if (folder / name).is_file()), None)
    return found and importlib.import_module(found)


def load_model(name: str | Path) -> Stored:
    """Load a model folder or a shipped model, strictly: the tensors are exactly those of the recipe.

    Raises
    ------
    ConfigError: no such model, or its recipe is not valid.
    InputError: the weights are missing, damaged, or not those of the recipe; or the recipe names a file.
    """
    folder = find_model(name)
    if (reader := _reader(folder)) is not None:
        return _read_by(reader, folder)
    weights = folder / WEIGHTS
    _require(folder, WEIGHTS, RECIPE)
    recipe = load_recipe(folder / RECIPE)
    for path in _paths(recipe):
        raise InputError(folder / RECIPE, f"names the file '{path}'; the recipe of a model folder must not name files")
    try:
        with safe_open(str(weights), framework="np") as stream:
            facts = described(parse_facts((stream.metadata() or {}).get("biorrn"), weights), folder)
            check_task(facts, recipe, weights)
            slots = layout.slots(recipe, facts)
            if slots is not None:
                tensors, stride = _checked(stream, slots, weights), layout.stride(recipe)
                kept = Weights(tensors, lambda tensors: _module(recipe, facts, folder, tensors))
            else:
                held = sum(math.prod(stream.get_slice(name).get_shape()) for name in stream.keys())  # noqa: SIM118
                model: Any = _built(recipe, facts, folder, held)
                _fill(model, _checked(stream, _slots_of(model), weights), weights)
                kept, stride = Weights.of(model.eval()), model.stride
    except (SafetensorError, OSError) as error:
        raise InputError(weights, f"is not a readable safetensors file: {error}") from error
    if facts.get("stride", stride) != stride:
        raise InputError(weights, f"fact 'stride': found {facts['stride']}; that of its recipe is {stride}")
    _name_licence(facts, folder)
    return Stored(kept, recipe, facts, folder)


def _read_by(reader: Any, folder: Path) -> Stored:
    """Return a model of another program, by a module of `READERS`."""
    recipe, facts, tensors = reader.read_model(folder)
    facts = described(facts, folder)
    check_task(facts, recipe, folder)
    _name_licence(facts, folder)
    return Stored(Weights(tensors, lambda arrays: _module(recipe, facts, folder, arrays)), recipe, facts, folder)


def _name_licence(facts: Mapping[str, Any], folder: Path) -> None:
    """Print the licence of weights that come from another program."""
    if facts.get("origin"):
        licence = facts.get("licence") or "not stated"
        print(f"biorrn: {shown(f'model {folder.resolve().name}: licence of the weights: {licence}')}", file=sys.stderr)


def _module(recipe: Recipe, facts: dict[str, Any], folder: Path, tensors: dict[str, np.ndarray]) -> nn.Module:
    model = _built(recipe, facts, folder, sum(array.size for array in tensors.values()))
    _fill(model, tensors, folder / WEIGHTS)
    return model


def _paths(recipe: Recipe) -> Iterator[str]:
    """Yield the paths in a recipe, which are allowed in training but not in a model folder."""
    frontend = getattr(recipe.model, "frontend", None)
    found = [getattr(frontend, name, None) for name in ("path", "backward")] + [recipe.training.teacher]
    found.append(getattr(getattr(recipe.model, "kernel", None), "path", None))
    for part in getattr(frontend, "parts", ()):
        if "recipe" in part:  # checked again when it is built
            yield from _paths(Recipe.model_validate(part["recipe"]))
            continue
        inner = part.get("frontend")
        found += [inner.get(name) for name in ("path", "backward")] if isinstance(inner, dict) else []
    yield from (str(path) for path in found if path is not None)
    for member in recipe.members or ():
        yield from [member.recipe] if isinstance(member.recipe, str) else _paths(member.recipe)


def _built(recipe: Recipe, facts: dict[str, Any], folder: Path, held: int) -> nn.Module:
    """Return the untrained module of a recipe, of at most `held` numbers and a few more."""
    from biorrn.nn.sequence import SPARE, Budget, build

    try:
        with Budget(held + SPARE, folder / RECIPE):
            return build(recipe, facts)
    except (ValueError, TypeError, LookupError, RuntimeError, ArithmeticError) as error:
        words = " ".join(str(error).split())[:100]
        raise InputError(folder, f"its recipe does not match the facts of its weights: {words}") from error


def models_of(frontend: config.Frontend) -> list[Any]:
    """Return the loaded models that a front end names, `frontends.Part` or `frontends.Told`; none for most front ends.

    Raises
    ------
    ConfigError: no such model, one of another task, or of `trained` one that is not of single residues.
    InputError: as `load_model`.
    """
    from biorrn.nn.frontends import Part

    if isinstance(frontend, config.Trained):
        return [part for path in frontend.path or () for part in _told(path)]
    parts = []
    for path in (frontend.path, frontend.backward) if isinstance(frontend, config.LanguageModel) else ():
        if path is None:
            continue
        stored = load_model(path)
        if stored.facts.get("task") != "language":
            raise ConfigError(f"{path}: is a model for {stored.facts.get('task')}; expected one for language")
        parts.append(Part(stored.recipe.network, stored.facts["tokeniser"], stored.model, path))
    return parts


TOLD = ("task", "kind", "outputs", "states", "state_names", "targets", "alphabet", "tokeniser")  # facts of a part


def _told(path: str) -> list[Told]:
    from biorrn.nn.frontends import Told, Trained

    stored = load_model(path)
    inner = getattr(stored.model, "frontend", None)
    if isinstance(inner, Trained):  # what its own models tell
        parts = zip(inner.models, inner.settled.parts, strict=True)
        return [Told(module, part["recipe"], part["facts"]) for module, part in parts]
    facts = {name: stored.facts[name] for name in TOLD if stored.facts.get(name)}
    tokeniser = (facts.get("tokeniser") or {}).get("name", "residue")
    if facts.get("task") not in ("tagging", "language") or facts.get("alphabet") != RESIDUES or tokeniser != "residue":
        found = f"is a model for {facts.get('task')}, of {facts.get('alphabet') or 'another alphabet'}"
        raise ConfigError(f"{path}: {found}; expected one for tagging or language, of single residues")
    return [Told(stored.model, stored.recipe.model_dump(mode="json"), facts)]


def start_from(model: nn.Module, name: str | Path) -> int:
    """Copy the tensors of a stored model that fit another by name and shape, and return their number.

    A narrower stack of convolutions and LSTM layers is widened first; see `nn.widen`.

    Raises
    ------
    ConfigError: no tensor fits, or no such model.
    """
    import torch

    from biorrn.nn.widen import widen

    stored, own = load_model(name), model.state_dict()
    given = stored.model.state_dict()
    if layout.stacked(stored.recipe) and not getattr(model.core, "skip", False):
        given = widen(given, own) or given
    fitting = [key for key, tensor in own.items() if key in given and given[key].shape == tensor.shape]
    if not fitting:
        raise ConfigError(f"--init {name}: none of its tensors has the name and shape of one of the recipe's model")
    with torch.no_grad():
        for key in fitting:
            own[key].copy_(given[key])
    return len(fitting)


def _slots_of(model: nn.Module) -> dict[str, Slot]:
    return {name: Slot(tuple(tensor.shape), tensor.is_floating_point()) for name, tensor in model.state_dict().items()}


# types of safetensors that numpy lacks
NO_NUMPY = ("BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4")


def _checked(stream: Any, slots: Mapping[str, Slot], source: Path) -> dict[str, np.ndarray]:
    """Return the tensors of an open file, which must be those of `slots` and without NaN."""
    names = set(stream.keys())
    if names != set(slots):
        odd = sorted(names ^ set(slots))[0]
        raise InputError(source, f"tensor '{odd}' is {'unexpected' if odd in names else 'missing'} for its recipe")
    tensors = {}
    for name, (wanted, floating) in slots.items():
        held = stream.get_slice(name)
        shape, kind = tuple(held.get_shape()), held.get_dtype()  # checked before allocation
        if shape != wanted:
            raise InputError(source, f"tensor '{name}' has shape {shape}; its recipe asks for {wanted}")
        if ("F" in kind) != floating:
            asked = "floating-point numbers" if floating else "integers"
            raise InputError(source, f"tensor '{name}' is of type {kind}; its recipe asks for {asked}")
        found = _as_float(source, name) if kind in NO_NUMPY else stream.get_tensor(name)
        if floating and np.isnan(found).any():
            raise InputError(source, f"tensor '{name}' holds a NaN")
        tensors[name] = found
    return tensors


def _as_float(source: Path, name: str) -> np.ndarray:
    with safe_open(str(source), framework="pt") as stream:
        found: np.ndarray = stream.get_tensor(name).float().numpy()
        return found


def _fill(model: nn.Module, tensors: Mapping[str, np.ndarray], source: Path) -> None:
    import torch

    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(torch.from_numpy(tensors[name]))
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
    if facts.get("task") == "basecalling":
        yield f"chemistry: {', '.join(facts.get('chemistry') or ()) or 'unknown'}"
        yield f"signal: {facts['sample_rate']:g} Hz, normalised by {facts['normaliser']}"
    for width, model, mean in embeddings.wanted(load_recipe(folder / RECIPE)) if (folder / RECIPE).is_file() else ():
        yield f"reads: embeddings of {model or 'a language model'}, {width} numbers{', means of proteins' * mean}"
    for part in adapted(load_recipe(folder / RECIPE)) if (folder / RECIPE).is_file() else ():
        yield f"adapters of: the language model {part.model} (weights {part.sha256[:12]}), which it needs to predict"
    for target in targets_of(facts):
        yield f"target: {target['name']}" + "".join(_detail(target, key) for key in ("unit", "sign", "bounds"))
    if facts.get("max_length"):
        yield f"lengths trained on: {facts.get('min_length', 0):,} to {facts['max_length']:,} residues"
    for target, entry in (facts.get("conformal") or {}).items():
        others = "have their own" if entry.get("unlike") else "have none"
        yield f"intervals: {target}: from {entry['rows']:,} rows; proteins that the model does not know {others}"
    if facts.get("task") == "classification":
        classes = facts["classes"]
        what = "labels" if facts.get("sets") else "classes"
        yield f"{what} of {facts['name']}: {len(classes):,}: {', '.join(classes[:5])}{', ...' * (len(classes) > 5)}"
        entry = facts.get("class_calibration")
        yield f"probabilities and sets: from {entry['rows']:,} rows" if entry else "probabilities: not calibrated"
    if facts.get("task") == "regression":
        known = facts["mutants"] if facts.get("mutants") is not None else bool(facts.get("reference"))
        yield f"mutants among the training rows: {'yes' if known else 'no: biorrn scan flags its differences'}"
    yield f"size: {model_bytes(folder) / 1e6:.1f} MB"


def _detail(target: dict[str, Any], key: str) -> str:
    value = target.get(key)
    if not value:
        return ""
    return f"; {key}: " + (f"{value[0]:g} to {value[1]:g}" if key == "bounds" else str(value))
