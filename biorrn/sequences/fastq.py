"""FASTQ parser (Cock et al. 2010, Nucleic Acids Res 38:1767; Sanger qualities), and FASTA of nucleotides."""

import itertools
import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.base.errors import InputError, OnProblem, stop
from biorrn.base.files import open_text
from biorrn.sequences.fasta import fasta_records, first_word

PHRED = 33  # the letter of Q 0
MAX_Q = 93  # the highest quality of a letter
_LETTERS = (string.ascii_letters + "*.-").encode()
_QUALITIES = bytes(range(33, 127))
_OF_PHRED = bytes(min(quality, MAX_Q) + PHRED for quality in range(256))
_NOT_LETTER = re.compile(r"[^A-Za-z*.-]")
_NOT_QUALITY = re.compile(r"[^!-~]")


@dataclass(frozen=True, slots=True)
class FastqRecord:
    """A record of FASTQ.

    Attributes
    ----------
    header : str: the text after `@`, tags included.
    bases, letters : str: bases as written, and the quality letter (`!` to `~`) of each.
    whole : bool: whether its last line ends in a newline, as in all but a file that may be cut off.
    """

    header: str
    bases: str
    letters: str
    whole: bool = True

    @property
    def id(self) -> str:
        """Return the first word of the header."""
        return self.header.split()[0]

    @property
    def quals(self) -> np.ndarray:
        """Return the qualities, uint8 (L,), on the Phred scale."""
        return np.frombuffer(self.letters.encode("ascii"), np.uint8) - np.uint8(PHRED)

    @property
    def text(self) -> str:
        """Return the record in four lines."""
        return f"@{self.header}\n{self.bases}\n+\n{self.letters}\n"


def quality_letters(quals: np.ndarray) -> str:
    """Return the qualities uint8 (L,) as letters, from `!` for 0 to `~` for 93 and more."""
    return np.asarray(quals, np.uint8).tobytes().translate(_OF_PHRED).decode("ascii")


def all_of(text: str, allowed: bytes) -> bool:
    """Return whether all characters of a text are of a set of ASCII; several times as fast as a pattern."""
    return not text.encode("utf-8", "replace").translate(None, allowed)


def first_line(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return the first line that is not blank, "" where there is none, and an iterator over all lines."""
    passed = []
    for line in lines:
        passed.append(line)
        if line.strip():
            break
    return next((line for line in passed if line.strip()), ""), itertools.chain(passed, lines)


def fastq_records(lines: Iterable[str], source: str | Path, on_problem: OnProblem = stop) -> Iterator[FastqRecord]:
    r"""Yield the records of lines of FASTQ.

    Blank lines may stand between records, lines may end in `\r\n`, and the last may have no end. A sequence may be
    wrapped; then its qualities are wrapped at the same places, since a quality line may begin with `@` or `+`. A read
    may be empty.

    Parameters
    ----------
    source : named in errors.
    on_problem : called with what is wrong with a record, which is left out: no id, a base that is no letter, a quality
        that is not one of `!` to `~`, or other qualities than bases. By default it is raised. After such a record the
        next must begin with `@`, or the lines are not FASTQ.

    Raises
    ------
    InputError: the lines are not FASTQ, or are cut off. It names the record and the line.
    """
    numbered = enumerate(lines, 1)
    for number, header in numbered:
        if not header.strip():
            continue
        if header[0] != "@":
            kind = " (that is FASTA)" if header[0] == ">" else ""
            raise InputError(source, f"line {number} starts with {header[0]!r}{kind}; a FASTQ record starts with '@'")
        header = header[1:].rstrip("\r\n")
        name = next(iter(header.split()), None)
        fault = None
        if name is None:
            fault = InputError(source, f"line {number}: a header without an id; allowed is @ and an id", flag="no_id")
        parts: list[str] = []
        for number, line in numbered:
            part = line.rstrip("\r\n")
            if part.startswith("+"):
                break
            odd = None if all_of(part, _LETTERS) else _NOT_LETTER.search(part)
            if odd and not odd.start() and (parts or odd[0] == "@"):
                problem = f"line {number} starts with {part[:1]!r}; allowed is '+' or more bases"
                raise InputError(source, problem, record=name)
            if odd:
                place = sum(map(len, parts)) + odd.start() + 1
                problem = f"line {number}: base {odd[0]!r} at position {place} is no letter"
                if fault and fault.flag == "not_a_base":
                    raise fault  # two such lines: a text of another kind, which may be long
                fault = InputError(source, problem, record=name, flag="not_a_base")
            parts.append(part)
        else:
            raise fault or InputError(source, f"is cut off after line {number}; the line '+' is missing", record=name)
        taken = list(itertools.islice(numbered, len(parts)))
        qualities = [found.rstrip("\r\n") for _, found in taken]
        number, line = taken[-1] if taken else (number, line)
        bases, letters, whole = "".join(parts), "".join(qualities), line[-1:] in ("\n", "\r")
        if len(qualities) < len(parts) and bases:
            raise InputError(source, f"is cut off after line {number}; qualities are missing", record=name)
        if [len(part) for part in parts][: len(qualities)] != [len(part) for part in qualities]:
            how = "" if len(parts) == 1 else "; a wrapped record has both in lines of the same lengths"
            cut = not whole and len(letters) < len(bases)
            problem = f"has {len(bases)} bases and {len(letters)} qualities{' (the file is cut off)' if cut else how}"
            wrong = InputError(source, problem, record=name, flag="other_qualities")
            if cut:
                raise wrong
            fault = fault or wrong
        odd = None if all_of(letters, _QUALITIES) else _NOT_QUALITY.search(letters)
        if odd:
            problem = f"line {number}: quality {odd[0]!r} is not a letter from '!' to '~'"
            fault = fault or InputError(source, problem, record=name, flag="not_a_quality")
        if fault:
            on_problem(fault)
            continue
        yield FastqRecord(header, bases, letters, whole)


_NOT_BASES = re.compile("[^ACGTN]")


def read_bases(path: str | Path, on_problem: OnProblem = stop) -> Iterator[tuple[str, str]]:
    """Yield id and bases (upper case of ACGTN, U read as T) of each record; gzip is recognised, `-` is standard input.

    Qualities are checked and left out. A read may be empty.

    Parameters
    ----------
    on_problem : called with what is wrong with a record, which is left out: a letter that is no base, a header without
        an id, or as of `fastq_records`. By default it is raised.

    Raises
    ------
    InputError: the file holds no record, is neither FASTA nor FASTQ, or is cut off.
    """
    with open_text(path) as stream:
        first, lines = first_line(stream)
        if not first:
            raise InputError(path, "holds no reads")
        if first[0] == "@":
            for record in fastq_records(lines, path, on_problem):
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
