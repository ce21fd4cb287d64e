"""Run folders: checkpoints, resuming, and the files that a training run writes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import atomic_path, sha256, sweep, sync, write_text
from biorrn.base.terminal import command_line
from biorrn.config.recipe import Recipe, dump_recipe
from biorrn.nn.store import RECIPE, WEIGHTS
from biorrn.training.alarms import Alarm
from biorrn.version import __version__

BEST, LAST = "best.ckpt", "last.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints to a temporary name in the same folder and renames them.

    Lightning writes to the system's temporary folder and copies, so that a kill or a full disk can leave a partial
    checkpoint under the final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises
        ------
        BiorrnError: it cannot be written; an earlier checkpoint is unchanged.
        """
        buffer = io.BytesIO()  # torch's own writer to a file hides the error of the disk
        torch.save(checkpoint, buffer)
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint of tensors and plain values only, since run folders may come from others.

        Raises
        ------
        InputError: it holds another kind of object, which could run code; or it is damaged.
        """
        try:
            return super().load_checkpoint(path, map_location, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise InputError(
                path, "is not a checkpoint of tensors and plain values; remove it to start over"
            ) from error


def usable(folder: Path) -> Path | None:
    """Return the checkpoint to resume from: the last epoch, else the best; None to start from scratch.

    The last needs the best beside it, which holds the final weights. Damaged checkpoints are reported and removed.
    """
    sweep(folder.resolve())  # a run whose last epoch is saved writes nothing more here
    whole = {name: _is_whole(folder / name) for name in (LAST, BEST)}
    if whole[BEST]:
        return folder / (LAST if whole[LAST] else BEST)
    if whole[LAST]:
        print(f"{folder}: the best epoch is missing or damaged; the run starts over", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            fine = archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError):
        fine = False
    if not fine:
        print(f"{path}: is damaged and ignored", file=sys.stderr)
    return fine


LIBRARIES = ("torch", "lightning", "numpy", "numba", "llvmlite", "h5py", "scipy", "scikit-learn", "safetensors")
STATE = "run.json"  # settings with which the run was started
CHECKPOINTS = "checkpoints"
PROVENANCE = "provenance.json"
WARNINGS = "warnings.tsv"
MEMBERS = "members"  # folder of the runs of an ensemble's members
CHOICE, REPORT = "choice.json", "report.html"  # of `biorrn train-table`
# files of a run except the weights; the state is removed last, so that a partly removed run is recognised
RUN = (PROVENANCE, CHOICE, REPORT, RECIPE, "history.tsv", WARNINGS, CHECKPOINTS, MEMBERS, STATE)
SHOWN = 3  # differing keys of a recipe named in a message


def fingerprint(recipe: Recipe, data: str | Path, seed: int) -> dict[str, Any]:
    """Return the identity of a run: recipe, checksum of the data, seed, version."""
    text = dump_recipe(recipe)
    return {
        "recipe": hashlib.sha256(text.encode()).hexdigest(),
        "configuration": recipe.model_dump(mode="json"),  # to name the differing keys
        "data": {str(data): sha256(data)},
        "seed": seed,
        "biorrn": __version__,
    }


def open_run(folder: Path, mark: dict[str, Any], replace: bool = False, keep: Sequence[str] = ()) -> Path | None:
    """Prepare a run folder and return the checkpoint to resume from, or None for a new run.

    A run that is replaced is removed as a whole, weights first, so that a folder never mixes two runs. One that has
    trained nothing yet, such as one whose recipe was refused, is replaced without being asked.

    Parameters
    ----------
    mark : of `fingerprint`.
    keep : names of `RUN` that are kept when a run is replaced.

    Raises
    ------
    ConfigError: the folder holds a run with other settings, or a model without a run, and `replace` is false.
    InputError: the state file is damaged.
    """
    state = folder / STATE
    if state.is_file():
        try:
            found = json.loads(state.read_text(encoding="utf-8"))
            differs = _differences(found, mark)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(state, "is damaged; remove the folder to start again") from error
        if differs and not replace and any((folder / name).exists() for name in (WEIGHTS, *RUN) if name != STATE):
            raise ConfigError(
                f"{folder}: holds a run with another {'; '.join(differs)}; use the same settings, choose another "
                "folder, or --replace"
            )
        if differs:
            remove_run(folder, keep)
    elif any((folder / name).exists() for name in (WEIGHTS, PROVENANCE)):
        if not replace:
            raise ConfigError(
                f"{folder}: holds a model without {STATE}, so of another run; choose another folder, or --replace"
            )
        remove_run(folder, keep)
    if not state.is_file():
        with write_text(state) as stream:
            json.dump(mark, stream, indent=1)
    return usable(folder / CHECKPOINTS)


def remove_run(folder: Path, keep: Sequence[str] = (), more: Sequence[str] = ()) -> None:
    """Remove the files of a run and `more` from a folder, weights first, so that a partly removed run cannot be used.

    Files of other names are kept.
    """
    for name in [WEIGHTS, *more, *(name for name in RUN if name not in keep)]:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if name == WEIGHTS and folder.is_dir():
            sync(folder)


def _differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the differences of two fingerprints, named for users, with both values.

    >>> old = {"recipe": "a", "configuration": {"training": {"lr": 0.1, "epochs": 3}}, "data": {"x.h5": "1"}, "seed": 0}
    >>> new = {**old, "recipe": "b", "configuration": {"training": {"lr": 0.2, "epochs": 3}}, "seed": 1}
    >>> _differences(old, new)
    ['recipe: training.lr was 0.1 and is now 0.2', 'seed: --seed was 0 and is now 1']
    >>> _differences(old, {**old, "data": {"y.h5": "2"}})
    ['data: the content of y.h5']
    """
    found = []
    if was.get("recipe") != now.get("recipe"):
        old, new = (flat(mark.get("configuration") or {}) for mark in (was, now))
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)] if old and new else []
        said = [f"{key} was {old.get(key, 'absent')} and is now {new.get(key, 'absent')}" for key in keys]
        more = f", and {len(said) - SHOWN} keys more" if len(said) > SHOWN else ""
        found.append("recipe" + (f": {', '.join(said[:SHOWN])}{more}" if said else ""))
    if was.get("seed") != now.get("seed"):
        found.append(f"seed: --seed was {was.get('seed')} and is now {now.get('seed')}")
    if was.get("init") != now.get("init"):
        how = {(True, False): "was given", (False, True): "was not given"}
        state = how.get((bool(was.get("init")), bool(now.get("init"))), "was another model")
        found.append(f"init: --init {state}")
    if list(was["data"].values()) != list(now["data"].values()):
        found.append(f"data: the content of {', '.join(now['data'])}")
    files = {name for name, checksum in now.get("files", {}).items() if was.get("files", {}).get(name) != checksum}
    if files and "files" in was and was.get("recipe") == now.get("recipe"):
        found.append(f"files: the content of {', '.join(sorted(files))}")
    return found


def flat(content: Any, at: str = "") -> dict[str, Any]:
    """Return {dotted key: value} of nested dicts and lists."""
    if isinstance(content, dict | list) and content:
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        parts = [flat(part, f"{at}.{name}" if at else str(name)) for name, part in pairs]
        return {key: value for part in parts for key, value in part.items()}
    return {at: content}


def keep_precision(folder: Path, device: str, choose: Callable[[], str]) -> str:
    """Return the stored precision of a run for this kind of device; for a new run it is chosen and stored.

    A choice by measuring could differ when the run is resumed, which would then end in other weights.
    """
    state = folder / STATE
    content = json.loads(state.read_text(encoding="utf-8"))
    known = content.setdefault("precision", {})
    if device not in known:
        known[device] = choose()
        with write_text(state) as stream:
            json.dump(content, stream, indent=1)
    return str(known[device])


def is_finished(folder: Path) -> bool:
    """Return whether the run in a folder is finished."""
    return (folder / PROVENANCE).is_file() and (folder / WEIGHTS).is_file()


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Write history.tsv: one row an epoch; nan for columns that an earlier version did not have."""
    with write_text(folder / "history.tsv") as stream:
        if history:
            names = list(dict.fromkeys(name for row in reversed(history) for name in row))
            print(*names, sep="\t", file=stream)
            for row in history:
                print(*(f"{row.get(name, float('nan')):.6g}" for name in names), sep="\t", file=stream)


def write_warnings(folder: Path, alarms: Sequence[Alarm]) -> None:
    """Write warnings.tsv: epoch, kind and message of each; without warnings there is no file."""
    path = folder / WARNINGS
    if not alarms:
        path.unlink(missing_ok=True)
        return
    with write_text(path) as stream:
        print("epoch", "kind", "message", sep="\t", file=stream)
        for alarm in alarms:
            print(alarm.epoch, alarm.kind, alarm.message, sep="\t", file=stream)


def versions() -> dict[str, str]:
    """Return the versions of biorrn, Python and libraries that can change a result."""
    found = {"biorrn": __version__, "python": platform.python_version(), "machine": platform.machine()}
    return found | {name: metadata.version(name) for name in LIBRARIES}


def machine(device: str = "cpu") -> dict[str, Any]:
    """Return processor, instructions, GPU and system, which can change the last bits of a result."""
    found: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
    }
    return found | ({"gpu": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {})


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            fields = dict(line.split(":", 1) for line in stream.read().split("\n\n")[0].splitlines() if ":" in line)
    except OSError:
        return platform.processor()
    known = {key.strip(): value.strip() for key, value in fields.items()}
    name = known.get("model name", platform.processor())
    # a virtual machine may hide the name; family and model identify the generation
    numbers = [f"{word} {known[key]}" for word, key in NUMBERS.items() if key in known]
    return f"{name} ({', '.join(numbers)})" if numbers else name


NUMBERS = {"family": "cpu family", "model": "model"}


def write_provenance(folder: Path, facts: dict[str, Any]) -> None:
    """Write provenance.json: the command, versions, machine, data checksums, device, cost and best epoch of a run."""
    content = {
        "command": command_line(),
        "versions": versions(),
        "machine": machine(str(facts.get("device", "cpu"))),
        **facts,
    }
    with write_text(folder / PROVENANCE) as stream:
        json.dump(content, stream, indent=1, sort_keys=True)
        stream.write("\n")
