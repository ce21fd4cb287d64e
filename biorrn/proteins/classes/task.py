"""Training task of classes: a protein in, a score for each class out; data, loss, validation score, calibration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biorrn.base.compute import choose_device
from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import Recipe
from biorrn.nn.batch import Batch
from biorrn.nn.ensemble import probabilities
from biorrn.nn.heads import Classes
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import Stored, load_model, models_of, update_facts
from biorrn.proteins.classes import calibration
from biorrn.proteins.classes.predict import scores_of
from biorrn.proteins.task import with_reference
from biorrn.proteins.uncertainty.confidence import novelty_facts
from biorrn.sequences.alphabets import RESIDUES
from biorrn.stats.classification import score as score_classes
from biorrn.training import processes
from biorrn.training.batches import Batches, ProteinDataset

unit = "sequences"
monitor = "selection"

VALID_BATCH = 512
NO_CLASS = -1  # of a row whose class is missing


class Part:
    """Some rows of a data set, as `batches.Rows`."""

    def __init__(self, rows: ProteinDataset, places: np.ndarray) -> None:
        self.rows, self.places, self.lengths = rows, places, rows.lengths[places]

    def __len__(self) -> int:
        return len(self.places)

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return the proteins at these indices of the part as a batch."""
        return self.rows.collate(self.places[np.asarray(indices, np.int64)])


def halves(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the validation rows choose the epoch, and which calibrate: int arrays, drawn at random.

    All choose where a half would be too few for a calibration.
    """
    order = np.random.default_rng(0).permutation(rows)
    half = rows // 2 if rows >= 2 * calibration.FEWEST else 0
    return np.sort(order[half:]), np.sort(order[:half])


class ClassData(Batches):
    """The rows of a prepared protein file that are fitted, and those of split valid that choose the epoch."""

    rows: ProteinDataset

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        self.rows = ProteinDataset(path, recipe.fitted)
        valid = ProteinDataset(path, "valid")
        self.held_out = Part(valid, halves(len(valid))[0])
        every = classes_of(path, self.rows)
        known = self.rows.targets[np.isfinite(self.rows.targets)].astype(np.int64)
        names = [every[place] for place in np.unique(known)]
        if len(names) < 2:
            raise InputError(path, f"has training rows of {len(names)} class(es); expected two or more")
        if missing := sorted(set(every) - set(names)):
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            tell(f"{path}: {len(missing)} of {len(every)} classes have no training row and are not learned: {shown}")
        for rows in (self.rows, valid):
            renumber(rows, names)
        self.batch_size, self.valid_batch = recipe.training.batch_size, VALID_BATCH
        self.training_size = len(self.rows)
        self.facts: dict[str, Any] = {
            "task": "classification",
            "name": self.rows.names[0],
            "classes": names,
            "outputs": len(names),
            "min_length": int(self.rows.lengths.min()),
            "max_length": int(self.rows.lengths.max()),
            "alphabet": RESIDUES,
        }


def renumber(rows: ProteinDataset, names: Sequence[str]) -> None:
    """Replace the classes of rows by their indices among `names`; one that is not there becomes missing."""
    place_of = {name: place for place, name in enumerate(names)}
    own = np.array([place_of.get(name, np.nan) for name in rows.classes[0]], np.float32)
    there = np.isfinite(rows.targets)
    rows.targets[there] = own[rows.targets[there].astype(np.int64)]


def tell(line: str) -> None:
    """Print a line on standard error, in the first of several processes."""
    if not processes.rank():
        print(line, file=sys.stderr, flush=True)


def classes_of(path: str | Path, rows: ProteinDataset) -> list[str]:
    """Return the classes of the one target of a prepared file.

    Raises
    ------
    InputError: it has none, or several targets.
    """
    if len(rows.names) != 1 or not rows.classes[0]:
        found = ", ".join(rows.names) or "none"
        raise InputError(
            path,
            f"has the targets {found[:200]}; task classification needs one of classes, which biorrn prepare protein "
            "makes of a column of words, or of numbers with --target-type class",
        )
    return rows.classes[0]


def open_data(path: str | Path, recipe: Recipe) -> ClassData:
    """Open a prepared protein file."""
    return ClassData(path, recipe)


def make_model(recipe: Recipe, data: ClassData) -> SequenceModel:
    """Return an untrained model that scores each class as its share of the training rows says."""
    if recipe.training.loss != "cross_entropy":
        raise ConfigError(
            f"recipe '{recipe.name}': training.loss {recipe.training.loss}; task classification has cross_entropy"
        )
    network = with_reference(recipe.network, data.rows)
    model = build_model(network, data.facts["outputs"], given=models_of(network.frontend))
    if not isinstance(model.head, Classes):
        raise ConfigError(f"recipe '{recipe.name}': task classification needs head 'classes'")
    values = data.rows.targets[:, 0]
    counts = np.bincount(values[np.isfinite(values)].astype(np.int64), minlength=data.facts["outputs"]) + 1.0
    last = model.head.output[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))
    return model


def _true(batch: Batch) -> Tensor:
    """Return the class of each row, int64 (B,); `NO_CLASS` where it is missing."""
    assert batch.targets is not None
    return batch.targets[:, 0].nan_to_num(NO_CLASS).long()


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the weighted mean cross-entropy in nats."""
    true, smoothing = _true(batch), recipe.training.label_smoothing
    nats = F.cross_entropy(outputs, true, ignore_index=NO_CLASS, label_smoothing=smoothing, reduction="none")
    weights = _weights(batch, true)
    return (nats * weights).sum() / weights.sum().clamp(min=1e-6)


def _weights(batch: Batch, true: Tensor) -> Tensor:
    known = (true != NO_CLASS).float()
    return known if batch.weights is None else known * batch.weights


def share(batch: Batch, recipe: Recipe) -> float:
    """Return the weight of the rows whose class is known."""
    return float(_weights(batch, _true(batch)).double().sum())


def averaged(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, C), which an ensemble averages, and true classes (n,), of rows whose class is known."""
    true = _true(batch)
    known = true != NO_CLASS
    return probabilities(model, outputs, lengths)[known].cpu().numpy(), true[known].cpu().numpy()


def collect(outputs: Tensor, lengths: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, C) and true classes (n,) of the rows whose class is known."""
    true = _true(batch)
    known = true != NO_CLASS
    return torch.softmax(outputs.float(), -1)[known].cpu().numpy(), true[known].cpu().numpy()


def score(collected: list[Any]) -> dict[str, float]:
    """Return macro F1, accuracy, Matthews correlation, and cross-entropy (nats).

    `selection`, which selects the best epoch, is macro F1 less a thousandth of the cross-entropy, for equal ones.
    """
    found, true = (np.concatenate(parts) for parts in zip(*collected, strict=True))
    sure = found[np.arange(len(true)), true].astype(np.float64)
    nats = float(-np.log(np.maximum(sure, 1e-30)).mean())
    scores = score_classes(true, found.argmax(1))
    return {"selection": scores["macro_f1"] - 1e-3 * nats, **scores, "cross_entropy": nats}


def size(batch: Batch) -> int:
    """Return the number of sequences."""
    return len(batch)


# -- calibration -------------------------------------------------------------------------------------------------------
def scored(stored: Stored, path: str | Path, split: str | None, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Return logarithms of probabilities (N, C) and true classes (N,) of the rows of a calibration.

    Rows of a class that the model does not know are left out.

    Parameters
    ----------
    split : of a prepared file of classes; None is the half of split valid that chose nothing.

    Raises
    ------
    InputError: no such file, or the split is empty.
    """
    rows, names = ProteinDataset(path, split or "valid"), stored.facts["classes"]
    classes_of(path, rows)
    renumber(rows, names)
    places = np.arange(len(rows)) if split is not None else halves(len(rows))[1]
    places = places[np.isfinite(rows.targets[places, 0])]
    model, part = stored.model.to(device).eval(), Part(rows, places)
    found, true = [], []
    with torch.inference_mode():
        for start in range(0, len(part), VALID_BATCH):
            batch = part.collate(range(start, min(start + VALID_BATCH, len(part))))
            found.append(scores_of(model, batch.x.to(device), batch.lengths.to(device)).double().cpu().numpy())
            true.append(_true(batch).numpy())
    model.cpu()
    if not found:
        return np.zeros((0, len(names))), np.zeros(0, np.int64)
    return np.concatenate(found), np.concatenate(true)


def complete(folder: Path, prepared: Path, device: str) -> None:
    """Add the calibration and the test for novelty to the facts of a model folder."""
    stored = load_model(folder)
    entries: dict[str, Any] = {}
    if "class_calibration" not in stored.facts:
        entry = None
        if stored.recipe.fitted == "train":
            entry = calibration.fit(*scored(stored, prepared, None, choose_device(device)))
        if entry is not None:
            entries["class_calibration"] = entry
        else:
            why = f"fewer than {2 * calibration.FEWEST} validation rows"
            why = why if stored.recipe.fitted == "train" else "the validation rows trained the model"
            print(
                f"{folder}: probabilities are not calibrated, and there are no sets: {why}; biorrn calibrate does it "
                "with other rows",
                file=sys.stderr,
            )
    if "novelty" not in stored.facts:
        entries |= novelty_facts(prepared, fitted=stored.recipe.fitted)
    if entries:
        update_facts(folder, **entries)
