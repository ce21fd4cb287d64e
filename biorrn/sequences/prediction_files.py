"""Predictions joined by id with the measured values of a prepared protein file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from biorrn.base.errors import ConfigError, InputError
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.tables.reader import find_column, numbered_cells, open_table
from biorrn.sequences.tables.targets import text_of


class Splits(Protocol):
    """A prepared file that was read: `split` uint8 (N,) is the code of each row's split."""

    @property
    def split(self) -> np.ndarray: ...


def in_split(prepared: Splits, split: str, path: str | Path) -> np.ndarray:
    """Return the bool array (N,) that is True on the rows of `split` ("train", "valid", "test" or "all").

    Raises
    ------
    ConfigError: the split's name is unknown.
    InputError: the file has no row in it.
    """
    if split == "all":
        mask = np.ones(len(prepared.split), dtype=bool)
    elif split in SPLITS:
        mask = prepared.split == SPLITS.index(split)
    else:
        raise ConfigError(f"--split: found '{split}'; allowed is one of {', '.join(SPLITS)}, all")
    if not mask.any():
        present = [name for code, name in enumerate(SPLITS) if (prepared.split == code).any()]
        raise InputError(path, f"has no rows in split '{split}'; it has {', '.join(present) or 'no rows'}")
    return mask


def prediction_rows(path: str | Path, needed: Iterable[str]) -> tuple[list[str], Iterator[Mapping[str, str]]]:
    """Return the columns of a table of predictions, of any kind that is read, and its rows with cells as text.

    The columns `needed` go by these names, whatever their case and spaces in the file.

    Raises
    ------
    InputError: one of them is missing.
    """
    with open_table(path) as grid:
        names = list(grid.names)
    for name in needed:
        names[find_column(path, name, names)] = name
    once = [name for name in names if name and names.count(name) == 1]
    rows = ({name: text_of(cell) for name, cell in row.items()} for _, row in numbered_cells(path, once))
    return once, rows


def finite(path: str | Path, row: Mapping[str, Any], name: str) -> float:
    """Return the number in a column of a row of predictions; InputError where it is none."""
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(path, f"column '{name}': found '{row[name]}'; allowed is a finite number", row["id"])
    return value
