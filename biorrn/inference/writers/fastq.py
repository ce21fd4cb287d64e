"""Calls as FASTQ, with the tags after each id."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from biorrn.files import atomic_path, write_text
from biorrn.inference.writers.tags import quality_letters, tags

if TYPE_CHECKING:
    from biorrn.inference.basecall import Call

BLOCK = 2**20  # characters compressed at a time


def fastq_text(call: Call, model: str = "") -> str:
    """Return a call as a FASTQ record; the tags stand after the id, apart by tabs, where aligners can copy them."""
    header = "\t".join([call.read_id, *tags(call, model)])
    return f"@{header}\n{call.bases}\n+\n{quality_letters(call.quals)}\n"


def write_fastq(path: str, texts: Iterable[str], threads: int = 1) -> None:
    """Write records; a name that ends in `.gz` is compressed on `threads` threads, `-` is standard output.

    The same records give the same bytes, whatever the number of threads.
    """
    if path == "-":
        sys.stdout.writelines(texts)
        sys.stdout.flush()
    elif path.endswith(".gz"):
        # gzip members one after the other are one gzip file; each can be made on a thread of its own
        with atomic_path(path) as temporary, open(temporary, "wb") as stream, ThreadPoolExecutor(threads) as pool:
            blocks = _blocks(texts)
            while window := list(islice(blocks, 2 * threads)):
                stream.writelines(pool.map(_packed, window))
    else:
        with write_text(path) as text:
            text.writelines(texts)


def _packed(block: bytes) -> bytes:
    return gzip.compress(block, 6, mtime=0)


def _blocks(texts: Iterable[str]) -> Iterator[bytes]:
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= BLOCK:
            yield "".join(held).encode()
            held, size = [], 0
    yield "".join(held).encode()  # perhaps empty: a gzip file has at least one member
