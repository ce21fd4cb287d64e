"""Which units of a network respond to what: their correlation with properties along the sequence.

After Karpathy, Johnson and Fei-Fei 2015 (arXiv:1506.02078), who looked for cells of a character model by eye.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biorrn.errors import ConfigError


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
