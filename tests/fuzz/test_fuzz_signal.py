"""A few damaged inputs of each signal and alignment reader, always the same, and those that once did more than refuse.

`fuzz_signal.py` makes a hundred thousand of each.
"""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import fuzz_signal
import fuzz_signal_seeds as seeds
import numpy as np
import pytest
from fuzz_signal_targets import TARGETS

from biorrn.base.errors import BiorrnError, InputError
from biorrn.nanopore.readers.calls import Moves
from biorrn.nanopore.readers.files import read_all, read_signal
from biorrn.nanopore.readers.slow5 import zlib_record, zstd_record
from biorrn.sequences import guard
from biorrn.sequences.records import ReadCall

pytestmark = pytest.mark.fuzz

SLOW = (
    "fast5",
    "tombo",
    "guppy",
    "pod5",
    "npy",
    "prepared_signal",
    "prepared_proteins",
    "prepared_tags",
    "prepared_pairs",
)  # milliseconds an input


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the sound files of each reader, as bytes."""
    folder = tmp_path_factory.mktemp("seeds")
    return {reader: target.make(folder) for reader, target in TARGETS.items()}


def run(*arguments):
    """Run the fuzzer as a program, in a process whose threads are its own, and return the rows of its table."""
    program = [sys.executable, str(Path(fuzz_signal.__file__)), *map(str, arguments)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    columns, *rows = (line.split("\t") for line in done.stdout.splitlines())
    return {row[0]: dict(zip(columns[1:], map(int, row[1:]), strict=True)) for row in rows}


def test_damaged_files_are_refused_or_read(tmp_path):
    options = ("--seed", 5, "--failures", tmp_path)
    rows = run("--reader", *SLOW, "--inputs", 25, *options)
    rows |= run("--reader", *(TARGETS.keys() - set(SLOW)), "--inputs", 200, *options)
    assert rows.keys() == TARGETS.keys()
    for reader, row in rows.items():
        assert row["inputs"] == (25 if reader in SLOW else 200)
        assert row["refused"] > 0, reader
        assert row["accepted"] > 0, reader
        assert row["crashes"] == row["hangs"] == row["other"] == 0, reader
        assert sum(row[name] for name in ("accepted", "refused", "contained", "stopped")) == row["inputs"]


def test_the_same_seed_makes_the_same_damage(sound):
    for reader in ("blow5", "sam", "paf"):
        inputs = [fuzz_signal.damaged(reader, sound[reader], 1, number) for number in range(20)]
        assert inputs == [fuzz_signal.damaged(reader, sound[reader], 1, number) for number in range(20)]
        assert len(set(inputs)) > 10


@pytest.mark.parametrize("reader", TARGETS)
def test_sound_files_are_accepted(reader, sound, tmp_path):
    for content in sound[reader]:
        path = tmp_path / TARGETS[reader].name
        TARGETS[reader].lay(path, content)
        TARGETS[reader].read(path)


def refused(reader, path, content):
    """Read a damaged file and return what was said of it."""
    TARGETS[reader].lay(path, content)
    with pytest.raises(BiorrnError) as problem:
        TARGETS[reader].read(path)
    assert len(str(problem.value).splitlines()) == 1
    return str(problem.value)


def outcome(path):
    """Return what is said of a damaged file that may be read; another error than a named one fails the test."""
    try:
        list(read_signal(path))
    except InputError as problem:
        return str(problem)
    return ""


def test_hdf5_that_is_read_without_end_is_ended(sound, tmp_path, monkeypatch):
    """An object of no size in a global heap sends HDF5 1.14 round in circles."""
    monkeypatch.setattr(guard, "COMPUTING", 2.0)
    content = bytearray(sound["tombo"][0])
    heap = content.index(b"GCOL")
    size = int.from_bytes(content[heap + 8 : heap + 16], "little")
    content[heap + 16 : heap + size] = bytes(size - 16)
    bad, good = tmp_path / "bad.fast5", tmp_path / "good.fast5"
    bad.write_bytes(content)
    good.write_bytes(sound["tombo"][0])
    problems = []
    assert len(list(read_all([bad, good], problems.append))) == 1
    assert [problem.source for problem in problems] == [str(bad)]


def test_pod5_whose_columns_cross_is_refused_or_read(sound, tmp_path):
    """Offsets of text columns that go back end pod5 0.3 by a signal."""
    content, path = sound["pod5"][0], tmp_path / "a.pod5"
    places = [place for place in range(0, len(content) - 8, 4) if content[place : place + 4] == b"run1"]
    assert places
    for place in places:
        for shift in (8, 16, 64):
            damaged = bytearray(content)
            damaged[place - shift : place - shift + 8] = b"\xf0\xff\xff\x7f" * 2
            path.write_bytes(damaged)
            outcome(path)


def test_hdf5_links_to_other_files_are_not_followed(tmp_path):
    import h5py

    (other := tmp_path / "other.fast5").write_bytes(seeds.written(tmp_path, ".fast5"))
    with h5py.File(other) as file:
        name = next(iter(file))
    with h5py.File(tmp_path / "a.fast5", "w") as file:
        file[name] = h5py.ExternalLink(str(other), name)
    with pytest.raises(InputError, match="link to another file"):
        list(read_signal(tmp_path / "a.fast5"))
    (tmp_path / "secret").write_bytes(b"x" * 400)
    with h5py.File(tmp_path / "b.fast5", "w") as file:
        raw = file.create_group("read_1/Raw")
        raw.create_dataset("Signal", (200,), "i2", external=[(str(tmp_path / "secret"), 0, 400)])
    with pytest.raises(InputError, match="has its samples in another file"):
        list(read_signal(tmp_path / "b.fast5"))


def test_fast5_that_claims_what_it_does_not_hold(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.fast5", "w") as file:
        file.create_dataset("read_1/Raw/Signal", (2**29,), "i2", chunks=(2**20,))
    with pytest.raises(InputError, match="claims 536870912 samples, of which the file holds 0 bytes"):
        list(read_signal(tmp_path / "a.fast5"))


@pytest.mark.parametrize("groups", [0, 2**32 - 1])
def test_blow5_of_billions_of_groups(groups, sound, tmp_path):
    content = bytearray(sound["blow5"][0])
    content[10:14] = groups.to_bytes(4, "little")
    assert "'num_read_groups': found" in refused("blow5", tmp_path / "a.blow5", bytes(content))


def test_slow5_of_numbers_of_thousands_of_digits(sound, tmp_path):
    for old in (b"#num_read_groups\t1", b"#slow5_version\t1", b"\t8192\t", b"\t5000\t", b"T05:41:50Z"):
        content = sound["slow5"][0].replace(old, old[:-1] + b"1" * 5000 + old[-1:], 1)
        assert content != sound["slow5"][0]
        (tmp_path / "a.slow5").write_bytes(content)
        assert len(outcome(tmp_path / "a.slow5")) < 2000


def test_records_that_unpack_to_gigabytes_are_refused():
    import pyarrow

    bomb = bytes(1 << 28)
    for unpack, packed in (
        (zlib_record, zlib.compress(bomb, 9)),
        (zstd_record, pyarrow.compress(bomb, "zstd", asbytes=True)),
    ):
        with pytest.raises(Exception, match="larger than") as problem:
            unpack(packed)
        assert type(problem.value).__name__ == "Fault"


@pytest.mark.parametrize("steps", ["999999999999D", "1,99999999999999999,", "9" * 5000 + ",", "4," * 9])
def test_moves_that_claim_billions(steps, tmp_path):
    row = [seeds.IDS[0], 200, 20, 45, "+", seeds.IDS[0], 6, 0, 6, 6, 6, 255, f"ss:Z:{steps}"]
    (tmp_path / "a.paf").write_text("\t".join(map(str, row)) + "\n")
    with pytest.raises(InputError):
        Moves(tmp_path / "a.paf").place(seeds.IDS[0], ReadCall(np.ones(6, np.uint8)))


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x08\x00{'descr'", b"PK\x05\x06" + bytes(18)]
)
def test_arrays_whose_header_is_no_header(content, sound, tmp_path):
    path = tmp_path / "chunks"
    TARGETS["npy"].lay(path, sound["npy"][0])
    (path / "chunks.npy").write_bytes(content)
    with pytest.raises(InputError):
        TARGETS["npy"].read(path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("base_offsets", [0, 40, 30, 90]),
        ("signal_offsets", [0, 240, 480, 2**40]),
        ("bases", np.full(90, 9)),
        ("starts", np.arange(90)[::-1]),
        ("split", [0, 7, 0]),
    ],
)
def test_prepared_files_with_indices_out_of_range(name, values, sound, tmp_path):
    import h5py

    path = tmp_path / "a.h5"
    path.write_bytes(sound["prepared_signal"][0])
    TARGETS["prepared_signal"].read(path)
    os.utime(path, (1, 1))
    with h5py.File(path, "r+") as file:
        file[name][:] = values
    with pytest.raises(InputError, match="damaged"):
        TARGETS["prepared_signal"].read(path)
