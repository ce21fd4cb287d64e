"""The figure of attention: a heat map a head with residues on both axes, and the weights of pools along it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.errors import BiorrnError
from biorrn.evaluation.figure_files import figure_files
from biorrn.evaluation.figures import GREY, INK, canvas, plain
from biorrn.inference.attention_maps import Attended, AttentionMap

ACROSS = 4  # heads side by side
MOST = 64  # heat maps of one figure
LETTERS = 60  # residues up to which each is named; longer proteins have numbers
RESIDUE, SMALLEST, LARGEST = 0.075, 1.6, 3.4  # inches of a heat map: a residue, least and most
LEFT, RIGHT, TOP, BOTTOM, BETWEEN, TITLE = 0.75, 0.85, 0.65, 0.5, 0.35, 0.3  # inches around and between
STRIP = 0.24  # inches a head of a pool
MOST_NUMBERS, STEPS = 8, (10, 20, 50, 100, 200, 500)  # of an axis, and what may lie between them
MAP = colors.LinearSegmentedColormap.from_list("weights", ["#FFFFFF", "#9CC7E5", "#0072B2", "#06253D"])


def attention_figure(found: Attended, offset: int = 0) -> Figure:
    """Draw all attention of a model for one protein, a row of heads a layer; colours of a layer share one scale.

    Raises
    ------
    BiorrnError: there are more than `MOST` heat maps.
    """
    number = sum(1 if one.pooled else len(one.weights) for one in found.maps)
    if number > MOST:
        raise BiorrnError(f"--figure: record '{found.id}' has {number} heat maps; a figure shows up to {MOST}")
    length = len(found.sequence)
    side = min(max(length * RESIDUE, SMALLEST), LARGEST)
    columns = max([1, *(min(len(one.weights), ACROSS) for one in found.maps if not one.pooled)])
    span = columns * side + (columns - 1) * BETWEEN
    pools = max(span, min(length * 0.13, 9.0))  # the strips of pools are as wide as all maps, or as letters need
    width = LEFT + pools + RIGHT
    rows = [_rows(one) for one in found.maps]
    tall = [
        TITLE + (len(one.weights) * STRIP if one.pooled else lines * side + (lines - 1) * BETWEEN) + BOTTOM
        for one, lines in zip(found.maps, rows, strict=True)
    ]
    height = TOP + sum(tall)
    with canvas(width, height) as figure:
        figure.text(LEFT / width, 1 - 0.12 / height, plain(found.id), fontsize=11, weight="bold", va="top", color=INK)
        figure.text(
            LEFT / width, 1 - 0.36 / height, "attention: which residues (across) each residue (down) takes from",
            fontsize=8, va="top", color=GREY,
        )  # fmt: skip
        top = height - TOP
        for one, needs in zip(found.maps, tall, strict=True):
            norm = colors.Normalize(0, float(one.weights.max()) or 1.0)
            figure.text(LEFT / width, top / height, plain(one.layer), fontsize=9, weight="bold", va="top", color=INK)
            low = top - TITLE

            def place(left: float, above: float, wide: float, high: float) -> Axes:
                return figure.add_axes((left / width, (above - high) / height, wide / width, high / height))

            if one.pooled:
                high = len(one.weights) * STRIP
                _strip(place(LEFT, low, pools, high), one, norm, found.sequence, offset)
                bar = place(LEFT + pools + 0.1, low, 0.1, high)
            else:
                for head, weights in enumerate(one.weights):
                    row, column = divmod(head, ACROSS)
                    at = LEFT + column * (side + BETWEEN), low - row * (side + BETWEEN)
                    _map(place(*at, side, side), weights, norm, found.sequence, offset, f"head {head + 1}")
                wide = min(len(one.weights), ACROSS) * (side + BETWEEN) - BETWEEN
                bar = place(LEFT + wide + 0.1, low, 0.1, side)
            figure.colorbar(matplotlib.cm.ScalarMappable(norm, MAP), cax=bar)
            bar.tick_params(labelsize=6, length=2, pad=2)
            top -= needs
    return figure


def _rows(one: AttentionMap) -> int:
    return 1 if one.pooled else -(-len(one.weights) // ACROSS)


def _ticks(axes: Axes, sequence: str, offset: int, side: float, down: bool) -> None:
    if len(sequence) <= LETTERS:
        places = np.arange(len(sequence))
        size = max(2.5, min(7.0, 72 * side / len(sequence) * 0.95))
        axes.set_xticks(places, list(sequence), fontsize=size)
        if down:
            axes.set_yticks(places, list(sequence), fontsize=size)
        axes.tick_params(length=0, pad=1.5)
        return
    step = next(step for step in STEPS if len(sequence) <= MOST_NUMBERS * step)
    numbers = [n for n in range(1 + offset, len(sequence) + 1 + offset) if n % step == 0]
    axes.set_xticks([n - 1 - offset for n in numbers], [str(n) for n in numbers], fontsize=6)
    if down:
        axes.set_yticks([n - 1 - offset for n in numbers], [str(n) for n in numbers], fontsize=6)
    axes.tick_params(length=2, pad=1.5)


def _map(axes: Axes, weights: np.ndarray, norm: colors.Normalize, sequence: str, offset: int, title: str) -> None:
    axes.imshow(weights, cmap=MAP, norm=norm, aspect="equal", interpolation="nearest")
    _ticks(axes, sequence, offset, axes.get_position().width * axes.figure.get_figwidth(), down=True)  # type: ignore[union-attr]
    axes.set_title(title, fontsize=7, color=GREY, pad=2)


def _strip(axes: Axes, one: AttentionMap, norm: colors.Normalize, sequence: str, offset: int) -> None:
    axes.imshow(one.weights, cmap=MAP, norm=norm, aspect="auto", interpolation="nearest")
    _ticks(axes, sequence, offset, axes.get_position().width * axes.figure.get_figwidth(), down=False)  # type: ignore[union-attr]
    axes.set_yticks(range(len(one.weights)), [f"head {head}" for head in range(1, len(one.weights) + 1)], fontsize=7)


@contextlib.contextmanager
def attention_figures(path: str | Path | None, offset: int = 0) -> Iterator[Callable[[Attended], None]]:
    """Yield `add(attended)`, which writes a figure a protein.

    Parameters
    ----------
    path : see `figure_files`; with None nothing is drawn.
    offset : int: added to a place in the sequence, counted from 1, gives its number.
    """
    if path is None:
        yield lambda found: None
        return
    with figure_files(path) as save:
        yield lambda found: save(attention_figure(found, offset), found.id, "attention")
