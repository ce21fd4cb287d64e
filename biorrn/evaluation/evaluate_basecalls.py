"""The evaluation of called reads against a reference: what `evaluation.described` says of basecalls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biorrn.errors import ConfigError
from biorrn.evaluation.alignment import Mapper, parse_region
from biorrn.evaluation.basecalls import MIN_BASES, Scores, score_reads, summarise
from biorrn.evaluation.described import common
from biorrn.evaluation.sequences import read_calls
from biorrn.evaluation.squiggle import Squiggle, draw_from, facts
from biorrn.models.store import find_model
from biorrn.progress import progress
from biorrn.readers.signal import find_signal_files


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
) -> tuple[dict[str, Any], Scores, list[Squiggle]]:
    """Return the evaluation of called reads against a reference, the reads' scores and the signal behind it.

    Parameters
    ----------
    reads : FASTQ, SAM, BAM or CRAM.
    signal : files and folders, from which stretches of a few reads are taken to be drawn.
    model : str, optional: places the bases in the signal where the reads have no move table.

    Raises
    ------
    InputError: a file is not FASTQ or FASTA, is empty or cut off, or signal is given and is not there.
    ConfigError: the region is not in the reference, or is too short for any read to count; the model is unknown.
    """
    if signal:
        if str(reads) == "-":
            raise ConfigError("--signal: READS is read twice, so it must be a file; found standard input")
        find_signal_files(signal)  # what is not there is said before an hour of aligning
        if model is not None:
            find_model(model)
    mapper = Mapper(reference)
    span = None if region is None else parse_region(region, mapper.lengths)
    if min_bases < 1 or (span is not None and span.end - span.start < min_bases):
        allowed = "1 or more" if span is None else f"1 to {span.end - span.start}, the length of the region"
        raise ConfigError(f"--min-bases: found {min_bases}; allowed is {allowed}")
    with progress("aligning", "reads") as advance:
        scores = score_reads(read_calls(reads, reference), mapper.align, span, min_bases, advance)
    drawn, cautions = draw_from(reads, reference, mapper, scores.scored(), signal, model, span) if signal else ([], [])
    shown = None if span is None else f"{span.name}:{span.start}-{span.end}"
    content = common("basecalls", name, shown or "all reads", note, seed, {"reads": reads, "reference": reference})
    content |= {"region": shown, "min_bases": min_bases} | summarise(scores, seed=seed) | {"squiggle": facts(drawn)}
    counts = content["counts"]
    if counts["unmapped"]:
        content["cautions"].append(
            f"{counts['unmapped']:,} of {counts['reads']:,} reads map nowhere and are in no identity."
        )
    content["cautions"] += cautions
    return content, scores, drawn
