"""Sample sheet of the workflow: reads or proteins to which models are applied, one sample per line."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biorrn.base.errors import InputError
from biorrn.base.files import open_text
from biorrn.base.lookup import nearest

NAME = re.compile(r"[A-Za-z0-9_-]+")  # part of file names, as in the configuration
COLUMNS = ("name", "kind", "input", "model", "reference", "shards", "kit", "aliases", "note")
NEEDED = ("name", "kind", "input")
CALLER = "dna_r9.4.1_hac"  # the shipped basecaller that is taken where no model is named: change it here alone
MODELS = {"signal": CALLER, "protein": None, "scan": None}  # what is taken where no model is named
# what a run has to be whose model a sample names
TASKS = {"signal": ("basecalling",), "protein": ("regression", "classification", "tagging"), "scan": ("regression",)}
BETWEEN = ";"  # of several inputs in a cell
EMPTY = ("", ".")


@dataclass(frozen=True)
class Sample:
    """One line of the sheet.

    Attributes
    ----------
    name : part of the names of what comes out.
    kind : "signal", "protein", or "scan": every substitution of each protein.
    input : files and folders of raw reads; or one FASTA or table of proteins; of a scan a FASTA.
    model : name of a run of the configuration, id of a shipped model, a model folder, or the name of one in the folders
        of the environment variable BIORRN_MODELS.
    reference : FASTA that reads are mapped to, or None.
    shards : in how many parts reads are called, or None: by their size.
    note : shown in the report.
    kit : whose barcodes are looked for, such as SQK-RBK114-24, or None.
    aliases : table with the columns barcode and alias, or None.
    """

    name: str
    kind: str
    input: tuple[str, ...]
    model: str
    reference: str | None = None
    shards: int | None = None
    note: str = ""
    kit: str | None = None
    aliases: str | None = None


def read_samples(path: str | Path, taken: Collection[str] = (), runs: Mapping[str, str] | None = None) -> list[Sample]:
    """Return the samples of a sheet; empty lines and lines that start with # are ignored.

    Cells are separated by tabs; by commas or semicolons, with quotes, where the header has no tab. Column names may
    differ in case and spaces.

    Parameters
    ----------
    path : the sheet, gzip or not; its first line names the columns, `COLUMNS`, of which `NEEDED` are needed.
    taken : names that are in use: those of the runs.
    runs : task of each run, by name, which a sample may name as its model.

    Raises
    ------
    InputError: names the line and the column at fault, what was found and what is allowed.
    """
    with open_text(path) as stream:
        texts = [
            (number, line.rstrip("\r\n"))
            for number, line in enumerate(stream, 1)
            if line.strip(" \t\r\n,;") and not line.startswith("#")
        ]
    header = texts[0][1] if texts else ""
    separator = next((mark for mark in "\t,;" if mark in header), "\t")
    dialect: Any = {"delimiter": separator, "quoting": csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL}
    try:
        lines = [(number, next(csv.reader([text], **dialect))) for number, text in texts]
    except csv.Error as error:
        raise InputError(path, f"is no sheet of samples: {error}") from error
    if not lines:
        raise InputError(path, f"is empty; allowed is a line with the names of columns ({', '.join(COLUMNS)})")
    columns = [cell.strip().lstrip("\ufeff").lower() for cell in lines[0][1]]
    while len(columns) > 1 and not columns[-1] and not any(any(cells[len(columns) - 1 :]) for _, cells in lines[1:]):
        columns.pop()
    _check_columns(path, columns)
    samples: list[Sample] = []
    seen = {name: "a run of the configuration" for name in taken}
    for number, cells in lines[1:]:
        while len(cells) > len(columns) and not cells[-1].strip():
            cells = cells[:-1]
        if len(cells) != len(columns):
            raise InputError(
                path, f"line {number}: found {len(cells)} cells; the first line names {len(columns)} columns"
            )
        row = {column: cell.strip() for column, cell in zip(columns, cells, strict=True) if cell.strip() not in EMPTY}
        sample = _sample(path, number, row, runs or {})
        if sample.name in seen:
            raise InputError(
                path, f"line {number}: name '{sample.name}' is taken by {seen[sample.name]}; names are unique"
            )
        seen[sample.name] = f"line {number}"
        samples.append(sample)
    if not samples:
        raise InputError(path, "holds no sample; allowed is one a line below the names of the columns")
    return samples


def _check_columns(path: str | Path, columns: list[str]) -> None:
    for column in columns:
        if column not in COLUMNS:
            close = nearest(column, COLUMNS)
            hint = f"; did you mean '{close}'?" if close else "."
            raise InputError(path, f"line 1: column '{column}' is unknown{hint} Known: {', '.join(COLUMNS)}")
        if columns.count(column) > 1:
            raise InputError(path, f"line 1: column '{column}' occurs twice")
    for column in NEEDED:
        if column not in columns:
            raise InputError(path, f"line 1: column '{column}' is missing; expected {', '.join(NEEDED)}")


def _sample(path: str | Path, number: int, row: dict[str, str], runs: Mapping[str, str]) -> Sample:
    def fault(column: str, allowed: str) -> InputError:
        found = f"found '{row[column]}'" if column in row else "found nothing"
        return InputError(path, f"line {number}, column '{column}': {found}; allowed is {allowed}")

    for column in NEEDED:
        if column not in row:
            raise fault(column, "a value in every line")
    if not NAME.fullmatch(row["name"]):
        raise fault("name", "letters, digits, - and _")
    if row["kind"] not in MODELS:
        raise fault("kind", ", ".join(MODELS))
    signal = row["kind"] == "signal"
    inputs = tuple(part.strip() for part in row["input"].split(BETWEEN) if part.strip())
    if not signal and len(inputs) != 1:
        raise fault("input", f"one FASTA{' or table' if row['kind'] == 'protein' else ''} for kind {row['kind']}")
    model = row.get("model") or MODELS[row["kind"]]
    if model is None:
        raise fault("model", f"a run, a shipped model or a model folder for kind {row['kind']}")
    tasks = TASKS[row["kind"]]
    if model in runs and runs[model] not in tasks:
        wanted = " or ".join(tasks)
        raise fault("model", f"a run of task {wanted} for kind {row['kind']}; that run is of task {runs[model]}")
    for column in ("reference", "shards", "kit", "aliases"):
        if column in row and not signal:
            raise fault(column, f"nothing for kind {row['kind']}")
    if "aliases" in row and "kit" not in row:
        raise fault("kit", "the kit of the barcodes, where there are aliases")
    shards = row.get("shards")
    if shards is not None and (not shards.isdecimal() or len(shards) > 6 or not 1 <= int(shards) <= 100_000):
        raise fault("shards", "a whole number from 1 to 100000")
    return Sample(row["name"], row["kind"], inputs, model, row.get("reference"), int(shards) if shards else None,
                  row.get("note", ""), row.get("kit"), row.get("aliases"))  # fmt: skip
