"""Tables on called reads: identity by read length, and what qualities promise against what they hold."""

from typing import Any

import numpy as np

from biorrn.evaluation.alignment import Score
from biorrn.evaluation.basecalls import Scores, counts_of, evaluate, median_of
from biorrn.evaluation.bootstrap import RESAMPLES, estimate
from biorrn.evaluation.quality import calibration_error, q_gap, reliability_table
from biorrn.evaluation.regression import METRICS as CORRELATIONS

LENGTHS = (0, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)  # bases; edges of the read-length table
NAN = float("nan")


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else NAN


def length_table(reads: list[Score]) -> list[dict[str, Any]]:
    """Return one row a bin of read length that holds a read: reads, unmapped, scored, bases, median identity."""
    rows = []
    for low, high in zip(LENGTHS, [*LENGTHS[1:], None], strict=True):
        inside = [read for read in reads if read.length >= low and (high is None or read.length < high)]
        if inside:
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "reads": len(inside),
                    "unmapped": sum(read.status == "unmapped" for read in inside),
                    "scored": sum(read.status == "scored" for read in inside),
                    "bases": sum(read.length for read in inside),
                    "median_identity": _median([read.identity for read in inside if read.status == "scored"]),
                }
            )
    return rows


def read_quality_table(reads: list[Score]) -> list[dict[str, Any]]:
    """Return one row a whole number of mean read Q: scored reads, promised error, median identity."""
    rows = []
    usable = [read for read in reads if np.isfinite(read.mean_q)]
    for q in sorted({int(read.mean_q) for read in usable}):
        inside = [read for read in usable if int(read.mean_q) == q]
        rows.append(
            {
                "from": q,
                "to": q + 1,
                "reads": len(inside),
                "predicted_identity": float(np.mean([1 - 10 ** (-read.mean_q / 10) for read in inside])),
                "median_identity": _median([read.identity for read in inside]),
            }
        )
    return rows


def read_calibration_error(reads: list[Score]) -> float:
    """Return the mean over reads of |identity promised by the mean Q - identity observed|; NaN for no reads."""
    gaps = [abs(1 - 10 ** (-read.mean_q / 10) - read.identity) for read in reads if np.isfinite(read.mean_q)]
    return float(np.mean(gaps)) if gaps else NAN


def summarise(scores: Scores, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Return what an evaluation of basecalls says: metrics with intervals, counts and tables.

    "metrics" are of the scored reads; "within" has the median identity of those whose alignment lies inside the region
    as a whole; "unmapped" reads are in no identity, so their number belongs beside it.
    """
    reads, scored = scores.reads, scores.scored()
    within = [read for read in scored if read.within]
    status = {name: sum(read.status == name for read in reads) for name in ("scored", "short", "outside", "unmapped")}
    fractions = np.array([read.aligned_fraction for read in scored])
    identity, mean_q = (np.array([getattr(read, name) for read in scored]) for name in ("identity", "mean_q"))
    return {
        "metrics": evaluate(counts_of(scored), resamples, seed)
        | {"aligned_fraction": estimate(median_of, fractions, resamples=resamples, seed=seed)},
        "counts": {
            "reads": len(reads),
            "bases": sum(read.length for read in reads),
            "mapped": len(reads) - status["unmapped"],
            **status,
            "mapped_with_short_seeds": sum(read.sensitive for read in reads),
            "scored_columns": int(counts_of(scored).sum()),
            "within_region": len(within),
            "reverse_strand": sum(read.strand == "-" for read in scored),
        },
        "within": evaluate(counts_of(within), resamples, seed)["median_identity"],
        "lengths": length_table(reads),
        "quality": {
            "calibration_error": calibration_error(scores.bases, scores.errors),
            "bases": reliability_table(scores.bases, scores.errors, scores.gaps),
            "read_calibration_error": read_calibration_error(scored),
            "reads": read_quality_table(scored),
            "q_gap": q_gap(scores.bases, scores.errors),
            **{name: CORRELATIONS[name](identity, mean_q) for name in ("spearman", "pearson")},
        },
        "homopolymers": scores.homopolymers.table(),
        "contexts": scores.contexts.table(),
    }
