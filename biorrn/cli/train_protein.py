"""`biorrn train protein TABLE`: options and hand-over to `tasks.own_property`."""

from functools import partial
from pathlib import Path
from typing import Any

from biorrn.errors import ConfigError

# of the function `train` -> how the user writes it; these belong to one mode only
OWN = {
    "target": "--target",
    "targets": "--targets",
    "sequence_column": "--sequence-column",
    "id_column": "--id-column",
    "wild_type": "--wild-type",
    "offset": "--offset",
    "weight": "--weight",
    "groups": "--groups",
    "split": "--split",
    "model": "--model",
    "folds": "--folds",
    "search": "--search",
    "dry_run": "--dry-run",
    "sheet": "--sheet",
    "decimal": "--decimal",
    "censored": "--censored",
    "strict": "--strict",
}
RECIPES = {"init": "--init", "jobs": "--jobs", "processes": "--processes"}


def refuse(given: dict[str, Any], options: dict[str, str], why: str) -> None:
    """Raise ConfigError for the first option that was given and does not belong to the mode."""
    for name, written in options.items():
        if given[name]:
            raise ConfigError(f"{written}: {why}; see 'biorrn train --help'")


def train_protein(table: str, given: dict[str, Any]) -> None:
    """Run the mode `protein`; `given` holds the arguments of `biorrn train`."""
    refuse(given, RECIPES, "does not belong to 'biorrn train protein TABLE', which chooses the model itself")
    if given["output"] is None and not given["dry_run"]:
        raise ConfigError("Missing option '--output' / '-o'; see 'biorrn train --help'")
    from biorrn.device import choose_device, set_threads
    from biorrn.tasks.own_property import MINUTES, Wish, choose, train_own
    from biorrn.tasks.protein_table import Columns
    from biorrn.training import launch

    launch.refuse("'biorrn train protein TABLE' runs in one")
    wish = Wish(
        Columns(
            table,
            tuple(given["target"] or ()),
            values=given["targets"],
            sequence=given["sequence_column"],
            id=given["id_column"],
            weight=given["weight"],
            groups=given["groups"],
            split=_column(given["split"]),
            wild_type=given["wild_type"],
            offset=given["offset"],
            sheet=given["sheet"],
            decimal=given["decimal"],
            censored=given["censored"] or "use",
            strict=given["strict"],
        ),
        Path(given["output"] or "run"),
        model=given["model"],
        split=given["split"],
        seed=given["seed"],
        changes=tuple(given["settings"] or ()),
        minutes=MINUTES if given["max_minutes"] is None else given["max_minutes"],
        folds=given["folds"] or 0,
        trials=given["search"] or 0,
    )
    say = partial(print, flush=True)  # a log of a long run shows each line as it comes
    if given["dry_run"]:
        set_threads(given["threads"])
        choice, rows, _ = choose(wish, choose_device(given["device"]))
        for line in [*choice.lines, *rows.reading.table()]:
            say(line)
        return
    train_own(wish, device=given["device"], threads=given["threads"], replace=given["replace"], say=say)


def _column(split: str | None) -> str | None:
    """Return the column that --split column:NAME names."""
    return split.partition(":")[2] or None if split and split.startswith("column:") else None
