"""Errors of called reads by sequence context: 3-mers, substitutions and homopolymers.

All counts are in the direction of the read, 5' to 3': a homopolymer of A on the forward strand is one of T in a read of
the reverse strand. minimap2 places a gap leftmost on the forward strand; here each gap is moved to its first possible
position in the direction of the read.

A homopolymer is a maximal run of one base in the reference. Runs at the ends of an alignment, beside N, or not wholly
in the region are not counted. The called length is the number of its letter in the read between the two neighbours of
the run; the run is right if that is its length and no other letter is among them. Each error belongs to one run:
mismatches and deletions to that of their reference base, insertions to the next run if they have its letter, else to
the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from biorrn.base.compute import jit
from biorrn.nanopore.alignment import DELETION, INSERTION, Alignment, Region
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.sequences.alphabets import encode_bases
from biorrn.stats.bootstrap import wilson
from biorrn.stats.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Drawing, draw, say

GAP = 5  # after the codes 0 N, 1 A, 2 C, 3 G, 4 T
LETTERS = "ACGT"
KMERS = tuple("".join(letters) for letters in product(LETTERS, repeat=3))
ERRORS = ("mismatch", "insertion", "deletion")
FEWEST = 100  # bases of a 3-mer to be among the worst
_COMPLEMENT = np.array([0, 4, 3, 2, 1, GAP], np.uint8)


@dataclass(frozen=True, slots=True)
class Columns:
    """An alignment in the direction of the read.

    Attributes
    ----------
    true, called : uint8 arrays (C,): codes of the reference and of the read in each column; `GAP` for none.
    inside : bool array (N,): aligned reference bases in the region.
    """

    true: np.ndarray
    called: np.ndarray
    inside: np.ndarray


@jit()
def _to_the_front(true, called, gap):  # type: ignore[no-untyped-def]
    """Move each gap to its first possible position, in place; the first column is fixed."""
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
    """Return the columns of an alignment in the direction of the read, each gap at its first possible position.

    Parameters
    ----------
    alignment : of the read, with the letters of its reference span.
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
    kmers : int64 array (64, 4): middle bases of each 3-mer of `KMERS`; mismatched, inserted after them, deleted. Bases
        at the ends of an alignment and beside N are in no 3-mer.
    pairs : int64 array (4, 6): reference bases by the called base: N, A, C, G, T, none.
    """

    kmers: np.ndarray = field(default_factory=lambda: np.zeros((64, 4), np.int64))
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((4, 6), np.int64))

    def add(self, columns: Columns) -> None:
        """Count one read."""
        _count(columns.true, columns.called, columns.inside, GAP, self.kmers, self.pairs)

    def table(self) -> dict[str, Any]:
        """Return the counts for JSON."""
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


LONGEST = 9  # bases; the last row has longer runs too
CALLED = 16  # bases; the last column has longer calls too


@jit()
def _count_runs(true, called, inside, gap, table, sums):  # type: ignore[no-untyped-def]
    """Add the runs of an alignment to `table` (4, longest + 1, called + 1) and `sums` (4, longest + 1, 7)."""
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
            found, foreign, waiting, errors = 0, 0, 0, 0
            for column in range(before + 1, stop):
                if true[column] == letter:
                    errors += called[column] != letter
                elif column < first:
                    errors += called[column] == letter
                else:
                    errors += column < last or called[column] != true[stop]
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
            sums[letter - 1, row, 4] += found < length
            sums[letter - 1, row, 5] += found > length
            sums[letter - 1, row, 6] += errors
        before = last
        first = stop


@dataclass
class Homopolymers:
    """Counts of runs by letter and length; row 0 is never used.

    Attributes
    ----------
    called : int64 array (4, LONGEST + 1, CALLED + 1): runs by letter, length and called length.
    sums : int64 array (4, LONGEST + 1, 7): bases, called bases, runs that are right, runs with another letter within,
        runs that are called shorter, longer, and errors.
    """

    called: np.ndarray = field(default_factory=lambda: np.zeros((4, LONGEST + 1, CALLED + 1), np.int64))
    sums: np.ndarray = field(default_factory=lambda: np.zeros((4, LONGEST + 1, 7), np.int64))

    def add(self, columns: Columns) -> None:
        """Count one read."""
        _count_runs(columns.true, columns.called, columns.inside, GAP, self.called, self.sums)

    def table(self) -> dict[str, Any]:
        """Return the counts for JSON: shares of errors and bases are of those of all runs counted."""
        whole = self.sums.sum(axis=(0, 1))
        by_base = [
            {"base": letter, **row}
            for letter, called, sums in zip(LETTERS, self.called, self.sums, strict=True)
            for row in _rows(called, sums, whole)
        ]
        every = _rows(self.called.sum(axis=0), self.sums.sum(axis=0), whole)
        return {"longest": LONGEST, "all": every, "by_base": by_base}


def _rows(called: np.ndarray, sums: np.ndarray, whole: np.ndarray) -> list[dict[str, Any]]:
    """Return a row per run length that occurs; `whole` (7,) are the sums over all runs."""
    rows = []
    for length in range(1, LONGEST + 1):
        runs = int(called[length].sum())
        if runs:
            bases, found, right, mixed, shorter, longer, errors = sums[length].tolist()
            low, high = wilson(right, runs)
            row = {"length": length, "runs": runs, "right": right / runs, "right_low": low, "right_high": high}
            row |= {"shorter": shorter / runs, "equal": (runs - shorter - longer) / runs, "longer": longer / runs}
            row |= {"errors": errors, "share_of_errors": errors / max(int(whole[6]), 1)}
            row |= {"share_of_bases": bases / int(whole[0])}
            row |= {"mean_length": bases / runs, "mean_called": found / runs, "mixed": mixed}
            rows.append(row | {"called": called[length].tolist()})
    return rows


def row_name(row: dict[str, Any]) -> str:
    """Return the length of a row as text, "9+" for the last."""
    return f"{row['length']}+" if row["length"] == LONGEST else str(row["length"])


def shares(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return float64 (CALLED + 1, LONGEST): the share of each called length in the runs of a length, NaN for none."""
    found = np.full((CALLED + 1, LONGEST), np.nan)
    for row in rows:
        found[:, row["length"] - 1] = np.array(row["called"]) / row["runs"]
    return found


NOTHING = "no scored bases"
MARKS = dict(zip(LETTERS, ((GREEN, "o"), (BLUE, "s"), (ORANGE, "^"), (PURPLE, "D")), strict=True))
FEW = 5  # runs; shares of fewer are not drawn
SHOWN = 12  # longest called length drawn
HEAT = "YlOrBr"  # monotone in grey too
TICKS = [str(length) for length in range(1, LONGEST)] + [f"{LONGEST}+"]


def _right(rows: Sequence[Mapping[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        if not rows:
            return say(figure.add_subplot(), NOTHING)
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        for number, (letter, (colour, mark)) in enumerate(MARKS.items()):
            mine = [row for row in rows if row["base"] == letter and row["runs"] >= FEW]
            # side by side, so that the intervals do not overlap
            x = np.array([row["length"] for row in mine]) + 0.12 * (number - 1.5)
            y, low, high = (100 * np.array([row[key] for row in mine]) for key in ("right", "right_low", "right_high"))
            axes.errorbar(x, y, yerr=[y - low, high - y], color=colour, marker=mark, markersize=4, linewidth=1.2,
                          capsize=2, label=letter)  # fmt: skip
            runs = {row["length"]: row["runs"] for row in rows if row["base"] == letter}
            places = np.array(list(runs)) + 0.18 * (number - 1.5)
            counts.bar(places, list(runs.values()), width=0.18, color=colour)
        axes.set(ylim=(0, 102), ylabel="runs called right (%)")
        axes.legend(ncols=4, loc="lower left", handlelength=1.2, columnspacing=1.0)
        counts.set_yscale("log")
        counts.set_xticks(range(1, LONGEST + 1), TICKS)
        counts.set(xlabel="length of the run in the reference", ylabel="runs", xlim=(0.4, LONGEST + 0.6))
        return None

    return paint


def _lengths(rows: Sequence[dict[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        drawn = [row for row in rows if row["runs"] >= FEW]
        if not drawn:
            return say(axes, NOTHING)
        part = 100 * shares(drawn)[: SHOWN + 1]
        extent = (0.5, LONGEST + 0.5, -0.5, SHOWN + 0.5)
        image = axes.imshow(part, origin="lower", extent=extent, cmap=HEAT, vmin=0, vmax=100, aspect="auto")
        axes.plot([0.5, LONGEST + 0.5], [0.5, LONGEST + 0.5], color=INK, linewidth=1, linestyle="--")
        x, y = [row["length"] for row in drawn], [row["mean_called"] for row in drawn]
        axes.plot(x, y, "o", color=BLUE, markersize=5, markeredgecolor="white", label="mean called")
        axes.set_xticks(range(1, LONGEST + 1), TICKS)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="length of the run in the reference", ylabel="length called")
        axes.grid(visible=False)
        axes.legend(loc="upper left")
        figure.colorbar(image, ax=axes, label="of the runs (%)", pad=0.02, shrink=0.85)
        return None

    return paint


WAYS = (("shorter", ORANGE), ("equal", "#d9d9d9"), ("longer", BLUE))
HOMOPOLYMER = 3  # bases of the shortest run that the caption counts


def _run_errors(rows: Sequence[Mapping[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        if not rows:
            return say(figure.add_subplot(), NOTHING)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        drawn = [row for row in rows if row["runs"] >= FEW]
        x, base = np.array([row["length"] for row in drawn]), np.zeros(len(drawn))
        for name, colour in WAYS:
            part = 100 * np.array([row[name] for row in drawn])
            axes.bar(x, part, bottom=base, width=0.7, color=colour, label=name)
            base = base + part
        axes.set(ylim=(0, 100), ylabel="runs called (%)")
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=1.2, columnspacing=1.5)
        places = np.array([row["length"] for row in rows])
        for shift, name, colour in ((-0.18, "errors", RED), (0.18, "bases", GREEN)):
            part = 100 * np.array([row[f"share_of_{name}"] for row in rows])
            below.bar(places + shift, part, width=0.34, color=colour, label=name)
        below.set_xticks(range(1, LONGEST + 1), TICKS)
        below.set(xlabel="length of the run in the reference", ylabel="share of all (%)", xlim=(0.4, LONGEST + 0.6))
        below.legend(loc="upper right", handlelength=1.2)
        return None

    return paint


def _in_homopolymers(rows: Sequence[Mapping[str, Any]]) -> str:
    errors, bases = (
        sum(row[f"share_of_{name}"] for row in rows if row["length"] >= HOMOPOLYMER) for name in ("errors", "bases")
    )
    if not rows:
        return ""
    return f" Runs of {HOMOPOLYMER} bases or more hold {errors:.0%} of the errors and {bases:.0%} of the bases."


def _kmers(rows: Sequence[Mapping[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        if not any(row["bases"] for row in rows):
            return say(figure.add_subplot(), NOTHING)
        panels = figure.subplots(1, 3, sharey=True)
        values = {name: 100 * np.array([row[name] for row in rows], float).reshape(4, 4, 4) for name in ERRORS}
        top = max(1.0, max(float(np.nanmax(value)) for value in values.values()))
        image: Any = None
        for axes, name in zip(panels, ERRORS, strict=True):
            # rows by the base itself, then by the one before it; columns by the one after it
            by_middle = values[name].transpose(1, 0, 2).reshape(16, 4)
            image = axes.imshow(by_middle, cmap=HEAT, vmin=0, vmax=top, aspect="auto")
            axes.set_xticks(range(4), [f"··{letter}" for letter in LETTERS], fontsize=8)
            axes.set_title(name, fontsize=10)
            axes.xaxis.tick_top()
            axes.tick_params(length=0)
            axes.grid(visible=False)
            axes.hlines([3.5, 7.5, 11.5], -0.5, 3.5, color="white", linewidth=2)
            for spine in axes.spines.values():
                spine.set_visible(False)
        names = [f"{before}{middle}·" for middle in LETTERS for before in LETTERS]
        panels[0].set_yticks(range(16), names, fontsize=8, family="DejaVu Sans Mono")
        figure.colorbar(image, ax=list(panels), label="of the reference bases (%)", location="bottom", shrink=0.8)
        return None

    return paint


def _substitutions(rows: Sequence[Mapping[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        names = (*LETTERS, "deleted")
        counts = np.array([[row[name] for name in names] for row in rows], float)
        bases = np.array([[row["N"] for row in rows]]).T + counts.sum(axis=1, keepdims=True)
        if not bases.sum():
            return say(axes, NOTHING)
        part = 100 * counts / np.where(bases > 0, bases, np.nan)
        wrong = np.where(np.eye(4, 5, dtype=bool), np.nan, part)
        top = max(float(np.nanmax(wrong)), 0.1)
        image = axes.imshow(wrong, cmap=HEAT, vmin=0, vmax=top, aspect="auto")
        for (line, column), value in np.ndenumerate(part):
            right = line == column
            dark = not right and value > 0.6 * top
            colour = GREY if right else "white" if dark else INK
            if np.isfinite(value):
                shown = f"{value:.1f}" if right else f"{value:.2f}"
                axes.text(column, line, shown, ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(5), names)
        axes.set_yticks(range(4), list(LETTERS))
        axes.set(xlabel="called", ylabel="reference")
        axes.tick_params(length=0)
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, label="of the reference bases (%)", pad=0.02, shrink=0.9)
        return None

    return paint


def _worst(contexts: Mapping[str, Any]) -> str:
    rows = {row["context"]: row for row in contexts["kmers"]}
    named = [f"{kmer} {100 * rows[kmer]['error']:.1f} %" for kmer in contexts["worst"]]
    return f" Most errors in all: {', '.join(named)}." if named else ""


def context_figures(content: Mapping[str, Any], where: str) -> list[Drawing]:
    """Return the figures of homopolymers, 3-mers and substitutions of an evaluation of basecalls.

    Parameters
    ----------
    content : the evaluation, as from `nanopore.evaluate.basecalls.evaluate_basecalls`.
    where : str: reads or region, for the captions.
    """
    runs, contexts = content["homopolymers"], content["contexts"]
    few = [row_name(row) for row in runs["all"] if row["runs"] < FEW]
    left_out = f" Fewer than {FEW} runs: not drawn." if few else ""
    return [
        draw(
            "homopolymers",
            f"Homopolymers called at their true length, {where}; bars: 95 % Wilson intervals. "
            f"Below, the number of runs.{left_out}",
            _right(runs["by_base"]),
            4.4,
        ),
        draw(
            "homopolymer_lengths",
            f"Called and true length of homopolymers, {where}; dashed: equal.{left_out}",
            _lengths(runs["all"]),
            3.6,
        ),
        draw(
            "homopolymer_errors",
            f"Runs called shorter, equal and longer by true length, {where}. Below, the share of each length in all "
            f"errors and bases.{_in_homopolymers(runs['all'])}{left_out}",
            _run_errors(runs["all"]),
            4.4,
        ),
        draw(
            "contexts",
            "Errors by 3-mer of the reference in the direction of the read: rows have the base before and the base "
            f"itself, columns the base after, {where}. Inserted bases count for the base before them; gaps are at "
            f"their first possible position.{_worst(contexts)}",
            _kmers(contexts["kmers"]),
            5.0,
        ),
        draw(
            "substitutions",
            f"Base called for each reference base, {where}, in the direction of the read.",
            _substitutions(contexts["substitutions"]),
            3.2,
        ),
    ]
