"""Figures of reads on a reference: identity, errors, and the depth along it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from biorrn.evaluation.described import bases_label
from biorrn.evaluation.figures import BLUE, GREY, INK, ORANGE, Drawing, draw, plain
from biorrn.evaluation.figures_identity import error_bars, identity_by_length, identity_histogram
from biorrn.evaluation.mapping_stats import Depth, MappingStats

SHOWN = 24  # sequences of a reference along the axis; of more the longest


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
             "holds all that are worse.", identity_histogram(identity, metrics["median_identity"])),
        draw("errors", "Errors by type, all mapped reads pooled; bars: 95 % intervals.", error_bars(metrics)),
        draw("identity_length", "Length and identity of the mapped reads.", identity_by_length(identity, spans[:, 1])),
        draw("depth", f"Reads over each base of the reference, by strand.{few}",
             _depth(stats.depth, names, content["depth"]["mean"])),
    ]  # fmt: skip
