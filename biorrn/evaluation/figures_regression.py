"""Figures of a regression: predicted against measured, residuals, and the model beside its baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biorrn.evaluation.figures import BLUE, GREY, INK, ORANGE, PALE, RED, Drawing, cloud, draw, plain, say, slug
from biorrn.evaluation.figures_coverage import coverage_figure
from biorrn.evaluation.regression import paired

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


def bars(axes: Axes, rows: list[tuple[str, Mapping[str, Any], str]], label: str) -> None:
    """Draw a bar of a colour for each (name, estimate, colour)."""
    for place, (_, metric, colour) in enumerate(rows):
        value, low, high = (float(metric[key]) for key in ("value", "low", "high"))
        if not np.isfinite(value):
            axes.text(0.0, place, " undefined: ranks nothing", va="center", color=GREY, fontsize=9)
            continue
        # an end may lie a rounding error on the wrong side of the value
        bounds = [[max(value - low, 0.0)], [max(high - value, 0.0)]] if np.isfinite([low, high]).all() else None
        axes.barh(place, value, xerr=bounds, height=0.65, color=colour, ecolor=INK, capsize=3)
        edge = max(value, high) if np.isfinite(high) else value
        axes.annotate(
            f"{value:.3f}", (max(edge, 0.0), place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel(plain(label))
    axes.grid(visible=False, axis="y")


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
    content : the evaluation, see `evaluation.described`.
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
