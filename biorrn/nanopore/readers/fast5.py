"""FAST5 reader: single- and multi-read files, signal plain, zlib or VBZ, with calls of Guppy and labels of Tombo."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from biorrn.base.errors import Fault, InputError, OnProblem, faults, reason, stop, text
from biorrn.nanopore.chemistry import run_tags
from biorrn.nanopore.readers.calls import mean_phred, parse_bases
from biorrn.nanopore.readers.fields import READ_ID, Notes, make_record, moment, run_record, scale_of, short
from biorrn.sequences.fastq import fastq_records
from biorrn.sequences.records import MAX_SAMPLES, ReadCall, ReadLabels, SignalRecord

PLACE = ("mapped_chrom", "mapped_start", "mapped_end", "mapped_strand")


def labels(holder: h5py.Group, samples: int) -> ReadLabels:
    """Return the labels of one read, from the last Analyses/RawGenomeCorrected_*/BaseCalled_template.

    Parameters
    ----------
    holder : the group that holds `Analyses`: the file of a single read, or the group of one read of many.
    samples : int: length of the read's signal.

    Raises
    ------
    Fault: there are no labels, Tombo failed on the read, it is RNA (whose events count from the end of the signal), or
        the labels contradict the signal or the alignment.
    """
    analyses = holder.get("Analyses", {})
    names = sorted(name for name in analyses if name.startswith("RawGenomeCorrected"))
    if not names:
        raise Fault("holds no labels: there is no Analyses/RawGenomeCorrected_*")
    template = analyses[names[-1]].get("BaseCalled_template")
    if template is None:
        raise Fault(f"holds no labels: {names[-1]} has no BaseCalled_template")
    status = str(template.attrs.get("status", "success"))
    if status != "success":
        raise Fault(f"holds no labels: Tombo's status is '{' '.join(status.split())[:80]}'")
    if template.attrs.get("rna", False):
        raise Fault("holds labels of RNA, which Tombo counts on the reversed signal; allowed is DNA")
    events, alignment = template.get("Events"), template.get("Alignment")
    if not isinstance(events, h5py.Dataset) or alignment is None:
        raise Fault(f"holds no labels: {names[-1]}/BaseCalled_template has no Events and Alignment")
    return _checked(events, alignment, samples)


def _checked(events: h5py.Dataset, alignment: h5py.Group, samples: int) -> ReadLabels:
    missing = {"start", "length", "base"} - set(events.dtype.names or ())
    if missing:
        raise Fault(f"Events lack the column {', '.join(sorted(missing))}")
    if "read_start_rel_to_raw" not in events.attrs:
        raise Fault("Events lack the attribute read_start_rel_to_raw, so where they start is unknown")
    table = events[:]
    if len(table) == 0:
        raise Fault("Events hold no bases")
    unknown = sorted(set(table["base"].tolist()) - {b"A", b"C", b"G", b"T"})
    if unknown:
        raise Fault(f"Events hold the base {unknown[0]!r}; allowed are A, C, G, T")
    starts = table["start"].astype(np.int64) + int(events.attrs["read_start_rel_to_raw"])
    end = int(starts[-1]) + int(table["length"][-1])
    if starts[0] < 0 or end > samples or (np.diff(starts) <= 0).any() or end <= starts[-1]:
        raise Fault(f"Events run from sample {starts[0]} to {end} or go back; the signal has {samples} samples")
    place = {name: alignment.attrs.get(name) for name in PLACE}
    if any(value is None for value in place.values()):
        raise Fault(f"Alignment lacks one of {', '.join(PLACE)}")
    reference, strand = (text(name, place[name]) for name in ("mapped_chrom", "mapped_strand"))
    first, last = int(place["mapped_start"]), int(place["mapped_end"])
    if last - first != len(table) or strand not in ("+", "-"):
        raise Fault(f"Events hold {len(table)} bases, but Alignment has {reference}:{first}-{last} ({strand})")
    bases = parse_bases(b"".join(table["base"].tolist()).decode())
    return ReadLabels(bases, starts, end, reference, first, last, strand)


TEMPLATE = "BaseCalled_template"


def call(holder: h5py.Group, samples: int) -> ReadCall | None:
    """Return the call of one read, from the last Analyses/Basecall_1D_*; None where there is none.

    Parameters
    ----------
    holder : the group that holds `Analyses`: the file of a single read, or the group of one read of many.
    samples : int: length of the read's signal.

    Raises
    ------
    Fault: the call is not FASTQ, or its move table contradicts it or the signal.
    """
    analyses = holder.get("Analyses", {})
    names = sorted(
        name for name in analyses if name.startswith("Basecall_1D") and f"{TEMPLATE}/Fastq" in analyses[name]
    )
    if not names:
        return None
    group = analyses[names[-1]]
    bases, quals = _fastq(group[f"{TEMPLATE}/Fastq"][()])
    starts, end = _starts(analyses, names[-1], len(bases), samples)
    return ReadCall(bases, starts, end, mean_phred(quals))


def _fastq(content: bytes | str) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes and the Phred qualities of a FASTQ record."""
    text = content.decode("ascii", "replace") if isinstance(content, bytes) else str(content)
    try:
        [record] = fastq_records(text.strip("\0").splitlines(keepends=True), "")
    except ValueError as error:
        raise Fault(f"the call in the file is not one record of FASTQ: found {text[:40]!r}") from error
    except InputError as error:
        raise Fault(f"the call in the file is not FASTQ: {error.problem}") from error
    return parse_bases(record.bases), record.quals


def _starts(analyses: h5py.Group, name: str, bases: int, samples: int) -> tuple[np.ndarray | None, int]:
    """Return the first sample of each base, int64 (L,), and the end of the last; (None, 0) without a move table."""
    moves = analyses[name].get(f"{TEMPLATE}/Move")
    summary = analyses[name].get("Summary/basecall_1d_template")
    stride = None if summary is None else summary.attrs.get("block_stride")
    number = name.rpartition("_")[2]
    segmented = analyses.get(f"Segmentation_{number}/Summary/segmentation")
    first = None if segmented is None else segmented.attrs.get("first_sample_template")
    if not isinstance(moves, h5py.Dataset) or stride is None or first is None:
        return None, 0
    steps = moves[:].astype(np.int64)
    frames = np.repeat(np.arange(len(steps)), steps)  # a frame may emit two bases
    if len(frames) != bases:
        raise Fault(f"the move table gives {len(frames)} bases; the call has {bases}")
    starts = int(first) + int(stride) * frames
    if bases and starts[-1] >= samples:
        raise Fault(f"the move table runs to sample {starts[-1]}; the signal has {samples} samples")
    return starts, min(samples, int(first) + int(stride) * len(steps))


Item = TypeVar("Item")
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py raises on a damaged file
SPARE, MOST_PACKED = 1 << 22, 1000  # most samples of a read: SPARE + MOST_PACKED per stored byte
LOOKED_AT = 16  # reads from which the runs of a file are taken


@dataclass(frozen=True, slots=True)
class Place:
    """The groups of one read; valid while the file is open."""

    name: str
    holder: h5py.Group  # the group that holds `Analyses`
    raw: h5py.Group
    channel: h5py.Group | None
    context: h5py.Group | None
    tracking: h5py.Group | None


class Attributes:
    """Checked attributes of groups. Reads share groups by hard links, so the last group of each role is cached."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, dict[str, Any], list[str]]] = {}

    def of(self, role: str, group: h5py.Group | None, notes: Notes) -> dict[str, Any]:
        """Return the attributes of a group by name, text as `str`, without faulty ones; {} without a group."""
        if group is None:
            return {}
        address = h5py.h5o.get_info(group.id).addr
        last = self._last.get(role)
        if last is None or last[0] != address:
            found, held = Notes(), {}
            for name in group.attrs:
                value = found.take(partial(_attribute, role, name, group.attrs), *DAMAGE)
                if value is not None:
                    held[name] = value
            last = self._last[role] = (address, held, found.faults)
        notes.faults += last[2]
        return last[1]


def read_fast5(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the reads of a FAST5 file, one in memory at a time; see `nanopore.readers.files.read_signal`.

    Raises
    ------
    InputError: the file is not HDF5, is damaged or cut short, or holds no reads.
    """
    for record, _ in _reads(path, on_problem, lambda holder, samples: None):
        yield record


def read_labels(path: str | Path, on_problem: OnProblem = stop) -> Iterator[tuple[SignalRecord, ReadLabels]]:
    """Yield reads with the labels of Tombo resquiggle; a read without labels is a problem."""
    yield from _reads(path, on_problem, labels)


def read_calls(path: str | Path, on_problem: OnProblem = stop) -> Iterator[tuple[SignalRecord, ReadCall | None]]:
    """Yield the reads of a FAST5 file with the call that it holds, or None; see `read_fast5`."""
    yield from _reads(path, on_problem, call)


def read_runs(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the metadata of at most `LOOKED_AT` reads, as reads without id and samples; see `read_fast5`."""
    with _open(path) as file:
        attributes = Attributes()
        with faults(path, None, *DAMAGE):
            names = _names(file)
        for name in names[:: -(-len(names) // LOOKED_AT)]:
            with contextlib.suppress(Fault, *DAMAGE):  # reported when the read is read
                place = _place(file, name)
                tracking = attributes.of("tracking_id", place.tracking, Notes())
                context = attributes.of("context_tags", place.context, Notes())
                rate = float(attributes.of("channel_id", place.channel, Notes()).get("sampling_rate", "nan"))
                yield run_record(path, rate, run_tags(tracking, context))


def _reads(
    path: str | Path, on_problem: OnProblem, beside: Callable[[h5py.Group, int], Item]
) -> Iterator[tuple[SignalRecord, Item]]:
    """Yield each read and the result of `beside(group, samples)`."""
    with _open(path) as file:
        attributes = Attributes()
        with faults(path, None, *DAMAGE):
            names = _names(file)
        for name in names:
            try:
                with faults(path, name.removeprefix("read_"), *DAMAGE):
                    place = _place(file, name)
                    known = name.removeprefix("read_")
                    if known == name:  # in a single-read file the group's name is only a number
                        stated = place.raw.attrs.get("read_id", b"")
                        stated = stated.decode("utf-8", "replace") if isinstance(stated, bytes) else str(stated)
                        known = stated if READ_ID.fullmatch(stated) else name
                with faults(path, known, *DAMAGE):
                    record = _record(path, place, attributes)
                    found = beside(place.holder, len(record.raw))
            except InputError as problem:
                on_problem(problem)
                continue
            yield record, found


def _open(path: str | Path) -> h5py.File:
    import vbz_h5py_plugin  # noqa: F401  registers the VBZ filter with HDF5; importing pod5 does not

    with faults(path):
        try:
            return h5py.File(path, "r")
        except OSError as error:
            if "signature" in str(error):
                raise Fault("not a FAST5 file: it is not HDF5") from None
            if "truncated" in str(error):
                raise Fault("truncated: the file is smaller than its header says") from None
            raise Fault(reason(error)) from None


def _names(file: h5py.File) -> list[str]:
    """Return the paths of the reads within the file."""
    many = [name for name in file if name.startswith("read_")]
    if many:
        return many
    if "Raw/Reads" in file:
        one = [f"Raw/Reads/{name}" for name in file["Raw/Reads"]]
        if one:
            return one
    top = ", ".join(sorted(file)[:5]) or "nothing"
    raise Fault(f"holds no reads: found {top}; a FAST5 holds groups read_* or Raw/Reads/Read_*")


def _place(file: h5py.File, name: str) -> Place:
    if name.startswith("read_"):
        holder = shared = file[name]
        raw = holder.get("Raw")
    else:
        holder, shared, raw = file, file.get("UniqueGlobalKey"), file[name]
    if raw is None:
        raise Fault("group 'Raw' is missing")
    groups = [None if shared is None else shared.get(key) for key in ("channel_id", "context_tags", "tracking_id")]
    here = h5py.h5o.get_info(file.id).fileno
    if any(group is not None and h5py.h5o.get_info(group.id).fileno != here for group in (holder, raw, *groups)):
        raise Fault("is a link to another file; allowed are reads that the file itself holds")
    return Place(name, holder, raw, *groups)


def _record(path: str | Path, place: Place, attributes: Attributes) -> SignalRecord:
    notes = Notes()
    holder = attributes.of("read", place.holder, notes)
    raw = attributes.of("Raw", place.raw, notes)
    channel = attributes.of("channel_id", place.channel, notes)
    context = attributes.of("context_tags", place.context, notes)
    tracking = attributes.of("tracking_id", place.tracking, notes)
    for name in sorted(context.keys() & tracking.keys()):
        if str(context[name]) != str(tracking[name]):
            notes.faults.append(
                f"attribute {name!r} is duplicated: {short(context[name])} in context_tags, "
                f"{short(tracking[name])} in tracking_id"
            )
    calibration = {"offset": float("nan"), "scale": float("nan"), "sample_rate": float("nan")}
    if place.channel is not None:
        get = {key: _need(channel, key, notes) for key in ("offset", "range", "digitisation", "sampling_rate")}
        calibration["offset"], calibration["sample_rate"] = get["offset"], get["sampling_rate"]
        calibration["scale"] = scale_of(get["range"], get["digitisation"])
    return make_record(
        _read_id(path, place, raw.get("read_id"), notes),
        _signal(place.raw, notes),
        **calibration,
        channel=notes.whole("channel_id/channel_number", channel.get("channel_number"), written=True),
        mux=notes.whole("Raw/start_mux", raw.get("start_mux")),
        read_number=notes.whole("Raw/read_number", raw.get("read_number")),
        start_time=notes.whole("Raw/start_time", raw.get("start_time")),
        run_id=notes.text("read/run_id", holder.get("run_id"))
        or notes.text("tracking_id/run_id", tracking.get("run_id")),
        flow_cell=notes.text("tracking_id/flow_cell_id", tracking.get("flow_cell_id")),
        kit=notes.text("context_tags/sequencing_kit", context.get("sequencing_kit"))
        or notes.text("context_tags/experiment_kit", context.get("experiment_kit")),
        end_reason=notes.take(lambda: _end_reason(place.raw), *DAMAGE) or "",
        source=Path(path),
        run_start=moment(notes.text("tracking_id/exp_start_time", tracking.get("exp_start_time"))),
        sample_id=notes.text("tracking_id/sample_id", tracking.get("sample_id")),
        run_tags=run_tags(tracking, context),
        device=notes.text("tracking_id/device_id", tracking.get("device_id")),
        faults=tuple(notes.faults),  # evaluated last: the arguments above add to them
    )


def _read_id(path: str | Path, place: Place, value: Any, notes: Notes) -> str:
    """Return the id of a read; where it is missing or invalid, the name of its group or file."""
    own = Notes()
    found = own.text("Raw/read_id", value)
    if READ_ID.fullmatch(found):
        notes.faults += own.faults
        return found
    if place.name.startswith("read_"):
        name = place.name.removeprefix("read_")
    else:
        others = len(place.raw.parent) > 1
        name = Path(path).stem + (f"_{place.name.rpartition('/')[2]}" if others else "")
    name = re.sub(r"[^!-~]", "_", name)
    name = name if READ_ID.fullmatch(name) else f"read_{name}"
    if value is not None or not place.name.startswith("read_"):
        text_given = isinstance(value, str) and (found or not value)
        shown = repr(found[:60]) if text_given else "none" if value is None else short(value)
        notes.faults.append(f"field 'Raw/read_id': found {shown}; the read is named {name!r}, after its group or file")
    return name


def _signal(raw: h5py.Group, notes: Notes) -> np.ndarray:
    dataset = raw.get("Signal")
    if not isinstance(dataset, h5py.Dataset):
        raise Fault("dataset 'Raw/Signal' is missing")
    if dataset.ndim != 1 or dataset.dtype.kind not in "iuf":
        raise Fault(f"dataset 'Raw/Signal' is {dataset.dtype} of {dataset.ndim} dimensions; allowed is int16 of 1")
    away = h5py.h5o.get_info(dataset.id).fileno != h5py.h5o.get_info(raw.id).fileno
    if away or dataset.external or dataset.is_virtual:
        raise Fault("dataset 'Raw/Signal' has its samples in another file")
    stored = dataset.id.get_storage_size()
    if dataset.size > MAX_SAMPLES or (dataset.size and not stored) or dataset.size > SPARE + MOST_PACKED * stored:
        raise Fault(f"dataset 'Raw/Signal' claims {dataset.size} samples, of which the file holds {stored} bytes")
    samples = dataset[:]
    if samples.dtype.kind == "i" and samples.dtype.itemsize <= 2:
        return samples.astype(np.int16, copy=False)
    with np.errstate(invalid="ignore"):
        whole = samples.astype(np.int16)
    odd = np.flatnonzero(whole != samples)
    if len(odd):
        raise Fault(f"dataset 'Raw/Signal' is {samples.dtype} and holds {samples[odd[0]]:g}; allowed is int16")
    notes.faults.append(f"dataset 'Raw/Signal': found {samples.dtype}; allowed is int16; its samples are whole and fit")
    return whole


def _end_reason(raw: h5py.Group) -> str:
    """Return the name of the end reason; its code where the file does not name the codes."""
    if "end_reason" not in raw.attrs:
        return ""
    codes = h5py.check_enum_dtype(raw.attrs.get_id("end_reason").dtype) or {}
    value = raw.attrs["end_reason"]
    if isinstance(value, str | bytes):
        return text("end_reason", value)
    return {int(code): str(name) for name, code in codes.items()}.get(int(value), str(int(value)))


def _attribute(role: str, name: str, attributes: h5py.AttributeManager) -> Any:
    """Return the value of an attribute after checking its texts; None where it is empty."""
    value = attributes[name]
    text(f"{role} (the name of an attribute)", name)
    if isinstance(value, str | bytes):
        return value if (role, name) == ("Raw", "read_id") else text(f"{role}/{name}", value)  # see `_read_id`
    if isinstance(value, np.ndarray) and value.dtype.kind in "SUO":
        for item in value.flat:
            if isinstance(item, str | bytes):
                text(f"{role}/{name}", item)
    return None if isinstance(value, h5py.Empty) else value


def _need(channel: dict[str, Any], name: str, notes: Notes) -> float:
    """Return a number of the calibration. Raises `Fault` where it is missing."""
    if name not in channel:
        raise Fault(f"attribute 'channel_id/{name}' is missing")
    value = channel[name]
    if isinstance(value, float | np.floating):
        return float(value)
    try:
        number = float(value) if isinstance(value, str | int | np.integer) else None
    except ValueError:
        number = None
    if number is None:
        raise Fault(f"attribute 'channel_id/{name}': found {short(value)}; allowed is a floating-point number")
    notes.faults.append(f"attribute 'channel_id/{name}': found {short(value)}; taken as {number:g}")
    return number
