"""Scans and attributions as tables: a row a mutant, a row a residue."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from biorrn.inference.writers.tables import Row, open_table
from biorrn.readers.records import ProteinRecord

if TYPE_CHECKING:
    from biorrn.inference.attribution import Attribution
    from biorrn.inference.scan import Effect

DIFFERENCE = ("difference", "difference_lower", "difference_upper")  # of an effect, the last two where there are any
EXTRA = ("lower", "upper", "spread")  # of a prediction, where the model gives them


@contextlib.contextmanager
def effects_table(
    path: str | Path, targets: Sequence[str], position: type = int, units: Sequence[str] = ()
) -> Iterator[Callable[[Effect], None]]:
    """Open a table of mutants: id, position, wild_type, mutant, mutation, columns of each target, flags.

    The columns of a target are its name (the value), and with the name before them `_difference` (to the wild type),
    `_difference_lower` and `_difference_upper` (its interval), `_lower` and `_upper` (the interval of the value),
    `_spread`; the first effect says which there are. Wild types have no row; a protein that was left out has one with
    its id and flags alone, a mutation that was left out its mutation too.

    Parameters
    ----------
    path : see `writers.tables.open_table`, for the digits too.
    units : of the targets, "" where there is none; each a column `_unit` after those of the target.
    position : int; or str where variants have several mutations, whose positions colons join.
    """
    columns: dict[str, type] = {"id": str, "position": position, "wild_type": str, "mutant": str, "mutation": str}
    extra: list[str] = []
    held: list[Effect] = []  # left out, before the first row
    width: list[int] = []
    of_difference: list[str] = []
    rows: list[Callable[[Row], None]] = []
    with contextlib.ExitStack() as stack:

        def start(sample: Effect) -> None:
            of_difference.extend(name for name in DIFFERENCE if getattr(sample, name) is not None)
            extra.extend(name for name in EXTRA if getattr(sample.prediction, name) is not None)
            for target, unit in zip(targets, units or [""] * len(targets), strict=True):
                columns.update({target: float} | {f"{target}_{name}": float for name in (*of_difference, *extra)})
                columns.update({f"{target}_unit": str} if unit else {})
            width.append(len(columns) - 1)
            rows.append(stack.enter_context(open_table(path, columns | {"flags": str})))

        def write(effect: Effect) -> None:
            mutant, prediction = effect.mutant, effect.prediction
            if prediction.left_out:
                held.append(effect)
            elif not rows:
                start(effect)
            if rows:
                for one in held:
                    empty: list[object] = [None] * width[0]
                    if one.mutant is not None:
                        empty[3] = one.mutant.mutation
                    rows[0]([one.prediction.id, *empty, ",".join(one.prediction.flags)])
                held.clear()
            if mutant is None or prediction.left_out:
                return
            numbers = [prediction.values, *(getattr(effect, name) for name in of_difference)]
            numbers += [getattr(prediction, name) for name in extra]
            cells: list[object] = []
            for place, row in enumerate(np.stack(numbers, axis=1).tolist()):  # target by target
                cells += [*row, *filter(None, units[place : place + 1])]
            number = position(mutant.position)
            flags = ",".join(prediction.flags) or "."
            rows[0]([prediction.id, number, mutant.wild_type, mutant.mutant, mutant.mutation, *cells, flags])

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
    path : see `writers.tables.open_table`.
    offset : int: added to a place in the sequence, counted from 1, gives the position.
    """
    columns: dict[str, type] = {"id": str, "position": int, "residue": str}
    held: list[str] = []  # left out, before the first row
    rows: list[Callable[[Row], None]] = []
    with contextlib.ExitStack() as stack:

        def start(sample: Attribution) -> None:
            for target in targets:
                columns[f"{target}_attribution"] = float
                if sample.spread is not None:
                    columns[f"{target}_spread"] = float
            if sample.attention is not None:
                columns["attention"] = float
            rows.append(stack.enter_context(open_table(path, columns)))

        def write(found: Attribution | ProteinRecord) -> None:
            if isinstance(found, ProteinRecord):
                held.append(found.id)
            elif not rows:
                start(found)
            if rows:
                for name in held:
                    rows[0]([name, *[None] * (len(columns) - 1)])
                held.clear()
            if isinstance(found, ProteinRecord):
                return
            numbers = [found.scores] if found.spread is None else [found.scores, found.spread]
            cells = np.stack(numbers, axis=2).reshape(len(found.sequence), -1)
            if found.attention is not None:
                cells = np.concatenate([cells, found.attention[:, None]], axis=1)
            for place, (residue, row) in enumerate(zip(found.sequence, cells.tolist(), strict=True), offset + 1):
                rows[0]([found.id, place, residue, *row])

        yield write
