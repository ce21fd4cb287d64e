"""The figure of intervals: what they hold against what they promise, level by level and for kinds of proteins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, Drawing, draw, plain

KINDS = ("width", "length", "identity", "flag")  # of bins
COLOURS = {"overall": INK, "width": PURPLE, "length": BLUE, "identity": ORANGE, "flag": GREEN}


def _levels(axes: Axes, rows: list[Mapping[str, Any]]) -> None:
    nominal, value, low, high = (
        np.array([100 * float(row[key]) for row in rows]) for key in ("level", "value", "low", "high")
    )
    ends = [min(45.0, float(nominal.min()), float(low.min())) - 2, 101.0]
    axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
    axes.fill_between(nominal, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(nominal, value, color=BLUE, linewidth=1.6, marker="o" if len(rows) < 5 else None, markersize=4)
    axes.set(xlim=ends, ylim=ends, xlabel="promised (%)", ylabel="held (%)")
    axes.set_aspect("equal")


def _bins(axes: Axes, entry: Mapping[str, Any]) -> None:
    rows = [("overall", {"name": "all"} | entry["overall"])]
    rows += [(kind, row) for kind in KINDS for row in entry.get(kind, [])]
    for place, (kind, row) in enumerate(rows):
        value, low, high = (100 * float(row[key]) for key in ("value", "low", "high"))
        axes.plot([low, high], [place, place], color=COLOURS[kind], linewidth=2)
        axes.plot(value, place, color=COLOURS[kind], marker="o", markersize=5)
    axes.axvline(100 * entry["level"], color=RED, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [plain(f"{row['name']} ({row['n']:,})") for _, row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("held (%)")
    axes.grid(visible=False, axis="y")


def coverage_figure(name: str, target: str, entry: Mapping[str, Any], where: str) -> Drawing:
    """Draw the coverage of one target's intervals.

    Parameters
    ----------
    name : of the file; target, where : for the caption.
    entry : what `evaluation.coverage.coverage_of` gives.
    """
    bins = 1 + sum(len(entry.get(kind, [])) for kind in KINDS)

    def paint(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, height_ratios=[3, max(0.26 * bins, 0.8)])
        _levels(top, entry["levels"])
        _bins(bottom, entry)

    caption = (
        f"Intervals of {target}, {where}: share of measured values that they hold, by the level that they were made "
        f"for (above; dashed: equal) and at {100 * entry['level']:.0f} % by width, length and likeness to the training "
        "rows (below, number of rows in brackets); bands and bars: 95 % intervals of Wilson."
    )
    made: Callable[[Figure], None] = paint
    return draw(name, caption, made, 3.4 + 0.26 * bins)
