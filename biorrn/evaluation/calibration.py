"""Fitting the line that makes qualities mean what they say, on reads of a known genome that the model has not seen.

The fit is by maximum likelihood: each base is wrong or right (`evaluation.quality` says which), and the line gives it a
probability to be wrong. Bases count alike, so that the line fits best where most bases are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.errors import BiorrnError
from biorrn.evaluation.alignment import Alignment, Region
from biorrn.evaluation.basecalls import MIN_BASES, score_reads
from biorrn.evaluation.quality import calibration_error
from biorrn.evaluation.sequences import BaseCall
from biorrn.inference.quality import HIGHEST, LOWEST, Calibration
from biorrn.readers.fastq import MAX_Q

if TYPE_CHECKING:
    from biorrn.models.store import Stored
    from biorrn.readers.records import SignalRecord

FOLDS = 5  # of the reads, to see what the fit is worth on reads that it has not seen
FEWEST_READS, FEWEST_ERRORS = 5, 100  # below these, the line would be that of the reads at hand
_Q = np.clip(np.arange(MAX_Q + 1), LOWEST, HIGHEST)  # a model says no other qualities


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration and what it rests on.

    Attributes
    ----------
    calibration : Calibration, fitted on all reads.
    reads, bases, errors : int: scored reads, their scored bases, and how many of these are wrong.
    unmapped : int: reads that map nowhere, which no calibration knows of.
    before, after : float: calibration error of the model's own qualities; and of calibrated ones, each fifth of the
        reads with the line of the other four.
    """

    calibration: Calibration
    reads: int
    bases: int
    errors: int
    unmapped: int
    before: float
    after: float


def own_calls(stored: Stored, records: Iterable[SignalRecord], **options: Any) -> Iterator[BaseCall]:
    """Call reads with the model's own qualities, whatever calibration it carries; options as for `basecall`."""
    from biorrn.inference.basecall import basecall

    bare = replace(stored, facts={key: value for key, value in stored.facts.items() if key != "qscore"})
    for call in basecall(bare, records, **options):
        yield BaseCall(call.read_id, call.bases, call.quals)


def fit_line(bases: np.ndarray, errors: np.ndarray) -> Calibration:
    """Return the line of highest likelihood; its slope is 0 or more.

    Parameters
    ----------
    bases, errors : int arrays (94,): bases with each quality that the model gave, and how many of them are wrong.
    """
    from scipy.optimize import minimize

    seen = bases > 0
    q, wrong, right = _Q[seen], errors[seen], (bases - errors)[seen]

    def loss(line: np.ndarray) -> float:
        promised = 10 ** (-Calibration(abs(line[0]), line[1]).apply(q) / 10)
        return -float(wrong @ np.log(promised) + right @ np.log1p(-promised)) / float(bases.sum())

    mean = -10 * np.log10(errors.sum() / bases.sum())
    centre = float(q @ bases[seen] / bases.sum())
    # Nelder and Mead: where the line leaves 1 to 40 the loss has no slope to follow
    found = [
        minimize(loss, [slope, mean - slope * centre], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-12})
        for slope in (0.1, 0.5, 1.0)
    ]
    slope, shift = min(found, key=lambda one: float(one.fun)).x
    return Calibration(float(abs(slope)), float(shift))


def calibrated(counts: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return int64 (94,): counts of bases by the model's own quality, by the quality that a calibration gives them."""
    return np.bincount(np.rint(calibration.apply(_Q)).astype(int), weights=counts, minlength=MAX_Q + 1).astype(np.int64)


def calibrate(
    calls: Iterable[BaseCall],
    align: Callable[[BaseCall], Alignment | None],
    region: Region | None = None,
    min_bases: int = MIN_BASES,
) -> Fit:
    """Fit a calibration to calls that carry the model's own qualities.

    Parameters
    ----------
    calls, align, region, min_bases : as for `evaluation.basecalls.score_reads`. Of each call only counts are kept.

    Raises
    ------
    BiorrnError: fewer than 5 reads are scored, or fewer than 100 of their bases are wrong.
    """
    counts = np.zeros((FOLDS, 2, MAX_Q + 1), np.int64)  # (fold, all or wrong, Q)
    reads = unmapped = 0
    for call in calls:
        one = score_reads([call], align, region, min_bases)
        unmapped += one.reads[0].status == "unmapped"
        if one.scored():
            counts[reads % FOLDS] += one.bases, one.errors
            reads += 1
    bases, errors = counts.sum(axis=0)
    if reads < FEWEST_READS or errors.sum() < FEWEST_ERRORS:
        raise BiorrnError(
            f"calibration: found {reads} scored reads with {errors.sum()} wrong bases; "
            f"needed are {FEWEST_READS} reads and {FEWEST_ERRORS} wrong bases"
        )
    held_out = np.zeros_like(counts[0])
    for fold in counts:
        line = fit_line(*(np.stack([bases, errors]) - fold))
        held_out += [calibrated(part, line) for part in fold]
    return Fit(
        calibration=fit_line(bases, errors),
        reads=reads,
        bases=int(bases.sum()),
        errors=int(errors.sum()),
        unmapped=unmapped,
        before=calibration_error(bases, errors),
        after=calibration_error(*held_out),
    )


def entries(fit: Fit) -> dict[str, Any]:
    """Return what a model's facts say of its calibration: `qscore`, and in `qscore_fit` what it rests on."""
    return {
        "qscore": {"slope": round(fit.calibration.slope, 4), "shift": round(fit.calibration.shift, 4)},
        "qscore_fit": {
            "reads": fit.reads,
            "bases": fit.bases,
            "errors": fit.errors,
            "calibration_error": {"before": round(fit.before, 4), "after": round(fit.after, 4)},
        },
    }


def summary_lines(fit: Fit) -> list[str]:
    """Return what to print of a fit."""
    line = fit.calibration
    return [
        f"reads: {fit.reads:,} scored, {fit.unmapped:,} unmapped",
        f"bases: {fit.bases:,}, of which {fit.errors:,} wrong (Q {-10 * np.log10(fit.errors / fit.bases):.1f})",
        f"calibrated Q = {line.slope:.3f} x own Q {'-' if line.shift < 0 else '+'} {abs(line.shift):.3f}",
        f"calibration error: {fit.before:.4f} before, {fit.after:.4f} after (on reads left out of the fit)",
    ]
