"""Prepared HDF5 files: writers in bounded memory, and readers. The schema is in `sequences.prepared.schema`."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from biorrn.base.errors import InputError
from biorrn.base.files import atomic_path
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.prepared import schema
from biorrn.sequences.prepared.integrity import check_whole

PAGE = 4096  # bytes


class PatientFile(io.RawIOBase):
    """A file for h5py's driver of Python files; after the first failed write, further writes go to memory.

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
        """Raise at once where the disk is full, which bounds the memory.

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


BUFFER = 1 << 20  # elements held before they are written


class Writer:
    """Appends rows to an open prepared file; only a buffer is in memory. See `protein_writer` and `signal_writer`."""

    def __init__(self, file: NewFile, kind: str, columns: int = 0, optional: Sequence[str] = ()) -> None:
        schema.create(file, kind, columns, optional)
        self.file, self.columns = file, columns
        self.rows = 0
        self._fields = schema.fields_of(file, kind)
        self._buffers: dict[str, list[Any]] = {name: [] for name in self._fields}
        self._ends = {name: 0 for name, field in self._fields.items() if field.axis == "rows+1"}
        self._held = 0

    def _append(self, row: Mapping[str, Any], ends: Mapping[str, int]) -> None:
        """Add one row: a value for each row dataset, an array for each flat one, and the growth of each offset."""
        for name, value in row.items():
            self._buffers[name].append(value)
            self._held += len(value) if self._fields[name].axis not in ("rows", "rows+1") else 1
        for name, growth in ends.items():
            self._ends[name] += growth
            self._buffers[name].append(self._ends[name])
        self.rows += 1
        if self._held >= BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what is held.

        Raises
        ------
        OSError: the disk is full.
        """
        for name, held in self._buffers.items():
            if not held:
                continue
            field = self._fields[name]
            flat = field.axis not in ("rows", "rows+1")
            new = np.concatenate(held) if flat else held if field.dtype is str else np.asarray(held, field.dtype)
            target = self.file[name]
            before = len(target)
            target.resize(before + len(new), axis=0)
            if 0 not in target.shape[1:]:  # proteins without targets
                target[before:] = new
            held.clear()
        self._held = 0
        self.file.check()


class ProteinWriter(Writer):
    """Appends proteins; see `protein_writer`."""

    def __init__(self, file: NewFile, kind: str, columns: int = 0, optional: Sequence[str] = ()) -> None:
        super().__init__(file, kind, columns, optional)
        self._bounds: dict[int, np.ndarray] = {}

    def finish(self) -> None:
        """Write what is held, and the bounds of censored values where there are any."""
        self.flush()
        if not self._bounds:
            return
        both = np.full((self.rows, self.columns, 2), np.nan, np.float32)
        for row, bounds in self._bounds.items():
            both[row] = bounds
        for place, (name, field) in enumerate(schema.BOUNDS.items()):
            made = self.file.create_dataset(name, data=both[:, :, place], maxshape=(None, self.columns))
            made.attrs["unit"], made.attrs["description"] = field.unit, field.description
        self._bounds.clear()

    def add(
        self,
        id: str,
        tokens: np.ndarray,
        targets: Sequence[float],
        weight: float = 1.0,
        split: int = 0,
        bounds: Sequence[Sequence[float]] | np.ndarray = (),
    ) -> None:
        """Append one protein: tokens uint8 (T,), one target a column (NaN where missing), and the code of its split.

        `bounds` is (lowest, highest) of each target that is censored, NaN twice of others; empty where none is.
        """
        if len(bounds) and not np.isnan(bounds).all():
            self._bounds[self.rows] = np.asarray(bounds, np.float32)
        row = {"id": id, "tokens": tokens, "targets": targets, "weights": weight, "split": split}
        self._append(row, {"offsets": len(tokens)})


class SignalWriter(Writer):
    """Appends segments; see `signal_writer`."""

    def add(
        self,
        read_id: str,
        signal: np.ndarray,
        bases: np.ndarray,
        starts: np.ndarray,
        split: int = 0,
        reference: str = "",
        ref_start: int = -1,
        ref_end: int = -1,
        strand: str = "",
    ) -> None:
        """Append one segment: signal (T,) normalised, bases (L,) of 1..4, starts (L,) in samples of the segment."""
        row = {
            "read_id": read_id,
            "signal": signal.astype(np.float16),
            "bases": bases.astype(np.uint8),
            "starts": starts.astype(np.int32),
            "split": split,
            "reference": reference,
            "ref_start": ref_start,
            "ref_end": ref_end,
            "strand": strand,
        }
        self._append(row, {"signal_offsets": len(signal), "base_offsets": len(bases)})


@contextlib.contextmanager
def protein_writer(
    path: str | Path, targets: Sequence[Mapping[str, Any]], alphabet: str = RESIDUES
) -> Iterator[ProteinWriter]:
    """Open a new protein file; it takes its place at the end, whole or not at all.

    Parameters
    ----------
    path : the HDF5 file to write.
    targets : list of {"name", "unit"}: one a column; one of classes has "classes", the names of its values;
        "sets" is true where these are sets of classes, see `sequences.tables.classes`.
    alphabet : str: letters of the sequences; a token is the place of its letter, from 1.
    """
    with new_file(path) as file:
        file.attrs["alphabet"], file.attrs["targets"] = alphabet, json.dumps(list(targets))
        file.attrs["sources"] = "{}"
        writer = ProteinWriter(file, "protein", len(targets))
        yield writer
        writer.finish()


@contextlib.contextmanager
def signal_writer(
    path: str | Path,
    normaliser: str,
    sample_rate: float,
    labels: str,
    chemistry: Mapping[str, int] | None = None,
    rna: bool = False,
) -> Iterator[SignalWriter]:
    """Open a new signal file; it takes its place at the end, whole or not at all.

    Parameters
    ----------
    path : the HDF5 file to write.
    normaliser : str: entry of `nanopore.signal.NORMALISERS` that made the signal.
    sample_rate : float: samples a second (Hz).
    labels : str: where the bases come from ("events" or "truth").
    chemistry : reads by their chemistry (`nanopore.chemistry`), looked at when the block ends.
    rna : bool: the signal runs 3' to 5', and so do the bases.
    """
    with new_file(path) as file:
        file.attrs["normaliser"], file.attrs["sample_rate"], file.attrs["labels"] = normaliser, sample_rate, labels
        file.attrs["sources"] = "{}"
        if rna:
            file.attrs["rna"] = 1
        writer = SignalWriter(file, "signal")
        yield writer
        writer.flush()
        file.attrs["chemistry"] = json.dumps(dict(chemistry or {}))


class PreparedFile:
    """An open prepared file; use it in a `with` statement."""

    kind: str | None = None  # of the file; None: any

    def __init__(self, path: str | Path) -> None:
        """Open and check the file.

        Raises
        ------
        InputError: it cannot be read, or is not a prepared file of this kind.
        """
        self.path = Path(path)
        check_whole(path, self.kind)
        self.file = h5py.File(path, "r")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def __len__(self) -> int:
        return len(self.file["split"])

    @property
    def sources(self) -> dict[str, str]:
        """Return path -> SHA-256 of the files that this one was made from."""
        return dict(json.loads(self.file.attrs["sources"]))

    def strings(self, name: str) -> list[str]:
        """Return a text dataset (N,) as a list."""
        return list(self.file[name].asstr()[:])

    def rows(self, split: str | None = None) -> np.ndarray:
        """Return the int64 indices of the rows of a split ("train", "valid" or "test"; None: all), in file order.

        Several splits are joined by "+": "train+valid".
        """
        codes = self.file["split"][:]
        if split is None:
            return np.arange(len(codes))
        return np.flatnonzero(np.isin(codes, [schema.split_code(name) for name in split.split("+")]))

    def filled(self, split: str | None, rows: str) -> np.ndarray:
        """Return the rows of a split as `rows` does; `rows` names what they are.

        Raises
        ------
        InputError: the split is empty.
        """
        found = self.rows(split)
        if not len(found):
            raise InputError(self.path, f"split '{split}' is empty; the file holds {len(self)} {rows} in other splits")
        return found


def offsets_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return where sequences of these lengths (N,) start in a flat array, and its end: int64 (N + 1,)."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def gather(flat: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the concatenated slices flat[offsets[row]:offsets[row + 1]]; one read a run of neighbouring rows."""
    if not len(rows):
        return np.zeros(0, np.uint8)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    if len(runs) > 1000:  # scattered rows: thousands of small reads cost more than one of everything
        flat = flat[:]
    return np.concatenate([flat[offsets[run[0]] : offsets[run[-1] + 1]] for run in runs])


class SequenceFile(PreparedFile):
    """A prepared file of proteins or DNA of any kind, open for reading."""

    def __init__(self, path: str | Path) -> None:
        """Open and check the file; see `PreparedFile`."""
        super().__init__(path)
        if "tokens" not in self.file:
            kind = self.file.attrs["kind"]
            self.file.close()
            raise InputError(path, f"holds {kind} data; expected a file of `biorrn prepare protein`")

    @property
    def alphabet(self) -> str:
        """Return the letters; the token of a letter is its place, from 1."""
        return str(self.file.attrs["alphabet"])

    @property
    def targets(self) -> list[dict[str, Any]]:
        """Return {"name", "unit"} of each column of targets or of values; none in a file of labels."""
        return list(json.loads(self.file.attrs.get("targets", "[]")))

    def tokens(self, row: int) -> np.ndarray:
        """Return the tokens of one sequence, uint8 (T,)."""
        start, end = self.file["offsets"][row : row + 2]
        return np.asarray(self.file["tokens"][start:end])


class ProteinFile(SequenceFile):
    """A prepared protein file, open for reading."""

    kind = "protein"

    @property
    def bounds(self) -> np.ndarray | None:
        """Return the lowest and highest value of each censored target, float32 (N, K, 2), or None where none is."""
        if "lower" not in self.file:
            return None
        return np.stack([self.file["lower"][:], self.file["upper"][:]], axis=2)


class SignalFile(PreparedFile):
    """A prepared signal file, open for reading."""

    kind = "signal"

    @property
    def normaliser(self) -> str:
        """Return the entry of `nanopore.signal.NORMALISERS` that made the signal."""
        return str(self.file.attrs["normaliser"])

    @property
    def sample_rate(self) -> float:
        """Return the samples a second (Hz)."""
        return float(self.file.attrs["sample_rate"])

    @property
    def chemistry(self) -> dict[str, int]:
        """Return reads by their chemistry (`nanopore.chemistry`); empty where nothing was kept of it."""
        return dict(json.loads(self.file.attrs.get("chemistry", "{}")))

    @property
    def rna(self) -> bool:
        """Return whether the signal, and the bases with it, run 3' to 5'."""
        return bool(self.file.attrs.get("rna", 0))

    def signal(self, row: int) -> np.ndarray:
        """Return the normalised current of one segment, float16 (T,)."""
        start, end = self.file["signal_offsets"][row : row + 2]
        return np.asarray(self.file["signal"][start:end])

    def labels(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the bases uint8 (L,) and their starts int32 (L,) of one segment."""
        start, end = self.file["base_offsets"][row : row + 2]
        return np.asarray(self.file["bases"][start:end]), np.asarray(self.file["starts"][start:end])
