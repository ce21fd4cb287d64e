"""States along a sequence: helices as boxes, strands as arrows, coil as a line, and how sure the model is of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from biorrn.errors import ConfigError
from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, SKY, STYLE, as_bytes, plain
from biorrn.files import atomic_path
from biorrn.inference.tagging import Tagging

MOST = 40  # proteins of a figure
LONG = 7.2  # inches
ROW, TITLE = 0.85, 0.24  # inches: of a protein, and of its title among these
ABOVE, LINE, BELOW, LEFT, RIGHT = 0.1, 0.22, 0.45, 0.75, 0.12  # inches: around them, and of a line of the legend
HEAD = 3.0  # residues of a strand that are its arrow head, at most half of it
# DSSP's states: shape and colour
SHAPES = {
    "H": ("box", RED),
    "G": ("box", ORANGE),
    "I": ("box", PURPLE),
    "E": ("arrow", BLUE),
    "B": ("arrow", SKY),
    "T": ("line", GREEN),
    "S": ("line", GREY),
    "C": ("line", INK),
    "P": ("line", PALE),
}
PALETTE = (RED, BLUE, GREEN, ORANGE, PURPLE, SKY, INK, GREY)  # of states that are not those of DSSP


def shapes(states: str) -> dict[str, tuple[str, str]]:
    """Return how each state is drawn: "box", "arrow" or "line", and its colour.

    >>> shapes("HEC")["E"][0], shapes("io")["o"][0]
    ('arrow', 'box')
    """
    if {"H", "E"} <= set(states) <= set(SHAPES):
        return {state: SHAPES[state] for state in states}
    return {state: ("box", PALETTE[place % len(PALETTE)]) for place, state in enumerate(states)}


def track(axes: Axes, states: str, look: Mapping[str, tuple[str, str]], middle: float, height: float) -> None:
    """Draw states, one a residue from 1 on, around `middle`; a letter that `look` does not have is a gap."""
    polygons, colours, start = [], [], 0.5
    for state, group in itertools.groupby(states):
        end = start + len(list(group))
        shape, colour = look.get(state, ("", ""))
        half = height / 2
        if shape == "line":
            half /= 6
        if shape == "arrow":
            neck = max(end - HEAD, (start + end) / 2)
            body = half * 0.55
            outline = [
                (start, body),
                (neck, body),
                (neck, half),
                (end, 0),
                (neck, -half),
                (neck, -body),
                (start, -body),
            ]
            polygons.append([(x, middle + y) for x, y in outline])
        elif shape:
            low, high = middle - half, middle + half
            polygons.append([(start, low), (start, high), (end, high), (end, low)])
        colours += [colour] if shape else []
        start = end
    axes.add_collection(PolyCollection(polygons, facecolors=colours, edgecolors="none"))


def key(figure: Figure, states: str, names: Sequence[str], look: Mapping[str, tuple[str, str]]) -> None:
    """Add the legend of the states above everything."""
    handles = [
        Patch(color=look[state][1], label=plain(name if name == state else f"{state} {name}"))
        for state, name in zip(states, names, strict=True)
    ]
    figure.legend(handles=handles, loc="upper left", ncols=min(len(handles), 5), fontsize=8, handlelength=1.2)


def rows_of_axes(count: int, high: float, longest: int, legend: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure and an axes a protein, one below the other, along one axis of `longest` residues.

    Laid out in inches, as the layout of matplotlib takes seconds for dozens of axes.

    Parameters
    ----------
    high : float: inches of a protein, its title included.
    legend : int: lines of the legend.
    """
    top = ABOVE + LINE * legend
    tall = top + high * count + BELOW
    figure = Figure(figsize=(LONG, tall))
    FigureCanvasAgg(figure)
    panels = []
    for number in range(count):
        bottom = (tall - top - high * (number + 1)) / tall
        place = (LEFT / LONG, bottom, (LONG - LEFT - RIGHT) / LONG, (high - TITLE) / tall)
        axes = figure.add_axes(place, xlim=(0.5, longest + 0.5))
        axes.tick_params(labelsize=7, length=2, labelbottom=number == count - 1)
        panels.append(axes)
    panels[-1].set_xlabel("residue", fontsize=9)
    return figure, panels


def structure_figure(found: Sequence[Tagging], states: str, names: Sequence[str]) -> Figure:
    """Draw proteins, one a row, along one axis of residue numbers.

    Parameters
    ----------
    states, names : of the model; "" where it gives values, whose names they then are: a line each.
    """
    look, longest = shapes(states), max(max(len(one.sequence) for one in found), 1)
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure, panels = rows_of_axes(len(found), ROW, longest, legend=-(-len(names) // 5))
        for axes, one in zip(panels, found, strict=True):
            place = np.arange(1, len(one.sequence) + 1)
            axes.set_title(plain(f"{one.id}  {len(one.sequence):,} residues"), fontsize=8, loc="left", pad=2)
            if states:
                axes.fill_between(place, 0, one.confidence, step="mid", color=PALE, linewidth=0)
                axes.axhline(1, color=GREY, linewidth=0.4, linestyle=":")
                track(axes, one.states, look, 1.5, 0.75)
                axes.set(ylim=(0, 1.95), yticks=[0, 1])
            else:
                for column in range(len(names)):
                    axes.plot(place, one.scores[:, column], linewidth=0.9, color=PALETTE[column % len(PALETTE)])
        if states:
            panels[len(panels) // 2].set_ylabel("confidence", fontsize=8)
            key(figure, states, names, look)
        else:
            colours = {name: ("line", PALETTE[column % len(PALETTE)]) for column, name in enumerate(names)}
            handles = [Patch(color=colour, label=plain(name)) for name, (_, colour) in colours.items()]
            figure.legend(handles=handles, loc="upper left", ncols=5, fontsize=8, handlelength=1.2)
    return figure


@contextmanager
def structure_file(path: str | Path | None, states: str, names: Sequence[str]) -> Iterator[Callable[[Tagging], bool]]:
    """Yield `add(tagging)`, which says whether it is in the figure; the first `MOST` are, written at the end.

    Parameters
    ----------
    path : SVG or PNG by its suffix; with None nothing is drawn, and `add` says True.

    Raises
    ------
    ConfigError: another suffix, before anything is drawn.
    """
    if path is None:
        yield lambda found: True
        return
    suffix = Path(path).suffix.lower()
    if suffix not in (".svg", ".png"):
        raise ConfigError(f"--figure: found '{path}'; allowed is a name with .svg or .png")
    kept: list[Tagging] = []

    def add(found: Tagging) -> bool:
        if len(kept) < MOST:
            kept.append(found)
            return True
        return False

    yield add
    if kept:
        content = as_bytes(structure_figure(kept, states, names), suffix[1:])
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
