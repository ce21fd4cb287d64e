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


def scores_of(model: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the probability of each class before calibration, float (B, C).

    Parameters
    ----------
    x, lengths : int64 tensors (B, T), (B,): tokens, 0 is padding.
    """
    import torch

    scores, _ = model(x, lengths)
    return torch.log_softmax(scores.float(), -1)


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


def columns(name: str, sets: bool) -> list[str]:
    """Return the columns of a table of classes.

    >>> columns("family", sets=True)
    ['id', 'length', 'family', 'family_probability', 'family_set', 'flags']
    """
    return ["id", "length", name, f"{name}_probability", *([f"{name}_set"] if sets else []), "flags"]


@contextlib.contextmanager
def open_classes(
    path: str | Path | Memory, facts: Mapping[str, Any], level: float, carried: Sequence[str] = ()
) -> Iterator[Callable[[Predicted], None]]:
    """Open a table of classes, and yield the function that writes some; rows as of `predict.open_predictions`.

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
    classes, sets = list(facts["classes"]), calibrated.least is not None
    names = columns(facts["name"], sets)
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: two columns would be named '{facts['name']}'; rename the target of the model")
    if not isinstance(path, Memory):
        table_format(path)
    kinds: dict[str, type] = dict.fromkeys(names, str) | {"length": int, f"{facts['name']}_probability": float}
    for name in carried:
        while name in kinds:
            name = f"input_{name}"
        kinds[name] = str

    def put(table: Table, found: Predicted) -> None:
        out = [marks[:1] == (LEFT_OUT,) for marks in found.flags]
        best = np.where(out, 0, np.nan_to_num(found.values, nan=-1.0).argmax(axis=1))
        called: list[Any] = [classes[place] for place in best]
        sure: list[Any] = found.values[np.arange(len(found)), best].tolist()
        held = calibrated.sets(found.values)
        listed: list[Any] = []
        if held is not None:
            ranked = np.argsort(-found.values, axis=1, kind="stable")
            for row, order in zip(held, ranked, strict=True):
                listed.append(BETWEEN.join(classes[place] for place in order[: int(row.sum())]) or NONE)
        cells = [called, sure, *([listed] if sets else [])]
        cells = [[None if gone else cell for gone, cell in zip(out, column, strict=True)] for column in cells]
        lengths = [None if gone else length for gone, length in zip(out, found.lengths, strict=True)]
        told = [",".join(marks) or "." for marks in found.flags]
        table.add([found.ids, lengths, *cells, told, *zip(*found.cells, strict=True)])

    with late(lambda first: open_table(path, kinds), put) as write:
        yield write
