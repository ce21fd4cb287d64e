"""Repeat a training run from its provenance, and compare the weights."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.base.files import sha256
from biorrn.config.recipe import Recipe, parse_recipe
from biorrn.nn.store import FOREIGN, WEIGHTS, find_model, load_facts, model_checksum, update_facts
from biorrn.training import processes as launch
from biorrn.training.checkpoint import PROVENANCE
from biorrn.training.task import complete, load_task
from biorrn.training.train import train


@dataclass(frozen=True, slots=True)
class Plan:
    """A training to repeat.

    Attributes
    ----------
    run : the folder of the run that is repeated.
    recipe : as trained: with the chosen precision, without a time limit.
    data : path of the prepared file.
    options : dict: arguments of `training.train.train`.
    processes : int: processes of the run.
    """

    run: Path
    recipe: Recipe
    data: Path
    options: dict[str, Any]
    processes: int


def read_plan(run: str | Path, *, data: str | Path | None = None, init: str | None = None) -> Plan:
    """Return the plan of a finished run from its provenance, after checking its files.

    Parameters
    ----------
    data : path of the prepared file, where it is neither at its old path nor in the run folder.
    init : the same for the model with the initial weights.

    Raises
    ------
    InputError: no finished run, or incomplete provenance; a file that is missing or has changed.
    """
    run = Path(run)
    record = read_provenance(run)
    try:
        recipe = parse_recipe(_settled(record), str(run / PROVENANCE))
        (name, checksum), *_ = record["data"].items()
        options: dict[str, Any] = {key: record[key] for key in ("seed", "threads")}
        options["device"] = str(record["device"]).split(":")[0]
        options |= {"jobs": record["jobs"]} if recipe.members is not None else {}
        given, processes = record["init"], int(record["processes"])
        if stop := _stop(record, recipe):
            options["stop"] = stop
        teacher = recipe.training.teacher
        checked = [(path, path, known) for path, known in record["files"].items() if path != teacher]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            run / PROVENANCE, f"has too little information to repeat the run: {_missing(error)}"
        ) from error
    path = _find(Path(data) if data else None, [Path(name), run / Path(name).name], run, "--data")
    checked.append((str(path), name, checksum))
    if given is not None:
        options["init"] = init or given["model"]
        checked.append((str(find_model(options["init"])), given["model"], given["sha256"]))
    if teacher is not None:
        checked.append((str(find_model(teacher)), teacher, record["files"].get(teacher, "")))
    for place, called, known in checked:
        check_file(place, called, known)
    return Plan(run, recipe, path, options, processes)


def processes_of(run: str | Path) -> int:
    """Return the number of processes of a run."""
    found = read_provenance(run).get("processes", 1)
    return found if isinstance(found, int) and found > 0 else 1


def read_provenance(run: str | Path) -> dict[str, Any]:
    """Return the content of provenance.json.

    Raises
    ------
    InputError: there is none, or it is damaged.
    """
    path = Path(run) / PROVENANCE
    if not path.is_file():
        raise InputError(run, f"is no finished run: {PROVENANCE} is missing")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(path, f"is damaged: {error}") from error
    if not isinstance(found, dict):
        raise InputError(path, "is damaged: it holds no mapping")
    return found


def check_file(place: str | Path, called: str, known: str) -> None:
    """Raise InputError where a file, or the weights of a model folder, are missing or have changed since the run."""
    folder, path = Path(place).is_dir(), Path(place)
    if folder and not (path / FOREIGN).is_file():
        folder, path = False, path / WEIGHTS
    if not folder and not path.is_file():
        raise InputError(path, f"is missing; the run took values from '{called}'")
    if (found := model_checksum(path) if folder else sha256(path)) != known:
        raise InputError(path, f"is not the file of the run: its SHA-256 is {found[:12]}..., that was {known[:12]}...")


def _find(given: Path | None, known: list[Path], run: Path, option: str) -> Path:
    for path in [given] if given else known:
        if path.is_file():
            return path
    raise InputError(given or known[0], f"cannot be found; {option} says where the prepared file of {run} is")


def _missing(error: Exception) -> str:
    return f"key {error} is missing" if isinstance(error, KeyError) else str(error).splitlines()[0]


def _settled(record: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe as plain values, with the chosen precision and without a time limit."""
    content: dict[str, Any] = json.loads(json.dumps(record["configuration"]))
    if content.get("members") is None:
        _settle(content, record.get("precision"))
    else:
        for member, known in zip(content["members"], _members(record), strict=True):
            _settle(member["recipe"], known.get("precision"))
    return content


def _settle(content: dict[str, Any], precision: str | None) -> None:
    content["training"]["max_minutes"] = None
    if content["training"]["precision"] == "auto":
        content["training"]["precision"] = precision


def _members(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [record["members"][name] for name in sorted(record["members"])]


def _stop(record: dict[str, Any], recipe: Recipe) -> int | dict[str, int] | None:
    """Return the epochs after which a time limit ended the run, or each member of an ensemble."""
    if recipe.members is None:
        return int(record["epochs"]) if "epochs" in record else None
    return {
        name: int(record["members"][name]["epochs"]) for name in record["members"] if record["members"][name]["epochs"]
    }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether two runs have the same weights, and a report in lines."""

    identical: bool
    lines: list[str]


def compare(old: str | Path, new: str | Path) -> Comparison:
    """Compare the weights of two run folders bit for bit; where they differ, also versions and machines.

    Raises
    ------
    InputError: one has no readable weights or no provenance.
    """
    one, other = _weights(old), _weights(new)
    if set(one) != set(other) or any(one[name].shape != other[name].shape for name in one):
        raise BiorrnError(f"{new}: its tensors are not those of {old} in name and shape")
    total = sum(tensor.size for tensor in one.values())
    differing = [name for name in one if one[name].tobytes() != other[name].tobytes()]
    if not differing:
        return Comparison(True, [f"identical: {len(one)} tensors, {total:,} numbers, bit for bit"])
    gaps = {name: _gap(one[name], other[name]) for name in differing}
    worst = max(gaps, key=lambda name: gaps[name])
    lines = [
        f"different: {len(differing)} of {len(one)} tensors; the largest difference is {gaps[worst]:.3g}, in {worst}, "
        f"whose largest number is {float(np.abs(one[worst].astype(np.float64)).max()):.3g}"
    ]
    record, again = read_provenance(old), read_provenance(new)
    best, now = (run.get("best", {}) for run in (record, again))
    lines.append(f"{best.get('metric', 'best')}: {best.get('value')} then, {now.get('value')} now")
    before, after = (_circumstances(run) for run in (record, again))
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    lines += [f"{key}: {before.get(key, 'unknown')} then, {after.get(key, 'unknown')} now" for key in changed]
    if not changed:
        lines.append("versions, machine and threads are the same")
    return Comparison(False, lines)


def _weights(folder: str | Path) -> dict[str, np.ndarray]:
    path = Path(folder) / WEIGHTS
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(path, f"is not a readable safetensors file: {error}") from error


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    gaps = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return float(gaps.max()) if np.isfinite(gaps).all() else float("inf")


def _circumstances(record: dict[str, Any]) -> dict[str, Any]:
    keys = ("device", "threads", "processes", "jobs", "precision", "epochs")
    own = {key: record[key] for key in keys if key in record}
    return {**record.get("versions", {}), **record.get("machine", {}), **own}


def refuse_same(run: str | Path, folder: str | Path) -> None:
    """Raise ConfigError where the folders of a run and of its repetition are the same."""
    if Path(run).resolve() == Path(folder).resolve():
        raise ConfigError(f"{folder}: is the run itself; give another folder")


def trained_reads(run: str | Path) -> set[str]:
    """Return the ids of the training reads of a basecaller; none where its prepared file is absent."""
    from biorrn.sequences.prepared.files import SignalFile

    try:
        name = next(iter(read_provenance(run)["data"]))
        found = next(path for path in (Path(name), Path(run) / Path(name).name) if path.is_file())
        prepared = SignalFile(found)
        return set(prepared.file["read_id"].asstr()[:][prepared.rows("train")].tolist())
    except (BiorrnError, KeyError, TypeError, ValueError, StopIteration, OSError):
        return set()


FOLDS = "folds"  # of `biorrn train-table --folds`: a run each
KEPT = ("reference", "wild_type")  # facts that `biorrn train-table` adds
MEASURED = ("conformal", "measured")  # and of a model that was fitted to all rows, from the one before it


def rerun(run: str | Path, folder: str | Path, *, data: str | Path | None = None, init: str | None = None) -> Path:
    """Train a run again into `folder`, and return it; see `read_plan` for the parameters and errors.

    Searches and choices of `biorrn train-table` are not repeated: the chosen recipe is trained. Each of its folds is
    trained, and they are joined. An interrupted call is resumed.
    """
    run, folder = Path(run), Path(folder)
    record = read_provenance(run)
    if record.get("folds"):
        return _folds(run, folder, record)
    plan = read_plan(run, data=data, init=init)
    print(f"{run}: training {plan.recipe.name} again into {folder}", file=sys.stderr)
    _train(plan, folder)
    return folder


def _train(plan: Plan, folder: Path) -> None:
    train(plan.recipe, plan.data, folder, load_task(plan.recipe.task), **plan.options)
    if launch.rank() == 0:
        old, new = load_facts(plan.run), load_facts(folder)
        kept = KEPT if plan.recipe.fitted == "train" else (*KEPT, *MEASURED)
        if added := {key: old[key] for key in kept if key in old and key not in new}:
            update_facts(folder, **added)
        complete(plan.recipe.task, folder, plan.data, device=plan.options["device"])


def _folds(run: Path, folder: Path, record: dict[str, Any]) -> Path:
    from biorrn.proteins.predictions import read_prepared
    from biorrn.proteins.train_table.folds import join_folds
    from biorrn.proteins.train_table.outputs import DATA

    again = []
    try:
        number, seed = int(record["folds"]), int(record["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(run / PROVENANCE, f"has too little information to repeat the run: {error}") from error
    for place in range(1, number + 1):
        again.append(rerun(run / FOLDS / str(place), folder / FOLDS / str(place)))
    join_folds(again, folder, read_prepared(run / DATA), seed)
    return folder
