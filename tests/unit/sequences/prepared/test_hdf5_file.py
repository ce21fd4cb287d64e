"""HDF5 through a file that never refuses: the same content, and a full disk is one error at a known place."""

import errno
import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import BiorrnError
from biorrn.sequences.prepared.files import PAGE, PatientFile, new_file, open_new


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
