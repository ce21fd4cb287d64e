"""Labelled reads -> the segments of a prepared signal file."""

import itertools
import json
import types
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from biorrn.datasets.account import account
from biorrn.datasets.label_report import ReadReport
from biorrn.datasets.labelled_reads import LabelledReads, labelled_reads
from biorrn.datasets.prepare import SignalWriter, signal_writer
from biorrn.datasets.splits import Random, Reference, Rows, Splitter
from biorrn.encoders.signal import NORMALISERS
from biorrn.errors import BiorrnError
from biorrn.files import sha256
from biorrn.lookup import lookup
from biorrn.readers.chemistry import chemistry_of
from biorrn.readers.fields import OnProblem, stop
from biorrn.readers.records import ReadLabels, SignalRecord

MIN_BASES = 20  # a shorter segment says little and costs a row
# A base that holds the pore for longer than this (seconds) is a stall: the alignment had to put unexplained signal
# somewhere. Of the 385,559 bases of 50 lambda reads 99.99 % last less than 0.05 s; 14 last longer than 0.1 s, up to
# 0.68 s. Segments are cut there: a window with a long stretch of signal for one base teaches a wrong rate.
STALL = 0.1


def prepare_reads(
    paths: Sequence[str | Path],
    out: str | Path,
    splitter: Splitter,
    *,
    labels: str = "events",
    truth: str | Path | None = None,
    normaliser: str = "medmad",
    note: str = "",
    on_problem: OnProblem = stop,
    advance: Callable[[int], None] = lambda samples: None,
    reads: LabelledReads | None = None,
    report: ReadReport | None = None,
    tables: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Write the labelled reads of files and folders to a prepared file and return its account.

    Takes what `labelled_reads` and `prepare_signal` take; for the account see `datasets.account`. Labels that are not
    in files that `labelled_reads` knows come as `reads`, with the files they were made from in `tables`.
    """
    lookup(NORMALISERS, normaliser, "normaliser")
    report = ReadReport() if report is None else report
    if reads is None:
        reads = labelled_reads(paths, labels, truth, report.counts, on_problem)
        tables = [] if truth is None else [truth]
    kept = prepare_signal(
        reads,
        out,
        splitter,
        normaliser=normaliser,
        labels=labels,
        note=note,
        tables=tables,
        advance=advance,
        on_read=report.done,
        dropped=report.counts,
    )
    content = account(out, kept + report.counts, note)
    identities = report.summary()
    return {**content, "identity": identities} if identities else content


def prepare_signal(
    reads: Iterable[tuple[SignalRecord, ReadLabels]],
    out: str | Path,
    splitter: Splitter,
    *,
    normaliser: str = "medmad",
    labels: str = "events",
    note: str = "",
    tables: Sequence[str | Path] = (),
    advance: Callable[[int], None] = lambda samples: None,
    on_read: Callable[[str, str | None, int], None] = lambda read_id, fault, bases: None,
    dropped: Mapping[str, int] = types.MappingProxyType({}),
) -> Counter[str]:
    """Write the segments of labelled reads to a prepared signal file; one read is in memory at a time.

    Each read is normalised on its own, from its first labelled sample to its last. A segment is a stretch of bases of
    one split; it also ends at a base of more than `STALL` seconds or without a letter, which is left out.

    Parameters
    ----------
    reads : pairs of record and labels, read by read.
    out : the HDF5 file to write.
    splitter : from `datasets.splits.parse_split(..., "signal")`.
    normaliser : str: entry of `encoders.signal.NORMALISERS`.
    labels, note : str: where the labels come from, and a remark; kept as attributes.
    tables : files besides those of the reads whose checksums are kept.
    advance : called with the number of samples of each read.
    on_read : called with the id of each read, why it was dropped (None where it was kept) and the bases written of it.
    dropped : the counts that `reads` keeps of what it leaves out, to name the reasons where nothing else comes.

    Returns
    -------
    Counter: reads by "kept" or the reason they were dropped for, and bases by the reason they were dropped for.

    Raises
    ------
    BiorrnError: no read could be used, or a region of a reference split holds no base.
    """
    normalise = lookup(NORMALISERS, normaliser, "normaliser")
    counts: Counter[str] = Counter()
    iterator = iter(reads)
    first = next(iterator, None)
    if first is None:
        reasons = ", ".join(f"{name} {number}" for name, number in dropped.items() if number)
        raise BiorrnError(f"prepare signal: found no read with labels{reasons and f' ({reasons})'}; nothing to write")
    rate = first[0].sample_rate
    everything = itertools.chain([first], iterator)
    del first  # or it would stay in memory to the end
    chemistries: Counter[str] = Counter()
    with signal_writer(out, normaliser, rate, labels, chemistries) as writer:
        writer.file.attrs["note"] = note
        sources = {Path(path) for path in tables}
        for record, truth in everything:
            fault, kept = _fault(record, truth, rate), 0
            if fault is None:
                kept = _segments(writer, record, truth, splitter, normalise, counts)
                fault = None if kept else "reads dropped: no usable segment"
                sources.add(record.source)
                chemistries[chemistry_of(record).name] += kept > 0
            counts[fault or "reads kept"] += 1
            on_read(record.read_id, fault, kept)
            advance(len(record.raw))
        writer.flush()
        counts.update({f"reads of chemistry {name}": number for name, number in chemistries.items()})
        if not writer.rows:
            reasons = ", ".join(f"{name} {number}" for name, number in (counts + Counter(dropped)).items())
            raise BiorrnError(f"prepare signal: no read could be used ({reasons})")
        writer.file.attrs["sources"] = json.dumps(
            {str(path): sha256(path) for path in sorted(sources) if path.is_file()}
        )
        if isinstance(splitter, Random):
            writer.file["split"][:] = splitter.assign(Rows(ids=list(writer.file["read_id"].asstr()[:])))
        if isinstance(splitter, Reference):
            _check_regions(splitter, writer.file)
    return counts


def _fault(record: SignalRecord, truth: ReadLabels, sample_rate: float) -> str | None:
    """Return why a read cannot be used, or None."""
    starts = truth.starts
    if len(starts) < MIN_BASES:
        return f"reads dropped: fewer than {MIN_BASES} bases"
    if len(truth.bases) != len(starts) or (np.diff(starts) <= 0).any() or starts[0] < 0 or truth.end <= starts[-1]:
        return "reads dropped: label starts do not increase"
    if truth.end > len(record.raw):
        return "reads dropped: labels end beyond the signal"
    if truth.reference and truth.ref_end - truth.ref_start != len(starts):
        return "reads dropped: labels do not match their span of the reference"
    if record.sample_rate != sample_rate:
        return f"reads dropped: sample rate is not {sample_rate:g} Hz as in the first read"
    return None


def positions(truth: ReadLabels) -> np.ndarray:
    """Return the place of each base on the forward strand, int64 (L,), 0-based; -1 where there is no reference."""
    bases = len(truth.bases)
    if not truth.reference:
        return np.full(bases, -1, np.int64)
    if truth.strand == "-":
        return truth.ref_end - 1 - np.arange(bases, dtype=np.int64)
    return truth.ref_start + np.arange(bases, dtype=np.int64)


def _segments(
    writer: SignalWriter,
    record: SignalRecord,
    truth: ReadLabels,
    splitter: Splitter,
    normalise: Callable[[np.ndarray], np.ndarray],
    counts: Counter[str],
) -> int:
    """Cut one read, write its segments and return how many bases they hold."""
    origin = int(truth.starts[0])
    current = normalise(record.picoamperes()[origin : truth.end])
    edges = np.append(truth.starts, truth.end) - origin  # base i is edges[i]:edges[i + 1]
    where = positions(truth)
    by_base = isinstance(splitter, Reference)
    codes = splitter.assign(Rows(reference=truth.reference, positions=where)) if by_base else np.zeros(len(where), int)
    stalled = np.diff(edges) > STALL * record.sample_rate
    nameless = (truth.bases < 1) | (truth.bases > 4)
    counts["bases dropped: stalled"] += int(stalled.sum())
    counts["bases dropped: no letter"] += int((nameless & ~stalled).sum())
    usable = ~(stalled | nameless)
    kind = np.where(usable, codes.astype(np.int64), -1)  # the codes are unsigned
    cuts = np.flatnonzero(np.diff(kind)) + 1
    written = 0  # bases
    for start, end in zip([0, *cuts], [*cuts, len(kind)], strict=True):
        if kind[start] < 0:
            continue
        if end - start < MIN_BASES:
            counts["bases dropped: segment too short"] += int(end - start)
            continue
        span = where[start:end]
        writer.add(
            record.read_id,
            current[edges[start] : edges[end]],
            truth.bases[start:end],
            edges[start:end] - edges[start],
            int(kind[start]),
            truth.reference,
            int(span.min()),
            int(span.max()) + 1 if truth.reference else -1,
            truth.strand,
        )
        written += int(end - start)
        counts["segments"] += 1
    return written


def _check_regions(splitter: Reference, file: h5py.File) -> None:
    """Raise where a region holds no base: a wrong name or span would otherwise leave a split empty in silence."""
    names = file["reference"].asstr()[:]
    starts, ends, codes = file["ref_start"][:], file["ref_end"][:], file["split"][:]
    for region in splitter.regions:
        inside = (names == region.reference) & (starts < region.end) & (ends > region.start) & (codes == region.code)
        if not inside.any():
            covered = [
                f"{name}:{starts[names == name].min()}-{ends[names == name].max()}" if name else "no reference"
                for name in sorted(set(names))
            ]
            place = f"{region.reference}:{region.start}-{region.end}"
            raise BiorrnError(f"--split: no base lies in {place}; the reads cover {', '.join(covered)}")
