"""Preparation of proteins with measured values: the prepared HDF5 file, and FASTA of its splits."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import one_line, sha256, write_text
from biorrn.base.lookup import lookup
from biorrn.sequences.alphabets import DNA, RESIDUES, base_tokens, sequence, tokens
from biorrn.sequences.embeddings import Embeddings, Missing, use
from biorrn.sequences.fastq import read_bases
from biorrn.sequences.prepared.files import ProteinFile, protein_writer
from biorrn.sequences.prepared.schema import SPLITS, split_code
from biorrn.sequences.prepared.summary import account
from biorrn.sequences.rows import ProteinRow, TableOptions, distinct, protein_rows
from biorrn.sequences.splits import Cluster, Column, Random, Rows, Splitter
from biorrn.sequences.tables.reader import Reading

ALPHABETS = {"protein": RESIDUES, "dna": DNA}


def prepare_proteins(
    source: str | Path,
    out: str | Path,
    splitter: Splitter,
    targets: Sequence[str],
    *,
    table: str | Path | None = None,
    sequence_column: str | None = None,
    id_column: str | None = None,
    weight_column: str | None = None,
    unlabelled: bool = False,
    wild_type: str | None = None,
    offset: int = 0,
    alphabet: str = "protein",
    note: str = "",
    advance: Callable[[int], None] = lambda proteins: None,
    reading: Reading | None = None,
    embeddings: str | None = None,
    missing: Missing | None = None,
) -> dict[str, Any]:
    """Write the proteins of a table, or of FASTA and a table, to a prepared file and return its account.

    For the other parameters see `protein_rows` and `prepare_protein`; for the account see `sequences.prepared.summary`.

    Parameters
    ----------
    alphabet : "protein"; or "dna" for sequences of bases alone, from FASTA or FASTQ, for a language model.
    reading : how the table is read; it records unusual cells. Without it, the first bad row is an error.
    embeddings : file of embeddings; proteins without one are left out, counted, and named in `missing`.
    """
    reading = reading or Reading(strict=True)
    counts: Counter[str] = Counter()
    letters = lookup(ALPHABETS, alphabet, "--alphabet")
    split_column = splitter.name if isinstance(splitter, Column) else None
    rows: Iterator[ProteinRow]
    if letters == RESIDUES:
        rows = protein_rows(
            source,
            targets,
            counts,
            options=TableOptions(sequence_column, id_column, None, wild_type, offset),
            table=table,
            weight_column=weight_column,
            split_column=split_column,
            unlabelled=unlabelled,
            reading=reading,
        )
    else:
        if not unlabelled or targets or table is not None:
            raise ConfigError(
                "--alphabet dna: is for sequences alone; give --no-target, and neither --target nor --targets"
            )
        if not isinstance(splitter, Random):
            raise ConfigError(
                "--alphabet dna: allowed is --split random; FASTA has no columns, and clusters are of proteins"
            )
        rows = distinct((ProteinRow(name, bases, ()) for name, bases in read_bases(source)), counts)
    if embeddings is not None:
        rows = embedded(rows, use(embeddings), missing or Missing(), counts)
    files = [path for path in (source, table, wild_type) if path is not None and Path(path).is_file()]
    sources = {str(path): sha256(path) for path in files}
    first = list(islice(rows, 1))  # with it, the units that the table gives are known
    columns = [reading.target(name) for name in targets]
    rows = chain(first, rows)
    named = source if table is None else table
    kept = prepare_protein(
        rows, out, splitter, columns, source=named, sources=sources, note=note, advance=advance, alphabet=letters
    )
    if reading.dropped:
        counts["dropped: row cannot be used"] = reading.dropped
    return account(out, kept + counts, note)


def embedded(
    rows: Iterable[ProteinRow], source: Embeddings, missing: Missing, counts: Counter[str]
) -> Iterator[ProteinRow]:
    """Yield the rows that a file has an embedding of."""
    for row in rows:
        missing.asked += 1
        if not row.sequence or source.join(row.id, row.sequence):
            yield row
        else:
            missing.add(row.id)
            counts["dropped: no embedding"] += 1


def prepare_protein(
    rows: Iterable[ProteinRow],
    out: str | Path,
    splitter: Splitter,
    targets: Sequence[Mapping[str, Any]],
    *,
    source: str | Path = "",
    sources: Mapping[str, str] | None = None,
    note: str = "",
    advance: Callable[[int], None] = lambda proteins: None,
    alphabet: str = RESIDUES,
) -> Counter[str]:
    """Write proteins to a prepared file; a buffer of them is in memory at a time.

    A protein without a single one of the targets asked for or a bound of it, with an empty sequence, or with no known
    residue is left out and counted.

    Parameters
    ----------
    rows : the proteins.
    out : the HDF5 file to write.
    splitter : from `sequences.splits.parse_split(..., "protein")`.
    targets : list of {"name", "unit"}: one a target column; one of classes has them too, see `Reading.target`.
    source : the table, named in errors.
    sources : path -> SHA-256 of the inputs, kept as an attribute.
    note : str: kept as an attribute.
    alphabet : str: RESIDUES, or DNA.

    Returns
    -------
    Counter: proteins by "kept" or by the reason they were dropped for.

    Raises
    ------
    InputError: a cell of the split column names no split, a weight is negative, or no protein could be used.
    """
    counts: Counter[str] = Counter()
    encode = tokens if alphabet == RESIDUES else base_tokens
    with protein_writer(out, targets, alphabet) as writer:
        writer.file.attrs["note"] = note
        for row in rows:
            advance(1)
            fault = _fault(row, alphabet)
            if fault is not None:
                counts[fault] += 1
                continue
            if not 0 <= row.weight < math.inf:
                raise InputError(source, f"found weight {row.weight:g}; allowed is 0 or more", row.id)
            code = splitter.code(row.split) if isinstance(splitter, Column) else 0
            if code is None:
                column = splitter.name if isinstance(splitter, Column) else ""
                problem = f"column '{column}': found '{row.split}'; allowed is {', '.join(SPLITS)}"
                raise InputError(source, problem, row.id)
            counts["kept"] += 1
            writer.add(row.id, encode(row.sequence), row.targets, row.weight, code, row.bounds)
        writer.flush()
        if not writer.rows:
            reasons = ", ".join(f"{name} {number}" for name, number in counts.items()) or "it holds none"
            raise InputError(source, f"no protein could be used ({reasons})")
        if not isinstance(splitter, Column):
            file = writer.file
            residues = file["tokens"][:] if isinstance(splitter, Cluster) else np.zeros(0, np.uint8)
            file["split"][:] = splitter.assign(Rows(list(file["id"].asstr()[:]), (), residues, file["offsets"][:]))
        writer.file.attrs["sources"] = json.dumps(dict(sources or {}))
    return counts


def _fault(row: ProteinRow, alphabet: str) -> str | None:
    """Return why a protein cannot be used, or None."""
    if not row.sequence:
        return "dropped: empty sequence"
    if not row.sequence.strip(alphabet[-1]):
        return "dropped: no known residue" if alphabet == RESIDUES else "dropped: no known base"
    if len(row.targets) and not np.isfinite(row.targets).any() and not row.bounds:
        return "dropped: no target value"
    return None


def parse_exports(texts: Sequence[str]) -> dict[str, Path]:
    """Return split -> path of texts such as `valid=valid.fasta`.

    Raises
    ------
    ConfigError: not of this form, an unknown split, or a split given twice.
    """
    exports: dict[str, Path] = {}
    for text in texts:
        split, equals, path = text.partition("=")
        if not equals or not path:
            raise ConfigError(f"--export-fasta: found '{text}'; allowed is SPLIT=PATH, as valid=valid.fasta")
        split_code(split)
        if split in exports:
            raise ConfigError(f"--export-fasta: split '{split}' is given twice; allowed is once")
        exports[split] = Path(path)
    return exports


def export_fastas(prepared: str | Path, exports: Mapping[str, Path]) -> None:
    """Write each of these splits of a prepared protein file as FASTA, in file order.

    Raises
    ------
    InputError: a split is empty.
    """
    with ProteinFile(prepared) as file:
        for split, path in exports.items():
            rows = file.rows(split)
            if not len(rows):
                raise InputError(prepared, f"split '{split}' is empty; there is nothing to export")
            with write_text(path) as stream:
                stream.writelines(_records(file, rows))


def _records(file: ProteinFile, rows: Iterable[int]) -> Iterable[str]:
    ids = file.strings("id")
    for row in rows:
        yield f">{one_line(ids[row])}\n{sequence(file.tokens(row), file.alphabet)}\n"
