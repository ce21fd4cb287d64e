"""`biorrn calibrate` of a protein model."""

from __future__ import annotations

import sys
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
    from biorrn.tasks.replay import chosen_without, trained_here

    if reference is not None:
        raise ConfigError(f"--reference {reference}: is for a basecaller; {model} is a model for regression")
    if len(paths) != 1:
        raise ConfigError(f"{model}: is a model for regression, and needs one prepared file; found {len(paths)} paths")
    where, held = choose_device(device), None
    if trained_here(stored, paths[0]):
        fitted = stored.recipe.fitted
        if fitted is None or split in fitted.split("+"):
            raise ConfigError(f"--split {split}: these rows of {paths[0]} trained {model}; needed are others")
        if split == "valid":
            held = chosen_without(stored, paths[0], where)
            if held is None:
                print(
                    f"{model}: these rows chose the model, so that the intervals are somewhat too narrow: "
                    "other rows make better ones",
                    file=sys.stderr,
                )
    if held is None:
        held = held_out(stored, paths[0], split, device=where, threads=threads)
    for line in coverage_lines(held, folds):
        print(line)
    entries = conformal_facts(held) | (novelty_facts(paths[0], split) if novelty else {})
    if not dry_run:
        update_facts(model, **entries)
