"""Figures of basecalls: identity, its dependence on length, error types, and what qualities hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from biorrn.evaluation.basecalls import Scores
from biorrn.evaluation.figures import BLUE, GREEN, INK, ORANGE, RED, Drawing, cloud, draw, say
from biorrn.evaluation.figures_contexts import context_figures
from biorrn.evaluation.figures_squiggle import squiggle_figure
from biorrn.evaluation.quality import Q_STEP
from biorrn.evaluation.squiggle import Squiggle

NOTHING = "no scored reads"
FEW = 100  # bases; a bin of fewer without an error says nothing


def _histogram(identity: np.ndarray, median: Mapping[str, Any]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(identity):
            return say(axes, NOTHING)
        low = max(0.0, np.floor(100 * identity.min()) - 2)
        axes.hist(100 * identity, bins=np.linspace(low, 100, 31).tolist(), color=BLUE, alpha=0.85)
        axes.axvline(100 * median["value"], color=ORANGE, linewidth=2, label=f"median {100 * median['value']:.1f} %")
        if np.isfinite([median["low"], median["high"]]).all():
            axes.axvspan(100 * median["low"], 100 * median["high"], color=ORANGE, alpha=0.25, linewidth=0)
        axes.set(xlabel="read identity (%)", ylabel="reads")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="best")
        return None

    return paint


def _length(identity: np.ndarray, length: np.ndarray) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(identity):
            return say(axes, NOTHING)
        # below a decade a logarithmic axis has no round numbers to name
        scale = "log" if len(length) and length.max() >= 10 * max(1, length.min()) else "linear"
        cloud(axes, figure, length, 100 * identity, xscale=scale)
        axes.set_xscale(scale)
        axes.set(xlabel="bases called in the read", ylabel="read identity (%)")
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
            bounds = [[value - low], [high - value]] if np.isfinite([low, high]).all() else None
            axes.bar(place, value, yerr=bounds, color=colour, width=0.6, ecolor=INK, capsize=4)
            top = high if np.isfinite(high) else value
            axes.annotate(f"{value:.2f} %", (place, top), xytext=(0, 4), textcoords="offset points", ha="center")
        axes.set_xticks(range(3), names)
        axes.margins(y=0.15)
        axes.set_ylabel("of all alignment columns (%)")
        axes.grid(visible=False, axis="x")
        return None

    return paint


def _reliability(rows: list[dict[str, Any]]) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        if not rows:
            return say(figure.add_subplot(), NOTHING)
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        x, bases = (np.array([row[name] for row in rows], dtype=float) for name in ("predicted_q", "bases"))
        # a bin without a wrong base has no observed Q; the lower end of its interval is still known
        low, high, y = (
            np.array([row[name] for row in rows], dtype=float)
            for name in ("observed_q_low", "observed_q_high", "observed_q")
        )
        seen = np.isfinite(y)
        top = 1.06 * max(float(x.max()), float(np.nanmax(np.concatenate([y, low, high, [10.0]]))))
        axes.plot([0, top], [0, top], color=INK, linewidth=1, linestyle="--", label="promise kept")
        axes.errorbar(
            x[seen],
            y[seen],
            yerr=[(y - low)[seen], (high - y)[seen]],
            color=BLUE,
            marker="o",
            markersize=4,
            linewidth=1,
            capsize=2,
            label="observed",
        )
        clean = ~seen & (bases >= FEW)
        if clean.any():
            axes.plot(x[clean], low[clean], "^", color=BLUE, markerfacecolor="none", label="no error seen: at least")
        axes.set(xlim=(0, top), ylim=(0, top), ylabel="quality observed (Q)")
        axes.legend(loc="upper left")
        counts.bar(x, 100 * bases / bases.sum(), width=0.5 * Q_STEP, color=BLUE, alpha=0.85)
        counts.set(xlabel="quality promised (Q)", ylabel="bases (%)")
        return None

    return paint


def _reads(mean_q: np.ndarray, identity: np.ndarray) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        known = np.isfinite(mean_q)
        if not known.any():
            return say(axes, NOTHING)
        x, y = mean_q[known], 100 * identity[known]
        cloud(axes, figure, x, y)
        q = np.linspace(max(0.0, float(x.min()) - 1), float(x.max()) + 1, 100)
        axes.plot(q, 100 * (1 - 10 ** (-q / 10)), color=INK, linewidth=1, linestyle="--", label="promised")
        low = float(y.min()) - 3
        axes.set(ylim=(max(0.0, low), 101), xlabel="mean quality of the read (Q)", ylabel="read identity (%)")
        axes.legend(loc="lower right")
        return None

    return paint


def basecall_figures(content: Mapping[str, Any], scores: Scores, drawn: Sequence[Squiggle] = ()) -> list[Drawing]:
    """Draw the identities, error types, contexts and qualities of an evaluation of basecalls.

    Parameters
    ----------
    content : the evaluation, see `evaluation.results`.
    scores : its reads.
    drawn : stretches of signal; without any there is no such figure.
    """
    reads = scores.scored()
    identity = np.array([read.identity for read in reads])
    length = np.array([read.length for read in reads], dtype=float)
    mean_q = np.array([read.mean_q for read in reads])
    metrics, quality = content["metrics"], content["quality"]
    where = "all mapped reads" if content["region"] is None else f"inside {content['region']}"
    return [
        draw(
            "identity",
            f"Identity of the reads, {where}; band: 95 % interval.",
            _histogram(identity, metrics["median_identity"]),
        ),
        draw("identity_length", f"Identity and length of the reads, {where}.", _length(identity, length)),
        draw("errors", f"Errors by type, all reads pooled, {where}; bars: 95 % intervals.", _errors(metrics)),
        *context_figures(content, where),
        draw(
            "reliability",
            "Quality promised and observed, by base; bars: 95 % intervals. Below, the part of the bases.",
            _reliability(quality["bases"]),
            4.6,
        ),
        draw("read_quality", "Mean quality of a read and its identity.", _reads(mean_q, identity)),
        *([squiggle_figure(drawn)] if drawn else []),
    ]
