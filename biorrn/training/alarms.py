"""Training warnings: diverging, exploding, vanishing or stalled training, detected in the history of a run.

Kinds and conditions:

not_finite : a loss of the epoch, the mean validation loss, or the gradient of a step is NaN or infinite. With precision
    16, whose loss scale is found by trial, any number of skipped steps is allowed in the first epoch, one in 20 later.
exploding : at least 5 steps and one in 20 of the epoch had a gradient norm of more than 10 times the running quantile
    (`training.clip_quantile` of the last 100 norms); or the mean norm before clipping was in two consecutive epochs
    more than 10 times the median of the epochs before; or the epoch's mean loss is more than 10 times that of the run's
    first step.
vanishing_depth : the gradient norm of the front end or of a layer of the core is below 1e-4 of the largest part's (in
    the shipped recipes at least 2e-3), or the norm of the whole gradient is below 1e-8 of the loss.
vanishing_time : at the input of the first recurrent layer, in sequences of ten steps or more, the tenth of the steps
    with the smallest gradient has less than 1e-6 of that of the tenth with the largest.
not_falling : after three epochs, or one more than the warm-up, the median loss of the later epochs is not 1 % below
    that of the first, and no validation loss is 0.1 % below the first. Not for runs with initial weights (--init).

A warning is repeated only when its value is 10 times worse than at the last one. After one of the first two kinds the
others are not checked, as they would follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from biorrn.config.recipe import Core, Model, Recipe, cores

OFTEN, FEWEST = 0.05, 5  # fraction and least number of an epoch's steps
RISE = 10.0  # of a gradient norm or a loss
DEPTH, TIME, NOTHING = 1e-4, 1e-6, 1e-8  # fractions of the largest gradient, and of the loss
FALL, VALID_FALL = 0.01, 1e-3  # fractions of the first epoch's training and validation loss
PATIENCE = 3  # epochs
WORSE = 10.0  # times, for a warning to be given again
History = list[dict[str, float]]
Found = tuple[float, str]  # severity, and the message


@dataclass(frozen=True, slots=True)
class Alarm:
    """A warning.

    Attributes
    ----------
    epoch : int: from 1.
    kind : str: an entry of `ALARMS`.
    message : str: the symptom, and the keys of the recipe to change.
    """

    epoch: int
    kind: str
    message: str


class Alarms:
    """The warnings of a run so far.

    Parameters
    ----------
    recipe : Recipe: its values are quoted in the messages.
    fresh : bool: the run started from random weights.
    """

    def __init__(self, recipe: Recipe, fresh: bool = True) -> None:
        self.recipe, self.fresh = recipe, fresh
        self.given: list[Alarm] = []
        self._worst: dict[str, float] = {}

    def look(self, history: History) -> list[Alarm]:
        """Return the new warnings after the last epoch of a history; earlier epochs must have been checked before."""
        new: list[Alarm] = []
        for kind, find in ALARMS.items():
            found = find(history, self.recipe)
            if found is None or (kind == "not_falling" and not self.fresh):
                continue
            size, message = found
            if size >= WORSE * self._worst.get(kind, 0.0):
                self._worst[kind] = size
                new.append(Alarm(int(history[-1]["epoch"]) + 1, kind, message))
            if kind in ("not_finite", "exploding"):
                break  # the other kinds follow from these
        self.given += new
        return new

    def diverged(self, epoch: int, message: str) -> None:
        """Record that the run was aborted in an epoch, from 1."""
        self.given.append(Alarm(epoch, "not_finite", message))

    def look_back(self, history: History) -> None:
        """Check all epochs of a resumed run."""
        for number in range(1, len(history) + 1):
            self.look(history[:number])


def _not_finite(history: History, recipe: Recipe) -> Found | None:
    row, settings = history[-1], recipe.training
    losses, steps = row.get("bad_losses", 0), row.get("skipped_steps", 0)
    if settings.precision == "16" and (len(history) == 1 or steps <= OFTEN * _steps(history)):
        steps = 0
    parts = [f"the loss of {losses:.0f} steps"] if losses > 0 else []
    parts += (
        [f"the gradient of {steps:.0f} steps, which {'was' if steps == 1 else 'were'} skipped,"] if steps > 0 else []
    )
    parts += ["the loss of the validation rows"] if not math.isfinite(row["valid_loss"]) else []
    if not parts:
        return None
    what = " and ".join(parts) + (" was" if len(parts) == 1 and " steps" not in parts[0] else " were")
    changes = [f"training.lr {_less(settings.lr)} (now {settings.lr:g})"]
    changes += ["training.precision '32'"] if settings.precision != "32" else []
    changes += [f"training.loss huber (now {settings.loss})"] if settings.loss in ("mse", "mse+rank") else []
    return max(
        losses, steps, 1.0
    ), f"{what} not finite. Try {', '.join(changes)}, or look for extreme values in the data"


def _exploding(history: History, recipe: Recipe) -> Found | None:
    row, settings = history[-1], recipe.training
    far, loss = row.get("far_steps", 0), row["train_loss"]
    norm = min(late["grad_norm"] for late in history[-2:])
    usual = median(early["grad_norm"] for early in history[:-2]) if len(history) > 2 else 0.0
    first = history[0].get("first_loss", math.nan)
    if far >= max(FEWEST, OFTEN * _steps(history)):
        size, what = far, f"the gradient explodes: that of {far:.0f} steps was more than 10 times that of the others"
    elif usual > 0 and norm > RISE * usual:
        size, what = (
            norm / usual,
            f"the gradient explodes: its norm rose to {norm:.3g}, from {usual:.3g} in the epochs before",
        )
    elif first > 0 and loss > RISE * first:
        size, what = (
            loss / first,
            f"the training diverges: its loss rose to {loss:.3g}, from {first:.3g} at the first step",
        )
    else:
        return None
    changes = [f"training.lr {_less(settings.lr)} (now {settings.lr:g})"]
    changes += [f"training.clip_quantile 0.5 (now {settings.clip_quantile:g})"] if settings.clip_quantile > 0.5 else []
    changes += [change for change in _core_changes(recipe) if "skip" not in change]
    return size, f"{what}. Try {', '.join(changes)}"


def _vanishing_depth(history: History, recipe: Recipe) -> Found | None:
    row = history[-1]
    parts = {name.removeprefix("grad_norm."): row[name] for name in row if name.startswith("grad_norm.")}
    parts = {name: norm for name, norm in parts.items() if math.isfinite(norm)}
    early = {name: norm for name, norm in parts.items() if name.split(".")[0] in ("frontend", "core")}
    norm, loss = row["grad_norm"], abs(row["train_loss"])
    if loss > 0 and norm <= NOTHING * loss and not row.get("skipped_steps", 0):
        size, what = 1 / NOTHING, f"the norm of the whole gradient is {norm:.1g}"
    elif early and min(early.values()) < DEPTH * max(parts.values()):
        name, most = min(early, key=lambda name: early[name]), max(parts, key=lambda name: parts[name])
        ratio = early[name] / parts[most]
        size, what = 1 / max(ratio, 1e-30), f"{name} gets {ratio:.1g} of the gradient norm of {most}"
    else:
        return None
    changes = _core_changes(recipe) or [f"training.lr {_less(recipe.training.lr)} (now {recipe.training.lr:g})"]
    return size, f"the gradient vanishes on its way to the input: {what}. Try {', '.join(changes)}"


def _vanishing_time(history: History, recipe: Recipe) -> Found | None:
    ratio = history[-1].get("grad_time", math.nan)
    if not ratio < TIME:  # nan too
        return None
    pool = list(recipe.model.pool) if isinstance(recipe.model, Model) else []
    changes = [f"model.pool [mean, attention] (now {pool})"] if pool else []
    changes += [change for change in _core_changes(recipe) if "cell" in change]
    changes += ["shorter sequences"] if not changes else []
    return 1 / max(ratio, 1e-30), (
        f"the gradient vanishes over time: some steps of the sequences get {ratio:.1g} of what others get, "
        f"too little to learn from them. Try {', '.join(changes)}"
    )


def _not_falling(history: History, recipe: Recipe) -> Found | None:
    settings = recipe.training
    wait = max(PATIENCE, math.ceil(settings.warmup * settings.epochs) + 1)
    losses = [row["train_loss"] for row in history]
    judged = [row["valid_loss"] for row in history]
    if len(losses) < wait or not losses[0] > 0:
        return None
    later = [loss for loss in losses[1:] if math.isfinite(loss)]
    if later and (median(later) <= (1 - FALL) * losses[0] or min(judged[1:]) <= (1 - VALID_FALL) * judged[0]):
        return None
    lr = settings.lr
    return float(len(losses)), (
        f"the training loss has not fallen in {len(losses)} epochs: {losses[0]:.4g} in the first, {losses[-1]:.4g} now."
        f" Try training.lr {_less(lr)} or {_short(3 * lr)} (now {lr:g}), and check that values and sequences belong"
        " together"
    )


def _steps(history: History) -> float:
    """Return the steps of the last epoch."""
    return max(1.0, history[-1].get("step", 0) - (history[-2].get("step", 0) if len(history) > 1 else 0))


def _less(value: float) -> str:
    return _short(value / 5)


def _short(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


def _core_changes(recipe: Recipe) -> list[str]:
    """Return suggested changes of a recurrent core, each as a key with a value."""
    if not isinstance(recipe.model, Model):
        return []
    found: list[str] = []
    given: Any = recipe.model.core
    for number, core in enumerate(cores(given)):
        key = f"model.core.{number}" if isinstance(given, list) else "model.core"
        if not isinstance(core, Core) or not core.layers:
            continue
        found += [f"{key}.cell lstm (now {core.cell})"] if core.cell in ("rnn", "irnn") else []
        found += [f"{key}.layer_norm true"] if not core.layer_norm else []
        found += [f"{key}.skip true"] if not core.skip and core.layers > 1 else []
        found += [f"fewer {key}.layers (now {core.layers})"] if core.layers > 2 else []
    return found


ALARMS: Mapping[str, Callable[[History, Recipe], Found | None]] = {
    "not_finite": _not_finite,
    "exploding": _exploding,
    "vanishing_depth": _vanishing_depth,
    "vanishing_time": _vanishing_time,
    "not_falling": _not_falling,
}
