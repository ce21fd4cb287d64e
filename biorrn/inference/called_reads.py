"""Called reads of FASTQ, SAM, BAM and CRAM, one by one, with what their records say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from biorrn.errors import InputError
from biorrn.inference.merge_parts import fastq_parts, packed_records

ALIGNED = {"NM", "MD", "AS", "SA", "nn", "tp", "cm", "s1", "s2", "de", "rl", "cs", "ms", "MC", "XS", "ts:A"}
PACKED = (".sam", ".bam", ".cram")
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9]:[AifZHB]:")
_NOT_BASES = re.compile(r"[^ACGTN]")


@dataclass(frozen=True, slots=True)
class CalledRead:
    """A read, in the order of its signal.

    Attributes
    ----------
    name, bases : str; bases of ACGTN, upper case, U as T.
    letters : str: a quality letter a base; "*" where there are none.
    tags : SAM tags as text, those of an alignment left out.
    """

    name: str
    bases: str
    letters: str
    tags: tuple[str, ...] = ()


def called_reads(path: str | Path) -> Iterator[CalledRead]:
    """Yield the reads of a file: by its suffix SAM, BAM or CRAM (primary records), else FASTQ, gzip by content.

    Raises
    ------
    InputError: it cannot be read, is cut short, or a base is none.
    """
    packed = Path(path).suffix.lower() in PACKED
    for read in _packed(Path(path)) if packed else _fastq(Path(path)):
        if _NOT_BASES.search(read.bases):
            odd = _NOT_BASES.findall(read.bases)[0]
            raise InputError(path, f"base '{odd}' is not one of ACGTUN", record=read.name)
        yield read


def header_lines(path: str | Path) -> list[str]:
    """Return the lines @RG, @PG and @CO of the header of SAM, BAM or CRAM; none of FASTQ."""
    from biorrn.inference.merge_parts import packed_file

    if Path(path).suffix.lower() not in PACKED:
        return []
    with packed_file(Path(path)) as file:
        return [line for line in str(file.header).splitlines() if line.startswith(("@RG", "@PG", "@CO"))]


def _upper(bases: str) -> str:
    return bases.upper().replace("U", "T")


def _fastq(path: Path) -> Iterator[CalledRead]:
    for record in fastq_parts(path, lambda path, name: None):
        tags = tuple(cell for cell in record.header.split("\t")[1:] if _TAG.match(cell))
        yield CalledRead(record.id, _upper(record.bases), record.letters or "*", tags)


def _packed(path: Path) -> Iterator[CalledRead]:
    for record in packed_records(path, {}, lambda path, name: None):
        if record.is_secondary or record.is_supplementary:
            continue
        bases = _upper(record.get_forward_sequence() or "")
        quals = record.get_forward_qualities()
        letters = "*" if quals is None else "".join(chr(value + 33) for value in quals)
        cells = record.to_string().split("\t")[11:]
        tags = tuple(cell for cell in cells if cell[:2] not in ALIGNED and cell[:4] not in ALIGNED)
        yield CalledRead(str(record.query_name), bases, letters, tags)
