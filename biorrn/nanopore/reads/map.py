"""Mapping of called reads with minimap2 (mappy): sorted, indexed BAM or PAF; depth and error rates."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from biorrn.base.errors import BiorrnError, ConfigError, InputError, OnProblem, stop
from biorrn.base.files import atomic_path, scratch_folder, write_text
from biorrn.base.terminal import plural
from biorrn.nanopore.alignment import Mapper, in_order
from biorrn.nanopore.basecall.merge import Fields, add_program, add_programs, program_lines
from biorrn.nanopore.basecall.sam import sam_header, sam_lines, write_packed
from biorrn.nanopore.evaluate.identity import RESAMPLED, error_bars, evaluate, identity_by_length, identity_histogram
from biorrn.nanopore.readers.calls import BaseCall, header_lines
from biorrn.nanopore.reads.unaligned import usable_reads
from biorrn.stats.bootstrap import RESAMPLES, estimate, proportion
from biorrn.stats.figures import BLUE, GREY, INK, ORANGE, Drawing, draw, plain
from biorrn.stats.results import aligned_rows, bases_label, described

BATCH = 32  # reads that a thread maps at a time

Mapped = tuple[BaseCall, list[Any], str]
OnRead = Callable[[BaseCall, list[Any]], None]


def map_reads(
    reads: str | Path,
    mapper: Mapper,
    output: str,
    *,
    command: str = "",
    threads: int = 1,
    on_read: OnRead = lambda read, hits: None,
    say: Callable[[str], None] = lambda line: None,
    on_problem: OnProblem = stop,
) -> None:
    """Map reads and write them; the output and the index of BAM are written atomically.

    Parameters
    ----------
    reads : FASTQ, SAM, BAM or CRAM; tags are kept, in FASTQ those after the id, separated by tabs.
    output : .bam, sorted by position, unmapped reads last, index OUTPUT.bai; or .paf or .paf.gz, in the order of the
        reads. Both have the primary and the supplementary alignments of a read.
    command : str: the command line, for the header.
    threads : int: threads that map, sort and compress.
    say : called with a line about skipped tags.
    on_problem : called with what is wrong with a read, which is left out, also because BAM cannot hold its id. By
        default it is raised.
    on_read : called in order with each read and its alignments, `mappy.Alignment`, the primary one first.

    Raises
    ------
    ConfigError: the output has another suffix.
    InputError: see `called_reads`; or none of the reads can be used.
    BiorrnError: the output cannot be written.
    """
    write = format_of(output)
    kind, used, left_out = "bam" if write is _bam else "fastq", 0, 0  # PAF holds any id, as FASTQ does

    def skip(problem: InputError) -> None:
        nonlocal left_out
        on_problem(problem)
        left_out += 1

    def found(text: Callable[[BaseCall, list[Any]], str]) -> Iterator[Mapped]:
        nonlocal used
        for read, hits, line in _mapped(usable_reads(reads, kind, skip, say), mapper, text, threads):
            used += 1
            on_read(read, hits)
            yield read, hits, line
        if left_out and not used:
            raise InputError(reads, f"holds no reads that can be used; skipped {left_out:,}")

    write(output, found, mapper, header_lines(reads), command, threads)


def format_of(output: str) -> Callable[..., None]:
    """Return the writer of an output by its suffix.

    Raises
    ------
    ConfigError: the suffix is unknown.
    """
    for suffix, write in WRITERS.items():
        if output.endswith(suffix):
            return write
    raise ConfigError(f"{output}: found the suffix '{Path(output).suffix}'; allowed is {', '.join(WRITERS)}")


def _mapped(
    reads: Iterable[BaseCall], mapper: Mapper, text: Callable[[BaseCall, list[Any]], str], threads: int
) -> Iterator[Mapped]:
    """Yield reads in order with their alignments and their text, made on `threads` threads."""

    def work(batch: list[BaseCall]) -> list[Mapped]:
        mapped = ((read, mapper.hits(read.bases)) for read in batch)
        return [(read, hits, text(read, hits)) for read, hits in mapped]

    batches = iter(lambda: list(itertools.islice(reads, BATCH)), [])  # type: ignore[arg-type]
    return itertools.chain.from_iterable(in_order(work, batches, threads, 2 * threads))


def paf_text(read: BaseCall, hits: list[Any]) -> str:
    """Return the alignments of a read as lines of PAF; "" for an unmapped read."""
    return "".join(f"{read.id}\t{len(read.bases)}\t{hit}\n" for hit in hits)


def _paf(output: str, found: Callable[..., Iterator[Mapped]], *_: Any) -> None:
    with write_text(output) as stream:
        stream.writelines(line for _, _, line in found(paf_text))


def _bam(output: str, found: Callable[..., Iterator[Mapped]], mapper: Mapper, lines: list[str], command: str,
         threads: int) -> None:  # fmt: skip
    import pysam

    groups: dict[str, None] = {}

    def texts() -> Iterator[str]:
        for read, _, text in found(lambda read, hits: sam_lines(read.id, read.bases, read.letters, read.tags, hits)):
            for tag in read.tags:
                if tag.startswith("RG:Z:"):
                    groups.setdefault(tag[5:])
            yield text

    top = sam_header((), mapper.references).splitlines()[:-1]
    programs: dict[str, Fields] = {}
    add_programs(programs, lines)
    add_program(programs, "map", command)
    lines = [line for line in lines if not line.startswith("@PG\t")] + program_lines(programs)
    index = f"{output}.bai"
    # the index is moved into place first, so that a finished file has its own index
    with contextlib.ExitStack() as stack:
        final, table = (stack.enter_context(atomic_path(path)) for path in (output, index))
        folder = str(stack.enter_context(scratch_folder(final.parent, "map")))
        unsorted, place = f"{folder}/unsorted.bam", f"{folder}/sorted.bam"
        write_packed(unsorted, "\n".join([*top, *lines]) + "\n", texts(), "bam", threads)
        try:
            pysam.sort("--no-PG", "-@", str(threads - 1), "-T", f"{folder}/part", "-o", place, unsorted)
            os.unlink(unsorted)
            known = {cell[3:] for line in lines for cell in line.split("\t") if line[:3] == "@RG" and cell[:3] == "ID:"}
            named = [f"@RG\tID:{name}" for name in groups if name not in known]  # of FASTQ, which has no header
            if named:
                place = _with_lines(place, named, folder)
            os.replace(place, final)
            pysam.index("-@", str(threads - 1), "-o", str(table), str(final))
        except pysam.SamtoolsError as error:
            free = f"its disk has {shutil.disk_usage(folder).free:,} bytes free"
            raise BiorrnError(f"{output}: cannot be sorted ({free}): {' '.join(str(error).split())}") from error


def _with_lines(path: str, lines: list[str], folder: str) -> str:
    """Write a BAM file with further header lines, before @PG, and return its path."""
    import pysam

    with pysam.AlignmentFile(path, check_sq=False) as file:
        old = str(file.header).splitlines()
    cut = next((number for number, line in enumerate(old) if line.startswith("@PG")), len(old))
    head = Path(folder) / "header.sam"
    head.write_text("\n".join([*old[:cut], *lines, *old[cut:]]) + "\n")
    place = f"{folder}/headed.bam"
    pysam.reheader("--no-PG", str(head), path, save_stdout=place)
    os.unlink(path)
    return place


# suffix -> writer of (output, reads, mapper, header lines, command, threads)
WRITERS: dict[str, Callable[..., None]] = {".bam": _bam, ".paf": _paf, ".paf.gz": _paf}
# of minimap2: noisy reads, accurate reads, RNA and cDNA across introns
PRESETS: dict[str, str] = {"map-ont": "map-ont", "lr:hq": "lr:hq", "splice": "splice"}


WINDOWS = 4_000_000  # at most, over all sequences
POINTS = 400  # of a curve


class Depth:
    """Read depth over windows of equal size of each sequence of a reference.

    Parameters
    ----------
    lengths : name -> bases of each sequence, in order.
    windows : int: maximum number of windows; a reference of at most so many bases has windows of one base.
    """

    def __init__(self, lengths: Mapping[str, int], windows: int = WINDOWS) -> None:
        self.lengths = dict(lengths)
        self.window = max(1, -(-sum(lengths.values()) // windows))
        sizes = [-(-length // self.window) for length in lengths.values()]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._starts = dict(zip(lengths, starts[:-1].tolist(), strict=True))
        # bases of reads that cover a window partly, and differences of those that cover it wholly; (2, windows)
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
        """Return the bases of reads in each window, int64 (2, W): forward and reverse, sequences concatenated."""
        return (self._part + np.cumsum(self._change, axis=1))[:, :-1]

    def sizes(self) -> np.ndarray:
        """Return the bases of the reference in each window, int64 (W,)."""
        found = [np.full(-(-length // self.window), self.window) for length in self.lengths.values()]
        for sizes, length in zip(found, self.lengths.values(), strict=True):
            sizes[-1] = length - self.window * (len(sizes) - 1)
        return np.concatenate(found).astype(np.int64)

    def summary(self, most: int = 1000) -> dict[str, Any]:
        """Return window size, mean, median, share at depth 1, 5, 10 and 30 or more, and the longest `most` sequences.

        A window counts with its mean depth.
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
        """Return edges (P + 1,) in bases and mean depths float64 (2, P) of concatenated sequences, by strand."""
        bases, sizes = self.bases(), self.sizes()
        places = np.concatenate([np.arange(len(sizes))[self.span(name)] for name in names])
        ends = np.cumsum(sizes[places])
        cuts = np.unique(np.linspace(0, len(places), min(POINTS, len(places)) + 1).astype(int))
        held = np.add.reduceat(bases[:, places], cuts[:-1], axis=1)
        edges = np.concatenate([[0], ends])[cuts]
        return edges.astype(np.float64), held / np.diff(edges)


INSERTION, DELETION, INTRON = 1, 2, 3  # of a CIGAR
RESAMPLED_READS = 20_000  # of more reads, the intervals are those of so many drawn at random, which are wider
LOW = 10  # mapping quality below which the position is uncertain


class MappingStats:
    """Statistics of mapped reads; keeps 24 bytes per mapped read.

    Attributes
    ----------
    left_out : Counter: reads that could not be used, by flag.
    """

    def __init__(self, mapper: Mapper) -> None:
        self.depth = Depth(mapper.lengths)
        self.reads = self.bases = self.supplementary = self.low = self.reverse = 0
        self.left_out: Counter[str] = Counter()
        self._columns, self._spans = array("i"), array("i")

    def add(self, read: BaseCall, hits: list[Any]) -> None:
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
    """Return the results of `biorrn map --stats`."""
    content = described("mapping", name, {"reads": reads, "reference": reference}, note) | stats.content(seed)
    content |= {"preset": preset, "output": output}
    if stats.left_out:
        why = ", ".join(f"{flag}: {number:,}" for flag, number in stats.left_out.most_common())
        content["cautions"].append(f"{plural(stats.left_out.total(), 'read')} left out, unusable: {why}.")
    if not stats.reads:
        content["cautions"].append("There was no read to map.")
    elif not len(stats.columns()):
        content["cautions"].append("No read maps to the reference.")
    return content


def mapping_lines(content: dict[str, Any]) -> list[str]:
    """Return the results of `describe_mapping` as lines of text."""
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


SHOWN = 24  # sequences along the axis, the longest


def _depth(depth: Depth, names: list[str], mean: float) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        edges, values = depth.curve(names)
        both = values.sum(axis=0)
        axes.stairs(both, edges, fill=True, color=BLUE, label="both strands")
        axes.stairs(values[1], edges, fill=True, color=ORANGE, label="reverse")
        axes.axhline(mean, color=INK, linewidth=1, linestyle="--", label=f"mean {mean:.1f}")
        ends = np.cumsum([depth.lengths[name] for name in names])
        if len(names) > 1:
            for end in ends[:-1]:
                axes.axvline(end, color=GREY, linewidth=0.6)
            axes.set_xlabel(f"{len(names)} sequences in a row")
        else:
            axes.set_xlabel(plain(names[0] if len(names[0]) <= 40 else names[0][:37] + "..."))
        axes.xaxis.set_major_formatter(FuncFormatter(bases_label))
        axes.set(ylabel="reads over a base", xlim=(0, edges[-1]))
        axes.set_ylim(0, 1.25 * max(1.0, float(both.max()), mean))  # room for the legend
        axes.legend(loc="upper right", ncols=3)

    return paint


def mapping_figures(content: Mapping[str, Any], stats: MappingStats) -> list[Drawing]:
    """Return the figures of the results of `describe_mapping`."""
    columns, spans, metrics = stats.columns(), stats.spans(), content["metrics"]
    identity = columns[:, 0] / np.maximum(1, columns.sum(axis=1))
    names = [row["name"] for row in content["depth"]["references"][:SHOWN]]
    few = "" if len(names) == len(stats.depth.lengths) else f" The {SHOWN} longest sequences are shown."
    return [
        draw("identity", "Identity of the reads, primary alignments; band: 95 % interval of the median. The first bin "
             "includes all lower identities.", identity_histogram(identity, metrics["median_identity"])),
        draw("errors", "Errors by type, all mapped reads pooled; bars: 95 % intervals.", error_bars(metrics)),
        draw("identity_length", "Length and identity of the mapped reads.", identity_by_length(identity, spans[:, 1])),
        draw("depth", f"Reads over each base of the reference, by strand.{few}",
             _depth(stats.depth, names, content["depth"]["mean"])),
    ]  # fmt: skip
