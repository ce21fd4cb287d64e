"""Journal of finished work, from which an interrupted run resumes.

The file is a line that names the format, then entries: length and CRC-32 of a payload, and the payload, a compressed
line of JSON and a text. The first entry is the head: the settings of the run. An entry is written as soon as its item
is done, so that a killed process loses none, and synced to disk every few seconds. On resuming, the file is cut at the
first damaged entry.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.base.files import sync
from biorrn.base.locks import hold

MAGIC = b"biorrn partial 1\n"
FRAME = struct.Struct("<II")  # length of the payload, CRC-32 of the payload
SYNC = 5.0  # seconds between requests to put entries on the disk
SUFFIX = ".partial"
KEPT, WAIT = 2000, 5.0  # results, and seconds, after which `Kept` writes

Entry = dict[str, Any]


class Journal:
    """Entries in the order in which they were appended; see `open_journal`. Closing it does not remove it."""

    def __init__(self, file: IO[bytes], path: Path | None, head: Entry, count: int, end: int) -> None:
        self.head = head
        self.path = path
        self.count = count  # entries after the head
        self._file = file
        self._end = end  # where the next entry goes
        self._synced = time.monotonic()

    def append(self, entry: Entry, text: str = "") -> None:
        """Add an entry: JSON values, and a text of any length."""
        self._end = _written(self._file, self.path, self._end, _frame(entry, text))
        self.count += 1
        if self.path is not None and time.monotonic() - self._synced >= SYNC:
            self.sync()

    def sync(self) -> None:
        """Return when all entries are on the disk."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def entries(self) -> Iterator[tuple[int, Entry, str]]:
        """Yield place, entry and text of each entry but the head."""
        frames = _frames(self._file, len(MAGIC))
        next(frames, None)
        for place, _, entry, text in frames:
            yield place, entry, text

    def entry(self, place: int) -> tuple[Entry, str]:
        """Return the entry and the text at a place that `entries` gave."""
        return next(_frames(self._file, place))[2:]

    def close(self, remove: bool = False) -> None:
        """Close the file; `remove` it if it has a name."""
        if remove and self.path is not None:
            self.path.unlink(missing_ok=True)
        self._file.close()


def open_journal(path: Path | None, head: Entry, resume: bool = False, wait: float = 0.0) -> Journal:
    """Start or resume a journal.

    Parameters
    ----------
    path : Path; None: a nameless temporary file.
    head : dict of JSON values: the settings of the run. Its entry "must" has the settings that decide the output, by
        the names of their options; on resuming they must be the same. The rest comes from the journal.
    resume : bool: resume where a journal exists.
    wait : float: seconds to wait for another process that writes it to end.

    Raises
    ------
    BiorrnError: a journal with entries is there and `resume` is False; it was begun with another "must"; another
        process writes it; or it cannot be written.
    """
    if path is None:
        return _started(tempfile.TemporaryFile(prefix="biorrn.", buffering=0), None, head)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BiorrnError(f"{path}: cannot be written: {error.strerror}") from error
    handle = hold(handle, path, f"{path}: another process{{who}} is writing it", wait)
    file = os.fdopen(handle, "r+b", buffering=0)  # a buffer that a full disk does not take would fail again at the end
    try:
        start = file.read(len(MAGIC))
        if not MAGIC.startswith(start):
            raise BiorrnError(f"{path}: is not a partial output of this version of biorrn; move it away")
        frames = _frames(file, len(MAGIC))
        first = next(frames, None)
        if first is None or (not resume and next(frames, None) is None):
            return _started(file, path, head)  # nothing in it but, perhaps, a torn head
        if not resume:
            raise BiorrnError(f"{path}: is the partial output of an interrupted run; add --resume to continue, "
                              "or delete it to start over")  # fmt: skip
        _, end, begun, _ = first
        _check(path, begun.get("must", {}), json.loads(json.dumps(head["must"])))
        ends = [end, *(following for _, following, _, _ in _frames(file, end))]
        file.truncate(ends[-1])
        return Journal(file, path, begun, len(ends) - 1, ends[-1])
    except BaseException:
        if os.fstat(file.fileno()).st_size == 0:  # the disk is too full for a head
            path.unlink(missing_ok=True)
        file.close()
        raise


class Kept:
    """Items of a run, JSON values, that are kept in a journal while it goes on; see `open_kept`.

    An item may hold several results.

    Attributes
    ----------
    count : int: results of an earlier run.
    """

    def __init__(self, path: Path | None, must: Entry, resume: bool) -> None:
        self.path, self.must = path, must
        self.journal: Journal | None = None
        if path is not None and (path.exists() or resume):
            self.journal = open_journal(path, {"must": must}, resume)
        self.count = sum(entry["items"] for _, entry, _ in self.journal.entries()) if self.journal else 0
        self._waiting: list[Any] = []
        self._results = 0  # that the waiting items hold
        self._written = time.monotonic()

    def items(self) -> Iterator[Any]:
        """Yield the items of an earlier run."""
        if self.journal is not None and self.count:
            for _, _, text in self.journal.entries():
                yield from map(json.loads, text.split("\n"))

    def add(self, item: Any, results: int = 1) -> None:
        """Keep an item, which must not change. Nothing is written in the first seconds: a short run leaves no file."""
        if self.path is None:
            return
        self._waiting.append(item)
        self._results += results
        full = self._results >= KEPT and self.journal is not None
        if full or time.monotonic() - self._written >= WAIT:
            self.write()

    def write(self) -> None:
        """Write the items that wait."""
        if self.journal is None and self.path is not None:
            self.journal = open_journal(self.path, {"must": self.must})
        if self.journal is not None and self._waiting:
            self.journal.append({"items": self._results}, "\n".join(map(json.dumps, self._waiting)))
            self._waiting.clear()
            self._results = 0
        self._written = time.monotonic()


@contextlib.contextmanager
def open_kept(output: str | Path, source: str | Path, must: Entry, resume: bool = False) -> Iterator[Kept]:
    """Yield a `Kept` that writes the items of a run to `OUTPUT.partial`; it keeps nothing of a standard stream.

    The journal is removed at the end of the block, and after an error of the input or the settings.

    Raises
    ------
    ConfigError: a standard stream is to be resumed.
    BiorrnError: see `open_journal`.
    """
    streamed = "-" in (str(output), str(source)) or not Path(source).is_file()
    if resume and streamed:
        raise ConfigError("--resume: a standard stream cannot be resumed; name files for input and output")
    place = None if streamed or (Path(output).exists() and not Path(output).is_file()) else Path(f"{output}{SUFFIX}")
    kept = Kept(place, {**must, "input": {str(source): stamp(source)}}, resume)
    done = False
    try:
        yield kept
        done = True
    except (InputError, ConfigError):
        done = True
        raise
    finally:
        if kept.journal is not None:
            if not done:
                kept.write()
            worth = not done and kept.journal.count > 0
            kept.journal.close(remove=not worth)
            if worth:
                print(f"biorrn: {place}: keeps the finished part; add --resume to continue", file=sys.stderr)


def _started(file: IO[bytes], path: Path | None, head: Entry) -> Journal:
    file.truncate(0)
    journal = Journal(file, path, head, 0, _written(file, path, 0, MAGIC + _frame(head, "")))
    if path is not None:
        journal.sync()
        sync(path.parent)  # its name
    return journal


def _written(file: IO[bytes], path: Path | None, place: int, data: bytes) -> int:
    """Write at a place and return its end; what was written in part is taken back."""
    try:
        file.seek(place)
        view = memoryview(data)
        while view:  # a file without a buffer may take less
            view = view[file.write(view) :]
    except OSError as error:
        with contextlib.suppress(OSError):
            file.truncate(place)
        raise BiorrnError(f"{path or tempfile.gettempdir()}: cannot be written: {error.strerror}") from error
    return place + len(data)


def _frame(entry: Entry, text: str) -> bytes:
    payload = zlib.compress(json.dumps(entry).encode() + b"\n" + text.encode(), 1)
    return FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _frames(file: IO[bytes], place: int) -> Iterator[tuple[int, int, Entry, str]]:
    """Yield place, end, entry and text of whole entries from a place on; stop at the first that is torn."""
    size = os.fstat(file.fileno()).st_size
    while place + FRAME.size <= size:
        file.seek(place)
        length, checksum = FRAME.unpack(file.read(FRAME.size))
        if not 0 < length <= size - place - FRAME.size:
            return
        payload = file.read(length)
        if zlib.crc32(payload) != checksum:
            return
        line, _, text = zlib.decompress(payload).partition(b"\n")
        start, place = place, place + FRAME.size + length
        yield start, place, json.loads(line), text.decode()


def _check(path: Path, was: Entry, now: Entry) -> None:
    for name in [*now, *(name for name in was if name not in now)]:
        old, new = was.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):  # of files: name the first that differs
            name, old, new = next(
                (f"{name} {key}", old.get(key), new.get(key))
                for key in [*new, *(key for key in old if key not in new)]
                if old.get(key) != new.get(key)
            )
        raise BiorrnError(
            f"{path}: cannot be resumed: {name} was {_shown(old)} and is now {_shown(new)}; use the same settings, "
            "or delete the file to start over"
        )
    # order matters too: reads are numbered in it
    for name, value in now.items():
        if isinstance(value, dict) and list(value) != list(was[name]):
            raise BiorrnError(f"{path}: cannot be resumed: {name} come in another order; delete the file to start over")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "given" if value else "not given"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def stamp(path: str | Path) -> list[int] | None:
    """Return size (bytes) and modification time (ns) of a file, which identify its version; None without one."""
    with contextlib.suppress(OSError):
        status = os.stat(path)
        return [status.st_size, status.st_mtime_ns]
    return None
