"""Text input in any compression and encoding; atomic output; JSON, TSV, checksums. `-` is a standard stream."""

import bz2
import codecs
import contextlib
import csv
import errno
import functools
import gzip
import hashlib
import io
import json
import lzma
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from biorrn.base.errors import BiorrnError, InputError, guarded, shown

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

VARIABLE = "BIORRN_MODELS"  # of the environment: folders that hold the user's models, separated as in PATH
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 1 << 26  # bytes; a few kB of gzip can hold a line of gigabytes
MOST_TEXT = 1 << 26  # characters of a file that is read whole
BLOCK = 1 << 16  # bytes unpacked at a time
PACKED = (".gz", ".bgz", ".bz2", ".xz", ".zst", ".zstd")  # suffixes of packed text that `open_text` reads

# first bytes of an archive -> its name; the user unpacks it, since it may hold many files
ARCHIVES = {
    b"PK\x03\x04": "a zip archive (or an Excel or npz file)",
    b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\x1f\x9d": "packed by compress (.Z)",
    b"LZIP": "packed by lzip",
    b"\x04\x22\x4d\x18": "packed by lz4",
}
# byte order marks; that of UTF-32 begins with that of UTF-16
MARKS = {
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
FALLBACK = "cp1252"  # for bytes that are not UTF-8: Windows-1252, which includes the printed characters of Latin-1
NAMES = {FALLBACK: "Windows-1252 (Latin-1)"}  # how a message names an encoding; others by their own name
DECODERS = {
    "utf-8": codecs.utf_8_decode,
    "utf-16-le": codecs.utf_16_le_decode,
    "utf-16-be": codecs.utf_16_be_decode,
    "utf-32-le": codecs.utf_32_le_decode,
    "utf-32-be": codecs.utf_32_be_decode,
}
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # control characters: beside bytes that are no UTF-8, no text
_noted: set[tuple[str, str]] = set()


def note(source: str | Path, text: str) -> None:
    """Print once on standard error how an unusual file was read."""
    if (str(source), text) not in _noted:
        _noted.add((str(source), text))
        name = "standard input" if str(source) == "-" else source
        print(f"biorrn: note: {shown(f'{name}: {text}')}", file=sys.stderr)


class _Text(io.BufferedIOBase):
    """The text of a file of any encoding as UTF-8, with a bound on the length of a line.

    The encoding is found by a byte order mark, or by the zero bytes of UTF-16. Otherwise it is UTF-8, and other bytes
    are characters of `FALLBACK`, since some files mix encodings.

    Attributes
    ----------
    encoding : str or None: Python's name of the encoding found so far; "ascii" where undecided; None at the start.
    """

    def __init__(self, binary: Any, source: str | Path, packing: str, longest: int) -> None:
        self.binary, self.source, self.packing, self.longest = binary, source, packing, longest
        self.encoding: str | None = None
        self.place = 0  # bytes read so far
        self.rest = b""  # the first bytes of a character
        self.held = 0  # bytes since the last end of a line

    def readable(self) -> bool:
        return True

    def read1(self, size: int | None = -1, /) -> bytes:
        """Return some bytes of UTF-8; none at the end alone."""
        data = b""
        while not data:
            raw = self._start() if self.encoding is None else self._raw(size)
            data = self._utf8(raw)
            self.place += len(raw)
            if not raw:
                break
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self.held = self.held + len(data) if end < 0 else len(data) - end - 1
        if self.held > self.longest:
            raise InputError(self.source, f"holds a line of more than {self.longest:,} bytes; is it text?")
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size >= 0:
            return self.read1(size)
        return b"".join(iter(self.read1, b""))  # TextIOWrapper.read() asks once for all there is

    def _raw(self, size: int | None = -1) -> bytes:
        try:
            data: bytes = self.binary.read1(BLOCK if size is None or size < 0 else size)
        except UNPACKING as error:
            if self.packing:
                raise InputError(self.source, f"damaged {self.packing}: {error}") from error
            raise InputError(self.source, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
        except MemoryError as error:
            raise InputError(self.source, f"damaged {self.packing}: needs more memory than there is") from error
        return data

    def _start(self) -> bytes:
        """Return the first bytes without their mark, and set the encoding."""
        head = b""
        while len(head) < max(map(len, MARKS)) and (more := self._raw()):
            head += more
        if head[257:262] == b"ustar":
            raise InputError(self.source, "is a tar archive; unpack it and name the file in it")
        mark = next((mark for mark in MARKS if head.startswith(mark)), b"")
        self._found(MARKS.get(mark) or _wide(head) or "ascii")
        self.place = len(mark)
        return head[len(mark) :]

    def _found(self, encoding: str) -> None:
        if encoding not in ("ascii", "utf-8"):
            note(self.source, f"is not UTF-8; read as {NAMES.get(encoding, encoding.upper())}")
        self.encoding = encoding

    def _utf8(self, raw: bytes) -> bytes:
        """Return the bytes in UTF-8; the first bytes of a last character are kept for the next call."""
        assert self.encoding is not None
        if not self.rest and self.encoding in ("ascii", "utf-8", FALLBACK) and raw.isascii():
            return raw
        data, parts = self.rest + raw, []
        first = self.place - len(self.rest)
        decode = codecs.utf_8_decode if self.encoding in ("ascii", FALLBACK) else DECODERS[self.encoding]
        while True:
            try:
                text, used = decode(data, "strict", not raw)
                break
            except UnicodeDecodeError as error:
                start, end = error.start, error.end
            if decode is not codecs.utf_8_decode:
                raise InputError(self.source, f"not text: byte {first + start} is not {self.encoding.upper()}")
            parts.append(data[:start].decode("utf-8"))
            try:
                parts.append(data[start:end].decode(FALLBACK))
            except UnicodeDecodeError as error:
                place = first + start + error.start
                raise InputError(self.source, f"not text: byte {place} is not UTF-8 or {NAMES[FALLBACK]}") from error
            data, first = data[end:], first + end
        if parts and (control := _NO_TEXT.search(raw)):
            raise InputError(self.source, f"not text: byte {self.place + control.start()} is {control[0][0]}")
        if parts:
            self._found(FALLBACK)
        elif self.encoding == "ascii" and not text.isascii():
            self._found("utf-8")
        self.rest = data[used:]
        return "".join([*parts, text]).encode("utf-8")


def _wide(head: bytes) -> str | None:
    """Return UTF-16 LE or BE for text without a mark where nearly every other byte is zero, else None."""
    zeros = [head[parity::2].count(0) for parity in (0, 1)]
    for parity, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if zeros[parity] > 0.7 * (len(head) // 2) and not zeros[1 - parity]:
            return encoding
    return None


class _Raw(io.RawIOBase):
    """What pyarrow unpacks, as a stream of Python."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _zstd(raw: Any) -> Any:
    import pyarrow

    return io.BufferedReader(_Raw(pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd")), BLOCK)


# first bytes of a compressed file -> its name and decompressor
UNPACKERS: dict[bytes, tuple[str, Callable[[Any], Any]]] = {
    GZIP_MAGIC: ("gzip", lambda raw: gzip.GzipFile(fileobj=raw)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMAFile),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
}
# raised on damage; pyarrow's errors derive from ValueError and OSError
UNPACKING = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)


@contextlib.contextmanager
def open_text(path: str | Path, longest: int = LONGEST_LINE) -> Iterator[IO[str]]:
    """Open a text file for reading, compressed or not, in any common encoding; `-` is standard input.

    gzip, bzip2, xz and zstd are recognised by content. Text is UTF-8, UTF-16 (with or without a byte order mark) or
    UTF-32 (with one), else Windows-1252, which is reported on standard error; see `encoding_of`. Lines may end in LF,
    CR LF or CR, and are yielded with LF.

    Parameters
    ----------
    longest : int: bytes that a line may have.

    Raises
    ------
    InputError: the file is missing, is a folder, is not readable, is an archive, is not text, has a line that is too
        long, or is packed and damaged.
    """
    with contextlib.ExitStack() as stack:
        try:
            if str(path) == "-":
                raw: Any = sys.stdin.buffer  # no reader around it: that would wait until its own buffer is full
                raw = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
            else:
                raw = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise InputError(path, f"cannot be read: {error.strerror or error}") from error
        yield stack.enter_context(decoded(raw, path, longest))


def decoded(raw: Any, source: str | Path, longest: int = LONGEST_LINE) -> IO[str]:
    """Return the text of a binary stream with a `peek`, unpacked and decoded as `open_text` does, with its errors."""
    try:
        head = raw.peek(8)[:8]
    except OSError as error:
        raise InputError(source, f"cannot be read: {error.strerror or error}") from error
    kind = next((kind for start, kind in ARCHIVES.items() if head.startswith(start)), None)
    if kind is not None:
        raise InputError(source, f"is {kind}; unpack it and name the file in it")
    packing, unpack = next((entry for start, entry in UNPACKERS.items() if head.startswith(start)), ("", None))
    text: Any = _Text(unpack(raw) if unpack else raw, source, packing, longest)
    return io.TextIOWrapper(text, encoding="utf-8")


def encoding_of(stream: IO[str]) -> str:
    """Return the encoding of a stream of `open_text`, as found so far.

    "ascii" while undecided, else "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be" or "cp1252".
    """
    return getattr(stream.buffer, "encoding", None) or "ascii"  # type: ignore[attr-defined]


def suffix_of(path: str | Path) -> str:
    """Return the last suffix of a name in lower case, without that of packing.

    >>> suffix_of("a/b.CSV.zst"), suffix_of("x.tar.fa"), suffix_of("x.gz"), suffix_of("-")
    ('.csv', '.fa', '', '')
    """
    name = Path(path)
    if name.suffix.lower() in PACKED:
        name = name.with_suffix("")
    return name.suffix.lower()


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
    """Yield a temporary path beside `path`; it is moved into place at the end of the block, or removed after an error.

    A symbolic link is kept: its target is replaced, in the target's folder. The content is synced to disk before the
    file is renamed. Temporary files of killed processes are removed too. A device or a pipe is yielded itself.

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
    except (BiorrnError, BrokenPipeError):  # that is another output's
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
    """Return whether a path is a device, a pipe or an open file of this process (/dev/stdout)."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _OPEN_FILE.match(os.path.abspath(path)) is not None


_OPEN_FILE = re.compile(r"/dev/(stdin|stdout|stderr|fd/)|/proc/")


def sync(path: str | Path) -> None:
    """Sync a file, or the names in a folder, to disk.

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
    """Yield a new hidden folder in `folder`, removed at the end; those of killed processes are removed too."""
    sweep(Path(folder).resolve())
    with tempfile.TemporaryDirectory(dir=folder, prefix=_prefix(name)) as made:
        yield Path(made)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, which becomes `folder` at the end; it appears whole or not at all.

    Raises
    ------
    BiorrnError: the folder holds files, or cannot be written.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise BiorrnError(f"{folder}: holds files; allowed is a new or an empty folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder.parent, folder.name) as made:
            whole = made / "whole"
            whole.mkdir()
            yield whole
            try:
                os.replace(whole, folder)
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EXDEV):
                    raise
                # the working folder, or a disk that is mounted there
                for entry in whole.iterdir():
                    shutil.move(entry, folder)
    except OSError as error:
        raise BiorrnError(f"{folder}: cannot be written: {error.strerror}") from error


def disk_fault(error: BaseException) -> str | None:
    """Return the reason why the disk cannot be written, such as "No space left on device"; None for another error.

    Libraries raise it as many types, some with the reason in the text alone.
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
    """Return an identifier of this system or container, among those that share its disks."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


@functools.cache  # once a folder: a command may write thousands of files into one
def sweep(folder: Path) -> None:
    """Remove the temporary files of killed processes of this machine from a folder."""
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
    """Open `path` for writing text, atomically; a name that ends in `.gz` is compressed, `-` is standard output.

    The text is UTF-8. A byte of a file's name that is no UTF-8 is spelt out, such as `\\udcff`.
    """
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
                io.TextIOWrapper(packed, encoding="utf-8", errors="backslashreplace") as stream,
            ):
                yield stream
        else:
            with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as stream:
                yield stream


class GzipWriter:
    """Gzip file of blocks that threads compress, each a member of its own; the bytes do not depend on the threads.

    Parameters
    ----------
    stream : binary file, which stays open.
    pool : the threads.
    level : int: 1 to 9, of zlib.
    """

    BLOCK = 2**18  # bytes

    def __init__(self, stream: IO[bytes], pool: "Executor", level: int = 6) -> None:
        self._stream, self._pool = stream, pool
        self._compress = functools.partial(gzip.compress, compresslevel=level, mtime=0)
        self._held: list[bytes] = []
        self._size = self._sent = 0
        self._waiting: deque[Future[bytes]] = deque()

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self._held.append(data)
        self._size += len(data)
        if self._size >= self.BLOCK:
            self._send()

    def close(self) -> None:
        """Finish the file; an empty one has an empty member."""
        if self._held or not self._sent:
            self._send()
        while self._waiting:
            self._stream.write(self._waiting.popleft().result())

    def _send(self) -> None:
        self._waiting.append(self._pool.submit(self._compress, b"".join(self._held)))
        self._held, self._size = [], 0
        self._sent += 1
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > 4):
            self._stream.write(self._waiting.popleft().result())


def one_line(text: object) -> str:
    """Return a text with a blank for each character that ends a line or a cell.

    >>> one_line("an id" + chr(9) + "and" + chr(0x2028) + "more")
    'an id and more'
    """
    return _ENDS.sub(" ", str(text))


def tsv_line(*cells: object) -> str:
    """Return cells as a line of TSV."""
    return "\t".join(map(one_line, cells)) + "\n"


_ENDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as hex digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Raises
    ------
    InputError: it cannot be read, is not JSON, or holds something else.
    """
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(path, f"not JSON at line {error.lineno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # or a number of thousands of digits
        raise InputError(path, f"not usable JSON: {str(error)[:60]}") from error
    if not isinstance(content, dict):
        raise InputError(path, f"holds a {type(content).__name__}; expected a mapping")
    return content


def read_tsv(path: str | Path, columns: Iterable[str] = (), hint: str = "") -> tuple[list[str], list[dict[str, str]]]:
    """Read a tab-separated table with a line of column names: return the names, and the cells of each row by name.

    Parameters
    ----------
    columns : names that the first line must have.
    hint : ends the error of a missing column.

    Raises
    ------
    InputError: a column is missing, or a row has another number of cells than the first line.
    """
    with open_text(path) as stream:
        rows = list(guarded(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), path, csv.Error))
    header = rows[0] if rows else []
    for column in columns:
        if column not in header:
            raise InputError(path, f"column '{column}' is missing in the first line" + (f"; {hint}" if hint else ""))
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise InputError(path, f"line {number} has {len(row)} cells; the first line has {len(header)}")
    return header, [dict(zip(header, row, strict=True)) for row in rows[1:]]
