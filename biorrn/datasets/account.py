"""The account of a preparation: what was kept, what was dropped and why, and what the splits share."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from biorrn.datasets import schema
from biorrn.datasets.leakage import protein_leakage, signal_leakage
from biorrn.datasets.pairs import PairFile, pair_leakage, pair_summary
from biorrn.datasets.prepare import PreparedFile, ProteinFile, SignalFile
from biorrn.datasets.summary import protein_summary, signal_summary
from biorrn.datasets.tag_file import TagFile
from biorrn.datasets.tag_summary import tag_leakage, tag_summary
from biorrn.files import write_text


@dataclass(frozen=True, slots=True)
class Kind:
    """What opens a kind of prepared file, what tells of it, and what it counts: rows, and symbols of a row."""

    opened: type[PreparedFile]
    summary: Callable[[str | Path], dict[str, Any]]
    leakage: Callable[[str | Path], dict[str, Any]]
    units: tuple[str, str]


KINDS = {
    "protein": Kind(ProteinFile, protein_summary, protein_leakage, ("proteins", "residues")),
    "signal": Kind(SignalFile, signal_summary, signal_leakage, ("segments", "bases")),
    "tags": Kind(TagFile, tag_summary, tag_leakage, ("sequences", "residues")),
    "pairs": Kind(PairFile, pair_summary, pair_leakage, ("pairs", "target_symbols")),
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
    with own.opened(path) as prepared:
        sources = prepared.sources
    return {
        "kind": kind,
        "prepared": str(path),
        "note": note,
        "counts": {name: int(number) for name, number in counts.items() if number},
        **own.summary(path),
        "leakage": own.leakage(path),
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
