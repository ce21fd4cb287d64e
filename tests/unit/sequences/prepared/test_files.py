"""Prepared HDF5 files: written, read and checked."""

import errno
import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.sequences.alphabets import RESIDUES, THREE, sequence, tokens
from biorrn.sequences.prepared import files as prepare
from biorrn.sequences.prepared.files import (
    PAGE,
    PatientFile,
    ProteinFile,
    SignalFile,
    new_file,
    open_new,
    protein_writer,
    signal_writer,
)
from biorrn.sequences.prepared.schema import KINDS, SPLITS, split_code
from biorrn.tagging.prepare import tag_writer
from biorrn.translation.data import pair_writer

TARGETS = [{"name": "tm", "unit": "degrees C"}, {"name": "yield", "unit": ""}]


def write_proteins(path, sequences, split=lambda i: i % 3):
    with protein_writer(path, TARGETS) as writer:
        for i, text in enumerate(sequences):
            writer.add(f"p{i}", tokens(text), (float(i), np.nan), 0.5, split(i))
    return path


def write_segment(writer, i, bases=6):
    signal = np.linspace(-1, 1, 10 * bases) + i
    writer.add(f"r{i}", signal, np.arange(bases) % 4 + 1, np.arange(bases) * 10, i % 3, "chr1", i, i + bases, "+")


def write_signal(path, number=7):
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for i in range(number):
            write_segment(writer, i, bases=4 + i)
    return path


@given(st.lists(st.text(alphabet="ACDEFGHIKLMNPQRSTVWYX", max_size=20), min_size=1, max_size=12))
def test_proteins_there_and_back(tmp_path_factory, sequences):
    path = write_proteins(tmp_path_factory.mktemp("prepared") / "p.h5", sequences)
    with ProteinFile(path) as file:
        assert len(file) == len(sequences)
        assert [sequence(file.tokens(i)) for i in range(len(file))] == sequences
        assert file.strings("id") == [f"p{i}" for i in range(len(sequences))]
        assert file.targets == TARGETS
        assert np.array_equal(file.file["targets"][:, 0], np.arange(len(sequences)))
        assert np.isnan(file.file["targets"][:, 1]).all()
        assert (file.file["weights"][:] == 0.5).all()
        assert np.array_equal(
            np.concatenate([file.rows(name) for name in SPLITS]), np.argsort(np.arange(len(file)) % 3, kind="stable")
        )
        assert np.array_equal(file.rows(), np.arange(len(file)))


def test_signal_there_and_back(tmp_path):
    with SignalFile(write_signal(tmp_path / "s.h5")) as file:
        assert (file.normaliser, file.sample_rate) == ("medmad", 4000.0)
        for i in range(len(file)):
            assert np.allclose(file.signal(i), np.linspace(-1, 1, 10 * (4 + i)) + i, atol=0.01)
            bases, starts = file.labels(i)
            assert np.array_equal(bases, np.arange(4 + i) % 4 + 1)
            assert np.array_equal(starts, np.arange(4 + i) * 10)
        assert file.strings("strand") == ["+"] * 7
        assert np.array_equal(
            file.file["ref_end"][:] - file.file["ref_start"][:], np.diff(file.file["base_offsets"][:])
        )


def write_tags(path):
    with tag_writer(path, RESIDUES, THREE) as writer:
        writer.add("a", np.array([1, 2], np.uint8), np.array([0, 255], np.uint8))
    return path


def write_pairs(path):
    with pair_writer(path, "codons", "residues") as writer:
        writer.add("p0", np.array([1, 64], np.uint8), np.array([5], np.uint8))
    return path


WRITE = {
    "protein": lambda path: write_proteins(path, ["ACD", "W"]),
    "signal": write_signal,
    "tags": write_tags,
    "pairs": write_pairs,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_as_the_schema_says(tmp_path, kind):
    path = WRITE[kind](tmp_path / "f.h5")
    with h5py.File(path) as file:
        assert set(file) - {"labels"} == set(KINDS[kind].fields)
        assert set(KINDS[kind].attributes) <= set(file.attrs)
        for name, field in KINDS[kind].fields.items():
            assert set(file[name].attrs) == {"unit", "description"}
            assert (
                (file[name].dtype == field.dtype)
                if field.dtype is not str
                else h5py.check_string_dtype(file[name].dtype)
            )
            assert file[name].ndim == 1 + field.columns


@pytest.mark.parametrize("buffer", [1, 100, 10**6])
def test_a_buffer_of_any_size_gives_the_same_file(tmp_path, monkeypatch, buffer):
    monkeypatch.setattr(prepare, "BUFFER", buffer)
    with SignalFile(write_signal(tmp_path / "s.h5", 20)) as file:
        assert np.array_equal(np.diff(file.file["base_offsets"][:]), np.arange(4, 24))
        assert np.allclose(file.signal(19)[[0, -1]], [18, 20])


def test_the_writer_holds_no_more_than_its_buffer(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "BUFFER", 500)
    with signal_writer(tmp_path / "s.h5", "medmad", 4000.0, "truth") as writer:
        most = 0
        for i in range(300):
            write_segment(writer, i)
            held = sum(len(part) for name in ("signal", "bases", "starts") for part in writer._buffers[name])
            most = max(most, held)
        assert most < 500
        assert len(writer.file["split"]) > 250


def test_nothing_is_left_behind_by_a_failure(tmp_path):
    def fail():
        with protein_writer(tmp_path / "p.h5", TARGETS) as writer:
            writer.add("a", tokens("ACD"), (1.0, 2.0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BiorrnError, match="cannot be written"), protein_writer(tmp_path / "file" / "p.h5", TARGETS):
        pass


def test_the_other_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds protein data; expected a file of `biorrn prepare signal`"):
        SignalFile(write_proteins(tmp_path / "p.h5", ["A"]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.attrs.__delitem__("kind"), "not a file that `biorrn prepare` wrote"),
        (lambda file: file.attrs.__setitem__("schema", 99), "has schema 99; this version of biorrn reads 1"),
        (lambda file: file.__delitem__("offsets"), "is damaged: offsets missing"),
        (lambda file: file["weights"].resize(1, axis=0), "weights has 1 entries for 2 rows"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, damage, message):
    path = write_proteins(tmp_path / "p.h5", ["A", "C"])
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(InputError, match=message):
        ProteinFile(path)


def test_what_is_not_hdf5_is_refused(tmp_path):
    (tmp_path / "p.h5").write_text("no")
    with pytest.raises(InputError, match="not HDF5 or damaged"):
        ProteinFile(tmp_path / "p.h5")
    with pytest.raises(InputError, match="no such file"):
        ProteinFile(tmp_path / "absent.h5")


def test_a_truncated_file_is_refused(tmp_path):
    path = write_proteins(tmp_path / "p.h5", ["ACDEF" * 20] * 50)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError):
        ProteinFile(path)


def test_an_unknown_split_names_the_nearest():
    with pytest.raises(ConfigError, match="split 'vald' is unknown; did you mean 'valid'"):
        split_code("vald")


class Full:
    """A disk that takes a number of bytes and no more."""

    def __init__(self, disk: Any, room: int) -> None:
        self.disk, self.room = disk, room

    def write(self, data: memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = int(self.disk.write(data[: self.room]))
        self.room -= taken
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self.disk, name)


def fill(file: h5py.File, rows: int) -> None:
    rng = np.random.default_rng(0)
    file.attrs["note"] = "x" * 100
    numbers = file.create_dataset("numbers", (0,), "f4", maxshape=(None,), chunks=(1000,), compression="gzip")
    names = file.create_dataset("names", (0,), h5py.string_dtype(), maxshape=(None,), chunks=(50,))
    for start in range(0, rows, 100):
        numbers.resize(start + 100, axis=0)
        names.resize(start + 100, axis=0)
        numbers[start:] = rng.random(100)
        names[start:] = [f"row {number}" for number in range(start, start + 100)]


def test_the_content_is_that_of_h5py(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        fill(file, 3000)
    with new_file(tmp_path / "b.h5") as mine:
        fill(mine, 3000)
        mine.check()
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert dict(a.attrs) == dict(b.attrs)
        for name in ("numbers", "names"):
            assert (a[name][:] == b[name][:]).all()


def write(opened: Any, path: Path, check: bool = False) -> None:
    with opened(path) as file:
        fill(file, 3000)
        file.flush()
        if check:
            file.check()
            raise AssertionError("it should have been told of by now")


@pytest.mark.parametrize("room", [0, 1, 500, 4096, 30_000])
def test_a_full_disk_is_one_error(tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far it came: h5py itself would lose its bearings, here and at the end of the process."""
    begin = PatientFile.__init__

    def small(self: PatientFile, path: str | Path) -> None:
        begin(self, path)
        self.disk = Full(self.disk, room)  # type: ignore[assignment]

    monkeypatch.setattr(PatientFile, "__init__", small)
    with pytest.raises(BiorrnError, match=r"a\.h5: cannot be written: No space left on device"):
        write(new_file, tmp_path / "a.h5")
    with pytest.raises(OSError, match="No space left"):
        write(open_new, tmp_path / "b.h5", check=True)
    assert not (tmp_path / "a.h5").exists()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 3 * PAGE),
    st.lists(st.tuples(st.integers(0, 3 * PAGE), st.integers(0, 2 * PAGE), st.integers(1, 255)), max_size=12),
)
def test_what_was_written_is_read_back_though_the_disk_is_full(
    tmp_path_factory: pytest.TempPathFactory, room: int, writes: list[tuple[int, int, int]]
) -> None:
    like = io.BytesIO()
    with PatientFile(tmp_path_factory.mktemp("full") / "x") as file:
        file.disk = Full(file.disk, room)  # type: ignore[assignment]
        for place, size, value in writes:
            for each in (file, like):
                each.seek(place)
                assert each.write(bytes([value]) * size) == size
        for place, size in [(0, 6 * PAGE), *((place, size) for place, size, _ in writes)]:
            got = bytearray(size)
            file.seek(place)
            assert file.readinto(got) == size
            like.seek(place)
            assert bytes(got) == like.read(size).ljust(size, b"\0")
        assert file.seek(0, io.SEEK_END) == like.seek(0, io.SEEK_END)
