"""Identity and error rates of called reads against a reference: by read, by length and by quality.

Identity is matches / (matches + mismatches + insertions + deletions) over the columns of the primary alignment, where
each base of a gap counts as one column (the read accuracy of Wick, Judd and Holt 2019, Genome Biology 20:129). A Phred
quality Q predicts an error probability of 10 ** (-Q / 10). `nanopore.evaluate.reliability` defines wrong bases.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from biorrn.base.errors import InputError
from biorrn.base.files import tsv_line, write_text
from biorrn.nanopore.alignment import DELETION, MATCH, Alignment, Region, Score
from biorrn.nanopore.evaluate.error_profile import Contexts, Homopolymers, read_columns
from biorrn.nanopore.evaluate.reliability import calibration_error, q_gap, reliability_table, wrong_columns
from biorrn.nanopore.readers.calls import BaseCall, mean_phred
from biorrn.sequences.fastq import MAX_Q
from biorrn.stats.bootstrap import RESAMPLES, Statistic, estimate
from biorrn.stats.figures import BLUE, GREEN, INK, ORANGE, RED, cloud, say
from biorrn.stats.metrics import METRICS as CORRELATIONS
from biorrn.stats.results import bases_label

MIN_BASES = 100  # aligned reference bases inside the region that a read needs to be scored


@dataclass
class Scores:
    """Scores of all reads, and counts over the scored columns.

    Attributes
    ----------
    bases, errors, gaps : int64 arrays (94,): bases with each quality; wrong ones; wrong only by a gap before them.
    contexts, homopolymers : errors by sequence context of the reference.
    left_out : what is wrong with each read that cannot be used; `reads` has the others.
    """

    reads: list[Score] = field(default_factory=list)
    left_out: list[InputError] = field(default_factory=list)
    bases: np.ndarray = field(default_factory=lambda: np.zeros(MAX_Q + 1, np.int64))
    errors: np.ndarray = field(default_factory=lambda: np.zeros(MAX_Q + 1, np.int64))
    gaps: np.ndarray = field(default_factory=lambda: np.zeros(MAX_Q + 1, np.int64))
    contexts: Contexts = field(default_factory=Contexts)
    homopolymers: Homopolymers = field(default_factory=Homopolymers)

    def scored(self) -> list[Score]:
        return [read for read in self.reads if read.status == "scored"]


def score_reads(
    calls: Iterable[BaseCall],
    align: Callable[[BaseCall], Alignment | None],
    region: Region | None = None,
    min_bases: int = MIN_BASES,
    advance: Callable[[int], None] = lambda reads: None,
) -> Scores:
    """Align and score reads one by one; only counts are kept.

    Parameters
    ----------
    calls : reads, from `nanopore.readers.calls.read_calls`.
    align : `nanopore.alignment.AlignmentMapper.align`; None for an unmapped read.
    region : Region, optional: only columns inside it count.
    min_bases : int: aligned reference bases that a read needs inside the region to be scored.
    """
    scores = Scores()
    for call in calls:
        alignment = align(call)
        if alignment is None:
            scores.reads.append(Score(call.id, len(call.bases), "unmapped", mean_phred(call.quals)))
        else:
            scores.reads.append(_score(scores, call, alignment, region, min_bases))
        advance(1)
    return scores


def _score(scores: Scores, call: BaseCall, alignment: Alignment, region: Region | None, min_bases: int) -> Score:
    inside = alignment.inside(region)
    kind = alignment.kind[inside]
    counts = np.bincount(kind, minlength=4)
    on_reference = int(counts[MATCH] + counts[1] + counts[DELETION])
    status = "scored"
    if region is not None and on_reference < min_bases:
        status = "short" if on_reference else "outside"
    common: dict[str, Any] = {
        "read_id": call.id,
        "length": len(call.bases),
        "status": status,
        "mean_q": mean_phred(call.quals),
        "reference": alignment.reference,
        "ref_start": alignment.ref_start,
        "ref_end": alignment.ref_end,
        "strand": alignment.strand,
        "mapq": alignment.mapq,
        "aligned_fraction": alignment.aligned / len(call.bases),
        "sensitive": alignment.sensitive,
    }
    if status != "scored":
        return Score(**common)
    called = kind != DELETION
    quals = call.quals[alignment.read_position[inside][called]]
    wrong, by_gap = (columns[inside][called] for columns in wrong_columns(alignment))
    for counted, which in ((scores.bases, slice(None)), (scores.errors, wrong), (scores.gaps, by_gap)):
        counted += np.bincount(quals[which], minlength=MAX_Q + 1)
    if alignment.span:
        letters = read_columns(call, alignment, region)
        scores.contexts.add(letters)
        scores.homopolymers.add(letters)
    return Score(
        **common,
        matches=int(counts[0]),
        mismatches=int(counts[1]),
        insertions=int(counts[2]),
        deletions=int(counts[3]),
        identity=float(counts[0] / counts.sum()),
        within=bool(inside.all()),
    )


def median_of(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the weighted median (R,) of values (N,), with weights counts (R, N)."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[:, order], axis=1)
    n = reached[:, -1:]
    lower, upper = (reached > (n - 1) // 2).argmax(axis=1), (reached > n // 2).argmax(axis=1)
    return (values[order][lower] + values[order][upper]) / 2


def _median_identity(columns: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return median_of(columns[:, 0] / columns.sum(axis=1), counts)


def _pooled(kind: int) -> Statistic:
    def pooled(columns: np.ndarray, counts: np.ndarray) -> np.ndarray:
        total = counts @ columns  # (R, N) -> (R, 4)
        return total[:, kind] / total.sum(axis=1)

    return pooled


def evaluate(columns: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return {metric: {"n", "value", "low", "high"}} with 95 % bootstrap intervals over reads.

    Parameters
    ----------
    columns : int array (N, 4): matches, mismatches, insertions and deletions of each read; no row all 0.
    """
    columns = np.asarray(columns, dtype=np.float64).reshape(-1, 4)
    return {name: estimate(f, columns, resamples=resamples, seed=seed) for name, f in RESAMPLED.items()}


def counts_of(reads: list[Score]) -> np.ndarray:
    """Return matches, mismatches, insertions and deletions of each read, int64 (N, 4)."""
    rows = [(read.matches, read.mismatches, read.insertions, read.deletions) for read in reads]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def write_reads(path: str | Path, scores: Scores) -> None:
    """Write one TSV row a read, with the fields of `Score`; those that cannot be used come last, with the reason."""
    names = [item.name for item in fields(Score)]
    with write_text(path) as stream:
        print(*names, sep="\t", file=stream)
        for read in scores.reads:
            stream.write(tsv_line(*(_cell(getattr(read, name)) for name in names)))
        for problem in scores.left_out:
            stream.write(tsv_line(problem.record, "", f"left out: {problem.problem}", *[""] * (len(names) - 3)))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.5f}" if isinstance(value, float) else str(value)


# f(columns (N, 4), counts (R, N)) -> (R,); rates are pooled over the alignment columns of all reads
RESAMPLED: dict[str, Statistic] = {
    "median_identity": _median_identity,
    "identity": _pooled(0),
    "mismatch": _pooled(1),
    "insertion": _pooled(2),
    "deletion": _pooled(3),
}


LENGTHS = (0, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)  # bases; edges of the read-length table
NAN = float("nan")


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else NAN


def length_table(reads: list[Score]) -> list[dict[str, Any]]:
    """Return a row for each non-empty bin of read length: reads, unmapped, scored, bases, median identity."""
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
    """Return a row for each integer of the mean read Q: scored reads, predicted and median identity."""
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
    """Return the mean over reads of |identity predicted by the mean Q - observed identity|; NaN for no reads."""
    gaps = [abs(1 - 10 ** (-read.mean_q / 10) - read.identity) for read in reads if np.isfinite(read.mean_q)]
    return float(np.mean(gaps)) if gaps else NAN


def summarise(scores: Scores, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Return metrics with intervals, counts and tables of scored reads, for JSON.

    "metrics" are of the scored reads; "within" is the median identity of reads whose whole alignment lies inside the
    region. Unmapped reads have no identity; "counts" has their number.
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
            "left_out": len(scores.left_out),
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


NOTHING = "no aligned reads"


def identity_histogram(identity: np.ndarray, median: Mapping[str, Any]) -> Callable[[Figure], None]:
    """Paint the histogram of read identities (N,), with the median and its interval."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(identity):
            return say(axes, NOTHING)
        low = np.floor(100 * np.quantile(identity, 0.005)) - 1  # the few poorest reads go into the first bin
        axes.hist(np.maximum(100 * identity, low), bins=np.linspace(low, 100, 41).tolist(), color=BLUE, alpha=0.85)
        axes.axvline(100 * median["value"], color=ORANGE, linewidth=2, label=f"median {100 * median['value']:.2f} %")
        if np.isfinite([median["low"], median["high"]]).all():
            axes.axvspan(100 * median["low"], 100 * median["high"], color=ORANGE, alpha=0.25, linewidth=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="identity of the read (%)", ylabel="reads")
        axes.legend(loc="best")
        return None

    return paint


def error_bars(metrics: Mapping[str, Any]) -> Callable[[Figure], None]:
    """Paint the rates of mismatches, insertions and deletions, in percent of alignment columns, with intervals."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        names = ("mismatch", "insertion", "deletion")
        if not np.isfinite(metrics["identity"]["value"]):
            return say(axes, NOTHING)
        for place, (name, colour) in enumerate(zip(names, (RED, ORANGE, GREEN), strict=True)):
            value, low, high = (100 * metrics[name][key] for key in ("value", "low", "high"))
            known = bool(np.isfinite([low, high]).all())
            bounds = [[max(0.0, value - low)], [max(0.0, high - value)]] if known else None
            axes.bar(place, value, yerr=bounds, color=colour, width=0.6, ecolor=INK, capsize=4)
            axes.annotate(f"{value:.2f} %", (place, high if known else value), xytext=(0, 4),
                          textcoords="offset points", ha="center")  # fmt: skip
        axes.set_xticks(range(3), names)
        axes.margins(y=0.15)
        axes.set_ylabel("of all alignment columns (%)")
        axes.grid(visible=False, axis="x")
        return None

    return paint


def identity_by_length(identity: np.ndarray, length: np.ndarray) -> Callable[[Figure], None]:
    """Paint read identity (N,) against read length (N,) in bases."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not len(identity):
            return say(axes, NOTHING)
        scale = "log" if length.max() >= 10 * max(1, length.min()) else "linear"
        cloud(axes, figure, length, 100 * identity, xscale=scale)
        axes.set_xscale(scale)
        axes.xaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.minorticks_off()
        axes.set(xlabel="length of the read", ylabel="identity (%)")
        return None

    return paint
