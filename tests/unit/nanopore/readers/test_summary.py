"""Reads as rows, their summary, and how problems are said."""

import io

import numpy as np

from biorrn.base.errors import InputError
from biorrn.nanopore.readers.summary import COLUMNS, SHOWN, Problems, Summary, row
from biorrn.sequences.records import SignalRecord


def record(length, **changes):
    fields = {"offset": 6.0, "scale": 0.25, "sample_rate": 4000.0, "channel": 3, "run_id": "run1", **changes}
    return SignalRecord("r1", np.zeros(length, np.int16), **fields)


def test_a_row_has_a_cell_a_column_and_blanks_for_what_is_unknown():
    known = dict(zip(COLUMNS, row(record(2000)), strict=True))
    assert (known["samples"], known["seconds"], known["scale"], known["channel"]) == ("2000", "0.500", "0.25", "3")
    assert known["mux"] == known["kit"] == ""
    nothing = dict.fromkeys(("offset", "scale", "sample_rate"), float("nan"))
    unknown = dict(zip(COLUMNS, row(record(2000, **nothing)), strict=True))
    assert unknown["seconds"] == unknown["scale"] == unknown["offset"] == unknown["sample_rate"] == ""


def test_summary_of_known_lengths():
    summary = Summary()
    for length in (10, 20, 30, 40):
        summary.add(record(length))
    summary.add(record(100, run_id="run2", offset=float("nan"), scale=float("nan"), sample_rate=float("nan")))
    rows = dict(summary.rows())
    assert (rows["reads"], rows["samples"], rows["files"]) == ("5", "200", "1")
    assert (rows["samples_shortest"], rows["samples_median"], rows["samples_longest"]) == ("10", "30", "100")
    assert rows["samples_n50"] == "100"  # one read holds half
    assert rows["reads_without_calibration"] == "1"
    assert rows["reads of run run1, flow cell unknown, kit unknown, 4000 Hz"] == "4"


def test_n50_of_equal_reads_is_their_length():
    summary = Summary()
    for _ in range(7):
        summary.add(record(11))
    assert dict(summary.rows())["samples_n50"] == "11"


def test_hours_count_calibrated_reads():
    summary = Summary()
    summary.add(record(4000 * 36))
    assert dict(summary.rows())["hours_of_signal"] == "0.0100"


def test_many_problems_of_one_file_are_counted():
    out = io.StringIO()
    problems = Problems(out)
    for number in range(SHOWN + 7):
        problems(InputError("a", "no good", f"r{number}"))
    problems(InputError("b", "cut short"))
    assert problems.close() == 2
    lines = out.getvalue().splitlines()
    assert len(lines) == SHOWN + 2
    assert lines[0] == "biorrn: error: a: record 'r0': no good"
    assert lines[-2] == "biorrn: error: b: cut short"
    assert lines[-1] == "biorrn: error: a: and 7 further reads like these"
