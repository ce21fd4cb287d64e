"""Prepared signal files for training: from labelled reads, mixed from others, imported from or exported to chunks."""

import contextlib
import itertools
import json
import math
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError, InputError, OnProblem, stop
from biorrn.base.files import atomic_path, sha256
from biorrn.nanopore.chemistry import chemistry_of
from biorrn.nanopore.dataset import SLOWER, ChunkDataset
from biorrn.nanopore.labels.sources import LabelledReads, ReadReport, labelled_reads
from biorrn.nanopore.signal import normalise, normaliser_of
from biorrn.sequences.prepared.files import NewFile, SignalFile, SignalWriter, new_file, signal_writer
from biorrn.sequences.prepared.schema import SIGNAL, SPLITS, add_optional, create
from biorrn.sequences.prepared.summary import account
from biorrn.sequences.records import ReadLabels, SignalRecord
from biorrn.sequences.splits import Random, Reference, Rows, Splitter

MIN_BASES = 20  # of a segment
MOLECULES = {False: "DNA", True: "RNA"}
# Seconds; a longer base is a stall, where the alignment placed unexplained signal, and segments are cut there. Of the
# 385,559 bases of 50 lambda reads, 99.99 % last less than 0.05 s; 14 last longer than 0.1 s, up to 0.68 s. For DNA.
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
    rna: bool = False,
) -> dict[str, Any]:
    """Write the labelled reads of files and folders to a prepared file and return its summary.

    Parameters as for `labelled_reads` and `prepare_signal`; for the summary see `sequences.prepared.summary.account`.
    Labels from other sources come as `reads`, with the files that they were made from in `tables`.
    """
    normaliser_of(normaliser)
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
        rna=rna,
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
    rna: bool = False,
) -> Counter[str]:
    """Write the segments of labelled reads to a prepared signal file; one read is in memory at a time.

    Each read is normalised over its labelled samples. A segment is a stretch of bases of one split; it also ends at a
    base of more than `STALL` seconds or without a letter, which is dropped.

    Parameters
    ----------
    reads : pairs of record and labels.
    out : the HDF5 file to write.
    splitter : from `sequences.splits.parse_split(..., "signal")`.
    normaliser : str: entry of `nanopore.signal.NORMALISERS`.
    labels, note : str: source of the labels, and a remark; kept as attributes.
    tables : further files whose checksums are kept.
    advance : called with the number of samples of each read.
    on_read : called with the id of each read, why it was dropped (None if kept), and the bases written of it.
    dropped : counts of the reads that `reads` drops, for the error message.
    rna : bool: the signal runs 3' to 5', and so do the labels.

    Returns
    -------
    Counter: kept reads, and dropped reads and bases by reason.

    Raises
    ------
    BiorrnError: no read could be used, or a region of a reference split holds no base.
    """
    counts: Counter[str] = Counter()
    iterator = iter(reads)
    first = next(iterator, None)
    if first is None:
        reasons = ", ".join(f"{name} {number}" for name, number in dropped.items() if number)
        raise BiorrnError(f"prepare signal: found no read with labels{reasons and f' ({reasons})'}; nothing to write")
    rate = first[0].sample_rate
    everything = itertools.chain([first], iterator)
    del first  # frees its memory
    chemistries: Counter[str] = Counter()
    with signal_writer(out, normaliser, rate, labels, chemistries, rna) as writer:
        writer.file.attrs["note"] = note
        sources = {Path(path) for path in tables}
        for record, truth in everything:
            fault, kept = _fault(record, truth, rate), 0
            if fault is None:
                kept = _segments(writer, record, truth, splitter, normaliser, counts)
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
    """Return the position of each base on the forward strand, int64 (L,), 0-based; -1 without a reference."""
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
    normaliser: str,
    counts: Counter[str],
) -> int:
    """Cut one read, write its segments and return how many bases they hold."""
    origin = int(truth.starts[0])
    current = normalise(record.picoamperes()[origin : truth.end], normaliser)
    edges = np.append(truth.starts, truth.end) - origin  # base i is edges[i]:edges[i + 1]
    where = positions(truth)
    by_base = isinstance(splitter, Reference)
    codes = splitter.assign(Rows(reference=truth.reference, positions=where)) if by_base else np.zeros(len(where), int)
    stalled = np.diff(edges) > STALL * (SLOWER if writer.file.attrs.get("rna") else 1) * record.sample_rate
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
    """Raise BiorrnError if a region of the split holds no base, as with a wrong name."""
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


BLOCK = 1 << 22  # elements of a flat dataset in memory at a time


def parse_inputs(texts: Sequence[str]) -> list[tuple[Path, float]]:
    """Return path and weight of texts such as `lambda.h5=2`; without `=` the weight is 1.

    Raises
    ------
    ConfigError: a weight that is no number of 0 or more, all weights 0, or a file given twice.

    >>> parse_inputs(["a.h5=0.25", "b.h5"])
    [(PosixPath('a.h5'), 0.25), (PosixPath('b.h5'), 1.0)]
    >>> parse_inputs(["a.h5=lots"])
    Traceback (most recent call last):
    biorrn.base.errors.ConfigError: a.h5=lots: found the weight 'lots'; allowed is a number of 0 or more, as a.h5=2
    """
    inputs: list[tuple[Path, float]] = []
    for text in texts:
        name, _, number = text.rpartition("=") if "=" in text else (text, "=", "1")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name or not math.isfinite(weight) or weight < 0:
            raise ConfigError(f"{text}: found the weight '{number}'; allowed is a number of 0 or more, as a.h5=2")
        if Path(name).resolve() in {path.resolve() for path, _ in inputs}:
            raise ConfigError(f"{name}: is given twice; allowed is once")
        inputs.append((Path(name), weight))
    if not any(weight for _, weight in inputs):
        raise ConfigError("prepare mix: all weights are 0; allowed is at least one above 0")
    return inputs


def mix(inputs: Sequence[tuple[str | Path, float]], out: str | Path, note: str = "") -> dict[str, int]:
    """Write the segments of several prepared signal files to one, with sampling weights, and return its counts.

    A training window comes from an input with a probability proportional to its weight, whatever its size; within an
    input, in proportion to samples (times `weight` if the input is itself a mix). The `weight` of training segments has
    mean 1 over the training samples. Held-out segments have weight 1, also those of an input of weight 0.

    Parameters
    ----------
    inputs : pairs of prepared signal file and weight.
    out : the HDF5 file to write.
    note : str: kept as an attribute.

    Returns
    -------
    dict: "segments" and, for each input, "share of NAME, per mille".

    Raises
    ------
    InputError: an input is not a prepared signal file, has another normaliser, sample rate or molecule than the first,
        or has a weight above 0 but no training segments.
    """
    total = sum(weight for _, weight in inputs)
    parts, rows, labels, sources = [], 0, [], {}
    chemistries: Counter[str] = Counter()
    first: tuple[str | Path, str, float, bool] | None = None
    counts: dict[str, int] = {}
    with new_file(out) as target:
        create(target, "signal")
        for place, (path, weight) in enumerate(inputs):
            with SignalFile(path) as source:
                first = first or (path, source.normaliser, source.sample_rate, source.rna)
                if source.normaliser != first[1]:
                    raise InputError(path, f"has the normaliser {source.normaliser}; {first[0]} has {first[1]}")
                if source.sample_rate != first[2]:
                    raise InputError(path, f"has {source.sample_rate:g} Hz; {first[0]} has {first[2]:g} Hz")
                if source.rna != first[3]:
                    raise InputError(path, f"is of {MOLECULES[source.rna]}; {first[0]} is of {MOLECULES[first[3]]}")
                _append(source.file, target)
                parts.append(_part(source, path, weight / total, place))
                sources.update(source.sources)
                chemistries.update(source.chemistry)
                labels.append(str(source.file.attrs["labels"]))
                rows += len(source)
            counts[f"share of {path}, per mille"] = round(1000 * weight / total)
        assert first is not None
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        train = target["split"][:] == SPLITS.index("train")
        lengths = np.diff(target["signal_offsets"][:])
        columns["weight"][train] *= lengths[train].sum()
        if not columns["whole"].any():
            del columns["whole"]
        for name, values in columns.items():
            add_optional(target, name, values)
        target.attrs["normaliser"], target.attrs["sample_rate"] = first[1:3]
        if first[3]:
            target.attrs["rna"] = 1
        target.attrs["labels"], target.attrs["note"] = ", ".join(dict.fromkeys(labels)), note
        target.attrs["chemistry"] = json.dumps(chemistries)
        target.attrs["sources"] = json.dumps(sources)
        target.attrs["source_names"] = json.dumps([str(path) for path, _ in inputs])
    return {"segments": rows, **counts}


def _part(source: SignalFile, path: str | Path, share: float, place: int) -> dict[str, np.ndarray]:
    """Return the optional columns (N,) of one input; training weights times samples sum to its share."""
    file, rows = source.file, len(source)
    train = source.rows("train")
    weights = np.ones(rows)
    if "weight" in file:
        weights[train] = file["weight"][:][train]
    sampled = float((np.diff(file["signal_offsets"][:])[train] * weights[train]).sum())
    if share and not sampled > 0:
        raise InputError(path, "holds no training segments; allowed is a weight of 0, for its held-out segments")
    weights[train] *= share / sampled if share else 0.0
    whole = file["whole"][:] if "whole" in file else np.zeros(rows, np.uint8)
    return {"weight": weights, "source": np.full(rows, place), "whole": whole}


def _append(source: h5py.File, target: NewFile) -> None:
    """Append every dataset of a signal file, in blocks; offsets continue those of the target."""
    for name, field in SIGNAL.items():
        here, there = source[name], target[name]
        skip = int(field.axis == "rows+1")  # the 0 that offsets start with
        end = len(there)
        base = there[-1] if skip else None
        there.resize(end + len(here) - skip, axis=0)
        for start in range(skip, len(here), BLOCK):
            block = here[start : start + BLOCK]
            place = end + start - skip
            there[place : place + len(block)] = block if base is None else block + base
            target.check()


NAMES = ("chunks.npy", "references.npy", "reference_lengths.npy")
FOLDERS = {"train": ".", "valid": "validation", "test": "test"}
LONGEST = 65535  # bases; the length is uint16


def export_chunks(prepared: str | Path, folder: str | Path, samples: int) -> dict[str, int]:
    """Write a prepared signal file as arrays of consecutive chunks and return their number by split.

    All chunks have one length; the rest of a segment is dropped, as are chunks with invalid labels (see
    `ChunkDataset`).

    Parameters
    ----------
    prepared : file of `biorrn prepare`.
    folder : output folder; each file is written atomically.
    samples : int: length of a chunk.

    Raises
    ------
    InputError: no segment is that long.
    """
    with SignalFile(prepared) as file:
        present = [split for split in SPLITS if len(file.rows(split))]
    counts: dict[str, int] = {}
    for split in present:
        data = ChunkDataset(prepared, split, samples)
        windows = [window for window in data.tiles() if window.samples == samples]
        if not windows:
            continue
        labels = [data.labels(window)[:LONGEST] for window in windows]
        lengths = np.array([len(bases) for bases in labels], np.uint16)
        references = np.zeros((len(windows), int(lengths.max())), np.uint8)
        for row, bases in enumerate(labels):
            references[row, : len(bases)] = bases
        target = Path(folder) / FOLDERS[split]
        with contextlib.ExitStack() as stack:
            paths = [stack.enter_context(atomic_path(target / name)) for name in NAMES]
            chunks = np.lib.format.open_memmap(paths[0], "w+", np.float16, (len(windows), samples))
            for row, window in enumerate(windows):
                chunks[row] = data.signal(window)
            chunks.flush()
            np.save(paths[1], references)
            np.save(paths[2], lengths)
            for name in NAMES:  # a kill while the files are moved leaves one missing, never a mix of two exports
                (target / name).unlink(missing_ok=True)
        counts[split] = len(windows)
    if not counts:
        raise InputError(prepared, f"holds no segment of {samples} samples or more; nothing to export")
    return counts


def import_chunks(
    folder: str | Path,
    out: str | Path,
    *,
    normaliser: str = "medmad",
    sample_rate: float = 4000.0,
    splitter: Random | None = None,
    note: str = "",
) -> dict[str, int]:
    """Write a folder of chunks to a prepared signal file and return its counts.

    Chunks have no base starts. The starts are spread evenly, and each segment is marked as `whole`: one training window
    that is never cut.

    Parameters
    ----------
    folder : with the three files, and optionally subfolders `validation` and `test`.
    out : the HDF5 file to write.
    normaliser : str: entry of `NORMALISERS` that the chunks were made with.
    sample_rate : float: samples per second (Hz).
    splitter : Random, optional: splits the chunks if there is no `validation`; None: all are for training.
    note : str: kept as an attribute.

    Raises
    ------
    InputError: a file is missing, has another shape, or holds an invalid number or base.
    BiorrnError: no chunk could be used.
    """
    normaliser_of(normaliser)
    root = Path(folder)
    present = [split for split in SPLITS if (root / FOLDERS[split] / NAMES[0]).is_file()]
    if "train" not in present:
        raise InputError(root, f"holds no {NAMES[0]}; allowed is a folder with {', '.join(NAMES)}")
    counts = dict.fromkeys(("chunks", "chunks dropped: no bases", "chunks dropped: fewer samples than bases"), 0)
    sources = {}
    with signal_writer(out, normaliser, sample_rate, "chunks") as writer:
        for split in present:
            place = root / FOLDERS[split]
            sources.update({str(place / name): sha256(place / name) for name in NAMES if (place / name).is_file()})
            for row, (signal, bases) in enumerate(_rows(place)):
                if not len(bases):
                    counts["chunks dropped: no bases"] += 1
                elif len(bases) > len(signal):
                    counts["chunks dropped: fewer samples than bases"] += 1
                else:
                    starts = np.arange(len(bases)) * len(signal) // len(bases)
                    writer.add(f"{split}{row}", signal, bases, starts, SPLITS.index(split))
                    counts["chunks"] += 1
        writer.flush()
        if not writer.rows:
            raise BiorrnError(f"{root}: no chunk could be used")
        add_optional(writer.file, "whole", np.ones(writer.rows))
        if splitter is not None and present == ["train"]:
            writer.file["split"][:] = splitter.assign(Rows(ids=list(writer.file["read_id"].asstr()[:])))
        writer.file.attrs["note"], writer.file.attrs["sources"] = note, json.dumps(sources)
    return counts


def _rows(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield signal float16 (T,) and bases uint8 (L,) of each chunk; the files are memory-mapped."""
    chunks, references, lengths = (_load(folder / name) for name in NAMES)
    if chunks.ndim != 2 or chunks.dtype.kind != "f" or not chunks.size:
        raise InputError(folder / NAMES[0], f"found {_shape(chunks)}; allowed is a float array (N, T)")
    if references.ndim != 2 or references.dtype.kind not in "iu" or len(references) != len(chunks):
        raise InputError(folder / NAMES[1], f"found {_shape(references)}; allowed is integers ({len(chunks)}, L)")
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or len(lengths) != len(chunks):
        raise InputError(folder / NAMES[2], f"found {_shape(lengths)}; allowed is integers ({len(chunks)},)")
    for row, length in enumerate(lengths):
        bases = np.asarray(references[row, : max(0, int(length))])
        if not 0 <= int(length) <= references.shape[1] or ((bases < 1) | (bases > 4)).any():
            raise InputError(folder / NAMES[1], f"row {row}: its {length} bases are not all 1, 2, 3 or 4")
        signal = np.asarray(chunks[row])
        if not np.isfinite(signal.astype(np.float16)).all():
            raise InputError(folder / NAMES[0], f"row {row} holds what is no number in float16")
        yield signal, bases


def _load(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy parses the header as Python, so almost anything may be raised
        what = "is missing" if not path.is_file() else f"is not a readable numpy file: {error!s:.200}"
        raise InputError(path, what) from error


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
