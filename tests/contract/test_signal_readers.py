"""What each entry of SIGNAL_READERS promises: the same reads from every format, and a clear error from a cut file."""

import datetime
import logging
import uuid
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.readers.files import SIGNAL_READERS, find_signal_files, read_all, read_signal
from biorrn.sequences.records import SignalRecord

THEN = datetime.datetime(2024, 1, 1, 5, 30, tzinfo=datetime.UTC)  # when the run began


@pytest.fixture(scope="module")
def records():
    """Return three reads, one of them without samples."""
    random = np.random.default_rng(1)
    made = []
    for number, length in enumerate((3000, 0, 1)):
        raw = np.cumsum(random.integers(-300, 300, length)).clip(-4000, 4000).astype(np.int16)
        made.append(
            SignalRecord(
                read_id=str(uuid.UUID(int=number + 1)),
                raw=raw,
                offset=6.0,
                scale=0.25,
                sample_rate=4000.0,
                channel=number + 1,
                mux=2,
                read_number=number,
                start_time=number * 5000,
                run_id="run1",
                flow_cell="FAB1",
                kit="sqk-lsk109",
                end_reason="signal_positive",
                run_start=THEN,
                sample_id="sample1",
                run_tags={"flow_cell_product_code": "FLO-MIN106", "sequencing_kit": "sqk-lsk109"},
            )
        )
    return made


def write_fast5(path, records):
    codes = {"unknown": 0, "mux_change": 2, "signal_positive": 5}
    with h5py.File(path, "w") as file:
        for record in records:
            group = file.create_group(f"read_{record.read_id}")
            group.create_dataset("Raw/Signal", data=record.raw, compression="gzip" if len(record.raw) else None)
            group["Raw"].attrs["read_id"] = np.bytes_(record.read_id)
            for name, value in (
                ("start_mux", np.uint8(record.mux)),
                ("read_number", np.int32(record.read_number)),
                ("start_time", np.uint64(record.start_time)),
            ):
                group["Raw"].attrs[name] = value
            kind = h5py.enum_dtype(codes, basetype="u1")
            group["Raw"].attrs.create("end_reason", codes[record.end_reason], dtype=kind)
            channel = group.create_group("channel_id").attrs
            channel["channel_number"] = str(record.channel)
            channel["offset"], channel["sampling_rate"] = record.offset, record.sample_rate
            channel["digitisation"], channel["range"] = 8192.0, 8192.0 * record.scale
            group.create_group("tracking_id").attrs.update(
                {"run_id": record.run_id, "flow_cell_id": record.flow_cell, "flow_cell_product_code": b"FLO-MIN106"}
                | {"exp_start_time": "2024-01-01T06:30:00+01:00", "sample_id": record.sample_id}
            )
            group.create_group("context_tags").attrs["sequencing_kit"] = record.kit


def write_pod5(path, records):
    import pod5

    texts = ("experiment_name", "protocol_name", "protocol_run_id")
    texts += ("sequencer_position", "sequencer_position_type", "software", "system_name", "system_type")
    with pod5.Writer(path) as writer:
        for record in records:
            run = pod5.RunInfo(
                acquisition_id=record.run_id,
                acquisition_start_time=THEN,
                protocol_start_time=THEN,
                adc_max=4095,
                adc_min=-4096,
                context_tags={},
                tracking_id={},
                flow_cell_id=record.flow_cell,
                flow_cell_product_code="FLO-MIN106",
                sequencing_kit=record.kit,
                sample_rate=int(record.sample_rate),
                sample_id=record.sample_id,
                **dict.fromkeys(texts, ""),
            )
            writer.add_read(
                pod5.Read(
                    read_id=uuid.UUID(record.read_id),
                    pore=pod5.Pore(record.channel, record.mux, "not_set"),
                    calibration=pod5.Calibration(record.offset, record.scale),
                    read_number=record.read_number,
                    start_sample=record.start_time,
                    median_before=0.0,
                    end_reason=pod5.EndReason.from_reason_with_default_forced(pod5.EndReasonEnum.SIGNAL_POSITIVE),
                    run_info=run,
                    signal=record.raw,
                )
            )


def write_slow5(path, records, **press):
    import pyslow5

    file = pyslow5.Open(str(path), "w", **press)
    logging.getLogger("pyslow5").handlers.clear()  # each Open adds one
    _, labels = file.get_empty_header(aux=True)
    header = {"run_id": "run1", "flow_cell_id": "FAB1", "sequencing_kit": "sqk-lsk109"}
    header |= {"flow_cell_product_code": "FLO-MIN106"}
    header |= {"exp_start_time": str(int(THEN.timestamp())), "sample_id": "sample1"}
    assert file.write_header(header, end_reason_labels=labels) == 0
    for record in records:
        main, aux = file.get_empty_record(aux=True)
        main |= {
            "read_id": record.read_id,
            "read_group": 0,
            "digitisation": 8192.0,
            "offset": record.offset,
            "range": 8192.0 * record.scale,
            "sampling_rate": record.sample_rate,
            "len_raw_signal": len(record.raw),
            "signal": record.raw,
        }
        aux |= {
            "channel_number": str(record.channel),
            "median_before": 0.0,
            "read_number": record.read_number,
            "start_mux": record.mux,
            "start_time": record.start_time,
            "end_reason": labels.index(record.end_reason),
        }
        assert file.write_record(main, aux) == 0
    file.close()


WRITERS = {".fast5": write_fast5, ".pod5": write_pod5, ".slow5": write_slow5, ".blow5": write_slow5}


def test_every_format_has_a_writer_here():
    assert WRITERS.keys() == SIGNAL_READERS.keys()


def same(found, wanted, path):
    """Assert that a read is the one written, in every field."""
    assert np.array_equal(found.raw, wanted.raw)
    assert found.raw.dtype == np.int16
    assert replace(found, raw=None, source=Path()) == replace(wanted, raw=None)
    assert found.source == path
    assert np.allclose(found.picoamperes(), (wanted.raw + 6.0) * 0.25)


@pytest.mark.parametrize("suffix", SIGNAL_READERS)
def test_reads_come_back_as_written(suffix, records, tmp_path):
    if suffix in (".slow5", ".blow5"):
        records = [record for record in records if len(record.raw)]  # pyslow5 does not write an empty signal
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path, records)
    found = sorted(read_signal(path), key=lambda record: record.read_number)
    assert len(found) == len(records)
    for one, other in zip(found, records, strict=True):
        same(one, other, path)


@pytest.mark.parametrize("suffix", SIGNAL_READERS)
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, -1])
def test_a_cut_file_is_one_clear_error(suffix, part, records, tmp_path):
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    WRITERS[suffix](whole, [records[0]])
    content = whole.read_bytes()
    cut.write_bytes(content[: int(part * len(content)) if part >= 0 else -1])
    with pytest.raises(InputError, match=f"^{cut}: [^\n]+$"):
        list(read_signal(cut))


@pytest.mark.parametrize("suffix", SIGNAL_READERS)
@pytest.mark.parametrize("content", [b"hello\n", b"\0" * 100_000, bytes(range(256)) * 20])
def test_a_file_of_something_else_is_one_clear_error(suffix, content, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: [^\n]+$"):
        list(read_signal(path))


def test_formats_mix_in_nested_folders(records, tmp_path):
    for depth, (suffix, write) in enumerate(WRITERS.items()):
        folder = tmp_path.joinpath(*"abcd"[:depth])
        folder.mkdir(exist_ok=True)
        write(folder / f"x{suffix}", [replace(records[0], read_id=str(uuid.UUID(int=depth + 1)))])
    (tmp_path / "a" / "notes.txt").write_text("no signal")
    assert len(find_signal_files([tmp_path])) == len(WRITERS)
    found = list(read_all([tmp_path]))
    assert sorted(record.read_id for record in found) == [str(uuid.UUID(int=n + 1)) for n in range(len(WRITERS))]
    assert all(np.array_equal(record.raw, records[0].raw) for record in found)


def test_one_damaged_file_does_not_stop_the_others(records, tmp_path):
    for suffix, write in WRITERS.items():
        write(tmp_path / f"good{suffix}", [records[0]])
        (tmp_path / f"bad{suffix}").write_bytes(b"nothing")
    problems = []
    assert len(list(read_all([tmp_path], problems.append))) == len(WRITERS)
    assert {Path(problem.source).name for problem in problems} == {f"bad{suffix}" for suffix in WRITERS}
