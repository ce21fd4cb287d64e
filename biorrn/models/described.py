"""What a model says of itself, for its user: the table of shipped models, and the description of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biorrn.models.store import WEIGHTS, find_model, load_facts, shipped_models

CARD = "card.md"
COLUMNS = ("model", "task", "predicts", "unit", "sign", "inputs", "size", "measured")


def table_of_models() -> Iterator[str]:
    """Yield the shipped models as lines of a TSV with a header."""
    yield "\t".join(COLUMNS)
    for name in shipped_models():
        facts = load_facts(name)
        cells = [name, facts.get("task"), facts.get("predicts"), _of(facts, "unit"), _of(facts, "sign")]
        cells += [facts.get("inputs"), _size(find_model(name)), facts.get("measured")]
        yield "\t".join(str(cell or ".") for cell in cells)


def describe(name: str) -> Iterator[str]:
    """Yield what the facts of a model say, a line each, then its card.

    Raises
    ------
    ConfigError, InputError: as `store.load_facts`.
    """
    folder = find_model(name)
    yield from summary(name, folder, load_facts(name))
    if (folder / CARD).is_file():
        yield ""
        yield from (folder / CARD).read_text(encoding="utf-8").splitlines()


def summary(name: str, folder: Path, facts: dict[str, Any]) -> Iterator[str]:
    """Yield what the facts of the model in a folder say, a line each."""
    yield f"model: {name}"
    yield f"task: {facts.get('task')}"
    for key in ("predicts", "inputs", "measured"):
        if facts.get(key):
            yield f"{key}: {facts[key]}"
    for target in facts.get("targets") or ():
        yield f"target: {target['name']}" + "".join(_detail(target, key) for key in ("unit", "sign", "bounds"))
    if facts.get("max_length"):
        yield f"lengths trained on: {facts.get('min_length', 0):,} to {facts['max_length']:,} residues"
    for target, entry in (facts.get("conformal") or {}).items():
        others = "have their own" if entry.get("unlike") else "have none"
        yield f"intervals: {target}: from {entry['rows']:,} rows; proteins that the model does not know {others}"
    if facts.get("task") == "regression":
        known = facts["mutants"] if facts.get("mutants") is not None else bool(facts.get("reference"))
        yield f"mutants among the training rows: {'yes' if known else 'no: biorrn scan flags its differences'}"
    yield f"size: {_size(folder)}"


def _of(facts: dict[str, Any], key: str) -> str:
    return "; ".join(str(target[key]) for target in facts.get("targets") or () if target.get(key))


def _detail(target: dict[str, Any], key: str) -> str:
    value = target.get(key)
    if not value:
        return ""
    return f"; {key}: " + (f"{value[0]:g} to {value[1]:g}" if key == "bounds" else str(value))


def _size(folder: Path) -> str:
    return f"{(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB"
