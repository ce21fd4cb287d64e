"""Hyperparameter search on a user's table, scored on the validation rows only.

Trials are drawn by a tree-structured Parzen estimator (Bergstra et al. 2011) and stopped early if they are below the
median of the others at the same epoch. The study is an SQLite file in the run folder, so a killed search resumes.
"""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

from biorrn.base.errors import ConfigError
from biorrn.base.files import open_text, read_json, write_text
from biorrn.config.recipe import Recipe, dump_recipe, parse_recipe
from biorrn.proteins.train_table.outputs import DATA, Session
from biorrn.sequences.tables.writer import open_table
from biorrn.training.checkpoint import PROVENANCE
from biorrn.training.task import Diverged, load_task
from biorrn.training.train import train

STUDY, TRIALS, FOLDER, BEST = "search.db", "trials.tsv", "search", "search.yaml"
WARM = 5  # trials before any is stopped early
MARGIN = 1.0  # seconds of the time that the last trial may not start in


class Watched:
    """A task that reports the score of each epoch to a trial, and stops it if the trial is pruned."""

    def __init__(self, task: Any, trial: Any) -> None:
        self._task, self._trial, self._epoch = task, trial, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def score(self, collected: list[Any]) -> dict[str, float]:
        import optuna

        scores: dict[str, float] = self._task.score(collected)
        value = scores[self._task.monitor]
        self._trial.report(value if math.isfinite(value) else -1.0, self._epoch)
        self._epoch += 1
        if self._trial.should_prune():
            raise optuna.TrialPruned
        return scores


def search(recipe: Recipe, run: Session, trials: int, seconds: float) -> Recipe:
    """Return the recipe with the hyperparameters that scored best on the validation rows.

    Of an ensemble the first network is searched; every member with its recipe gets the result.

    Parameters
    ----------
    trials : int: how many, those of an earlier part of the run included.
    seconds : float: no trial starts after so many.

    Raises
    ------
    ConfigError: the recipe has no recurrent network.
    """
    import optuna

    base, folder = network_of(recipe), run.folder
    known = folder / BEST
    if known.is_file():
        with open_text(known) as stream:
            return with_network(recipe, base, parse_recipe(yaml.safe_load(stream), str(known)))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / STUDY}",
        study_name="biorrn",
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=run.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=WARM, n_warmup_steps=1),
    )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # the run was killed in it
    if not study.trials:
        study.enqueue_trial(first_values(base))  # the first trial is the recipe itself
    end = time.monotonic() + seconds

    def objective(trial: Any) -> float:
        own = propose(base, trial)
        place = folder / FOLDER / str(trial.number)
        task: Any = Watched(load_task("regression"), trial)
        try:
            train(own, folder / DATA, place, task, seed=run.seed, replace=True, **run.options)
            score = best_score(place)
        except Diverged:  # any other error ends the search; the command resumes it
            return -1.0
        finally:
            shutil.rmtree(place, ignore_errors=True)
        run.say(f"search: trial {trial.number + 1}: {score:.4f}, {_shown(trial.params)}")
        return score

    finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    while len(study.get_trials(deepcopy=False, states=finished)) < trials and time.monotonic() < end - MARGIN:
        study.optimize(objective, n_trials=1)
    write_trials(folder / TRIALS, study.trials)
    if not study.get_trials(deepcopy=False, states=finished[:1]):
        run.say("search: no trial came to its end; the numbers stay as chosen")
        return recipe
    best = propose(base, optuna.trial.FixedTrial(study.best_params))
    found = f"{study.best_value:.4f}, {_shown(study.best_params)}"
    run.say(f"search: {len(study.trials)} trials; the best on validation rows {found}")
    with write_text(known) as stream:
        stream.write(dump_recipe(best))
    return with_network(recipe, base, best)


def network_of(recipe: Recipe) -> Recipe:
    """Return the recipe itself, or that of the first member that is a network with a core."""
    parts = [recipe] if recipe.members is None else [member.recipe for member in recipe.members]
    for part in parts:
        if isinstance(part, Recipe) and getattr(part.model, "core", None) is not None:
            return part
    raise ConfigError(f"--search: recipe '{recipe.name}' holds no network whose numbers could be searched")


def with_network(recipe: Recipe, old: Recipe, new: Recipe) -> Recipe:
    """Return the recipe with one network in place of another, in every member that has it."""
    if recipe.members is None:
        return new
    members = [
        member.model_copy(update={"recipe": new}) if member.recipe == old else member for member in recipe.members
    ]
    return recipe.model_copy(update={"members": members})


def propose(base: Recipe, trial: Any) -> Recipe:
    """Return the network that a trial draws: width, layers, cell, dropout, pools, learning rate and loss."""
    content = base.model_dump(mode="json")
    model, training = content["model"], content["training"]
    given = first_values(base)

    def one_of(name: str, choices: list[Any]) -> Any:
        # the recipe's own value is always a choice
        return trial.suggest_categorical(name, choices if given[name] in choices else [*choices, given[name]])

    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    model["head"]["dropout"] = dropout
    model["head"]["hidden"] = one_of("hidden", HIDDEN)
    if _recurrent(model["core"]):
        model["core"] |= {
            "hidden": one_of("width", WIDTHS),
            "layers": one_of("layers", [1, 2, 3]),
            "cell": one_of("cell", ["gru", "lstm"]),
            "dropout": dropout,
        }
        model["pool"] = one_of("pool", POOLS).split("+")
    else:
        if model["frontend"].get("width"):  # 0 where the width comes from a file
            model["frontend"]["width"] = one_of("width", [4, 8, 16, 32])
    training["lr"] = trial.suggest_float("lr", 3e-4, 1e-2, log=True)
    training["loss"] = one_of("loss", LOSSES)
    return parse_recipe(content, base.name)


def first_values(base: Recipe) -> dict[str, Any]:
    """Return the values for which `propose` gives the recipe itself, nearly."""
    content = base.model_dump(mode="json")
    model, training = content["model"], content["training"]
    values = {
        "dropout": min(model["head"]["dropout"], 0.5),
        "hidden": model["head"]["hidden"],
        "lr": min(max(training["lr"], 3e-4), 1e-2),
        "loss": training["loss"],
    }
    if _recurrent(model["core"]):
        core = model["core"]
        values |= {
            "width": core["hidden"],
            "layers": core["layers"],
            "cell": core["cell"],
            "pool": "+".join(model["pool"]),
        }
    else:
        values["width"] = model["frontend"].get("width", 8)
    return values


def _recurrent(core: Any) -> bool:
    """Return whether a core is one recurrent network, neither a list nor self-attention."""
    return isinstance(core, dict) and bool(core["layers"]) and "cell" in core


def best_score(folder: Path) -> float:
    """Return the best validation score of a finished run."""
    value = read_json(folder / PROVENANCE)["best"]["value"]
    return float(value) if value is not None and math.isfinite(value) else -1.0


def write_trials(path: Path, trials: list[Any]) -> None:
    """Write a table of trials: number, state, score on the validation rows, epochs, and every number drawn."""
    names = sorted({name for trial in trials for name in trial.params})
    with open_table(path, dict.fromkeys(["trial", "state", "score", "epochs", *names], str)) as write:
        for trial in trials:
            score = "" if trial.value is None else f"{trial.value:.5g}"
            cells = [_cell(trial.params.get(name)) for name in names]
            write([str(trial.number + 1), trial.state.name.lower(), score, len(trial.intermediate_values), *cells])


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _shown(params: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in params.items())


WIDTHS = [32, 48, 64, 96, 128]
HIDDEN = [0, 32, 64]
POOLS = ["attention+max+mean", "attention", "mean", "last", "attention+last"]
LOSSES = ["huber", "mse", "huber+rank"]
