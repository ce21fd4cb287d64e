"""Integrity check of prepared files: every dataset is read to its end, and values used as indices are in range.

HDF5 crashes or hangs on some damaged files. The check therefore runs in a child process (`sequences.guard`), once per
file, before the file is opened.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from biorrn.base.errors import Fault, InputError, OnProblem, stop, text
from biorrn.sequences.alphabets import ALPHABETS, MOST
from biorrn.sequences.guard import Guarded
from biorrn.sequences.prepared import schema
from biorrn.sequences.tables.classes import BETWEEN

BLOCK = 1 << 22  # elements read at a time
CACHE = 1 << 20  # bytes: up to here HDF5 reads a chunk as a whole, and the writer's are smaller


def probe(path: str | Path, on_problem: OnProblem = stop, kind: str | None = None) -> Iterator[None]:
    """Yield nothing; raise where a file does not follow `sequences.prepared.schema`. Without `kind`, any kind is read.

    Raises
    ------
    InputError: it is not HDF5, of another kind, or damaged.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        what = "not HDF5 or damaged" if os.path.isfile(path) else "cannot be read: no such file"
        raise InputError(path, f"{what}; expected a file of `biorrn prepare {kind or 'protein'}`") from error
    with file:
        try:
            _content(file, schema.check(file, path, kind))
        except InputError:
            raise
        except MemoryError as error:
            raise InputError(path, "is damaged: a length in it is larger than the memory") from error
        except Exception as error:  # h5py, JSON and numpy raise a dozen kinds on a damaged file
            raise InputError(path, f"is damaged: {error!s:.200}") from error
    yield from ()


def _content(file: h5py.File, kind: str) -> None:
    _attributes(file, kind)
    for name, field in schema.fields_of(file, kind).items():
        _walk(file[name], name, field)
    for name, flat in (("offsets", "tokens"), ("signal_offsets", "signal"), ("base_offsets", "bases")):
        if name in schema.KINDS[kind].fields:
            _check_offsets(file[name][:], name, len(file[flat]))
    if kind in CONTENT:
        CONTENT[kind](file)


def _attributes(file: h5py.File, kind: str) -> None:
    values = {name: file.attrs[name] for name in file.attrs}
    for name in ("alphabet", "normaliser", "labels"):
        if name in values and not isinstance(values[name], str):
            raise Fault(f"attribute {name!r} is not a text")
    if not isinstance(json.loads(values["sources"]), dict):
        raise Fault("attribute 'sources' is not a JSON object")
    reads = json.loads(values.get("chemistry", "{}"))
    if not isinstance(reads, dict) or not all(isinstance(count, int) for count in reads.values()):
        raise Fault("attribute 'chemistry' is not a JSON object of numbers")
    if kind == "signal" and values.get("rna", 0) not in (0, 1):
        raise Fault(f"attribute 'rna': found {values['rna']!s:.40}; allowed is 0 or 1")
    if kind == "signal" and not 0 < float(values["sample_rate"]) < 1e9:
        raise Fault(f"attribute 'sample_rate': found {values['sample_rate']!s:.40}; allowed is a number above 0")
    if "tags" in values:
        tags = json.loads(values["tags"])
        known = tags if isinstance(tags, dict) else {}
        states, names = str(known.get("states")), known.get("names")
        whole = isinstance(names, list) and all(isinstance(name, str) for name in [*names, known.get("name")])
        if not whole or not 2 <= len(states) == len(names or ()) <= MOST:
            raise Fault("attribute 'tags' does not name the states")
    if kind == "protein" or (kind == "tags" and "targets" in values):
        columns = "targets" if kind == "protein" else "values"
        targets = json.loads(values["targets"])
        whole = isinstance(targets, list) and all(
            isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("unit"), str)
            for item in targets
        )
        if not whole or len(targets) != file[columns].shape[1]:
            raise Fault(f"attribute 'targets' does not name the {file[columns].shape[1]} columns of {columns}")
        for place, item in enumerate(targets if kind == "protein" else ()):
            if "classes" in item:
                _check_classes(item["classes"], file[columns][:, place], item["name"])
                if item.get("sets") and not all(all(name.split(BETWEEN)) for name in item["classes"]):
                    raise Fault(f"attribute 'targets' does not name the classes of {item['name'][:60]}")


def _check_classes(classes: Any, values: np.ndarray, name: str) -> None:
    """Raise where the classes of a target are no names, or a value is no index of one."""
    if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes) or len(classes) < 2:
        raise Fault(f"attribute 'targets' does not name the classes of {name[:60]}")
    known = values[~np.isnan(values)]
    if not np.isin(known, np.arange(len(classes))).all():
        raise Fault(f"targets: {name[:60]} holds a value that is no index of its {len(classes)} classes")


def _walk(data: h5py.Dataset, name: str, field: schema.Field) -> None:
    """Read all of a dataset; of `signal`, whose values index nothing, an element a chunk, which reads the chunk."""
    count = len(data)
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > CACHE:
        raise Fault(f"{name} is kept in chunks of {data.chunks[0]} values")
    if data.size > (1 << 20) and data.id.get_storage_size() == 0:
        raise Fault(f"{name} claims {data.size} values, and holds none")
    if name == "signal":
        step = data.chunks[0] if data.chunks else BLOCK
        for start in range(0, count, BLOCK * 16):
            _ = data[start : start + BLOCK * 16 : step]
        _ = data[max(0, count - 1) :]
        return
    for start in range(0, count, BLOCK):
        if field.dtype is str:
            for value in data.asstr()[start : start + BLOCK]:
                text(name, value)
        else:
            _check_range(name, data[start : start + BLOCK])


def _check_range(name: str, values: np.ndarray) -> None:
    least, most = RANGES.get(name, (None, None))
    if least is not None and values.size and not (least <= values.min() and values.max() <= most):
        raise Fault(f"{name}: found {values.min():g} to {values.max():g}; allowed is {least} to {most:g}")


def _check_offsets(offsets: np.ndarray, name: str, length: int) -> None:
    if offsets[0] != 0 or offsets[-1] != length or (offsets[1:] < offsets[:-1]).any():
        raise Fault(f"{name} do not rise from 0 to {length}")


def _check_tags(file: h5py.File) -> None:
    """Raise where a token or label is out of range, or residues and labels differ in number."""
    name = "labels" if "labels" in file else "values"
    if len(file[name]) != len(file["tokens"]):
        raise Fault(f"{name} has {len(file[name])} entries for {len(file['tokens'])} residues")
    letters = len(str(file.attrs["alphabet"]))
    states = len(json.loads(file.attrs["tags"])["states"]) if name == "labels" else 0
    for start in range(0, len(file["tokens"]), BLOCK):
        tokens = file["tokens"][start : start + BLOCK]
        if tokens.size and not 1 <= tokens.min() <= tokens.max() <= letters:
            raise Fault(f"tokens: found {tokens.min()} to {tokens.max()}; allowed is 1 to {letters}")
        labels = file[name][start : start + BLOCK] if states else tokens[:0]
        if ((labels >= states) & (labels != schema.NO_LABEL)).any():
            raise Fault(f"labels: found {labels[labels != schema.NO_LABEL].max()}; allowed is 0 to {states - 1}")


def _check_pairs(file: h5py.File) -> None:
    """Raise where offsets do not rise, or a symbol is not of its alphabet."""
    for side in ("source", "target"):
        _check_offsets(file[f"{side}_offsets"][:], f"{side}_offsets", len(file[side]))
        name = file.attrs[f"{side}_alphabet"]
        if name not in ALPHABETS:
            raise Fault(f"attribute '{side}_alphabet': found {name!s:.40}; allowed is {', '.join(ALPHABETS)}")
        most = len(ALPHABETS[name].symbols)
        for start in range(0, len(file[side]), BLOCK):
            symbols = file[side][start : start + BLOCK]
            if not 1 <= symbols.min() <= symbols.max() <= most:
                raise Fault(f"{side}: found {symbols.min()} to {symbols.max()}; allowed is 1 to {most}")


def _check_starts(file: h5py.File) -> None:
    """Raise where the starts of a segment's bases decrease or leave its signal."""
    edges, ends = file["base_offsets"][:], file["signal_offsets"][:]
    lengths = np.diff(ends)
    row, rows = 0, len(lengths)
    while row < rows:
        last = max(row + 1, int(np.searchsorted(edges, edges[row] + BLOCK, side="right")) - 1)
        starts = file["starts"][edges[row] : edges[last]].astype(np.int64)
        counts = np.diff(edges[row : last + 1])
        if len(starts):
            owners = np.repeat(np.arange(len(counts)), counts)
            follows = owners[1:] == owners[:-1]
            wrong = starts >= lengths[row:last][owners]
            wrong[1:] |= follows & (starts[1:] < starts[:-1])
            if wrong.any() or starts.min() < 0:
                raise Fault(f"starts leave their segment or go back, in rows {row} to {last - 1}")
        row = last


CONTENT = {"signal": _check_starts, "tags": _check_tags, "pairs": _check_pairs}
Range = tuple[float, float]
RANGES: dict[str, Range] = {
    "split": (0, len(schema.SPLITS) - 1),
    "bases": (1, 4),
    "starts": (0, 2**31),
    "weights": (0, 1e30),
    "whole": (0, 1),
}


_PROBE = Guarded("biorrn.sequences.prepared.integrity:probe", "HDF5")
# files that passed: kind, device, inode, bytes, time of change
_known: set[tuple[str | None, int, int, int, int]] = set()


def check_whole(path: str | Path, kind: str | None = None) -> None:
    """Raise where a prepared file is damaged or of another kind; in a child process, once while the file is unchanged.

    Raises
    ------
    InputError: as `probe`; or HDF5 crashed on it or did not come to an end.
    """
    try:
        status = os.stat(path)
    except OSError:
        status = None
    key = None if status is None else (kind, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if key is None or key not in _known:
        for _ in _PROBE(path, stop, kind):
            pass
        if key is not None:
            _known.add(key)
