"""How the levels of two tables of k-mers agree."""

from pathlib import Path

import numpy as np

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.simulation.pore_model import PoreModel, kmers

LEVELS = ("level_mean", "level")  # names of the column


def read_levels(path: str | Path) -> dict[str, float]:
    """Return the level of each k-mer of a table with a header (ONT's, f5c's or biorrn's own), in the table's units.

    Raises
    ------
    InputError: there is no column of k-mers or of levels, or a level is no number.
    """
    with open_text(path) as file:
        rows = [line.rstrip("\r\n").split("\t") for line in file if line.strip() and not line.startswith("#")]
    names = rows[0] if rows else []
    columns = [names.index(name) for name in LEVELS if name in names]
    if "kmer" not in names or not columns:
        raise InputError(path, f"found the columns {', '.join(names)[:100]}; expected kmer and {' or '.join(LEVELS)}")
    try:
        return {row[names.index("kmer")]: float(row[columns[0]]) for row in rows[1:]}
    except (ValueError, IndexError) as error:
        raise InputError(path, f"a row cannot be used: {error}") from error


def agreement(model: PoreModel, other: dict[str, float]) -> list[str]:
    """Return lines on how a model's levels follow another table's: correlation, and what a line leaves over.

    Tables of other k share no k-mer; that is said.
    """
    names = kmers(model.k)
    shared = np.array([name in other for name in names])
    if shared.sum() < 3:
        return [f"comparison: the other table has no {model.k}-mers"]
    theirs = np.array([other.get(name, 0.0) for name in names])
    lines = []
    for what, rows in (
        ("all", shared),
        ("not flagged", shared & (model.flag == 0)),
        ("flagged", shared & (model.flag > 0)),
    ):
        if rows.sum() < 3:
            continue
        slope, cut = np.polyfit(theirs[rows], model.level[rows], 1)
        left = float((model.level[rows] - slope * theirs[rows] - cut).std())
        r = float(np.corrcoef(theirs[rows], model.level[rows])[0, 1])
        lines.append(
            f"comparison, {what}: {int(rows.sum())} k-mers, r = {r:.4f}, residual {left:.4f} units of the read"
        )
    return lines
