"""Columns of classes in tables: words, or few whole numbers; or sets of several a protein, as `nucleus;membrane`.

The value of a cell is the index of its class; in a column of sets it is the index of the set, see `labels_of`.

A column is one of sets where a cell has several classes, or `{}`, the set of none. Classes are separated by `;` or `|`;
by `,` where the column has neither and most of the parts that commas make also stand alone in a cell, so that a class
whose name has a comma stays whole. Braces around a cell are taken away, and commas in them separate. An empty cell is
not the set of none: it is missing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from biorrn.base.errors import Fault
from biorrn.sequences.tables.numbers import Convention, Number, is_missing, text_of

TYPES = ("auto", "number", "class", "set")  # what --target-type takes
FEW = 10  # different whole numbers of a column that is taken for classes, at most
ROWS = 10  # rows of each of them in the mean, at the least
MOST = 5_000  # classes of a column
BETWEEN = ";"  # classes of a set, in stored names and in tables of predictions
EMPTY = "{}"  # the set of no class
_WHOLE = re.compile(r"[+-]?\d+")
_MARKS = re.compile(r"[;|]")


def _reads(numbers: Convention, text: str) -> bool:
    try:
        numbers.read(text)
    except Fault:
        return False
    return True


def labels_of(sets: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Return the classes that sets have, sorted, and of each set the indices of its classes.

    Parameters
    ----------
    sets : of a column of sets, as its target names them: classes between `BETWEEN`, or `EMPTY`.

    >>> labels_of(["a;b", "b", "{}"])
    (['a', 'b'], [[0, 1], [1], []])
    """
    parts = [[] if text == EMPTY else text.split(BETWEEN) for text in sets]
    names = _ordered({name for part in parts for name in part})
    places = {name: place for place, name in enumerate(names)}
    return names, [sorted(places[name] for name in part) for part in parts]


def _ordered(names: set[str] | Counter[str]) -> list[str]:
    return sorted(names, key=int if all(map(_WHOLE.fullmatch, names)) else str)  # type: ignore[arg-type]


@dataclass
class Classes:
    """A column of classes; `see` each cell, then `decide`, then `read` each: the value is the index of the class.

    Attributes
    ----------
    name : str: the column.
    names : list of str: the classes, or of a column of sets the sets, sorted; whole numbers by size.
    sets : bool: whether a protein may have several classes, or none.
    counts : Counter: rows of each cell.
    """

    name: str
    unit: str = ""
    notes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sets: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    cells: int = 0
    _mark: str | None = None  # a pattern; "" for none, None before it is decided

    def see(self, cell: Any) -> None:
        """Count a cell."""
        text = _bare(text_of(cell))
        if text and not is_missing(text):
            self.cells += 1
            if len(self.counts) <= MOST or text in self.counts or _MARKS.search(text):
                self.counts[text] += 1

    @property
    def mark(self) -> str:
        """Return the pattern that separates the classes of a cell, "" where each cell is one class."""
        if self._mark is None:
            self._mark = "[;|]" if any(map(_MARKS.search, self.counts)) else "," if self._commas() else ""
        return self._mark

    def _commas(self) -> bool:
        parts = {part for text in self.counts if "," in text for part in _split(text, ",")}
        return bool(parts) and 2 * sum(part in self.counts for part in parts) >= len(parts)

    def labels(self) -> Counter[str]:
        """Return the rows of each class."""
        found: Counter[str] = Counter()
        for text, count in self.counts.items():
            found.update(dict.fromkeys(_split(text, self.mark), count))
        return found

    def alike(self) -> list[str]:
        """Return the classes that differ from another in upper and lower case alone, as `Yes` and `yes`."""
        labels = self.labels()
        folded = Counter(label.casefold() for label in labels)
        return sorted(
            (label for label in labels if folded[label.casefold()] > 1), key=lambda one: (one.casefold(), one)
        )

    def likely(self, numbers: Convention, whole: bool) -> bool:
        """Return whether the column holds classes: words that repeat, cells of several words, or few whole numbers.

        Parameters
        ----------
        numbers : what the same cells show as numbers.
        whole : bool: whether whole numbers may be classes.
        """
        words = sum(count for text, count in self.counts.items() if not _reads(numbers, text))
        if 2 * words > self.cells:
            labels = self.labels()
            # `x;y` can be nothing else, be there ever so few rows; repeated measurements `3.1;3.2` can
            several = self.mark == "[;|]" and not all(_reads(numbers, one) for one in labels)
            return 2 <= len(labels) <= MOST and (several or 2 * len(labels) <= labels.total())
        few = 2 <= len(self.counts) <= FEW and self.cells >= ROWS * len(self.counts)
        return whole and few and all(map(_WHOLE.fullmatch, self.counts))

    def decide(self, asked: str) -> None:
        """Name and order the classes, or the sets.

        Parameters
        ----------
        asked : str: "class" or "set" where the user said so; else it was seen. "set" makes a column of sets also where
            no cell has several classes, and commas separate where nothing else does.

        Raises
        ------
        Fault: fewer than two classes, or more than `MOST`.
        """
        if asked == "set" and not self.mark:
            self._mark = ","
        labels = self.labels()
        if not 2 <= len(labels) <= MOST:
            found = f"more than {MOST:,}" if len(labels) > MOST else str(len(labels))
            alone = f" ('{next(iter(labels))}')" if len(labels) == 1 else ""
            raise Fault(f"found {found} different classes{alone}; allowed is 2 to {MOST:,}")
        whole = all(map(_WHOLE.fullmatch, labels))
        shown = ", ".join(f"{name} ({count:,})" for name, count in labels.most_common(3))
        more = ", ..." if len(labels) > 3 else ""
        kind = "whole numbers" if whole else "words"
        self.sets = (
            asked == "set" or EMPTY in self.counts or any(len(_split(one, self.mark)) > 1 for one in self.counts)
        )
        if self.sets:
            of = {text: _canonical(_split(text, self.mark)) for text in self.counts}
            self.names = sorted(set(of.values()))
            places = {name: place for place, name in enumerate(self.names)}
            self._places = {text: places[name] for text, name in of.items()}
            none = sum(count for text, count in self.counts.items() if of[text] == EMPTY)
            by = {"[;|]": "separated by ; or |", ",": "separated by commas"}.get(self.mark, "none or one in a cell")
            said = f"sets of {len(labels):,} classes ({kind}), {by}, {labels.total() / self.cells:.2f} a row"
            said += f", none in {none:,} rows" if none else ""
            self.notes.append(f"column '{self.name}': {said}: {shown}{more}")
            return
        hint = "" if asked == "class" else "; --target-type number learns a number instead" if whole else ""
        self.names = _ordered(labels)
        self._places = {name: place for place, name in enumerate(self.names)}
        self.notes.append(f"column '{self.name}': {len(self.names):,} classes ({kind}): {shown}{more}{hint}")

    def forget(self, labels: set[str]) -> None:
        """Take classes out of all sets; the indices of the sets stay."""
        parts = [_split(name, BETWEEN) for name in self.names]
        self.names = [_canonical([one for one in part if one not in labels]) for part in parts]

    def read(self, cell: Any) -> Number:
        """Return the index of the class, or set, of a cell as a number; NaN where it is missing."""
        text = _bare(text_of(cell))
        if not text or is_missing(text):
            return Number(math.nan, kind="missing", taken="missing")
        return Number(float(self._places[text]))

    def weight(self, number: Number) -> float:
        """Return 1: a class has no error."""
        return 1.0


def _bare(text: str) -> str:
    """Return a cell such as `{a, b}` as `a;b`; `{ }` is the set of none."""
    if not (text.startswith("{") and text.endswith("}")):
        return text
    inner = text[1:-1].strip()
    return (inner if _MARKS.search(inner) else inner.replace(",", BETWEEN)) or EMPTY


def _split(text: str, mark: str) -> list[str]:
    """Return the classes of a cell, each once."""
    if text == EMPTY:
        return []
    parts = re.split(mark, text) if mark else [text]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _canonical(labels: list[str]) -> str:
    return BETWEEN.join(sorted(labels)) or EMPTY
