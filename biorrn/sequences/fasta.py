"""Sequence files of proteins: FASTA, PIR, and alignments and flat files through Biopython."""

from __future__ import annotations

import io
import itertools
import re
import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from biorrn.base.errors import Fault, InputError, OnProblem, faults, reason, stop
from biorrn.base.files import note, one_line, open_text
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.records import ProteinRecord

AMBIGUOUS = "BZJUO"  # ambiguous codes, selenocysteine and pyrrolysine: read as X
GAPS = "-.~"
NUCLEOTIDES = "ACGTUN"
DNA_LENGTH, DNA_PART = 30, 0.95  # a sequence as long, with so many nucleotide letters, is taken for DNA or RNA

_CLEAN = str.maketrans(
    {residue.lower(): residue for residue in RESIDUES}
    | {letter: "X" for letter in AMBIGUOUS + AMBIGUOUS.lower()}
    | dict.fromkeys(GAPS, "")
)
_RESIDUES_AWAY = str.maketrans("", "", RESIDUES)
_NUCLEOTIDES_AWAY = str.maketrans("", "", NUCLEOTIDES)
# invisible characters of web pages and PDF documents: zero-width spaces and joiners, soft hyphens
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
# phosphorylated residues as pS, pT and pY among capitals; another p is a proline in lower case
_PHOSPHO = re.compile(r"(?:[A-Z*.~-]|p(?=[STY]))+")


# four three-letter codes or more and nothing else: no protein in single letters is so by chance
_CODES = "Ala|Arg|Asn|Asp|Cys|Gln|Glu|Gly|His|Ile|Leu|Lys|Met|Phe|Pro|Ser|Thr|Trp|Tyr|Val|Sec|Pyl|Mse"
_THREE_LETTER = re.compile(rf"(?:(?:{_CODES})[-.]?){{4,}}\*?", re.IGNORECASE)

# a modification of the residue before it, as in M[Oxidation], S(ph), C[+57.02]; [ST] and (A/G) are alternatives
_MODIFIED = re.compile(
    r"^[\[({](?=[^\])}]*[a-z0-9])[^\[\](){}/]*[\])}]-?|-?[\[({](?=[^\])}]*[a-z0-9])[^\[\](){}/]*[\])}]"
)


class Cleaned(NamedTuple):
    """A sequence in upper-case letters of `RESIDUES`, how many of them are X, and what was removed, by flag."""

    residues: str
    unknown: int
    changes: tuple[str, ...] = ()


def cleaned(written: str) -> Cleaned:
    """Return a sequence in upper-case letters of `RESIDUES`.

    White space, gaps (`-`, `.` and `~`) and modifications (in brackets, or the p of `pS`) are removed, lower case
    becomes upper case, `*` at the end is dropped, and B, Z, J, U and O become X.

    Raises
    ------
    Fault: another character, a `*` before the end, an empty sequence, three-letter codes, or what looks like DNA or
        RNA: at least 30 letters, 95 % of them A, C, G, T, U or N, and at least three different ones of A, C, G, T, U.
        Positions count from 1 in the sequence as written, gaps included, white space and modifications not.

    >>> cleaned("mk-v lu*")
    Cleaned(residues='MKVLX', unknown=1, changes=('gaps_removed',))
    >>> cleaned("MK[Acetyl]V").changes
    ('modifications_removed',)
    >>> cleaned("MK7V")
    Traceback (most recent call last):
    biorrn.base.errors.Fault: residue '7' at position 3 is not one of ACDEFGHIKLMNPQRSTVWYX
    """
    if written and not written.translate(_RESIDUES_AWAY) and not _THREE_LETTER.fullmatch(written):  # as nearly all are
        if len(written) >= DNA_LENGTH:
            _check_protein(written, len(written))
        return Cleaned(written, written.count("X"))
    packed, modified = "".join(written.split()), 0
    if not packed.isascii():
        packed = packed.translate(_INVISIBLE)
    if "p" in packed and _PHOSPHO.fullmatch(packed):
        packed, modified = packed.replace("p", ""), 1
    if _THREE_LETTER.fullmatch(packed):
        raise Fault(f"is in three-letter codes ('{packed[:12]}...'); expected one letter a residue", "three_letter")
    if not packed.isalpha():
        packed, brackets = _MODIFIED.subn("", packed)
        modified += brackets
    sequence = packed.translate(_CLEAN).rstrip("*")
    wrong = sequence.translate(_RESIDUES_AWAY)
    if wrong:
        position = packed.index(wrong[0]) + 1
        if wrong[0] == "*":
            raise Fault(f"stop codon '*' at position {position}; allowed is one at the end only", "stop_inside")
        raise Fault(f"residue {wrong[0]!r} at position {position} is not one of {RESIDUES}", "not_a_residue")
    if not sequence:
        raise Fault("the sequence is empty", "empty")
    if len(sequence) >= DNA_LENGTH:
        _check_protein(packed.upper(), len(sequence))
    gaps = len(sequence) < len(packed) and any(gap in packed for gap in GAPS)
    removed = {"gaps_removed": gaps, "modifications_removed": modified > 0}
    return Cleaned(sequence, sequence.count("X"), tuple(name for name, there in removed.items() if there))


def _check_protein(packed: str, length: int) -> None:
    if (len(packed) - len(packed.translate(_NUCLEOTIDES_AWAY))) / length < DNA_PART:
        return
    counts = {letter: packed.count(letter) for letter in NUCLEOTIDES}
    part = sum(counts.values()) / length
    # silk and other repeats of glycine and alanine have two of the letters; DNA of this length has more
    if part >= DNA_PART and sum(counts[letter] > 0 for letter in "ACGTU") >= 3:
        raise Fault(
            f"looks like DNA or RNA: {100 * part:.0f} % of {length} letters are A, C, G, T, U or N", "nucleotides"
        )


FIRST = 1 << 10  # places of an empty table; always a power of two
FULL = 0.6  # part of the places in use at which the table grows


class Ids:
    """Ids with the line on which each came first; about 20 to 40 bytes an id, against more than 100 in a dict.

    Two ids are taken for one where their 64-bit hashes are equal: of a hundred million ids, once in 3,000 files.

    >>> ids = Ids()
    >>> ids.seen("P1", 1), ids.seen("P2", 3), ids.seen("P1", 5)
    (0, 0, 1)
    """

    def __init__(self) -> None:
        self.count = 0
        self._clear(FIRST)

    def __len__(self) -> int:
        return self.count

    def seen(self, name: str, line: int) -> int:
        """Return the line, 1 or more, on which `name` came before; 0 where it did not, and then remember `line`."""
        code = (hash(name) & 0xFFFFFFFFFFFFFFFF) or 1  # 0 marks a free place
        codes, mask = self._codes, len(self._codes) - 1
        place = code & mask
        while held := codes[place]:
            if held == code:
                return self._lines[place]
            place = (place + 1) & mask
        codes[place], self._lines[place] = code, line
        self.count += 1
        if self.count > FULL * (mask + 1):
            self._grow()
        return 0

    def _clear(self, places: int) -> None:
        self._codes = array("Q", bytes(8 * places))
        self._lines = array("Q", bytes(8 * places))

    def _grow(self) -> None:
        taken = np.flatnonzero(self._codes)
        codes, lines = (np.array(held)[taken] for held in (self._codes, self._lines))
        self._clear(2 * len(self._codes))
        new_codes, new_lines = (np.frombuffer(held, np.uint64) for held in (self._codes, self._lines))
        place = codes & np.uint64(len(new_codes) - 1)
        while len(codes):  # of ids that meet at a free place one has it, the others go on to the next
            free = new_codes[place] == 0
            new_codes[place[free]] = codes[free]
            own = new_codes[place] == codes
            new_lines[place[own]] = lines[own]
            codes, lines, place = codes[~own], lines[~own], (place[~own] + 1) & np.uint64(len(new_codes) - 1)


LINES = 50  # of a file, that show its format
LARGEST = 1 << 28  # characters of an alignment, which is held in memory
STRUCTURE = "it holds coordinates; take the sequences of its chains, such as the FASTA file of its entry at the PDB"


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files with sequences.

    Attributes
    ----------
    name : str: with its article.
    first : str: a regular expression for the first line that is not blank.
    biopython : tuple of str: Biopython's names, in the order in which they are tried; none: it is not read.
    way : str: advice, where it is not read.
    aligned : bool: an alignment, else a sequence of records.
    """

    name: str
    first: str
    biopython: tuple[str, ...] = ()
    way: str = ""
    aligned: bool = False


FORMATS = (
    Format("a Stockholm alignment", r"# STOCKHOLM", ("stockholm",), aligned=True),
    Format(
        "a Clustal alignment", r"(CLUSTAL|MUSCLE \(|PROBCONS|T-COFFEE|MSAPROBS|Kalign\b)", ("clustal",), aligned=True
    ),
    Format(
        "a PHYLIP alignment",
        r"\s*\d+\s+\d+\s*$",
        ("phylip-relaxed", "phylip", "phylip-sequential"),
        aligned=True,
    ),
    Format("a NEXUS alignment", r"#NEXUS", ("nexus",), aligned=True),
    Format("an MSF alignment", r"(!!AA_MULTIPLE_ALIGNMENT|PileUp\b|MSF:)", ("msf",), aligned=True),
    Format("a GenBank file", r"LOCUS {2,}\S", ("genbank",)),
    Format("a UniProt flat file", r"ID {3}\S+ +(Reviewed|Unreviewed|STANDARD|PRELIMINARY);.* AA\.", ("swiss",)),
    Format("an EMBL file", r"ID {3}\S", ("embl",)),
    Format("an HTML page", r"<(!DOCTYPE html|html)", way="save the sequences themselves, not the page that shows them"),
    Format("XML", r"<(\?xml|[A-Za-z!])", way="download the entries as FASTA"),
    Format("SAM", r"@(HD|SQ|RG|PG|CO)\t", way="expected proteins; translate the sequences and write them as FASTA"),
    Format("FASTQ", r"@", way="expected proteins; translate the reads and write them as FASTA"),
    Format("a PDB file", r"(HEADER|TITLE |COMPND|ATOM  |HETATM|REMARK|CRYST1|MODEL |SEQRES|EXPDTA) ", way=STRUCTURE),
    Format("an mmCIF file", r"data_\S+\s*$", way=STRUCTURE),
    Format("a MEGA alignment", r"#mega\b", way="save it as FASTA"),
    Format("a GFF file", r"##gff-version", way="expected sequences; take the proteins that belong to it"),
    Format("JSON", r"[{\[]\s*($|[\"{\[])", way="write id and sequence of each record as FASTA or as a table"),
    Format("a Word document in RTF", r"\{\\rtf", way="save it as plain text"),
    Format("a PDF document", r"%PDF", way="save the sequences as plain text"),
)


TABLE = Format(
    "a table", "", way="name it .csv or .tsv, and its column with --sequence-column, where the command reads tables"
)


def identify(lines: Iterable[str]) -> Format | None:
    """Return the format of a file of which these are the first lines; None where it may be FASTA or bare residues.

    >>> identify(["", "# STOCKHOLM 1.0"]).name, identify([">a", "MKV"])
    ('a Stockholm alignment', None)
    """
    first, second = [*(line.rstrip("\r\n") for line in lines if line.strip()), "", ""][:2]
    found = next((one for one in FORMATS if re.match(one.first, first, re.IGNORECASE)), None)
    if found is None and first[:1] not in (">", ";"):
        even = any(first.count(separator) == second.count(separator) > 0 for separator in "\t,;|")
        return TABLE if even else None
    return found


def read_foreign(path: str | Path, kind: Format, lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """Yield id, description and sequence as written of each record of a file of another format.

    Raises
    ------
    InputError: the format is not read, with advice; or the file is damaged.
    """
    if not kind.biopython:
        raise InputError(path, f"looks like {kind.name}, which is not read; {kind.way}")
    note(path, f"is {kind.name}; its sequences are read" + (", without gaps" if kind.aligned else ""))
    records = _alignment(path, kind, lines) if kind.aligned else _parsed(path, kind.biopython[0], kind, _Lines(lines))
    empty = True
    for record in records:
        empty = False
        yield record
    if empty:
        raise InputError(path, f"{kind.name}: holds no sequence")


def _alignment(path: str | Path, kind: Format, lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    parts, size = [], 0
    for line in lines:
        parts.append(line)
        size += len(line)
        if size > LARGEST:
            raise InputError(path, f"{kind.name} of more than {LARGEST:,} characters; write it as FASTA")
    text = "".join(parts)
    for place, name in enumerate(kind.biopython, 1):
        try:
            found = _clustal(path, text) if name == "clustal" else list(_parsed(path, name, kind, io.StringIO(text)))
            if name.startswith("phylip"):  # Biopython does not hold them against the first line
                rows, columns = map(int, text.split()[:2])
                if len(found) != rows or any(len(sequence) != columns for _, _, sequence in found):
                    raise InputError(path, f"{kind.name}: holds no {rows} sequences of {columns} columns")
        except InputError:
            if place == len(kind.biopython):
                raise
        else:
            yield from found
            return


def _clustal(path: str | Path, text: str) -> list[tuple[str, str, str]]:
    """Return the sequences of a Clustal alignment: Biopython's parser does not end where the file ends early."""
    rows: dict[str, list[str]] = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 1 and not line[0].isspace():  # a line of marks begins with a blank
            rows.setdefault(words[0], []).append(words[1])
    found = [(name, "", "".join(parts)) for name, parts in rows.items()]
    if len({len(sequence) for _, _, sequence in found}) > 1:
        raise InputError(path, "a Clustal alignment: its sequences differ in length; is the file cut off?")
    return found


def _parsed(path: str | Path, name: str, kind: Format, stream: io.TextIOBase) -> Iterator[tuple[str, str, str]]:
    from Bio import SeqIO

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = iter(SeqIO.parse(stream, name))
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                record = next(records, None)
            if record is None:
                return
            entry = str(record.id), str(record.description), str(record.seq)
        except InputError:
            raise
        except Exception as error:  # Biopython's parsers raise many kinds on damage
            raise InputError(path, f"{kind.name}: {reason(error)}") from error
        yield entry


class _Lines(io.TextIOBase):
    """Lines as a stream that Biopython takes."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines

    def readable(self) -> bool:
        return True

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        return next(self.lines, "")

    def read(self, size: int | None = -1, /) -> str:
        return "" if size == 0 else "".join(self.lines)


EMPTY = "the file is empty; FASTA is a line of > and an id, then lines of sequence"
FIRST_RECORDS, LETTERS = 100, 60_000  # records, and letters of them, that show whether a file is DNA
TRANSLATE = "expected proteins; translate it first, as with transeq of EMBOSS or translate() of Biopython"
Item = ProteinRecord | tuple[InputError, ProteinRecord]  # a record, or an error and an empty record
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
    line : int: its first line; 0 where unknown.
    id, description : str: the words of the header; the id is "" where there is none.
    lines : list of (int, str): numbers and stripped lines of the sequence.
    pir : bool: it is PIR, whose sequence ends in `*`.
    problem : str: a fault of the whole record.
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

    FASTA may have comments (`;`, or `#` before the first header), numbers and blocks as in GenPept, gaps, and
    modifications in brackets, which are removed. A file that begins with residues is one record, named after the file,
    with a note. PIR is recognised by its headers (`>P1;id`). Stockholm, Clustal, PHYLIP, NEXUS, MSF, GenBank, EMBL and
    UniProt files are read through Biopython. Sequences are cleaned by `cleaned`. Ids are kept as hashes (some 30 bytes
    a record) to find repeated ones.

    Parameters
    ----------
    path : the file, compressed or not, in any encoding, see `base.files.open_text`; `-` is standard input.
    on_problem : called with the error of a record; where it returns, that record is left out.
    on_repeat : called with each repeated id, and the record is yielded; without it a repeated id is a problem.
    keep : bool: a record that is left out is yielded too, without sequence and with `problem` set.

    Raises
    ------
    InputError: the file is empty or of another format; by default also a missing or repeated id, or a sequence that
        cannot be cleaned.
    """
    return usable(path, _records(path, on_repeat), on_problem, keep)


def usable(path: str | Path, items: Iterator[Item], on_problem: OnProblem, keep: bool) -> Iterator[ProteinRecord]:
    """Yield the records, as `kept`; InputError where the first items are nucleotides."""
    return kept(_not_nucleotides(path, items), on_problem, keep)


def kept(items: Iterable[Item], on_problem: OnProblem, keep: bool) -> Iterator[ProteinRecord]:
    """Yield the records among the items, and call `on_problem` with the errors; see `read_fasta`."""
    for item in items:
        if isinstance(item, ProteinRecord):
            yield item
            continue
        problem, record = item
        on_problem(problem)
        if keep:
            yield record


def _refuse_nucleotides(path: str | Path, first: Sequence[ProteinRecord]) -> None:
    """Raise InputError where the first records together are nucleotides; each alone may be too short to decide."""
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
    """Yield the items; InputError of the file where the first are nucleotides."""
    first: list[Item] = []
    letters = 0
    while len(first) < FIRST_RECORDS and letters < LETTERS and (item := next(items, None)) is not None:
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
                try:
                    found = _residues(entry)
                except (Fault, MemoryError):
                    with faults(path, entry.id):
                        raise
            except InputError as problem:
                yield problem, ProteinRecord(entry.id or ".", "", entry.description, problem=problem.flag)
                continue
            changes = (*found.changes, "id_given_before") if before else found.changes
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
    """Return whether lines may be one sequence: no blank line between them, and only the last is shorter.

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
        text = _stripped(line)
        if text[:1] == ">":
            if start is not None:
                yield start, header, parts
            start, header, parts = number, text[1:], []
        elif start is not None:
            parts.append(line.rstrip("\r\n"))
        elif text and text[0] not in ";#":
            raise InputError(source, f"line {number}: found {text[:30]!r} before the first header '>'")
    if start is not None:
        yield start, header, parts


def _stripped(line: str) -> str:
    """Return a line without blanks and marks of byte order around it."""
    text = line.strip()
    return text.lstrip("\ufeff") if text[:1] == "\ufeff" else text


def first_word(header: str) -> str:
    """Return the id in a header, "" where there is none."""
    return (header.split() or [""])[0]


def _fasta(path: str | Path, lines: Iterable[tuple[int, str]]) -> Iterator[Entry]:
    """Yield the records of FASTA or PIR."""
    for start, header, parts in fasta_records(lines, path):
        entry = _headed(start, header)
        wait = entry.pir  # for the description, the line after the header of PIR, even where that is blank
        for number, line in enumerate(parts, start + 1):
            text = _stripped(line)
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
    found = ";" in header and _PIR.fullmatch(header.strip())
    if found:
        return Entry(number, found[1].strip().partition(" ")[0], "", [], pir=True)
    return Entry(number, name, description, [])


def _residues(entry: Entry) -> Cleaned:
    """Return the sequence of an entry in letters of residues."""
    lines = entry.lines
    if entry.pir and not (lines and lines[-1][1].endswith("*")):
        raise Fault("is PIR, whose sequence ends in '*', and has no such end; is the file cut off?", "cut_off")
    written = lines[0][1] if len(lines) == 1 else "".join([text for _, text in lines])
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
    """Return whether a line holds residues, perhaps in blocks, and not words.

    Blocks are of one length except the last, or single letters, in one case. A line with other characters than words
    have is left to `cleaned`.

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


LINE = 60  # letters


def fasta_text(header: str, sequence: str) -> str:
    """Return a record, `LINE` letters a line."""
    lines = (sequence[start : start + LINE] for start in range(0, len(sequence), LINE))
    return "\n".join([f">{one_line(header)}", *lines, ""])
