"""Proteins with measured values, from a table or from FASTA joined with a table by id.

A table holds sequences, or mutations that are applied to a wild type (`sequences.variants`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from biorrn.base.errors import ConfigError, Fault, InputError, OnProblem, stop
from biorrn.base.files import open_text, suffix_of
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.fasta import LINES, Ids, Item, cleaned, identify, kept, read_fasta, usable
from biorrn.sequences.fastq import read_bases
from biorrn.sequences.records import ProteinRecord, ProteinRow
from biorrn.sequences.tables.reader import (
    MUTATIONS,
    SEQUENCES,
    TABLES,
    Reading,
    column_names,
    is_labelled,
    is_table,
    looks_like_data,
    matching,
    missing_column,
    numbered_cells,
    other_sheets,
    plain,
    sequence_column,
)
from biorrn.sequences.tables.targets import read_targets, text_of
from biorrn.sequences.variants import (
    WILD_SEQUENCES,
    Applied,
    MutationColumn,
    WildTypes,
    find_wild_types,
    given_protein,
    hold_variants,
    named_column,
    variant_texts,
    variants_of,
    wild_types_in,
)

FASTA = (".fa", ".fasta", ".faa", ".fas", ".fna", ".pep")
WIDE, FIRST = 100, 200  # columns and rows that are examined
SETS = ("set", "split", "stage", "partition")  # columns that may hold train, valid and test, as `plain` names
YES = ("true", "1", "1.0", "yes")
CHOOSING = ("validation", "is_validation")  # columns that mark training rows for validation
# published layouts of tables: their columns, the column of values, the column of ids
LAYOUTS = {
    "ProteinGym": (("mutant", "mutated_sequence", "DMS_score"), "DMS_score", ""),
    "MaveDB": (("accession", "hgvs_pro", "score"), "score", "accession"),
    "FLIP": (("sequence", "target", "set", "validation"), "target", ""),
    "METL": (("variant", "num_mutations", "score"), "score", ""),
}


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The options of a command for finding the proteins of a table.

    Attributes
    ----------
    sequence_column : str or None: column of sequences, or of mutations; None finds it.
    id_column : str or None: default "id" where the table has it; without one a row is named by its mutation, or row1,
        row2, ...
    sheet : str or None: of an Excel workbook, see `sequences.tables.reader.Reading`.
    wild_type : str or None: FASTA, a sequence or a column, for a table of mutations; see
        `sequences.variants.find_wild_types`. Such a table is held in memory.
    offset : int: added to a place in the wild type, counted from 1, gives the number that mutations use.
    known : str: sequence of the wild type of a model, used where neither `wild_type` nor the table says of what its
        mutations are; "" for none.
    """

    sequence_column: str | None = None
    id_column: str | None = None
    sheet: str | None = None
    wild_type: str | None = None
    offset: int = 0
    known: str = ""


DEFAULTS = TableOptions()


def is_fasta(path: str | Path) -> bool:
    """Return whether an input is a sequence file, see `sequences.fasta`: by its suffix, else by its first lines."""
    suffix = suffix_of(path)
    if suffix in FASTA:
        return True
    if suffix in TABLES or str(path) == "-":
        return False
    with open_text(path) as file:
        head = list(islice(file, LINES))
    kind = identify(head)
    return next((line[0] for line in map(str.strip, head) if line), "") in (">", ";") or bool(kind and kind.biopython)


@dataclass(frozen=True, slots=True)
class ProteinColumns:
    """The columns of a table that hold its proteins.

    Attributes
    ----------
    id : str, or None: rows are then named by their mutation, or row1, row2, ...
    sequence : str, or None: the sequences follow from mutations.
    variant : str, or None: the column of mutations.
    mutations : MutationColumn, or None: the same with its wild types, where known.
    layout : str: a key of `LAYOUTS`, or "".
    wild_type : str, or None: the column of the sequences of wild types, beside those of mutants.
    """

    id: str | None
    sequence: str | None
    variant: str | None = None
    mutations: MutationColumn | None = None
    layout: str = ""
    wild_type: str | None = None


def layout_of(names: Sequence[str]) -> str:
    """Return the published layout that a table's columns have, "" for none.

    >>> layout_of(["mutant", "mutated_sequence", "DMS_score", "DMS_score_bin"])
    'ProteinGym'
    """
    known = set(map(plain, names))
    return next((name for name, (columns, *_) in LAYOUTS.items() if known.issuperset(map(plain, columns))), "")


def protein_columns(path: str | Path, options: TableOptions = DEFAULTS) -> ProteinColumns:
    """Find the columns of a table that hold its proteins: by name, then by the first rows.

    Raises
    ------
    InputError: no column holds sequences or mutations, or mutations have no wild type.
    ConfigError: a wild type or an offset for a table without mutations, or for standard input. A wild type that is
        a column of sequences needs no mutations beside the sequences of mutants.
    """
    sequence, id, wild_type = options.sequence_column, options.id_column, options.wild_type
    if str(path) == "-":
        if wild_type is not None:
            raise ConfigError("--wild-type: mutations are read from a file; found standard input")
        return ProteinColumns(id, sequence or "sequence")
    look = Reading(options.sheet)
    names = column_names(path, look)
    layout = layout_of(names)
    id = id or named_column(names, ("id",)) or (LAYOUTS[layout][2] if layout else "") or None
    first = _first_rows(path, names, look, sequence)
    column: str | None
    if sequence is not None and sequence != SEQUENCES[0]:
        column, variant = sequence_column(path, names, sequence, look), None
        if hold_variants(_column(first, column)):
            column, variant = None, column
        else:
            variant = named_column([name for name in names if name != column], MUTATIONS)
    else:
        column, variant = named_column(names, SEQUENCES), named_column(names, MUTATIONS)
    if variant is not None and column is not None:
        if not _hold_sequences(_column(first, column)):
            column = None
        elif not hold_variants(_column(first, variant)):
            variant = None
    if column is None and variant is None and any(map(looks_like_data, names)):
        raise InputError(path, missing_column(sequence or SEQUENCES[0], names) + other_sheets(look))
    if column is None and first and (variant is None or not hold_variants(_column(first, variant))):
        variant = next((name for name in first[0] if hold_variants(_column(first, name))), variant)
    own = named_column(names, (wild_type,)) if wild_type else None
    if variant is None and column is not None and own is not None and _hold_sequences(_column(first, own)):
        return ProteinColumns(id, column, layout=layout, wild_type=own)
    if variant is None:
        if wild_type is not None and own is None and not Path(wild_type).exists():
            given_protein(wild_type, names)  # says where it is a misspelt column
        for option, given in (("--wild-type", wild_type is not None), ("--offset", options.offset != 0)):
            if given:
                raise ConfigError(
                    f"{option}: is for a column of mutations; {path} has none among {', '.join(names)[:200]}"
                    + other_sheets(look)
                )
        return ProteinColumns(id, column or sequence_column(path, names, None, look), layout=layout)
    if wild_type is not None:
        wild = find_wild_types(wild_type, names, first, variant)
    else:
        own = named_column(names, WILD_SEQUENCES)
        if column is not None or own is None or not _hold_sequences(_column(first, own)):
            if column is not None:
                return ProteinColumns(id, column, variant, layout=layout)
            example = next((cell for cell in _column(first, variant) if cell), "")
            if not options.known:
                raise InputError(
                    path,
                    f"column '{variant}' holds mutations, as '{example[:40]}', and no column holds sequences; give "
                    "what they are mutations of with --wild-type FASTA|SEQUENCE",
                )
            wild = WildTypes("that of the model", ProteinRecord("", options.known))
        else:
            wild = wild_types_in(own, names)
    return ProteinColumns(id, column, variant, MutationColumn(str(path), variant, wild, options.offset), layout)


def _first_rows(path: str | Path, names: Sequence[str], look: Reading, asked: str | None) -> list[Mapping[str, Any]]:
    """Return the first rows of a table: of columns of unique names, the first `WIDE` and those of proteins."""
    once = [name for name, count in Counter(names).items() if name and count == 1]
    named = {named_column(once, wanted) for wanted in (SEQUENCES, MUTATIONS, WILD_SEQUENCES, (asked or "",))}
    once = [name for place, name in enumerate(once) if place < WIDE or name in named]
    rows = numbered_cells(path, once, look, lambda problem: None)
    return [row for _, row in islice(rows, FIRST)]


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    return [text_of(row.get(name)) for row in rows]


def _hold_sequences(cells: Sequence[str]) -> bool:
    """Return whether the cells of a column are proteins: most are ten letters or more and nothing else."""
    known = [cell for cell in cells if cell]
    return 2 * sum(len(cell) >= 10 and cell.rstrip("*").isalpha() for cell in known) > len(known)


def table_rows(
    path: str | Path,
    targets: Sequence[str],
    columns: ProteinColumns,
    *,
    weight_column: str | None = None,
    split_column: str | None = None,
    cells: Sequence[str] = (),
    reading: Reading | None = None,
    on_problem: OnProblem | None = None,
    keep: bool = False,
) -> Iterator[ProteinRow]:
    """Yield the rows of a table; a table with mutations to apply is held in memory.

    In a table with a column `validation`, as in FLIP, the marked rows of split train become valid.

    Parameters
    ----------
    columns : ProteinColumns of the table.
    cells : further columns, as text.
    reading : how the table is read; receives what was found, and rows that cannot be used.
    on_problem : called with the errors of these rows instead, right before the next row is yielded.
    keep : bool: a row that is left out is yielded too, without sequence and with `problem` set.

    Raises
    ------
    InputError: as `sequences.tables.targets` and `MutationColumn.apply`; or a row cannot be used when strict.
    """
    reading = reading or Reading(strict=True)
    mutations = columns.mutations
    own = mutations.cells if mutations else tuple(filter(None, (columns.variant or columns.wild_type,)))
    chooser = None
    if split_column is not None and str(path) != "-":
        chooser = named_column(column_names(path, Reading(reading.sheet)), CHOOSING)
    more = (*cells, *own, chooser) if chooser else (*cells, *own)
    wanted = (columns.id, columns.sequence, weight_column, split_column, more)
    fault = on_problem or reading.problem
    held: list[InputError] = []  # errors since the last row
    given = held.append if mutations else fault
    records = read_targets(path, targets, *wanted, reading=reading, on_problem=given, keep=keep)
    if chooser:
        records = (_chosen(record) for record in records)
    if columns.layout:
        reading.facts["layout"] = f"that of {columns.layout}"
    place = len(cells)  # of the mutation
    if mutations is None:
        for record in records:
            if columns.wild_type is not None:
                row = replace(record, cells=record.cells[:place])
                if not record.problem:
                    try:
                        row = replace(row, wild_type=cleaned(record.cells[place]).residues)
                    except Fault as odd:
                        error = InputError(
                            path, f"column '{columns.wild_type}': {odd}", record.id, "unusable_wild_type"
                        )
                        fault(error)
                        if not keep:
                            continue
                        row = replace(row, problem=error.flag)
                yield row
                continue
            mutation = record.cells[place] if own else ""
            name = record.id if columns.id else mutation or record.id
            yield replace(record, id=name, mutation=mutation, cells=record.cells[:place])
        return
    rows: list[tuple[ProteinRow, list[InputError]]] = []
    for record in records:
        rows.append((record, held[:]))
        held.clear()
    used = [record for record, _ in rows if not record.problem]
    made = mutations.apply([record.id for record in used], [record.cells[place : place + 3] for record in used])
    reading.facts["mutations"] = mutations.summary(made)
    labels = [record.cells[place + 2] for record in used] if mutations.wild_types.label else None
    differ: list[str] = []
    applied = iter(zip(made, _named(made, labels), strict=True))
    for record, before in rows:
        for problem in before:
            fault(problem)
        own_cells = record.cells[:place]
        if record.problem:
            yield replace(record, cells=own_cells)
            continue
        one, name = next(applied)
        name = record.id if columns.id else name or record.id
        sequence = one.sequence if columns.sequence is None else record.sequence
        wild_type = one.wild_type.sequence if one.wild_type else ""
        row = replace(record, id=name, sequence=sequence, mutation=one.written, cells=own_cells, wild_type=wild_type)
        if columns.sequence is not None:
            if one.sequence != record.sequence:
                differ.append(row.id)
        elif one.error is not None:
            fault(InputError(path, str(one.error), record.id, one.error.flag))
            if keep:
                yield replace(row, problem=one.error.flag)
            continue
        yield row
    for problem in held:
        fault(problem)
    if differ:
        reading.warn(
            f"{len(differ):,} sequences of column '{columns.sequence}' differ from the wild type with the mutations of "
            f"column '{columns.variant}', first that of '{differ[0]}'; the sequences are used"
        )


def _named(made: Sequence[Applied], labels: Sequence[str] | None) -> list[str]:
    """Return each mutation as written; where the wild types are several, with a name of its own before it.

    That is the label of the row, or the id of the wild type, or protein1, protein2, ... of those that have none.
    """
    places: dict[str, int] = {}
    names = labels or [
        "" if wild is None else wild.id or f"protein{places.setdefault(wild.sequence, len(places) + 1)}"
        for wild in (one.wild_type for one in made)
    ]
    if len(set(names) - {""}) < 2:
        return [one.written for one in made]
    return [f"{name}:{one.written}" if name else one.written for name, one in zip(names, made, strict=True)]


def _chosen(record: ProteinRow) -> ProteinRow:
    """Return a row of the split train as one of valid where its last cell marks it as such."""
    marked = record.split.lower() == "train" and record.cells[-1].lower() in YES
    return replace(record, split="valid") if marked else record


def protein_rows(
    path: str | Path,
    targets: Sequence[str],
    counts: Counter[str],
    *,
    options: TableOptions = DEFAULTS,
    table: str | Path | None = None,
    weight_column: str | None = None,
    split_column: str | None = None,
    unlabelled: bool = False,
    cells: Sequence[str] = (),
    reading: Reading | None = None,
) -> Iterator[ProteinRow]:
    """Yield proteins with their values.

    Parameters
    ----------
    path : a table with a column of sequences or mutations; or FASTA, then `table` holds the values and is joined by id,
        or its headers do, see `sequences.tables.reader.is_labelled`.
    targets : names of the target columns; none with `unlabelled`.
    counts : filled with what was left out or changed, by reason.
    options : how the proteins of a table are found; the sheet is that of `reading`.
    table : only with FASTA; it is held in memory, its ids must differ.
    unlabelled : bool: read sequences without values, as for a language model.
    cells : further columns of the table, as text.
    reading : how the table is read; receives what was found, and rows that cannot be used. Without it, the first such
        row is an error.

    A repeated id gets #2, #3, ... at its end, so that predictions can be joined by id.

    Raises
    ------
    ConfigError: no target, FASTA without a table, or a table with a table; values asked for of `unlabelled` proteins.
    InputError: a file, a column or a cell cannot be used; see `sequences.tables.targets` and `sequences.fasta`.
    """
    if not targets and not unlabelled:
        raise ConfigError("--target: found none; name at least one column of numbers, or --no-target")
    if unlabelled and (targets or table is not None):
        raise ConfigError("--no-target: cannot be with --target or --targets; allowed is one of them")
    twice = [name for name in targets if list(targets).count(name) > 1]
    if twice:
        raise ConfigError(f"--target: '{twice[0]}' is given twice; allowed is once")
    take = reading.problem if reading is not None else stop
    if is_fasta(path) and (table is not None or unlabelled or not is_labelled(path)):
        if options.wild_type is not None:
            raise ConfigError(f"--wild-type: needs a table with a column of mutations; {path} is FASTA")
        if unlabelled:
            if split_column is not None or weight_column is not None:
                raise ConfigError(f"{path}: is FASTA, which has no column '{split_column or weight_column}'")
            return distinct(
                (ProteinRow(one.id, one.sequence, ()) for one in read_fasta(path, take, lambda name: None)), counts
            )
        if table is None:
            raise ConfigError(f"{path}: is FASTA, which holds no values; name their table with --targets")
        id_column = options.id_column or "id"
        records = read_targets(table, targets, id_column, None, weight_column, split_column, cells, reading=reading)
        rows = _joined(path, table, records, counts, id_column, take)
    else:
        if table is not None:
            raise ConfigError(f"--targets {table}: is for FASTA input; {path} is a table and holds the values itself")
        found = protein_columns(path, replace(options, sheet=reading.sheet if reading is not None else None))
        more: dict[str, Any] = {"weight_column": weight_column, "split_column": split_column, "cells": cells}
        rows = table_rows(path, targets, found, **more, reading=reading)
    return distinct(rows, counts)


def _joined(
    path: str | Path,
    table: str | Path,
    records: Iterable[ProteinRow],
    counts: Counter[str],
    id_column: str,
    on_problem: OnProblem,
) -> Iterator[ProteinRow]:
    values: dict[str, ProteinRow] = {}
    for record in records:
        if record.id in values:
            raise InputError(table, f"column '{id_column}': the id is given twice; allowed is once", record.id)
        values[record.id] = record
    found = 0
    for protein in read_fasta(path, on_problem):
        row = values.pop(protein.id, None)
        if row is None:
            counts["dropped: no row in the table"] += 1
            continue
        found += 1
        yield replace(row, sequence=protein.sequence)
    if not found and values:
        example = next(iter(values))
        raise InputError(
            path, f"no id of the FASTA is in column '{id_column}' of {table}, which has ids as '{example}'"
        )
    if values:
        counts["table rows without a protein"] += len(values)


def distinct(rows: Iterator[ProteinRow], counts: Counter[str]) -> Iterator[ProteinRow]:
    """Yield the rows with every id once."""
    seen: Counter[str] = Counter()
    for row in rows:
        name = row.id
        while name in seen:
            seen[row.id] += 1
            name = f"{row.id}#{seen[row.id]}"
        seen[name] = 1
        if name != row.id:
            counts["renamed: id came before"] += 1
            row = replace(row, id=name)
        yield row


BASES = "is read as FASTA or FASTQ, as the model reads bases"


def read_proteins(
    path: str | Path,
    options: TableOptions = DEFAULTS,
    *,
    alphabet: str | None = None,
    on_problem: OnProblem = stop,
    on_repeat: Callable[[str], None] | None = None,
    keep: bool = False,
    carry: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[ProteinRecord]:
    """Yield the proteins of a sequence file or of a table with a column of sequences, one in memory at a time.

    Parameters
    ----------
    path : a sequence file, see `sequences.fasta`, `-` for standard input; or a table, see
        `sequences.tables.reader.is_table`.
    options : how the proteins of a table are found.
    alphabet : that of the model: residues, which is the default; else bases, of FASTA or FASTQ.
    on_problem : called with the error of a record or row; where it returns, that record is left out.
    on_repeat : called with each repeated id, and the record is yielded; without it a repeated id is an error.
    keep : bool: a record that is left out is yielded too, without sequence and with `problem` set.
    carry : columns of a table whose cells each record gets, see `other_columns`.
    say : called with lines about the mutations.

    Raises
    ------
    InputError: the file cannot be used, its first records are DNA or RNA for residues, or `on_problem` raises.
    ConfigError: an option of a table, for a file that is none.
    """
    if alphabet not in (None, RESIDUES):
        if options.wild_type is not None:
            raise ConfigError(f"--wild-type: is for proteins; {path} {BASES}")
        if options.id_column is not None:
            raise ConfigError(f"--id: needs a table; {path} {BASES}")
        return kept(_bases(path, on_repeat), on_problem, keep)
    if is_table(path):
        columns = protein_columns(path, options)
        return usable(path, _rows(path, columns, options.sheet, on_repeat, carry, say), on_problem, keep)
    if options.wild_type is not None:
        raise ConfigError(f"--wild-type: needs a table with a column of mutations; {path} is read as FASTA")
    if options.sheet is not None:
        raise ConfigError(f"--sheet: needs an Excel workbook; {path} is read as FASTA")
    if options.id_column is not None:
        raise ConfigError(f"--id: needs a table; {path} is read as FASTA, whose headers hold the ids")
    return read_fasta(path, on_problem, on_repeat, keep)


def _bases(path: str | Path, on_repeat: Callable[[str], None] | None) -> Iterator[Item]:
    ids, held = Ids(), list[InputError]()

    def left_out() -> Iterator[Item]:
        for problem in held:
            yield problem, ProteinRecord(problem.record or "", "", problem=problem.flag)
        held.clear()

    for number, (name, bases) in enumerate(read_bases(path, held.append), 1):
        yield from left_out()
        before = ids.seen(name, number)
        if before and on_repeat is not None:
            on_repeat(name)
        yield ProteinRecord(name, bases, unknown=bases.count("N"), changes=("id_given_before",) if before else ())
    yield from left_out()


def read_mutants(
    path: str | Path,
    mutations: str,
    offset: int = 0,
    *,
    column: str | None = None,
    sheet: str | None = None,
    on_problem: OnProblem = stop,
    keep: bool = False,
) -> Iterator[ProteinRecord]:
    """Yield a mutant for each mutation and each protein of a sequence file, or of a sequence.

    The id of a mutant is the mutation as written, after the id of the protein where there are several; its one cell is
    the mutation.

    Parameters
    ----------
    mutations, column, sheet : a list, or the file of one; see `sequences.variants.variant_texts`.
    offset : int: added to a place in the protein, counted from 1, gives the number that mutations use.
    on_problem, keep : as of `read_proteins`.

    Raises
    ------
    InputError: a file cannot be used, or `on_problem` raises.
    VariantError: none, or fewer than half, of the mutations fit a protein.
    """
    texts = list(variant_texts(mutations, column, sheet))
    given = not Path(path).exists() and str(path) != "-"
    proteins = [replace(given_protein(str(path)), id="wild type")] if given else list(read_fasta(path))
    for protein in proteins:
        for one in variants_of(protein, texts, offset, on_problem):
            name = one.written if len(proteins) == 1 else f"{protein.id}:{one.written}"
            problem = one.error.flag if one.error else ""
            if keep or not problem:
                unknown = one.sequence.count("X")
                cells, wild_type = (one.written,), protein.sequence
                yield ProteinRecord(name, one.sequence, "", unknown, (), problem, cells, wild_type)


def other_columns(path: str | Path, options: TableOptions = DEFAULTS) -> list[str]:
    """Return the columns of a table that hold neither ids nor sequences; none of a sequence file.

    Raises
    ------
    InputError: the table cannot be read, or has no column of sequences.
    """
    if not is_table(path):
        return []
    names = column_names(path, Reading(options.sheet))
    found = protein_columns(path, options)
    used = {names[place] for name in (found.id, found.sequence) if name for place in matching(name, names)}
    return [name for name in dict.fromkeys(names) if name and name not in used and names.count(name) == 1]


def _rows(
    path: str | Path,
    columns: ProteinColumns,
    sheet: str | None,
    on_repeat: Callable[[str], None] | None,
    carry: Sequence[str],
    say: Callable[[str], None],
) -> Iterator[Item]:
    reading = Reading(sheet, strict=True)
    held: list[InputError] = []  # errors since the last row

    def other() -> Iterator[Item]:
        for problem in held:
            yield problem, ProteinRecord(problem.record or ".", "", problem=problem.flag, cells=("",) * len(carry))
        held.clear()

    seen = Ids()
    rows = table_rows(path, (), columns, cells=carry, reading=reading, on_problem=held.append, keep=True)
    for number, row in enumerate(rows, 1):
        if number == 1 and "mutations" in reading.facts:
            say(f"{path}: {reading.facts['mutations']}")
        own = held.pop() if row.problem else None
        yield from other()
        before = 0 if own else seen.seen(row.id, number)
        if before and on_repeat is not None:
            on_repeat(row.id)
        elif before:
            problem = f"the id is given twice, in rows {before} and {number}"
            own = InputError(path, problem, row.id, "id_given_before")
        if own is not None:
            yield own, ProteinRecord(row.id, "", problem=own.flag, cells=row.cells)
            continue
        changes = (*row.changes, *(["id_given_before"] if before else []))
        unknown = row.sequence.count("X")
        yield ProteinRecord(row.id, row.sequence, "", unknown, changes, cells=row.cells, wild_type=row.wild_type)
    yield from other()
    for warning in reading.warnings if columns.mutations else ():
        say(f"warning: {path}: {warning}")
