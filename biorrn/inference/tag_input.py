"""Sequences to tag: proteins, or for a model of bases DNA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from biorrn.encoders.alphabets import RESIDUES
from biorrn.errors import ConfigError, InputError
from biorrn.inference.protein_input import read_proteins
from biorrn.readers.fields import OnProblem, stop
from biorrn.readers.ids import Ids
from biorrn.readers.nucleotides import read_bases
from biorrn.readers.records import ProteinRecord


def read_sequences(
    path: str | Path,
    alphabet: str | None,
    *,
    sequence_column: str = "sequence",
    id_column: str | None = None,
    sheet: str | None = None,
    wild_type: str | None = None,
    offset: int = 0,
    on_problem: OnProblem = stop,
    on_repeat: Callable[[str], None] | None = None,
    keep: bool = False,
) -> Iterator[ProteinRecord]:
    """Yield the records of a file as a model with an alphabet reads them.

    Parameters
    ----------
    alphabet : str or None: residues, which is the default, see `inference.protein_input.read_proteins`; or bases, for
        which the file is FASTA or FASTQ, gzip by content, `-` for standard input.

    Raises
    ------
    ConfigError: an option of a table, for a model of bases.
    InputError: the file cannot be used.
    """
    if alphabet in (None, RESIDUES):
        yield from read_proteins(
            path,
            sequence_column=sequence_column,
            id_column=id_column,
            sheet=sheet,
            wild_type=wild_type,
            offset=offset,
            on_problem=on_problem,
            on_repeat=on_repeat,
            keep=keep,
        )
        return
    if wild_type is not None:
        raise ConfigError(f"--wild-type: is for proteins; {path} is read as FASTA or FASTQ, as the model reads bases")
    if id_column is not None:
        raise ConfigError(f"--id: is for a table; {path} is read as FASTA or FASTQ, as the model reads bases")
    ids, problems = Ids(), list[InputError]()

    def left_out() -> Iterator[ProteinRecord]:
        for problem in problems:
            on_problem(problem)
            if keep:
                yield ProteinRecord(problem.record or "", "", problem=problem.flag)
        problems.clear()

    for number, (name, bases) in enumerate(read_bases(path, problems.append), 1):
        yield from left_out()
        before = ids.seen(name, number)
        if before and on_repeat is not None:
            on_repeat(name)
        yield ProteinRecord(name, bases, unknown=bases.count("N"), changes=("id_given_before",) if before else ())
    yield from left_out()
