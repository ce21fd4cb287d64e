"""Figures of reads by themselves: lengths, qualities, speed, the yield over time and over the flow cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from biorrn.evaluation.counts import Counts
from biorrn.evaluation.described import bases_label
from biorrn.evaluation.figures import BLUE, GREEN, INK, ORANGE, Drawing, draw, say
from biorrn.evaluation.read_qc import LENGTH_EDGES, MANY, Q_STEP, Q_UNIT, ReadQc, plan_of

NOTHING = "no called reads"
BINS = 50
Q_BINS = (0.1, 0.25, 0.5, 1.0, 2.0)  # widths to choose from


def _edges(counts: Counts, logarithmic: bool) -> np.ndarray:
    low, high = counts.ends()
    bins = min(BINS, max(8, int(2 * counts.total**0.5)))
    if logarithmic:
        low = max(1, low)
        return np.logspace(np.log10(low), np.log10(max(high, 1.1 * low)), bins + 1)
    return np.linspace(low, max(high, low + 1), min(bins, max(1, high - low)) + 1)


def _lengths(lengths: Counts, n50: int) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        if not lengths.total:
            return say(figure.add_subplot(), NOTHING)
        reads, bases = figure.subplots(2, 1, sharex=True)
        low, high = lengths.ends()
        wide = high >= 10 * max(1, low)
        edges = _edges(lengths, wide)
        reads.stairs(lengths.binned(edges), edges, fill=True, color=BLUE, alpha=0.85)
        bases.stairs(lengths.binned(edges, weighted=True), edges, fill=True, color=GREEN, alpha=0.85)
        for axes, value, label in ((reads, lengths.quantile(0.5), "median"), (bases, n50, "N50")):
            axes.axvline(value, color=ORANGE, linewidth=2, label=f"{label} {value:,.0f}")
            axes.legend(loc="best")
        if wide:
            bases.set_xscale("log")
        bases.xaxis.set_major_formatter(FuncFormatter(bases_label))
        bases.yaxis.set_major_formatter(FuncFormatter(bases_label))
        reads.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        bases.yaxis.set_major_locator(MaxNLocator(4))
        reads.set_ylabel("reads")
        bases.set(xlabel="length of the read", ylabel="bases")
        return None

    return paint


def _qualities(qualities: Counts) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not qualities.total:
            return say(axes, NOTHING)
        low, high = qualities.ends()
        step = next((step for step in Q_BINS if (high - low) / Q_UNIT <= 30 * step), Q_BINS[-1]) * Q_UNIT
        edges = step * np.arange(np.floor(low / step), np.floor(high / step) + 2)
        axes.stairs(qualities.binned(edges), edges / Q_UNIT, fill=True, color=BLUE, alpha=0.85)
        middle = qualities.quantile(0.5) / Q_UNIT
        axes.axvline(middle, color=ORANGE, linewidth=2, label=f"median Q{middle:.1f}")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="mean quality of the read (Q)", ylabel="reads")
        axes.legend(loc="best")
        return None

    return paint


def _joint(counted: ReadQc) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        joint = counted.joint
        if not counted.called:
            return say(axes, NOTHING)
        if counted.called <= MANY:
            length, quality = np.concatenate(counted.points).T
            axes.scatter(length, quality, s=14, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
        else:
            rows, columns = (np.flatnonzero(joint.any(axis=axis)) for axis in (1, 0))
            first, last, low, high = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
            shown = joint[first:last, low:high].T
            drawn = axes.pcolormesh(LENGTH_EDGES[first : last + 1], Q_STEP * np.arange(low, high + 1),
                                    np.where(shown > 0, shown, np.nan), norm=LogNorm(1, max(10.0, shown.max())),
                                    cmap="viridis", rasterized=True)  # fmt: skip
            figure.colorbar(drawn, ax=axes, label="reads", pad=0.02, shrink=0.85)
        low, high = counted.lengths.ends()
        if high >= 10 * max(1, low):
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.xaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.set(xlabel="length of the read", ylabel="mean quality (Q)")
        return None

    return paint


def _yield(curve: list[dict[str, float]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not curve:
            return say(axes, "no times in the summary")
        hours = np.array([0.0, *(point["hours"] for point in curve)])
        bases = np.array([0.0, *(point["bases"] for point in curve)])
        scale, unit = (1, "hours") if hours[-1] >= 2 else (60, "minutes")
        axes.plot(scale * hours, bases, color=BLUE, linewidth=1.8)
        axes.fill_between(scale * hours, bases, color=BLUE, alpha=0.15, linewidth=0)
        axes.yaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.set(xlabel=f"{unit} since the run began", ylabel="bases so far", ylim=(0, None), xlim=(0, None))
        return None

    return paint


def _speed(speeds: Counts) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not speeds.total:
            return say(axes, "no durations in the summary")
        edges = _edges(speeds, logarithmic=False)
        axes.stairs(speeds.binned(edges), edges, fill=True, color=BLUE, alpha=0.85)
        middle = speeds.quantile(0.5)
        axes.axvline(middle, color=ORANGE, linewidth=2, label=f"median {middle:.0f} bases/s")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="bases called a second of signal", ylabel="reads")
        axes.legend(loc="best")
        return None

    return paint


def _channels(content: Mapping[str, Any], flow_cell: str) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        table = content["table"]
        if not table:
            return say(axes, "no channels in the summary")
        _, plan = plan_of(table[-1]["channel"], flow_cell)
        share = np.zeros(int(plan.max()) + 1)
        share[[row["channel"] for row in table]] = [100 * (row["occupancy"] or 0.0) for row in table]
        shown = np.where(plan > 0, share[plan], np.nan)
        drawn = axes.imshow(shown, cmap="viridis", vmin=0, aspect="auto", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_title(f"channels with a read: {len(table):,}", fontsize=10, color=INK)
        figure.colorbar(drawn, ax=axes, label="time with a read (%)", pad=0.02, shrink=0.9)
        return None

    return paint


def qc_figures(content: Mapping[str, Any], counted: ReadQc) -> list[Drawing]:
    """Draw what `read_qc.read_qc` returned."""
    name = content["channels"]["flow_cell"]
    where = "in the order of their numbers" if name in ("Flongle", "unknown") else "in their places"
    if counted.flow_cell == "auto":
        where += f"; taken for {'a' if name != 'unknown' else 'an'} {name} flow cell, as there is no higher channel"
    return [
        draw("lengths", "Lengths of the reads: above reads, below the bases in them, bin by bin.",
             _lengths(counted.lengths, content["length"]["n50"]), 4.2),
        draw("qualities", "Mean quality of the reads, as the basecaller states it.", _qualities(counted.qualities)),
        draw("length_quality", "Length and mean quality of the reads.", _joint(counted)),
        draw("yield", "Bases in reads that began up to a time.", _yield(content["time"]["curve"])),
        draw("speed", "Bases called in a read over the seconds of its signal.", _speed(counted.speeds)),
        draw("channels", f"Part of the run's time in which a channel had a read, left-out ones included; channels "
             f"{where}.", _channels(content["channels"], counted.flow_cell)),
    ]  # fmt: skip
