"""FAST5 files: one read each or many, signal plain, zlib or VBZ, with the labels that Tombo wrote if it did."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from biorrn.errors import InputError
from biorrn.readers import guppy, tombo
from biorrn.readers.chemistry import run_tags
from biorrn.readers.fields import (
    MAX_SAMPLES,
    Fault,
    OnProblem,
    faults,
    make_record,
    moment,
    reason,
    scale_of,
    stop,
    text,
    whole,
)
from biorrn.readers.records import ReadCall, ReadLabels, SignalRecord

Item = TypeVar("Item")
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py raises on a damaged file
SPARE, MOST_PACKED = 1 << 22, 1000  # samples that any file may claim, and samples a stored byte beyond them
TEXT, WHOLE, REAL = "a text", "a whole number", "a floating-point number"  # what an attribute may be


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
    """Checked attributes of groups. Reads share groups by hard links: one is read again only when it is another one."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, dict[str, Any]]] = {}

    def of(self, role: str, group: h5py.Group | None) -> dict[str, Any]:
        """Return the attributes of a group by name, text as `str`; {} where there is no group."""
        if group is None:
            return {}
        address = h5py.h5o.get_info(group.id).addr
        last = self._last.get(role)
        if last is None or last[0] != address:
            names = [text(f"{role} (the name of an attribute)", name) for name in group.attrs]
            last = (address, {name: _clean(name, group.attrs[name]) for name in names})
            self._last[role] = last
        return last[1]


def read_fast5(path: str | Path, on_problem: OnProblem = stop) -> Iterator[SignalRecord]:
    """Yield the reads of a FAST5 file, one in memory at a time.

    Parameters
    ----------
    path : the file.
    on_problem : called with the `InputError` of each read that cannot be used, which is then left out.

    Raises
    ------
    InputError: the file is not HDF5, is damaged or cut short, or holds no reads.
    """
    for record, _ in _reads(path, on_problem, lambda holder, samples: None):
        yield record


def read_labels(path: str | Path, on_problem: OnProblem = stop) -> Iterator[tuple[SignalRecord, ReadLabels]]:
    """Yield reads with the labels of Tombo resquiggle; one without, or on which Tombo failed, is a problem."""
    yield from _reads(path, on_problem, tombo.labels)


def read_calls(path: str | Path, on_problem: OnProblem = stop) -> Iterator[tuple[SignalRecord, ReadCall | None]]:
    """Yield the reads of a FAST5 file with the call that a basecaller wrote into it, None without; see `read_fast5`."""
    yield from _reads(path, on_problem, guppy.call)


def _reads(
    path: str | Path, on_problem: OnProblem, beside: Callable[[h5py.Group, int], Item]
) -> Iterator[tuple[SignalRecord, Item]]:
    """Yield each read and what `beside` finds in its group, given the length of its signal."""
    with _open(path) as file:
        attributes = Attributes()
        with faults(path, None, *DAMAGE):
            names = _names(file)
        for name in names:
            try:
                with faults(path, name.removeprefix("read_"), *DAMAGE):
                    place = _place(file, name)
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
                raise Fault("cut short: the file is smaller than its own header says") from None
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
    holder = attributes.of("read", place.holder)
    raw = attributes.of("Raw", place.raw)
    channel = attributes.of("channel_id", place.channel)
    context = attributes.of("context_tags", place.context)
    tracking = attributes.of("tracking_id", place.tracking)
    for name in context.keys() & tracking.keys():
        if str(context[name]) != str(tracking[name]):
            raise Fault(
                f"attribute {name!r} is duplicated: {_short(context[name])} in context_tags, "
                f"{_short(tracking[name])} in tracking_id"
            )
    calibration = {"offset": float("nan"), "scale": float("nan"), "sample_rate": float("nan")}
    if place.channel is not None:
        get = {key: _need("channel_id", channel, key, REAL) for key in ("offset", "range", "digitisation")}
        calibration["offset"] = float(get["offset"])
        calibration["scale"] = scale_of(get["range"], get["digitisation"])
        calibration["sample_rate"] = float(_need("channel_id", channel, "sampling_rate", REAL))
    default_id = place.name.removeprefix("read_") if place.name.startswith("read_") else None
    read_id = _get("Raw", raw, "read_id", TEXT, default_id)
    if read_id is None:
        raise Fault("attribute 'Raw/read_id' is missing")
    return make_record(
        read_id,
        _signal(place.raw),
        **calibration,
        channel=whole("channel_number", _get("channel_id", channel, "channel_number", TEXT, "0")),
        mux=int(_get("Raw", raw, "start_mux", WHOLE, 0)),
        read_number=int(_get("Raw", raw, "read_number", WHOLE, 0)),
        start_time=int(_get("Raw", raw, "start_time", WHOLE, 0)),
        run_id=_get("read", holder, "run_id", TEXT, _get("tracking_id", tracking, "run_id", TEXT, "")),
        flow_cell=_get("tracking_id", tracking, "flow_cell_id", TEXT, ""),
        kit=_get("context_tags", context, "sequencing_kit", TEXT, "")
        or _get("context_tags", context, "experiment_kit", TEXT, ""),
        end_reason=_end_reason(place.raw),
        source=Path(path),
        run_start=moment(str(tracking.get("exp_start_time", ""))),
        sample_id=str(tracking.get("sample_id", "")),
        run_tags=run_tags(tracking, context),
    )


def _signal(raw: h5py.Group) -> np.ndarray:
    dataset = raw.get("Signal")
    if not isinstance(dataset, h5py.Dataset):
        raise Fault("dataset 'Raw/Signal' is missing")
    if dataset.ndim != 1 or dataset.dtype.kind != "i" or dataset.dtype.itemsize != 2:
        raise Fault(f"dataset 'Raw/Signal' is {dataset.dtype} of {dataset.ndim} dimensions; allowed is int16 of 1")
    away = h5py.h5o.get_info(dataset.id).fileno != h5py.h5o.get_info(raw.id).fileno
    if away or dataset.external or dataset.is_virtual:
        raise Fault("dataset 'Raw/Signal' takes its samples from another file")
    stored = dataset.id.get_storage_size()
    if dataset.size > MAX_SAMPLES or (dataset.size and not stored) or dataset.size > SPARE + MOST_PACKED * stored:
        raise Fault(f"dataset 'Raw/Signal' claims {dataset.size} samples, of which the file holds {stored} bytes")
    return dataset[:].astype(np.int16, copy=False)


def _end_reason(raw: h5py.Group) -> str:
    """Return the name of the end reason; its code where the file does not name the codes, which changed over time."""
    if "end_reason" not in raw.attrs:
        return ""
    codes = h5py.check_enum_dtype(raw.attrs.get_id("end_reason").dtype) or {}
    value = raw.attrs["end_reason"]
    if isinstance(value, str | bytes):
        return text("end_reason", value)
    return {int(code): str(name) for name, code in codes.items()}.get(int(value), str(int(value)))


def _clean(name: str, value: Any) -> Any:
    """Return an attribute's value with its texts checked; an array of texts is checked and kept."""
    if isinstance(value, str | bytes):
        return text(name, value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "SUO":
        for item in value.flat:
            if isinstance(item, str | bytes):
                text(name, item)
    return value


def _get(group: str, attributes: dict[str, Any], name: str, kind: str, default: Any) -> Any:
    return _need(group, attributes, name, kind) if name in attributes else default


def _need(group: str, attributes: dict[str, Any], name: str, kind: str) -> Any:
    if name not in attributes:
        raise Fault(f"attribute '{group}/{name}' is missing")
    value = attributes[name]
    allowed = {TEXT: str, WHOLE: int | np.integer, REAL: float | np.floating}[kind]
    if not isinstance(value, allowed):
        raise Fault(f"attribute '{group}/{name}': found {_short(value)}; allowed is {kind}")
    return value


def _short(value: Any) -> str:
    """Return a value with its type, for an error message."""
    kind = f"{value.dtype} array" if isinstance(value, np.ndarray) else type(value).__name__
    return f"{kind} {value!s:.40}"
