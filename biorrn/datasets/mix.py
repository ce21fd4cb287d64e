"""Several prepared signal files as one, each drawn in training with the share that was asked for."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from biorrn.datasets.hdf5_file import NewFile, new_file
from biorrn.datasets.prepare import SignalFile
from biorrn.datasets.schema import SIGNAL, SPLITS, add_optional, create
from biorrn.errors import ConfigError, InputError

BLOCK = 1 << 22  # elements of a flat dataset in memory at a time


def parse_inputs(texts: Sequence[str]) -> list[tuple[Path, float]]:
    """Return path and weight of texts such as `lambda.h5=2`; without `=` the weight is 1.

    Raises
    ------
    ConfigError: a weight that is no number of 0 or more, all weights 0, or a file given twice.

    >>> parse_inputs(["a.h5=0.25", "b.h5"])
    [(PosixPath('a.h5'), 0.25), (PosixPath('b.h5'), 1.0)]
    >>> parse_inputs(["a.h5=lots"])
    Traceback (most recent call last):
    biorrn.errors.ConfigError: a.h5=lots: found the weight 'lots'; allowed is a number of 0 or more, as a.h5=2
    """
    inputs: list[tuple[Path, float]] = []
    for text in texts:
        name, _, number = text.rpartition("=") if "=" in text else (text, "=", "1")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name or not math.isfinite(weight) or weight < 0:
            raise ConfigError(f"{text}: found the weight '{number}'; allowed is a number of 0 or more, as a.h5=2")
        if Path(name).resolve() in {path.resolve() for path, _ in inputs}:
            raise ConfigError(f"{name}: is given twice; allowed is once")
        inputs.append((Path(name), weight))
    if not any(weight for _, weight in inputs):
        raise ConfigError("prepare mix: all weights are 0; allowed is at least one above 0")
    return inputs


def mix(inputs: Sequence[tuple[str | Path, float]], out: str | Path, note: str = "") -> dict[str, int]:
    """Write the segments of several prepared signal files to one and return its counts.

    A training window comes from input i with probability weight i / sum of weights, whatever the inputs' sizes; within
    an input segments keep their proportions: samples, times `weight` where the input is itself a mix. For that each
    training segment has a `weight`, whose mean over the training samples is 1. Held-out segments come along with
    weight 1, those of an input of weight 0 too.

    Parameters
    ----------
    inputs : pairs of prepared signal file and weight.
    out : the HDF5 file to write.
    note : str: kept as an attribute.

    Returns
    -------
    dict: "segments" and, for each input, "share of NAME, per mille".

    Raises
    ------
    InputError: an input is no prepared signal file, was made with another normaliser or sample rate than the first, or
        has a weight above 0 but no training segments.
    """
    total = sum(weight for _, weight in inputs)
    parts, rows, labels, sources = [], 0, [], {}
    chemistries: Counter[str] = Counter()
    first: tuple[str | Path, str, float] | None = None
    counts: dict[str, int] = {}
    with new_file(out) as target:
        create(target, "signal")
        for place, (path, weight) in enumerate(inputs):
            with SignalFile(path) as source:
                first = first or (path, source.normaliser, source.sample_rate)
                _check_alike(first, path, source)
                _append(source.file, target)
                parts.append(_part(source, path, weight / total, place))
                sources.update(source.sources)
                chemistries.update(source.chemistry)
                labels.append(str(source.file.attrs["labels"]))
                rows += len(source)
            counts[f"share of {path}, per mille"] = round(1000 * weight / total)
        assert first is not None
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        train = target["split"][:] == SPLITS.index("train")
        lengths = np.diff(target["signal_offsets"][:])
        columns["weight"][train] *= lengths[train].sum()
        if not columns["whole"].any():
            del columns["whole"]
        for name, values in columns.items():
            add_optional(target, name, values)
        target.attrs["normaliser"], target.attrs["sample_rate"] = first[1:]
        target.attrs["labels"], target.attrs["note"] = ", ".join(dict.fromkeys(labels)), note
        target.attrs["chemistry"] = json.dumps(chemistries)
        target.attrs["sources"] = json.dumps(sources)
        target.attrs["source_names"] = json.dumps([str(path) for path, _ in inputs])
    return {"segments": rows, **counts}


def _check_alike(first: tuple[str | Path, str, float], path: str | Path, source: SignalFile) -> None:
    if source.normaliser != first[1]:
        raise InputError(path, f"has the normaliser {source.normaliser}; {first[0]} has {first[1]}")
    if source.sample_rate != first[2]:
        raise InputError(path, f"has {source.sample_rate:g} Hz; {first[0]} has {first[2]:g} Hz")


def _part(source: SignalFile, path: str | Path, share: float, place: int) -> dict[str, np.ndarray]:
    """Return the optional columns (N,) of one input; its training weights times samples sum to its share."""
    file, rows = source.file, len(source)
    train = source.rows("train")
    weights = np.ones(rows)
    if "weight" in file:
        weights[train] = file["weight"][:][train]
    sampled = float((np.diff(file["signal_offsets"][:])[train] * weights[train]).sum())
    if share and not sampled > 0:
        raise InputError(path, "holds no training segments; allowed is a weight of 0, for its held-out segments")
    weights[train] *= share / sampled if share else 0.0
    whole = file["whole"][:] if "whole" in file else np.zeros(rows, np.uint8)
    return {"weight": weights, "source": np.full(rows, place), "whole": whole}


def _append(source: h5py.File, target: NewFile) -> None:
    """Append every dataset of a signal file, in blocks; offsets go on from where the target's end."""
    for name, field in SIGNAL.items():
        here, there = source[name], target[name]
        skip = int(field.axis == "rows+1")  # the 0 that offsets start with
        end = len(there)
        base = there[-1] if skip else None
        there.resize(end + len(here) - skip, axis=0)
        for start in range(skip, len(here), BLOCK):
            block = here[start : start + BLOCK]
            place = end + start - skip
            there[place : place + len(block)] = block if base is None else block + base
            target.check()
