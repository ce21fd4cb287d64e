"""Reference sequences: a FASTA file of nucleotides, checked line by line."""

import re
from pathlib import Path

from biorrn.errors import InputError
from biorrn.files import open_text

_NOT_REFERENCE = re.compile("[^ACGTUNRYSWKMBDHV]", re.IGNORECASE)


def reference_lengths(path: str | Path) -> dict[str, int]:
    """Return name -> bases of each sequence of a FASTA file, after checking every line of it.

    Raises
    ------
    InputError: not FASTA, no sequence, an empty or repeated one, or a letter that is no base (IUPAC codes are allowed).
    """
    lengths: dict[str, int] = {}
    name = None
    with open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.startswith(">"):
                name = line[1:].split()[0] if line[1:].split() else ""
                if name in lengths or not name:
                    problem = "appears twice" if name else f"line {number} has no name after '>'"
                    raise InputError(path, problem, record=name or None)
                lengths[name] = 0
            elif line.strip():
                if name is None:
                    raise InputError(path, f"line {number} starts with '{line[0]}'; a FASTA file starts with '>'")
                odd = _NOT_REFERENCE.search(line.strip())
                if odd:
                    raise InputError(path, f"'{odd[0]}' on line {number} is not a base of ACGTUN", record=name)
                lengths[name] += len(line.strip())
    if not lengths:
        raise InputError(path, "holds no sequence; a FASTA file starts with '>'")
    empty = [name for name, length in lengths.items() if not length]
    if empty:
        raise InputError(path, "has no bases", record=empty[0])
    return lengths
