"""Reliability of base qualities: predicted and observed error of bases and reads.

A base is wrong if it is mismatched or inserted, or if reference bases are deleted just before it (in the direction of
the reference). A gap has no base of its own; minimap2 places it leftmost, so the base after it is the one that the
missing bases repeat, if they do. Several bases missing in one place make one base wrong, so the share of right bases is
slightly above the read's identity. Where an error could stand in several places, a correct neighbour may be counted as
wrong, which lowers the highest observed qualities slightly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biorrn.nanopore.alignment import DELETION, MATCH, Alignment
from biorrn.sequences.fastq import MAX_Q
from biorrn.stats.bootstrap import wilson
from biorrn.stats.figures import BLUE, INK, cloud, say

Q_STEP = 3  # qualities in one row of the table
FEWEST = 500  # bases of one quality, or it is left out of `q_gap`
NAN = float("nan")
PREDICTED = 10.0 ** (-np.arange(MAX_Q + 1) / 10)  # error probability of each quality


def wrong_columns(alignment: Alignment) -> tuple[np.ndarray, np.ndarray]:
    """Return two bool arrays (C,) over alignment columns: the base is wrong; it is wrong only by a gap before it.

    Columns without a base of the read are False in both.
    """
    kind = alignment.kind
    after_gap = np.zeros(len(kind), dtype=bool)
    after_gap[1:] = (kind[:-1] == DELETION) & (kind[1:] != DELETION)
    false = (kind != MATCH) & (kind != DELETION)
    return false | after_gap, after_gap & ~false


def phred_of(error: float) -> float:
    """Return the Q of an error probability; NaN for 0 and for NaN."""
    return float(-10 * np.log10(error)) if error > 0 else NAN


def reliability_table(bases: np.ndarray, errors: np.ndarray, gaps: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Return a row for each non-empty bin of `Q_STEP` qualities: counts, predicted and observed error and Q.

    Parameters
    ----------
    bases, errors : int64 arrays (94,): scored bases with each quality, and the wrong ones among them.
    gaps : int64 array (94,), optional: bases that are wrong only by bases missing before them.

    `observed_q_low` and `observed_q_high` are the Wilson interval of the observed error, as Q. The observed Q and its
    upper bound are NaN where no base of the bin is wrong.
    """
    gaps = np.zeros_like(errors) if gaps is None else gaps
    rows = []
    for low in range(0, MAX_Q + 1, Q_STEP):
        part = slice(low, min(low + Q_STEP, MAX_Q + 1))
        n, wrong = int(bases[part].sum()), int(errors[part].sum())
        if n:
            predicted = float(bases[part] @ PREDICTED[part]) / n
            least, most = wilson(wrong, n)
            rows.append(
                {
                    "from": low,
                    "to": part.stop - 1,
                    "bases": n,
                    "errors": wrong,
                    "of_gaps": int(gaps[part].sum()),
                    "predicted_error": predicted,
                    "observed_error": wrong / n,
                    "predicted_q": phred_of(predicted),
                    "observed_q": phred_of(wrong / n),
                    "observed_q_low": phred_of(most),
                    "observed_q_high": phred_of(least),
                }
            )
    return rows


def calibration_error(bases: np.ndarray, errors: np.ndarray) -> float:
    """Return the mean over bases of |predicted - observed error|, by single quality; NaN for no bases."""
    seen = bases > 0
    if not seen.any():
        return NAN
    return float(np.sum(np.abs(PREDICTED[seen] * bases[seen] - errors[seen])) / bases.sum())


def q_gap(bases: np.ndarray, errors: np.ndarray, low: int = 3, high: int = 25, fewest: int = FEWEST) -> float:
    """Return the mean of |predicted - observed Q| over the qualities from `low` to `high`; NaN where none counts.

    Parameters
    ----------
    bases, errors : int64 arrays (94,), as for `reliability_table`.
    fewest : int: bases that a quality needs to count.
    """
    q = np.arange(low, high + 1)
    q = q[bases[q] >= fewest]
    observed = -10 * np.log10(np.maximum(errors[q], 0.5) / bases[q])  # half an error where none was seen
    return float(np.mean(np.abs(observed - q))) if len(q) else NAN


NOTHING = "no scored reads"
FEW = 100  # bases of a bin without an error, or it is not drawn


def base_quality_painter(rows: list[dict[str, Any]]) -> Callable[[Figure], None]:
    """Paint observed against predicted base quality, from the rows of `reliability_table`."""

    def paint(figure: Figure) -> None:
        if not rows:
            return say(figure.add_subplot(), NOTHING)
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        x, bases = (np.array([row[name] for row in rows], dtype=float) for name in ("predicted_q", "bases"))
        # a bin without a wrong base has no observed Q, only a lower bound
        low, high, y = (
            np.array([row[name] for row in rows], dtype=float)
            for name in ("observed_q_low", "observed_q_high", "observed_q")
        )
        seen = np.isfinite(y)
        top = 1.06 * max(float(x.max()), float(np.nanmax(np.concatenate([y, low, high, [10.0]]))))
        axes.plot([0, top], [0, top], color=INK, linewidth=1, linestyle="--", label="predicted = observed")
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
        axes.set(xlim=(0, top), ylim=(0, top), ylabel="observed quality (Q)")
        axes.legend(loc="upper left")
        counts.bar(x, 100 * bases / bases.sum(), width=0.5 * Q_STEP, color=BLUE, alpha=0.85)
        counts.set(xlabel="predicted quality (Q)", ylabel="bases (%)")
        return None

    return paint


def read_quality_painter(mean_q: np.ndarray, identity: np.ndarray) -> Callable[[Figure], None]:
    """Paint identity (N,) against mean quality (N,) of reads."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        known = np.isfinite(mean_q)
        if not known.any():
            return say(axes, NOTHING)
        x, y = mean_q[known], 100 * identity[known]
        cloud(axes, figure, x, y)
        q = np.linspace(max(0.0, float(x.min()) - 1), float(x.max()) + 1, 100)
        axes.plot(q, 100 * (1 - 10 ** (-q / 10)), color=INK, linewidth=1, linestyle="--", label="predicted")
        low = float(y.min()) - 3
        axes.set(ylim=(max(0.0, low), 101), xlabel="mean quality of the read (Q)", ylabel="read identity (%)")
        axes.legend(loc="lower right")
        return None

    return paint
