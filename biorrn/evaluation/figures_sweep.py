"""The figure of a parameter sweep: each run's score with its interval, the best on top."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from biorrn.evaluation import metric_names
from biorrn.evaluation.figures import BLUE, GREY, WIDTH, Drawing, draw, plain
from biorrn.evaluation.sweep import Row

NAMES = metric_names.NAMES | {"spearman": "Spearman's rho"}
MOST = 40  # runs that are drawn; the table has them all


def sweep_figure(rows: Sequence[Row]) -> Drawing:
    """Draw a line a run, of each target the best `MOST`, in the order of the rows."""
    targets = list(dict.fromkeys(row.target for row in rows))
    shown = {target: [row for row in rows if row.target == target][:MOST] for target in targets}

    def paint(figure: Figure) -> None:
        panels = figure.subplots(
            len(targets), 1, squeeze=False, height_ratios=[len(entries) + 1 for entries in shown.values()]
        )
        for axes, (target, entries) in zip(panels[:, 0], shown.items(), strict=True):
            for place, row in enumerate(entries):
                if row.low == row.low:
                    axes.plot([row.low, row.high], [place, place], color=GREY, linewidth=1.4)
                axes.plot(row.score, place, "o", color=BLUE, markersize=5)
            labels = [
                ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in row.point.items()) for row in entries
            ]
            axes.set_yticks(range(len(entries)), [plain(label) for label in labels], fontsize=8)
            axes.set_ylim(len(entries) - 0.4, -0.6)
            axes.set_xlabel(NAMES[entries[0].metric] + (f" of {plain(target)}" if target else ""))

    caption = "Runs of the sweep, the best first, each with its 95 % interval over rows or reads."
    if any(len(entries) < sum(row.target == target for row in rows) for target, entries in shown.items()):
        caption += f" The best {MOST} are drawn."
    lines = sum(len(entries) for entries in shown.values())
    figure_height = 0.8 * len(targets) + 0.24 * lines
    return draw("sweep", caption, paint, max(1.6, min(figure_height, 3 * WIDTH)))
