"""Called reads from any file that a basecaller writes: FASTQ, SAM, BAM, CRAM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.errors import InputError
from biorrn.evaluation.sequences import BaseCall, read_fastq
from biorrn.readers.bam import DAMAGE
from biorrn.readers.fields import guarded


def read_calls(path: str | Path, reference: str | Path | None = None) -> Iterator[BaseCall]:
    """Yield the reads of a file in the order and direction in which they were called; the suffix says the format.

    Parameters
    ----------
    path : a name in `CALL_READERS`; any other is FASTQ, may be gzip, `-` is standard input.
    reference : FASTA file, which CRAM needs.

    Raises
    ------
    InputError: the file cannot be read, is cut off, or holds no reads.
    """
    yield from CALL_READERS.get(Path(path).suffix.lower(), _fastq)(path, reference)


def has_moves(path: str | Path) -> bool:
    """Tell whether a file of this name may hold move tables."""
    return Path(path).suffix.lower() in CALL_READERS


def _fastq(path: str | Path, reference: str | Path | None) -> Iterator[BaseCall]:
    return read_fastq(path)


def _records(path: str | Path, reference: str | Path | None) -> Iterator[BaseCall]:
    """Yield the primary records of SAM, BAM or CRAM; what is aligned in them is aligned anew."""
    import pysam

    count = 0
    before = pysam.set_verbosity(0)  # htslib's own words on standard error; ours say it in one line
    try:
        for record in guarded(_each(path, reference), path, *DAMAGE):
            if not (record.is_secondary or record.is_supplementary):
                count += 1
                yield _call(path, record)
    finally:
        pysam.set_verbosity(before)
    if not count:
        raise InputError(path, "holds no reads")


def _each(path: str | Path, reference: str | Path | None) -> Iterator[Any]:
    import pysam

    given = None if reference is None or Path(path).suffix.lower() != ".cram" else str(reference)
    with pysam.AlignmentFile(str(path), check_sq=False, reference_filename=given) as file:
        yield from file.fetch(until_eof=True)


def _call(path: str | Path, record: Any) -> BaseCall:
    bases = (record.get_forward_sequence() or "").upper().replace("U", "T")
    quals = record.get_forward_qualities()
    if bases and quals is None:
        raise InputError(path, "holds no qualities", record=record.query_name)
    odd = set(bases) - set("ACGTN")
    if odd:
        raise InputError(path, f"base '{min(odd)}' is not one of ACGTUN", record=record.query_name)
    return BaseCall(str(record.query_name), bases, np.asarray(quals if bases else [], np.uint8))


# suffix -> reader; every other name is read as FASTQ
CALL_READERS: dict[str, Callable[[str | Path, str | Path | None], Iterator[BaseCall]]] = {
    ".sam": _records,
    ".bam": _records,
    ".cram": _records,
}
