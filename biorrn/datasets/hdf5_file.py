"""Writing HDF5 where the disk may fill up.

The HDF5 library writes what it holds when objects are closed. Where the disk takes no more, closing fails halfway, is
tried again at the end of the process, and may crash it. So the library writes through a file that takes all it is
given: what the disk refused stays in memory, and the first fault is kept.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from biorrn.files import atomic_path

PAGE = 4096  # bytes


class PatientFile(io.RawIOBase):
    """A file for h5py's driver of Python files: after the first write that fails, all others go to memory.

    Attributes
    ----------
    fault : OSError or None: of the first write that failed; the file on disk is not whole then.
    """

    def __init__(self, path: str | Path) -> None:
        self.disk = open(path, "w+b", buffering=0)  # noqa: SIM115  closed by `close`
        self.fault: OSError | None = None
        self._pages: dict[int, bytearray] = {}
        self._place = self._size = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place; one beyond the end is made when something is written there."""
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def write(self, data: Any, /) -> int:
        """Take all of the data."""
        view = memoryview(data).cast("B")
        if not view:
            return 0
        place, self._place = self._place, self._place + len(view)
        self._size = max(self._size, self._place)
        if self.fault is None:
            try:
                self.disk.seek(place)
                rest = view
                while rest:
                    rest = rest[self.disk.write(rest) :]
                return len(view)
            except OSError as error:
                self.fault = error
        done = 0
        while done < len(view):
            page, start = divmod(place + done, PAGE)
            part = view[done : done + PAGE - start]
            self._page(page)[start : start + len(part)] = part
            done += len(part)
        return len(view)

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with what was written, on disk or not; zeros where nothing was."""
        view = memoryview(buffer).cast("B")
        place, self._place = self._place, self._place + len(view)
        found = self._read(place, len(view))
        view[: len(found)] = found
        view[len(found) :] = bytes(len(view) - len(found))
        first = place // PAGE
        for page in range(first, (place + len(view) - 1) // PAGE + 1) if self._pages else ():
            if page in self._pages:
                start, end = max(place, page * PAGE), min(place + len(view), (page + 1) * PAGE)
                view[start - place : end - place] = self._pages[page][start - page * PAGE : end - page * PAGE]
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size."""
        self._size = self._place if size is None else size
        if self.fault is None:
            try:
                self.disk.truncate(self._size)
            except OSError as error:
                self.fault = error
        return self._size

    def flush(self) -> None:
        """Do nothing: no write is held back."""

    def close(self) -> None:
        """Close the file on disk."""
        self.disk.close()
        super().close()

    def check(self) -> None:
        """Raise the first fault, if there was one.

        Raises
        ------
        OSError: a write failed.
        """
        if self.fault is not None:
            raise self.fault

    def _page(self, number: int) -> bytearray:
        if number not in self._pages:
            self._pages[number] = bytearray(self._read(number * PAGE, PAGE).ljust(PAGE, b"\0"))
        return self._pages[number]

    def _read(self, place: int, size: int) -> bytes:
        parts = []
        self.disk.seek(place)
        while size and (part := self.disk.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class NewFile(h5py.File):  # type: ignore[misc]
    """An HDF5 file that is being written; see `new_file`."""

    patient: PatientFile

    def check(self) -> None:
        """Say at once that the disk is full, rather than at the end; memory is bounded by what is written in between.

        Raises
        ------
        OSError: a write failed.
        """
        self.patient.check()


@contextlib.contextmanager
def open_new(path: str | Path, **options: Any) -> Iterator[NewFile]:
    """Open a new HDF5 file under its own name; see `new_file` for one that takes its place at the end.

    Raises
    ------
    OSError: it cannot be written; raised at the end, or by the file's `check`.
    """
    with PatientFile(path) as disk:
        with NewFile(disk, "w", **options) as file:
            file.patient = disk
            yield file
        disk.check()


@contextlib.contextmanager
def new_file(path: str | Path, **options: Any) -> Iterator[NewFile]:
    """Open a new HDF5 file; it takes its place at the end, whole or not at all.

    Parameters
    ----------
    options : of `h5py.File`.

    Raises
    ------
    BiorrnError: it cannot be written.
    """
    with atomic_path(path) as temporary, open_new(temporary, **options) as file:
        yield file
