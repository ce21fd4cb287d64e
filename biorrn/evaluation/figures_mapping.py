"""Figures of reads on a reference: identity, errors, and the depth along it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from biorrn.evaluation.depth import Depth
from biorrn.evaluation.described import bases_label
from biorrn.evaluation.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, Drawing, cloud, draw, plain, say
from biorrn.evaluation.mapping_stats import MappingStats

NOTHING = "no mapped reads"
SHOWN = 24  # sequences of a reference along the axis; of more the longest


def _identity(identity: np.ndarray, median: Mapping[str, Any]) -> Callable[[Figure], None]:
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


def _errors(metrics: Mapping[str, Any]) -> Callable[[Figure], None]:
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


def _length(identity: np.ndarray, length: np.ndarray) -> Callable[[Figure], None]:
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


def _depth(depth: Depth, names: list[str], mean: float) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        edges, values = depth.curve(names)
        both = values.sum(axis=0)
        axes.stairs(both, edges, fill=True, color=BLUE, label="both strands")
        axes.stairs(values[1], edges, fill=True, color=ORANGE, label="reverse")
        axes.axhline(mean, color=INK, linewidth=1, linestyle="--", label=f"mean {mean:.1f}")
        ends = np.cumsum([depth.lengths[name] for name in names])
        if len(names) > 1:
            for end in ends[:-1]:
                axes.axvline(end, color=GREY, linewidth=0.6)
            axes.set_xlabel(f"{len(names)} sequences in a row")
        else:
            axes.set_xlabel(plain(names[0] if len(names[0]) <= 40 else names[0][:37] + "..."))
        axes.xaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.set(ylabel="reads over a base", xlim=(0, edges[-1]))
        axes.set_ylim(0, 1.25 * max(1.0, float(both.max()), mean))  # room for the legend
        axes.legend(loc="upper right", ncols=3)

    return paint


def mapping_figures(content: Mapping[str, Any], stats: MappingStats) -> list[Drawing]:
    """Draw what `mapping_stats.describe_mapping` returned."""
    columns, spans, metrics = stats.columns(), stats.spans(), content["metrics"]
    identity = columns[:, 0] / np.maximum(1, columns.sum(axis=1))
    names = [row["name"] for row in content["depth"]["references"][:SHOWN]]
    few = "" if len(names) == len(stats.depth.lengths) else f" The {SHOWN} longest sequences are shown."
    return [
        draw("identity", "Identity of the reads, primary alignments; band: 95 % interval of the median. The first bin "
             "holds all that are worse.", _identity(identity, metrics["median_identity"])),
        draw("errors", "Errors by type, all mapped reads pooled; bars: 95 % intervals.", _errors(metrics)),
        draw("identity_length", "Length and identity of the mapped reads.", _length(identity, spans[:, 1])),
        draw("depth", f"Reads over each base of the reference, by strand.{few}",
             _depth(stats.depth, names, content["depth"]["mean"])),
    ]  # fmt: skip
