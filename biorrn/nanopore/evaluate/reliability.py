"""What the qualities of bases promise and what they hold.

A base is wrong if it is mismatched or inserted, or if the reference has bases just before it (in the direction of the
reference) that the read lacks. A gap has no base of its own to be charged to; minimap2 puts it at the leftmost of its
possible places, so that the base after it is the one that the missing bases repeat, if they do. Several bases missing
at one place make one base wrong, so that the part of right bases is somewhat above a read's identity. Where an error
could stand in more than one place a sound neighbour may be charged, which takes a little off the highest qualities.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from biorrn.nanopore.alignment import DELETION, MATCH, Alignment
from biorrn.sequences.fastq import MAX_Q
from biorrn.stats.bootstrap import wilson

Q_STEP = 3  # qualities in one row of the table
FEWEST = 500  # bases of one quality whose observed error is looked at alone
NAN = float("nan")
PROMISED = 10.0 ** (-np.arange(MAX_Q + 1) / 10)  # error probability of each quality


def wrong_columns(alignment: Alignment) -> tuple[np.ndarray, np.ndarray]:
    """Return two bool arrays (C,) over the columns of an alignment: the base is wrong; a gap before it alone says so.

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
    """Return one row a bin of `Q_STEP` qualities that holds a base: counts, promised and observed error, both as Q.

    Parameters
    ----------
    bases, errors : int64 arrays (94,): scored bases with each quality, and how many of them are wrong.
    gaps : int64 array (94,), optional: how many of the wrong ones are so only by bases missing before them.

    `observed_q_low` and `observed_q_high` are the Wilson interval of the observed error as Q. An observed Q, and the
    upper end of its interval, is NaN where no base of the bin is wrong.
    """
    gaps = np.zeros_like(errors) if gaps is None else gaps
    rows = []
    for low in range(0, MAX_Q + 1, Q_STEP):
        part = slice(low, min(low + Q_STEP, MAX_Q + 1))
        n, wrong = int(bases[part].sum()), int(errors[part].sum())
        if n:
            predicted = float(bases[part] @ PROMISED[part]) / n
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
    """Return the mean over bases of |promised - observed error|, taken at each single quality; NaN for no bases."""
    seen = bases > 0
    if not seen.any():
        return NAN
    return float(np.sum(np.abs(PROMISED[seen] * bases[seen] - errors[seen])) / bases.sum())


def q_gap(bases: np.ndarray, errors: np.ndarray, low: int = 3, high: int = 25, fewest: int = FEWEST) -> float:
    """Return the mean of |promised - observed Q| over single qualities from `low` to `high`; NaN where none counts.

    Parameters
    ----------
    bases, errors : int64 arrays (94,), as for `reliability_table`.
    fewest : int: bases that a quality needs to count.
    """
    q = np.arange(low, high + 1)
    q = q[bases[q] >= fewest]
    observed = -10 * np.log10(np.maximum(errors[q], 0.5) / bases[q])  # half an error where none was seen
    return float(np.mean(np.abs(observed - q))) if len(q) else NAN
