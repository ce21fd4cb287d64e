"""The figure of `biorrn cells`: for each task the scores of all cells, and beside them their speed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.evaluation.cells import CellRow, best_first
from biorrn.evaluation.figures import BLUE, GREY, INK, PALE, WIDTH, Drawing, draw, plain

ROW = 0.21  # inches a cell
LOWEST = -0.1  # where a bar ends at the least: a score such as R2 has no bound below


def cells_figure(rows: Sequence[CellRow]) -> Drawing:
    """Draw for each task the score of every cell, the best on top, and beside it the speed."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    most = max(sum(row.task == task for row in rows) for task in tasks)

    def paint(figure: Figure) -> None:
        figure.set_figwidth(1.5 * WIDTH)
        panels = figure.subplots(len(tasks), 2, squeeze=False, width_ratios=[3, 2])
        for (scores, speeds), task in zip(panels, tasks, strict=True):
            own = best_first(rows, task)
            _scores(scores, task, own)
            _speeds(speeds, own)

    caption = "Score of each cell at an equal number of parameters, the best on top, and steps a second of training."
    return draw("cells", caption, paint, len(tasks) * (0.75 + ROW * most))


def _scores(axes: Axes, task: str, rows: list[CellRow]) -> None:
    places = range(len(rows))
    values = [max(row.score, LOWEST) if row.score == row.score else 0.0 for row in rows]
    axes.barh(places, values, 0.66, color=BLUE)
    axes.set_xlim(min(0.0, *values), 1.12 * max(0.1, *values))
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        axes.text(max(value, 0), place, f" {row.score:.3f}", va="center", fontsize=7, color=INK)
    axes.set_yticks(places, [plain(row.cell) for row in rows], fontsize=8)
    axes.set_title(plain(task), fontsize=9, loc="left")
    axes.set_xlabel(plain(f"{rows[0].metric} ({rows[0].split})"), fontsize=8)
    _tidy(axes, len(rows))


def _speeds(axes: Axes, rows: list[CellRow]) -> None:
    places = range(len(rows))
    axes.barh(places, [row.steps_per_second / 1000 for row in rows], 0.66, color=GREY)
    axes.set_yticks(places, [""] * len(rows))
    axes.set_xlabel("thousand steps a second", fontsize=8)
    _tidy(axes, len(rows))


def _tidy(axes: Axes, rows: int) -> None:
    axes.set_ylim(rows - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="x", labelsize=7, color=PALE)
