"""Mutations as biologists write them: `A23G`, `p.Ala23Gly`, `A23_K25del`, `A23_G24insWWP`, joined by colons.

The nomenclature is that of the Human Genome Variation Society for proteins (den Dunnen et al. 2016), as far as a
sequence model can follow it: substitutions, deletions, insertions and deletion-insertions of named residues.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from Bio.SeqUtils import IUPACData

from biorrn.errors import BiorrnError, ConfigError, InputError
from biorrn.files import open_text
from biorrn.readers.records import ProteinRecord
from biorrn.readers.sequences import RESIDUES, UNKNOWN
from biorrn.readers.targets import column_names, read_targets

OPTION = "--mutations"
COLUMNS = ("mutation", "mutations", "mutant", "variant")  # of a table, where none is named
TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq")
FORMS = "A23G, A23del, A23_K25del, A23_G24insWWP or A23_K25delinsGP"
STANDARD = RESIDUES[:20]

_THREE = {name.upper(): letter for name, letter in IUPACData.protein_letters_3to1.items()}
_THREE |= dict.fromkeys(("SEC", "PYL", "ASX", "GLX", "XLE", "XAA"), "X")
_FORM = re.compile(
    r"(?:p\.)?\(?(?P<first>[A-Za-z]+)(?P<start>-?\d{1,9})(?:_(?P<last>[A-Za-z]+)(?P<end>-?\d{1,9}))?"
    r"(?P<kind>delins|del|ins|)(?P<new>[A-Za-z=]*)\)?"
)
_STOP = re.compile(r"\*|Ter|fs|(?i:\d(?:ter|stop)$)")


@dataclass(frozen=True, slots=True)
class Change:
    """One mutation, before it is laid on a sequence.

    Attributes
    ----------
    start, end : int: the numbers of the residues that go, `end` not among them; equal for an insertion before `start`.
    new : str: the residues that come, "" for a deletion.
    named : tuple of (number, residue): what the mutation says stands there.
    name : str: in one-letter codes.
    """

    start: int
    end: int
    new: str
    named: tuple[tuple[int, str], ...]
    name: str

    @property
    def wild_type(self) -> str:
        """Return what stood there, as a table shows it: `A`, `A_K` for the ends of a range, `K` before insertions."""
        named = self.named[-1:] if self.start == self.end else self.named
        return "_".join(residue for _, residue in named)

    @property
    def mutant(self) -> str:
        """Return what stands there afterwards, as a table shows it: `-` where nothing is left, `+` before an insertion.

        >>> [parse_variant(text).changes[0].mutant for text in ("A23G", "A23del", "A23_G24insWP")]
        ['G', '-', '+WP']
        """
        return self.new or "-" if self.start != self.end else f"+{self.new}"


@dataclass(frozen=True, slots=True)
class Variant:
    """Mutations of one protein together; `source` is where they were written, for messages."""

    changes: tuple[Change, ...]
    source: str = OPTION

    @property
    def name(self) -> str:
        """Return the mutations in one-letter codes, joined by colons."""
        return ":".join(change.name for change in self.changes)


def parse_variant(text: str, source: str = OPTION) -> Variant:
    """Return the variant that `text` spells: mutations joined by colons, each in one of `FORMS`.

    A leading `p.`, brackets around a mutation and three-letter codes are understood.

    Raises
    ------
    ConfigError: a mutation is in none of the forms, has a stop codon, or shares residues with another of the variant.

    >>> parse_variant("p.Ala23Gly:p.Lys41_Glu43del").name
    'A23G:K41_E43del'
    >>> parse_variant("W24*")
    Traceback (most recent call last):
    biorrn.errors.ConfigError: --mutations: mutation 'W24*' makes a stop codon or a frameshift, and a model of whole \
proteins says nothing of what is left; allowed is A23G, A23del, A23_K25del, A23_G24insWWP or A23_K25delinsGP
    """
    changes = tuple(_parse(part.strip(), source) for part in text.strip().split(":"))
    ordered = sorted(changes, key=lambda change: (change.start, change.end))
    for before, after in itertools.pairwise(ordered):
        if after.start < before.end or (before.start, before.end) == (after.start, after.end):
            raise ConfigError(f"{source}: mutations '{before.name}' and '{after.name}' of one variant overlap")
    return Variant(changes, source)


def parse_variants(text: str, source: str = OPTION) -> list[Variant]:
    """Return the variants of a list that commas separate.

    >>> [variant.name for variant in parse_variants("A23G, K41E:L12P")]
    ['A23G', 'K41E:L12P']
    """
    return [parse_variant(part, source) for part in text.split(",")]


def read_variants(given: str, column: str | None = None) -> Iterator[Variant]:
    """Yield the variants of the option's text, or of the file that it names.

    Parameters
    ----------
    given : a list for `parse_variants`; or a file: a table (CSV, TSV, parquet) with a column of variants, else text
        with one variant a line, where empty lines and what follows a `#` count for nothing. Gzip is recognised.
    column : of the table; without it, the first of `COLUMNS` that it has.

    Raises
    ------
    ConfigError, InputError: a mutation cannot be understood (the place is named), or the file cannot be read.
    """
    path = Path(given)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    table = bool(suffixes) and suffixes[-1] in TABLES
    if not (table or os.path.isfile(given) or suffixes[-1:] == [".txt"]):
        yield from parse_variants(given)
        return
    rows = _table(path, column) if table else _lines(path)
    found = False
    for place, text in rows:
        found = True
        yield from parse_variants(text, f"{path}: {place}")
    if not found:
        raise InputError(path, "holds no mutation")


def mutate(record: ProteinRecord, variant: Variant, offset: int = 0) -> str:
    """Return the sequence of `record` with the mutations of `variant`.

    Parameters
    ----------
    offset : int: added to a place in the sequence, counted from 1, gives the number that mutations use.

    Raises
    ------
    BiorrnError: a position lies outside the sequence, another residue stands there than is named, or nothing is left.

    >>> mutate(ProteinRecord("p", "MAKG"), parse_variant("A2_K3insWW:G4del"))
    'MAWWK'
    """
    sequence = record.sequence
    for change in variant.changes:
        for number, residue in change.named:
            place = number - offset - 1
            if not 0 <= place < len(sequence):
                problem = f"position {number} is outside its {len(sequence)} residues"
                problem += f", which are numbered {offset + 1} to {offset + len(sequence)}"
            elif residue != sequence[place]:
                problem = f"'{sequence[place]}' stands at position {number}, not '{residue}'"
                problem += "" if offset else "; numbering that does not start at 1 is told by --offset"
            else:
                continue
            raise BiorrnError(f"{variant.source}: mutation '{change.name}': record '{record.id}': {problem}")
    # from the end, so that the numbers before stay what they were; an insertion before a residue comes after its change
    for change in sorted(variant.changes, key=lambda change: (change.start, change.end), reverse=True):
        start, end = change.start - offset - 1, change.end - offset - 1
        sequence = sequence[:start] + change.new + sequence[end:]
    if not sequence:
        raise BiorrnError(f"{variant.source}: variant '{variant.name}': record '{record.id}': no residue is left")
    return sequence


def _parse(text: str, source: str) -> Change:
    match = _FORM.fullmatch(text)
    where = f"{source}: mutation '{text[:60]}'"
    if _STOP.search(text):
        reason = "and a model of whole proteins says nothing of what is left"
        raise ConfigError(f"{where} makes a stop codon or a frameshift, {reason}; allowed is {FORMS}")
    if match is None:
        raise ConfigError(f"{where} is not understood; allowed is {FORMS}")
    named = [(int(match["start"]), _residue(match["first"], where))]
    if match["last"]:
        named.append((int(match["end"]), _residue(match["last"], where)))
    (start, first), (end, last), kind = named[0], named[-1], match["kind"]
    if end < start or (len(named) == 2 and end == start):
        raise ConfigError(f"{where}: the range ends at {end}, before or where it starts")
    label = f"{first}{start}" + (f"_{last}{end}" if len(named) == 2 else "")
    if kind == "ins":
        if end != start + 1:
            raise ConfigError(f"{where}: an insertion stands between two neighbours, as in A23_G24insWWP")
        new = _residues(match["new"], where)
        return Change(end, end, new, tuple(named), f"{label}ins{new}")
    if kind == "del":
        if match["new"]:
            raise ConfigError(f"{where}: nothing follows 'del'; allowed is {FORMS}")
        return Change(start, end + 1, "", tuple(named), f"{label}del")
    if kind == "delins":
        new = _residues(match["new"], where)
        return Change(start, end + 1, new, tuple(named), f"{label}delins{new}")
    new = first if match["new"] == "=" else _residues(match["new"], where, capitals=True)
    if len(named) == 2 or len(new) > 1:
        raise ConfigError(f"{where}: a substitution is of one residue by one; for more write {label}delins{new}")
    return Change(start, start + 1, new, tuple(named), f"{label}{new}")


def _residue(code: str, where: str) -> str:
    """Return the letter of a residue that the mutation says is there; odd ones are X, as for the readers."""
    letter = _THREE.get(code.upper(), code.upper())
    if len(letter) == 1 and letter in RESIDUES + UNKNOWN:
        return "X" if letter in UNKNOWN else letter
    raise ConfigError(f"{where}: '{code}' is no residue; allowed is one of {RESIDUES} or a three-letter code")


def _residues(codes: str, where: str, capitals: bool = False) -> str:
    """Return the letters of the residues that come, from either kind of code; SER is one residue with `capitals`."""
    parts = re.findall("...", codes)
    spelt = re.fullmatch("(?:[A-Z][a-z]{2})+", codes) or (capitals and len(parts) == 1 and codes.upper() in _THREE)
    letters = "".join(_THREE.get(part.upper(), "?") for part in parts) if spelt else codes.upper()
    if letters and set(letters) <= set(STANDARD):
        return letters
    found = f"'{codes}'" if codes else "nothing"
    raise ConfigError(
        f"{where}: found {found} for the residues that come; allowed are {STANDARD} or three-letter codes"
    )


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            text = line.partition("#")[0].strip().lstrip("\ufeff")
            if text:
                yield f"line {number}", text


def _table(path: Path, column: str | None) -> Iterable[tuple[str, str]]:
    names = column_names(path)
    chosen = column or next((name for name in COLUMNS if name in names), COLUMNS[0])
    return ((f"row {number}", row.id) for number, row in enumerate(read_targets(path, (), id_column=chosen), 1))
