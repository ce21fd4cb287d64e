"""Write simulated reads as multi-read FAST5 (VBZ), POD5 and BLOW5; every file says that they are simulated."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pod5
import pyslow5
import vbz_h5py_plugin  # noqa: F401  registers the VBZ filter with HDF5

SAMPLE_RATE = 4000  # Hz
OFFSET, RANGE, DIGITISATION = 4.0, 1497.77, 8192.0  # picoamperes = (raw + OFFSET) * RANGE / DIGITISATION
START, RUN = datetime(2026, 1, 1, tzinfo=UTC), "51a01a7ed51a01a7ed51a01a7ed51a01a7ed0000"
TAGS = {"sample_id": "simulated", "flow_cell_id": "simulated", "exp_start_time": START.isoformat(), "run_id": RUN}
CONTEXT = {"sequencing_kit": "simulated", "experiment_type": "simulated", "sample_frequency": str(SAMPLE_RATE)}


@dataclass(frozen=True)
class Read:
    """A simulated read and its truth; `starts` count samples of the raw signal, `bases` stand in its order."""

    read_id: str
    number: int
    raw: np.ndarray
    bases: str
    starts: np.ndarray
    end: int
    ref_start: int
    ref_end: int
    strand: str

    @property
    def start_time(self) -> int:
        """Return the sample of the run at which the read began: one read a minute."""
        return SAMPLE_RATE * 60 * self.number


def write_fast5(path: Path, reads: list[Read]) -> None:
    """Write a multi-read FAST5 with VBZ compression (HDF5 filter 32020: version 0, int16, zig-zag, zstd level 3)."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"file_version": b"2.2", "file_type": b"multi-read"})
        for read in reads:
            group = file.create_group(f"read_{read.read_id}")
            group.attrs["run_id"] = RUN.encode()
            raw = group.create_group("Raw")
            packing = {"compression": 32020, "compression_opts": (0, 2, 1, 3)}
            raw.create_dataset("Signal", data=read.raw, chunks=read.raw.shape, **packing)
            raw.attrs.update({"read_id": read.read_id.encode(), "read_number": np.int32(read.number)})
            raw.attrs.update({"start_mux": np.uint8(1), "start_time": np.uint64(read.start_time)})
            raw.attrs.update({"duration": np.uint32(len(read.raw)), "median_before": 200.0, "end_reason": np.uint8(5)})
            channel = group.create_group("channel_id")
            channel.attrs.update({"channel_number": str(read.number + 1).encode(), "digitisation": DIGITISATION})
            channel.attrs.update({"offset": OFFSET, "range": RANGE, "sampling_rate": float(SAMPLE_RATE)})
            group.create_group("tracking_id").attrs.update({key: value.encode() for key, value in TAGS.items()})
            group.create_group("context_tags").attrs.update({key: value.encode() for key, value in CONTEXT.items()})


def write_pod5(path: Path, reads: list[Read]) -> None:
    """Write a POD5 file."""
    words = ("experiment_name", "protocol_name", "protocol_run_id", "sample_id", "sequencing_kit", "sequencer_position")
    words += ("sequencer_position_type", "software", "system_name", "system_type", "flow_cell_id")
    words += ("flow_cell_product_code",)
    times = {"acquisition_start_time": START, "protocol_start_time": START}
    tags = {"context_tags": CONTEXT, "tracking_id": TAGS}
    facts = {"acquisition_id": RUN, "adc_max": 4095, "adc_min": -4096, "sample_rate": SAMPLE_RATE}
    run = pod5.RunInfo(**dict.fromkeys(words, "simulated"), **times, **tags, **facts)
    path.unlink(missing_ok=True)
    with pod5.Writer(path, software_name="biorrn data/make_examples.py") as writer:
        for read in reads:
            writer.add_read(
                pod5.Read(
                    read_id=uuid.UUID(read.read_id),
                    pore=pod5.Pore(read.number + 1, 1, "simulated"),
                    calibration=pod5.Calibration(OFFSET, RANGE / DIGITISATION),
                    read_number=read.number,
                    start_sample=read.start_time,
                    median_before=200.0,
                    end_reason=pod5.EndReason(pod5.EndReasonEnum.SIGNAL_POSITIVE, False),
                    run_info=run,
                    signal=read.raw,
                )
            )


def write_blow5(path: Path, reads: list[Read]) -> None:
    """Write a BLOW5 file (zlib, StreamVByte with zig-zag delta)."""
    path.unlink(missing_ok=True)
    file = pyslow5.Open(str(path), "w", rec_press="zlib", sig_press="svb_zd")
    header = {key: value for key, value in file.get_empty_header().items() if value is not None}
    file.write_header({**header, **TAGS, **CONTEXT})
    for read in reads:
        record, extra = file.get_empty_record(aux=True)
        record.update({"read_id": read.read_id, "read_group": 0, "digitisation": DIGITISATION, "offset": OFFSET})
        record.update({"range": RANGE, "sampling_rate": float(SAMPLE_RATE), "len_raw_signal": len(read.raw)})
        record["signal"] = read.raw
        extra.update({"channel_number": str(read.number + 1), "median_before": 200.0, "read_number": read.number})
        extra.update({"start_mux": 1, "start_time": read.start_time})
        file.write_record(record, {key: value for key, value in extra.items() if value is not None})
    file.close()
