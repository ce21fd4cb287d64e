"""How right called reads are: identity and errors against a reference, by read, by length and by quality.

Identity is matches / (matches + mismatches + insertions + deletions): of the columns of the primary alignment, each
base of a gap counts as one (the read accuracy of Wick, Judd and Holt 2019, Genome Biology 20:129). A quality Q promises
an error probability of 10 ** (-Q / 10); `evaluation.quality` says which bases are counted as wrong for it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.evaluation.alignment import DELETION, MATCH, Alignment, Region, Score
from biorrn.evaluation.bootstrap import RESAMPLES, Statistic, estimate
from biorrn.evaluation.contexts import Contexts, read_columns
from biorrn.evaluation.homopolymers import Homopolymers
from biorrn.evaluation.quality import wrong_columns
from biorrn.evaluation.sequences import BaseCall
from biorrn.files import tsv_line, write_text
from biorrn.readers.calls import mean_phred
from biorrn.readers.fastq import MAX_Q

MIN_BASES = 100  # aligned reference bases inside the region that a read needs to be scored


@dataclass
class Scores:
    """All reads, and how often each quality was given in the scored columns, was wrong there, and by a gap alone.

    `contexts` and `homopolymers` count the same columns by the letters of the reference.
    """

    reads: list[Score] = field(default_factory=list)
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
    """Align and score reads one by one; of each only its numbers are kept.

    Parameters
    ----------
    calls : reads, from `evaluation.sequences.read_calls`.
    align : from `evaluation.alignment.Mapper`.
    region : Region, optional: only columns inside it count.
    min_bases : int: aligned reference bases inside the region that a read needs to be scored. Ignored without a region.
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
    """Return the median (R,) of values (N,) in each of R samples that hold value n counts[r, n] times."""
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
    """Return {metric: {"n", "value", "low", "high"}}; the 95 % bootstrap intervals resample reads.

    Parameters
    ----------
    columns : int array (N, 4): matches, mismatches, insertions and deletions of each read; no row is all 0.
    """
    columns = np.asarray(columns, dtype=np.float64).reshape(-1, 4)
    return {name: estimate(f, columns, resamples=resamples, seed=seed) for name, f in RESAMPLED.items()}


def counts_of(reads: list[Score]) -> np.ndarray:
    """Return matches, mismatches, insertions and deletions of each read, int64 (N, 4)."""
    rows = [(read.matches, read.mismatches, read.insertions, read.deletions) for read in reads]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def write_reads(path: str | Path, scores: Scores) -> None:
    """Write one TSV row a read, with the fields of `Score`."""
    names = [item.name for item in fields(Score)]
    with write_text(path) as stream:
        print(*names, sep="\t", file=stream)
        for read in scores.reads:
            stream.write(tsv_line(*(_cell(getattr(read, name)) for name in names)))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.5f}" if isinstance(value, float) else str(value)


# f(columns (N, 4), counts (R, N)) -> (R,); rates are parts of all alignment columns of all reads (pooled)
RESAMPLED: dict[str, Statistic] = {
    "median_identity": _median_identity,
    "identity": _pooled(0),
    "mismatch": _pooled(1),
    "insertion": _pooled(2),
    "deletion": _pooled(3),
}
