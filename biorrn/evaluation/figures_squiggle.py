"""The figure of signal with the bases called in it above and those of the reference below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from biorrn.encoders.bases import decode_bases
from biorrn.evaluation.contexts import GAP
from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, Drawing, draw
from biorrn.evaluation.squiggle import Squiggle

COLOURS = {"mismatch": RED, "insertion": ORANGE, "deletion": GREEN}  # as in the figure of errors
BAND = "#EFEFEF"
LETTER = 7.5  # points
HEIGHT = 1.75  # inches a read
ROOM = 0.0205  # of the width for a letter


def error_of(true: int, called: int) -> str:
    """Return the error of a column by the codes of its bases; "" where they are equal."""
    if called == GAP:
        return "deletion"
    if true == GAP:
        return "insertion"
    return "" if true == called else "mismatch"


def places_of(one: Squiggle) -> np.ndarray:
    """Return the sample of each column, float64 (C,): the middle of its called base; deleted ones evenly between."""
    present = np.flatnonzero(one.called != GAP)
    middles = (one.edges[:-1] + one.edges[1:]) / 2
    return np.interp(np.arange(len(one.called)), present, middles)


def apart(places: np.ndarray, room: float, end: float) -> np.ndarray:
    """Return places (n,) moved as little as can be (least squares) to be `room` apart and inside 0 to `end`.

    >>> apart(np.array([5.0, 5.0, 9.0]), 2.0, 20.0).tolist()
    [4.0, 6.0, 9.0]
    """
    from scipy.optimize import isotonic_regression

    if not len(places):
        return places
    steps = room * np.arange(len(places))
    free = np.asarray(isotonic_regression(places - steps).x)
    return np.clip(free, room / 2, max(room / 2, end - room / 2 - steps[-1])) + steps


def _read(axes: Axes, one: Squiggle) -> None:
    time = 1000 / one.sample_rate  # ms a sample
    low, high = float(one.current.min()), float(one.current.max())
    room = 0.2 * (high - low) or 1.0
    bottom, top = low - room, high + room
    begin, wide = time * one.edges[:-1], time * np.diff(one.edges)
    axes.broken_barh(list(zip(begin[::2], wide[::2], strict=True)), (bottom, top - bottom), color=BAND, linewidth=0)
    axes.plot(time * np.arange(len(one.current)), one.current, color=BLUE, linewidth=0.9)
    places = time * apart(places_of(one), ROOM * len(one.current), len(one.current))
    for place, true, called in zip(places, one.true, one.called, strict=True):
        error = error_of(int(true), int(called))
        for code, height in ((called, top - 0.45 * room), (true, bottom + 0.45 * room)):
            axes.text(
                place,
                height,
                "–" if code == GAP else decode_bases(np.array([code])),
                color=COLOURS.get(error, INK),
                weight="bold" if error else "normal",
                fontsize=LETTER,
                family="DejaVu Sans Mono",
                ha="center",
                va="center",
            )
    for height, name in ((top - 0.45 * room, "called"), (bottom + 0.45 * room, "reference")):
        axes.annotate(name, (1.0, height), xycoords=("axes fraction", "data"), xytext=(3, 0), va="center",
                      textcoords="offset points", fontsize=7, color=GREY)  # fmt: skip
    axes.set(xlim=(0, time * len(one.current)), ylim=(bottom, top), ylabel="current (pA)")
    axes.grid(visible=False)
    title = f"{one.which} read, identity {100 * one.score.identity:.1f} %, from {one.first / one.sample_rate:.2f} s"
    axes.set_title(title, loc="left", fontsize=9)


def squiggle_figure(drawn: Sequence[Squiggle]) -> Drawing:
    """Draw stretches of reads, at least one, one below the other."""

    def paint(figure: Figure) -> None:
        panels = np.atleast_1d(figure.subplots(len(drawn), 1))
        for axes, one in zip(panels, drawn, strict=True):
            _read(axes, one)
        panels[-1].set_xlabel("time (ms)")
        handles = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=1.0)

    by = sorted({one.placed_by for one in drawn})
    placed = " and ".join("the move table" if name == "move table" else f"the model {name}" for name in by)
    names = ", ".join(f"{one.which} {one.score.read_id}" for one in drawn)
    caption = (
        f"Signal with the bases called in it, placed by {placed}, above and those of the reference below, in the "
        f"direction of the read; a dash is a gap. Reads: {names}."
    )
    return draw("squiggle", caption, paint, 0.7 + HEIGHT * len(drawn))
