"""Sections of the report beside the runs: data sets, samples of reads, predictions of finished models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from biorrn.base.errors import InputError
from biorrn.base.files import read_json, read_tsv
from biorrn.nn.store import load_facts
from biorrn.report.figures import UNUSABLE, Histogram, composition_figure, drawn, figures_of, histogram_figure
from biorrn.report.tables import blocks, histogram, scalar
from biorrn.report.wording import KINDS, anchors, label, leakage_sentences, sample_number, scan_sentence, text

Family = dict[str, Histogram]  # the histograms of the splits
DEPTH = 4  # of mappings in mappings in which histograms are looked for
UNITS = {"protein": "proteins", "signal": "segments", "tags": "sequences"}  # what a row of a data set is, by its kind
AXES = {
    "lengths": "length",
    "segment_samples": "samples in a segment",
    "samples_a_base": "signal samples of a base",
    "histograms": "value",
}


def histograms(content: Mapping[str, Any], depth: int = DEPTH) -> tuple[dict[str, Family], dict[str, Any]]:
    """Take the histograms out of a mapping: return {name: {split: (edges, counts)}} and the mapping without them.

    A mapping whose values are all histograms is one family, drawn in one figure; a histogram alone is a family of one.
    """
    found: dict[str, Family] = {}
    rest: dict[str, Any] = {}
    for key, value in content.items():
        name = AXES.get(key, label(key))
        alone = histogram(value)
        if alone is not None:
            found[name] = {"": alone}
            continue
        if not isinstance(value, dict) or not value or depth < 1:
            rest[key] = value
            continue
        family = {str(split): histogram(entry) for split, entry in value.items()}
        whole = {split: entry for split, entry in family.items() if entry is not None}
        if len(whole) == len(family):
            found[name] = whole
            continue
        inside, left = histograms(value, depth - 1)
        found |= {(f"{label(key)}: {more}" if more in found else more): entry for more, entry in inside.items()}
        if left:
            rest[key] = left
    return found, rest


def _targets(content: dict[str, Any]) -> dict[str, Family]:
    """Take the histograms of the labels out of a report of proteins: {name of the target: {split: histogram}}."""
    found = {}
    for name, entry in dict(content.get("targets") or {}).items():
        family = {str(split): histogram(value) for split, value in dict(entry.pop("histograms", {})).items()}
        if not family:  # classes
            continue
        found[f"measured {name}"] = {split: value for split, value in family.items() if value is not None}
    return found


def _sizes(content: Mapping[str, Any]) -> str:
    unit = UNITS.get(str(content.get("kind")), "rows")
    counts = {split: entry.get(unit) for split, entry in dict(content.get("splits") or {}).items()}
    shown = [f"{text(n)} {split}" for split, n in counts.items() if isinstance(n, int)]
    return f"{', '.join(shown)} ({unit})" if shown else ""


def data_set(path: Path) -> dict[str, Any]:
    """Return a report of `biorrn prepare` for the template; unknown keys become tables.

    Raises
    ------
    InputError: cannot be read, or is not a mapping of what `biorrn prepare` writes.
    """
    content = read_json(path)
    name = path.name.removesuffix(".json").removesuffix(".prepare") or path.name
    try:
        known = {key: content.pop(key, None) for key in ("note", "inputs", "prepared", "splits", "repeats")}
        sentences, sizes = leakage_sentences(content), _sizes(content | {"splits": known["splits"]})
        shares = content.pop("composition", None)
        parts = shares if isinstance(shares, dict) and all(isinstance(v, dict) for v in shares.values()) else {}
        if shares and not parts:
            content["composition"] = shares
        labels = _targets(content)
        families, rest = histograms(content)
        drawings = [histogram_figure(title, title, series) for title, series in (families | labels).items()]
        drawings.insert(1, composition_figure(parts))
        return {
            "name": name,
            "kind": str(content.get("kind", "")),
            "note": str(known["note"] or ""),
            "prepared": str(known["prepared"] or ""),
            "sizes": sizes,
            "leakage": sentences,
            "repeats": [str(line) for line in known["repeats"] or ()],
            "splits": [block | {"title": ""} for block in blocks({"splits": known["splits"] or {}})],
            "figures": drawn(drawings, name),
            "blocks": blocks(rest) + (blocks({"composition": parts}) if parts else []),
            "inputs": blocks({"inputs": known["inputs"]}) if known["inputs"] else [],
        }
    except UNUSABLE as error:
        raise InputError(path, f"is not as `biorrn prepare` writes it ({type(error).__name__}: {error})") from error


COLUMNS = 9  # numbers of a sample that the table of all samples has at most
# the numbers that come first in that table, as `numbers` names them
FIRST = (
    *("called", "reads", "mapped fraction", "median identity", "identity", "depth mean", "contigs", "bases", "N50"),
    *("length N50", "quality mean", "time hours", "longest", "reference fraction", "reference identity"),
)
# keys that are shown by name, or are not results
APART = ("kind", "name", "note", "cautions", "figures", "skipped", "command", "biorrn", "seed", "inputs", "versions")
N50 = re.compile(r"\bn\d\d\b")  # and N90: always with a capital
PLAIN = ("counts", "metrics")  # keys that are no part of the names of their numbers
# keys that only group others: their content is shown beside the other keys
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
            "facts": [(name, sample_number(name, value)) for name, value in numbers(rest).items()]
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
    """Return a table for each kind: one row per sample, its numbers as columns."""
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
                    {"text": sample_number(column, part["numbers"][column]), "raw": part["numbers"][column]}
                    if column in part["numbers"]
                    else {"text": "–", "raw": None}
                    for column in columns
                ],
            }
            for entry, part in of_kind
        ]
        tables.append({"title": title, "columns": columns, "rows": rows})
    return tables


# --- predictions of proteins ------------------------------------------------------------------------------------------

SENSITIVE = 8  # positions of a scan that are listed
MOST_FIGURES = 6  # of a table
ABOUT = ("predicts", "inputs", "measured")  # facts of a model that are shown


def predictions(entries: Iterable[tuple[str, Path]]) -> dict[str, list[Any]]:
    """Return tables of `biorrn predict` and `biorrn scan` for the template.

    Parameters
    ----------
    entries : (model, TSV): id of a shipped model or its folder, and a table that it predicted. A figure of the table's
        name, .svg or .png, or those in a folder of that name, are shown below it.

    Returns
    -------
    {"models": what each is for, "tables": one a set of proteins, with a column a target, "parts": states and scans}.

    Raises
    ------
    ConfigError: no such model.
    InputError: a file cannot be read, or is no table of this model.
    """
    found: dict[str, list[Any]] = {"models": [], "tables": [], "parts": []}
    sets: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for model, path in entries:
        facts = load_facts(model)
        name = Path(model).name
        found["models"].append({"name": name} | {key: str(facts.get(key) or "") for key in ABOUT})
        header, rows = _table(path)
        if facts.get("task") == "tagging":
            found["parts"].append(_states(name, facts, header, rows, path))
        elif "mutation" in header and "wild_type" in header:
            found["parts"].append(_scanned(name, facts, rows, path))
        else:
            proteins = tuple(row["id"] for row in rows)
            columns = sets.setdefault(proteins, [])
            if facts.get("task") == "classification":
                columns.append(_classes(name, str(facts["name"]), rows, path))
            columns += [_values(name, target, rows, path) for target in facts.get("targets") or ()]
    for proteins, columns in sets.items():
        lines = [
            {"name": name, "cells": [column["cells"][place] for column in columns]}
            for place, name in enumerate(proteins)
        ]
        found["tables"].append({"columns": [column["title"] for column in columns], "rows": lines})
    return found


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    header, rows = read_tsv(path)
    for column in ("id", "flags"):
        if column not in header and "state" not in header:
            raise InputError(path, f"column '{column}' is missing in the first line; `biorrn predict` writes it")
    return header, rows


def _number(row: Mapping[str, str], column: str, path: Path) -> float | None:
    cell = row.get(column)
    if cell is None:
        raise InputError(path, f"column '{column}' is missing: the table is of another model")
    try:
        return float(cell) if cell not in ("", ".") else None
    except ValueError as error:
        raise InputError(path, f"column '{column}': {error}; allowed are numbers") from error


def _figures(path: Path, caption: str) -> list[dict[str, Any]]:
    beside = [figure for suffix in (".png", ".svg") if (figure := path.with_suffix(suffix)).is_file()][:1]
    below = sorted(path.with_suffix("").glob("*.png"))[:MOST_FIGURES]
    listed = [{"path": str(figure.relative_to(path.parent)), "caption": caption} for figure in beside + below]
    return figures_of({"figures": listed}, path, path.stem)


def _values(model: str, target: Mapping[str, Any], rows: list[dict[str, str]], path: Path) -> dict[str, Any]:
    name = str(target["name"])
    cells = []
    for row in rows:
        value = _number(row, name, path)
        low, high = (
            _number(row, f"{name}_{end}", path) if f"{name}_{end}" in row else None for end in ("lower", "upper")
        )
        interval = "" if low is None or high is None else f"{text(low)} to {text(high)}"
        flags = "" if row["flags"] == "." else row["flags"].replace("_", " ").replace(",", ", ")
        cells.append(
            {"text": "–" if value is None else text(value), "raw": value, "interval": interval, "flags": flags}
        )
    unit = f", {target['unit']}" if target.get("unit") else ""
    return {"title": (name if name == model else f"{name} ({model})") + unit, "cells": cells}


def _classes(model: str, name: str, rows: list[dict[str, str]], path: Path) -> dict[str, Any]:
    cells = []
    for row in rows:
        listed = row.get(f"{name}_probabilities")  # of several classes a protein
        sure = _number(row, f"{name}_probability", path) if listed is None else _highest(listed)
        held = (row.get(f"{name}_set") or "").replace(";", ", ")
        flags = "" if row["flags"] == "." else row["flags"].replace("_", " ").replace(",", ", ")
        called = "–" if sure is None else f"{row.get(name, '')} ({text(sure)})"
        cells.append({"text": called, "raw": sure, "interval": "" if held == "." else held, "flags": flags})
    return {"title": name if name == model else f"{name} ({model})", "cells": cells}


def _highest(listed: str) -> float | None:
    """Return the probability of the most probable class of a cell such as `nucleus=0.93;membrane=0.2`."""
    first = listed.split(";")[0].rpartition("=")[2]
    return float(first) if first.replace(".", "", 1).isdigit() else None


def _states(
    model: str, facts: Mapping[str, Any], header: list[str], rows: list[dict[str, str]], path: Path
) -> dict[str, Any]:
    """Return the share of each state in each protein, and the mean confidence."""
    states = [column.removeprefix("p_") for column in header if column.startswith("p_")]
    if not states or "state" not in header:
        raise InputError(path, "has no column 'state' with a probability of each state (p_...)")
    names = facts.get("state_names") or states
    proteins: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        proteins.setdefault(row["id"], []).append(row)
    lines = []
    for name, residues in proteins.items():
        shares = [sum(row["state"] == state for row in residues) / len(residues) for state in states]
        sure = [_number(row, f"p_{row['state']}", path) or 0.0 for row in residues if row["state"] in states]
        cells = [{"text": f"{100 * share:.0f} %", "raw": share} for share in shares]
        mean = sum(sure) / len(sure) if sure else None
        cells.append({"text": "–" if mean is None else f"{mean:.2f}", "raw": mean})
        lines.append({"name": name, "cells": [{"text": text(len(residues)), "raw": len(residues)}, *cells]})
    return {
        "title": f"States of residues ({model})",
        "first": "protein",
        "sentence": "",
        "columns": ["residues", *map(str, names), "mean confidence"],
        "rows": lines,
        "figures": _figures(path, "Predicted state along each sequence."),
    }


def _scanned(model: str, facts: Mapping[str, Any], rows: list[dict[str, str]], path: Path) -> dict[str, Any]:
    """Return the positions at which a substitution changes the predicted value most, by the mean over all of them."""
    target = str(facts["targets"][0]["name"])
    column = f"{target}_difference"
    places: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for row in rows:
        change = _number(row, column, path)
        if change is not None and len(row["wild_type"]) == len(row["mutant"]) == 1:
            places.setdefault((row["id"], row["position"], row["wild_type"]), []).append((change, row["mutation"]))
    means = {place: sum(change for change, _ in changes) / len(changes) for place, changes in places.items()}
    lines = []
    for place in sorted(means, key=lambda place: -abs(means[place]))[:SENSITIVE]:
        change, mutation = max(places[place], key=lambda entry: abs(entry[0]))
        cells = [
            {"text": text(means[place]), "raw": means[place]},
            {"text": f"{mutation} {text(change)}", "raw": change},
        ]
        lines.append({"name": f"{place[2]}{place[1]}", "cells": cells})
    count = sum(map(len, places.values()))
    proteins = ", ".join(dict.fromkeys(name for name, _, _ in places))
    return {
        "title": f"Scan of {proteins} ({model})",
        "first": "position",
        "sentence": scan_sentence(count, len(places), target),
        "columns": [f"mean change of {target}", "largest change"],
        "rows": lines,
        "figures": _figures(path, f"Predicted change of {target} by each substitution."),
    }
