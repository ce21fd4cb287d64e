"""Read the sequences to predict or to tag, from a sequence file or from a table: proteins, or bases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from biorrn.datasets.protein_rows import ProteinColumns, protein_columns, table_rows
from biorrn.encoders.alphabets import RESIDUES
from biorrn.errors import ConfigError, InputError
from biorrn.readers.fasta import Item, kept, read_fasta, usable
from biorrn.readers.fields import OnProblem, stop
from biorrn.readers.ids import Ids
from biorrn.readers.nucleotides import read_bases
from biorrn.readers.records import ProteinRecord
from biorrn.readers.tables import Reading, column_names, is_table, matching
from biorrn.readers.variants import variant_texts, variants_of

BASES = "is read as FASTA or FASTQ, as the model reads bases"


def read_proteins(
    path: str | Path,
    *,
    alphabet: str | None = None,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    sheet: str | None = None,
    on_problem: OnProblem = stop,
    on_repeat: Callable[[str], None] | None = None,
    keep: bool = False,
    carry: Sequence[str] = (),
    wild_type: str | None = None,
    offset: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[ProteinRecord]:
    """Yield the proteins of a sequence file or of a table with a column of sequences, one in memory at a time.

    Parameters
    ----------
    path : a sequence file, see `readers.fasta`, `-` for standard input; or a table, see `readers.tables.is_table`.
    alphabet : that of the model: residues, which is the default; else bases, of FASTA or FASTQ.
    sequence_column, id_column : of a table; ids are by default the column "id", or row1, row2, ... where there is none.
    sheet : of an Excel workbook, see `readers.tables.Reading`.
    on_problem : takes what is wrong with one record or row; where it returns, that record is left out.
    on_repeat : takes each id that came before, and the record is yielded; without it that is an error.
    keep : bool: a record that is left out is yielded too, without sequence and with `problem` set.
    carry : columns of a table whose cells each record gets, see `other_columns`.
    wild_type, offset : of a table with mutations in place of sequences, see `datasets.protein_rows.protein_columns`;
        such a table is held in memory.
    say : takes a line on the mutations.

    Raises
    ------
    InputError: the file cannot be used, its first records are DNA or RNA for residues, or `on_problem` raises.
    ConfigError: an option of a table, for a file that is none.
    """
    if alphabet not in (None, RESIDUES):
        if wild_type is not None:
            raise ConfigError(f"--wild-type: is for proteins; {path} {BASES}")
        if id_column is not None:
            raise ConfigError(f"--id: needs a table; {path} {BASES}")
        return kept(_bases(path, on_repeat), on_problem, keep)
    if is_table(path):
        columns = _columns(path, sequence_column, id_column, sheet, wild_type, offset)
        return usable(path, _rows(path, columns, sheet, on_repeat, carry, say), on_problem, keep)
    if wild_type is not None:
        raise ConfigError(f"--wild-type: needs a table with a column of mutations; {path} is read as FASTA")
    if sheet is not None:
        raise ConfigError(f"--sheet: needs an Excel workbook; {path} is read as FASTA")
    if id_column is not None:
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
    path: str | Path, mutations: str, offset: int = 0, *, on_problem: OnProblem = stop, keep: bool = False
) -> Iterator[ProteinRecord]:
    """Yield mutants of the proteins of a sequence file, as many of each protein as mutations are given.

    The id of a mutant is the mutation as written, with the id of the protein before it where there are several; its
    one cell is the mutation.

    Parameters
    ----------
    mutations : a list, or the file of one; see `readers.variants.variant_texts`.
    offset : int: added to a place in the protein, counted from 1, gives the number that mutations use.
    on_problem, keep : as of `read_proteins`.

    Raises
    ------
    InputError: a file cannot be used, or `on_problem` raises.
    VariantError: none or the fewest of the mutations fit a protein.
    """
    texts = list(variant_texts(mutations))
    proteins = list(read_fasta(path))
    for protein in proteins:
        for one in variants_of(protein, texts, offset, on_problem):
            name = one.written if len(proteins) == 1 else f"{protein.id}:{one.written}"
            problem = one.error.flag if one.error else ""
            if keep or not problem:
                unknown = one.sequence.count("X")
                yield ProteinRecord(name, one.sequence, "", unknown, problem=problem, cells=(one.written,))


def other_columns(
    path: str | Path,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    sheet: str | None = None,
    wild_type: str | None = None,
    offset: int = 0,
) -> list[str]:
    """Return the columns of a table that hold neither ids nor sequences; none of a sequence file.

    Raises
    ------
    InputError: the table cannot be read, or has no column of sequences.
    """
    if not is_table(path):
        return []
    names = column_names(path, Reading(sheet))
    found = _columns(path, sequence_column, id_column, sheet, wild_type, offset)
    used = {names[place] for name in (found.id, found.sequence) if name for place in matching(name, names)}
    return [name for name in dict.fromkeys(names) if name and name not in used and names.count(name) == 1]


def _columns(
    path: str | Path, sequence: str, id: str | None, sheet: str | None, wild_type: str | None, offset: int
) -> ProteinColumns:
    return protein_columns(
        path, sequence=sequence, id=id, wild_type=wild_type, offset=offset, reading=Reading(sheet, strict=True)
    )


def _rows(
    path: str | Path,
    columns: ProteinColumns,
    sheet: str | None,
    on_repeat: Callable[[str], None] | None,
    carry: Sequence[str],
    say: Callable[[str], None],
) -> Iterator[Item]:
    reading = Reading(sheet, strict=True)
    held: list[InputError] = []  # what is wrong with rows since the last one

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
        sequence = row.sequence or ""
        changes = (*row.changes, *(["id_given_before"] if before else []))
        yield ProteinRecord(row.id, sequence, "", sequence.count("X"), changes, cells=row.cells)
    yield from other()
    for warning in reading.warnings if columns.mutations else ():
        say(f"warning: {path}: {warning}")
