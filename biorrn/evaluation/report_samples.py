"""Samples in the report: reads, mapping and assembly of a flow cell, or sequences of a language model.

They come from JSON files whose keys may be any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from biorrn.errors import InputError
from biorrn.evaluation.blocks import blocks, label, scalar, text
from biorrn.evaluation.figures_data import histogram_figure
from biorrn.evaluation.report_data import histograms
from biorrn.evaluation.report_figures import UNUSABLE, drawn, figures_of
from biorrn.evaluation.report_runs import anchors
from biorrn.files import read_json

COLUMNS = 9  # numbers of a sample that the table of all samples has at most
# the numbers that come first in that table, as `numbers` names them
FIRST = (
    *("called", "reads", "mapped fraction", "median identity", "identity", "depth mean", "contigs", "bases", "N50"),
    *("length N50", "quality mean", "time hours", "longest", "reference fraction", "reference identity"),
)
# key "kind" -> heading of its part
KINDS: dict[str, str] = {
    "qc": "Reads",
    "mapping": "Mapping",
    "assembly": "Assembly",
    "generated": "Generated sequences",
}
# keys that are shown by name, or are no result
APART = ("kind", "name", "note", "cautions", "figures", "skipped", "command", "biorrn", "seed", "inputs", "versions")
N50 = re.compile(r"\bn\d\d\b")  # and N90: always with a capital
PLAIN = ("counts", "metrics")  # keys that are no part of the names of their numbers
SHARES = ("fraction", "identity", "mismatch", "insertion", "deletion", "occupancy")  # how names of shares end
# keys that only group others: what they hold is shown as if it stood beside them
GROUPS = ("facts", "tables")


def numbers(content: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the numbers of a file by name: those on top, and those of its mappings.

    >>> numbers({"reads": 3, "length": {"n50": 900}, "metrics": {"identity": {"value": 0.9, "low": 0.8}}})
    {'reads': 3, 'length N50': 900, 'identity': 0.9}
    """
    found: dict[str, int | float] = {}
    for key, value in content.items():
        before = "" if key in PLAIN else f"{label(key)} "
        for name, entry in value.items() if isinstance(value, Mapping) else ((None, value),):
            if isinstance(entry, Mapping) and "value" in entry and "low" in entry:  # an estimate
                entry = entry["value"]
            if isinstance(entry, int | float) and not isinstance(entry, bool):
                known = label(key) if name is None else f"{before}{label(name).removeprefix(before)}"
                found[N50.sub(lambda part: part.group().upper(), known)] = entry
    return found


def shown(name: str, value: int | float) -> str:
    """Return a number of a sample: shares in per cent.

    >>> shown("mapped fraction", 0.98765), shown("reads", 12345)
    ('98.77 %', '12,345')
    """
    if name.endswith(SHARES) and isinstance(value, float) and 0 <= value <= 1:
        return f"{100 * value:.2f} %"
    return text(value)


def sample_part(path: Path, kind: str) -> dict[str, Any]:
    """Return a JSON file of a sample for the template.

    Parameters
    ----------
    kind : a key of `KINDS`: what the file has to be.

    Raises
    ------
    InputError: cannot be read, or is of another kind.
    """
    content = read_json(path)
    if content.get("kind") != kind:
        raise InputError(path, f"key 'kind': found {content.get('kind')!r}; expected '{kind}'")
    name = str(content.get("name") or path.stem)
    try:
        given = {key: content[key] for key in content if key not in APART and key not in GROUPS}
        for group in GROUPS:
            inside = content.get(group)
            given = (dict(inside) if isinstance(inside, Mapping) else {group: inside} if inside else {}) | given
        families, rest = histograms(given)
        drawings = [histogram_figure(title, title, series) for title, series in families.items()]
        inputs = content.get("inputs")
        return {
            "name": name,
            "kind": kind,
            "title": KINDS[kind],
            "note": str(content.get("note") or ""),
            "skipped": str(content.get("skipped") or ""),
            "cautions": [str(entry) for entry in content.get("cautions") or []],
            "numbers": numbers(rest),
            "facts": [(name, shown(name, value)) for name, value in numbers(rest).items()]
            + [(label(key), text(value)) for key, value in rest.items() if isinstance(value, str | bool)],
            "blocks": blocks({key: value for key, value in rest.items() if value and not scalar(value)}),
            "figures": figures_of(content, path, f"{name}_{kind}") + drawn(drawings, f"{name}_{kind}"),
            "command": str(content.get("command") or ""),
            "inputs": blocks({"inputs": inputs}) if inputs else [],
        }
    except UNUSABLE as error:
        raise InputError(path, f"is not what the report can show ({type(error).__name__}: {error})") from error


def samples(paths: Mapping[str, Iterable[Path]]) -> list[dict[str, Any]]:
    """Return the samples for the template, each with its parts in the order of `KINDS`.

    Parameters
    ----------
    paths : {kind: JSON files}; files of the same "name" are of the same sample.
    """
    parts = [sample_part(Path(path), kind) for kind in KINDS for path in paths.get(kind, ())]
    names = list(dict.fromkeys(part["name"] for part in parts))
    found = []
    for name, anchor in zip(names, anchors(names, "sample"), strict=True):
        own = [part for part in parts if part["name"] == name]
        notes = list(dict.fromkeys(part["note"] for part in own if part["note"]))
        found.append({"name": name, "anchor": anchor, "notes": notes, "parts": own})
    return found


def sample_tables(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a table of all samples for each kind: a row a sample, its numbers as columns."""
    tables = []
    for kind, title in KINDS.items():
        of_kind = [(entry, part) for entry in found for part in entry["parts"] if part["kind"] == kind]
        known = list(dict.fromkeys(key for _, part in of_kind for key in part["numbers"]))
        columns = sorted(known, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))[:COLUMNS]
        if not of_kind:
            continue
        rows = [
            {
                "name": entry["name"],
                "anchor": entry["anchor"],
                "skipped": part["skipped"],
                "cells": [
                    {"text": shown(column, part["numbers"][column]), "raw": part["numbers"][column]}
                    if column in part["numbers"]
                    else {"text": "–", "raw": None}
                    for column in columns
                ],
            }
            for entry, part in of_kind
        ]
        tables.append({"title": title, "columns": columns, "rows": rows})
    return tables
