"""Protein variants: parsing of mutations, application to a wild type, search for the offset of the numbering.

The notation is that of deep mutational scans (`A23G`, several mutations joined by a separator) and the protein part of
the HGVS nomenclature (den Dunnen et al. 2016, Human Mutation 37:564), as far as a sequence follows from it:
substitutions, deletions, insertions, duplications and deletion-insertions of named residues.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from Bio.SeqUtils import IUPACData

from biorrn.base.errors import BiorrnError, ConfigError, Fault, InputError, OnProblem
from biorrn.base.files import open_text, suffix_of
from biorrn.base.lookup import nearest
from biorrn.base.terminal import plural
from biorrn.sequences.alphabets import RESIDUES, STANDARD
from biorrn.sequences.fasta import AMBIGUOUS, cleaned, read_fasta
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.reader import MUTATIONS, TABLES, Reading, column_names, header_unit, plain, read_cells

OPTION = "--mutations"
FORMS = "A23G, A23del, A23_K25del, A23dup, A23_G24insWWP, A23_K25delinsGP or WT"
# names of a column of wild types' sequences
WILD_SEQUENCES = (
    *("wt_sequence", "wt_seq", "wild_type_sequence", "wild_type_seq", "wt_aa_sequence", "target_seq"),
    "parent_sequence",
    *("reference_sequence", "native_sequence", "wild_type", "wt"),
)
WILD_NAMES = (  # of a column that names the wild type of a row
    *("wt_id", "wt_name", "wild_type_id", "wild_type_name", "protein_id", "protein_name", "protein", "uniprot"),
    *("uniprot_id", "pdb", "pdb_id", "gene", "target_id", "dms_id", "name"),
)
MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "-", ".", "nd", "n.d."))
WILD_TYPE = frozenset(
    (
        *("wt", "_wt", "wildtype", "wild-type", "wild type", "wild_type", "=", "p.=", "p.(=)", "(=)", "_sy"),
        "synonymous",
        *("native", "parent", "parental", "reference", "unmutated", "no mutation"),
    )
)
MOST_OFFSETS = 1_000_000  # beyond that a number is no position
LONGEST = 500  # letters of one mutation, or of the name of a column
SMALL, NEAR = 30, 0.75  # small letters that are a sequence; likeness of what is rather the misspelt name of a column
LEAST_MATCHES = 3  # fewer residues fit at some offset by chance

_THREE = {name.upper(): letter for name, letter in IUPACData.protein_letters_3to1_extended.items()}
_FORM = re.compile(
    r"(?P<first>[A-Za-z]+)(?P<start>-?\d{1,9})(?:_(?P<last>[A-Za-z]+)(?P<end>-?\d{1,9}))?"
    r"(?P<kind>(?i:delins|del|ins|dup)|)(?P<new>[A-Za-z=]*)"
)
_UNDEFINED = (  # mutations without a sequence: a pattern and the reason
    (re.compile(r"(?i:\dfs)|^(?!.*ins).*fs(?:$|[\d*X?]|Ter)"), "frameshift"),
    (re.compile(r"^(\*|Ter)-?\d|ext[-*?\d]|extTer"), "stop lost"),
    (re.compile(r"\*|Ter|\d(?i:ter|stop|stp|_)$"), "stop codon"),
    (re.compile(r"\?|^0$"), "unknown effect"),
)
_PLAIN = re.compile(rf"([{STANDARD}])([1-9]\d{{0,8}})([{STANDARD}])", re.ASCII)
_ONE = r"(?:[A-Za-z]\d+[A-Za-z*=]|[A-Za-z]{3}\d+(?:[A-Za-z]{3}|=))"  # a plain substitution
_JOINED = re.compile(rf"{_ONE}(?:[_-]{_ONE})+")
_SEPARATOR = re.compile(r"\s*[:,;/+|&]\s*|\s+")
_REFERENCE = re.compile(r"(?<![^\s:;,\[\]])([^\s:;,\[\]]{1,100}):(?=p\.)", re.I)
_ARROW = re.compile(r"(?<=\d)\s*(?:->|>|→)\s*(?=[A-Za-z*])")
_DNA = re.compile(r"(?:[^\s:]+:)?[cgnmr]\.")


class VariantError(BiorrnError):
    """A mutation that cannot be used; `reason` is a few words to count it by."""

    reason = "mutation not understood"

    def __init__(self, problem: str, reason: str = "") -> None:
        super().__init__(problem)
        self.reason = reason or type(self).reason

    @property
    def flag(self) -> str:
        """Return the reason as one word, for a table; see `InputError.flag`."""
        return self.reason.replace(" ", "_")

    def at(self, place: str) -> VariantError:
        """Return the same error, with the place before its text."""
        return type(self)(f"{place}: {self}", self.reason)


class MissingError(VariantError):
    """The cell holds no mutation."""

    reason = "no mutation"


class LetterError(VariantError):
    """A code that is no residue."""

    reason = "unknown residue in mutation"


class RepeatError(VariantError):
    """Two mutations of one variant share a position."""

    reason = "position twice"


class UndefinedError(VariantError):
    """The mutation has no sequence: a stop codon, a frameshift, an unknown effect."""

    reason = "no residue is left"


class PositionError(VariantError):
    """The position is outside the wild type."""

    reason = "position out of range"


class ResidueError(VariantError):
    """The wild type has another residue at the position."""

    reason = "wild type differs"


@dataclass(frozen=True, slots=True)
class Change:
    """One mutation, before it is applied to a sequence.

    Attributes
    ----------
    start, end : int: half-open range of the residues that are replaced; equal for an insertion before `start`.
    new : str: the new residues, "" for a deletion.
    named : tuple of (number, residue): residues of the wild type that the mutation names.
    name : str: in one-letter codes.
    copied : (first, last), optional: numbers of the residues that a duplication copies.
    """

    start: int
    end: int
    new: str
    named: tuple[tuple[int, str], ...]
    name: str
    copied: tuple[int, int] | None = None

    @property
    def position(self) -> int:
        """Return the number of the first residue that changes, of the one after an insertion."""
        return self.copied[0] if self.copied else self.start

    @property
    def wild_type(self) -> str:
        """Return the wild-type residue for tables: `A`, `A_K` for the ends of a range, `K` before insertions."""
        named = self.named[-1:] if self.start == self.end and not self.copied else self.named
        return "_".join(residue for _, residue in named)

    @property
    def mutant(self) -> str:
        """Return the new residues for tables: `-` for a deletion, `+` before an insertion.

        >>> [parse_variant(text).changes[0].mutant for text in ("A23G", "A23del", "A23_G24insWP", "A2_G4dup")]
        ['G', '-', '+WP', '+dup']
        """
        return self.new or "-" if self.start != self.end else f"+{self.new or 'dup'}"


@dataclass(frozen=True, slots=True)
class Variant:
    """Mutations of one protein together.

    Attributes
    ----------
    changes : tuple of Change: none is the wild type.
    written : str: the variant as its file has it.
    reference : str: the accession before `p.`, "" where there is none.
    """

    changes: tuple[Change, ...]
    written: str = ""
    reference: str = ""

    @property
    def name(self) -> str:
        """Return the mutations in one-letter codes, joined by colons; WT where there are none."""
        return ":".join(change.name for change in self.changes) or "WT"


@dataclass(frozen=True, slots=True)
class Applied:
    """A variant applied to its wild type.

    Attributes
    ----------
    place : str: where the variant was written, for messages.
    written : str: the variant as its file has it.
    wild_type : ProteinRecord, or None where there is none.
    variant : Variant, or None where the text is none.
    sequence : str: of the mutant, "" with an error.
    error : VariantError, optional: why there is no sequence.
    """

    place: str
    written: str
    wild_type: ProteinRecord | None
    variant: Variant | None
    sequence: str
    error: VariantError | None = None


def parse_variant(text: str) -> Variant:
    """Return the variant that `text` spells: one or several mutations of one protein, or the wild type.

    Mutations are joined by `:`, `,`, `;`, `/`, `+`, `|`, `&` or spaces; plain substitutions also by `_` or `-`.
    Understood are one-letter and three-letter codes in any case, a leading `p.`, round brackets, `p.[...;...]`, and an
    accession before `p.`. `=`, `WT`, `_wt`, `_sy` and the like are the wild type.

    Raises
    ------
    VariantError: one of its subclasses, by the reason.

    >>> parse_variant("p.[Ala23Gly;Lys41_Glu43del]").name
    'A23G:K41_E43del'
    >>> parse_variant("NP_000537.3:p.Arg175His").changes == parse_variant("R175H").changes
    True
    >>> parse_variant("_wt").changes
    ()
    >>> parse_variant("W24*")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    biorrn.sequences.variants.UndefinedError: mutation 'W24*': stop codon; no sequence of a whole protein ...
    """
    written = text.strip().strip("\"'").strip()
    if written.lower() in MISSING:
        raise MissingError(f"found {written!r} for a mutation; allowed is {FORMS}")
    body, reference = _without_reference(written)
    if body.lower() in WILD_TYPE:
        return Variant((), written, reference)
    if _DNA.match(body):
        raise VariantError(
            f"mutation '{written[:60]}' is one of DNA or RNA; expected that of the protein, as p.Ala23Gly"
        )
    parts = _parts(body, written)
    changes = tuple(change for part in parts for change in _parse(part, written if len(parts) > 1 else ""))
    ordered = sorted(changes, key=lambda change: (change.start, change.end))
    for before, after in itertools.pairwise(ordered):
        if after.start < before.end or (before.start, before.end) == (after.start, after.end):
            raise RepeatError(f"mutations '{before.name}' and '{after.name}' of one variant overlap")
    return Variant(changes, written, reference)


def variant_texts(given: str, column: str | None = None, sheet: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (place, text) of each variant in an option's text or in the file that it names; place is for messages.

    Parameters
    ----------
    given : a comma-separated list; or a file: a table with a column of variants, else text with one variant per line,
        where empty lines and comments after `#` are ignored.
    column : of the table; default: the first of `sequences.tables.reader.MUTATIONS` that it has.
    sheet : of an Excel workbook, see `sequences.tables.reader.Reading`.

    Raises
    ------
    InputError: the file cannot be read, or holds no variant.
    ConfigError: a sheet or a column of what is no table.

    >>> [text for _, text in variant_texts("A23G, K41E:L12P,")]
    ['A23G', 'K41E:L12P']
    """
    path = Path(given)
    table = suffix_of(given) in TABLES
    for what, value in (("sheet", sheet), ("column", column)):
        if value is not None and not table:
            raise ConfigError(f"--mutations {given[:60]}: no table, so there is no {what} '{value}'")
    if not (table or os.path.isfile(given) or suffix_of(given) == ".txt"):
        texts = [text.strip() for text in re.split(r",(?![^\[]*\])", given)]
        yield from ((OPTION, text) for text in texts if text or not any(texts))  # a comma too many is none
        return
    found = False
    for place, text in _table(path, column, sheet) if table else _lines(path):
        found = True
        yield f"{path}: {place}", text
    if not found:
        raise InputError(path, "holds no mutation")


def mutate(sequence: str, variant: Variant, offset: int = 0) -> str:
    """Return `sequence` with the mutations of `variant`.

    Parameters
    ----------
    offset : int: added to a place in the sequence, counted from 1, gives the number that mutations use.

    Raises
    ------
    PositionError, ResidueError: a position lies outside the sequence, or another residue stands there.
    UndefinedError: nothing is left.

    >>> mutate("MAKG", parse_variant("A2_K3insWW:G4del"))
    'MAWWK'
    >>> mutate("MAKG", parse_variant("p.Ala2_Lys3dup"))
    'MAKAKG'
    >>> mutate("MAKG", parse_variant("K2G"))
    Traceback (most recent call last):
    biorrn.sequences.variants.ResidueError: mutation 'K2G': found 'A' at position 2 of the wild type, expected 'K'
    """
    for change in variant.changes:
        for number, residue in change.named:
            place = number - offset - 1
            if not 0 <= place < len(sequence):
                problem = f"position {number} is outside the wild type, whose {len(sequence)} residues"
                problem += f" are numbered {offset + 1} to {offset + len(sequence)}"
                raise PositionError(f"mutation '{change.name}': {problem}")
            if residue != sequence[place]:
                problem = f"found '{sequence[place]}' at position {number} of the wild type, expected '{residue}'"
                problem += f", as {', '.join(AMBIGUOUS)} are read" if residue == "X" else ""
                raise ResidueError(f"mutation '{change.name}': {problem}")
    mutant = sequence
    # from the end, so that numbers before it stay valid; an insertion before a residue follows its change
    for change in sorted(variant.changes, key=lambda change: (change.start, change.end), reverse=True):
        start, end = change.start - offset - 1, change.end - offset - 1
        new = change.new
        if change.copied:
            new = sequence[change.copied[0] - offset - 1 : change.copied[1] - offset]
        mutant = mutant[:start] + new + mutant[end:]
    if not mutant:
        raise UndefinedError(f"variant '{variant.name}': no residue is left")
    return mutant


def best_offset(variants: Iterable[Variant], sequences: Iterable[str]) -> tuple[int, int, int] | None:
    """Return the offset at which most of the residues that variants name stand in their wild types.

    Parameters
    ----------
    variants, sequences : as many of each: a variant and its wild type.

    Returns
    -------
    (offset, matched, named) : the offset for `mutate`, how many of the residues named match there, and of how many.
        None where that may be chance: fewer than three match, or they do so at several offsets.

    >>> best_offset([parse_variant(text) for text in ("M0V", "A1G", "K2R", "G4A")], ["MAKG"] * 4)
    (-1, 3, 4)
    """
    named: dict[str, Counter[tuple[int, str]]] = {}
    for variant, sequence in zip(variants, sequences, strict=True):
        counts = named.setdefault(sequence, Counter())
        counts.update(pair for change in variant.changes for pair in change.named)
    total = sum(counts.total() for counts in named.values())
    if not total:
        return None
    lowest = min(min(counts)[0] - len(sequence) for sequence, counts in named.items() if counts)
    highest = max(max(counts)[0] - 1 for counts in named.values() if counts)
    if highest - lowest > MOST_OFFSETS:
        return None
    matched = np.zeros(highest - lowest + 1, np.int64)
    for sequence, counts in named.items():
        letters = np.frombuffer(sequence.encode(), np.uint8)
        for (number, residue), count in counts.items():
            # the residue at index i is named by `number` where the offset is number - 1 - i
            places = np.flatnonzero(letters == ord(residue))
            matched[number - 1 - places - lowest] += count
    best = int(matched.max())
    if best < LEAST_MATCHES or int((matched == best).sum()) > 1:
        return None
    return int(matched.argmax()) + lowest, best, total


def apply_variants(
    texts: Sequence[tuple[str, str]], wild_types: Sequence[ProteinRecord | VariantError], offset: int = 0
) -> list[Applied]:
    """Return the mutants that texts spell, each of its own wild type; one that cannot be used holds its error.

    Parameters
    ----------
    texts : list of (place, text) (N,): a place for messages, and a variant.
    wild_types : list (N,): ProteinRecord, or the error of a row that has none.
    offset : int: as for `mutate`.

    Raises
    ------
    ResidueError: more of the variants do not fit their wild types than do; the offset at which they would is named.
    VariantError: none of the variants can be used.
    """
    made: list[Applied] = []
    for (place, text), wild in zip(texts, wild_types, strict=True):
        try:
            variant = parse_variant(text)
            if isinstance(wild, VariantError):
                raise wild
            made.append(Applied(place, text.strip(), wild, variant, mutate(wild.sequence, variant, offset)))
        except VariantError as error:
            known = None if isinstance(wild, VariantError) else wild
            unfit = isinstance(error, PositionError | ResidueError)
            made.append(Applied(place, text.strip(), known, variant if unfit else None, "", error))
    _check_numbering(made, offset)
    if made and all(one.error for one in made):
        first = made[0].error
        assert first is not None
        reasons = Counter(one.error.reason for one in made if one.error)
        listed = ", ".join(f"{reason}: {number:,}" for reason, number in reasons.most_common())
        raise (
            first.at(made[0].place)
            if len(made) == 1
            else VariantError(f"{made[0].place}: {first}; none of {len(made):,} variants can be used ({listed})")
        )
    return made


def variants_of(
    record: ProteinRecord, texts: Sequence[tuple[str, str]], offset: int, on_problem: OnProblem
) -> Iterator[Applied]:
    """Yield the mutants of one protein; `on_problem` is called with the error of one before it is yielded.

    Raises
    ------
    VariantError: as `apply_variants`, with the record's name.
    """
    try:
        made = apply_variants(texts, [record] * len(texts), offset)
    except VariantError as error:
        raise type(error)(f"record '{record.id}': {error}") from error
    for one in made:
        if one.error is not None:
            on_problem(InputError(one.place, f"{one.error}; record '{record.id}'", None, one.error.flag))
        yield one


def _check_numbering(made: Sequence[Applied], offset: int) -> None:
    unfit = [one for one in made if isinstance(one.error, PositionError | ResidueError)]
    fit = sum(one.error is None and bool(one.variant and one.variant.changes) for one in made)
    if len(unfit) <= fit:
        return
    pairs = [(one.variant, one.wild_type.sequence) for one in made if one.variant and one.wild_type]
    found = best_offset([variant for variant, _ in pairs], [sequence for _, sequence in pairs])
    error = unfit[0].error
    assert error is not None
    problem = f"{unfit[0].place}: {error}"
    if len(made) > 1:
        problem += f"; {len(unfit):,} of {len(made):,} variants do not fit the wild type"
    if found and found[0] != offset and 2 * found[1] > found[2]:
        part = "all" if found[1] == found[2] else f"{found[1]:,} of"
        problem += f"; with --offset {found[0]} {part} {found[2]:,} residues that they name match"
    elif len(made) >= LEAST_MATCHES:
        problem += "; no --offset makes most of them fit, so that it is another wild type"
    else:
        problem += "; --offset N is for numbering that does not start at 1"
    raise ResidueError(problem)


def is_variant(cell: str) -> bool:
    """Return whether a cell is a mutation, also one such as a frameshift, from which no sequence follows."""
    try:
        return bool(parse_variant(cell).changes)
    except UndefinedError:
        return True
    except VariantError:
        return False


def hold_variants(cells: Iterable[str]) -> bool:
    """Return whether the cells of a column are mutations: four fifths of those that are not empty.

    >>> hold_variants(["A23G", "WT", "W24*", "p.Lys41Glu"]), hold_variants(["A1", "A2", "MKV"])
    (True, False)
    """
    known = [cell for cell in cells if cell.strip().lower() not in MISSING and cell.strip().lower() not in WILD_TYPE]
    return bool(known) and sum(map(is_variant, known)) >= 0.8 * len(known)


def named_column(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the column of a table that has the first of the wanted names, or None.

    >>> named_column(["id", "HGVS pro", "score"], MUTATIONS)
    'HGVS pro'
    """
    short = [name for name in reversed(names) if len(name) <= LONGEST]
    known = {plain(header_unit(name)[0]): name for name in short} | {plain(name): name for name in short}
    return next((known[plain(one)] for one in wanted if plain(one) in known), None)


@dataclass(frozen=True, slots=True)
class WildTypes:
    """The wild types of a table's rows.

    Attributes
    ----------
    given : str: their source, for messages.
    one : ProteinRecord, or None: the wild type of all rows.
    by_name : the proteins of FASTA by id; empty where there is one, or a column holds them.
    column : str: column of the wild types, or of their ids in `by_name`; "" is none.
    label : str: column that names the wild type of a row, or "".
    """

    given: str
    one: ProteinRecord | None = None
    by_name: Mapping[str, ProteinRecord] = field(default_factory=dict)
    column: str = ""
    label: str = ""

    def of(self, cell: str, reference: str = "") -> ProteinRecord | VariantError:
        """Return the wild type of a row whose cell of `column` is `cell`, or the error."""
        if self.one is not None:
            return self.one
        if not self.by_name:
            try:
                return ProteinRecord("", cleaned(cell).residues)
            except Fault as fault:
                return VariantError(f"column '{self.column}': {fault}", "no wild type")
        found = self.by_name.get(cell) or self.by_name.get(reference)
        where = f"column '{self.column}': found '{cell[:60]}', which" if self.column else f"'{reference}'"
        return found or VariantError(f"{where} is no id of {self.given}", "no wild type")


@dataclass(frozen=True, slots=True)
class MutationColumn:
    """A column of mutations with the wild types that they are of.

    Attributes
    ----------
    path : str: the table.
    name : str: the column.
    wild_types : WildTypes.
    offset : int: as for `mutate`.
    """

    path: str
    name: str
    wild_types: WildTypes
    offset: int = 0

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the columns of the table that are needed: mutation, wild type, name of the wild type."""
        return (self.name, self.wild_types.column or self.name, self.wild_types.label or self.name)

    def apply(self, places: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[Applied]:
        """Return the mutants of all rows of the table, given their names and `cells`; see `apply_variants`.

        Raises
        ------
        InputError: as `apply_variants`, with the table's name.
        """
        wild = [self.wild_types.of(row[1], _without_reference(row[0])[1]) for row in rows]
        texts = [(place, row[0]) for place, row in zip(places, rows, strict=True)]
        try:
            return apply_variants(texts, wild, self.offset)
        except VariantError as error:
            raise InputError(self.path, str(error)) from error

    def summary(self, made: Sequence[Applied]) -> str:
        """Return a summary of the column in one line."""
        used = [one for one in made if one.error is None]
        same = sum(one.sequence == one.wild_type.sequence for one in used if one.wild_type)
        most = max((len(one.variant.changes) for one in used if one.variant), default=0)
        wild = {one.wild_type.sequence for one in used if one.wild_type}
        proteins = f"{len(wild):,} wild types" if len(wild) > 1 else f"a wild type of {len(next(iter(wild)))} residues"
        text = f"column '{self.name}' holds mutations, applied to {proteins} ({self.wild_types.given}"
        text += f", --offset {self.offset})" if self.offset else ")"
        text += f": {len(used):,} variants, at most {plural(most, 'mutation')} in one"
        text += f", {same:,} of them wild type or synonymous" if same else ""
        return text + (f"; {len(made) - len(used):,} left out" if len(used) < len(made) else "")


def find_wild_types(given: str, names: Sequence[str], first: Sequence[Mapping[str, Any]], column: str) -> WildTypes:
    """Return the wild types that `--wild-type` names.

    Parameters
    ----------
    given : a FASTA file, a column of the table, or a sequence.
    names : columns of the table.
    first : the first rows of the table.
    column : that of the mutations.

    Raises
    ------
    InputError, BiorrnError: the file cannot be read; there are several wild types and no column names them; or `given`
        is nothing of the kind.
    """
    if not os.path.exists(given):
        own = named_column(names, (given,)) if given else None
        if own is not None:
            return wild_types_in(own, names)
        return WildTypes("--wild-type", given_protein(given, names))
    records = list(read_fasta(given))
    if len(records) == 1:
        return WildTypes(given, records[0])
    by_name = {name: record for record in reversed(records) for name in _names(record)}
    others = [name for name in (first[0] if first else ()) if name != column]
    shares = {name: sum(str(row[name]) in by_name for row in first) for name in others}
    best = max(others, key=lambda name: shares[name], default="")
    if best and 2 * shares[best] > len(first):
        return WildTypes(f"{given}, by column '{best}'", by_name=by_name, column=best, label=best)
    if 2 * sum(_without_reference(str(row[column]))[1] in by_name for row in first) > len(first):
        return WildTypes(given, by_name=by_name)
    raise InputError(
        given, f"holds {len(records):,} proteins; a column of the table must name the wild type of each row by its id"
    )


def given_protein(given: str, names: Sequence[str] = ()) -> ProteinRecord:
    """Return the protein whose sequence an option gives as text.

    Small letters are a sequence from `SMALL` on: `wildtype` spells residues too, and is rather the name of a column.

    Parameters
    ----------
    names : columns of the table, which `given` is none of.

    Raises
    ------
    InputError, BiorrnError: it is the name of a file that is not there, or no sequence.
    """
    kinds = "a FASTA file, a sequence or a column of the table" if names else "a FASTA file or a sequence"
    if Path(given).suffix or os.sep in given:
        raise InputError(given, f"not found; --wild-type takes {kinds}")
    near = nearest(plain(given), (plain(name) for name in names), NEAR)
    known = {plain(name): name for name in names}
    reason = "small letters are taken for a name"
    if not near and (given.isupper() or len(given) >= SMALL):
        try:
            return ProteinRecord("", cleaned(given).residues)
        except Fault as fault:
            reason = str(fault)
    hint = f"did you mean the column '{known[near]}'? " if near else ""
    columns = f", nor a column of the table ({', '.join(names)[:200]})" if names else ""
    raise BiorrnError(
        f"--wild-type: found '{given[:60]}', which is neither a file nor a sequence ({reason}){columns}; {hint}"
        f"allowed is {kinds}"
    )


def wild_types_in(column: str, names: Sequence[str]) -> WildTypes:
    """Return the wild types that a column of sequences holds; another column of the table may name them."""
    return WildTypes(f"column '{column}'", column=column, label=named_column(names, WILD_NAMES) or "")


def _names(record: ProteinRecord) -> tuple[str, ...]:
    """Return the names of a record in tables: its id, the parts between bars, the id without a suffix."""
    return (*record.id.split("|"), record.id.removesuffix(".csv"), record.id)


def _without_reference(text: str) -> tuple[str, str]:
    """Return a variant without the accession that stands before `p.`, and that accession."""
    references: list[str] = []

    def away(found: re.Match[str]) -> str:
        mutation = _FORM.fullmatch(found[1].removeprefix("p.").strip("()"))
        if mutation and (mutation["kind"] or mutation["new"]):  # a mutation that a colon joins to the next
            return found[0]
        references.append(found[1])
        return ""

    return _REFERENCE.sub(away, text), references[0] if references else ""


def _parts(body: str, written: str) -> list[str]:
    """Return the mutations of a variant, each without `p.` and brackets."""
    if re.search(r"\]\s*[;,]?\s*\[", body):
        raise UndefinedError(
            f"mutation '{written[:60]}' is of two alleles; no one sequence follows from it", "two alleles"
        )
    body = _ARROW.sub("", body.replace("[", " ").replace("]", " "))
    found: list[str] = []
    for part in _SEPARATOR.split(body.strip()):
        part = re.sub(r"^p\.", "", part.strip("()"), flags=re.I).strip("()")
        found += re.split("[_-]", part) if _JOINED.fullmatch(part) else [part] * bool(part)
    if not found:
        raise VariantError(f"mutation '{written[:60]}' is not understood; allowed is {FORMS}")
    return found


def _parse(text: str, variant: str = "") -> list[Change]:
    """Return the change that a mutation spells, in a variant of several; none of `=`."""
    if found := _PLAIN.fullmatch(text):  # as nearly all are
        number = int(found[2])
        return [Change(number, number + 1, found[3], ((number, found[1]),), text)]
    where = f"mutation '{text[:60]}'" + (f" of '{variant[:60]}'" if variant else "")
    if text.lower() in WILD_TYPE:
        return []
    if len(text) > LONGEST:
        raise VariantError(f"{where} is longer than {LONGEST} letters; allowed is {FORMS}")
    for pattern, reason in _UNDEFINED:
        if pattern.search(text):
            raise UndefinedError(f"{where}: {reason}; no sequence of a whole protein follows from it", reason)
    text = re.sub(r"(?<=\d)[-Δ]$", "del", re.sub("^Δ(.*)", r"\1del", text))
    match = _FORM.fullmatch(text)
    if match is None:
        raise VariantError(f"{where} is not understood; allowed is {FORMS}")
    given = [(int(match["start"]), _residue(match["first"], where))]
    if match["last"]:
        given.append((int(match["end"]), _residue(match["last"], where)))
    (start, first), (end, last), kind = given[0], given[-1], match["kind"].lower()
    # ambiguous ones are X, as the readers have them in the wild type
    named = tuple((number, "X" if letter in AMBIGUOUS else letter) for number, letter in given)
    if end < start or (len(named) == 2 and end == start):
        raise VariantError(f"{where}: the range ends at {end}, before or where it starts")
    label = f"{first}{start}" + (f"_{last}{end}" if len(named) == 2 else "")
    if kind == "ins":
        if end != start + 1:
            raise VariantError(f"{where}: an insertion stands between two neighbours, as in A23_G24insWWP")
        new = _residues(match["new"], where)
        return [Change(end, end, new, named, f"{label}ins{new}")]
    if kind in ("del", "dup"):
        if match["new"]:
            raise VariantError(f"{where}: nothing follows '{kind}'; allowed is {FORMS}")
        if kind == "dup":
            new = named[0][1] if len(named) == 1 else ""
            return [Change(end + 1, end + 1, new, named, f"{label}dup", (start, end))]
        return [Change(start, end + 1, "", named, f"{label}del")]
    if kind == "delins":
        new = _residues(match["new"], where)
        return [Change(start, end + 1, new, named, f"{label}delins{new}")]
    if match["new"] == "=" and len(named) == 2:
        return []
    same = match["new"] == "="
    new = named[0][1] if same else _residues(match["new"], where, capitals=True)
    if len(named) == 2 or len(new) > 1:
        raise VariantError(f"{where}: a substitution is of one residue by one; for more write {label}delins{new}")
    return [Change(start, start + 1, new, named, label + (first if same else new))]


def _residue(code: str, where: str) -> str:
    """Return the letter of a residue that a mutation names."""
    letter = _THREE.get(code.upper(), code.upper())
    if len(letter) == 1 and letter in RESIDUES + AMBIGUOUS:
        return letter
    raise LetterError(f"{where}: '{code}' is no residue; allowed is one of {RESIDUES} or a three-letter code")


def _residues(codes: str, where: str, capitals: bool = False) -> str:
    """Return the letters of the new residues, from either kind of code; SER is one residue with `capitals`."""
    parts = re.findall("...", codes)
    spelt = re.fullmatch("(?:[A-Z][a-z]{2})+", codes) or (capitals and len(parts) == 1 and codes.upper() in _THREE)
    letters = "".join(_THREE.get(part.upper(), "?") for part in parts) if spelt else codes.upper()
    if letters and set(letters) <= set(STANDARD):
        return letters
    found = f"'{codes}'" if codes else "nothing"
    raise LetterError(
        f"{where}: found {found} for the residues that come; allowed are {STANDARD} or three-letter codes"
    )


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            text = line.partition("#")[0].strip().lstrip("\ufeff")
            if text:
                yield f"line {number}", text


def _table(path: Path, column: str | None, sheet: str | None) -> Iterable[tuple[str, str]]:
    reading = Reading(sheet)
    chosen = column or named_column(column_names(path, reading), MUTATIONS) or MUTATIONS[0]
    rows = read_cells(path, [chosen], reading)
    return ((f"row {number}", str(row[chosen] or "")) for number, row in enumerate(rows, 1))
