"""Painters of what reads are like against a reference: identity, errors by type, identity by length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from biorrn.stats.figures import BLUE, GREEN, INK, ORANGE, RED, cloud, say
from biorrn.stats.results import bases_label

NOTHING = "no aligned reads"


def identity_histogram(
    identity: np.ndarray, median: Mapping[str, Any], nothing: str = NOTHING
) -> Callable[[Figure], None]:
    """Paint how many reads have which identity (N,), with the median and its interval."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(identity):
            return say(axes, NOTHING)
        low = np.floor(100 * np.quantile(identity, 0.005)) - 1  # a few poor reads would squeeze all others
        axes.hist(np.maximum(100 * identity, low), bins=np.linspace(low, 100, 41).tolist(), color=BLUE, alpha=0.85)
        axes.axvline(100 * median["value"], color=ORANGE, linewidth=2, label=f"median {100 * median['value']:.2f} %")
        if np.isfinite([median["low"], median["high"]]).all():
            axes.axvspan(100 * median["low"], 100 * median["high"], color=ORANGE, alpha=0.25, linewidth=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="identity of the read (%)", ylabel="reads")
        axes.legend(loc="best")
        return None

    return paint


def error_bars(metrics: Mapping[str, Any]) -> Callable[[Figure], None]:
    """Paint mismatches, insertions and deletions with their intervals, in per cent of alignment columns."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        names = ("mismatch", "insertion", "deletion")
        if not np.isfinite(metrics["identity"]["value"]):
            return say(axes, NOTHING)
        for place, (name, colour) in enumerate(zip(names, (RED, ORANGE, GREEN), strict=True)):
            value, low, high = (100 * metrics[name][key] for key in ("value", "low", "high"))
            known = bool(np.isfinite([low, high]).all())
            bounds = [[max(0.0, value - low)], [max(0.0, high - value)]] if known else None
            axes.bar(place, value, yerr=bounds, color=colour, width=0.6, ecolor=INK, capsize=4)
            axes.annotate(f"{value:.2f} %", (place, high if known else value), xytext=(0, 4),
                          textcoords="offset points", ha="center")  # fmt: skip
        axes.set_xticks(range(3), names)
        axes.margins(y=0.15)
        axes.set_ylabel("of all alignment columns (%)")
        axes.grid(visible=False, axis="x")
        return None

    return paint


def identity_by_length(identity: np.ndarray, length: np.ndarray) -> Callable[[Figure], None]:
    """Paint identity (N,) against length (N,) in bases."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(identity):
            return say(axes, NOTHING)
        scale = "log" if length.max() >= 10 * max(1, length.min()) else "linear"
        cloud(axes, figure, length, 100 * identity, xscale=scale)
        axes.set_xscale(scale)
        axes.xaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.minorticks_off()
        axes.set(xlabel="length of the read", ylabel="identity (%)")
        return None

    return paint
