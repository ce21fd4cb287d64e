"""Train a recipe on a prepared file: the run, from an empty folder to a model folder."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, Timer

from biorrn.config import Recipe
from biorrn.device import choose_device, set_threads
from biorrn.errors import BiorrnError
from biorrn.files import sha256
from biorrn.models.store import WEIGHTS, find_model, save_model, start_from
from biorrn.progress import progress
from biorrn.training.checkpoint import (
    CHECKPOINTS,
    fingerprint,
    is_finished,
    open_run,
    write_history,
    write_provenance,
)
from biorrn.training.learner import Learner, count_parameters, derive_seed
from biorrn.training.precision import LIGHTNING, choose_precision
from biorrn.training.task import Task


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best epoch, also of a run whose folder was moved before it was taken up: Lightning would forget it."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        moved = {
            "dirpath": self.dirpath,
            "best_model_path": here(state_dict["best_model_path"]),
            "kth_best_model_path": here(state_dict["kth_best_model_path"]),
            "best_k_models": {here(path): score for path, score in state_dict["best_k_models"].items()},
        }
        super().load_state_dict({**state_dict, **moved})


class Reporter(Callback):
    """Shows progress, prints a line an epoch and keeps history.tsv up to date."""

    def __init__(self, folder: Path, task: Task, total: int) -> None:
        self.folder, self.task, self.total = folder, task, total

    def on_train_start(self, trainer: pl.Trainer, learner: Any) -> None:
        epochs = trainer.max_epochs or 1
        left = self.total * (epochs - trainer.current_epoch) // epochs
        self.bar = progress("training", self.task.unit, left)
        self.advance = self.bar.__enter__()

    def on_train_batch_end(self, trainer: pl.Trainer, learner: Any, outputs: Any, batch: Any, index: int) -> None:
        self.advance(self.task.size(batch))

    def on_validation_end(self, trainer: pl.Trainer, learner: Any) -> None:
        write_history(self.folder, learner.history)
        row = learner.history[-1]
        name = f"valid_{self.task.monitor}"
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(
            f"{clear}epoch {row['epoch'] + 1:.0f}/{trainer.max_epochs}: loss {row['train_loss']:.4f}, "
            f"valid loss {row['valid_loss']:.4f}, {self.task.monitor} {row[name]:.4f}, {row['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    def teardown(self, trainer: pl.Trainer, learner: Any, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.__exit__(None, None, None)
            del self.bar


def train(
    recipe: Recipe,
    data_path: str | Path,
    folder: str | Path,
    task: Task,
    *,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    replace: bool = False,
    init: str | Path | None = None,
) -> Path:
    """Train and return the model folder.

    A folder with an unfinished run of the same recipe, data and seed is taken up at its last whole epoch; one with a
    finished run is left as it is. One with another run is an error, or with `replace` is begun anew.

    Parameters
    ----------
    recipe : Recipe: the model and the training.
    data_path : path of a prepared HDF5 file.
    folder : path of the run folder.
    task : the module of `tasks` for `recipe.task`.
    seed : int: 0 or more; order, augmentation, dropout and first weights follow from it.
    init : model folder or shipped id whose weights, where they fit, are the first ones.

    Raises
    ------
    ConfigError: the folder holds another run.
    InputError: the data is not what the task needs.
    BiorrnError: the gradient is not finite for many steps in a row.
    """
    folder = Path(folder)
    if seed < 0:
        raise BiorrnError(f"--seed: found {seed}; allowed is 0 or more")
    where = choose_device(device)
    used_threads = set_threads(threads)
    data = task.open_data(data_path, recipe)
    mark = fingerprint(recipe, data_path, seed)
    if init is not None:
        mark["init"] = sha256(find_model(init) / WEIGHTS)
    checkpoint = open_run(folder, mark, replace)
    if is_finished(folder):
        print(f"{folder}: this run is finished; nothing to do", file=sys.stderr)
        return folder
    torch.manual_seed(derive_seed(seed))
    model = task.make_model(recipe, data)
    taken = start_from(model, init) if init is not None else 0
    precision = choose_precision(model, task, data, recipe, where)
    learner = Learner(model, task, data, recipe, seed, used_threads if where.type == "cpu" else 1)
    print(
        f"training {recipe.name}: {count_parameters(model):,} parameters on {where} with {used_threads} threads, "
        f"precision {precision}"
        + (f", {taken} tensors from {init}" if taken else "")
        + (", taken up from its last epoch" if checkpoint else ""),
        file=sys.stderr,
    )
    best_saver, last_saver = _savers(folder / CHECKPOINTS)
    trainer = _trainer(
        recipe,
        where,
        precision,
        [best_saver, last_saver, Reporter(folder, task, data.training_size * recipe.training.epochs)],
    )
    trainer.fit(learner, ckpt_path=checkpoint, weights_only=False)
    best = torch.load(best_saver.best_model_path, map_location="cpu", weights_only=False)
    learner.load_state_dict(best["state_dict"])
    if hasattr(task, "finish"):  # what a task fits to the validation rows once, not every epoch
        task.finish(learner.best_model, recipe, data)
    epoch = int(best["epoch"])
    row = next(row for row in learner.history if row["epoch"] == epoch)
    write_history(folder, learner.history)  # again, for a finished run that was taken up without it
    save_model(folder, learner.best_model, recipe, data.facts)
    units = data.training_size * len(learner.history)
    write_provenance(
        folder,
        {
            "task": recipe.task,
            "recipe": recipe.name,
            "data": mark["data"],
            "seed": seed,
            "init": None if init is None else {"model": str(init), "sha256": mark["init"]},
            "device": str(where),
            "threads": used_threads,
            "precision": precision,
            "parameters": count_parameters(model),
            "seconds": round(learner.seconds, 1),
            "rate": {"value": round(units / max(learner.seconds, 1e-9), 1), "unit": f"{task.unit}/s"},
            "best": {"epoch": epoch, "metric": f"valid_{task.monitor}", "value": row[f"valid_{task.monitor}"]},
        },
    )
    return folder


def _savers(folder: Path) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Return what keeps the best epoch and what keeps the last; the last, saved after it, knows which is the best."""
    common: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    return (
        BestCheckpoint(folder, filename="best", monitor="monitor", mode="max", **common),
        ModelCheckpoint(folder, filename="last", **common),  # `save_last` would write only where the best changes
    )


def _trainer(recipe: Recipe, device: torch.device, precision: str, callbacks: list[Callback]) -> pl.Trainer:
    settings = recipe.training
    for noisy in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    if settings.patience is not None:
        callbacks = [*callbacks, EarlyStopping("monitor", mode="max", patience=settings.patience, check_finite=False)]
    if settings.max_minutes is not None:
        callbacks = [*callbacks, Timer(timedelta(minutes=settings.max_minutes), interval="epoch", verbose=False)]
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=1 if device.index is None else [device.index],
        precision=LIGHTNING[precision],  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=os.devnull,
    )
