"""Table of suggested variants, and their layout on plates with controls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from biorrn.base.errors import ConfigError
from biorrn.proteins.suggest.campaign import NEW, Round, Suggestion
from biorrn.sequences.tables.writer import Memory, open_table

PLATES = {24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24)}  # wells -> rows and columns
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples spread evenly over any interval


@dataclass(frozen=True, slots=True)
class Well:
    """A well of a plate: the number of the plate from 1, the name of the well, the place in the order of choice."""

    plate: int
    name: str
    rank: int | None
    suggestion: Suggestion


def room(wells: int, controls: int) -> int:
    """Return how many suggestions a plate takes beside so many wells of each of the two controls.

    Raises
    ------
    ConfigError: no such plate, or the controls leave no well.

    >>> room(96, 2)
    92
    """
    if wells not in PLATES:
        raise ConfigError(f"--plate: found {wells}; allowed is {', '.join(map(str, PLATES))}")
    if controls < 0 or 2 * controls >= wells:
        raise ConfigError(f"--controls: found {controls}; allowed is 0 to {(wells - 1) // 2}, two of each plate")
    return wells - 2 * controls


def well_name(place: int, wells: int) -> str:
    """Return the name of a well, counted row by row from 0.

    >>> well_name(0, 96), well_name(12, 96), well_name(95, 96)
    ('A1', 'B1', 'H12')
    """
    columns = PLATES[wells][1]
    return f"{chr(ord('A') + place // columns)}{place % columns + 1}"


def control_places(wells: int, count: int) -> list[int]:
    """Return wells spread over a plate, so that a gradient across it shows in the controls.

    >>> [well_name(place, 96) for place in control_places(96, 4)]
    ['E1', 'A12', 'F11', 'C10']
    """
    found: list[int] = []
    step = 0
    while len(found) < count:
        place = int(wells * ((0.5 + step * GOLDEN) % 1))
        if place not in found:
            found.append(place)
        step += 1
    return found


def laid_out(made: Round, wells: int, controls: int) -> list[Well]:
    """Return the wells of as many plates as the suggestions need, plate by plate and row by row.

    Parameters
    ----------
    wells : int: of a plate, a key of `PLATES`.
    controls : int: wells of each control (wild type, best of the measured) on each plate.
    """
    there = [control for control in (made.wild_type, made.best) if control is not None]
    free = room(wells, controls)
    found = []
    for plate, start in enumerate(range(0, len(made.chosen), free), 1):
        part = made.chosen[start : start + free]
        taken = dict(zip(control_places(wells, controls * len(there)), there * controls, strict=True))
        places = [place for place in range(wells) if place not in taken]
        put = {place: (start + k + 1, one) for k, (place, one) in enumerate(zip(places, part, strict=False))}
        for place in sorted([*taken, *put]):
            rank, one = put.get(place) or (None, taken[place])
            found.append(Well(plate, well_name(place, wells), rank, one))
    return found


def write_round(path: str | Path | Memory, made: Round, layout: Sequence[Well] = ()) -> None:
    """Write the table of a round: of a layout with its wells and controls, else the suggestions alone.

    The columns are rank (the order of choice), of a layout plate, well and role, then id, mutation, mutations (their
    number), the predicted target, its standard deviation (_spread), its unit (_unit) where known, chance (to be better
    than the best of the measured) and sequence.
    """
    target, unit = made.measured.target, made.measured.unit
    columns: dict[str, type] = {"rank": int} | ({"plate": int, "well": str, "role": str} if layout else {})
    columns |= {"id": str, "mutation": str, "mutations": int, target: float, f"{target}_spread": float}
    columns |= ({f"{target}_unit": str} if unit else {}) | {"chance": float, "sequence": str}
    with open_table(path, columns) as table:
        for well in layout or _listed(made.chosen):
            one, candidate = well.suggestion, well.suggestion.candidate
            table(
                [
                    *(well.rank, *((well.plate, well.name, one.role) if layout else ())),
                    *(candidate.id, candidate.mutation, candidate.mutations if candidate.mutations >= 0 else None),
                    *(one.value, one.deviation, *([unit] if unit else [])),
                    *(one.chance if one.role == NEW else None, candidate.sequence),
                ]
            )


def _listed(chosen: Sequence[Suggestion]) -> Iterator[Well]:
    return (Well(1, "", rank, one) for rank, one in enumerate(chosen, 1))
