"""The figure of activations: letters on cells of colour, a block a unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.errors import BiorrnError
from biorrn.evaluation.activation_page import Page
from biorrn.evaluation.figures import GREY, INK, Drawing, draw, plain
from biorrn.inference.activations import States

LINE = 50  # letters
MOST = 120  # lines of a figure
HEIGHT, TITLE = 0.2, 0.45  # inches of a line, and of what stands above those of a unit


def _lines(sequences: Sequence[States]) -> list[tuple[str, int, str, np.ndarray]]:
    """Return id, number of the first letter, letters and states (T, U) of each line."""
    return [
        (one.id, start + 1, one.sequence[start : start + LINE], one.values[start : start + LINE])
        for one in sequences
        for start in range(0, len(one.sequence), LINE)
    ]


def _unit(axes: Axes, lines: list[tuple[str, int, str, np.ndarray]], column: int, scale: float, title: str) -> None:
    cells = np.full((len(lines), LINE), np.nan)
    for row, (_, _, letters, values) in enumerate(lines):
        cells[row, : len(letters)] = values[:, column] / scale
    axes.imshow(cells, cmap="RdBu", vmin=-1.7, vmax=1.7, aspect="auto", interpolation="nearest")
    for row, (id, first, letters, _) in enumerate(lines):
        for place, letter in enumerate(letters):
            axes.text(place, row, letter, ha="center", va="center", fontsize=5.5, family="DejaVu Sans Mono", color=INK)
        name = f"{plain(id[:14])} 1" if first == 1 else str(first)
        axes.annotate(name, (-0.7, row), ha="right", va="center", fontsize=5.5, color=GREY, annotation_clip=False)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_title(plain(title), fontsize=7.5, loc="left", color=INK)


def activation_figure(shown: Page, sequences: Sequence[States]) -> Drawing:
    """Draw every unit of `shown` along every sequence; values as in `activation_page.page`.

    Raises
    ------
    BiorrnError: more lines than a figure can show.
    """
    lines = _lines(sequences)
    if len(lines) * len(shown.units) > MOST:
        raise BiorrnError(
            f"a figure shows up to {MOST} lines of {LINE} letters; found {len(lines)} for each of {len(shown.units)} "
            "units; use fewer units or sequences, or an output that ends in .html"
        )

    def paint(figure: Figure) -> None:
        figure.suptitle(plain(shown.title), fontsize=9, color=INK)
        panels = figure.subplots(len(shown.units), 1, squeeze=False)[:, 0]
        for column, ((choice, _), axes) in enumerate(zip(shown.units, panels, strict=True)):
            _unit(axes, lines, column, float(shown.scales[column]), choice.sentence().replace(" (", "\n("))

    height = 0.3 + len(shown.units) * (TITLE + HEIGHT * len(lines))
    return draw("activations", f"{shown.title}: states of units along sequences", paint, height)
