"""Validation choices (epoch, weights, unit) repeated without some rows, so that these rows can calibrate intervals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.compute import choose_device
from biorrn.base.files import read_text, sha256
from biorrn.config.recipe import Recipe
from biorrn.nn.ensemble import Calibration
from biorrn.nn.store import Stored, load_model, update_facts
from biorrn.proteins.predict import predict
from biorrn.proteins.task import LOSSES, VALID_BATCH, monitor, unit_line
from biorrn.proteins.uncertainty.confidence import HeldOut, conformal_facts, held_out, novelty_facts
from biorrn.proteins.uncertainty.conformal import FOLDS, dealt
from biorrn.sequences.alphabets import sequence
from biorrn.sequences.records import ProteinRecord
from biorrn.stats.metrics import METRICS
from biorrn.training.batches import ProteinDataset, ordered_batches
from biorrn.training.checkpoint import CHECKPOINTS, LAST, MEMBERS, PROVENANCE, WholeCheckpoints
from biorrn.training.ensemble import given_weights, kinds_of, rising_knots, stacked_weights


def chosen_without(stored: Stored, prepared: str | Path, device: torch.device) -> HeldOut | None:
    """Predict each validation row with the model that the other validation rows choose; None if that is unknown.

    Validation rows choose the epoch of a network, the line of one that learned an order, the weights of an ensemble and
    its calibration. For each fold of them all this is chosen again by the other folds, from what the epochs predicted,
    which a run keeps in its last checkpoint. So no row calibrates the interval of a model that it chose.

    Parameters
    ----------
    stored : Stored: the model of a run folder. For a Gaussian process, and a model without a run, validation rows
        chose nothing, and the model itself predicts.

    Returns
    -------
    HeldOut, in the order of the validation rows.
    """
    folder = stored.path
    if stored.recipe.fitted != "train":
        return None  # these rows trained it
    if not (folder / PROVENANCE).is_file() or _fitted_once(stored.recipe):
        return held_out(stored, prepared, device=device)
    data = ProteinDataset(prepared, "valid")
    order = np.concatenate(ordered_batches(data.lengths, VALID_BATCH))
    true = data.targets[order].astype(np.float64)
    runs = [folder] if stored.recipe.members is None else _runs(folder, len(stored.recipe.members))
    found = [_epochs(run, data, order, device) for run in runs]
    epochs = [one for one in found if one is not None and one.shape[1:] == true.shape]
    if not runs or len(epochs) < len(runs):
        return None
    recipes = [stored.recipe] if stored.recipe.members is None else [load_model(run).recipe for run in runs]
    added = _added(stored, data, order)
    values, spread = np.empty_like(true), np.empty_like(true)
    for part in dealt(np.arange(len(true)), FOLDS):
        rest = np.setdiff1d(np.arange(len(true)), part)
        own = np.stack([_chosen(e, true, rest, r) for e, r in zip(epochs, recipes, strict=True)])  # (M, N, K)
        own = own + added
        values[part] = _combined(own, true, rest, stored.recipe)[part]
        spread[part] = own[:, part].std(0)
    back = np.argsort(order)
    return HeldOut(data.names, true[back], values[back], spread[back] if len(runs) > 1 else None)


def trained_here(stored: Stored, prepared: str | Path) -> bool:
    """Return whether the run of a model was trained on this prepared file."""
    path = stored.path / PROVENANCE
    if not path.is_file():
        return False
    known = json.loads(read_text(path)).get("data") or {}
    return sha256(Path(prepared)) in known.values()


def _fitted_once(recipe: Recipe) -> bool:
    return recipe.members is None and getattr(recipe.model, "core", None) is None


def _runs(folder: Path, count: int) -> list[Path]:
    found = sorted(path for path in (folder / MEMBERS).glob("*") if (path / PROVENANCE).is_file())
    return found if len(found) == count else []


def _epochs(run: Path, data: ProteinDataset, order: np.ndarray, device: torch.device) -> np.ndarray | None:
    """Return the validation predictions of each epoch of a run (E, N, K); a model without epochs has one."""
    stored = load_model(run)
    if _fitted_once(stored.recipe):
        records = (ProteinRecord(data.ids[row], sequence(data.tokens(row))) for row in order)
        return np.array([[found.values for found in predict(stored, records, device=device)]])
    path = run / CHECKPOINTS / LAST
    if not path.is_file():
        return None
    kept = WholeCheckpoints().load_checkpoint(path)["biorrn"].get("replay") or {}
    return np.stack([kept[epoch].numpy().astype(np.float64) for epoch in sorted(kept)]) if kept else None


def _added(stored: Stored, data: ProteinDataset, order: np.ndarray) -> np.ndarray:
    """Return what the near training rows of an ensemble add to each of the rows, (N, K); 0.0 for a model without."""
    memory = getattr(stored.model, "neighbours", None)
    if memory is None:
        return np.zeros(1)
    batches = (data.collate(order[start : start + VALID_BATCH]) for start in range(0, len(order), VALID_BATCH))
    with torch.inference_mode():
        return np.concatenate([memory(batch.x, batch.lengths).double().numpy() for batch in batches])


def _chosen(epochs: np.ndarray, true: np.ndarray, rest: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the predictions (N, K) of the epoch that the rows `rest` choose, with their line where there is one."""
    scores = [_score(true[rest], found[rest]) for found in epochs] if len(epochs) > 1 else [0.0]
    values = np.array(epochs[int(np.argmax(scores))])
    if not _fitted_once(recipe) and LOSSES[recipe.training.loss].point is None:
        for k in range(values.shape[1]):
            there = rest[np.isfinite(true[rest, k])]
            slope, offset = unit_line(values[there, k], true[there, k])
            values[:, k] = slope * values[:, k] + offset
    return values


def _score(true: np.ndarray, values: np.ndarray) -> float:
    """Return the score that chooses, as `proteins.task.score` gives it; one that is not finite is the lowest."""
    scores = [METRICS[monitor](true[:, k], values[:, k]) for k in range(true.shape[1])]
    return float(np.mean(scores)) if np.isfinite(scores).all() else -np.inf


def _combined(values: np.ndarray, true: np.ndarray, rest: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return one model's values (N, K) of those of its members (M, N, K), as the rows `rest` combine them."""
    if recipe.members is None:
        return values[0]
    shares = given_weights(recipe, values.shape[2])
    out = np.empty(values.shape[1:])
    for k in range(values.shape[2]):
        weights = shares[:, k]
        if recipe.combine == "stack":
            weights = stacked_weights(values[:, rest, k], true[rest, k], kinds_of(recipe))
        out[:, k] = weights @ values[:, :, k]
        if recipe.calibrate == "monotone":
            x, y = rising_knots(out[rest, k], true[rest, k])
            line = Calibration(1)
            line.x[0], line.y[0] = torch.from_numpy(x), torch.from_numpy(y)
            out[:, k] = line(torch.from_numpy(out[:, k : k + 1]).float())[:, 0].double().numpy()
    return out


def complete(folder: Path, prepared: Path, device: str) -> None:
    """Add intervals and the test for novelty to the facts of a model folder; see `proteins.uncertainty.confidence`."""

    stored = load_model(folder)
    entries: dict[str, Any] = {}
    if "conformal" not in stored.facts:
        held = chosen_without(stored, prepared, choose_device(device))
        if held is None:
            why = "chose the model, and what its epochs predicted of them is not kept"
            why = why if stored.recipe.fitted == "train" else "trained the model"
            print(
                f"{folder}: no intervals: the validation rows {why}; biorrn evaluate calibrate takes other rows",
                file=sys.stderr,
            )
        else:
            entries |= conformal_facts(held)
    if "novelty" not in stored.facts:
        entries |= novelty_facts(prepared, fitted=stored.recipe.fitted)
    if entries:
        update_facts(folder, **entries)
        missing = [str(target["name"]) for target in stored.facts["targets"]]
        missing = [name for name in missing if name not in entries.get("conformal", {name: None})]
        if missing:
            print(f"{folder}: too few validation values for intervals of {', '.join(missing)}", file=sys.stderr)
