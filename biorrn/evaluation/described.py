"""JSON files that tell of reads: their head, how they are written, and numbers as people read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biorrn import __version__
from biorrn.command import command_line
from biorrn.files import sha256, write_text


def described(kind: str, name: str, inputs: Mapping[str, str | Path], note: str = "") -> dict[str, Any]:
    """Return kind, name, note, cautions, inputs {role: {"path", "sha256"}}, command, version and an empty figures.

    An input that is no file, such as standard input, has no checksum.
    """
    return {
        "kind": kind,
        "name": name,
        "note": note,
        "cautions": [],
        "inputs": {
            role: {"path": str(path), "sha256": sha256(path) if Path(path).is_file() else ""}
            for role, path in inputs.items()
        },
        "command": command_line(),
        "biorrn": __version__,
        "figures": [],
    }


def _plain(value: Any) -> Any:
    """Return the value with numpy numbers as Python's, and None for numbers that are not finite (JSON has none)."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_result(path: str | Path, content: dict[str, Any]) -> None:
    """Write numbers as JSON: numpy's as Python's, null for what is not finite."""
    with write_text(path) as stream:
        json.dump(_plain(content), stream, indent=1, ensure_ascii=False, allow_nan=False)
        stream.write("\n")


def aligned_rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return name and value of each row as lines, the values one below the other.

    >>> aligned_rows([("reads", "8"), ("bases", "9,120")])
    ['reads      8', 'bases  9,120']
    """
    wide = max((len(name) for name, _ in rows), default=0)
    far = max((len(value) for _, value in rows), default=0)
    return [f"{name.ljust(wide)}  {value.rjust(far)}" for name, value in rows]


def bases_label(value: float, _: object = None) -> str:
    """Return a number of bases in the unit that fits.

    >>> bases_label(48_500), bases_label(2e6), bases_label(120)
    ('48.5 kb', '2 Mb', '120 b')
    """
    for size, unit in ((1e12, "Tb"), (1e9, "Gb"), (1e6, "Mb"), (1e3, "kb")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} b"
