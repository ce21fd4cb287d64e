"""The changes that a mutational scan finds, as a grid of positions and residues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biorrn.errors import BiorrnError
from biorrn.inference.predict import Prediction
from biorrn.inference.scan import Effect

GROUPS = {  # by chemistry; those that replace each other stand side by side
    "special": "GPC",
    "aliphatic": "AVILM",
    "aromatic": "FYW",
    "polar": "STNQ",
    "positive": "HKR",
    "negative": "DE",
}
DELETION, INSERTION = "del", "ins"  # further rows; that of insertions shows their mean
ROWS = (*"".join(GROUPS.values()), DELETION, INSERTION)
LONGEST = 3000  # positions of a protein that is drawn


@dataclass(frozen=True, slots=True)
class Landscape:
    """What a scan says of one protein and one target.

    Attributes
    ----------
    id, target, unit : str.
    value : float: of the wild type.
    numbers : list of int (P,): of the positions.
    wild_type : str (P,): the residues there.
    rows : tuple of str (R,): residues, then `DELETION` and `INSERTION` where the scan has them.
    change : float array (R, P): value of the mutant minus that of the wild type; NaN where there is no mutant.
    """

    id: str
    target: str
    unit: str
    value: float
    numbers: list[int]
    wild_type: str
    rows: tuple[str, ...]
    change: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Return the mean change of the substitutions at each position, (P,); NaN where there is none."""
        part = self.change[: sum(map(len, GROUPS.values()))]
        known = np.isfinite(part)
        total, count = np.where(known, part, 0.0).sum(0), known.sum(0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class Landscapes:
    """Gathers the changes of scans, one protein after the other; sequences are not kept.

    Parameters
    ----------
    targets : sequence of {"name", "unit"}, as in a model's facts.
    """

    def __init__(self, targets: Sequence[Mapping[str, str]]) -> None:
        self.targets = targets
        self.wild_type: Prediction | None = None
        self.cells: dict[tuple[str, int], list[np.ndarray]] = {}
        self.residues: dict[int, str] = {}

    def add(self, effect: Effect) -> list[Landscape]:
        """Take the next effect; return the landscapes of a protein, one a target, where one is complete.

        Raises
        ------
        BiorrnError: the protein has more than `LONGEST` positions.
        """
        mutant = effect.mutant
        if mutant is None:
            done = self.finish()
            self.wild_type = effect.prediction
            return done
        if len(mutant.wild_type) == 1 and ":" not in mutant.position:  # mutations of several residues have no cell
            number = int(mutant.position)
            row = {"-": DELETION, "+": INSERTION}.get(mutant.mutant[0], mutant.mutant)
            if row in ROWS:
                self.residues[number] = mutant.wild_type
                self.cells.setdefault((row, number), []).append(effect.difference)
            if len(self.residues) > LONGEST:
                problem = f"record '{effect.prediction.id}' has more than {LONGEST:,} positions, the most of a figure"
                raise BiorrnError(f"--figure: {problem}; choose some with --positions")
        return []

    def finish(self) -> list[Landscape]:
        """Return the landscapes of the last protein, one a target.

        Raises
        ------
        BiorrnError: none of its mutants is of a single residue.
        """
        wild, self.wild_type = self.wild_type, None
        if wild is None:
            return []
        if not self.cells:
            raise BiorrnError(f"--figure: record '{wild.id}': no mutant of a single residue, which alone are drawn")
        numbers = sorted(self.residues)
        rows = ROWS[:20] + tuple(row for row in ROWS[20:] if any(row == found for found, _ in self.cells))
        grid = np.full((len(rows), len(numbers), len(self.targets)), np.nan)
        columns = {number: column for column, number in enumerate(numbers)}
        for (row, number), changes in self.cells.items():
            grid[rows.index(row), columns[number]] = np.mean(changes, axis=0)
        letters = "".join(self.residues[number] for number in numbers)
        self.cells, self.residues = {}, {}
        return [
            Landscape(
                wild.id, target["name"], target.get("unit", ""), float(wild.values[k]), numbers, letters, rows,
                grid[:, :, k],
            )
            for k, target in enumerate(self.targets)
        ]  # fmt: skip
