"""How reads lie on a reference: what part maps, how alike they are, the errors, the depth, the strands.

Identity is matches / (matches + mismatches + insertions + deletions) of a read's primary alignment, introns left out;
the numbers are those of minimap2. Depth counts primary and supplementary alignments, deletions in them too.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.evaluation.basecalls import RESAMPLED, evaluate
from biorrn.evaluation.bootstrap import RESAMPLES, estimate, proportion
from biorrn.evaluation.described import aligned_rows, described
from biorrn.inference.called_reads import CalledRead
from biorrn.inference.mapping import Mapper

WINDOWS = 4_000_000  # at most, over all sequences
POINTS = 400  # of a curve


class Depth:
    """Counts bases over windows of equal size of each sequence of a reference.

    Parameters
    ----------
    lengths : name -> bases of each sequence, in order.
    windows : int: how many there are at most; as many bases as that are counted one by one.
    """

    def __init__(self, lengths: Mapping[str, int], windows: int = WINDOWS) -> None:
        self.lengths = dict(lengths)
        self.window = max(1, -(-sum(lengths.values()) // windows))
        sizes = [-(-length // self.window) for length in lengths.values()]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._starts = dict(zip(lengths, starts[:-1].tolist(), strict=True))
        # bases in a window that a read only partly covers, and changes of those that it covers whole; (2, windows)
        self._part = np.zeros((2, int(starts[-1]) + 1), np.int64)
        self._change = np.zeros((2, int(starts[-1]) + 1), np.int64)

    def add(self, name: str, start: int, end: int, reverse: bool) -> None:
        """Count one read over a span, 0-based and half-open."""
        size, at, row = self.window, self._starts[name], int(reverse)
        first, last = start // size, (end - 1) // size
        if first == last:
            self._part[row, at + first] += end - start
            return
        self._part[row, at + first] += (first + 1) * size - start
        self._part[row, at + last] += end - last * size
        self._change[row, at + first + 1] += size
        self._change[row, at + last] -= size

    def bases(self) -> np.ndarray:
        """Return the bases of reads in each window, int64 (2, W): forward, reverse; all sequences one after another."""
        return (self._part + np.cumsum(self._change, axis=1))[:, :-1]

    def sizes(self) -> np.ndarray:
        """Return the bases of the reference in each window, int64 (W,)."""
        found = [np.full(-(-length // self.window), self.window) for length in self.lengths.values()]
        for sizes, length in zip(found, self.lengths.values(), strict=True):
            sizes[-1] = length - self.window * (len(sizes) - 1)
        return np.concatenate(found).astype(np.int64)

    def summary(self, most: int = 1000) -> dict[str, Any]:
        """Return window, mean, median, parts covered at least 1, 5, 10 and 30 times, and the longest `most` sequences.

        A window counts with its mean; of windows of one base these are the depths of the bases.
        """
        bases, sizes = self.bases().sum(axis=0), self.sizes()
        depth = bases / sizes
        order = np.argsort(depth, kind="stable")
        reached = np.cumsum(sizes[order])
        rows = []
        for name in sorted(self.lengths, key=lambda name: -self.lengths[name])[:most]:
            mine = self.span(name)
            rows.append({"name": name, "length": self.lengths[name],
                         "mean": float(bases[mine].sum() / self.lengths[name]),
                         "covered": float(sizes[mine][depth[mine] > 0].sum() / self.lengths[name])})  # fmt: skip
        return {
            "window": self.window,
            "mean": float(bases.sum() / sizes.sum()),
            "median": float(depth[order][np.searchsorted(reached, sizes.sum() / 2)]),
            "at_least": [
                {"depth": least, "part": float(sizes[depth >= least].sum() / sizes.sum())} for least in (1, 5, 10, 30)
            ],
            "references": rows,
        }

    def span(self, name: str) -> slice:
        """Return the windows of a sequence."""
        start = self._starts[name]
        return slice(start, start - (-self.lengths[name] // self.window))

    def curve(self, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return edges (P + 1,) in bases and mean depths float64 (2, P), forward and reverse, of sequences in a row."""
        bases, sizes = self.bases(), self.sizes()
        places = np.concatenate([np.arange(len(sizes))[self.span(name)] for name in names])
        ends = np.cumsum(sizes[places])
        cuts = np.unique(np.linspace(0, len(places), min(POINTS, len(places)) + 1).astype(int))
        held = np.add.reduceat(bases[:, places], cuts[:-1], axis=1)
        edges = np.concatenate([[0], ends])[cuts]
        return edges.astype(np.float64), held / np.diff(edges)


INSERTION, DELETION, INTRON = 1, 2, 3  # of a CIGAR
RESAMPLED_READS = 20_000  # of more, the intervals are those of as many drawn at random: wider than theirs
LOW = 10  # mapping qualities below it say that the place may be another


class MappingStats:
    """Takes reads with their alignments; keeps 24 bytes of each that maps."""

    def __init__(self, mapper: Mapper) -> None:
        self.depth = Depth(mapper.lengths)
        self.reads = self.bases = self.supplementary = self.low = self.reverse = 0
        self._columns, self._spans = array("i"), array("i")

    def add(self, read: CalledRead, hits: list[Any]) -> None:
        """Count a read and its `mappy.Alignment`s, the primary one first."""
        self.reads += 1
        self.bases += len(read.bases)
        if not hits:
            return
        first = hits[0]
        self.supplementary += len(hits) - 1
        self.low += first.mapq < LOW
        self.reverse += first.strand < 0
        gaps = [sum(size for size, kind in first.cigar if kind == gap) for gap in (INSERTION, DELETION)]
        self._columns.extend([first.mlen, max(0, first.blen - first.mlen - sum(gaps)), *gaps])
        self._spans.extend([first.q_en - first.q_st, len(read.bases)])
        for hit in hits:
            for start, end in _exons(hit):
                self.depth.add(hit.ctg, start, end, hit.strand < 0)

    def columns(self) -> np.ndarray:
        """Return matches, mismatches, insertions and deletions of each mapped read, int32 (N, 4)."""
        return np.array(self._columns, np.int32).reshape(-1, 4)

    def spans(self) -> np.ndarray:
        """Return aligned bases and bases of each mapped read, int32 (N, 2)."""
        return np.array(self._spans, np.int32).reshape(-1, 2)

    def content(self, seed: int = 0) -> dict[str, Any]:
        """Return counts, metrics {name: {"n", "value", "low", "high"}}, depth, and what was resampled, for JSON."""
        columns, spans = self.columns(), self.spans()
        mapped = len(columns)
        return {
            "counts": {
                "reads": self.reads,
                "bases": self.bases,
                "mapped": mapped,
                "unmapped": self.reads - mapped,
                "supplementary": self.supplementary,
                f"mapping_quality_below_{LOW}": self.low,
                "reverse_strand": self.reverse,
            },
            "metrics": {
                "mapped_fraction": proportion(mapped, self.reads),
                "aligned_fraction": _pooled(spans, seed),
                **_estimates(columns, seed),
                "reverse_fraction": proportion(self.reverse, mapped),
            },
            "depth": self.depth.summary(),
            "seed": seed,
            "resamples": RESAMPLES,
            "resampled_reads": min(mapped, RESAMPLED_READS),
        }


def _exons(hit: Any) -> list[tuple[int, int]]:
    """Return the spans of an alignment between its introns."""
    start = place = hit.r_st
    found = []
    for size, kind in hit.cigar:
        if kind == INTRON:
            found.append((start, place))
            start = place + size
        place += 0 if kind == INSERTION else size
    return [*found, (start, hit.r_en)]


def _sample(rows: np.ndarray, seed: int) -> np.ndarray:
    if len(rows) <= RESAMPLED_READS:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), RESAMPLED_READS, replace=False))]


def _estimates(columns: np.ndarray, seed: int) -> dict[str, dict[str, float]]:
    found = evaluate(_sample(columns, seed), seed=seed)
    if len(columns) > RESAMPLED_READS:
        every = columns.astype(np.float64)
        for name, statistic in RESAMPLED.items():
            value = float(statistic(every, np.ones((1, len(every))))[0])
            entry = found[name]
            shift = value - entry["value"]
            found[name] = {
                "n": len(columns),
                "value": value,
                "low": entry["low"] + shift,
                "high": entry["high"] + shift,
            }
    return found


def _pooled(spans: np.ndarray, seed: int) -> dict[str, float]:
    def part(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        total = counts @ rows
        return total[:, 0] / total[:, 1]

    found = estimate(part, _sample(spans, seed).astype(np.float64), seed=seed)
    return found | {"n": len(spans)}


def describe_mapping(stats: MappingStats, *, reads: str | Path, reference: Path, preset: str, output: str, name: str,
                     note: str = "", seed: int = 0) -> dict[str, Any]:  # fmt: skip
    """Return what `biorrn map --stats` writes."""
    content = described("mapping", name, {"reads": reads, "reference": reference}, note) | stats.content(seed)
    content |= {"preset": preset, "output": output}
    if not stats.reads:
        content["cautions"].append("There was no read to map.")
    elif not len(stats.columns()):
        content["cautions"].append("No read maps to the reference.")
    return content


def mapping_lines(content: dict[str, Any]) -> list[str]:
    """Return what a terminal shows of it."""
    counts, metrics, depth = content["counts"], content["metrics"], content["depth"]

    def shown(entry: dict[str, float]) -> str:
        if not np.isfinite(entry["value"]):
            return "-"
        interval = f" ({100 * entry['low']:.2f} to {100 * entry['high']:.2f})" if np.isfinite(entry["low"]) else ""
        return f"{100 * entry['value']:.2f}{interval} %"

    rows = [("reads", f"{counts['reads']:,}"), ("reads mapped", f"{counts['mapped']:,}")]
    rows += [(name.replace("_", " "), shown(entry)) for name, entry in metrics.items()]
    rows += [("depth, mean", f"{depth['mean']:.2f}"), ("depth, median", f"{depth['median']:.2f}")]
    rows += [
        (f"reference at depth {row['depth']} and above", f"{100 * row['part']:.1f} %") for row in depth["at_least"]
    ]
    return [*aligned_rows(rows), *content["cautions"]]
