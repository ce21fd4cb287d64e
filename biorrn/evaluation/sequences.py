"""Nucleotide sequences that basecalls are compared with and made of: strict FASTQ and FASTA."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.errors import InputError
from biorrn.files import open_text

PHRED = 33  # the letter of Q 0
MAX_Q = 93  # the highest that a letter can say
_NOT_BASES = re.compile("[^ACGTN]")


@dataclass(frozen=True, slots=True)
class BaseCall:
    """One called read: bases of ACGTN, and the quality of each as uint8 (L,) on the Phred scale."""

    id: str
    bases: str
    quals: np.ndarray


def read_fastq(path: str | Path) -> Iterator[BaseCall]:
    """Yield the reads of a FASTQ file with four lines a record; gzip is recognised, `-` is standard input.

    Lower case is raised and U is read as T. A read may be empty.

    Raises
    ------
    InputError: the file has no record, is cut off, or a record is not FASTQ; with the record and the line.
    """
    count = 0
    with open_text(path) as stream:
        lines = enumerate(stream, 1)
        for number, header in lines:
            if not header.strip():
                continue
            if not header.startswith("@"):
                kind = " (that is FASTA)" if header.startswith(">") else ""
                raise InputError(path, f"line {number} starts with '{header[0]}'{kind}; a FASTQ record starts with '@'")
            id = header[1:].split()[0] if header[1:].split() else ""
            rest = [line for _, line in zip(range(3), (line for _, line in lines), strict=False)]
            if len(rest) < 3:
                raise InputError(path, f"is cut off after line {number + len(rest)}; a record has 4 lines", record=id)
            bases, plus, quality = (line.rstrip("\r\n") for line in rest)
            yield _call(path, id, number, bases, plus, quality, whole=rest[2].endswith("\n"))
            count += 1
    if not count:
        raise InputError(path, "holds no reads; a FASTQ record has 4 lines, the first starts with '@'")


def _call(path: str | Path, id: str, number: int, bases: str, plus: str, quality: str, whole: bool) -> BaseCall:
    if not plus.startswith("+"):
        raise InputError(path, f"line {number + 2} starts with '{plus[:1]}'; allowed is '+'", record=id)
    if len(bases) != len(quality):
        cut = "" if whole else " (the file is cut off)"
        raise InputError(path, f"has {len(bases)} bases and {len(quality)} qualities{cut}", record=id)
    letters = bases.upper().replace("U", "T")
    odd = _NOT_BASES.search(letters)
    if odd:
        raise InputError(path, f"base '{odd[0]}' at position {odd.start() + 1} is not one of ACGTUN", record=id)
    try:
        quals = np.frombuffer(quality.encode("ascii"), np.uint8)
    except UnicodeEncodeError:
        quals = np.zeros(1, np.uint8)
    if len(quals) and (quals.min() < PHRED or quals.max() > PHRED + MAX_Q):
        raise InputError(path, "a quality is not a letter from '!' to '~'", record=id)
    return BaseCall(id, letters, quals - np.uint8(PHRED))
