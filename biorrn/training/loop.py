"""Training loop of a network: open data and run folder, precision, trainer, callbacks, checkpoints, model folder."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, Timer
from lightning.pytorch.strategies import DDPStrategy

from biorrn.base.compute import has_bfloat16, set_threads
from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.files import sha256
from biorrn.base.terminal import announced, progress
from biorrn.config.recipe import Recipe
from biorrn.nn.batch import Batch
from biorrn.nn.sequence import SequenceModel
from biorrn.nn.store import WEIGHTS, find_model, load_facts, model_checksum, save_model, start_from
from biorrn.training.alarms import Alarm, Alarms
from biorrn.training.checkpoint import (
    CHECKPOINTS,
    WholeCheckpoints,
    fingerprint,
    is_finished,
    keep_precision,
    open_run,
    write_history,
    write_provenance,
    write_warnings,
)
from biorrn.training.learner import Learner, count_parameters, derive_seed
from biorrn.training.parallel import Piece
from biorrn.training.processes import Processes, choose_place
from biorrn.training.task import Data, Diverged, Task, shown_score

SNAPSHOT = f"{CHECKPOINTS}/model"  # model folder of the best epoch so far
FILES = ("path", "backward")  # keys of a front end whose values are files or model folders


@dataclass(frozen=True, slots=True)
class Begun:
    """An open run, ready to be trained.

    Attributes
    ----------
    recipe : Recipe: as trained.
    folder : the run folder.
    data : the open prepared file.
    device : torch device of this process.
    threads : int: CPU threads of all processes together.
    processes : the rank of this process among those that share the run.
    mark : dict: identity of the run, of `checkpoint.fingerprint`.
    seed, init : arguments of `train.train`.
    checkpoint : Path, optional: to resume from.
    """

    recipe: Recipe
    folder: Path
    data: Data
    device: torch.device
    threads: int
    processes: Processes
    mark: dict[str, Any]
    seed: int
    init: str | Path | None
    checkpoint: Path | None

    @property
    def source(self) -> str:
        """Return the path of the prepared file, as given."""
        return next(iter(self.mark["data"]))

    @property
    def scored(self) -> str:
        """Name of the validation scores: "valid", or "fitted" if the validation rows are trained on too."""
        return "valid" if self.recipe.fitted == "train" else "fitted"

    def metric(self, task: Task) -> str:
        """Return the name of the run's final score."""
        return f"{self.scored}_{task.monitor}"

    def facts(self) -> dict[str, Any]:
        """Return the common entries of provenance.json, with all that `biorrn rerun` needs."""
        return {
            "task": self.recipe.task,
            "recipe": self.recipe.name,
            "configuration": self.recipe.model_dump(mode="json"),
            "data": self.mark["data"],
            "files": self.mark["files"],
            "seed": self.seed,
            "init": None if self.init is None else {"model": str(self.init), "sha256": self.mark["init"]},
            "device": str(self.device),
            "threads": self.threads,
            "processes": self.processes.size,
        }


def begin(
    recipe: Recipe,
    data_path: str | Path,
    folder: str | Path,
    task: Task,
    *,
    seed: int,
    device: str,
    threads: int | None,
    replace: bool,
    init: str | Path | None = None,
    data_recipe: Recipe | None = None,
    keep: Sequence[str] = (),
) -> Begun | None:
    """Open the data and the run folder; return None if the folder holds the same run, finished.

    Of several processes the first opens the folder and informs the others.

    Parameters
    ----------
    data_recipe : Recipe, optional: opens the data; default `recipe`.
    keep : files kept when a run is replaced; see `open_run`.
    Others as in `train.train`.

    Raises
    ------
    BiorrnError: a seed below 0, no such device, or a number of threads below 1.
    ConfigError: the folder holds another run.
    InputError: the data does not suit the task.
    """
    folder = Path(folder)
    if seed < 0:
        raise BiorrnError(f"--seed: found {seed}; allowed is 0 or more")
    where, here = choose_place(device)
    all_threads = set_threads(threads)
    set_threads(max(1, all_threads // here.local_size))

    def open_all() -> tuple[Data, dict[str, Any], Path | None, bool]:
        with announced(f"reading {data_path}"):
            data = task.open_data(data_path, data_recipe or recipe)
        if init is not None and hasattr(task, "continue_from"):
            task.continue_from(data, load_facts(init), init)
        mark = fingerprint(recipe, data_path, seed)
        mark["files"] = _checksums(recipe)
        if init is not None:
            mark["init"] = model_checksum(find_model(init))
        checkpoint = open_run(folder, mark, replace, keep)
        return data, mark, checkpoint, is_finished(folder)

    found = here.ask_first(open_all)
    data = task.open_data(data_path, data_recipe or recipe) if found is None else found[0]
    mark, checkpoint, finished = here.share(found[1:] if found else ({}, None, False))
    if finished:
        if here.first:
            print(f"{folder}: training is finished; nothing to train", file=sys.stderr)
        return None
    return Begun(recipe, folder, data, where, all_threads, here, mark, seed, init, checkpoint)


def files_of(content: Any) -> set[str]:
    """Return the files and model folders that a recipe, as plain values, reads.

    >>> files_of({"members": [{"recipe": {"model": {"frontend": {"name": "table", "path": "a.npz"}}}}]})
    {'a.npz'}
    """
    if isinstance(content, list):
        return set().union(*map(files_of, content))
    if not isinstance(content, dict):
        return set()
    found = {content[key] for key in FILES if isinstance(content.get(key), str)}
    return found.union(*(files_of(value) for value in content.values()))


def _checksums(recipe: Recipe) -> dict[str, str]:
    """Return the SHA-256 of each existing file, and of the teacher; the model reports missing files."""
    found = {}
    for name in sorted(files_of(recipe.model_dump(mode="json"))):
        path = Path(name) / WEIGHTS if Path(name).is_dir() else Path(name)
        if path.is_file():
            found[name] = sha256(path)
    if (teacher := recipe.training.teacher) is not None:
        found[teacher] = model_checksum(find_model(teacher))
    return found


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best epoch, also when the folder was moved before the run is resumed, in which Lightning fails."""

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


PARTS = 10  # lines of epochs in a log, which is read later, and where epochs are short
SILENCE = 60.0  # seconds after which an epoch has its line there in any case


class Reporter(Callback):
    """Shows progress, prints lines of epochs and writes history.tsv.

    A terminal gets a line for each epoch. Elsewhere the first, the last and every tenth of them have one, and one whose
    predecessor is `SILENCE` old.
    """

    def __init__(self, folder: Path, task: Task, total: int) -> None:
        self.folder, self.task, self.total = folder, task, total
        self.printed = -SILENCE  # when the last line was
        self.untold: dict[str, float] | None = None  # the last epoch, if it had no line

    def told(self, epoch: int, epochs: int) -> bool:
        """Return whether an epoch, from 1, has a line."""
        tenth = epoch * PARTS // epochs > (epoch - 1) * PARTS // epochs
        return sys.stderr.isatty() or epoch == 1 or tenth or time.monotonic() - self.printed >= SILENCE

    def on_train_start(self, trainer: pl.Trainer, learner: Any) -> None:
        epochs = trainer.max_epochs or 1
        left = self.total * (epochs - trainer.current_epoch) // epochs
        self.bar = progress("training", self.task.unit, left)
        self.advance = self.bar.__enter__()

    def on_train_batch_end(self, trainer: pl.Trainer, learner: Any, outputs: Any, batch: Piece, index: int) -> None:
        self.advance(self.task.size(batch.whole))

    def on_validation_end(self, trainer: pl.Trainer, learner: Any) -> None:
        write_history(self.folder, learner.history)
        self.untold = learner.history[-1]
        if self.told(int(self.untold["epoch"]) + 1, trainer.max_epochs or 1):
            self._print(trainer, learner)

    def on_train_end(self, trainer: pl.Trainer, learner: Any) -> None:
        if self.untold is not None:  # the last epoch of a run that was stopped early
            self._print(trainer, learner)

    def _print(self, trainer: pl.Trainer, learner: Any) -> None:
        row, self.untold, self.printed = self.untold, None, time.monotonic()
        assert row is not None
        scores = {name.removeprefix("valid_"): value for name, value in row.items()}
        scored = "valid" if learner.recipe.fitted == "train" else "fitted"
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(
            f"{clear}epoch {row['epoch'] + 1:.0f}/{trainer.max_epochs}: loss {row['train_loss']:.4f}, "
            f"{scored} loss {row['valid_loss']:.4f}, {shown_score(self.task, scores)}, {row['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    def teardown(self, trainer: pl.Trainer, learner: Any, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.__exit__(None, None, None)
            del self.bar


class Snapshot(Callback):
    """Writes the model of the best epoch so far to `SNAPSHOT`, which can be used before a long run ends.

    What is fitted after the last epoch, such as the calibration of Q-scores, is missing there.
    """

    def __init__(self, folder: Path, task: Task, recipe: Recipe, data: Data) -> None:
        self.folder, self.task, self.recipe, self.data = folder / SNAPSHOT, task, recipe, data

    def on_validation_end(self, trainer: pl.Trainer, learner: Any) -> None:
        scores = [learner.monitored(row) for row in learner.history]
        if scores.index(max(scores)) < len(scores) - 1:
            return
        model = learner.best_model
        if hasattr(self.task, "fit_unit"):
            model = copy.deepcopy(model)
            self.task.fit_unit(model, self.recipe, self.data)
        save_model(self.folder, model, self.recipe, self.data.facts)


class Watcher(Callback):
    """Prints training warnings after each epoch and writes warnings.tsv.

    Parameters
    ----------
    fresh : bool: the run started from random weights.
    """

    def __init__(self, folder: Path, recipe: Recipe, fresh: bool) -> None:
        self.folder, self.alarms = folder, Alarms(recipe, fresh)

    def on_train_start(self, trainer: pl.Trainer, learner: Any) -> None:
        self.alarms.look_back([row for row in learner.history if row["epoch"] < trainer.current_epoch])
        write_warnings(self.folder, self.alarms.given)

    def on_validation_end(self, trainer: pl.Trainer, learner: Any) -> None:
        self._report(self.alarms.look(learner.history))

    def on_exception(self, trainer: pl.Trainer, learner: Any, exception: BaseException) -> None:
        if isinstance(exception, Diverged):  # its message is printed by the caller
            self.alarms.diverged(trainer.current_epoch + 1, str(exception))
            self._report([])

    def _report(self, new: list[Alarm]) -> None:
        write_warnings(self.folder, self.alarms.given)
        for alarm in new:
            print(f"warning: epoch {alarm.epoch}: {alarm.message}", file=sys.stderr, flush=True)


def savers(folder: Path) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Return the callbacks that save the best and the last epoch; the last is saved after the best and refers to it."""
    common: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    return (
        BestCheckpoint(folder, filename="best", monitor="monitor", mode="max", **common),
        ModelCheckpoint(folder, filename="last", **common),  # `save_last` would write only where the best changes
    )


LIGHTNING = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
GAIN = 1.1  # bfloat16 is chosen only if faster by this factor


def choose_precision(model: SequenceModel, task: Task, data: Data, recipe: Recipe, device: torch.device) -> str:
    """Return "32", "bf16" or "16": the recipe's, or for "auto" the faster of float32 and bfloat16 on one batch.

    On a device without bfloat16 "auto" is "32", without a measurement.

    Raises
    ------
    ConfigError: float16 on a device other than CUDA.
    """
    asked = recipe.training.precision
    if asked == "16" and device.type != "cuda":
        raise ConfigError(f"training.precision: found '16' on {device}; allowed there is one of 32, bf16, auto")
    if asked != "auto":
        return asked
    if not has_bfloat16(device):
        return "32"
    print("measuring whether bfloat16 is faster here than float32", file=sys.stderr, flush=True)
    batch = next(iter(data.train(0, 0))).to(device)
    seconds = {name: _time(name, model, task, batch, recipe, device) for name in ("32", "bf16")}
    return "bf16" if seconds["bf16"] * GAIN < seconds["32"] else "32"


def possible(precision: str, device: torch.device) -> str:
    """Return the precision, or "32" with a line on standard error if it is bfloat16 and the device has none.

    The recipe may set bfloat16, or the run may have started on another machine.
    """
    if precision != "bf16" or has_bfloat16(device):
        return precision
    processor = "this processor" if device.type == "cpu" else f"{device}"
    print(f"training.precision: {processor} does not support bf16; using float32", file=sys.stderr)
    return "32"


def _time(
    precision: str, model: SequenceModel, task: Task, batch: Batch, recipe: Recipe, device: torch.device
) -> float:
    """Return the seconds of the fastest of three training steps; weights and gradients are not changed."""
    model = model.to(device)
    best = float("inf")
    for _ in range(4):  # the first builds kernels
        start = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            outputs, lengths = model(batch.x, batch.lengths)
            loss = task.loss(model, outputs, lengths, batch, recipe)
        torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best


def run(begun: Begun, task: Task, stop: int | None = None) -> None:
    """Train a network and write the model folder; `stop` as in `train.train`.

    Raises
    ------
    Diverged: the gradient is not finite for many steps in a row.
    """
    recipe, data, here, folder = begun.recipe, begun.data, begun.processes, begun.folder
    torch.manual_seed(derive_seed(begun.seed))
    model = task.make_model(recipe, data)
    taken = start_from(model, begun.init) if begun.init is not None else 0
    # measured by one process, since others may get another result
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
            + (", resumed from its last complete epoch" if begun.checkpoint else ""),
            file=sys.stderr,
        )
    best_saver, last_saver = savers(folder / CHECKPOINTS)
    watching: list[Callback] = [best_saver, last_saver]
    if here.first:
        watching.append(Reporter(folder, task, data.training_size * recipe.training.epochs))
        watching.append(Snapshot(folder, task, recipe, data))
        watching.append(Watcher(folder, recipe, begun.init is None))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        epochs = min(stop or recipe.training.epochs, recipe.training.epochs)
        trainer = _trainer(recipe, begun, precision, watching, epochs)
        with _interruptible(folder):
            trainer.fit(learner, ckpt_path=begun.checkpoint, weights_only=True)
    if here.first:
        _finish(begun, task, learner, best_saver.best_model_path, precision)


@contextlib.contextmanager
def _interruptible(folder: Path) -> Iterator[None]:
    """Let Ctrl-C end the block as elsewhere: Lightning would end the program without a word and with exit code 1."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if main:
            signal.signal(signal.SIGINT, handler)
        print(f"{folder}: the same command resumes from the last complete epoch", file=sys.stderr)
        raise KeyboardInterrupt from error


def _finish(begun: Begun, task: Task, learner: Learner, best_path: str, precision: str) -> None:
    """Write the model of the best epoch, history, warnings and provenance."""
    recipe, data, folder = begun.recipe, begun.data, begun.folder
    best = WholeCheckpoints().load_checkpoint(best_path)
    learner.load_state_dict(best["state_dict"])
    if hasattr(task, "fit_unit"):  # once, on the validation rows, after the last epoch
        task.fit_unit(learner.best_model, recipe, data)
    epoch = int(best["epoch"])
    row = next(row for row in learner.history if row["epoch"] == epoch)
    write_history(folder, learner.history)  # again, for a finished run that was resumed without it
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
    """Return Lightning's settings of the processes."""
    if here.size == 1:
        # otherwise Lightning would use the variables and signals of a Slurm job
        return {
            "devices": 1 if device.index is None else [device.index],
            "plugins": [LightningEnvironment(), WholeCheckpoints()],
        }
    # every process computes the same buffers itself
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), broadcast_buffers=False)
    return {
        "devices": here.local_size,
        "num_nodes": here.size // here.local_size,
        "strategy": strategy,
        "plugins": [WholeCheckpoints()],
    }
