"""The figure of `biorrn gradient-flow`: a panel an initialisation or stack, a line a cell, the norm by steps back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, WIDTH, Drawing, draw, plain
from biorrn.evaluation.gradient_flow import Curve

COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, INK, GREY)
SOLID = 5  # lines; those after them are broken, since some cells lie on one another
LINES: tuple[Any, ...] = ((0, (4, 2)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)))
LOUD = 10.0  # times the norm at which is clipped, from which on a panel is shown clipped too
LOW, HIGH = 1e-12, 1e12  # norms beyond these are not drawn
ACROSS = 2  # panels
TITLES = {
    "default": "as training begins",
    "orthogonal": "orthogonal recurrent matrices",
    "identity": "identity recurrent matrices",
    "small": "recurrent matrices x 0.5",
    "large": "recurrent matrices x 1.5",
}
CAPTION = (
    "Norm of d loss_T / d h_t against T - t, the loss read off the last state alone: the median over sequences and "
    "runs. "
)
CLIPPED = (
    "Clipping at {clip:g} multiplies the gradient at every step by the same number: the lines move down and keep their "
    "slope, so nothing reaches further back. "
)
STACKED = "Of a stack the states of the first layer are shown, so that the gradient came down through all layers."


def loudest(curves: Sequence[Curve], clip: float) -> str | None:
    """Return the panel with the largest gradient, where clipping changes much of that."""
    most = {curve.panel: 0.0 for curve in curves}
    for curve in curves:
        most[curve.panel] = max(most[curve.panel], *(run.gradient for run in curve.runs))
    panel = max(most, key=lambda name: most[name])
    return panel if most[panel] > LOUD * clip else None


def flow_figure(curves: Sequence[Curve], clip: float) -> Drawing:
    """Draw the curves by panel; that with the largest gradient once more, clipped at the norm `clip`."""
    exploding = loudest(curves, clip)
    panels: list[tuple[str, list[Curve], float]] = []
    for name in dict.fromkeys(curve.panel for curve in curves):
        own = [curve for curve in curves if curve.panel == name]
        panels.append((TITLES.get(name, name), own, math.inf))
        if name == exploding:
            panels.append((f"the same, clipped at {clip:g}", own, clip))
    names = list(dict.fromkeys(curve.name for curve in curves))
    looks: dict[str, tuple[str, Any]] = {
        name: (COLOURS[i % len(COLOURS)], "-" if i < SOLID else LINES[(i - SOLID) % len(LINES)])
        for i, name in enumerate(names)
    }
    rows = -(-len(panels) // ACROSS)
    columns = max(1, min(5, len(names), 80 // (8 + max(map(len, names)))))

    def paint(figure: Figure) -> None:
        figure.set_figwidth(1.5 * WIDTH)
        places = figure.subplots(rows, ACROSS, squeeze=False, sharey=True, sharex=True)
        for axes, (title, own, bound) in zip(places.flat, panels, strict=False):
            _panel(axes, title, own, bound, looks)
        for axes in places.flat[len(panels) :]:
            axes.set_visible(False)
        low, high = places[0, 0].get_ylim()
        ticks = [10.0**power for power in range(-12, 13, 6) if low <= 10.0**power <= high]
        if len(ticks) > 2:
            places[0, 0].set_yticks(ticks)
        for axes in places[:, 0]:
            axes.set_ylabel("norm of gradient")
        for number in range(ACROSS):
            shown = [axes for axes in places[:, number] if axes.get_visible()]
            if shown:
                shown[-1].set_xlabel("steps back, T $-$ t")
                shown[-1].tick_params(labelbottom=True)
        handles = [Line2D([], [], color=colour, linestyle=line, label=plain(n)) for n, (colour, line) in looks.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)

    caption = CAPTION + (CLIPPED.format(clip=clip) if exploding else "")
    caption += STACKED if any(" layers" in curve.panel for curve in curves) else ""
    return draw("gradient_flow", caption.strip(), paint, 2.0 * rows + 0.5 + 0.2 * -(-len(names) // columns))


def _panel(axes: Axes, title: str, curves: Sequence[Curve], clip: float, looks: dict[str, tuple[str, Any]]) -> None:
    for curve in curves:
        norms = curve.norms(clip)
        shown = np.where((norms >= LOW) & (norms <= HIGH), norms, np.nan)
        colour, line = looks[curve.name]
        axes.plot(np.arange(len(norms)), shown, color=colour, linestyle=line, linewidth=1.4)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(plain(title), fontsize=9)
