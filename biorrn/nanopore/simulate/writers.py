"""Writers of raw signal: POD5, BLOW5 and FAST5."""

import contextlib
import shutil
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.files import atomic_path, scratch_folder
from biorrn.nanopore.readers.slow5 import END, FIELDS, HEAD, MAGIC, NUMBERS
from biorrn.sequences.records import SignalRecord

VERSION = (1, 0, 0)
ZLIB, SVB_ZD = 1, 1  # codes in the BLOW5 header
LEVEL = 1  # of zlib: the highest level takes ten times as long for 2 %
END_REASONS = ("unknown", "partial", "mux_change", "unblock_mux_change", "signal_positive", "signal_negative")
MISSING = (2**31 - 1, 2**8 - 1, 2**64 - 1)  # read number, mux, start time: the largest number of the type
AUXILIARY = (  # name and type of the auxiliary fields
    ("channel_number", "char*"),
    ("median_before", "double"),
    ("read_number", "int32_t"),
    ("start_mux", "uint8_t"),
    ("start_time", "uint64_t"),
    ("end_reason", f"enum{{{','.join(END_REASONS)}}}"),
)


def encode_svb_zd(samples: np.ndarray) -> bytes:
    """Return an int16 signal (T,) as svb-zd: stream-VByte of the zigzag-coded differences of neighbouring samples.

    >>> encode_svb_zd(np.array([1, 0, 300], np.int16)).hex()
    '030000001002015802'
    """
    wide = samples.astype(np.int32)
    steps = np.concatenate([wide[:1], wide[1:] - wide[:-1]])
    values = ((steps << 1) ^ (steps >> 31)).astype(np.uint32)
    codes = ((values > 0xFF).astype(np.uint8) + (values > 0xFFFF)).astype(np.uint8)  # bytes beyond the first, 0 to 2
    padded = np.zeros(-(-len(codes) // 4) * 4, np.uint8)
    padded[: len(codes)] = codes
    quads = padded.reshape(-1, 4)
    control = quads[:, 0] | quads[:, 1] << 2 | quads[:, 2] << 4 | quads[:, 3] << 6
    whole = values.astype("<u4").view(np.uint8).reshape(-1, 4)
    data = whole[np.arange(4) <= codes[:, None]]
    return struct.pack("<I", len(samples)) + control.astype(np.uint8).tobytes() + data.tobytes()


class Blow5Writer:
    """Writer of BLOW5 records to an open file; `close` writes the end marker."""

    def __init__(self, file: IO[bytes], attributes: dict[str, str]) -> None:
        lines = [f"@{name}\t{value or '.'}" for name, value in sorted(attributes.items())]
        columns = (*FIELDS, *AUXILIARY)
        lines += ["#" + "\t".join(kind for _, kind in columns), "#" + "\t".join(name for name, _ in columns)]
        body = ("\n".join(lines) + "\n").encode()
        self.file = file
        file.write(HEAD.pack(MAGIC, *VERSION, ZLIB, 1, SVB_ZD, b"\0" * 49, len(body)) + body)

    def write(self, record: SignalRecord, digitisation: float, median_before: float) -> None:
        """Append a record; its range is its scale times the digitisation."""
        name = record.read_id.encode()
        channel = b"" if record.channel is None else str(record.channel).encode()
        held = (record.read_number, record.mux, record.start_time)
        number, mux, start = (missing if value is None else value for value, missing in zip(held, MISSING, strict=True))
        signal = encode_svb_zd(record.raw)
        span = record.scale * digitisation
        numbers = (0, digitisation, record.offset, span, record.sample_rate, len(signal))
        reason = END_REASONS.index(record.end_reason) if record.end_reason in END_REASONS else 0
        body = struct.pack("<H", len(name)) + name + struct.pack(f"<{NUMBERS}", *numbers) + signal
        body += struct.pack("<Q", len(channel)) + channel
        body += struct.pack("<diBQB", median_before, number, mux, start, reason)
        packed = zlib.compress(body, LEVEL)
        self.file.write(struct.pack("<Q", len(packed)) + packed)

    def close(self) -> None:
        """Write the end marker; the file itself stays open."""
        self.file.write(END)


DEVICE_DIGITISATION = 8192.0
MEDIAN_BEFORE = 200.0  # picoamperes: the open pore
START = datetime(2026, 1, 1, tzinfo=UTC)  # of every run, so that output is reproducible
VBZ, VBZ_OPTIONS = 32020, (0, 2, 1, 3)  # HDF5 filter: version 0, int16, zig-zag, zstd level 3

TRACKED = ("flow_cell_product_code", "exp_script_name")  # run tags of the tracking id; others are context tags

Write = Callable[[SignalRecord], None]


def tags(record: SignalRecord) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tracking id and the context tags of a read's run."""
    run = {"run_id": record.run_id, "sample_id": "simulated", "flow_cell_id": record.flow_cell}
    run["exp_start_time"] = START.isoformat()
    rate = f"{record.sample_rate:g}"
    context = {"sequencing_kit": record.kit, "experiment_type": "simulated", "sample_frequency": rate}
    for name, value in record.run_tags.items():
        (run if name in TRACKED else context)[name] = value
    return run, context


@contextlib.contextmanager
def _fast5(path: Path) -> Iterator[Write]:
    import h5py
    import vbz_h5py_plugin  # noqa: F401  registers the VBZ filter with HDF5

    from biorrn.sequences.prepared.files import open_new

    with open_new(path, track_order=True) as file:  # reads keep their order
        file.attrs.update({"file_version": b"2.2", "file_type": b"multi-read"})

        def write(record: SignalRecord) -> None:
            run, context = tags(record)
            group = file.create_group(f"read_{record.read_id}")
            group.attrs["run_id"] = record.run_id.encode()
            raw = group.create_group("Raw")
            packing = {"compression": VBZ, "compression_opts": VBZ_OPTIONS, "chunks": record.raw.shape}
            raw.create_dataset("Signal", data=record.raw, **(packing if len(record.raw) else {}))
            reason = END_REASONS.index(record.end_reason) if record.end_reason in END_REASONS else 0
            raw.attrs["read_id"] = record.read_id.encode()
            for name, value, number in (("read_number", record.read_number, np.int32),
                                        ("start_mux", record.mux, np.uint8),
                                        ("start_time", record.start_time, np.uint64)):  # fmt: skip
                if value is not None:
                    raw.attrs[name] = number(value)
            raw.attrs.update({"duration": np.uint32(len(record.raw)), "median_before": MEDIAN_BEFORE})
            kind = h5py.enum_dtype({name: code for code, name in enumerate(END_REASONS)}, np.uint8)
            raw.attrs.create("end_reason", reason, dtype=kind)
            channel = group.create_group("channel_id")
            if record.channel is not None:
                channel.attrs["channel_number"] = str(record.channel).encode()
            channel.attrs.update({"offset": record.offset, "range": record.scale * DEVICE_DIGITISATION})
            channel.attrs["digitisation"] = DEVICE_DIGITISATION
            channel.attrs["sampling_rate"] = float(record.sample_rate)
            file.check()
            group.create_group("tracking_id").attrs.update({key: value.encode() for key, value in run.items()})
            group.create_group("context_tags").attrs.update({key: value.encode() for key, value in context.items()})

        yield write


@contextlib.contextmanager
def _pod5(path: Path) -> Iterator[Write]:
    import pod5

    path.unlink(missing_ok=True)  # pod5.Writer refuses an existing file
    words = ["experiment_name", "protocol_name", "protocol_run_id", "sample_id", "sequencer_position"]
    words += ["sequencer_position_type", "software", "system_name", "system_type"]
    runs: dict[str, pod5.RunInfo] = {}

    def run_of(record: SignalRecord) -> pod5.RunInfo:
        if record.run_id not in runs:
            run, context = tags(record)
            runs[record.run_id] = pod5.RunInfo(
                **dict.fromkeys(words, "simulated"),
                acquisition_id=record.run_id,
                acquisition_start_time=START,
                protocol_start_time=START,
                flow_cell_id=record.flow_cell,
                flow_cell_product_code=run.get("flow_cell_product_code", ""),
                sequencing_kit=context["sequencing_kit"],
                sample_rate=round(record.sample_rate),
                adc_min=-4096,
                adc_max=4095,
                tracking_id=run,
                context_tags=context,
            )
        return runs[record.run_id]

    written = [0, 0]
    # in a scratch folder, since the library leaves files beside its output if the disk is full
    with scratch_folder(path.parent, "pod5") as folder:
        place = folder / path.name
        try:
            with pod5.Writer(place, software_name="biorrn simulate") as writer:
                yield _pod5_writer(writer, run_of, written)
        except RuntimeError as error:
            if not str(error).startswith("IOError"):
                raise
            raise OSError(_incomplete(place)) from error
        _check_pod5(place, written)
        place.replace(path)


def _pod5_writer(writer: Any, run_of: Callable[[SignalRecord], Any], written: list[int]) -> Write:
    import pod5

    def write(record: SignalRecord) -> None:
        reason = getattr(pod5.EndReasonEnum, record.end_reason.upper(), pod5.EndReasonEnum.UNKNOWN)
        writer.add_read(
            pod5.Read(
                read_id=uuid.UUID(record.read_id),
                pore=pod5.Pore(record.channel or 0, record.mux or 0, "simulated"),
                calibration=pod5.Calibration(record.offset, record.scale),
                read_number=record.read_number or 0,
                start_sample=record.start_time or 0,
                median_before=MEDIAN_BEFORE,
                end_reason=pod5.EndReason(reason, False),
                run_info=run_of(record),
                signal=record.raw,
            )
        )
        written[0] += 1
        written[1] += len(record.raw)

    return write


def _check_pod5(path: Path, written: list[int]) -> None:
    """Raise OSError if reads or samples are missing: the library does not report a full disk."""
    import pod5

    try:
        with pod5.Reader(path) as reader:
            sizes = [len(read.signal) for read in reader.reads()]
    except (RuntimeError, OSError):
        sizes = []
    if [len(sizes), sum(sizes)] != written:
        raise OSError(_incomplete(path))


def _incomplete(path: Path) -> str:
    free = shutil.disk_usage(path.parent).free
    return f"the POD5 library has left it incomplete; its disk has {free:,} bytes free"


@contextlib.contextmanager
def _blow5(path: Path) -> Iterator[Write]:
    writers: list[Blow5Writer] = []  # one, made with the attributes of the first record
    with open(path, "wb") as file:

        def write(record: SignalRecord) -> None:
            if not writers:
                run, context = tags(record)
                writers.append(Blow5Writer(file, run | context))
            writers[0].write(record, DEVICE_DIGITISATION, MEDIAN_BEFORE)

        yield write
        if writers:
            writers[0].close()


@contextlib.contextmanager
def open_signal(path: str | Path) -> Iterator[Write]:
    """Open a signal file for atomic writing, by its suffix; yields a function that appends a `SignalRecord`.

    All reads of a file are of one run. Digitisation is 8192, the range 8192 x the record's scale. A missing number of a
    record is left out; in POD5 it is 0.

    Raises
    ------
    ConfigError: the suffix is none of `SIGNAL_WRITERS`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SIGNAL_WRITERS:
        raise ConfigError(f"{path}: found the suffix '{suffix}'; allowed are {', '.join(SIGNAL_WRITERS)}")
    with atomic_path(path) as temporary, SIGNAL_WRITERS[suffix](temporary) as write:
        yield write


SIGNAL_WRITERS = {".pod5": _pod5, ".blow5": _blow5, ".fast5": _fast5}
