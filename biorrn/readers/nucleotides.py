"""Called reads as letters: FASTA or FASTQ, told apart by the first letter of the file."""

import re
from collections.abc import Iterator
from pathlib import Path

from biorrn.errors import InputError
from biorrn.files import open_text

_NOT_BASES = re.compile("[^ACGTN]")


def read_bases(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield id and bases (upper case of ACGTN, U read as T) of each record; gzip is recognised, `-` is standard input.

    Qualities are not read. FASTA may break its lines, FASTQ has four a record. A read may be empty.

    Raises
    ------
    InputError: the file holds no record, is neither FASTA nor FASTQ, is cut off, or a record has a letter that is no
        base.
    """
    fastq, name, last, number = False, "", "", 0
    parts: list[str] = []
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            text = line.strip()
            place = (number - 1) % 4
            if number == 1:
                if text[:1] not in (">", "@"):
                    raise InputError(path, f"line 1 starts with {text[:1]!r}; FASTA starts with '>', FASTQ with '@'")
                fastq = text[0] == "@"
            if place == 0 if fastq else text.startswith(">"):
                if name:
                    yield name, _clean(path, name, "".join(parts))
                if fastq and not text.startswith("@"):
                    raise InputError(path, f"line {number} starts with {text[:1]!r}; a FASTQ record starts with '@'")
                name, parts = (text[1:].split() or [""])[0], []
                if not name:
                    raise InputError(path, f"line {number}: a header without an id")
            elif fastq and place == 2 and not text.startswith("+"):
                raise InputError(path, f"line {number} starts with {text[:1]!r}; allowed is '+'", record=name)
            elif fastq and place == 3 and len(text) != len(last):
                raise InputError(path, f"has {len(last)} bases and {len(text)} qualities", record=name)
            elif not fastq or place == 1:
                last = text
                parts.append(text)
        if not number:
            raise InputError(path, "holds no reads")
        if fastq and number % 4:
            raise InputError(path, f"is cut off after line {number}; a FASTQ record has 4 lines", record=name)
        yield name, _clean(path, name, "".join(parts))


def _clean(path: str | Path, name: str, bases: str) -> str:
    letters = bases.upper().replace("U", "T")
    odd = _NOT_BASES.search(letters)
    if odd:
        raise InputError(path, f"base {odd[0]!r} at position {odd.start() + 1} is not one of ACGTUN", record=name)
    return letters
