"""Called reads of FASTQ, SAM, BAM and CRAM, one by one, with what their records say of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from biorrn.errors import InputError
from biorrn.inference.merge_parts import fastq_parts, packed_records
from biorrn.inference.writers.sam import TURNED

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
    from biorrn.inference.merge_parts import packed_file

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
