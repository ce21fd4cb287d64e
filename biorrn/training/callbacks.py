"""What watches a training: progress and history for the reader, and the checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from biorrn.config import Recipe
from biorrn.progress import progress
from biorrn.training.alarms import Alarm, Alarms
from biorrn.training.checkpoint import write_history, write_warnings
from biorrn.training.pieces import Piece
from biorrn.training.task import Diverged, Task


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

    def on_train_batch_end(self, trainer: pl.Trainer, learner: Any, outputs: Any, batch: Piece, index: int) -> None:
        self.advance(self.task.size(batch.whole))

    def on_validation_end(self, trainer: pl.Trainer, learner: Any) -> None:
        write_history(self.folder, learner.history)
        row = learner.history[-1]
        name = f"valid_{self.task.monitor}"
        scored = "valid" if learner.recipe.fitted == "train" else "fitted"
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(
            f"{clear}epoch {row['epoch'] + 1:.0f}/{trainer.max_epochs}: loss {row['train_loss']:.4f}, "
            f"{scored} loss {row['valid_loss']:.4f}, {self.task.monitor} {row[name]:.4f}, {row['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    def teardown(self, trainer: pl.Trainer, learner: Any, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.__exit__(None, None, None)
            del self.bar


class Watcher(Callback):
    """Warns, after each epoch, of what goes wrong, and keeps warnings.tsv; there is none where nothing does.

    Parameters
    ----------
    fresh : bool: the run began from random weights.
    """

    def __init__(self, folder: Path, recipe: Recipe, fresh: bool) -> None:
        self.folder, self.alarms = folder, Alarms(recipe, fresh)

    def on_train_start(self, trainer: pl.Trainer, learner: Any) -> None:
        self.alarms.look_back([row for row in learner.history if row["epoch"] < trainer.current_epoch])
        write_warnings(self.folder, self.alarms.given)

    def on_validation_end(self, trainer: pl.Trainer, learner: Any) -> None:
        self._tell(self.alarms.look(learner.history))

    def on_exception(self, trainer: pl.Trainer, learner: Any, exception: BaseException) -> None:
        if isinstance(exception, Diverged):  # which says itself that the run is given up
            self.alarms.diverged(trainer.current_epoch + 1, str(exception))
            self._tell([])

    def _tell(self, new: list[Alarm]) -> None:
        write_warnings(self.folder, self.alarms.given)
        for alarm in new:
            print(f"warning: epoch {alarm.epoch}: {alarm.message}", file=sys.stderr, flush=True)


def savers(folder: Path) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Return what keeps the best epoch and what keeps the last; the last, saved after it, knows which is the best."""
    common: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    return (
        BestCheckpoint(folder, filename="best", monitor="monitor", mode="max", **common),
        ModelCheckpoint(folder, filename="last", **common),  # `save_last` would write only where the best changes
    )
