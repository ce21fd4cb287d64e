"""Writing reads as POD5, BLOW5 or multi-read FAST5, and their labels as a table; the suffix chooses the format."""

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.datasets.labelled_reads import TRUTH_COLUMNS
from biorrn.encoders.bases import decode_bases
from biorrn.errors import ConfigError
from biorrn.files import atomic_path, scratch_folder, write_text
from biorrn.readers.records import ReadLabels, SignalRecord
from biorrn.simulation.blow5 import END_REASONS, Blow5Writer

DIGITISATION = 8192.0
MEDIAN_BEFORE = 200.0  # picoamperes: the open pore
START = datetime(2026, 1, 1, tzinfo=UTC)  # of every run: the same reads are the same records
VBZ, VBZ_OPTIONS = 32020, (0, 2, 1, 3)  # HDF5 filter: version 0, int16, zig-zag, zstd level 3

TRACKED = ("flow_cell_product_code", "exp_script_name")  # of a record's run tags; the others are context tags

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

    from biorrn.datasets.hdf5_file import open_new

    with open_new(path, track_order=True) as file:  # or reads would come back by name
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
            channel.attrs.update({"offset": record.offset, "range": record.scale * DIGITISATION})
            channel.attrs["digitisation"] = DIGITISATION
            channel.attrs["sampling_rate"] = float(record.sample_rate)
            file.check()
            group.create_group("tracking_id").attrs.update({key: value.encode() for key, value in run.items()})
            group.create_group("context_tags").attrs.update({key: value.encode() for key, value in context.items()})

        yield write


@contextlib.contextmanager
def _pod5(path: Path) -> Iterator[Write]:
    import pod5

    path.unlink(missing_ok=True)  # the writer insists on making the file
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
    # a folder of its own: the library leaves files beside its output where the disk fills up
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
    """Raise OSError where the file does not hold the reads and samples written: the library tells of no full disk."""
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
            writers[0].write(record, DIGITISATION, MEDIAN_BEFORE)

        yield write
        if writers:
            writers[0].close()


@contextlib.contextmanager
def open_signal(path: str | Path) -> Iterator[Write]:
    """Open a signal file for writing by its suffix; it takes its place at the end, whole or not at all.

    Yields a function that appends one `SignalRecord`. Reads of one file are of one run. Digitisation is 8192, the range
    8192 x the record's scale. A number that a record does not have is left out, in POD5 it is 0.

    Raises
    ------
    ConfigError: the suffix is none of `SIGNAL_WRITERS`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SIGNAL_WRITERS:
        raise ConfigError(f"{path}: found the suffix '{suffix}'; allowed are {', '.join(SIGNAL_WRITERS)}")
    with atomic_path(path) as temporary, SIGNAL_WRITERS[suffix](temporary) as write:
        yield write


@contextlib.contextmanager
def open_truth(path: str | Path) -> Iterator[Callable[[str, ReadLabels], None]]:
    """Open a table of labels for writing; yields a function that appends the labels of a read by its id.

    The columns are those that `biorrn prepare signal --labels truth` reads; `.gz` compresses.
    """
    with write_text(path) as out:
        print(*TRUTH_COLUMNS, sep="\t", file=out)

        def write(read_id: str, labels: ReadLabels) -> None:
            place = (labels.reference, labels.ref_start, labels.ref_end, labels.strand)
            starts = ",".join(map(str, labels.starts.tolist()))
            print(read_id, *place, decode_bases(labels.bases), starts, labels.end, sep="\t", file=out)

        yield write


SIGNAL_WRITERS = {".pod5": _pod5, ".blow5": _blow5, ".fast5": _fast5}
