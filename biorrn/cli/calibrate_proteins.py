"""`biorrn calibrate` of a protein model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from biorrn.errors import ConfigError

if TYPE_CHECKING:
    from biorrn.models.store import Stored


def calibrate_proteins(
    model: Path,
    stored: Stored,
    paths: list[Path],
    reference: Path | None,
    *,
    split: str,
    folds: int,
    novelty: bool,
    dry_run: bool,
    device: str,
    threads: int,
) -> None:
    """Give a model intervals from the rows of a prepared file, and print the coverage on folds of them."""
    from biorrn.device import choose_device
    from biorrn.inference.confidence import conformal_facts, coverage_lines, held_out, novelty_facts
    from biorrn.models.store import update_facts

    if reference is not None:
        raise ConfigError(f"--reference {reference}: is for a basecaller; {model} is a model for regression")
    if len(paths) != 1:
        raise ConfigError(f"{model}: is a model for regression, and needs one prepared file; found {len(paths)} paths")
    held = held_out(stored, paths[0], split, device=choose_device(device), threads=threads)
    for line in coverage_lines(held, folds):
        print(line)
    entries = conformal_facts(held) | (novelty_facts(paths[0], split) if novelty else {})
    if not dry_run:
        update_facts(model, **entries)
