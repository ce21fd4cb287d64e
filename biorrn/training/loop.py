"""Train a network: epochs, checkpoints and the model folder."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping, Timer
from lightning.pytorch.strategies import DDPStrategy

from biorrn.config import Recipe
from biorrn.models.store import save_model, start_from
from biorrn.training.alarms import Alarms
from biorrn.training.begin import Begun
from biorrn.training.callbacks import Reporter, Watcher, savers
from biorrn.training.checkpoint import CHECKPOINTS, keep_precision, write_history, write_provenance, write_warnings
from biorrn.training.checkpoint_file import WholeCheckpoints
from biorrn.training.learner import Learner, count_parameters, derive_seed
from biorrn.training.precision import LIGHTNING, choose_precision, possible
from biorrn.training.processes import Processes
from biorrn.training.task import Task


def run(begun: Begun, task: Task, stop: int | None = None) -> None:
    """Train, and write the model folder; `stop` as in `train.train`.

    Raises
    ------
    BiorrnError: the gradient is not finite for many steps in a row.
    """
    recipe, data, here, folder = begun.recipe, begun.data, begun.processes, begun.folder
    torch.manual_seed(derive_seed(begun.seed))
    model = task.make_model(recipe, data)
    taken = start_from(model, begun.init) if begun.init is not None else 0
    # one measures, since others might measure otherwise
    precision = ""
    if here.first:
        measure = partial(choose_precision, model, task, data, recipe, begun.device)
        precision = possible(keep_precision(folder, begun.device.type, measure), begun.device)
    precision = here.share(precision)
    workers = torch.get_num_threads() if begun.device.type == "cpu" else 1
    learner = Learner(model, task, data, recipe, begun.seed, workers, here)
    if here.first:
        print(
            f"training {recipe.name}: {count_parameters(model):,} parameters on {begun.device} with {begun.threads} "
            f"threads, precision {precision}"
            + (f", {here.size} processes" if here.size > 1 else "")
            + (f", {taken} tensors from {begun.init}" if taken else "")
            + (", taken up from its last epoch" if begun.checkpoint else ""),
            file=sys.stderr,
        )
    best_saver, last_saver = savers(folder / CHECKPOINTS)
    watching: list[Callback] = [best_saver, last_saver]
    if here.first:
        watching.append(Reporter(folder, task, data.training_size * recipe.training.epochs))
        watching.append(Watcher(folder, recipe, begun.init is None))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        epochs = min(stop or recipe.training.epochs, recipe.training.epochs)
        trainer = _trainer(recipe, begun, precision, watching, epochs)
        trainer.fit(learner, ckpt_path=begun.checkpoint, weights_only=True)
    if here.first:
        _finish(begun, task, learner, best_saver.best_model_path, precision)


def _finish(begun: Begun, task: Task, learner: Learner, best_path: str, precision: str) -> None:
    """Write the model of the best epoch, and what the run tells."""
    recipe, data, folder = begun.recipe, begun.data, begun.folder
    best = WholeCheckpoints().load_checkpoint(best_path)
    learner.load_state_dict(best["state_dict"])
    if hasattr(task, "finish"):  # what a task fits to the validation rows once, not every epoch
        task.finish(learner.best_model, recipe, data)
    epoch = int(best["epoch"])
    row = next(row for row in learner.history if row["epoch"] == epoch)
    write_history(folder, learner.history)  # again, for a finished run that was taken up without it
    save_model(folder, learner.best_model, recipe, data.facts)
    alarms = Alarms(recipe, begun.init is None)
    alarms.look_back(learner.history)
    write_warnings(folder, alarms.given)
    units = data.training_size * len(learner.history)
    write_provenance(
        folder,
        {
            **begun.facts(),
            "precision": precision,
            "warnings": [asdict(alarm) for alarm in alarms.given],
            "epochs": len(learner.history),
            "parameters": count_parameters(learner.model),
            "seconds": round(learner.seconds, 1),
            "rate": {"value": round(units / max(learner.seconds, 1e-9), 1), "unit": f"{task.unit}/s"},
            "best": {"epoch": epoch, "metric": begun.metric(task), "value": row[f"valid_{task.monitor}"]},
        },
    )


def _trainer(recipe: Recipe, begun: Begun, precision: str, callbacks: list[Callback], epochs: int) -> pl.Trainer:
    settings, device = recipe.training, begun.device
    for noisy in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if settings.patience is not None and settings.rows == "train":
        callbacks = [*callbacks, EarlyStopping("monitor", mode="max", patience=settings.patience, check_finite=False)]
    if settings.max_minutes is not None:
        callbacks = [*callbacks, Timer(timedelta(minutes=settings.max_minutes), interval="epoch", verbose=False)]
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        precision=LIGHTNING[precision],  # type: ignore[arg-type]
        max_epochs=epochs,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=os.devnull,
        **_together(device, begun.processes),
    )


def _together(device: torch.device, here: Processes) -> dict[str, Any]:
    """Return what Lightning is told of the processes."""
    if here.size == 1:
        # else it would take the variables of a Slurm job for its own, and its signals
        return {
            "devices": 1 if device.index is None else [device.index],
            "plugins": [LightningEnvironment(), WholeCheckpoints()],
        }
    # every process computes the buffers itself, and the same
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), broadcast_buffers=False)
    return {
        "devices": here.local_size,
        "num_nodes": here.size // here.local_size,
        "strategy": strategy,
        "plugins": [WholeCheckpoints()],
    }
