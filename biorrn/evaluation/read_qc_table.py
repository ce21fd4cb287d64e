"""The summary of a basecaller, in chunks of rows as arrays."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from biorrn.errors import InputError
from biorrn.files import open_text
from biorrn.inference.summary_table import ALIGNMENT, CALLED, CHEMISTRY, STATUS, WARNING

ROWS = 100_000  # held at once
LENGTH, QUALITY = "sequence_length_template", "mean_qscore_template"
NEEDED = (LENGTH, QUALITY)
NUMBERS = (LENGTH, QUALITY, "channel", "start_time", "duration", "num_samples", "template_duration",
           "alignment_identity")  # fmt: skip
NAMES = ("filename", "read_id", "run_id", STATUS, "passes_filtering", ALIGNMENT[0], CHEMISTRY, WARNING)
LONGEST = 20_000_000  # bases of a read; the longest that was ever reported has some 4 million


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a summary; n of them.

    Attributes
    ----------
    table : DataFrame with the columns of `NUMBERS` (float64) and `NAMES` (str) that the file has.
    called : bool array (n,).
    status : str array (n,): "called", or why the read is left out.
    """

    table: pd.DataFrame
    called: np.ndarray
    status: np.ndarray

    @property
    def files(self) -> np.ndarray:
        """Return which rows are of a file that was left out as a whole, bool (n,): they have no read id."""
        if "read_id" not in self.table:
            return np.zeros(len(self.table), bool)
        return ~self.called & (self.table["read_id"] == "").to_numpy()

    def of(self, rows: np.ndarray) -> Rows:
        """Return some of the rows, by a bool array (n,)."""
        return Rows(self.table[rows].reset_index(drop=True), self.called[rows], self.status[rows])

    def number(self, name: str) -> np.ndarray:
        """Return a column as float64 (n,); NaN where the file does not have it."""
        if name not in self.table:
            return np.full(len(self.table), np.nan)
        return self.table[name].to_numpy(np.float64)


def read_rows(path: str | Path) -> Iterator[Rows]:
    """Yield the rows of a summary that `biorrn basecall`, or another basecaller, wrote; gzip by content, `-` is stdin.

    Without a column `status` those reads are called that have bases.

    Raises
    ------
    InputError: a column is missing, a row has too many or too few cells, or a cell is no number or out of range.
    """
    with open_text(path) as stream:
        header = stream.readline().rstrip("\r\n").split("\t")
        for name in NEEDED:
            if name not in header:
                shown = "the file is empty" if header == [""] else f"column '{name}' is missing"
                raise InputError(path, f"{shown}; expected {', '.join(NEEDED)}, as biorrn basecall --summary writes")
        used = [name for name in (*NUMBERS, *NAMES) if name in header]
        first = 2
        while lines := list(itertools.islice(stream, ROWS)):
            for number, line in enumerate(lines, first):  # the parser would fill up rows, or cut them
                if line.count("\t") != len(header) - 1 or not line.endswith("\n"):
                    found = line.count("\t") + 1
                    raise InputError(path, f"line {number} has {found} cells, the header {len(header)}, or is cut off")
            try:
                table = pd.read_csv(
                    io.StringIO("".join(lines)), sep="\t", names=header, usecols=used, quoting=csv.QUOTE_NONE,
                    dtype={name: np.float64 if name in NUMBERS else str for name in header}, skip_blank_lines=False,
                    keep_default_na=False, na_values={name: ["nan", "NaN", ""] for name in used if name in NUMBERS},
                )  # fmt: skip
            except ValueError as error:
                raise InputError(path, f"lines {first} to {first + len(lines) - 1}: {error}") from error
            yield _checked(path, table, first)
            first += len(lines)


def _checked(path: str | Path, table: pd.DataFrame, first: int) -> Rows:
    for name, most in ((LENGTH, LONGEST), (QUALITY, 100.0), ("channel", 1e6)):
        if name in table:
            cells = table[name].fillna(0).to_numpy()
            wrong = np.flatnonzero(~((cells >= 0) & (cells <= most)))
            if len(wrong):
                raise InputError(
                    path, f"line {first + wrong[0]}: {name} is {cells[wrong[0]]:g}; allowed is 0 to {most:g}"
                )
    for name in NUMBERS:
        if name in table and np.isinf(table[name].to_numpy()).any():
            wrong = np.flatnonzero(np.isinf(table[name].to_numpy()))
            raise InputError(path, f"line {first + wrong[0]}: {name} is infinite; allowed is a finite number")
    length = table[LENGTH].fillna(0).to_numpy()
    status = table[STATUS].to_numpy(dtype=str) if STATUS in table else np.where(length > 0, CALLED, "no bases")
    return Rows(table, status == CALLED, status)
