"""A run in the report: one name with its training, its evaluations, its data set and its costs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biorrn.base.errors import InputError
from biorrn.report.cost import Cost, duration, megabytes, row, total
from biorrn.report.figures import UNUSABLE, drawn, training_figures
from biorrn.report.tables import text
from biorrn.stats.figures import slug
from biorrn.training.runs import Run, read_run

APART = ("data", "versions", "rate", "best", "warnings")  # keys of provenance.json that are shown by name


def training(folder: Path) -> dict[str, Any]:
    """Return a run folder of `biorrn train` for the template.

    Raises
    ------
    InputError: not as `biorrn train` leaves it.
    """
    try:
        return _parts(read_run(folder))
    except UNUSABLE as error:
        raise InputError(folder, f"is not as `biorrn train` leaves it ({type(error).__name__}: {error})") from error


def _parts(run: Run) -> dict[str, Any]:
    known = run.provenance
    rate, best = known.get("rate") or {}, known.get("best") or {}
    data = known.get("data") or {}
    seconds = known.get("seconds")
    if not isinstance(seconds, int | float) and len(run.history.get("seconds", ())):
        seconds = float(run.history["seconds"][-1])
    return {
        "name": run.name,
        "finished": bool(known),
        "epochs": len(run.history.get("epoch", ())),
        "figures": drawn(training_figures(run.history), run.name),
        "recipe": run.recipe,
        "warnings": [f"Epoch {epoch}: {message}." for epoch, message in run.warnings],
        "facts": {key: value for key, value in known.items() if key not in APART},
        "best": f"{text(best.get('value'))} {best.get('metric', '')} after epoch {best['epoch'] + 1}"
        if isinstance(best.get("epoch"), int)
        else "–",
        "rate": f"{text(rate.get('value'))} {rate.get('unit', '')}" if rate else "–",
        "raw_rate": rate.get("value") if isinstance(rate.get("value"), int | float) else None,
        "seconds": seconds if isinstance(seconds, int | float) else None,
        "time": duration(seconds) if isinstance(seconds, int | float) else "–",
        "versions": dict(known.get("versions") or {}),
        "inputs": [{"path": str(path), "sha256": sum} for path, sum in data.items()],
    }


def anchors(names: Sequence[str], before: str) -> list[str]:
    """Return an id for each name, all different.

    >>> anchors(["a b", "a_b"], "run")
    ['run-a_b', 'run-a_b-2']
    """
    taken: dict[str, int] = {}
    found = []
    for name in names:
        stem = f"{before}-{slug(name)}"
        taken[stem] = taken.get(stem, 0) + 1
        found.append(stem if taken[stem] == 1 else f"{stem}-{taken[stem]}")
    return found


def _same(one: str, other: str) -> bool:
    return bool(one and other) and os.path.normpath(one) == os.path.normpath(other)


def _data_of(run: dict[str, Any], prepared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the data sets that a run was trained on or judged with, by the paths that the files name."""
    train = run["training"]
    paths = [entry["path"] for entry in train["inputs"]] if train else []
    paths += [entry["path"] for result in run["results"] for entry in result["inputs"] if entry["role"] == "prepared"]
    return [entry for entry in prepared if any(_same(entry["prepared"], path) for path in paths)]


def _cost_sentence(run: dict[str, Any]) -> str:
    train = run["training"]
    if not train:
        return ""
    if not train["finished"]:
        return f"Training is not finished: {train['epochs']} epochs are recorded."
    facts = train["facts"]
    words = [f"Trained in {duration(train['seconds'])}" if train["seconds"] is not None else "Trained"]
    if facts.get("device"):
        threads = facts.get("threads")
        words.append(f"on {facts['device']}" + (f" ({text(threads)} threads)" if isinstance(threads, int) else ""))
    parts = [" ".join(words).replace("(1 threads)", "(1 thread)")]
    parts += [f"at {train['rate']}"] if train["rate"] != "–" else []
    parts += [f"peak memory {run['memory']}"] if run["memory"] != "–" else []
    parts += [f"{text(facts['parameters'])} parameters"] if facts.get("parameters") else []
    return ", ".join(parts) + "."


def collect(
    results: list[dict[str, Any]], trained: list[dict[str, Any]], prepared: list[dict[str, Any]], costs: list[Cost]
) -> list[dict[str, Any]]:
    """Return one entry a name: evaluations and training of the same name belong together, evaluations first in order.

    Parameters
    ----------
    results, trained, prepared : what `evaluation`, `training` and `data_set` gave.
    costs : what the jobs cost; those whose name is the run's are its own.
    """
    names = list(dict.fromkeys([entry["name"] for entry in results] + [entry["name"] for entry in trained]))
    runs = []
    for name, anchor in zip(names, anchors(names, "run"), strict=True):
        own = [cost for cost in costs if cost.name == name]
        whole = total(own) if own else None
        run: dict[str, Any] = {
            "name": name,
            "anchor": anchor,
            "results": [entry for entry in results if entry["name"] == name],
            "training": next((entry for entry in trained if entry["name"] == name), None),
            "costs": [row(cost) for cost in own],
            "total": whole,
            "memory": whole["memory"] if whole else megabytes(None),
            "raw_memory": whole["raw_memory"] if whole else None,
        }
        run["data"] = _data_of(run, prepared)
        overview = [line for result in run["results"] for line in result["overview"]]
        cost = _cost_sentence(run)
        run["sentences"] = [
            " ".join(part for part in (line["sentence"], line["headline"]) if part) for line in overview
        ] + ([cost] if cost else [])
        run["notes"] = list(
            dict.fromkeys(entry["note"] for entry in [*run["data"], *run["results"]] if entry.get("note"))
        )
        run["cautions"] = sum(len(result["cautions"]) for result in run["results"])
        runs.append(run)
    return runs
