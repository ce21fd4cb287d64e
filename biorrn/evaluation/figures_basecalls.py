"""Figures of basecalls: identity, its dependence on length, error types, and what qualities hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biorrn.evaluation.basecalls import Scores
from biorrn.evaluation.figures import BLUE, INK, Drawing, cloud, draw, say
from biorrn.evaluation.figures_contexts import context_figures
from biorrn.evaluation.figures_identity import error_bars, identity_by_length, identity_histogram
from biorrn.evaluation.figures_squiggle import squiggle_figure
from biorrn.evaluation.quality import Q_STEP
from biorrn.evaluation.squiggle import Squiggle

NOTHING = "no scored reads"
FEW = 100  # bases; a bin of fewer without an error says nothing


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
    content : the evaluation, see `evaluation.described`.
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
            identity_histogram(identity, metrics["median_identity"]),
        ),
        draw(
            "identity_length",
            f"Identity and length of the reads, {where}.",
            identity_by_length(identity, length),
        ),
        draw("errors", f"Errors by type, all reads pooled, {where}; bars: 95 % intervals.", error_bars(metrics)),
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
