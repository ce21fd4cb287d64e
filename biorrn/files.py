"""Opening inputs and writing outputs: gzip by suffix, `-` for the standard streams, never half a file."""

import contextlib
import errno
import functools
import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from biorrn.errors import BiorrnError, InputError

GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 1 << 26  # bytes; a few kB of gzip can hold a line of gigabytes
MOST_TEXT = 1 << 26  # characters of a file that is read whole


class _Bounded(io.BufferedIOBase):
    """Bytes of text whose lines have a longest length, so that what is in memory at a time is bounded."""

    def __init__(self, binary: IO[bytes], source: str | Path, longest: int) -> None:
        self.binary, self.source, self.longest = binary, source, longest
        self.held = 0  # bytes since the last end of a line

    def readable(self) -> bool:
        return True

    def read1(self, size: int | None = -1, /) -> bytes:
        data: bytes = self.binary.read1(-1 if size is None else size)  # type: ignore[attr-defined]
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self.held = self.held + len(data) if end < 0 else len(data) - end - 1
        if self.held > self.longest:
            raise InputError(self.source, f"holds a line of more than {self.longest:,} bytes; is it text?")
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size >= 0:
            return self.read1(size)
        return b"".join(iter(self.read1, b""))  # TextIOWrapper.read() asks once for all there is


@contextlib.contextmanager
def open_text(path: str | Path, longest: int = LONGEST_LINE) -> Iterator[IO[str]]:
    """Open a text file for reading; gzip is recognised by content, `-` is standard input.

    Parameters
    ----------
    longest : int: bytes that a line may have.

    Raises
    ------
    InputError: the file is missing, is a folder, is not readable, is not UTF-8, has a line that is too long, or its
        gzip stream is damaged.
    """
    try:
        with contextlib.ExitStack() as stack:
            if str(path) == "-":
                raw: IO[bytes] = io.BufferedReader(sys.stdin.buffer)  # type: ignore[arg-type,type-var]
            else:
                raw = stack.enter_context(open(path, "rb"))
            head = raw.peek(2)[:2]  # type: ignore[attr-defined]
            binary: IO[bytes] = gzip.GzipFile(fileobj=raw) if head == GZIP_MAGIC else raw  # type: ignore[assignment]
            bounded: Any = _Bounded(binary, path, longest)
            yield stack.enter_context(io.TextIOWrapper(bounded, encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(path, f"not text: byte {error.start} is not UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"damaged gzip: {error}") from error
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or error}") from error


def read_text(path: str | Path, most: int = MOST_TEXT) -> str:
    """Return the text of a file, opened as by `open_text`.

    Raises
    ------
    InputError: as `open_text`; or it is longer than `most` characters.
    """
    with open_text(path) as stream:
        text = stream.read(most + 1)
    if len(text) > most:
        raise InputError(path, f"is longer than {most:,} characters, more than such a file can need")
    return text


def inside(folder: str | Path, name: object, source: str | Path) -> Path:
    """Return `folder / name` for a path that was found in the file `source`: it may not lead out of the folder.

    Raises
    ------
    InputError: no text, empty, absolute, with `..`, or out of the folder by a symbolic link.
    """
    try:
        path = Path(folder) / str(name)
        path.exists()  # raises where a name is too long
        fine = isinstance(name, str) and name and not Path(name).is_absolute() and ".." not in Path(name).parts
        fine = fine and path.resolve().is_relative_to(Path(folder).resolve())
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, links in a circle
        fine = False
    if not fine:
        raise InputError(source, f"found the path {name!r}; allowed is one below the folder of this file")
    return path


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block ends well, remove it when not.

    A symbolic link stays: the file that it names is replaced, in that file's folder. The content is on the disk before
    the file takes its name. What processes that were killed have left there is removed too. A device or a pipe is
    yielded itself.

    Raises
    ------
    BiorrnError: the folder cannot be made or written, the links go in a circle, or the disk is full.
    """
    target = Path(path)
    try:
        if _is_stream(target):
            temporary = place = target
        else:
            place = Path(os.path.realpath(target))
            place.parent.mkdir(parents=True, exist_ok=True)
            sweep(place.parent)
            # the suffix stays last, so that writers that choose a format by suffix choose the same one
            prefix = _prefix(target.stem)
            handle, name = tempfile.mkstemp(dir=place.parent, prefix=prefix, suffix=target.suffix)
            os.close(handle)
            temporary = Path(name)
    except OSError as error:
        raise BiorrnError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        yield temporary
        if temporary != target:
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            sync(temporary)
            os.replace(temporary, place)
            sync(place.parent)
    except BiorrnError:
        raise
    except Exception as error:
        reason = disk_fault(error) or (isinstance(error, OSError) and (error.strerror or str(error)))
        if not reason:
            raise
        raise BiorrnError(f"{target}: cannot be written: {reason}") from error
    finally:
        if temporary != target:
            temporary.unlink(missing_ok=True)


def _is_stream(path: Path) -> bool:
    """Tell whether a path is a device, a pipe or an open file of this process (/dev/stdout), which nothing replaces."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _OPEN_FILE.match(os.path.abspath(path)) is not None


_OPEN_FILE = re.compile(r"/dev/(stdin|stdout|stderr|fd/)|/proc/")


def sync(path: str | Path) -> None:
    """Return when a file, or the names in a folder, are on the disk, so that a power cut does not lose them.

    Raises
    ------
    OSError: the disk refuses. Not raised for a folder, nor where the file system has no such call.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if not stat.S_ISDIR(os.fstat(handle).st_mode) and error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def scratch_folder(folder: str | Path, name: str) -> Iterator[Path]:
    """Yield a new hidden folder in `folder`, removed at the end; what processes that were killed have left goes too."""
    sweep(Path(folder).resolve())
    with tempfile.TemporaryDirectory(dir=folder, prefix=_prefix(name)) as made:
        yield Path(made)


def disk_fault(error: BaseException) -> str | None:
    """Return what is wrong with the place that was written, such as "No space left on device"; None: another error.

    Libraries raise this as errors of many kinds, and some tell of it only in the text.
    """
    seen: BaseException | None = error
    while seen is not None:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            reason = os.strerror(number)
            if getattr(seen, "errno", None) == number or reason in str(seen) or f"os error {number})" in str(seen):
                return reason
        seen = seen.__cause__ or seen.__context__
    return None


def _prefix(name: str) -> str:
    return f".{name[:100]}.{_machine()}-{os.getpid()}."


@functools.cache
def _machine() -> str:
    """Return what tells the processes of this system, or container, from those of others that share its disks."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


@functools.cache  # once a folder: a command may write thousands of files into one
def sweep(folder: Path) -> None:
    """Remove the temporary files that processes of this machine which were killed have left in a folder."""
    entries: list[os.DirEntry[str]] = []
    with contextlib.suppress(OSError):
        entries = list(os.scandir(folder))
    left = re.compile(rf"\..*\.{_machine()}-(\d+)\.[a-z0-9_]{{8}}(\..*)?")
    for entry in entries:
        found = left.fullmatch(entry.name)
        if found:
            try:
                os.kill(int(found[1]), 0)
            except ProcessLookupError:
                with contextlib.suppress(OSError):
                    shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
            except OSError:
                pass  # another user's, and alive


@contextlib.contextmanager
def write_text(path: str | Path) -> Iterator[IO[str]]:
    """Open `path` for writing text, atomically; a name that ends in `.gz` is compressed, `-` is standard output."""
    if str(path) == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    with atomic_path(path) as temporary:
        # mtime 0: the same content gives the same bytes
        if str(path).endswith(".gz"):
            with (
                open(temporary, "wb") as raw,
                gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
                io.TextIOWrapper(packed, encoding="utf-8") as stream,
            ):
                yield stream
        else:
            with open(temporary, "w", encoding="utf-8") as stream:
                yield stream


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as hex digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
