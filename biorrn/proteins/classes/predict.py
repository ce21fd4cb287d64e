"""Predicted classes: scores of a network or an ensemble, and the table of class, probability, set and flags."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.proteins.classes.calibration import Calibrated
from biorrn.proteins.predicted import Predicted
from biorrn.sequences.flags import LEFT_OUT
from biorrn.sequences.tables.classes import BETWEEN
from biorrn.sequences.tables.writer import Memory, Table, late, open_table, table_format

if TYPE_CHECKING:
    import torch

NONE = "."  # cell of an empty set, as of no flags
SHOWN = 0.01  # least probability of a class that a table lists, where a protein may have several; as in CAFA


def scores_of(model: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor, sets: bool = False) -> torch.Tensor:
    """Return the logarithm of the probability of each class before calibration, float (B, C); of sets its logit.

    Parameters
    ----------
    x, lengths : int64 tensors (B, T), (B,): tokens, 0 is padding.
    """
    import torch

    scores, _ = model(x, lengths)
    return scores.float() if sets else torch.log_softmax(scores.float(), -1)


def uncalibrated(facts: Mapping[str, Any], level: float) -> str:
    """Return why the predictions of a model of classes have no sets; "" where they have.

    Raises
    ------
    ConfigError: the level is out of range.
    """
    calibrated = Calibrated.of(facts, level)
    if calibrated is None or calibrated.least is not None:
        return ""
    entry = facts.get("class_calibration")
    reason = f"too few calibration rows for {level:g}: {entry['rows']}" if entry else "it was never calibrated"
    return f"no sets: {reason}; biorrn calibrate makes them from held-out rows"


def columns(name: str, sets: bool, several: bool = False) -> list[str]:
    """Return the columns of a table of classes, or of sets of `several`.

    >>> columns("family", sets=True)
    ['id', 'length', 'family', 'family_probability', 'family_set', 'flags']
    """
    sure = f"{name}_{'probabilities' if several else 'probability'}"
    return ["id", "length", name, sure, *([f"{name}_set"] if sets else []), "flags"]


@contextlib.contextmanager
def open_classes(
    path: str | Path | Memory, facts: Mapping[str, Any], level: float, carried: Sequence[str] = ()
) -> Iterator[Callable[[Predicted], None]]:
    """Open a table of classes, and yield the function that writes some; rows as of `predict.open_predictions`.

    Where a protein may have several, the cells hold all that are called, most probable first; and the probability of
    each that has `SHOWN` or more, as `nucleus=0.93;membrane=0.2`.

    Parameters
    ----------
    facts : of the model.
    level : float: of the sets.
    carried : columns of the input's table, whose cells the predictions have.

    Raises
    ------
    ConfigError: the level is out of range, or the table has no format.
    BiorrnError: the file cannot be written.
    """
    calibrated = Calibrated.of(facts, level)
    assert calibrated is not None
    classes, sets, several = list(facts["classes"]), calibrated.least is not None, bool(facts.get("sets"))
    names = columns(facts["name"], sets, several)
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: two columns would be named '{facts['name']}'; rename the target of the model")
    if not isinstance(path, Memory):
        table_format(path)
    kinds: dict[str, type] = dict.fromkeys(names, str) | {"length": int}
    kinds |= {} if several else {f"{facts['name']}_probability": float}
    for name in carried:
        while name in kinds:
            name = f"input_{name}"
        kinds[name] = str

    def put(table: Table, found: Predicted) -> None:
        out = [marks[:1] == (LEFT_OUT,) for marks in found.flags]
        ranked = np.argsort(-found.values, axis=1, kind="stable")

        def joined(held: np.ndarray) -> list[Any]:
            rows = zip(ranked, held.sum(axis=1).tolist(), strict=True)
            return [BETWEEN.join(classes[place] for place in order[:size]) or NONE for order, size in rows]

        called: list[Any]
        sure: list[Any]
        if several:
            called = joined(calibrated.called(found.values))
            shown = ((order[own[order] >= SHOWN], own) for order, own in zip(ranked, found.values, strict=True))
            sure = [BETWEEN.join(f"{classes[k]}={own[k]:.3g}" for k in order) or NONE for order, own in shown]
        else:
            best = np.where(out, 0, ranked[:, 0])
            called = [classes[place] for place in best]
            sure = found.values[np.arange(len(found)), best].tolist()
        held = calibrated.sets(found.values)
        listed = [] if held is None else joined(held)
        cells = [called, sure, *([listed] if sets else [])]
        cells = [[None if gone else cell for gone, cell in zip(out, column, strict=True)] for column in cells]
        lengths = [None if gone else length for gone, length in zip(out, found.lengths, strict=True)]
        told = [",".join(marks) or "." for marks in found.flags]
        table.add([found.ids, lengths, *cells, told, *zip(*found.cells, strict=True)])

    with late(lambda first: open_table(path, kinds), put) as write:
        yield write
