"""The run folder: what a training run leaves behind, and how a killed one is taken up again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from biorrn import __version__
from biorrn.command import command_line
from biorrn.config import Recipe, dump_recipe
from biorrn.errors import ConfigError, InputError
from biorrn.files import sha256, write_text
from biorrn.training.alarms import Alarm
from biorrn.training.checkpoint_file import usable

LIBRARIES = ("torch", "lightning", "numpy", "numba", "llvmlite", "h5py", "scipy", "scikit-learn", "safetensors")
STATE = "run.json"  # what the run was started with
CHECKPOINTS = "checkpoints"
PROVENANCE = "provenance.json"
WARNINGS = "warnings.tsv"


def fingerprint(recipe: Recipe, data: str | Path, seed: int) -> dict[str, Any]:
    """Return what makes a run this run: its recipe, the content of its data, its seed."""
    text = dump_recipe(recipe)
    return {
        "recipe": hashlib.sha256(text.encode()).hexdigest(),
        "data": {str(data): sha256(data)},
        "seed": seed,
        "biorrn": __version__,
    }


def open_run(folder: Path, mark: dict[str, Any], replace: bool = False) -> Path | None:
    """Prepare a run folder and return the checkpoint to go on from, or None for a fresh start.

    Raises
    ------
    ConfigError: the folder holds a run of another recipe, other data or another seed, and `replace` is false.
    """
    state = folder / STATE
    if state.is_file():
        try:
            found = json.loads(state.read_text(encoding="utf-8"))
            differs = [key for key in ("recipe", "seed", "init") if found.get(key) != mark.get(key)]
            if list(found["data"].values()) != list(mark["data"].values()):
                differs.append("data")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(state, "is damaged; remove the folder to start again") from error
        if differs and not replace:
            raise ConfigError(
                f"{folder}: holds a run with another {' and '.join(differs)}; choose another folder or --replace"
            )
        if differs:
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            (folder / PROVENANCE).unlink(missing_ok=True)
            state.unlink()
    if not state.is_file():
        with write_text(state) as stream:
            json.dump(mark, stream, indent=1)
    return usable(folder / CHECKPOINTS)


def keep_precision(folder: Path, device: str, choose: Callable[[], str]) -> str:
    """Return the precision that a run began with on this kind of device; that of a new run is chosen, and noted.

    A choice by measuring could turn out otherwise in a run that is taken up, which would end in other weights.
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
    """Tell whether the run in a folder has come to its end."""
    return (folder / PROVENANCE).is_file()


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Write history.tsv: one row an epoch; nan where an epoch of an earlier version lacks a column."""
    with write_text(folder / "history.tsv") as stream:
        if history:
            names = list(dict.fromkeys(name for row in reversed(history) for name in row))
            print(*names, sep="\t", file=stream)
            for row in history:
                print(*(f"{row.get(name, float('nan')):.6g}" for name in names), sep="\t", file=stream)


def write_warnings(folder: Path, alarms: Sequence[Alarm]) -> None:
    """Write warnings.tsv: epoch, kind and message of each; no file where there is none."""
    path = folder / WARNINGS
    if not alarms:
        path.unlink(missing_ok=True)
        return
    with write_text(path) as stream:
        print("epoch", "kind", "message", sep="\t", file=stream)
        for alarm in alarms:
            print(alarm.epoch, alarm.kind, alarm.message, sep="\t", file=stream)


def versions() -> dict[str, str]:
    """Return the versions that can change a result."""
    found = {"biorrn": __version__, "python": platform.python_version(), "machine": platform.machine()}
    return found | {name: metadata.version(name) for name in LIBRARIES}


def machine(device: str = "cpu") -> dict[str, Any]:
    """Return what of a machine can change the last bits of a result, and its system."""
    import torch

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
    # a virtual machine may hide the name; the numbers tell one generation from another
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
