"""Training on a user's table without a recipe (`biorrn train-table`): choose, train, evaluate, refit, report.

The run folder is the model, refitted on all rows (`refit`). It also holds choice.json (what was chosen and why; a
resumed run keeps it), data.h5, the folder `measured` with the model before the refit, predictions.tsv of its held-out
rows, evaluation.json, report.html; and with folds or a search the files of `folds` and `search`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from biorrn.base.compute import choose_device, set_threads
from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import sha256
from biorrn.base.lookup import lookup
from biorrn.base.terminal import plural
from biorrn.config.recipe import Recipe, dump_recipe, parse_recipe
from biorrn.nn.hub import is_plm, offer
from biorrn.nn.lora import fitted, forget
from biorrn.nn.store import WEIGHTS, load_model, update_facts
from biorrn.proteins.plm import made
from biorrn.proteins.predictions import read_prepared
from biorrn.proteins.prepare import prepare_protein
from biorrn.proteins.train_table.budget import Cost
from biorrn.proteins.train_table.choice import plan, seconds_an_epoch
from biorrn.proteins.train_table.outputs import (
    DATA,
    REPORT_FILE,
    Report,
    Say,
    Session,
    evaluate_class_run,
    evaluate_run,
    next_lines,
)
from biorrn.proteins.train_table.partition import Split, choose_split
from biorrn.proteins.train_table.positions import SHARE, measure_positions
from biorrn.proteins.train_table.refit import MEASURED, keep_state, refit_or_keep, seconds_needed
from biorrn.proteins.train_table.table import (
    Columns,
    Table,
    lines,
    look,
    read_table,
    sources,
    with_embeddings,
)
from biorrn.proteins.train_table.tune import choose_adapters
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.embeddings import join_prepared, paths_of
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.similarity import protein_leakage
from biorrn.sequences.splits import CHOOSING_PART, Column, Folds, parse_folds, shares
from biorrn.training.batches import ProteinDataset
from biorrn.training.checkpoint import CHOICE, STATE, flat, remove_run
from biorrn.training.task import complete, load_task
from biorrn.training.train import train

# what a run makes in its folder beside what any training does; removed by --replace
MADE = [
    *(
        CHOICE,
        MEASURED,
        "folds",
        "calibration",
        "positions",
        "search",
        "figures",
        DATA,
        "prepare.json",
        "search.db",
        "search.yaml",
    ),
    *("trials.tsv", "out_of_fold.tsv", "evaluation.json", "predictions.tsv"),
]
# of `Wish`, as the user writes it
OPTIONS = {"minutes": "--max-minutes", "trials": "--search", "changes": "--set", "columns.targets": "--target"}
OPTIONS |= {"columns.values": "--targets", "columns.path": "TABLE"}
OPTIONS |= {f"columns.{name}": f"--{name}-column" for name in ("sequence", "id")}
MINUTES = 20.0
EMBEDDED = "embeddings.h5"  # made by a run; kept by --replace, since it depends on the proteins alone
ENOUGH = 200  # rows held out for the test, from which on they calibrate the intervals
START = 10.0  # seconds of a member's share of the time, below which its own process does not pay
CROSS_REPEATS = 4  # trainings' worth of time, where folds calibrate them


@dataclass(frozen=True, slots=True)
class Wish:
    """Settings of a run, from the command line.

    Attributes
    ----------
    columns : Columns of the table.
    folder : the run folder.
    model, split : str, optional: instead of what would be chosen; see `choice.plan`, `partition.choose_split`.
    changes : KEY=VALUE of the recipe.
    minutes : float: of training, search and folds together, about.
    folds : str: see `sequences.splits.parse_folds`; "" is none.
    trials : int: 0 is none.
    embeddings : str, optional: file of embeddings of the rows, or a language model that makes them; see `embedded`.
    tune : "lora", optional: train adapters of this language model too.
    base : str, optional: the language model; `train_own` sets it.
    """

    columns: Columns
    folder: Path
    model: str | None = None
    split: str | None = None
    seed: int = 0
    changes: tuple[str, ...] = ()
    minutes: float = MINUTES
    folds: str = ""
    trials: int = 0
    embeddings: str | None = None
    tune: str | None = None
    base: str | None = None

    def mark(self) -> dict[str, Any]:
        """Return the settings and checksums that identify a run."""
        asked = {key: value for key, value in asdict(self).items() if key not in ("folder", "base")}
        given = [*sources(self.columns), *([Path(self.embeddings)] if self.embeddings else [])]
        files = {str(path): sha256(path) for path in given if path.is_file()}
        return json.loads(json.dumps({"asked": asked, "sources": files}))


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: recipe, split of the evaluation, consensus of variants, and the lines printed about it."""

    recipe: Recipe
    held_out: str
    reference: str
    lines: list[str]


def choose(wish: Wish, device: torch.device, table: Table | None = None) -> tuple[Choice, Table, Split]:
    """Choose split, model and size for the table; nothing is written.

    Parameters
    ----------
    table : Table, optional: of the wish, where it has been read.

    Raises
    ------
    ConfigError, InputError: as `table.read_table`, `partition.choose_split` and `choice.plan`.
    """
    folds = check(wish)
    table = _table(wish) if table is None else table
    table, own = (table, []) if wish.embeddings is None else with_embeddings(table, wish.columns, wish.embeddings)
    seen = dataclasses.replace(look(table, wish.columns.targets, wish.seed), embeddings=wish.embeddings or "")
    if wish.base is not None:
        part, batch, line = fitted(wish.base, seen.longest, device)
        seen.tuned.update({"frontend": part.model_dump(mode="json"), "batch_size": batch})
        own = [*own, line]
    split = choose_split(table, seen, wish.split, wish.seed, folds)
    folds = split.folds
    if folds.rounds and not split.by_column:
        # the refit after folds of positions shows how it does on a tenth of the rows, which it trains on too
        parts = (1 - CHOOSING_PART, CHOOSING_PART if folds.by_site else 0.0, 0.0)
        split = dataclasses.replace(split, codes=shares(split.groups, parts, wish.seed))
    said = [f"table: {line}" for line in table.reading.lines()]
    said += [f"data: {line}" for line in lines(seen)]
    said += [f"data: {reason}: {number:,}" for reason, number in table.counts.items()] + own
    if not folds.rounds or split.by_column:
        counts = np.bincount(split.codes, minlength=len(SPLITS))
        sizes = ", ".join(f"{name} {count:,}" for name, count in zip(SPLITS, counts, strict=True))
        said.append(f"split: {sizes}, {split.how} ({split.why})")
    if folds.rounds:
        rows_of = "rows outside test" if (split.codes == SPLITS.index("test")).any() else "rows"
        together = split.how if folds.by_site else f"whole groups together: {split.how}"
        said.append(f"split: {folds.rounds} folds of the {rows_of}, {together}")
    rows = _training_rows(split, folds.rounds)
    made = plan(
        seen,
        rows,
        wish.minutes,
        lambda recipe: seconds_an_epoch(recipe, table, device, seen.reference) * rows / len(split.codes),
        model=wish.model,
        changes=list(wish.changes),
        seeds=1 if folds.rounds else 3,
        repeats=_repeats(wish, split, not table.classes),
    )
    return Choice(made.recipe, split.held_out, seen.reference, said + made.lines), table, split


def _table(wish: Wish) -> Table:
    """Return the table of a wish.

    Raises
    ------
    ConfigError, InputError: as `table.read_table`, or what is asked for is not for classes.
    """
    table, folds = read_table(wish.columns), parse_folds(wish.folds)
    if table.classes and (folds.rounds or folds.kind or wish.trials):
        option = "--search" if wish.trials else "--folds"
        raise ConfigError(f"{option}: is for numbers; '{wish.columns.targets[0]}' holds classes")
    return table


def check(wish: Wish) -> Folds:
    """Return the folds of a wish, or raise ConfigError for one that cannot be."""
    folds = parse_folds(wish.folds)
    if wish.trials < 0:
        raise ConfigError(f"--search: found {wish.trials}; allowed is 1 or more")
    if folds.rounds and wish.trials:
        raise ConfigError("--search: not with --folds; search first, then set the best values of trials.tsv with --set")
    if wish.seed < 0:
        raise ConfigError(f"--seed: found {wish.seed}; allowed is 0 or more")
    lookup({"lora": None}, wish.tune or "lora", "--tune")
    if wish.tune and wish.base is None and not (wish.embeddings and is_plm(wish.embeddings)):
        found = wish.embeddings or "none"
        raise ConfigError(f"--tune {wish.tune}: needs a language model with --embeddings; found {found}")
    if not wish.minutes > 0:
        raise ConfigError(f"--max-minutes: found {wish.minutes:g}; allowed is a number above 0")
    return folds


def train_own(
    wish: Wish,
    *,
    device: str = "auto",
    threads: int | None = None,
    replace: bool = False,
    say: Say,
    report: Report,
) -> None:
    """Train a model on a user's table; a killed run resumes.

    Parameters
    ----------
    say : takes each line of progress.
    report : writes the HTML report, see `report.page.write_report`.

    Raises
    ------
    ConfigError: the folder is a file, or holds another run and `replace` is false; or as `choose`.
    InputError: the table cannot be used.
    """
    if wish.folder.exists() and not wish.folder.is_dir():
        raise ConfigError(f"--output {wish.folder}: is a file; a run is a folder")
    where, cores = choose_device(device), set_threads(threads)
    began = time.monotonic()
    folder, mark, folds = wish.folder, wish.mark(), check(wish)
    table: Table | None = None
    if wish.embeddings is not None and is_plm(wish.embeddings):
        table = _table(wish)
        records = (ProteinRecord(row.id, row.sequence) for row in table.rows)
        base = wish.embeddings if wish.tune else None
        offer(base)  # for the models with adapters that are loaded from here on
        wish = dataclasses.replace(wish, embeddings=made(wish.embeddings, records, folder / EMBEDDED, where), base=base)
    if (state := _open(folder, mark, replace)) is not None and (folder / REPORT_FILE).is_file():
        say(f"{folder}: this run is finished; nothing to do")
        return
    if state is None:
        choice, table, split = choose(wish, where, table)
        forget()  # the language model that was timed; members are trained in processes of their own
        remove_run(folder, more=MADE)
        prepare(table, split.codes, folder / DATA, wish.columns)
        state = {
            "mark": mark,
            "recipe": dump_recipe(choice.recipe),
            "held_out": choice.held_out,
            # the rows that a column of the table keeps for a test never train
            "rows": "train+valid" if split.by_column and choice.held_out == "test" else "all",
            "reference": choice.reference,
            "lines": choice.lines + _leakage(folder / DATA),
            "groups": split.groups.tolist() if folds.rounds or (cross_fits(split) and not table.classes) else [],
            "wild_type": split.wild_type,
            "given": table.wild_type,
            "folds": split.folds.number,
        }
        keep_state(folder, state)
    for line in state["lines"]:
        say(line)
    recipe = parse_recipe(yaml.safe_load(state["recipe"]), str(folder / CHOICE))
    folds = dataclasses.replace(folds, number=state.get("folds", folds.number))
    until = began + 60 * wish.minutes
    run = Session(folder, wish.seed, {"device": device, "threads": cores}, where, say, report, until)
    groups = np.array(state["groups"])
    join_prepared(recipe, folder / DATA)  # for the models that are loaded from here on
    if wish.trials:
        from biorrn.proteins.train_table.search import search

        recipe = search(recipe, run, wish.trials, 30 * wish.minutes)

    def new_positions(trained: Path) -> dict[str, Any]:
        """Return the scores at new positions, measured once for a run; none where the rows are no variants."""
        if "positions" not in state:
            seconds = 60 * wish.minutes
            left = min(run.left(), SHARE * seconds)
            kind = folds.kind if folds.rounds and folds.by_site else "position"
            given = state.get("wild_type", "")
            told = measure_positions(recipe, run, given, trained, left, kind) if given else {}
            # what is said without scores is of rows at random, not of groups or splits of the user's own
            chance = not (folds.by_site or wish.columns.groups or state["rows"] != "all")
            state["positions"] = told if told.get("scores") or chance else {}
            keep_state(folder, state)
        return dict(state["positions"])

    if folds.rounds:
        from biorrn.proteins.train_table.folds import train_folds

        train_folds(recipe, run, folds, groups, state.get("wild_type", ""), new_positions, state)
    else:
        measured = folder / MEASURED
        # on one thread members train one after the other, and a process for each would only add its start; where the
        # time is short, its start takes most of it
        members = len(recipe.members or ())
        alone = cores == 1 or 60 * wish.minutes < START * (CROSS_REPEATS + 1) * members
        inside: dict[str, Any] = {"inside": True} if members and alone else {}
        inner = dataclasses.replace(run, options=run.options | inside)
        if wish.tune:
            recipe = choose_adapters(recipe, inner, state)
        else:
            train(recipe, folder / DATA, measured, load_task(recipe.task), seed=wish.seed, **inner.options)
        classes = recipe.task == "classification"
        known = {} if classes else {"conformal": intervals(recipe, run, measured, groups)}
        complete(recipe.task, measured, folder / DATA, device=str(where), **known)
        caution = refit_or_keep(recipe, inner, state, run.left())
        if classes:
            given = next(iter(paths_of(recipe)), None)
            evaluate_class_run(run, measured, state["held_out"], [caution, *state.get("tuned", [])], given)
        else:
            cautions = [caution, *state.get("tuned", [])]
            if folds.number:
                order = plural(folds.number, "mutation")
                cautions.append(f"Trained on rows of at most {order}, tested on rows of more.")
            whole = not state["groups"]
            evaluate_run(run, measured, state["held_out"], whole, cautions, new_positions(measured))
    if state["reference"]:
        most = most_mutations(folder / DATA, state["reference"])
        update_facts(folder, reference=state["reference"], most_mutations=most, **_given(state))
    for line in next_lines(folder, wish.base):
        say(line)
    if state["reference"] and recipe.task == "regression":
        say(f"  biorrn suggest {folder} -n 96 -o next.csv")


def _given(state: dict[str, Any]) -> dict[str, str]:
    """Return the wild type as a fact, if it was given; the commands that use the model need not be told it again."""
    return {"wild_type": state["given"]} if state.get("given") else {}


def _repeats(wish: Wish, split: Split, numbers: bool) -> int:
    """Return how many trainings share the time budget."""
    once = split.folds.rounds or (CROSS_REPEATS if cross_fits(split) and numbers else 1) + 1  # the last fits all rows
    # a search has half of the time, and most of its trials are stopped early
    return once * (max(2, wish.trials // 3) if wish.trials else 1)


def cross_fits(split: Split) -> bool:
    """Return whether folds calibrate the intervals, because few rows are held out or the table names its own test rows.

    Otherwise the rows held out for the test calibrate them, which chose nothing; `outputs.evaluate_run` then measures
    how often they hold on folds of these rows.
    """
    return split.by_column or int((split.codes == SPLITS.index("test")).sum()) < ENOUGH


def intervals(recipe: Recipe, run: Session, model: Path, groups: np.ndarray) -> dict[str, Any]:
    """Return the conformal facts of a trained model, from rows that neither trained nor chose it.

    Parameters
    ----------
    model : folder of the model.
    groups : int64 array (N,): of all rows of the prepared file, if folds of them calibrate; else empty.
    """
    if len(groups):
        from biorrn.proteins.train_table.folds import cross_fit

        again = len(ProteinDataset(run.folder / DATA, None)) / len(ProteinDataset(run.folder / DATA, "train"))
        kept = seconds_needed(model, again)  # for the refit, if it leaves time enough for the folds
        return cross_fit(recipe, run, groups, Cost.of(model), kept if kept < run.left() / 2 else 0.0)
    from biorrn.proteins.uncertainty.confidence import conformal_facts, held_out

    run.say("intervals: calibrated on the rows held out for the test, which trained and chose nothing")
    return dict(conformal_facts(held_out(load_model(model), run.folder / DATA, "test", device=run.device))["conformal"])


def most_mutations(path: Path, reference: str) -> int:
    """Return the most substitutions between the reference and a row of its length in a prepared file."""
    rows = read_prepared(path).rows
    own = rows.lengths == len(reference)
    found = rows.select(own).tokens.reshape(-1, len(reference)) if own.any() else np.zeros((0, len(reference)))
    return int((found != tokens(reference)).sum(1).max(initial=0))


def prepare(table: Table, codes: np.ndarray, path: Path, columns: Columns) -> None:
    """Write the rows of a table with these codes of splits (N,) to a prepared file."""
    rows = (dataclasses.replace(row, split=SPLITS[code]) for row, code in zip(table.rows, codes, strict=True))
    files = {str(source): sha256(source) for source in sources(columns)}
    names = [table.reading.target(name) for name in columns.targets]
    prepare_protein(rows, path, Column("split"), names, source=columns.table, sources=files)


def _open(folder: Path, mark: dict[str, Any], replace: bool) -> dict[str, Any] | None:
    """Return the state of a run folder, or None for a fresh start."""
    path = folder / CHOICE
    if path.is_file():
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            differs = _differences(state["mark"]["asked"], mark["asked"])
            if list(state["mark"]["sources"].values()) != list(mark["sources"].values()):
                differs.append("the content of the table")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(path, "is damaged; remove the folder to start again") from error
        if not differs:
            return dict(state)
        if not replace:
            raise ConfigError(
                f"{folder}: holds a run with other settings: {', '.join(differs)}; use the same settings, give "
                "another folder, or --replace"
            )
    elif any((folder / name).exists() for name in (STATE, WEIGHTS)) and not replace:
        raise ConfigError(f"{folder}: holds a run of a recipe; give another folder or --replace")
    return None


def _differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the options that differ, each with both values."""
    said: dict[str, str] = {}
    for key in {**flat(was), **flat(now)}:
        old, new = (flat(asked).get(key) for asked in (was, now))
        if old != new:
            # keys of lists end in an index; options do not
            name = re.sub(r"\.\d+$", "", key)
            option = OPTIONS.get(name, f"--{name.removeprefix('columns.').replace('_', '-')}")
            said.setdefault(option, f"{option} was {_shown(old)} and is now {_shown(new)}")
    return list(said.values())


def _shown(value: Any) -> str:
    return "absent" if value in (None, [], {}) else str(value)


def _training_rows(split: Split, folds: int) -> int:
    rows = int((split.codes != 2).sum() * (1 - 1 / folds)) if folds else int((split.codes == 0).sum())
    return max(1, rows)


def _leakage(path: Path) -> list[str]:
    """Return a line per held-out split: its rows with a near relative in training."""
    said = []
    for name, entry in protein_leakage(path).items():
        if isinstance(entry, dict) and entry["compared"]:
            near = 100 * entry["within_0.8"]
            said.append(
                f"leakage: {name}: {entry['identical_in_train']:,} of {entry['proteins']:,} are in training too, "
                f"{near:.0f} % have a relative there of 80 % identity or more"
            )
    return said
