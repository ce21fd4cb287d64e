"""Calibration of a regression model: conformal intervals and novelty threshold from held-out rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import InputError
from biorrn.nn.store import Stored
from biorrn.proteins.predict import predict, target_names
from biorrn.proteins.uncertainty import conformal, novelty
from biorrn.sequences.alphabets import sequence
from biorrn.sequences.records import ProteinRecord
from biorrn.training.batches import ProteinDataset

ROWS = 20_000  # held-out rows that are used, at most
FOLDS = 5  # of them, to measure coverage on rows left out of the calibration
SHOWN = (0.5, 0.8, 0.9, 0.95)  # levels of the summary


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A model's predictions of rows that it was not fitted to.

    Attributes
    ----------
    names : list of str: the targets.
    true, predicted : float arrays (N, K); NaN in `true` is missing.
    spread : float array (N, K) or None.
    """

    names: list[str]
    true: np.ndarray
    predicted: np.ndarray
    spread: np.ndarray | None

    def column(self, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return measured values, predictions and spreads of one target, each (N,)."""
        return (
            self.true[:, place],
            self.predicted[:, place],
            None if self.spread is None else self.spread[:, place],
        )


def held_out(
    stored: Stored,
    prepared: str | Path,
    split: str = "valid",
    *,
    device: torch.device | str = "cpu",
    threads: int | None = None,
) -> HeldOut:
    """Predict the rows of a split of a prepared protein file, at most 20,000 of them, evenly spaced.

    Raises
    ------
    InputError: not a prepared protein file, the split is empty, or its targets are not the model's.
    ConfigError: the model is not one for regression, or the split's name is unknown.
    """
    names = target_names(stored)
    data = ProteinDataset(prepared, split)
    if data.names != names:
        raise InputError(prepared, f"has the targets {', '.join(data.names)}; the model has {', '.join(names)}")
    rows = _some(len(data), ROWS)
    bare = replace(stored, facts={k: v for k, v in stored.facts.items() if k not in ("conformal", "novelty")})
    records = (ProteinRecord(data.ids[row], sequence(data.tokens(row))) for row in rows)
    found = list(predict(bare, records, device=device, threads=threads))
    spread = [prediction.spread for prediction in found if prediction.spread is not None]
    return HeldOut(
        names,
        data.targets[rows].astype(np.float64),
        np.array([prediction.values for prediction in found]),
        np.array(spread) if len(spread) == len(found) else None,
    )


def conformal_facts(held: HeldOut) -> dict[str, Any]:
    """Return {"conformal": {target: entry of `conformal.fit`}}, without targets with too few values."""
    fits = {name: conformal.fit(*held.column(place)) for place, name in enumerate(held.names)}
    return {"conformal": {name: entry for name, entry in fits.items() if entry is not None}}


def novelty_facts(prepared: str | Path, split: str = "valid", fitted: str | None = "train") -> dict[str, Any]:
    """Return the facts "novelty", what `novelty.fit` gives of the training rows of a prepared protein file, and
    "mutants", whether some of them are mutants of others.

    Parameters
    ----------
    split : rows that were held out of training; they give the threshold, if more than "train" trained folds do.
    fitted : the rows that trained: "train", "train+valid", or None for all.
    """
    train = _tokens(ProteinDataset(prepared, fitted), novelty.ROWS)
    held = _tokens(ProteinDataset(prepared, split), ROWS) if fitted == "train" else (train[0][:0], train[1][:0])
    entry = novelty.fit(*train, *held)
    return {} if entry is None else {"novelty": entry, "mutants": novelty.has_mutants(*train)}


def coverage_lines(held: HeldOut, folds: int = FOLDS, seed: int = 0) -> Iterator[str]:
    """Yield a table, TSV, of coverage measured on folds that were left out of the calibration, and of mean widths.

    Raises
    ------
    ConfigError: fewer than 2 folds, or too few rows for so many.
    """
    yield "target\tlevel\tcoverage\twidth\tlowest_fold\thighest_fold\trows\tfolds"
    for place, name in enumerate(held.names):
        found = conformal.cross_coverage(*held.column(place), levels=SHOWN, folds=folds, seed=seed)
        for entry in found["levels"]:
            numbers = (entry["level"], entry["coverage"], entry["width"], min(entry["folds"]), max(entry["folds"]))
            yield "\t".join([name, *(f"{number:.4g}" for number in numbers), str(found["rows"]), str(folds)])


def _some(count: int, limit: int) -> np.ndarray:
    """Return at most `limit` of the places 0 to count - 1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).astype(np.int64))


def _tokens(data: ProteinDataset, limit: int) -> tuple[np.ndarray, np.ndarray]:
    rows = _some(len(data), limit)
    return np.concatenate([data.tokens(row) for row in rows]), data.lengths[rows]
