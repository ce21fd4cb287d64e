"""POD5: the fields of a run, its faults, and a run checked once."""

import datetime
import uuid

import numpy as np
import pod5
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.readers.pod5 import read_pod5

THEN = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
TEXTS = ("experiment_name", "flow_cell_product_code", "protocol_name", "protocol_run_id", "sample_id", "flow_cell_id")
TEXTS += ("sequencer_position", "sequencer_position_type", "software", "system_name", "system_type", "sequencing_kit")


def write(path, runs, signal=range(100), **changes):
    """Write one read a run; `runs` are changes of the run's fields."""
    with pod5.Writer(path) as writer:
        for number, run in enumerate(runs):
            fields = {"tracking_id": {}, "context_tags": {}, **dict.fromkeys(TEXTS, ""), **run}
            info = pod5.RunInfo(
                acquisition_id=f"run{number}",
                acquisition_start_time=THEN,
                protocol_start_time=THEN,
                adc_max=4095,
                adc_min=-4096,
                sample_rate=5000,
                **fields,
            )
            read = {
                "read_id": uuid.UUID(int=number + 1),
                "pore": pod5.Pore(3, 1, "not_set"),
                "calibration": pod5.Calibration(-4.0, 0.5),
                "read_number": number,
                "start_sample": 11,
                "median_before": 200.0,
                "end_reason": pod5.EndReason(pod5.EndReasonEnum.MUX_CHANGE, True),
                "run_info": info,
                "signal": np.array(signal, np.int16),
            }
            writer.add_read(pod5.Read(**{**read, **changes}))
    return path


def test_fields(tmp_path):
    path = write(tmp_path / "a.pod5", [{"flow_cell_id": "FAB1", "context_tags": {"sequencing_kit": "sqk-lsk114"}}])
    (read,) = read_pod5(path)
    assert np.array_equal(read.raw, np.arange(100))
    assert (read.read_id, read.sample_rate, read.offset, read.scale) == (str(uuid.UUID(int=1)), 5000.0, -4.0, 0.5)
    assert (read.channel, read.mux, read.read_number, read.start_time) == (3, 1, 0, 11)
    assert (read.run_id, read.flow_cell, read.kit, read.end_reason) == ("run0", "FAB1", "sqk-lsk114", "mux_change")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"protocol_name": "a\nb"}, r"field 'protocol_name': found the control character '\n'"),
        ({"tracking_id": {"a\tb": "c"}}, r"field 'tracking_id (the name of an entry)': found the control"),
        ({"context_tags": {"a": "b\tc"}}, r"field 'context_tags/a': found the control character '\t'"),
    ],
)
def test_a_bad_run_costs_its_field_and_not_its_reads(run, message, tmp_path):
    first, second, third = read_pod5(write(tmp_path / "a.pod5", [{}, run, {}]))
    assert (first.faults, third.faults) == ((), ())
    assert [message in words for words in second.faults] == [True]
    assert (second.run_id, second.channel) == ("run1", 3)


def test_numbers_that_stand_for_unknown_are_none(tmp_path):
    path = write(tmp_path / "a.pod5", [{"tracking_id": {"device_id": "X1"}, "sequencer_position": "1A"}],
                 pore=pod5.Pore(0, 0, "not_set"))  # fmt: skip
    (read,) = read_pod5(path)
    assert (read.channel, read.mux, read.read_number, read.device, read.faults) == (None, None, 0, "X1", ())
    (read,) = read_pod5(write(tmp_path / "b.pod5", [{"sequencer_position": "1A"}]))
    assert read.device == "1A"


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (pod5.Calibration(0.0, 0.0), "'range / digitisation': found 0; allowed is a number above 0"),
        (pod5.Calibration(float("nan"), 1.0), "'offset': found nan"),
    ],
)
def test_calibration_without_a_meaning(calibration, message, tmp_path):
    with pytest.raises(InputError, match=message):
        list(read_pod5(write(tmp_path / "a.pod5", [{}], calibration=calibration)))


def test_a_file_of_no_reads(tmp_path):
    with pytest.raises(InputError, match="holds no reads"):
        list(read_pod5(write(tmp_path / "a.pod5", [])))


def test_damaged_signal_leaves_out_its_read_only(tmp_path):
    path = write(tmp_path / "a.pod5", [{}, {}])
    zstd = b"\x28\xb5\x2f\xfd"  # starts each compressed signal
    content = path.read_bytes()
    assert zstd in content
    path.write_bytes(content.replace(zstd, bytes(4), 1))
    problems = []
    assert [read.run_id for read in read_pod5(path, problems.append)] == ["run1"]
    assert "damaged: " in str(problems[0])


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"a\.pod5: cannot be read: No such file"):
        list(read_pod5(tmp_path / "a.pod5"))
