"""How long runs of one base are called.

A run is all equal bases in a row in the reference; those at either end of an alignment, and those that leave the
region or lie beside N, are not counted. Its called length is the number of bases of its letter that the read has
between the reference's two neighbours of the run. It is right if that is its length and no other letter stands among
them. Everything is told in the direction of the read: a run of A on the forward strand is one of T in a read of the
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biorrn.evaluation.bootstrap import wilson
from biorrn.evaluation.contexts import GAP, LETTERS, Columns
from biorrn.jit import jit

LONGEST = 9  # runs of so many bases and longer are one row
CALLED = 16  # the last column of the called lengths: so many and more


@jit()
def _count(true, called, inside, gap, table, sums):  # type: ignore[no-untyped-def]
    """Add the runs of an alignment to `table` (4, longest + 1, called + 1) and `sums` (4, longest + 1, 4)."""
    columns = true.shape[0]
    longest, most = table.shape[1] - 1, table.shape[2] - 1
    before = -1  # column of the reference base before the run
    base = -1  # number of the reference base
    first = 0
    while first < columns:
        if true[first] == gap:
            first += 1
            continue
        letter = true[first]
        length, whole, last, stop = 0, True, first, first
        while stop < columns and (true[stop] == letter or true[stop] == gap):
            if true[stop] == letter:
                base += 1
                length += 1
                whole = whole and inside[base]
                last = stop
            stop += 1
        # insertions behind the last base of the run count for this run and for the next
        if before >= 0 and stop < columns and letter > 0 and true[before] > 0 and true[stop] > 0 and whole:
            found, foreign, waiting = 0, 0, 0
            for column in range(before + 1, stop):
                if called[column] == letter:
                    found += 1
                    foreign += waiting
                    waiting = 0
                elif called[column] != gap and found > 0:
                    waiting += 1
            row = min(length, longest)
            table[letter - 1, row, min(found, most)] += 1
            sums[letter - 1, row, 0] += length
            sums[letter - 1, row, 1] += found
            sums[letter - 1, row, 2] += found == length and foreign == 0
            sums[letter - 1, row, 3] += foreign > 0
        before = last
        first = stop


@dataclass
class Homopolymers:
    """Counts of runs by letter and length; row 0 is never used.

    Attributes
    ----------
    called : int64 array (4, LONGEST + 1, CALLED + 1): runs by letter, length and called length.
    sums : int64 array (4, LONGEST + 1, 4): bases, called bases, runs that are right, runs with another letter within.
    """

    called: np.ndarray = field(default_factory=lambda: np.zeros((4, LONGEST + 1, CALLED + 1), np.int64))
    sums: np.ndarray = field(default_factory=lambda: np.zeros((4, LONGEST + 1, 4), np.int64))

    def add(self, columns: Columns) -> None:
        """Count one read."""
        _count(columns.true, columns.called, columns.inside, GAP, self.called, self.sums)

    def table(self) -> dict[str, Any]:
        """Return what an evaluation says: see `evaluation.described`."""
        by_base = [
            {"base": letter, **row}
            for letter, called, sums in zip(LETTERS, self.called, self.sums, strict=True)
            for row in _rows(called, sums)
        ]
        return {"longest": LONGEST, "all": _rows(self.called.sum(axis=0), self.sums.sum(axis=0)), "by_base": by_base}


def _rows(called: np.ndarray, sums: np.ndarray) -> list[dict[str, Any]]:
    """Return one row a length that occurs."""
    rows = []
    for length in range(1, LONGEST + 1):
        runs = int(called[length].sum())
        if runs:
            bases, found, right, mixed = sums[length].tolist()
            low, high = wilson(right, runs)
            row = {"length": length, "runs": runs, "right": right / runs, "right_low": low, "right_high": high}
            row |= {"mean_length": bases / runs, "mean_called": found / runs, "mixed": mixed}
            rows.append(row | {"called": called[length].tolist()})
    return rows


def row_name(row: dict[str, Any]) -> str:
    """Return the length of a row as text: the last one holds longer runs too."""
    return f"{row['length']}+" if row["length"] == LONGEST else str(row["length"])


def shares(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return float64 (CALLED + 1, LONGEST): the share of each called length in the runs of a length, NaN for none."""
    found = np.full((CALLED + 1, LONGEST), np.nan)
    for row in rows:
        found[:, row["length"] - 1] = np.array(row["called"]) / row["runs"]
    return found
