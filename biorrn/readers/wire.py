"""Reads as bytes on their way from the process that reads to the one that asked: JSON, and the arrays as they are.

Not pickle: what reads a damaged file may itself be damaged, and JSON runs nothing.
"""

import dataclasses
import json
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.readers.records import ReadCall, ReadLabels, SignalRecord

HEAD = struct.Struct("<II")  # bytes of JSON, bytes of arrays
ALIGN = 8  # bytes: where an array may begin
MAX_JSON = 1 << 26
KINDS: dict[str, type] = {kind.__name__: kind for kind in (SignalRecord, ReadLabels, ReadCall)}
DTYPES = ("int16", "uint8", "int64")


def encode(message: dict[str, Any]) -> list[bytes | memoryview]:
    """Return the parts of a message: its head and JSON, then its arrays, which are not copied.

    Values may be JSON, records of `KINDS`, arrays of `DTYPES` with one axis, paths, times, and lists of these.
    """
    arrays: list[np.ndarray] = []

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(np.ascontiguousarray(value))
            return {"array": [str(value.dtype), len(value)]}
        if isinstance(value, datetime):
            return {"time": value.isoformat()}
        if isinstance(value, Path):
            return {"path": str(value)}
        if isinstance(value, np.integer | np.floating):
            return value.item()
        if type(value).__name__ in KINDS:
            names = [field.name for field in dataclasses.fields(value)]
            return {"kind": type(value).__name__, "fields": {name: getattr(value, name) for name in names}}
        raise TypeError(f"{type(value).__name__} cannot be sent")

    text = json.dumps(message, default=plain).encode()
    parts: list[bytes | memoryview] = []
    for array in arrays:
        parts += [array.view(np.uint8).data, b"\0" * (-array.nbytes % ALIGN)]
    return [HEAD.pack(len(text), sum(map(len, parts))) + text, *parts]


def decode(text: bytes, arrays: np.ndarray) -> Any:
    """Return the message of its JSON and of its arrays, uint8 (bytes,), of which the arrays of the message are views.

    Raises
    ------
    ValueError, KeyError, TypeError: it is not what `encode` makes.
    """
    at = 0

    def restore(value: dict[str, Any]) -> Any:
        nonlocal at
        if "array" in value:
            name, count = value["array"]
            if name not in DTYPES:
                raise ValueError(f"an array of {name}")
            dtype = np.dtype(name)
            size = int(count) * dtype.itemsize
            if not 0 <= size <= len(arrays) - at:
                raise ValueError("an array is cut short")
            found = arrays[at : at + size].view(dtype)
            at += size + -size % ALIGN
            return found
        if "time" in value:
            return datetime.fromisoformat(value["time"])
        if "path" in value:
            return Path(value["path"])
        if "kind" in value:
            fields = {name: tuple(held) if isinstance(held, list) else held for name, held in value["fields"].items()}
            return KINDS[value["kind"]](**fields)
        return value

    return json.loads(text, object_hook=restore)
