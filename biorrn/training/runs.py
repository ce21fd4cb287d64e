"""Reader of run folders: recipe, history, provenance and warnings of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import InputError
from biorrn.base.files import open_text, read_json, read_tsv

HISTORY, PROVENANCE, RECIPE, WARNINGS = "history.tsv", "provenance.json", "recipe.yaml", "warnings.tsv"


@dataclass(frozen=True, slots=True)
class Run:
    """One run; parts missing in the folder are empty.

    Attributes
    ----------
    name : str: of the folder.
    history : columns of history.tsv, float arrays (E,), one value an epoch.
    provenance : content of provenance.json, which only a finished run has.
    recipe : str: the text of recipe.yaml.
    warnings : list of (epoch, message): rows of warnings.tsv.
    """

    name: str
    history: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    recipe: str = ""
    warnings: list[tuple[str, str]] = field(default_factory=list)


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """Read history.tsv: column -> float64 array (E,).

    Raises
    ------
    InputError: no column 'epoch', a row of another width, or a cell that is not a number.
    """
    header, rows = read_tsv(path, ["epoch"])
    values = []
    for number, row in enumerate(rows, 2):
        try:
            values.append([float(row[name]) for name in header])
        except ValueError as error:
            raise InputError(path, f"line {number}: {error}; allowed are numbers") from error
    table = np.array(values, dtype=np.float64).reshape(-1, len(header))
    return {name: table[:, place] for place, name in enumerate(header)}


def read_warnings(path: str | Path) -> list[tuple[str, str]]:
    """Read warnings.tsv: epoch and message of each.

    Raises
    ------
    InputError: cannot be read, or a row does not have three cells.
    """
    with open_text(path) as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream][1:]
    for number, row in enumerate(rows, 2):
        if len(row) != 3:
            raise InputError(path, f"line {number} has {len(row)} cells; allowed are 3: epoch, kind, message")
    return [(epoch, message) for epoch, _, message in rows]


def read_run(folder: str | Path) -> Run:
    """Read a run folder of `biorrn train`, finished or not.

    Raises
    ------
    InputError: not a folder, or it has neither history nor provenance.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "not a folder; --run takes the folder that `biorrn train` wrote")
    found = {name: folder / name for name in (HISTORY, PROVENANCE, RECIPE, WARNINGS) if (folder / name).is_file()}
    if HISTORY not in found and PROVENANCE not in found:
        raise InputError(folder, f"has neither {HISTORY} nor {PROVENANCE}; --run takes a folder of `biorrn train`")
    recipe = ""
    if RECIPE in found:
        with open_text(found[RECIPE]) as stream:
            recipe = stream.read()
    return Run(
        name=folder.name or str(folder),
        history=read_history(found[HISTORY]) if HISTORY in found else {},
        provenance=read_json(found[PROVENANCE]) if PROVENANCE in found else {},
        recipe=recipe,
        warnings=read_warnings(found[WARNINGS]) if WARNINGS in found else [],
    )
