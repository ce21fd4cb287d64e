"""Opening inputs and writing outputs: gzip by suffix, `-` for the standard streams, never half a file."""

import contextlib
import gzip
import hashlib
import io
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from biorrn.errors import BiorrnError, InputError

GZIP_MAGIC = b"\x1f\x8b"


@contextlib.contextmanager
def open_text(path: str | Path) -> Iterator[IO[str]]:
    """Open a text file for reading; gzip is recognised by content, `-` is standard input.

    Raises
    ------
    InputError: the file is missing, is a folder, is not readable, is not UTF-8, or its gzip stream is damaged.
    """
    try:
        with contextlib.ExitStack() as stack:
            if str(path) == "-":
                raw: IO[bytes] = io.BufferedReader(sys.stdin.buffer)  # type: ignore[arg-type,type-var]
            else:
                raw = stack.enter_context(open(path, "rb"))
            head = raw.peek(2)[:2]  # type: ignore[attr-defined]
            binary: IO[bytes] = gzip.GzipFile(fileobj=raw) if head == GZIP_MAGIC else raw  # type: ignore[assignment]
            yield stack.enter_context(io.TextIOWrapper(binary, encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(path, f"not text: byte {error.start} is not UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"damaged gzip: {error}") from error
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block ends well, remove it when not.

    Raises
    ------
    BiorrnError: the folder cannot be made or written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # the suffix stays last, so that writers that choose a format by suffix choose the same one
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix)
        os.close(handle)
    except OSError as error:
        raise BiorrnError(f"{target}: cannot be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise BiorrnError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


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
