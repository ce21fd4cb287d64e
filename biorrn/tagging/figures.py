"""Figures of tagging: state tracks along proteins, confusion matrix, reliability diagram, baselines, scatter plots."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from biorrn.base.errors import ConfigError
from biorrn.base.files import atomic_path
from biorrn.stats.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    SKY,
    STYLE,
    Drawing,
    as_bytes,
    bars,
    cloud,
    confusion,
    draw,
    plain,
    reliability,
    say,
    slug,
)
from biorrn.stats.metrics import BESIDE, NAMES, deciding
from biorrn.tagging.evaluate import EvaluatedRows
from biorrn.tagging.predict import Tagging

MOST = 40  # maximum proteins per figure
LONG = 7.2  # width, inches
ROW, TITLE = 0.85, 0.24  # inches: height of a protein, and of the title in it
ABOVE, LINE, BELOW, LEFT, RIGHT = 0.1, 0.22, 0.45, 0.75, 0.12  # inches: margins, and the height of a legend line
HEAD = 3.0  # residues of the arrow head of a strand; at most half of the strand
# DSSP state -> shape and colour
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
PALETTE = (RED, BLUE, GREEN, ORANGE, PURPLE, SKY, INK, GREY)  # for other states than those of DSSP


def shapes(states: str) -> dict[str, tuple[str, str]]:
    """Return the shape ("box", "arrow" or "line") and colour of each state.

    >>> shapes("HEC")["E"][0], shapes("io")["o"][0]
    ('arrow', 'box')
    """
    if {"H", "E"} <= set(states) <= set(SHAPES):
        return {state: SHAPES[state] for state in states}
    return {state: ("box", PALETTE[place % len(PALETTE)]) for place, state in enumerate(states)}


def track(axes: Axes, states: str, look: Mapping[str, tuple[str, str]], middle: float, height: float) -> None:
    """Draw a string of states as a track around height `middle`. A letter that is not in `look` is a gap."""
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
    """Add the legend of the states at the top."""
    handles = [
        Patch(color=look[state][1], label=plain(name if name == state else f"{state} {name}"))
        for state, name in zip(states, names, strict=True)
    ]
    figure.legend(handles=handles, loc="upper left", ncols=min(len(handles), 5), fontsize=8, handlelength=1.2)


def rows_of_axes(count: int, high: float, longest: int, legend: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure and one axes per protein, stacked, with a common axis of `longest` residues.

    The axes are placed by hand: the layout engine of matplotlib takes seconds for dozens of axes.

    Parameters
    ----------
    high : float: height of a protein with its title, inches.
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
    """Draw one protein per row, along a common axis of residue numbers.

    Parameters
    ----------
    states, names : states of the model and their names; for values "" and the names of the values.
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
    """Yield `add(tagging)`, which returns whether the protein is drawn: the first `MOST` are. The file is written last.

    Parameters
    ----------
    path : SVG or PNG by its suffix. With None nothing is drawn, and `add` returns True.

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


TRACKS = 5  # proteins drawn in an evaluation
SUITED = (60, 250)  # preferred lengths of these, for a readable figure


def _baselines(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> Callable[[Figure], None]:
    first = deciding(next(iter(baselines.values())))

    def paint(figure: Figure) -> None:
        for axes, name in zip(figure.subplots(2, 1), (first, BESIDE[first]), strict=True):
            others = [
                (key, entry["metrics"][name], PALE if entry["beats"] else ORANGE) for key, entry in baselines.items()
            ]
            bars(axes, [("model", metrics[name], BLUE), *others], NAMES[name])

    return paint


def chosen(evaluated: EvaluatedRows, most: int = TRACKS) -> list[int]:
    """Return the rows to draw: evenly spaced ranks of accuracy, worst first; of a readable length if possible.

    Accuracy is over the labelled residues.
    """
    rows, called = evaluated.rows, evaluated.given.states
    owner = np.repeat(np.arange(len(rows)), rows.lengths)
    known = rows.labels >= 0
    labelled, right = (
        np.bincount(owner[part], minlength=len(rows)) for part in (known, known & (rows.labels == called))
    )
    usable = np.flatnonzero((labelled > 0.5 * rows.lengths) & (labelled > 0))
    suited = usable[(rows.lengths[usable] >= SUITED[0]) & (rows.lengths[usable] <= SUITED[1])]
    among = suited if len(suited) >= most else usable if len(usable) else np.flatnonzero(labelled)
    ranked = among[np.argsort(right[among] / labelled[among], kind="stable")]
    if not len(ranked):
        return []
    return ranked[np.unique(np.rint(np.linspace(0, len(ranked) - 1, most)).astype(int))].tolist()


def tracks(evaluated: EvaluatedRows, names: list[str]) -> Figure:
    """Draw some proteins: predicted states above the true ones, and the confidence below."""
    rows, given = evaluated.rows, evaluated.given
    ends = np.cumsum(rows.lengths)
    picked = chosen(evaluated)
    look, longest = shapes(rows.states), int(rows.lengths[picked].max())
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure, panels = rows_of_axes(len(picked), 1.2 * ROW, longest, legend=-(-len(names) // 5))
        for axes, row in zip(panels, picked, strict=True):
            part = slice(ends[row] - rows.lengths[row], ends[row])
            name, scores = str(rows.ids[row]), given.scores[part]
            _pair(axes, rows.labels[part], given.states[part], scores, rows.states, look, name)
        key(figure, rows.states, names, look)
    return figure


def _pair(
    axes: Axes,
    true: np.ndarray,
    called: np.ndarray,
    scores: np.ndarray,
    states: str,
    look: Mapping[str, tuple[str, str]],
    name: str,
) -> None:
    letters = np.array([*states, " "])  # index -1, an unknown state, is a gap
    known = true >= 0
    accuracy = float((true == called)[known].mean())
    axes.set_title(
        plain(f"{name}  {100 * accuracy:.0f} % of {int(known.sum()):,} right"), fontsize=8, loc="left", pad=2
    )
    track(axes, "".join(letters[called]), look, 2.4, 0.7)
    track(axes, "".join(letters[true]), look, 1.5, 0.7)
    if not np.isnan(scores).any():
        place = np.arange(1, len(true) + 1)
        axes.fill_between(place, 0, scores.max(axis=1), step="mid", color=PALE, linewidth=0)
    axes.set_ylim(0, 2.85)
    axes.set_yticks([0.5, 1.5, 2.4], ["confidence", "true", "predicted"])


def _scatter(true: np.ndarray, predicted: np.ndarray, label: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        known = ~np.isnan(true)
        if not known.any():
            return say(axes, "no measured values")
        cloud(axes, figure, true[known], predicted[known])
        axes.set(xlabel=plain(f"measured {label}"), ylabel=plain(f"predicted {label}"))
        return None

    return paint


def tagging_figures(content: Mapping[str, Any], evaluated: EvaluatedRows) -> list[Drawing]:
    """Draw an evaluation.

    Parameters
    ----------
    content, evaluated : as `tagging.evaluate.evaluate_tagging` returns them.
    """
    where, drawings = f"{content['split']} split", []
    if content["states"]:
        names = list(content["state_names"])
        high = 1.4 + 0.5 * len(names)
        caption = f"Which state was called for which, {where}: parts of the residues of each true state."
        drawings.append(draw("confusion", caption, confusion(content["confusion"], names), high))
        if content["confidence"]:
            caption = f"Accuracy by the probability of the called state, {where}; dashed: as promised."
            drawings.append(draw("confidence", caption, reliability(content["confidence"], "residues"), 3.6))
        caption = f"Predicted states above the true ones, {where}; the worst protein first, the best last."
        drawings.append(Drawing("tracks", caption, tracks(evaluated, names)))
    for column, target in enumerate(content["targets"]):
        label = f"{target['name']} ({target['unit']})" if target.get("unit") else target["name"]
        arrays = (evaluated.rows.values[:, column], evaluated.given.scores[:, column])
        caption = f"Predicted and measured {target['name']} of residues, {where}."
        drawings.append(draw(f"scatter_{slug(target['name'])}", caption, _scatter(*arrays, label), 3.6))
    for name, baselines in content["baselines"].items():
        suffix = f"_{slug(name)}" if len(content["baselines"]) > 1 else ""
        caption = f"The model and its baselines, {where}, with 95 % bootstrap intervals over proteins."
        paint = _baselines(content["metrics"][name], baselines)
        drawings.append(draw(f"baselines{suffix}", caption, paint, 1.5 + 0.54 * (1 + len(baselines))))
    return drawings
