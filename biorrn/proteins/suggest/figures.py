"""Figure of a round: prediction against uncertainty with the choice marked, and a map of the chosen substitutions."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.proteins.landscape import ROWS
from biorrn.proteins.suggest.campaign import Round
from biorrn.stats.figures import BLUE, GREY, INK, ORANGE, PALE, WIDTH, canvas, figure_files, plain, say

RESIDUES = ROWS[:20]
COLUMNS = 30  # positions of the map, the most chosen ones
HEIGHT = 6.2  # inches
LETTERS = 110  # of a line of the caution
SHOWN = 20_000  # candidates drawn, at random


@contextlib.contextmanager
def round_figures(path: str | Path | None) -> Iterator[Callable[[Round], None]]:
    """Yield `draw(round)`, which writes the figure of a round, see `stats.figures.figure_files`; nothing for None."""
    if path is None:
        yield lambda made: None
        return
    with figure_files(path) as save:
        yield lambda made: save(round_figure(made), made.measured.target, "")


def round_figure(made: Round) -> Figure:
    """Draw a round: prediction and uncertainty of all candidates, and the substitutions of the chosen below."""
    with canvas(WIDTH, HEIGHT, {}, layout="constrained") as figure:
        _paint(figure, made)
    return figure


def _paint(figure: Figure, made: Round) -> None:
    upper, lower = figure.subplots(2, 1, height_ratios=(1, 1.1))
    _cloud(upper, made)
    _map(lower, made)


def _cloud(axes: Axes, made: Round) -> None:
    rows = np.arange(len(made.values))
    if len(rows) > SHOWN:
        rows = np.random.default_rng(0).choice(rows, SHOWN, replace=False)
    axes.scatter(made.values[rows], made.deviations[rows], s=5, color=PALE, linewidths=0, rasterized=True,
                 label=f"candidates ({len(made.values):,})")  # fmt: skip
    axes.scatter(made.values[made.indices], made.deviations[made.indices], s=11, color=ORANGE, linewidths=0,
                 label=f"chosen ({len(made.indices)})")  # fmt: skip
    for control, name, colour in ((made.wild_type, "wild type", INK), (made.best, "best so far", BLUE)):
        if control is not None:
            axes.axvline(control.value, color=colour, linewidth=0.9, linestyle="--", label=name)
    unit = f" ({made.measured.unit})" if made.measured.unit else ""
    axes.set_xlabel(plain(f"predicted {made.measured.target}{unit}"))
    axes.set_ylabel("standard deviation")
    axes.set_ylim(bottom=0)
    if made.caution:
        axes.set_title(plain("\n".join(wrap(made.caution, LETTERS))), fontsize=7, color=ORANGE, loc="left")
    axes.legend(fontsize=7, loc="best", handletextpad=0.4)


def _map(axes: Axes, made: Round) -> None:
    counts: Counter[tuple[int, str, str]] = Counter()
    for one in made.chosen:
        for change in one.candidate.mutation.split(":") if one.candidate.mutations > 0 else ():
            counts[int(change[1:-1]), change[0], change[-1]] += 1
    held: Counter[tuple[int, str]] = Counter()
    for (number, old, _), count in counts.items():
        held[number, old] += count
    if not held:
        say(axes, "the candidates are not substitutions of one wild type")
        return
    columns = sorted(place for place, _ in held.most_common(COLUMNS))
    grid = np.zeros((len(RESIDUES), len(columns)))
    for (number, old, new), count in counts.items():
        if (number, old) in columns and new in RESIDUES:
            grid[RESIDUES.index(new), columns.index((number, old))] = count
    image = axes.pcolormesh(np.where(grid > 0, grid, np.nan), cmap="viridis", vmin=0, edgecolors="white", linewidth=0.3)
    home = [(column, RESIDUES.index(old)) for column, (_, old) in enumerate(columns) if old in RESIDUES]
    axes.plot(*(np.array(home).T + 0.5 if home else ([], [])), ".", color=INK, markersize=3)
    axes.set_ylim(len(RESIDUES), 0)
    axes.set_xticks(
        np.arange(len(columns)) + 0.5, [f"{old}{number}" for number, old in columns], rotation=90, fontsize=6
    )
    axes.set_yticks(np.arange(len(RESIDUES)) + 0.5, RESIDUES, fontsize=6)
    axes.tick_params(length=0, pad=2)
    axes.grid(visible=False)
    more = f" (the {COLUMNS} most chosen of {len(held)})" if len(held) > COLUMNS else ""
    axes.set_xlabel(f"position{more}; a dot is the wild type", color=GREY)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, shrink=0.8)
    bar.set_label("chosen variants", fontsize=8)
    bar.ax.tick_params(labelsize=7)
