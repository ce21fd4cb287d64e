"""Figures of a regression: scatter, intervals, coverage, residuals, baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.stats.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    Drawing,
    bars,
    cloud,
    draw,
    plain,
    say,
    slug,
)
from biorrn.stats.metrics import paired

KINDS = ("width", "length", "identity", "flag")  # of bins
COLOURS = {"overall": INK, "width": PURPLE, "length": BLUE, "identity": ORANGE, "flag": GREEN}


def _levels(axes: Axes, rows: list[Mapping[str, Any]]) -> None:
    nominal, value, low, high = (
        np.array([100 * float(row[key]) for row in rows]) for key in ("level", "value", "low", "high")
    )
    ends = [min(45.0, float(nominal.min()), float(low.min())) - 2, 101.0]
    axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
    axes.fill_between(nominal, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(nominal, value, color=BLUE, linewidth=1.6, marker="o" if len(rows) < 5 else None, markersize=4)
    axes.set(xlim=ends, ylim=ends, xlabel="promised (%)", ylabel="held (%)")
    axes.set_aspect("equal")


def _bins(axes: Axes, entry: Mapping[str, Any]) -> None:
    rows = [("overall", {"name": "all"} | entry["overall"])]
    rows += [(kind, row) for kind in KINDS for row in entry.get(kind, [])]
    for place, (kind, row) in enumerate(rows):
        value, low, high = (100 * float(row[key]) for key in ("value", "low", "high"))
        axes.plot([low, high], [place, place], color=COLOURS[kind], linewidth=2)
        axes.plot(value, place, color=COLOURS[kind], marker="o", markersize=5)
    axes.axvline(100 * entry["level"], color=RED, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [plain(f"{row['name']} ({row['n']:,})") for _, row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("held (%)")
    axes.grid(visible=False, axis="y")


def coverage_figure(name: str, target: str, entry: Mapping[str, Any], where: str) -> Drawing:
    """Draw the coverage of one target's intervals.

    Parameters
    ----------
    name : of the file; target, where : for the caption.
    entry : what `proteins.uncertainty.coverage.coverage_of` gives.
    """
    bins = 1 + sum(len(entry.get(kind, [])) for kind in KINDS)

    def paint(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, height_ratios=[3, max(0.26 * bins, 0.8)])
        _levels(top, entry["levels"])
        _bins(bottom, entry)

    caption = (
        f"Intervals of {target}, {where}: share of measured values that they hold, by the level that they were made "
        f"for (above; dashed: equal) and at {100 * entry['level']:.0f} % by width, length and likeness to the training "
        "rows (below, number of rows in brackets); bands and bars: 95 % intervals of Wilson."
    )
    made: Callable[[Figure], None] = paint
    return draw(name, caption, made, 3.4 + 0.26 * bins)


SHOWN = 120  # intervals; more lines hide each other
BINS = 12  # of equal numbers of points, for the running median of the residuals


def _scatter(
    true: np.ndarray, predicted: np.ndarray, metrics: Mapping[str, Any], label: str
) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(true):
            return say(axes, "no measured values")
        low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
        margin = 0.04 * (high - low) or 1.0
        low, high = low - margin, high + margin
        cloud(axes, figure, true, predicted, extent=(low, high, low, high))
        axes.plot([low, high], [low, high], color=INK, linewidth=1, linestyle="--")
        axes.set(
            xlim=(low, high), ylim=(low, high), xlabel=plain(f"measured {label}"), ylabel=plain(f"predicted {label}")
        )
        axes.set_aspect("equal")
        text = "\n".join(
            f"{shown} {metrics[name]['value']:.3f}"
            for name, shown in (("spearman", "Spearman"), ("pearson", "Pearson"), ("rmse", "RMSE"))
        )
        axes.text(
            0.03, 0.97, f"{text}\nn {len(true):,}", transform=axes.transAxes, va="top", fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": PALE, "boxstyle": "round,pad=0.3"},
        )  # fmt: skip
        return None

    return paint


def _intervals(
    true: np.ndarray, predicted: np.ndarray, ends: np.ndarray, rows: np.ndarray, label: str
) -> Callable[[Figure], None]:
    """Paint the intervals `ends` (2, N) of some rows; a miss is a cross and has another colour."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(rows):
            return say(axes, "no measured values")
        x, y, (low, high) = true[rows], predicted[rows], ends[:, rows]
        held = (x >= low) & (x <= high)
        for which, colour, mark, name in ((held, BLUE, "o", "held"), (~held, RED, "X", "missed")):
            axes.vlines(x[which], low[which], high[which], color=colour, linewidth=0.9, alpha=0.55)
            axes.plot(x[which], y[which], mark, color=colour, markersize=4, markeredgewidth=0,
                      label=f"{name}: {int(which.sum()):,}")  # fmt: skip
        span = [float(min(x.min(), low.min())), float(max(x.max(), high.max()))]
        axes.plot(span, span, color=INK, linewidth=1, linestyle="--")
        axes.set(xlabel=plain(f"measured {label}"), ylabel=plain(f"predicted {label}"))
        axes.legend(loc="upper left")
        return None

    return paint


def some_rows(values: np.ndarray, most: int = SHOWN) -> np.ndarray:
    """Return at most `most` of the places of finite values (N,), spread evenly over their ranks.

    >>> some_rows(np.array([3.0, np.nan, 1.0, 2.0]), most=2).tolist()
    [2, 0]
    """
    known = np.flatnonzero(np.isfinite(values))
    ranked = known[np.argsort(values[known], kind="stable")]
    if len(ranked) <= most:
        return ranked
    return ranked[np.rint(np.linspace(0, len(ranked) - 1, most)).astype(int)]


def _residuals(true: np.ndarray, predicted: np.ndarray, label: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(true):
            return say(axes, "no measured values")
        error = predicted - true
        cloud(axes, figure, predicted, error)
        axes.axhline(0, color=INK, linewidth=1, linestyle="--")
        if len(true) >= 10 * BINS:
            parts = np.array_split(np.argsort(predicted), BINS)
            middle = [float(np.median(predicted[part])) for part in parts]
            axes.plot(
                middle, [float(np.median(error[part])) for part in parts], color=ORANGE, linewidth=2, label="median"
            )
            axes.legend(loc="upper right")
        axes.set(xlabel=plain(f"predicted {label}"), ylabel="predicted − measured")
        return None

    return paint


def _baselines(metrics: Mapping[str, Any], baselines: Mapping[str, Any], unit: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1)
        for axes, name, label in ((top, "spearman", "Spearman"), (bottom, "rmse", f"RMSE{unit}, lower is better")):
            others = [
                (key, entry["metrics"][name], PALE if entry.get("beats", True) else ORANGE)
                for key, entry in baselines.items()
            ]
            bars(axes, [("model", metrics[name], BLUE), *others], label)

    return paint


def regression_figures(
    content: Mapping[str, Any],
    true: np.ndarray,
    predicted: np.ndarray,
    lower: np.ndarray | None = None,
    upper: np.ndarray | None = None,
) -> list[Drawing]:
    """Draw scatter, intervals and their coverage where there are any, residuals, and baselines for each target.

    Parameters
    ----------
    content : the evaluation, see `stats.results`.
    true, predicted : float arrays (N, K).
    lower, upper : float arrays (N, K), optional: the ends of the intervals.
    """
    drawings = []
    for column, target in enumerate(content["targets"]):
        name, unit = target["name"], target.get("unit", "")
        suffix = f"_{slug(name)}" if len(content["targets"]) > 1 else ""
        label = f"{name} ({unit})" if unit else name
        metrics, baselines = content["metrics"][name], content["baselines"].get(name, {})
        x, y = paired(true[:, column], predicted[:, column])
        where = f"{content['split']} split"
        drawings.append(
            draw(
                f"scatter{suffix}",
                f"Predicted and measured {name}, {where}; dashed: equal.",
                _scatter(x, y, metrics, label),
                3.8,
            )
        )
        if lower is not None and upper is not None:
            rows = some_rows(true[:, column])
            known = int(np.isfinite(true[:, column]).sum())
            which = "all" if len(rows) == known else f"{len(rows)}, spread evenly over the measured values, of"
            level = content.get("coverage", {}).get(name, {}).get("level")
            made = "" if level is None else f" for {100 * level:.0f} %"
            caption = f"Predicted and measured {name} with the intervals{made}: {which} {known:,} rows, {where}."
            ends = np.stack([lower[:, column], upper[:, column]])
            paint = _intervals(true[:, column], predicted[:, column], ends, rows, label)
            drawings.append(draw(f"intervals{suffix}", caption, paint, 3.8))
        caption = f"Error of the prediction against the predicted {name}, {where}."
        drawings.append(draw(f"residuals{suffix}", caption, _residuals(x, y, label)))
        if name in content.get("coverage", {}):
            drawings.append(coverage_figure(f"coverage{suffix}", name, content["coverage"][name], where))
        if baselines:
            caption = f"The model and its baselines on {name}, {where}, with 95 % bootstrap intervals."
            if any(not entry.get("beats", True) for entry in baselines.values()):
                caption += " Orange: not beaten by the model, by the paired interval of the difference in Spearman."
            shown = f" ({unit})" if unit else ""
            height = 1.5 + 0.54 * (1 + len(baselines))  # inches; two axes of a bar for each
            drawings.append(draw(f"baselines{suffix}", caption, _baselines(metrics, baselines, shown), height))
    return drawings
