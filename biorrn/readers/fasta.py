"""Protein sequence files: FASTA as people write it, PIR, and the alignments and flat files that Biopython reads."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from biorrn.errors import InputError
from biorrn.files import note, open_text
from biorrn.readers.fields import Fault, OnProblem, faults, stop
from biorrn.readers.ids import Ids
from biorrn.readers.records import ProteinRecord
from biorrn.readers.sequence_formats import LINES, identify, read_foreign
from biorrn.readers.sequences import DNA_LENGTH, DNA_PART, NUCLEOTIDES, Cleaned, cleaned

EMPTY = "the file is empty; FASTA is a line of > and an id, then lines of sequence"
FIRST, LETTERS = 100, 60_000  # records, and letters of them, that tell whether a file is DNA
TRANSLATE = "expected proteins; translate it first, as with transeq of EMBOSS or translate() of Biopython"
Item = ProteinRecord | tuple[InputError, ProteinRecord]  # a record, or what is wrong with one and what stands for it
_PIR = re.compile(r"(?:P1|F1|DL|DC|RL|RC|N1|N3|XX);\s*(.*)")
_LEFT_NUMBER = re.compile(r"^\s*\d+\s+(?=[A-Za-z*~.-])")
_RIGHT_NUMBER = re.compile(r"(?<=[A-Za-z*~.-])\s+\d+\s*$")
_TITLE = re.compile(r"[A-Z][a-z]{2,}")
_WORDS = re.compile(r"[A-Za-z.,:'-]+(?:\s+[A-Za-z.,:'-]+)*")


@dataclass(slots=True)
class Entry:
    """A record as written.

    Attributes
    ----------
    line : int: that on which it begins; 0 where that is unknown.
    id, description : str: the words of the header; the id is "" where there is none.
    lines : list of (int, str): the lines of the sequence with their numbers, without white space at the ends.
    pir : bool: it is PIR, whose sequence ends in `*`.
    problem : str: what is wrong with it as a whole.
    """

    line: int
    id: str
    description: str
    lines: list[tuple[int, str]]
    pir: bool = False
    problem: str = ""


def read_fasta(
    path: str | Path,
    on_problem: OnProblem = stop,
    on_repeat: Callable[[str], None] | None = None,
    keep: bool = False,
) -> Iterator[ProteinRecord]:
    """Yield the proteins of a sequence file, one in memory at a time (of an alignment: all).

    FASTA may have lines of comment (`;`, or `#` before the first header), numbers and blocks as in GenPept, gaps, and
    modifications in brackets, which are removed. A file that begins with a line of residues is one record, named by
    the file; a note says so. PIR is recognised by its headers (`>P1;id`). Stockholm, Clustal, PHYLIP, NEXUS, MSF,
    GenBank, EMBL and UniProt files are read through Biopython; of other formats the error names the way out.

    Sequences are cleaned by `readers.sequences.cleaned`. The same sequence under two ids is two records; whether
    an id came before is known, for which the ids are kept as hashes (some 30 bytes a record).

    Parameters
    ----------
    path : the file; packed or not, in any encoding, see `files.open_text`; `-` is standard input.
    on_problem : takes what is wrong with one record; where it returns, that record is left out.
    on_repeat : takes each id that came before, and the record is yielded; without it that is a problem.
    keep : bool: a record that is left out is yielded too, without sequence and with `problem` set.

    Raises
    ------
    InputError: the file is empty or of another format; and unless `on_problem` takes it, an id is missing or given
        twice, or a sequence cannot be cleaned.
    """
    return usable(path, _records(path, on_repeat), on_problem, keep)


def usable(path: str | Path, items: Iterator[Item], on_problem: OnProblem, keep: bool) -> Iterator[ProteinRecord]:
    """Yield the records among the items, and give what is wrong with others to `on_problem`; see `read_fasta`.

    Raises
    ------
    InputError: the first items are nucleotides.
    """
    return kept(_not_nucleotides(path, items), on_problem, keep)


def kept(items: Iterable[Item], on_problem: OnProblem, keep: bool) -> Iterator[ProteinRecord]:
    """Yield the records among the items, and give what is wrong with others to `on_problem`; see `read_fasta`."""
    for item in items:
        if isinstance(item, ProteinRecord):
            yield item
            continue
        problem, record = item
        on_problem(problem)
        if keep:
            yield record


def _refuse_nucleotides(path: str | Path, first: Sequence[ProteinRecord]) -> None:
    """Check that the first records of a file together are no nucleotides: each alone may be too short to tell.

    Raises
    ------
    InputError: they are; says how to go on.
    """
    letters: Counter[str] = Counter()
    for record in first:
        letters.update(record.sequence)
    letters["N"] += letters.pop("X", 0)  # the reader has made X of U; a protein of nothing but X is no protein either
    total = letters.total()
    part = sum(letters[letter] for letter in NUCLEOTIDES) / max(total, 1)
    if total >= DNA_LENGTH and part >= DNA_PART and sum(letters[letter] > 0 for letter in "ACGT") >= 3:
        problem = f"{100 * part:.0f} % of the {total} letters of the first {len(first)} records are A, C, G, T, U or N"
        raise InputError(path, f"looks like DNA or RNA: {problem}; {TRANSLATE}")


def _not_nucleotides(path: str | Path, items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items, unless the first are nucleotides: then that is wrong with the file, not with its records."""
    first: list[Item] = []
    letters = 0
    while len(first) < FIRST and letters < LETTERS and (item := next(items, None)) is not None:
        first.append(item)
        letters += len(item.sequence) if isinstance(item, ProteinRecord) else 0
    problems = [item[0] for item in first if not isinstance(item, ProteinRecord)]
    if first and [problem.flag for problem in problems] == ["nucleotides"] * len(first):
        raise InputError(path, f"{problems[0].problem}; {TRANSLATE}", problems[0].record)
    _refuse_nucleotides(path, [item for item in first if isinstance(item, ProteinRecord)])
    yield from first
    yield from items


def _records(path: str | Path, on_repeat: Callable[[str], None] | None) -> Iterator[Item]:
    ids = Ids()
    number = 0
    with open_text(path) as file:
        for number, entry in enumerate(read_records(path, file), 1):
            place, places = (entry.line, "on lines") if entry.line else (number, "by records")
            before = ids.seen(entry.id, place) if entry.id else 0
            try:
                if not entry.id:
                    problem = f"line {entry.line}: a header without an id; allowed is > and an id"
                    raise InputError(path, entry.problem or problem, None, "no_id")
                if before and on_repeat is not None:
                    on_repeat(entry.id)
                elif before:
                    problem = f"the id is given twice, {places} {before} and {place}"
                    raise InputError(path, problem, entry.id, "id_given_before")
                with faults(path, entry.id):
                    found = _residues(entry)
            except InputError as problem:
                yield problem, ProteinRecord(entry.id or ".", "", entry.description, problem=problem.flag)
                continue
            changes = (*found.changes, *(["id_given_before"] if before else []))
            yield ProteinRecord(entry.id, found.residues, entry.description, found.unknown, changes)
    if not number:
        raise InputError(path, EMPTY)


def read_entries(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield id and sequence as written of each record of FASTA, whatever its alphabet; ids may come again.

    Raises
    ------
    InputError: the file is empty or not FASTA, or an id is missing.
    """
    found = False
    with open_text(path) as file:
        for entry in _fasta(path, enumerate(file, 1)):
            found = True
            if not entry.id:
                raise InputError(path, f"line {entry.line}: a header without an id; allowed is > and an id")
            yield entry.id, "".join(line for _, line in entry.lines)
    if not found:
        raise InputError(path, EMPTY)


def read_records(path: str | Path, file: IO[str]) -> Iterator[Entry]:
    """Yield the records of an open sequence file as written, whatever its format.

    Raises
    ------
    InputError: the format is none that is read.
    """
    numbered = enumerate(file, 1)
    head: list[tuple[int, str]] = []
    size = 0
    while len(head) < LINES and size < LETTERS and (row := next(numbered, None)) is not None:
        head.append(row)
        size += len(row[1])
    lines: Iterator[tuple[int, str]] = itertools.chain(head, numbered)
    first = next(((number, text) for number, line in head if (text := line.strip()) and text[0] not in "#;"), None)
    kind = identify([line for _, line in head])
    if kind is not None:
        rows = (line for _, line in lines)
        for name, description, sequence in read_foreign(path, kind, rows):
            yield Entry(0, name, description, [(0, sequence)])
        return
    if first is not None and not first[1].startswith(">"):
        number, text = first
        if not _is_sequence(_without_numbers(text)):
            raise InputError(path, f"line {number}: found {text[:30]!r} before the first header '>'")
        if any(line.lstrip().startswith(">") for _, line in head):
            begin = f"line {number}: found {text[:30]!r} before the first header '>'"
            yield Entry(number, "", "", [], problem=begin)
            lines = itertools.dropwhile(lambda row: not row[1].lstrip().startswith(">"), lines)
            yield from _fasta(path, lines)
            return
        name = "stdin" if str(path) == "-" else Path(path).name.split(".")[0] or "sequence"
        several = (
            ""
            if _looks_one([line for _, line in head])
            else ("; its lines look like several sequences: if so, put a line with '>' and an id before each")
        )
        note(path, f"has no header '>'; read as one sequence, '{name}'{several}")
        lines = itertools.dropwhile(lambda row: row[0] < number, lines)
        entries = _fasta(path, itertools.chain([(number - 1, f">{name}")], lines))
        entry = next(entries)
        entry.line = number
        yield entry
        yield from entries
        return
    yield from _fasta(path, lines)


def _looks_one(lines: Sequence[str]) -> bool:
    """Tell whether lines may be one sequence: no blank line between them, and only the last is shorter than the first.

    >>> _looks_one(["MKVLA", "GHKLM", "K"]), _looks_one(["MKVLA", "GHK", "LMKVA"]), _looks_one(["MKV", "", "MKV"])
    (True, False, False)
    """
    texts = "\n".join(line.strip() for line in lines if not line.startswith((";", "#"))).strip().split("\n")
    widths = [len(_without_numbers(text)) for text in texts]
    return all(width == widths[0] for width in widths[:-1]) and 0 < widths[-1] <= widths[0]


def fasta_records(lines: Iterable[tuple[int, str]], source: str | Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the records of FASTA as written: line of the header, header without `>`, and the lines after it.

    Blank lines and lines of comment (`;` or `#`) may stand before the first header.

    Parameters
    ----------
    lines : numbers from 1, and lines.
    source : named in errors.

    Raises
    ------
    InputError: other text stands before the first header.
    """
    start: int | None = None
    header, parts = "", list[str]()
    for number, line in lines:
        text = line.strip().lstrip("\ufeff")
        if text.startswith(">"):
            if start is not None:
                yield start, header, parts
            start, header, parts = number, text[1:], []
        elif start is not None:
            parts.append(line.rstrip("\r\n"))
        elif text and text[0] not in ";#":
            raise InputError(source, f"line {number}: found {text[:30]!r} before the first header '>'")
    if start is not None:
        yield start, header, parts


def first_word(header: str) -> str:
    """Return the id in a header, "" where there is none."""
    return (header.split() or [""])[0]


def _fasta(path: str | Path, lines: Iterable[tuple[int, str]]) -> Iterator[Entry]:
    """Yield the records of FASTA or PIR."""
    for start, header, parts in fasta_records(lines, path):
        entry = _headed(start, header)
        wait = entry.pir  # for the description, the line after the header of PIR, even where that is blank
        for number, line in enumerate(parts, start + 1):
            text = line.strip().lstrip("\ufeff")
            if wait:
                entry.description, wait = text, False
            elif not text or text[0] == ";":
                continue
            elif ">" in text:  # files joined by cat, the first without a last line feed
                before, _, inside = text.partition(">")
                note(path, f"line {number}: has '>' inside; read as the end of record '{entry.id}' and a new header")
                entry.lines.append((number, before))
                yield entry
                entry = _headed(number, inside)
                wait = entry.pir
            elif not (entry.pir and entry.lines and entry.lines[-1][1].endswith("*")):  # PIR may have text after it
                entry.lines.append((number, text))
        yield entry


def _headed(number: int, header: str) -> Entry:
    name, _, description = " ".join(header.split()).partition(" ")
    found = _PIR.fullmatch(header.strip())
    if found:
        return Entry(number, found[1].strip().partition(" ")[0], "", [], pir=True)
    return Entry(number, name, description, [])


def _residues(entry: Entry) -> Cleaned:
    """Return the sequence of an entry in letters of residues.

    Raises
    ------
    Fault: a line is text; PIR without an end; or as `sequences.cleaned`.
    """
    lines = entry.lines
    if entry.pir and not (lines and lines[-1][1].endswith("*")):
        raise Fault("is PIR, whose sequence ends in '*', and has no such end; is the file cut off?", "cut_off")
    written = "".join(text for _, text in lines)
    if (written.isalpha() and written.isupper()) or entry.line == 0:  # as nearly all are
        return cleaned(written)
    parts = [(number, _without_numbers(text)) for number, text in lines if text not in ("//", "ORIGIN")]
    upper = [number for number, text in parts if text.isupper()]
    longest = max((len(text) for _, text in parts), default=0)
    for number, text in parts:
        others = bool(upper) and upper != [number]
        short = len(text) < longest and number != parts[-1][0]
        if not _is_sequence(text, others, short):
            raise Fault(f"line {number}: found {text[:40]!r}, which is text and no sequence", "text")
    return cleaned(" ".join(text for _, text in parts))


def _without_numbers(text: str) -> str:
    """Return a line without the number at its start or end, as GenBank, EMBL and GCG write it."""
    return _RIGHT_NUMBER.sub("", _LEFT_NUMBER.sub("", text)) if any(map(str.isdigit, text)) else text


def _is_sequence(text: str, upper: bool = False, short: bool = False) -> bool:
    """Tell a line of residues, in blocks perhaps, from one of words.

    Blocks have one length but for the last, or are single letters, in one case. A line with other letters than words
    have is for `cleaned` to judge.

    Parameters
    ----------
    upper : bool: other lines of the record are in upper case.
    short : bool: the line is not the last, and others are longer: in FASTA only the last may be short.

    >>> [_is_sequence(text) for text in ("KLPPGWEKRM SRSSG", "M K V", "human Pin WW domain", "WW DOMAIN OF PIN")]
    [True, True, False, False]
    """
    if not _WORDS.fullmatch(text):
        return True
    words = text.split()
    if len(words) == 1:
        return not (upper and (_TITLE.fullmatch(text) or (short and text.islower())))
    if all(len(word) == 1 for word in words):
        return True
    if not (text.isupper() or text.islower()) or (upper and text.islower()):
        return False
    block, last = len(words[0]), len(words[-1])
    even = all(len(word) == block for word in words[:-1]) and last <= block
    # text in capitals has no words of 16 letters; two even words of it are rare
    return (even and (last == block or len(words) > 2 or block >= 10)) or (text.isupper() and max(map(len, words)) > 15)
