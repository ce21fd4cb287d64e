"""Called reads of FASTQ, SAM, BAM and CRAM, one by one, with what their records say of them."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biorrn.base.errors import InputError
from biorrn.base.files import open_text
from biorrn.nanopore.basecall.sam import TURNED
from biorrn.nanopore.basecall.summary import CALLED, STATUS
from biorrn.nanopore.readers.calls import quiet
from biorrn.sequences.fastq import FastqRecord, fastq_records

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
    InputError: it cannot be read, is a gzip file without a byte, or as `sequences.fastq.fastq_records`.
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


ALIGNED = {"NM", "MD", "AS", "SA", "nn", "tp", "cm", "s1", "s2", "de", "rl", "cs", "ms", "MC", "XS", "ts:A"}
ALIGNED |= {"E2", "U2"}  # second calls, a base each in the direction of the record
MODIFIED = {"MM", "ML", "MN"}  # modified bases, by place among the read's bases
PACKED = (".sam", ".bam", ".cram")
# what SAM allows (section 1.5); numbers of an array are held to their kind by htslib
_TAG = re.compile(
    r"[A-Za-z][A-Za-z0-9]:(?:A:[!-~]|i:[-+]?[0-9]{1,10}|f:[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|Z:[ -~]*"
    r"|H:(?:[0-9A-F]{2})*|B:[cCsSiI](?:,[-+]?[0-9]{1,10})*|B:f(?:,[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)*)"
)
_LIKE_TAG = re.compile(r"[A-Za-z][A-Za-z0-9]:[A-Za-z]:")
_WHOLE = {"c": (-128, 127), "C": (0, 255), "s": (-32768, 32767), "S": (0, 65535)}
_WHOLE |= {"i": (-(2**31), 2**31 - 1), "I": (0, 2**32 - 1)}
_NOT_BASES = re.compile(r"[^ACGTN]")


@dataclass(frozen=True, slots=True)
class CalledRead:
    """A read, in the order of its signal.

    Attributes
    ----------
    name, bases : str; bases of ACGTN, upper case, U as T.
    letters : str: a quality letter a base; "*" where there are none.
    tags : SAM tags as text, those of an alignment left out, and `MM` of other bases than these.
    """

    name: str
    bases: str
    letters: str
    tags: tuple[str, ...] = ()


def called_reads(path: str | Path, say: Callable[[str], None] = lambda line: None) -> Iterator[CalledRead]:
    """Yield the reads of a file: by its suffix SAM, BAM or CRAM (primary records), else FASTQ, gzip by content.

    Parameters
    ----------
    say : called at the end with a line about tags of FASTQ that SAM cannot hold; they are left out.

    Raises
    ------
    InputError: it cannot be read, is cut short, or a base is none.
    """
    packed = Path(path).suffix.lower() in PACKED
    for read in _packed(Path(path)) if packed else _fastq(Path(path), say):
        if _NOT_BASES.search(read.bases):
            odd = _NOT_BASES.findall(read.bases)[0]
            raise InputError(path, f"base '{odd}' is not one of ACGTUN", record=read.name)
        yield read


def header_lines(path: str | Path) -> list[str]:
    """Return the lines @RG, @PG and @CO of the header of SAM, BAM or CRAM; none of FASTQ."""

    if Path(path).suffix.lower() not in PACKED:
        return []
    with packed_file(Path(path)) as file:
        return [line for line in str(file.header).splitlines() if line.startswith(("@RG", "@PG", "@CO"))]


def _upper(bases: str) -> str:
    return bases.upper().replace("U", "T")


def _fastq(path: Path, say: Callable[[str], None]) -> Iterator[CalledRead]:
    odd: Counter[str] = Counter()
    for record in fastq_parts(path, lambda path, name: None):
        cells = [cell for cell in record.header.split("\t")[1:] if _LIKE_TAG.match(cell)]
        tags = tuple(cell for cell in cells if _is_tag(cell))
        odd.update(cell[:60] for cell in cells if not _is_tag(cell))
        yield CalledRead(record.id, _upper(record.bases), record.letters or "*", tags)
    if odd:
        say(f"{path}: {odd.total():,} tags left out, which SAM cannot hold, such as {next(iter(odd))!r}")


def _is_tag(cell: str) -> bool:
    """Tell whether SAM can hold a tag, which must not hold the end of a line, and a number must fit.

    >>> [_is_tag(cell) for cell in ("ch:i:4", "ch:i:x", "ch:i:5000000000", "co:Z:a b", "co:Z:a\\x0bb", "ML:B:C,256")]
    [True, False, False, True, False, False]
    """
    if not _TAG.fullmatch(cell):
        return False
    kind, value = cell[3], cell[5:]
    if kind == "i":
        return _WHOLE["i"][0] <= int(value) <= _WHOLE["I"][1]
    low, high = _WHOLE.get(value[:1], (0, 0)) if kind == "B" and value[:1] != "f" else (0, 0)
    return (low, high) == (0, 0) or all(low <= int(number) <= high for number in value.split(",")[1:])


def _packed(path: Path) -> Iterator[CalledRead]:
    for record in packed_records(path, {}, lambda path, name: None):
        if record.is_secondary or record.is_supplementary:
            continue
        bases = _upper(record.get_forward_sequence() or "")
        quals = record.get_forward_qualities()
        letters = "*" if quals is None else "".join(chr(value + 33) for value in quals)
        cells = record.to_string().split("\t")[11:]
        cells = [cell for cell in cells if cell[:2] not in ALIGNED and cell[:4] not in ALIGNED]
        if f"MN:i:{len(bases)}" not in cells and any(cell.startswith("MN:") for cell in cells):
            cells = [cell for cell in cells if cell[:2] not in MODIFIED]  # of a longer read, which was clipped
        if record.is_reverse:
            cells = [f"{cell[:5]}{cell[:4:-1]}" if cell[:2] in TURNED else cell for cell in cells]
        tags = tuple(cells)
        yield CalledRead(str(record.query_name), bases, letters, tags)
