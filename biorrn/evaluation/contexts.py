"""Errors by what stands in the reference: by the 3-mer around a base, and by which base was called for which.

Everything is told in the direction of the read, 5' to 3', so that a read of the reverse strand counts as the same read
of the reverse complement would. minimap2 puts a gap at the leftmost of its possible places on the forward strand, which
is the last of them for half of the reads; here each gap is moved to its first place in the direction of the read.

A run is all equal bases in a row in the reference; those at either end of an alignment, and those that leave the
region or lie beside N, are not counted. Its called length is the number of bases of its letter that the read has
between the reference's two neighbours of the run. It is right if that is its length and no other letter stands among
them. Everything is told in the direction of the read: a run of A on the forward strand is one of T in a read of the
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from biorrn.encoders.bases import encode_bases
from biorrn.evaluation.alignment import DELETION, INSERTION, Alignment, Region
from biorrn.evaluation.bootstrap import wilson
from biorrn.evaluation.sequences import BaseCall
from biorrn.jit import jit

GAP = 5  # beside the codes 0 N, 1 A, 2 C, 3 G, 4 T
LETTERS = "ACGT"
KMERS = tuple("".join(letters) for letters in product(LETTERS, repeat=3))
ERRORS = ("mismatch", "insertion", "deletion")
FEWEST = 100  # bases of a 3-mer from which on its rate is named
_COMPLEMENT = np.array([0, 4, 3, 2, 1, GAP], np.uint8)


@dataclass(frozen=True, slots=True)
class Columns:
    """An alignment in the direction of the read.

    Attributes
    ----------
    true, called : uint8 arrays (C,): codes of the reference's and the read's base of each column; `GAP` for none.
    inside : bool array (N,): whether each aligned base of the reference lies in the region.
    """

    true: np.ndarray
    called: np.ndarray
    inside: np.ndarray


@jit()
def _to_the_front(true, called, gap):  # type: ignore[no-untyped-def]
    """Move each gap as far to the front as equal bases allow, in place; the first column stays."""
    start = 0
    columns = true.shape[0]
    while start < columns:
        in_read = called[start] == gap
        if not in_read and true[start] != gap:
            start += 1
            continue
        end = start + 1
        while end < columns and (called[end] == gap if in_read else true[end] == gap):
            end += 1
        low, high = start, end  # the gap is [low, high)
        with_gap, other = (called, true) if in_read else (true, called)
        while low > 1 and with_gap[low - 1] == other[low - 1] and other[low - 1] == other[high - 1]:
            low -= 1
            high -= 1
            with_gap[high] = with_gap[low]
            with_gap[low] = gap
        start = end


@jit()
def _count(true, called, inside, gap, kmers, pairs):  # type: ignore[no-untyped-def]
    """Add the bases of an alignment to `kmers` (64, 4) and `pairs` (4, 6)."""
    columns = true.shape[0]
    base = -1  # number of the reference base
    before = 0  # code of the reference base before this one
    column = 0
    while column < columns:
        letter, found = true[column], called[column]
        if letter == gap:  # before the first base of the reference
            column += 1
            continue
        base += 1
        after = column + 1
        while after < columns and true[after] == gap:
            after += 1
        if inside[base] and letter > 0:
            pairs[letter - 1, found] += 1
            following = true[after] if after < columns else 0
            if before > 0 and following > 0:
                kmer = 16 * (before - 1) + 4 * (letter - 1) + following - 1
                kmers[kmer, 0] += 1
                kmers[kmer, 1] += found != letter and found != gap
                kmers[kmer, 2] += after - column - 1
                kmers[kmer, 3] += found == gap
        before = letter
        column = after


def read_columns(call: BaseCall, alignment: Alignment, region: Region | None = None) -> Columns:
    """Return the columns of an alignment in the direction of the read, each gap at its first possible place.

    Parameters
    ----------
    call : the read.
    alignment : of the read, with the letters of its span of the reference.
    region : Region, optional: bases outside are marked.
    """
    offset = alignment.ref_position - alignment.ref_start
    span = encode_bases(alignment.span)
    true = np.where(alignment.kind == INSERTION, GAP, span[offset]).astype(np.uint8)
    called = np.where(alignment.kind == DELETION, GAP, encode_bases(call.bases)[alignment.read_position])
    inside = np.ones(len(span), bool)
    if region is not None:
        place = alignment.ref_start + np.arange(len(span))
        inside = (place >= region.start) & (place < region.end) & (region.name == alignment.reference)
    if alignment.strand == "-":
        true, called, inside = _COMPLEMENT[true[::-1]], called[::-1], inside[::-1]
    true, called = np.ascontiguousarray(true), called.astype(np.uint8)
    _to_the_front(true, called, GAP)
    return Columns(true, called, inside)


@dataclass
class Contexts:
    """Counts over the bases of the reference.

    Attributes
    ----------
    kmers : int64 array (64, 4): bases in the middle of each 3-mer of `KMERS`; of them mismatched, inserted bases behind
        them, deleted. Bases at either end of an alignment, and beside N, are in no 3-mer.
    pairs : int64 array (4, 6): reference bases by what was called: N, A, C, G, T, nothing.
    """

    kmers: np.ndarray = field(default_factory=lambda: np.zeros((64, 4), np.int64))
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((4, 6), np.int64))

    def add(self, columns: Columns) -> None:
        """Count one read."""
        _count(columns.true, columns.called, columns.inside, GAP, self.kmers, self.pairs)

    def table(self) -> dict[str, Any]:
        """Return what an evaluation says: see `evaluation.described`."""
        rows = []
        for kmer, counts in zip(KMERS, self.kmers.tolist(), strict=True):
            bases = counts[0]
            rates = [count / bases if bases else float("nan") for count in counts[1:]]
            row = {"context": kmer, "bases": bases, "mismatches": counts[1], "insertions": counts[2]}
            row |= {"deletions": counts[3], **dict(zip(ERRORS, rates, strict=True)), "error": sum(rates)}
            rows.append(row)
        named = sorted((row for row in rows if row["bases"] >= FEWEST), key=lambda row: -row["error"])
        return {
            "kmers": rows,
            "worst": [row["context"] for row in named[:3]],
            "substitutions": [
                {"true": letter, **dict(zip(("N", *LETTERS, "deleted"), counts, strict=True))}
                for letter, counts in zip(LETTERS, self.pairs.tolist(), strict=True)
            ],
        }


LONGEST = 9  # runs of so many bases and longer are one row
CALLED = 16  # the last column of the called lengths: so many and more


@jit()
def _count_runs(true, called, inside, gap, table, sums):  # type: ignore[no-untyped-def]
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
        _count_runs(columns.true, columns.called, columns.inside, GAP, self.called, self.sums)

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
