"""Columns of classes in tables: words, or few whole numbers, each of which becomes the index of a class."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from biorrn.base.errors import Fault
from biorrn.sequences.tables.numbers import Convention, Number, is_missing, text_of

TYPES = ("auto", "number", "class")  # what --target-type takes
FEW = 10  # different whole numbers of a column that is taken for classes, at most
ROWS = 10  # rows of each of them in the mean, at the least
MOST = 5_000  # classes of a column
BETWEEN = ";"  # classes of a set, in tables of predictions
_WHOLE = re.compile(r"[+-]?\d+")


def _reads(numbers: Convention, text: str) -> bool:
    try:
        numbers.read(text)
    except Fault:
        return False
    return True


@dataclass
class Classes:
    """A column of classes; `see` each cell, then `decide`, then `read` each: the value is the index of the class.

    Attributes
    ----------
    name : str: the column.
    names : list of str: the classes, sorted; whole numbers by size.
    counts : Counter: rows of each class.
    """

    name: str
    unit: str = ""
    notes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    cells: int = 0

    def see(self, cell: Any) -> None:
        """Count a cell."""
        text = text_of(cell)
        if text and not is_missing(text):
            self.cells += 1
            if len(self.counts) <= MOST or text in self.counts:
                self.counts[text] += 1

    def likely(self, numbers: Convention, whole: bool) -> bool:
        """Return whether the column holds classes: words that repeat, or few whole numbers.

        Parameters
        ----------
        numbers : what the same cells show as numbers.
        whole : bool: whether whole numbers may be classes.
        """
        if not 2 <= len(self.counts) <= MOST:
            return False
        words = sum(count for text, count in self.counts.items() if not _reads(numbers, text))
        if 2 * words > self.cells:
            return 2 * len(self.counts) <= self.cells
        few = len(self.counts) <= FEW and self.cells >= ROWS * len(self.counts)
        return whole and few and all(map(_WHOLE.fullmatch, self.counts))

    def decide(self, asked: bool) -> None:
        """Name and order the classes.

        Parameters
        ----------
        asked : bool: whether the user said that these are classes; else it was seen.

        Raises
        ------
        Fault: fewer than two classes, or more than `MOST`; or the name of one has `BETWEEN`.
        """
        if not 2 <= len(self.counts) <= MOST:
            found = f"more than {MOST:,}" if len(self.counts) > MOST else str(len(self.counts))
            raise Fault(f"found {found} different classes; allowed is 2 to {MOST:,}")
        joined = next((name for name in self.counts if BETWEEN in name), None)
        if joined is not None:
            raise Fault(f"found '{joined[:60]}'; a protein has one class here, whose name has no '{BETWEEN}'")
        whole = all(map(_WHOLE.fullmatch, self.counts))
        self.names = sorted(self.counts, key=int if whole else str)  # type: ignore[arg-type]
        self._places = {name: place for place, name in enumerate(self.names)}
        shown = ", ".join(f"{name} ({count:,})" for name, count in self.counts.most_common(3))
        more = ", ..." if len(self.names) > 3 else ""
        hint = "" if asked else "; --target-type number learns a number instead" if whole else ""
        kind = "whole numbers" if whole else "words"
        self.notes.append(f"column '{self.name}': {len(self.names):,} classes ({kind}): {shown}{more}{hint}")

    def read(self, cell: Any) -> Number:
        """Return the index of the class of a cell as a number; NaN where the class is missing."""
        text = text_of(cell)
        if not text or is_missing(text):
            return Number(math.nan, kind="missing", taken="missing")
        return Number(float(self._places[text]))

    def weight(self, number: Number) -> float:
        """Return 1: a class has no error."""
        return 1.0
