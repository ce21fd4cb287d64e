"""The table of `biorrn cells`: a row a cell and task, with its score, speed, memory and size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from biorrn.evaluation.described import aligned_rows
from biorrn.files import write_text


@dataclass(frozen=True, slots=True)
class CellRow:
    """One cell on one task.

    Attributes
    ----------
    task, cell : str: names of `tasks.cells.PROBLEMS` and `models.recurrent.CELLS`.
    metric : str: what the score is; larger is better, 1 is perfect.
    score : float: of rows that were not trained on: the test split, or where there is none the validation split.
    split : str: which of them.
    hidden : int: units a direction.
    core_parameters, parameters : int: numbers learned in the recurrent core, and in the whole model.
    steps_per_second : float: time steps (residues) through forward and backward, of one batch, all cells in turn; on a
        CPU a second of processor time.
    memory_mb : float: what is kept for backward of that batch, in 10^6 bytes, weights left out.
    seconds : float: of training.
    stopped : bool: the time limit ended the training before its last step.
    """

    task: str
    cell: str
    metric: str
    score: float
    split: str
    hidden: int
    core_parameters: int
    parameters: int
    steps_per_second: float
    memory_mb: float
    seconds: float
    stopped: bool


COLUMNS = tuple(CellRow.__dataclass_fields__)


def write_table(path: str | Path, rows: Sequence[CellRow]) -> None:
    """Write the rows as TSV, a column a field."""
    with write_text(path) as out:
        print(*COLUMNS, sep="\t", file=out)
        for row in rows:
            values = asdict(row).values()
            print(*(f"{value:.6g}" if isinstance(value, float) else value for value in values), sep="\t", file=out)


def write_json(path: str | Path, rows: Sequence[CellRow], settings: dict[str, Any]) -> None:
    """Write the rows and what they were made with as JSON; a score that is no number is null."""
    told = [{key: None if value != value else value for key, value in asdict(row).items()} for row in rows]
    content = {"kind": "cells", "settings": settings, "rows": told}
    with write_text(path) as out:
        json.dump(content, out, indent=1)
        print(file=out)


def best_first(rows: Sequence[CellRow], task: str) -> list[CellRow]:
    """Return the rows of a task, the best score first; a score that is no number, of a model that broke, goes last."""
    return sorted((row for row in rows if row.task == task), key=lambda row: (row.score != row.score, -row.score))


def table_lines(rows: Sequence[CellRow]) -> list[str]:
    """Return the rows as aligned text, a block a task, the best score first."""
    lines: list[str] = []
    for task in dict.fromkeys(row.task for row in rows):
        own = best_first(rows, task)
        cells = [("cell", own[0].metric, "steps/s", "memory MB", "units", "core numbers", "minutes", "")]
        cells += [
            (
                row.cell,
                f"{row.score:.4f}",
                f"{row.steps_per_second:,.0f}",
                f"{row.memory_mb:.1f}",
                str(row.hidden),
                f"{row.core_parameters:,}",
                f"{row.seconds / 60:.1f}",
                "stopped by the time limit" if row.stopped else "",
            )
            for row in own
        ]
        lines += [*([""] if lines else []), f"{task} ({own[0].split})", *aligned_rows(cells)]
    return lines
