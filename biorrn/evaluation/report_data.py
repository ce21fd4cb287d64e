"""A data set in the report: its splits, what they share, and figures of its histograms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biorrn.errors import InputError
from biorrn.evaluation.blocks import blocks, histogram, label, text
from biorrn.evaluation.figures_data import Histogram, composition_figure, histogram_figure
from biorrn.evaluation.report_figures import UNUSABLE, drawn
from biorrn.files import read_json

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
        found[f"measured {name}"] = {split: value for split, value in family.items() if value is not None}
    return found


def leakage_sentences(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return {"text", "bad"} for each split: what it shares with the training rows; bad where it shares any row.

    Parameters
    ----------
    content : report of `biorrn prepare`; its key "leakage" is as `datasets.leakage` gives it.
    """
    found = []
    leakage = content.get("leakage")
    for split, entry in leakage.items() if isinstance(leakage, dict) else ():
        if not isinstance(entry, dict):
            continue
        if entry.get("proteins"):
            same = entry.get("identical_in_train", 0)
            words = f"{split}: {text(same)} of {text(entry['proteins'])} proteins stand in train as well"
            near = [
                f"{100 * value:.1f} % of at least {100 * float(key.removeprefix('within_')):.0f} % identity"
                for key, value in entry.items()
                if key.startswith("within_") and isinstance(value, int | float)
            ]
            words += f"; of {text(entry.get('compared'))} compared, {' and '.join(near)} to one there" if near else ""
            found.append({"text": f"{words}.", "bad": bool(same)})
        elif entry.get("segments"):
            shared, part = entry.get("reads_in_train", 0), entry.get("covered_by_train")
            words = f"{split}: {text(shared)} reads have another segment in train"
            if isinstance(part, int | float):
                words += (
                    f"; train covers {100 * part:.1f} % of its {text(entry.get('reference_bases'))} reference bases"
                )
            found.append({"text": f"{words}.", "bad": bool(part)})
    return found


def _sizes(content: Mapping[str, Any]) -> str:
    unit = UNITS.get(str(content.get("kind")), "rows")
    counts = {split: entry.get(unit) for split, entry in dict(content.get("splits") or {}).items()}
    shown = [f"{text(n)} {split}" for split, n in counts.items() if isinstance(n, int)]
    return f"{', '.join(shown)} ({unit})" if shown else ""


def data_set(path: Path) -> dict[str, Any]:
    """Return a report of `biorrn prepare` for the template; keys that it does not know become tables.

    Raises
    ------
    InputError: cannot be read, or is not a mapping of what `biorrn prepare` writes.
    """
    content = read_json(path)
    name = path.name.removesuffix(".json").removesuffix(".prepare") or path.name
    try:
        known = {key: content.pop(key, None) for key in ("note", "inputs", "prepared", "splits")}
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
            "splits": [block | {"title": ""} for block in blocks({"splits": known["splits"] or {}})],
            "figures": drawn(drawings, name),
            "blocks": blocks(rest) + (blocks({"composition": parts}) if parts else []),
            "inputs": blocks({"inputs": known["inputs"]}) if known["inputs"] else [],
        }
    except UNUSABLE as error:
        raise InputError(path, f"is not as `biorrn prepare` writes it ({type(error).__name__}: {error})") from error
