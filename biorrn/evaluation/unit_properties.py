"""Properties along a sequence that the units of a network may respond to: scales of residues, position, labels."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from biorrn.encoders.alphabets import DNA
from biorrn.encoders.residues import SCALES, STANDARD, scale
from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.inference.activations import States
from biorrn.lookup import lookup
from biorrn.readers.fasta import fasta_records, first_word

WINDOW = 15  # letters of a mean along the sequence
RESIDUE_SCALES = tuple(name for name in SCALES if name != "helix_cost")
WINDOWED = ("hydropathy", "charge", "helix")  # of proteins, also as a mean over `WINDOW` residues


def mean_along(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Return the mean of values (T,) over a window around each place, shorter at the ends, NaN left out.

    >>> mean_along(np.array([0.0, 3.0, 6.0]), 3).tolist()
    [1.5, 3.0, 4.5]
    """
    known = np.isfinite(values)
    kernel = np.ones(window)
    sums = np.convolve(np.where(known, values, 0.0), kernel)[window // 2 :][: len(values)]
    counts = np.convolve(known.astype(float), kernel)[window // 2 :][: len(values)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(counts > 0, sums / counts, np.nan))


def properties_of(sequence: str, alphabet: str) -> dict[str, np.ndarray]:
    """Return name -> float64 (T,) of each property of a sequence; NaN where the letter stands for any.

    Of proteins the scales of `encoders.residues`, some also as a mean over `WINDOW` residues around, as in
    hydropathy_15; of DNA gc, gc_15 and purine; of both the position, 0 at the first letter and 1 at the last.
    """
    letters = np.frombuffer(sequence.encode(), np.uint8)
    found = {"position": np.arange(len(sequence)) / max(len(sequence) - 1, 1)}

    def of(values: Mapping[str, float]) -> np.ndarray:
        table = np.full(256, np.nan)
        for letter, value in values.items():
            table[ord(letter)] = value
        return np.asarray(table[letters])

    if alphabet == DNA:
        found["gc"] = of({base: float(base in "GC") for base in "ACGT"})
        found["purine"] = of({base: float(base in "AG") for base in "ACGT"})
        return found | {f"gc_{WINDOW}": mean_along(found["gc"])}
    for name in RESIDUE_SCALES:
        found[name] = of(dict(zip(STANDARD, scale(name).tolist(), strict=True)))
    return found | {f"{name}_{WINDOW}": mean_along(found[name]) for name in WINDOWED}


def choose_names(asked: str | None, alphabet: str) -> list[str]:
    """Return the properties that are named with commas between; None is all there are.

    Raises
    ------
    ConfigError: an unknown one.
    """
    known = properties_of("A", alphabet)
    names = list(known) if asked is None else [part.strip() for part in asked.split(",")]
    for name in names:
        lookup(known, name, "--properties: property")
    return list(dict.fromkeys(names))


def read_labels(path: str | Path) -> dict[str, str]:
    """Return id -> one letter a residue, of a file of labels.

    Parameters
    ----------
    path : as FASTA, with labels in place of residues; or a table with the columns id and state, a row a residue in
        order, tab-separated, as `biorrn predict` writes for a tagging model.

    Raises
    ------
    InputError: neither, or no label.
    """
    found: dict[str, list[str]] = {}
    with open_text(path) as stream:
        first = stream.readline()
        if first.startswith(">"):
            records = fasta_records(enumerate([first, *stream], 1), path)
            found = {first_word(header): list("".join(map(str.strip, parts))) for _, header, parts in records}
        else:
            columns = first.rstrip("\r\n").split("\t")
            missing = [name for name in ("id", "state") if name not in columns]
            if missing:
                raise InputError(path, f"line 1: column '{missing[0]}' is missing; expected id and state, or FASTA")
            for number, row in enumerate(csv.DictReader(stream, columns, delimiter="\t"), 2):
                if not row["id"] or len(row["state"] or "") != 1:
                    raise InputError(path, f"line {number}: found state {row['state']!r}; allowed is one letter")
                found.setdefault(row["id"], []).append(row["state"])
    if not any(found.values()):
        raise InputError(path, "holds no label")
    return {name: "".join(labels) for name, labels in found.items()}


def label_properties(
    labels: Mapping[str, str], states: States, known: Sequence[str], path: object
) -> dict[str, np.ndarray]:
    """Return 1 where a sequence has a label and 0 elsewhere, for each label; NaN for a sequence without labels.

    Raises
    ------
    InputError: there is not one label a letter.
    """
    own = labels.get(states.id)
    if own is None:
        return {f"label {letter}": np.full(len(states.sequence), np.nan) for letter in known}
    if len(own) != len(states.sequence):
        raise InputError(str(path), f"has {len(own)} labels for {len(states.sequence)} letters", states.id)
    letters = np.array(list(own))
    return {f"label {letter}": (letters == letter).astype(float) for letter in known}
