"""The parts of an output, read record by record and checked on the way."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.inference.summary_table import CALLED, STATUS
from biorrn.readers.bam import quiet
from biorrn.readers.fastq import FastqRecord, fastq_records

SECONDARY = 256 | 2048  # flags of records that are not a read's first: secondary and supplementary

OnRead = Callable[[Path, str], None]


class Reads:
    """Counts the reads of an output and fingerprints their ids in order, in 32 bytes however many there are.

    Parameters
    ----------
    unique : bool: refuse an id that stands twice; about 100 bytes a read.
    """

    def __init__(self, unique: bool = False) -> None:
        self.count = 0
        self._order = hashlib.sha256()
        self._seen: set[bytes] | None = set() if unique else None

    def add(self, path: Path, name: str) -> None:
        """Take the next read's id.

        Raises
        ------
        InputError: the id is not the first of its kind, where that was asked for.
        """
        self.count += 1
        self._order.update(name.encode() + b"\n")
        if self._seen is None:
            return
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        if digest in self._seen:
            raise InputError(path, "the read id occurs twice, in this part or an earlier one", record=name)
        self._seen.add(digest)

    def order(self) -> str:
        """Return the fingerprint of all ids so far, in their order."""
        return self._order.hexdigest()


def fastq_parts(path: Path, on_read: OnRead) -> Iterator[FastqRecord]:
    """Yield the records of a FASTQ file, gzip or not.

    Raises
    ------
    InputError: it cannot be read, is a gzip file without a byte, or as `readers.fastq.fastq_records`.
    """
    if path.suffix == ".gz" and path.is_file() and not path.stat().st_size:
        raise InputError(path, "is empty; a gzip file without a record has some 20 bytes")
    with open_text(path) as stream:
        for record in fastq_records(stream, path):
            on_read(path, record.id)
            yield record


def table_rows(paths: Sequence[Path], on_read: OnRead) -> Iterator[str]:
    """Yield the header of the first summary table, then the rows of all of them, as text; `on_read` gets those called.

    Raises
    ------
    InputError: a table is empty, has other columns than the first, or a row with another number of cells.
    """
    names: list[str] = []
    for path in paths:
        with open_text(path) as stream:
            header = stream.readline()
            found = header.rstrip("\r\n").split("\t")
            if not header.endswith("\n"):
                raise InputError(path, "holds no table; a summary starts with the names of its columns")
            if not names:
                names = found
                for column in ("read_id", STATUS):
                    if column not in names:
                        raise InputError(
                            path, f"column '{column}' is missing; allowed are summaries of biorrn basecall"
                        )
                read_id, status = names.index("read_id"), names.index(STATUS)
                yield header
            elif found != names:
                other = sorted(set(found) ^ set(names)) or ["their order"]
                raise InputError(path, f"its columns are not those of {paths[0]}: {', '.join(other)}")
            for number, line in enumerate(stream, 2):
                cells = line.rstrip("\r\n").split("\t")
                if len(cells) != len(names) or not line.endswith("\n"):
                    raise InputError(path, f"line {number} has {len(cells)} cells, the header {len(names)}, or is cut")
                if cells[status] == CALLED:
                    on_read(path, cells[read_id])
                yield line


def sam_header_of(path: Path) -> str:
    """Return the header of a SAM file as text."""
    lines = []
    with open_text(path) as stream:
        for line in stream:
            if not line.startswith("@"):
                break
            lines.append(line)
    return "".join(lines)


def sam_records(path: Path, renamed: dict[str, str], on_read: OnRead) -> Iterator[str]:
    """Yield the lines of the records of a SAM file; programs in the tag PG get their new ids.

    Raises
    ------
    InputError: a line has fewer than 11 cells, or is cut short.
    """
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.startswith("@"):
                continue
            cells = line.split("\t", 11)
            if len(cells) < 11 or not line.endswith("\n") or not cells[1].isdigit():
                raise InputError(path, f"line {number} is not a whole SAM record")
            if not int(cells[1]) & SECONDARY:
                on_read(path, cells[0])
            if renamed and len(cells) == 12 and "PG:Z:" in cells[11]:
                tags = cells[11].rstrip("\n").split("\t")
                tags = [f"PG:Z:{renamed.get(tag[5:], tag[5:])}" if tag.startswith("PG:Z:") else tag for tag in tags]
                line = "\t".join([*cells[:11], *tags]) + "\n"
            yield line


@contextlib.contextmanager
def packed_file(path: Path, threads: int = 1) -> Iterator[Any]:
    """Open a BAM or CRAM file as `pysam.AlignmentFile`; what htslib finds wrong with it while it is open is one line.

    Raises
    ------
    InputError: it cannot be read, or is cut short.
    """
    import pysam

    try:
        with quiet(), pysam.AlignmentFile(str(path), check_sq=False, threads=threads) as file:
            yield file
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def packed_records(path: Path, renamed: dict[str, str], on_read: OnRead, threads: int = 1) -> Iterator[Any]:
    """Yield the records of a BAM or CRAM file as `pysam.AlignedSegment`; see `sam_records`."""
    with packed_file(path, threads) as file:
        records = file.fetch(until_eof=True)
        while True:
            try:
                record = next(records, None)
            except (OSError, ValueError) as error:
                raise InputError(path, f"cannot be read to its end: {error}") from error
            if record is None:
                return
            if not record.flag & SECONDARY:
                on_read(path, record.query_name)
            if renamed and record.has_tag("PG"):
                program = record.get_tag("PG")
                record.set_tag("PG", renamed.get(program, program), "Z")
            yield record
