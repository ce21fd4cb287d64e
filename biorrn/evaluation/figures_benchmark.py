"""The figure of a benchmark: each set's score with its intervals, among baselines and published figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.evaluation.benchmark_files import NAMES
from biorrn.evaluation.benchmark_table import Entry
from biorrn.evaluation.figures import BLUE, GREY, INK, ORANGE, PALE, PURPLE, WIDTH, Drawing, draw, plain

ROW = 0.46  # inches a set
LOWEST = -0.1  # left end at the least; what is below it (R2 has no bound) stands at the edge


def benchmark_figure(entries: Sequence[Entry]) -> Drawing:
    """Draw a row a set: our score, thick its interval over seeds, thin over rows; baselines and published figures.

    Published figures of other rows than ours are hollow.
    """

    def paint(figure: Figure) -> None:
        figure.set_figwidth(1.5 * WIDTH)
        axes = figure.add_subplot()
        for place, entry in enumerate(entries):
            _row(axes, place, entry)
        axes.set_yticks(range(len(entries)), [_label(entry) for entry in entries], fontsize=8.5)
        axes.set_ylim(len(entries) - 0.4, -0.6)
        axes.set_xlim(LOWEST - 0.02, 1.0)
        axes.grid(axis="y", visible=False)
        metrics = list(dict.fromkeys(NAMES[entry.metric] for entry in entries))
        axes.set_xlabel(" or ".join(metrics) + (", as named" if len(metrics) > 1 else ""))
        _legend(figure, axes)

    caption = (
        "Scores on the published sets, mean over seeds; baselines are fitted on the same rows. Hollow: the published "
        "figure is of other rows than ours (a test set beside our validation rows)."
    )
    return draw("benchmark", caption, paint, 1.35 + ROW * max(1, len(entries)))


def _label(entry: Entry) -> str:
    metric = "" if entry.metric == "spearman" else f", {NAMES[entry.metric]}"
    return plain(f"{entry.set.replace('_', ' ')}\n{entry.split}, n = {entry.n:,}{metric}")


def _row(axes: Axes, place: int, entry: Entry) -> None:
    axes.axhline(place, color="#EFEFEF", linewidth=0.8, zorder=0)
    others = np.array([value for value in entry.baselines.values() if math.isfinite(value)])
    axes.plot(np.clip(others, LOWEST, 1), np.full(len(others), place), "|", color=GREY, markersize=8)
    for figure in entry.published:
        colour, marker = (PURPLE, "s") if figure.language_model else (ORANGE, "D")
        filled = colour if figure.split == entry.split else "white"
        axes.plot(
            figure.score, place + 0.17, marker, markersize=5.5, markerfacecolor=filled, markeredgecolor=colour, zorder=4
        )
    for ends, width in ((entry.over_rows, 1.2), (entry.over_seeds, 3.6)):
        if not math.isnan(ends[0]):
            axes.plot(np.clip(ends, LOWEST, 1), [place - 0.17] * 2, color=BLUE, linewidth=width, alpha=0.75, zorder=3)
    axes.plot(entry.score, place - 0.17, "o", color=BLUE, markersize=6, zorder=5)


def _legend(figure: Figure, axes: Axes) -> None:
    shown = [
        axes.plot([], [], "o", color=BLUE, label="biorrn")[0],
        axes.plot([], [], color=BLUE, linewidth=1.2, label="95 %, over rows")[0],
        axes.plot([], [], color=BLUE, linewidth=3.6, alpha=0.75, label="95 %, over seeds")[0],
        axes.plot([], [], "|", color=GREY, markersize=8, label="baselines")[0],
        axes.plot([], [], "D", color=ORANGE, markersize=5.5, label="published, no language model")[0],
        axes.plot([], [], "s", color=PURPLE, markersize=5.5, label="published, language model")[0],
        axes.plot([], [], "D", markerfacecolor="white", markeredgecolor=INK, label="hollow: of other rows")[0],
    ]
    figure.legend(handles=shown, loc="outside upper left", ncols=3, fontsize=7.5, edgecolor=PALE)
