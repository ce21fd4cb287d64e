"""The evaluation of called reads against a reference: what `stats.results` says of basecalls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biorrn.base.errors import ConfigError
from biorrn.base.terminal import progress
from biorrn.nanopore.alignment import AlignmentMapper, parse_region
from biorrn.nanopore.evaluate.basecalls import MIN_BASES, Scores, score_reads, summarise
from biorrn.nanopore.evaluate.error_profile import context_figures
from biorrn.nanopore.evaluate.figures import error_bars, identity_by_length, identity_histogram
from biorrn.nanopore.evaluate.reliability import Q_STEP
from biorrn.nanopore.evaluate.squiggle import Squiggle, draw_from, facts, squiggle_figure
from biorrn.nanopore.readers.calls import read_calls
from biorrn.nanopore.readers.files import find_signal_files
from biorrn.nn.store import find_model
from biorrn.stats.figures import BLUE, INK, Drawing, cloud, draw, say
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
    mapper = AlignmentMapper(reference)
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
    content : the evaluation, see `stats.results`.
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
