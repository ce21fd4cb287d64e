"""Correlation of hidden units with properties along the sequence.

After Karpathy, Johnson and Fei-Fei 2015 (arXiv:1506.02078), who inspected the cells of a character model.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import open_text
from biorrn.base.lookup import lookup
from biorrn.experiments.activations.states import States
from biorrn.sequences.alphabets import DNA, SCALES, STANDARD, scale
from biorrn.sequences.fasta import fasta_records, first_word


@dataclass(frozen=True, slots=True)
class Choice:
    """A unit that is shown.

    Attributes
    ----------
    unit : int: from 0.
    property : str: the property with the highest correlation; "" if none is known.
    correlation : float: Pearson's r.
    letters : int: letters that r is computed on.
    apart : bool: the unit was chosen on other sequences than those of r.
    """

    unit: int
    property: str
    correlation: float
    letters: int
    apart: bool

    def sentence(self) -> str:
        """Return the choice as words.

        >>> Choice(3, "charge", 0.5, 1200, True).sentence()
        'unit 3: charge, r = 0.50 (1,200 letters of held-out sequences)'
        """
        if not self.property:
            return f"unit {self.unit}"
        where = "of held-out sequences" if self.apart else "of the sequences it was chosen on"
        return f"unit {self.unit}: {self.property}, r = {self.correlation:.2f} ({self.letters:,} letters {where})"


class Correlations:
    """Pearson's correlation of every unit with every property, accumulated over sequences.

    Each sequence goes to the half that has fewer letters so far. The first half chooses units, the second gives their
    correlation.
    """

    def __init__(self, units: int, names: Sequence[str]) -> None:
        self.names = list(names)
        self.sums = np.zeros((2, 6, len(names), units))  # n, x, xx, y, yy, xy; x the property, y the unit
        self.letters = [0, 0]  # of each half

    def add(self, values: np.ndarray, properties: Mapping[str, np.ndarray]) -> None:
        """Add states (T, H) of a sequence and its properties (T,)."""
        half = int(self.letters[1] < self.letters[0])
        self.letters[half] += len(values)
        y = values.astype(np.float64)
        for place, name in enumerate(self.names):
            x = properties[name]
            known = np.isfinite(x)
            x, own = x[known], y[known]
            parts = (len(x), x.sum(), (x**2).sum(), own.sum(0), (own**2).sum(0), x @ own)
            for number, part in enumerate(parts):
                self.sums[half, number, place] += part

    def of(self, halves: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return r (P, H), 0 for a constant, and the letters (P,) of these halves."""
        n, x, xx, y, yy, xy = self.sums[list(halves)].sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            below = np.sqrt(np.maximum(n * xx - x**2, 0)) * np.sqrt(np.maximum(n * yy - y**2, 0))
            r = np.where(below > 1e-9 * np.maximum(n, 1) ** 2, (n * xy - x * y) / below, 0.0)
        return r, n[:, 0] if n.size else np.zeros(len(self.names))

    def choose(self) -> list[Choice]:
        """Return the unit with the highest absolute correlation for each property."""
        apart = min(self.letters) > 0
        chosen, _ = self.of([0])
        measured, letters = self.of([1] if apart else [0])
        found = []
        for place, name in enumerate(self.names):
            unit = int(np.abs(chosen[place]).argmax())
            found.append(Choice(unit, name, float(measured[place, unit]), int(letters[place]), apart))
        return sorted(found, key=lambda one: -abs(one.correlation))

    def best_of(self, unit: int) -> Choice:
        """Return the property with the highest absolute correlation for a unit."""
        apart = min(self.letters) > 0
        if not self.names:
            return Choice(unit, "", 0.0, 0, apart)
        chosen, _ = self.of([0])
        place = int(np.abs(chosen[:, unit]).argmax())
        measured, letters = self.of([1] if apart else [0])
        return Choice(unit, self.names[place], float(measured[place, unit]), int(letters[place]), apart)


def parse_units(asked: str | None, width: int) -> list[int] | None:
    """Return the unit numbers of a text such as "3,17"; None for "auto"; ConfigError for an invalid number."""
    if asked is None or asked.strip() == "auto":
        return None
    units = []
    for part in asked.split(","):
        text = part.strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < width):
            raise ConfigError(f"--units: found '{text}'; allowed is auto, or numbers of 0 to {width - 1} with commas")
        units.append(int(text))
    return list(dict.fromkeys(units))


WINDOW = 15  # letters of a mean along the sequence
RESIDUE_SCALES = tuple(name for name in SCALES if name != "helix_cost")
WINDOWED = ("hydropathy", "charge", "helix")  # of proteins, also as a mean over `WINDOW` residues


def mean_along(values: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Return the centred moving average of values (T,), with shorter windows at the ends, ignoring NaN.

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
    """Return name -> float64 (T,) of each property of a sequence; NaN for ambiguous letters.

    Proteins: the scales of `sequences.alphabets`, some also averaged over `WINDOW` residues, as hydropathy_15. DNA: gc,
    gc_15 and purine. Both: position, 0 at the first letter and 1 at the last.
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
    """Return the comma-separated properties, None for all; ConfigError for an unknown one."""
    known = properties_of("A", alphabet)
    names = list(known) if asked is None else [part.strip() for part in asked.split(",")]
    for name in names:
        lookup(known, name, "--properties: property")
    return list(dict.fromkeys(names))


def read_labels(path: str | Path) -> dict[str, str]:
    """Return id -> labels, one letter per residue, of a file.

    Parameters
    ----------
    path : FASTA with labels in place of residues; or a TSV table with the columns id and state, a row per residue, as
        `biorrn predict` writes for a tagging model.

    Raises
    ------
    InputError: another format, or no label.
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
    """Return an indicator of each label along a sequence, NaN for a sequence without labels.

    Raises
    ------
    InputError: the numbers of labels and letters differ.
    """
    own = labels.get(states.id)
    if own is None:
        return {f"label {letter}": np.full(len(states.sequence), np.nan) for letter in known}
    if len(own) != len(states.sequence):
        raise InputError(str(path), f"has {len(own)} labels for {len(states.sequence)} letters", states.id)
    letters = np.array(list(own))
    return {f"label {letter}": (letters == letter).astype(float) for letter in known}
