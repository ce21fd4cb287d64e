"""Called reads as letters: FASTA or FASTQ, told apart by the first letter of the file."""

import re
from collections.abc import Iterator
from pathlib import Path

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.readers.fasta import fasta_records, first_word
from biorrn.readers.fastq import fastq_records, first_line
from biorrn.readers.fields import OnProblem, stop

_NOT_BASES = re.compile("[^ACGTN]")


def read_bases(path: str | Path, on_problem: OnProblem = stop) -> Iterator[tuple[str, str]]:
    """Yield id and bases (upper case of ACGTN, U read as T) of each record; gzip is recognised, `-` is standard input.

    Qualities are checked and left out. A read may be empty.

    Parameters
    ----------
    on_problem : called with what is wrong with a record, which is left out: a letter that is no base, a header without
        an id. By default it is raised.

    Raises
    ------
    InputError: the file holds no record, is neither FASTA nor FASTQ, or is cut off.
    """
    with open_text(path) as stream:
        first, lines = first_line(stream)
        if not first:
            raise InputError(path, "holds no reads")
        if first[0] == "@":
            for record in fastq_records(lines, path):
                yield from _clean(path, record.id, record.bases, on_problem)
            return
        if first[0] != ">":
            raise InputError(path, f"line 1 starts with {first[:1]!r}; FASTA starts with '>', FASTQ with '@'")
        for number, header, parts in fasta_records(enumerate(lines, 1), path):
            if name := first_word(header):
                yield from _clean(path, name, "".join(map(str.strip, parts)), on_problem)
            else:
                on_problem(InputError(path, f"line {number}: a header without an id", flag="no_id"))


def _clean(path: str | Path, name: str, bases: str, on_problem: OnProblem) -> Iterator[tuple[str, str]]:
    """Yield id and bases, unless a letter is no base."""
    letters = bases.upper().replace("U", "T")
    odd = _NOT_BASES.search(letters)
    if odd:
        found = f"base {odd[0]!r} at position {odd.start() + 1} is not one of ACGTUN"
        on_problem(InputError(path, found, record=name, flag="not_a_base"))
    else:
        yield name, letters
