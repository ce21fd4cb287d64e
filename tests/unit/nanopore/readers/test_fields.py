"""The checks that all signal readers share."""

import numpy as np
import pytest

from biorrn.base.errors import Fault, InputError, faults, guarded, reason, text
from biorrn.nanopore.readers.fields import make_record, whole

GOOD = {"offset": 1.0, "scale": 0.5, "sample_rate": 4000.0}
NOTHING = dict.fromkeys(GOOD, float("nan"))


def test_a_record_is_calibrated_or_says_that_it_is_not():
    raw = np.array([1, 3], np.int16)
    assert make_record("r1", raw, **GOOD).picoamperes().tolist() == [1.0, 2.0]
    assert make_record("r1", raw, **GOOD).picoamperes().dtype == np.float32
    assert not make_record("r1", raw, **NOTHING).calibrated


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_half_a_calibration_is_a_fault(name, value):
    with pytest.raises(Fault):
        make_record("r1", np.zeros(1, np.int16), **{**GOOD, name: value})


@pytest.mark.parametrize("read_id", ["", "@r1", ">r1", "r 1", "r\t1", "r1\n", "é", "-r"])
def test_ids_that_would_break_fastq(read_id):
    with pytest.raises(Fault, match="read_id"):
        make_record(read_id, np.zeros(1, np.int16), **GOOD)


@pytest.mark.parametrize("read_id", ["r1", "1f2e-3d", "S1_1!chr22!100!200!+"])
def test_ids_of_sequencers_and_simulators(read_id):
    assert make_record(read_id, np.zeros(1, np.int16), **GOOD).read_id == read_id


def test_errors_of_libraries_become_one_line():
    assert reason(FileNotFoundError(2, "x")) == "cannot be read: No such file or directory"
    assert reason(KeyError("a\nb")) == "damaged: a"
    assert reason(ValueError("")) == "damaged: ValueError"
    assert len(reason(RuntimeError("x" * 1000))) < 220


def test_only_the_damage_named_is_turned_into_an_error():
    with (
        pytest.raises(InputError, match="a: record 'r': damaged: x"),
        faults("a", "r", KeyError),
    ):
        raise KeyError("x")
    with pytest.raises(InputError, match="larger than the memory"), faults("a"):
        raise MemoryError
    with pytest.raises(ZeroDivisionError), faults("a", "r", KeyError):
        raise ZeroDivisionError


def test_guarded_leaves_the_consumers_errors_alone():
    with pytest.raises(ValueError, match="mine"):  # noqa: PT012
        for _ in guarded([1], "a", ValueError):
            raise ValueError("mine")

    def broken():
        yield 1
        raise ValueError("theirs")

    items = guarded(broken(), "a", ValueError)
    assert next(items) == 1
    with pytest.raises(InputError, match="a: damaged: theirs"):
        next(items)


def test_texts_and_numbers_in_texts():
    assert text("x", "") == ""
    assert whole("x", "007") == 7
    for value in ("", "-1", "1.5", "x", "²"):
        with pytest.raises(Fault, match="allowed is a whole number"):
            whole("x", value)
