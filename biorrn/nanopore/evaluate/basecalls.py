"""Evaluation of called reads against a reference: `biorrn evaluate basecalls`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError, InputError, OnProblem, stop
from biorrn.base.terminal import plural, progress
from biorrn.nanopore.alignment import AlignmentMapper, parse_region
from biorrn.nanopore.evaluate.error_profile import context_figures
from biorrn.nanopore.evaluate.identity import (
    MIN_BASES,
    Scores,
    error_bars,
    identity_by_length,
    identity_histogram,
    score_reads,
    summarise,
)
from biorrn.nanopore.evaluate.reliability import base_quality_painter, read_quality_painter
from biorrn.nanopore.evaluate.squiggle import Squiggle, draw_from, facts, squiggle_figure
from biorrn.nanopore.readers.calls import noted, read_calls
from biorrn.nanopore.readers.files import find_signal_files
from biorrn.nn.store import find_model
from biorrn.stats.figures import Drawing, draw
from biorrn.stats.results import common


def evaluate_basecalls(
    reads: Path,
    reference: Path,
    *,
    name: str,
    region: str | None = None,
    min_bases: int = MIN_BASES,
    note: str = "",
    seed: int = 0,
    signal: Sequence[Path] = (),
    model: str | None = None,
    on_problem: OnProblem = stop,
) -> tuple[dict[str, Any], Scores, list[Squiggle]]:
    """Return the evaluation of called reads, the scores of the reads, and stretches of signal to draw.

    Parameters
    ----------
    reads : FASTQ, SAM, BAM or CRAM.
    region : str, optional: NAME or NAME:START-END of the reference; only columns inside it count.
    min_bases : int: aligned reference bases that a read needs inside the region to be scored.
    signal : files and folders with the signal of the reads, for the squiggle figure.
    model : str, optional: places the bases in the signal where the reads have no move table.
    on_problem : called with what is wrong with a read that cannot be used, which is left out.

    Raises
    ------
    InputError: a file is not FASTQ or FASTA, is empty or truncated, holds no read that can be used, or a signal file is
        missing.
    ConfigError: the region is not in the reference or too short; the model is unknown.
    """
    if signal:
        if str(reads) == "-":
            raise ConfigError("--signal: READS is read twice, so it must be a file; found standard input")
        find_signal_files(signal)  # a missing file fails before the alignment
        if model is not None:
            find_model(model)
    mapper = AlignmentMapper(reference)
    span = None if region is None else parse_region(region, mapper.lengths)
    if min_bases < 1 or (span is not None and span.end - span.start < min_bases):
        allowed = "1 or more" if span is None else f"1 to {span.end - span.start}, the length of the region"
        raise ConfigError(f"--min-bases: found {min_bases}; allowed is {allowed}")
    left_out: list[InputError] = []
    calls = read_calls(reads, reference, noted(on_problem, left_out))
    with progress("aligning", "reads") as advance:
        scores = score_reads(calls, mapper.align, span, min_bases, advance)
    scores.left_out = left_out
    drawn, cautions = draw_from(reads, reference, mapper, scores.scored(), signal, model, span) if signal else ([], [])
    shown = None if span is None else f"{span.name}:{span.start}-{span.end}"
    content = common("basecalls", name, shown or "all reads", note, seed, {"reads": reads, "reference": reference})
    content |= {"region": shown, "min_bases": min_bases} | summarise(scores, seed=seed) | {"squiggle": facts(drawn)}
    counts = content["counts"]
    if counts["unmapped"]:
        content["cautions"].append(
            f"{counts['unmapped']:,} of {counts['reads']:,} reads are unmapped and have no identity."
        )
    if left_out:
        content["cautions"].append(f"{plural(len(left_out), 'read')} cannot be used; no figure counts them.")
    content["cautions"] += cautions
    return content, scores, drawn


def basecall_figures(content: Mapping[str, Any], scores: Scores, drawn: Sequence[Squiggle] = ()) -> list[Drawing]:
    """Return the figures of an evaluation; the arguments are what `evaluate_basecalls` returns."""
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
            "Predicted and observed quality of bases; bars: 95 % intervals. Below, the share of the bases.",
            base_quality_painter(quality["bases"]),
            4.6,
        ),
        draw("read_quality", "Mean quality of a read and its identity.", read_quality_painter(mean_q, identity)),
        *([squiggle_figure(drawn)] if drawn else []),
    ]
