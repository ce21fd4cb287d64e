"""Proteins with measured values -> the rows of a prepared protein file."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biorrn.datasets.prepare import protein_writer
from biorrn.datasets.schema import SPLITS
from biorrn.datasets.splits import Column, Rows, Splitter
from biorrn.encoders.residues import tokens
from biorrn.errors import InputError


@dataclass(frozen=True, slots=True)
class ProteinRow:
    """One protein with its values.

    Attributes
    ----------
    id, sequence : str: as in `readers.records.ProteinRecord`.
    targets : one float a target column, NaN where missing.
    weight : float: weight in the loss.
    split : str: the cell of the split column, "" where there is none.
    """

    id: str
    sequence: str
    targets: Sequence[float]
    weight: float = 1.0
    split: str = ""


def prepare_protein(
    rows: Iterable[ProteinRow],
    out: str | Path,
    splitter: Splitter,
    targets: Sequence[Mapping[str, str]],
    *,
    source: str | Path = "",
    sources: Mapping[str, str] | None = None,
    advance: Callable[[int], None] = lambda proteins: None,
) -> Counter[str]:
    """Write proteins to a prepared file; a buffer of them is in memory at a time.

    A protein without a single target, with an empty sequence, or with no known residue is left out and counted.

    Parameters
    ----------
    rows : the proteins.
    out : the HDF5 file to write.
    splitter : from `datasets.splits.parse_split(..., "protein")`.
    targets : list of {"name", "unit"}: one a target column.
    source : the table, named in errors.
    sources : path -> SHA-256 of the inputs, kept as an attribute.

    Returns
    -------
    Counter: proteins by "kept" or by the reason they were dropped for.

    Raises
    ------
    InputError: a cell of the split column names no split, a weight is negative, or no protein could be used.
    """
    counts: Counter[str] = Counter()
    with protein_writer(out, targets) as writer:
        for row in rows:
            advance(1)
            fault = _fault(row)
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
            writer.add(row.id, tokens(row.sequence), row.targets, row.weight, code)
        writer.flush()
        if not writer.rows:
            reasons = ", ".join(f"{name} {number}" for name, number in counts.items()) or "it holds none"
            raise InputError(source, f"no protein could be used ({reasons})")
        if not isinstance(splitter, Column):
            file = writer.file
            everything = Rows(list(file["id"].asstr()[:]), (), file["tokens"][:], file["offsets"][:])
            file["split"][:] = splitter.assign(everything)
        writer.file.attrs["sources"] = json.dumps(dict(sources or {}))
    return counts


def _fault(row: ProteinRow) -> str | None:
    """Return why a protein cannot be used, or None."""
    if not row.sequence:
        return "dropped: empty sequence"
    if not row.sequence.strip("X"):
        return "dropped: no known residue"
    if not np.isfinite(row.targets).any():
        return "dropped: no target value"
    return None
