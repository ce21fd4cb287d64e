"""FASTA whose letters are labels, one a residue: any letter, blanks too. Also a member of a zip archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from biorrn.errors import InputError
from biorrn.files import decoded, open_text
from biorrn.readers.fasta import fasta_records
from biorrn.readers.fields import Fault, faults
from biorrn.readers.ids import Ids
from biorrn.readers.sequences import clean_sequence

INSIDE = ".zip:"  # between an archive and the name of one of its members
MOST_BYTES = 1 << 31  # of a member once unpacked; a few kB of an archive can claim any size


@dataclass(frozen=True, slots=True)
class Letters:
    """One record: its id, its letters as written without ends of lines, and the rest of its header."""

    id: str
    letters: str
    description: str = ""


def read_letters(path: str | Path) -> Iterator[Letters]:
    """Yield the records of a FASTA file of labels, one in memory at a time.

    Parameters
    ----------
    path : the file; gzip by content, `-` for standard input, `archive.zip:member` for one in an archive.

    Raises
    ------
    InputError: the file cannot be read, is empty or not FASTA, or an id is missing or given twice.
    """
    ids, number = Ids(), 0
    for number, header, parts in fasta_records(enumerate(_lines(path), 1), path):
        name, _, description = " ".join(header.split()).partition(" ")
        if not name:
            raise InputError(path, f"line {number}: a header without an id; allowed is > and an id")
        if before := ids.seen(name, number):
            raise InputError(path, f"the id is given twice, on lines {before} and {number}", name)
        yield Letters(name, "".join(parts), description)
    if not number:
        raise InputError(path, "the file is empty; FASTA is a line of > and an id, then lines of letters")


def one_a_label(written: str) -> str:
    """Return a protein in upper-case letters, B, Z, J, U and O as X; nothing may be left out, since labels would shift.

    Raises
    ------
    Fault: as `readers.sequences.clean_sequence`; or a gap or a stop codon.

    >>> one_a_label("mkv")
    'MKV'
    >>> one_a_label("MK-V")
    Traceback (most recent call last):
    biorrn.readers.fields.Fault: found '-' at position 3; a sequence with one label a residue has no gaps and no '*'
    """
    packed = "".join(written.split())
    sequence = clean_sequence(packed)[0]
    if len(sequence) != len(packed):
        place = next(place for place, letter in enumerate(packed) if letter in "-.*")
        found = f"found {packed[place]!r} at position {place + 1}"
        raise Fault(f"{found}; a sequence with one label a residue has no gaps and no '*'")
    return sequence


def members(path: str | Path) -> list[str]:
    """Return the files of a folder, or the members of a zip archive, each as `read_letters` takes it.

    Raises
    ------
    InputError: the archive or folder cannot be read.
    """
    if Path(path).is_dir():
        with faults(path, None, OSError):
            return sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
    with faults(path, None, *DAMAGE), zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.filename.endswith("/")]
    return [f"{path}:{name}" for name in names if not name.startswith("__MACOSX/")]


def is_archive(path: str | Path) -> bool:
    """Tell whether an input is a folder or a zip archive."""
    return Path(path).is_dir() or (Path(path).suffix.lower() == ".zip" and Path(path).is_file())


def _lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a text file, or of a member of a zip archive (`archive.zip:member`)."""
    archive, found, member = str(path).partition(INSIDE)
    if not found or Path(path).exists():
        with open_text(path) as stream:
            yield from stream
        return
    with faults(path, None, *DAMAGE), zipfile.ZipFile(archive + INSIDE[:-1]) as opened:
        if opened.getinfo(member).file_size > MOST_BYTES:
            raise Fault(f"is larger than {MOST_BYTES:,} bytes")
        with opened.open(member) as raw, decoded(raw, path) as lines:
            yield from lines


DAMAGE = (  # what Python raises on an archive that is none, damaged or locked
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    KeyError,
    RuntimeError,
    NotImplementedError,
)
