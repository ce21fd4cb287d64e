"""Figures of errors by what stands in the reference: runs of one base, 3-mers, and which base was called for which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from biorrn.evaluation.contexts import ERRORS, LETTERS, LONGEST, row_name, shares
from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, Drawing, draw, say

NOTHING = "no scored bases"
MARKS = dict(zip(LETTERS, ((GREEN, "o"), (BLUE, "s"), (ORANGE, "^"), (PURPLE, "D")), strict=True))
FEW = 5  # runs; of fewer no share is drawn
SHOWN = 12  # called length, the last that is drawn
HEAT = "YlOrBr"  # from light to dark in grey too
TICKS = [str(length) for length in range(1, LONGEST)] + [f"{LONGEST}+"]


def _right(rows: Sequence[Mapping[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        if not rows:
            return say(figure.add_subplot(), NOTHING)
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        for number, (letter, (colour, mark)) in enumerate(MARKS.items()):
            mine = [row for row in rows if row["base"] == letter and row["runs"] >= FEW]
            # beside each other, as the intervals of four letters would hide each other
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
    """Draw the errors of an evaluation of basecalls by runs of one base and by 3-mer.

    Parameters
    ----------
    content : the evaluation, see `evaluation.described`.
    where : str: which reads or part of the reference, for the captions.
    """
    runs, contexts = content["homopolymers"], content["contexts"]
    few = [row_name(row) for row in runs["all"] if row["runs"] < FEW]
    left_out = f" Fewer than {FEW} runs: not drawn." if few else ""
    return [
        draw(
            "homopolymers",
            f"Runs of one base that are called at their length, {where}; bars: 95 % intervals of Wilson. "
            f"Below, the number of runs.{left_out}",
            _right(runs["by_base"]),
            4.4,
        ),
        draw(
            "homopolymer_lengths",
            f"Length called and true length of runs of one base, {where}; dashed: equal.{left_out}",
            _lengths(runs["all"]),
            3.6,
        ),
        draw(
            "contexts",
            "Errors by 3-mer of the reference in the direction of the read: rows have the base before and the base "
            f"itself, columns the base after, {where}. Inserted bases count for the base before them, a gap stands at "
            f"its first possible place.{_worst(contexts)}",
            _kmers(contexts["kmers"]),
            5.0,
        ),
        draw(
            "substitutions",
            f"What is called for each base of the reference, {where}, in the direction of the read.",
            _substitutions(contexts["substitutions"]),
            3.2,
        ),
    ]
