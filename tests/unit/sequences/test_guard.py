"""Reading in a process of its own: the same reads, and one line where that process dies."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from biorrn.base.errors import InputError
from biorrn.nanopore.readers import fast5
from biorrn.nanopore.readers.files import read_all, read_signal
from biorrn.sequences import guard
from biorrn.sequences.guard import HEAD, Guarded, decode, encode
from biorrn.sequences.records import ReadCall, ReadLabels, SignalRecord

READERS = """
import os, signal
import numpy as np
from biorrn.base.errors import InputError
from biorrn.sequences.records import SignalRecord

def read(path, on_problem):
    word = path.read_text()
    for number in range(3):
        yield SignalRecord(f"{path.stem}-{number}", np.arange(5, dtype=np.int16), 0.0, 1.0, 4000.0, source=path)
        if number == 1:
            ACTS[word](path, on_problem)

def spin(path, on_problem):
    while True:
        pass

def bad_read(path, on_problem):
    on_problem(InputError(path, "found a wrong field", "r2"))

ACTS = {
    "sound": lambda path, on_problem: None,
    "segfault": lambda path, on_problem: os.kill(os.getpid(), signal.SIGSEGV),
    "abort": lambda path, on_problem: os.abort(),
    "exit": lambda path, on_problem: os._exit(3),
    "hungry": lambda path, on_problem: bytearray(1 << 40),
    "bug": lambda path, on_problem: 1 / 0,
    "bad read": bad_read,
    "spin": spin,
    "babble": lambda path, on_problem: [os.write(fd, b"\\xff" * 64) for fd in range(3, 9) if writable(fd)],
}

def writable(fd):
    try:
        return os.write(fd, b"\\xff") == 1
    except OSError:
        return False
"""


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """Return a guarded reader that does in its process what a file says, and what makes such a file."""
    (tmp_path / "odd_reader.py").write_text(READERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(guard, "_idle", [])

    def make(word, name="a"):
        path = tmp_path / f"{name}.fast5"
        path.write_text(word)
        return path

    yield Guarded("odd_reader:read", "odd"), make
    guard._close()


def names(reads):
    return [read.read_id for read in reads]


def test_a_sound_file_is_read_by_one_process_again_and_again(odd):
    read, make = odd
    for name in "ab":
        assert names(read(make("sound", name))) == [f"{name}-0", f"{name}-1", f"{name}-2"]
        assert len(guard._idle) == 1


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("segfault", "the odd library crashed on it (signal 11, SIGSEGV)"),
        ("abort", "the odd library crashed on it (signal 6, SIGABRT)"),
        ("exit", "the odd library crashed on it (exit code 3)"),
        ("babble", "the odd library crashed on it (it answers in no known way)"),
        ("spin", "the odd library found no end of it in 2 seconds of computing"),
        ("hungry", "a length in it is larger than the memory"),
    ],
)
def test_what_kills_the_process_is_one_line_after_the_reads_before_it(odd, word, said, monkeypatch):
    read, make = odd
    monkeypatch.setattr(guard, "COMPUTING", 2.0)
    path, found = make(word), []
    with pytest.raises(InputError) as problem:
        found.extend(read(path))
    assert str(problem.value) == f"{path}: damaged: {said}"
    assert names(found) == ["a-0", "a-1"]
    assert len(names(read(make("sound")))) == 3


def test_one_crash_among_many_files_costs_that_file_alone(odd):
    read, make = odd
    paths = [make("segfault" if number == 7 else "sound", f"f{number:02}") for number in range(20)]
    problems = []
    reads = names(read_all(paths, problems.append, read=read))
    assert len(reads) == 19 * 3 + 2
    assert [Path(problem.source).name for problem in problems] == ["f07.fast5"]


def test_a_fault_of_ours_keeps_its_traceback(odd):
    read, make = odd
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(read(make("bug")))


def test_a_bad_read_is_reported_and_the_rest_goes_on(odd):
    read, make = odd
    problems = []
    assert len(names(read(make("bad read"), problems.append))) == 3
    assert [(problem.problem, problem.record) for problem in problems] == [("found a wrong field", "r2")]
    with pytest.raises(InputError, match="record 'r2': found a wrong field"):
        list(read(make("bad read")))
    assert len(names(read(make("sound")))) == 3


def test_two_files_at_once_and_one_left_early(odd):
    read, make = odd
    one, other = read(make("sound", "a")), read(make("sound", "b"))
    assert (next(one).read_id, next(other).read_id) == ("a-0", "b-0")
    one.close()
    assert names(other) == ["b-1", "b-2"]
    assert names(read(make("sound", "c"))) == ["c-0", "c-1", "c-2"]


def test_a_process_that_was_ended_while_idle_blames_no_file(odd):
    read, make = odd
    list(read(make("sound")))
    os.kill(guard._idle[0]._child.pid, 9)
    guard._idle[0]._child.wait()
    assert len(names(read(make("sound")))) == 3


def test_a_process_that_cannot_start_is_no_fault_of_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(guard, "_idle", [])
    monkeypatch.setattr(guard, "START", "import nothing_of_this_name")
    with pytest.raises(RuntimeError, match="nothing_of_this_name"):
        list(Guarded("odd:read", "odd")(tmp_path / "a.fast5"))


def test_relative_paths_are_those_of_the_one_that_asks(odd, monkeypatch, tmp_path):
    read, make = odd
    list(read(make("sound")))
    (tmp_path / "sub").mkdir()
    make("sound", "sub/x")
    monkeypatch.chdir(tmp_path / "sub")
    ((first), *_) = read("x.fast5")
    assert first.source == Path("x.fast5")


def test_guarded_reads_are_those_of_the_reader_itself(tmp_path):
    path = tmp_path / "a.fast5"
    with h5py.File(path, "w") as file:
        for number in range(3):
            raw = np.arange(number * 1000, dtype=np.int16)
            group = file.create_group(f"read_{number}")
            group.create_dataset("Raw/Signal", data=raw)
            channel = {"offset": 0.1 + 0.2, "range": 1400.1, "digitisation": 8192.0, "sampling_rate": 4000.0}
            group.create_group("channel_id").attrs.update(channel)
            group.create_group("tracking_id").attrs["exp_start_time"] = "2024-01-01T05:30:00Z"
    for found, wanted in zip(read_signal(path), fast5.read_fast5(path), strict=True):
        assert np.array_equal(found.raw, wanted.raw)
        assert found.raw.flags.writeable
        for name in SignalRecord.__dataclass_fields__:
            assert name == "raw" or getattr(found, name) == getattr(wanted, name)


@pytest.mark.parametrize(
    "record",
    [
        ReadLabels(np.array([1, 2, 3], np.uint8), np.array([5, 9, 2**40]), 2**41, "chr\t\u00e9\ud800", 4, 7, "-"),
        ReadCall(np.zeros(0, np.uint8)),
        ReadCall(np.array([1, 4], np.uint8), np.array([3, 4]), 9, 12.5),
        SignalRecord("r", np.array([-(2**15), 2**15 - 1, 0], np.int16), float("nan"), 0.1, 1e-300, source=Path("a b")),
    ],
)
def test_records_come_back_as_sent(record):
    message = b"".join(encode({"item": [record, None]}))
    words, arrays = HEAD.unpack(message[: HEAD.size])
    text = message[HEAD.size : HEAD.size + words]
    data = np.frombuffer(message[HEAD.size + words :], np.uint8)
    assert len(data) == arrays
    found, nothing = decode(text, data)["item"]
    assert nothing is None
    for name in type(record).__dataclass_fields__:
        one, other = getattr(found, name), getattr(record, name)
        assert one is other is None or np.array_equal(one, other, equal_nan=isinstance(other, float))
