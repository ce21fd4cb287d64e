"""FASTA files of proteins."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.readers.fields import OnProblem, faults, stop
from biorrn.readers.ids import Ids
from biorrn.readers.records import ProteinRecord
from biorrn.readers.sequences import clean_sequence


def read_fasta(
    path: str | Path, on_problem: OnProblem = stop, on_repeat: Callable[[str], None] | None = None
) -> Iterator[ProteinRecord]:
    """Yield the proteins of a FASTA file, one in memory at a time.

    Sequences are cleaned by `readers.sequences.clean_sequence`. The same sequence under two ids is two records; whether
    an id came before is known, for which the ids are kept as hashes (some 30 bytes a record).

    Parameters
    ----------
    path : the file; gzip is recognised by its content, `-` is standard input.
    on_problem : takes what is wrong with one record; where it returns, that record is left out.
    on_repeat : takes each id that came before, and the record is yielded; without it that is a problem.

    Raises
    ------
    InputError: the file is empty or not FASTA, or an id is missing; and unless `on_problem` takes it, an id is given
        twice or a sequence cannot be cleaned.
    """
    ids = Ids()
    with open_text(path) as file:
        for line, header, sequence in _entries(path, file):
            name, _, description = header.partition(" ")
            before = ids.seen(name, line)
            try:
                if before and on_repeat is not None:
                    on_repeat(name)
                elif before:
                    raise InputError(path, f"the id is given twice, on lines {before} and {line}", name)
                with faults(path, name):
                    residues, unknown = clean_sequence(sequence)
            except InputError as problem:
                on_problem(problem)
                continue
            yield ProteinRecord(name, residues, description, unknown)
    if not ids:
        raise InputError(path, "the file is empty; FASTA is a line of > and an id, then lines of sequence")


def read_entries(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield id and sequence as written of each record, whatever its alphabet; ids may come again.

    Raises
    ------
    InputError: the file is empty or not FASTA, or an id is missing.
    """
    found = False
    with open_text(path) as file:
        for _, header, sequence in _entries(path, file):
            found = True
            yield header.partition(" ")[0], sequence
    if not found:
        raise InputError(path, "the file is empty; FASTA is a line of > and an id, then lines of sequence")


def _entries(path: str | Path, file: IO[str]) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, the header (words parted by one space) and the sequence of each record."""
    header, start = "", 0
    parts: list[str] = []
    for number, line in enumerate(file, 1):
        stripped = line.strip().lstrip("\ufeff")  # some editors start a file with a byte order mark
        if stripped.startswith(">"):
            if header:
                yield start, header, "".join(parts)
            header, start, parts = " ".join(stripped[1:].split()), number, []
            if not header:
                raise InputError(path, f"line {number}: a header without an id; allowed is > and an id")
        elif stripped and not header:
            hint = "; it looks like FASTQ" if stripped.startswith("@") else ""
            raise InputError(path, f"line {number}: found {stripped[:30]!r} before the first header '>'{hint}")
        elif stripped:
            parts.append(stripped)
    if header:
        yield start, header, "".join(parts)
