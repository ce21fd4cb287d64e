"""Nucleotide sequences that basecalls are compared with and made of: strict FASTQ and FASTA."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.readers.fastq import fastq_records

_NOT_BASES = re.compile("[^ACGTN]")


@dataclass(frozen=True, slots=True)
class BaseCall:
    """One called read: bases of ACGTN, and the quality of each as uint8 (L,) on the Phred scale."""

    id: str
    bases: str
    quals: np.ndarray


def read_fastq(path: str | Path) -> Iterator[BaseCall]:
    """Yield the reads of a FASTQ file; gzip is recognised, `-` is standard input.

    Lower case is raised and U is read as T. A read may be empty.

    Raises
    ------
    InputError: the file has no record, or as `readers.fastq.fastq_records`; or a letter is no base.
    """
    count = 0
    with open_text(path) as stream:
        for count, record in enumerate(fastq_records(stream, path), 1):  # noqa: B007  how many there were
            letters = record.bases.upper().replace("U", "T")
            odd = _NOT_BASES.search(letters)
            if odd:
                problem = f"base '{odd[0]}' at position {odd.start() + 1} is not one of ACGTUN"
                raise InputError(path, problem, record=record.id)
            yield BaseCall(record.id, letters, record.quals)
    if not count:
        raise InputError(path, "holds no reads; a FASTQ record has 4 lines, the first starts with '@'")
