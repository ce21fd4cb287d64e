"""Called reads from FASTQ, SAM, BAM and CRAM: bases and their qualities, in the direction in which they were called."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.readers.bam import DAMAGE
from biorrn.readers.fastq import fastq_records
from biorrn.readers.fields import guarded

PACKED = (".sam", ".bam", ".cram")  # suffixes of records that may hold move tables; every other file is FASTQ
_NOT_BASES = re.compile("[^ACGTN]")


@dataclass(frozen=True, slots=True)
class BaseCall:
    """One called read: bases of ACGTN, and the quality of each as uint8 (L,) on the Phred scale."""

    id: str
    bases: str
    quals: np.ndarray


def has_moves(path: str | Path) -> bool:
    """Return whether a file of this name may hold move tables."""
    return Path(path).suffix.lower() in PACKED


def read_calls(path: str | Path, reference: str | Path | None = None) -> Iterator[BaseCall]:
    """Yield the reads of a file in its order; an aligned record is turned back to the direction of its signal.

    Lower case is raised and U is read as T. A read may be empty.

    Parameters
    ----------
    path : SAM, BAM or CRAM by its suffix, of which the primary records are read; else FASTQ, may be gzip, `-` is
        standard input.
    reference : FASTA file, which CRAM needs.

    Raises
    ------
    InputError: the file cannot be read, is cut off or holds no reads; a letter is no base; a read has no qualities.
    """
    packed, count = has_moves(path), 0
    for count, (name, letters, quals) in enumerate(_packed(path, reference) if packed else _fastq(path), 1):  # noqa: B007
        bases = letters.upper().replace("U", "T")
        odd = _NOT_BASES.search(bases)
        if odd:
            place = "" if packed else f" at position {odd.start() + 1}"
            raise InputError(path, f"base '{odd[0]}'{place} is not one of ACGTUN", record=name)
        yield BaseCall(name, bases, quals)
    if not count:
        hint = "" if packed else "; a FASTQ record has 4 lines, the first starts with '@'"
        raise InputError(path, f"holds no reads{hint}")


def _fastq(path: str | Path) -> Iterator[tuple[str, str, np.ndarray]]:
    with open_text(path) as stream:
        for record in fastq_records(stream, path):
            yield record.id, record.bases, record.quals


def _packed(path: str | Path, reference: str | Path | None) -> Iterator[tuple[str, str, np.ndarray]]:
    import pysam

    def records() -> Iterator[pysam.AlignedSegment]:
        given = str(reference) if reference is not None and Path(path).suffix.lower() == ".cram" else None
        with pysam.AlignmentFile(str(path), check_sq=False, reference_filename=given) as file:
            yield from file.fetch(until_eof=True)

    before = pysam.set_verbosity(0)  # htslib's own words on standard error; ours say it in one line
    try:
        for record in guarded(records(), path, *DAMAGE):
            if record.is_secondary or record.is_supplementary:
                continue
            bases, quals = record.get_forward_sequence() or "", record.get_forward_qualities()
            if bases and quals is None:
                raise InputError(path, "holds no qualities", record=record.query_name)
            yield str(record.query_name), bases, np.asarray(quals if bases else [], np.uint8)
    finally:
        pysam.set_verbosity(before)
