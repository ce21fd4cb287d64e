"""Figures of an assembly: how long the contigs are, and where they lie on a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from biorrn.evaluation.described import bases_label
from biorrn.evaluation.figures import BLUE, GREY, RED, Drawing, draw, plain

SHOWN = 40  # contigs, and sequences of the reference, along an axis; of more the longest


def _lengths(contigs: list[dict[str, Any]], n50: int) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        lengths = np.array([contig["length"] for contig in contigs])
        axes.bar(np.arange(1, len(lengths) + 1), lengths, color=BLUE, width=0.8 if len(lengths) <= 100 else 1.0)
        axes.axhline(n50, color=RED, linewidth=1.2, linestyle="--", label=f"N50 {n50:,}")
        axes.legend(loc="upper right")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.set(xlabel="contig, the longest first", ylabel="length")

    return paint


def _offsets(rows: list[dict[str, Any]]) -> tuple[dict[str, int], int]:
    """Return name -> where each sequence begins when they stand in a row, and the length of the row."""
    starts = {}
    end = 0
    for row in rows:
        starts[str(row["name"])] = end
        end += int(row["length"])
    return starts, end


def _dots(content: Mapping[str, Any]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        found = content["reference"]
        sequences = sorted(found["sequences"], key=lambda row: -row["length"])[:SHOWN]
        across, width = _offsets(sequences)
        up, height = _offsets(content["contigs"][:SHOWN])
        for row in found["alignments"]:
            if row["reference"] in across and row["contig"] in up:
                x = [across[row["reference"]] + row[name] for name in ("reference_start", "reference_end")]
                y = [up[row["contig"]] + row[name] for name in ("start", "end")]
                forward = row["strand"] == "+"
                axes.plot(x, y if forward else y[::-1], color=BLUE if forward else RED, linewidth=2,
                          solid_capstyle="butt")  # fmt: skip
        for start in list(across.values())[1:]:
            axes.axvline(start, color=GREY, linewidth=0.6)
        for start in list(up.values())[1:]:
            axes.axhline(start, color=GREY, linewidth=0.6)
        one = sequences[0]["name"] if len(sequences) == 1 else f"{len(sequences)} sequences"
        few = f"{len(up)} contigs" if len(up) > 1 else "contig_1"
        axes.set(
            xlim=(0, width), ylim=(0, height), xlabel=plain(one if len(one) <= 40 else one[:37] + "..."), ylabel=few
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(bases_label))
            axis.set_major_locator(MaxNLocator(6))
        strands = {row["strand"] for row in found["alignments"]}
        looks = {"+": (BLUE, "same strand"), "-": (RED, "other strand")}
        handles = [
            Line2D([], [], color=colour, linewidth=2, label=label)
            for strand, (colour, label) in looks.items()
            if strand in strands
        ]
        if handles:
            figure.legend(handles=handles, loc="outside upper right", ncols=2)

    return paint


def assembly_figures(content: Mapping[str, Any]) -> list[Drawing]:
    """Draw what `assembly.describe_assembly` returned; none where nothing was assembled."""
    if "skipped" in content or not content["contigs"]:
        return []
    drawings = []
    if len(content["contigs"]) > 1:
        shown = _lengths(content["contigs"], content["counts"]["n50"])
        drawings.append(draw("contigs", "Lengths of the contigs.", shown))
    if content["reference"]:
        found = content["reference"]
        identity = found["identity"]
        words = f", identity {100 * identity:.2f} %" if np.isfinite(identity) else ""
        caption = (
            f"Contigs on the reference: {100 * found['reference_fraction']:.2f} % of it is covered{words}. "
            f"Each line is an alignment by minimap2's preset {found['preset']}."
        )
        drawings.append(draw("dot_plot", caption, _dots(content), 4.4))
    return drawings
