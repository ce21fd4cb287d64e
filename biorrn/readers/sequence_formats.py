"""Sequence files that are not FASTA: which format a file has, those that Biopython reads, and the way out of others."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from biorrn.errors import InputError
from biorrn.files import note
from biorrn.readers.fields import reason

LINES = 50  # of a file, that tell its format
LARGEST = 1 << 28  # characters of an alignment, which is held in memory
STRUCTURE = "it holds coordinates; take the sequences of its chains, such as the FASTA file of its entry at the PDB"


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files with sequences.

    Attributes
    ----------
    name : str: with its article.
    first : str: a regular expression for the first line that is not blank.
    biopython : tuple of str: what Biopython calls it, in the order in which they are tried; none: it is not read.
    way : str: how to go on, where it is not read.
    aligned : bool: an alignment, else records one after another.
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
    InputError: the format is not read, with the way out; or the file is damaged.
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
