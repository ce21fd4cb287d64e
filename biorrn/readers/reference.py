"""Reference sequences: a FASTA file of nucleotides, checked line by line."""

import re
from pathlib import Path

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.readers.fasta import fasta_records, first_word
from biorrn.readers.fastq import first_line

_NOT_REFERENCE = re.compile("[^ACGTUNRYSWKMBDHV]", re.IGNORECASE)


def reference_lengths(path: str | Path) -> dict[str, int]:
    """Return name -> bases of each sequence of a FASTA file, after checking every line of it.

    Raises
    ------
    InputError: not FASTA, no sequence, an empty or repeated one, or a letter that is no base (IUPAC codes are allowed).
    """
    lengths: dict[str, int] = {}
    with open_text(path) as stream:
        first, lines = first_line(stream)
        if first and first[0] != ">":
            raise InputError(path, f"line 1 starts with '{first[0]}'; a FASTA file starts with '>'")
        for start, header, parts in fasta_records(enumerate(lines, 1), path):
            name = first_word(header)
            if name in lengths or not name:
                problem = "appears twice" if name else f"line {start} has no name after '>'"
                raise InputError(path, problem, record=name or None)
            for number, line in enumerate(parts, start + 1):
                if odd := _NOT_REFERENCE.search(line.strip()):
                    raise InputError(path, f"'{odd[0]}' on line {number} is not a base of ACGTUN", record=name)
            lengths[name] = sum(len(line.strip()) for line in parts)
    if not lengths:
        raise InputError(path, "holds no sequence; a FASTA file starts with '>'")
    empty = [name for name, length in lengths.items() if not length]
    if empty:
        raise InputError(path, "has no bases", record=empty[0])
    return lengths
