"""Where the channels of a flow cell lie: as far as is known, the plan of the chip as MinKNOW shows it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from biorrn.errors import ConfigError
from biorrn.lookup import lookup


def flongle_plan() -> np.ndarray:
    """Return the channels of a Flongle by number, int64 (10, 13); 126 of 130 places."""
    return np.concatenate([np.arange(1, 127), np.zeros(4, np.int64)]).reshape(10, 13)


def minion_plan() -> np.ndarray:
    """Return the channels of a MinION or GridION flow cell in their places, int64 (16, 32).

    Eight blocks of 64 channels, each of four columns; in a column eight channels count up, and the eight below them,
    which are of the lower half of the block, count down.
    """
    columns = []
    for start in (33, 481, 417, 353, 289, 225, 161, 97):
        below = start - 25 if start > 33 else 8  # the last channel of the first column's lower half
        for column in range(4):
            upper = start + 8 * column
            lower = below + 8 * column
            columns.append([*range(upper, upper + 8), *range(lower, lower - 8, -1)])
    return np.array(columns, np.int64).T


def promethion_plan() -> np.ndarray:
    """Return the channels of a PromethION flow cell in their places, int64 (25, 120): twelve blocks of ten columns."""
    block = np.arange(1, 251).reshape(25, 10)
    return np.concatenate([block + 250 * number for number in range(12)], axis=1)


def plan_of(largest: int, name: str = "auto") -> tuple[str, np.ndarray]:
    """Return the name of a flow cell and its channels as rows, 0 where there is none.

    The plan of a Flongle is not known here: its channels stand in the order of their numbers.

    Parameters
    ----------
    largest : int: the largest channel that gave a read.
    name : str: entry of `FLOW_CELLS`; "auto": the smallest that has the channel.

    Raises
    ------
    ConfigError: the name is unknown, or the flow cell has fewer channels.

    >>> plan_of(500)[0], plan_of(2000)[1].shape, plan_of(90, "minion")[0]
    ('MinION', (25, 120), 'MinION')
    """
    if name != "auto":
        most, title, plan = lookup(FLOW_CELLS, name.lower(), "--flow-cell:")
        if largest > most:
            raise ConfigError(f"--flow-cell: found {name}, which has {most} channels; there are reads of {largest}")
        return title, plan()
    for most, title, plan in FLOW_CELLS.values():
        if largest <= most:
            return title, plan()
    rows = -(-largest // 100)
    numbers = np.arange(1, 100 * rows + 1)
    return "unknown", np.where(numbers <= largest, numbers, 0).reshape(rows, 100)


# name -> channels, name for people, and what gives the plan; the smallest first
FLOW_CELLS: dict[str, tuple[int, str, Callable[[], np.ndarray]]] = {
    "flongle": (126, "Flongle", flongle_plan),
    "minion": (512, "MinION", minion_plan),
    "promethion": (3000, "PromethION", promethion_plan),
}
