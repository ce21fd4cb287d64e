"""Which units of a network respond to what: their correlation with properties along the sequence.

After Karpathy, Johnson and Fei-Fei 2015 (arXiv:1506.02078), who looked for cells of a character model by eye.
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
    property : str: what it correlates with most, or "" where the user named the unit and there is nothing to tell.
    correlation : float: Pearson's r over letters that did not choose the unit, where `apart`.
    letters : int: over how many.
    apart : bool: the unit was chosen on other sequences than those that the correlation is of.
    """

    unit: int
    property: str
    correlation: float
    letters: int
    apart: bool

    def sentence(self) -> str:
        """Return the choice as words.

        >>> Choice(3, "charge", 0.5, 1200, True).sentence()
        'unit 3: charge, r = 0.50 (1,200 letters of sequences that did not choose it)'
        """
        if not self.property:
            return f"unit {self.unit}"
        where = "of sequences that did not choose it" if self.apart else "of the sequences it was chosen on"
        return f"unit {self.unit}: {self.property}, r = {self.correlation:.2f} ({self.letters:,} letters {where})"


class Correlations:
    """Pearson's correlation of every unit with every property, summed up sequence by sequence.

    Each sequence goes to the half that has fewer letters so far: one half chooses units, the other tells how large
    their correlation is.
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
        """Return r (P, H), 0 where one side does not vary, and the letters (P,) of these halves."""
        n, x, xx, y, yy, xy = self.sums[list(halves)].sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            below = np.sqrt(np.maximum(n * xx - x**2, 0)) * np.sqrt(np.maximum(n * yy - y**2, 0))
            r = np.where(below > 1e-9 * np.maximum(n, 1) ** 2, (n * xy - x * y) / below, 0.0)
        return r, n[:, 0] if n.size else np.zeros(len(self.names))

    def choose(self) -> list[Choice]:
        """Return for each property the unit that correlates most with it, up or down."""
        apart = min(self.letters) > 0
        chosen, _ = self.of([0])
        told, letters = self.of([1] if apart else [0])
        found = []
        for place, name in enumerate(self.names):
            unit = int(np.abs(chosen[place]).argmax())
            found.append(Choice(unit, name, float(told[place, unit]), int(letters[place]), apart))
        return sorted(found, key=lambda one: -abs(one.correlation))

    def best_of(self, unit: int) -> Choice:
        """Return what a unit that the user named correlates with most."""
        apart = min(self.letters) > 0
        if not self.names:
            return Choice(unit, "", 0.0, 0, apart)
        chosen, _ = self.of([0])
        place = int(np.abs(chosen[:, unit]).argmax())
        told, letters = self.of([1] if apart else [0])
        return Choice(unit, self.names[place], float(told[place, unit]), int(letters[place]), apart)


def parse_units(asked: str | None, width: int) -> list[int] | None:
    """Return the numbers of the units that are named, as in "3,17"; None for "auto".

    Raises
    ------
    ConfigError: no number of a unit.
    """
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

    Of proteins the scales of `sequences.alphabets`, some also as a mean over `WINDOW` residues around, as in
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
