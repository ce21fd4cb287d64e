"""Tables of mutational scans (one row per mutant) and of attributions (one row per residue)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.writer import Memory, Row, late, open_table

if TYPE_CHECKING:
    from biorrn.proteins.explain.attribution import Attribution
    from biorrn.proteins.scan import Effect


DIFFERENCE = ("difference", "difference_lower", "difference_upper")  # of an effect, the last two where there are any
EXTRA = ("lower", "upper", "spread")  # of a prediction, where the model gives them


@contextlib.contextmanager
def effects_table(
    path: str | Path | Memory, targets: Sequence[str], position: type = int, units: Sequence[str] = ()
) -> Iterator[Callable[[Effect], None]]:
    """Open a table of mutants: id, position, wild_type, mutant, mutation, columns of each target, flags.

    The columns of a target are its name (the value), and with the name before them `_difference` (to the wild type),
    `_difference_lower` and `_difference_upper` (its interval), `_lower` and `_upper` (the interval of the value),
    `_spread`; the first effect says which there are. Wild types have no row; a protein that was left out has one with
    its id and flags alone, a mutation that was left out its mutation too.

    Parameters
    ----------
    path : see `sequences.tables.writer.open_table`, for the digits too.
    units : of the targets, "" where there is none; each a column `_unit` after those of the target.
    position : int; or str where variants have several mutations, whose positions colons join.
    """
    columns: dict[str, type] = {"id": str, "position": position, "wild_type": str, "mutant": str, "mutation": str}
    extra: list[str] = []
    of_difference: list[str] = []

    def open(first: Effect | None) -> contextlib.AbstractContextManager[Callable[[Row], None]]:
        of_difference.extend(name for name in DIFFERENCE if getattr(first, name, None) is not None)
        extra.extend(name for name in EXTRA if first and getattr(first.prediction, name) is not None)
        for target, unit in zip(targets, units or [""] * len(targets), strict=True):
            columns.update({target: float} | {f"{target}_{name}": float for name in (*of_difference, *extra)})
            columns.update({f"{target}_unit": str} if unit else {})
        columns["flags"] = str
        return open_table(path, columns)

    def rows(effect: Effect) -> Iterator[list[object]]:
        mutant, prediction = effect.mutant, effect.prediction
        flags = ",".join(prediction.flags) or "."
        if prediction.left_out:
            mutation = None if mutant is None else mutant.mutation
            yield [prediction.id, None, None, None, mutation, *[None] * (len(columns) - 6), flags]
        elif mutant is not None:
            numbers = [prediction.values, *(getattr(effect, name) for name in of_difference)]
            numbers += [getattr(prediction, name) for name in extra]
            cells: list[object] = []
            for place, row in enumerate(np.stack(numbers, axis=1).tolist()):  # target by target
                cells += [*row, *filter(None, units[place : place + 1])]
            at = position(mutant.position)
            yield [prediction.id, at, mutant.wild_type, mutant.mutant, mutant.mutation, *cells, flags]

    with late(open, rows, lambda effect: effect.prediction.left_out) as write:
        yield write


@contextlib.contextmanager
def attributions_table(
    path: str | Path, targets: Sequence[str], offset: int = 0
) -> Iterator[Callable[[Attribution | ProteinRecord], None]]:
    """Open a table of residues: id, position, residue, columns of each target, attention where the model has any.

    The columns of a target are `_attribution` and, for an ensemble, `_spread`, with the target's name before them; the
    first attribution says which there are. A record that was left out has a row with its id alone.

    Parameters
    ----------
    path : see `sequences.tables.writer.open_table`.
    offset : int: added to a place in the sequence, counted from 1, gives the position.
    """
    columns: dict[str, type] = {"id": str, "position": int, "residue": str}

    def open(first: Attribution | ProteinRecord | None) -> contextlib.AbstractContextManager[Callable[[Row], None]]:
        spread = getattr(first, "spread", None) is not None
        for target in targets:
            columns[f"{target}_attribution"] = float
            columns.update({f"{target}_spread": float} if spread else {})
        if getattr(first, "attention", None) is not None:
            columns["attention"] = float
        return open_table(path, columns)

    def rows(found: Attribution | ProteinRecord) -> Iterator[list[object]]:
        if isinstance(found, ProteinRecord):
            yield [found.id, *[None] * (len(columns) - 1)]
            return
        numbers = [found.scores] if found.spread is None else [found.scores, found.spread]
        cells = np.stack(numbers, axis=2).reshape(len(found.sequence), -1)
        if found.attention is not None:
            cells = np.concatenate([cells, found.attention[:, None]], axis=1)
        for place, (residue, row) in enumerate(zip(found.sequence, cells.tolist(), strict=True), offset + 1):
            yield [found.id, place, residue, *row]

    with late(open, rows, lambda found: isinstance(found, ProteinRecord)) as write:
        yield write
