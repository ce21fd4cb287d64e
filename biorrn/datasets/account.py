"""The account of a preparation: what was kept, what was dropped and why, and what the splits share."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import h5py

from biorrn.datasets import schema
from biorrn.files import write_text


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of prepared file: its reader, its summary and its leakage, each as module:name, and what it counts.

    They are imported when a file of the kind is met, so that this module needs none of the domains.
    """

    reader: str
    summary: str
    leakage: str
    units: tuple[str, str]  # rows, and symbols of a row


KINDS = {
    "protein": Kind(
        "biorrn.datasets.prepare:ProteinFile",
        "biorrn.datasets.summary:protein_summary",
        "biorrn.datasets.leakage:protein_leakage",
        ("proteins", "residues"),
    ),
    "signal": Kind(
        "biorrn.datasets.prepare:SignalFile",
        "biorrn.datasets.summary:signal_summary",
        "biorrn.datasets.leakage:signal_leakage",
        ("segments", "bases"),
    ),
    "tags": Kind(
        "biorrn.datasets.tag_file:TagFile",
        "biorrn.datasets.tag_summary:tag_summary",
        "biorrn.datasets.tag_summary:tag_leakage",
        ("sequences", "residues"),
    ),
    "pairs": Kind(
        "biorrn.datasets.pairs:PairFile",
        "biorrn.datasets.pairs:pair_summary",
        "biorrn.datasets.pairs:pair_leakage",
        ("pairs", "target_symbols"),
    ),
}


def account(path: str | Path, counts: Mapping[str, int], note: str = "") -> dict[str, Any]:
    """Return the account of a prepared file as what JSON can hold.

    Parameters
    ----------
    path : the prepared file.
    counts : what was kept and dropped, by reason.
    note : str: a remark on the data.

    Returns
    -------
    dict: kind, prepared (path), note, counts, what `datasets.summary` says, leakage, and inputs (path, sha256).
    """
    with h5py.File(path, "r") as file:
        kind = schema.check(file, path)
    own = KINDS[kind]
    with resolve_name(own.reader)(path) as prepared:
        sources = prepared.sources
    return {
        "kind": kind,
        "prepared": str(path),
        "note": note,
        "counts": {name: int(number) for name, number in counts.items() if number},
        **resolve_name(own.summary)(path),
        "leakage": resolve_name(own.leakage)(path),
        "inputs": [{"path": name, "sha256": digest} for name, digest in sources.items()],
    }


def write_account(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write an account as JSON."""
    with write_text(path) as stream:
        json.dump(content, stream, indent=2, allow_nan=False)
        stream.write("\n")


def lines(content: Mapping[str, Any]) -> list[str]:
    """Return an account in a few lines for a terminal."""
    shown = [f"{content['prepared']}: {content['kind']} data"]
    for name, numbers in content["splits"].items():
        unit, rest = KINDS[content["kind"]].units
        words = ("sequences", "bases") if content["kind"] == "protein" and "alphabet" in content else (unit, rest)
        shown.append(f"  {name}: {numbers[unit]:,} {words[0]}, {numbers[rest]:,} {words[1].replace('_', ' ')}")
    shown += [f"  {name}: {number:,}" for name, number in content["counts"].items()]
    for name, numbers in content["leakage"].items():
        if not isinstance(numbers, dict) or name not in content["splits"]:
            continue
        facts = ", ".join(f"{key.replace('_', ' ')} {_text(value)}" for key, value in numbers.items())
        shown.append(f"  leakage, {name}: {facts}")
    return shown


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
