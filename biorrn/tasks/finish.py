"""What a task does with a model folder once it is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from biorrn.models.store import load_model, update_facts


def finish(task: str, folder: str | Path, prepared: str | Path, *, device: str = "auto") -> None:
    """Complete the facts of a trained model folder; those that it has stay as they are.

    Parameters
    ----------
    task : of the recipe; one without an entry in `FINISHERS` needs nothing.
    prepared : the prepared file that the model was trained on.
    """
    if task in FINISHERS:
        FINISHERS[task](Path(folder), Path(prepared), device)


def _regression(folder: Path, prepared: Path, device: str) -> None:
    """Add intervals and the test for novelty; see `inference.confidence`."""
    from biorrn.device import choose_device
    from biorrn.inference.confidence import conformal_facts, held_out, novelty_facts

    stored = load_model(folder)
    entries: dict[str, Any] = {}
    if "conformal" not in stored.facts:
        entries |= conformal_facts(held_out(stored, prepared, device=choose_device(device)))
    if "novelty" not in stored.facts:
        entries |= novelty_facts(prepared)
    if entries:
        update_facts(folder, **entries)
        missing = [str(target["name"]) for target in stored.facts["targets"]]
        missing = [name for name in missing if name not in entries.get("conformal", {name: None})]
        if missing:
            print(f"{folder}: too few validation values for intervals of {', '.join(missing)}", file=sys.stderr)


FINISHERS: dict[str, Callable[[Path, Path, str], None]] = {"regression": _regression}
