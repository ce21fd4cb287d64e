"""Training task of classes: a protein in, a score for each class out; data, loss, validation score, calibration.

A protein has one class, or a set of them (multi-label). The targets of a batch are then (B, 1), the index of the class,
or (B, C), 1 for each class of the set; a row of NaN is missing.
"""

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
from biorrn.nn.heads import Classes, Labels
from biorrn.nn.sequence import SequenceModel, build_model
from biorrn.nn.store import Stored, load_model, models_of, update_facts
from biorrn.proteins.classes import calibration
from biorrn.proteins.classes.predict import scores_of
from biorrn.proteins.task import with_reference
from biorrn.proteins.uncertainty.confidence import novelty_facts
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.prepared.files import offsets_of
from biorrn.sequences.similarity import cluster
from biorrn.sequences.tables.classes import labels_of
from biorrn.stats.classification import score as score_classes
from biorrn.stats.labels import score as score_labels
from biorrn.training import processes
from biorrn.training.batches import Batches, ProteinDataset

unit = "sequences"
monitor, leading = "selection", ("macro_ap", "macro_f1")

VALID_BATCH = 512
NO_CLASS = -1  # of a row whose class is missing
ALIKE = 0.5  # identity of relatives, of which none calibrates where another chooses
COMPARED = 50_000  # validation rows up to which relatives are looked for


class Part:
    """Some rows of a data set, as `batches.Rows`."""

    def __init__(self, rows: ProteinDataset, places: np.ndarray) -> None:
        self.rows, self.places, self.lengths = rows, places, rows.lengths[places]

    def __len__(self) -> int:
        return len(self.places)

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return the proteins at these indices of the part as a batch."""
        return self.rows.collate(self.places[np.asarray(indices, np.int64)])


def halves(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the validation rows choose the epoch, and which calibrate: int arrays, drawn at random.

    Whole groups are drawn, so that no relative of a calibration row chooses; single rows where the groups are too few
    or too large for two parts of at least a third. All choose where a half would be too few for a calibration.

    Parameters
    ----------
    groups : int array (N,): of relatives, see `relatives`.
    """
    rows, rng = len(groups), np.random.default_rng(0)
    half = rows // 2 if rows >= 2 * calibration.FEWEST else 0
    _, sizes = np.unique(groups, return_counts=True)
    order = rng.permutation(len(sizes))
    total = np.cumsum(sizes[order])
    taken = int(np.searchsorted(total, half))
    if half and taken < len(order) and rows / 3 <= total[taken] <= 2 * rows / 3:
        number = np.unique(groups, return_inverse=True)[1]
        own = np.isin(number, order[: taken + 1])
        return np.flatnonzero(~own), np.flatnonzero(own)
    order = rng.permutation(rows)
    return np.sort(order[half:]), np.sort(order[:half])


def relatives(rows: ProteinDataset) -> np.ndarray:
    """Return the cluster of each row at `ALIKE` identity, int64 (N,); each its own where the rows are too many."""
    if len(rows) > COMPARED:
        return np.arange(len(rows))
    return cluster(rows.flat, offsets_of(rows.lengths), ALIKE)


class ClassData(Batches):
    """The rows of a prepared protein file that are fitted, and those of split valid that choose the epoch."""

    rows: ProteinDataset

    def __init__(self, path: str | Path, recipe: Recipe) -> None:
        self.rows = ProteinDataset(path, recipe.fitted)
        valid = ProteinDataset(path, "valid")
        self.held_out = Part(valid, halves(relatives(valid))[0])
        every = classes_of(path, self.rows)
        sets = self.rows.sets[0]
        known = self.rows.targets[np.isfinite(self.rows.targets)].astype(np.int64)
        if sets:
            every, members = labels_of(every)
            known = np.array([label for place in known for label in members[place]], np.int64)
        names = [every[place] for place in np.unique(known)]
        if len(names) < 2:
            raise InputError(path, f"has training rows of {len(names)} class(es); expected two or more")
        if missing := sorted(set(every) - set(names)):
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            have, are = ("has", "is") if len(missing) == 1 else ("have", "are")
            share = f"{len(missing)} of {len(every)} classes"
            tell(f"{path}: {share} {have} no training row and {are} not learned: {shown}")
        for rows in (self.rows, valid):
            renumber(rows, names)
        self.batch_size, self.valid_batch = recipe.training.batch_size, VALID_BATCH
        self.training_size = len(self.rows)
        self.facts: dict[str, Any] = {
            "task": "classification",
            "name": self.rows.names[0],
            "classes": names,
            "outputs": len(names),
            **({"sets": True} if sets else {}),
            "min_length": int(self.rows.lengths.min()),
            "max_length": int(self.rows.lengths.max()),
            "alphabet": RESIDUES,
        }


def renumber(rows: ProteinDataset, names: Sequence[str]) -> None:
    """Replace the classes of rows by their indices among `names`; one that is not there becomes missing.

    Sets become rows (C,) of 0 and 1; of a set without any of the names, unless it is that of none, the row is missing.
    """
    place_of = {name: place for place, name in enumerate(names)}
    if rows.sets[0]:
        every, members = labels_of(rows.classes[0])
        table = np.zeros((len(members), len(names)), np.float32)
        for own, labels in zip(table, members, strict=True):
            own[[place_of[every[label]] for label in labels if every[label] in place_of]] = 1.0
            if labels and not own.any():
                own[:] = np.nan
        values = rows.targets[:, 0]
        there = np.isfinite(values)
        rows.targets = np.full((len(rows), len(names)), np.nan, np.float32)
        rows.targets[there] = table[values[there].astype(np.int64)]
        rows.bounds = None
        return
    own = np.array([place_of.get(name, np.nan) for name in rows.classes[0]], np.float32)
    there = np.isfinite(rows.targets)
    rows.targets[there] = own[rows.targets[there].astype(np.int64)]


def tell(line: str) -> None:
    """Print a line on standard error, in the first of several processes."""
    if not processes.rank():
        print(line, file=sys.stderr, flush=True)


def classes_of(path: str | Path, rows: ProteinDataset) -> list[str]:
    """Return the classes, or the sets of them, of the one target of a prepared file.

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
    """Return an untrained model that scores each class as its share of the training rows says.

    Raises
    ------
    ConfigError: the loss or the head does not fit the classes.
    """
    if recipe.training.loss != "cross_entropy":
        raise ConfigError(
            f"recipe '{recipe.name}': training.loss {recipe.training.loss}; task classification has cross_entropy"
        )
    network = with_reference(recipe.network, data.rows)
    model = build_model(network, data.facts["outputs"], given=models_of(network.frontend))
    sets = bool(data.facts.get("sets"))
    if not isinstance(model.head, Classes) or isinstance(model.head, Labels) != sets:
        found, wanted = ("sets of classes", "labels") if sets else ("one class a protein", "classes")
        raise ConfigError(
            f"recipe '{recipe.name}': task classification needs head '{wanted}' for {found}, as in "
            f"'{data.facts['name']}'; found '{network.head.name}' (--set model.head.name={wanted})"
        )
    values = data.rows.targets[np.isfinite(data.rows.targets).all(axis=1)]
    if sets:
        shares = (values.sum(axis=0) + 0.5) / (len(values) + 1.0)
        start = np.log(shares / (1 - shares))
    else:
        counts = np.bincount(values[:, 0].astype(np.int64), minlength=data.facts["outputs"]) + 1.0
        start = np.log(counts / counts.sum())
    last = model.head.output[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias.copy_(torch.from_numpy(start))
    return model


def _true(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the class of each row, int64 (B,), or its set, bool (B, C), and whether it is known, bool (B,)."""
    assert batch.targets is not None
    known = batch.targets.isfinite().all(1)
    if batch.targets.shape[1] == 1:
        return batch.targets[:, 0].nan_to_num(NO_CLASS).long(), known
    return batch.targets.nan_to_num(0.0) > 0, known


def loss(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the weighted mean cross-entropy in nats a row; of sets that of each class by itself, summed."""
    (true, known), smoothing = _true(batch), recipe.training.label_smoothing
    if true.ndim == 2:
        wanted = true.float() * (1 - smoothing) + smoothing / 2
        nats = F.binary_cross_entropy_with_logits(outputs, wanted, reduction="none").sum(1)
    else:
        nats = F.cross_entropy(outputs, true, ignore_index=NO_CLASS, label_smoothing=smoothing, reduction="none")
    weights = _weights(batch, known)
    return (nats * weights).sum() / weights.sum().clamp(min=1e-6)


def _weights(batch: Batch, known: Tensor) -> Tensor:
    return known.float() if batch.weights is None else known.float() * batch.weights


def share(batch: Batch, recipe: Recipe) -> float:
    """Return the weight of the rows whose class is known."""
    return float(_weights(batch, _true(batch)[1]).double().sum())


def averaged(model: SequenceModel, outputs: Tensor, lengths: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, C), which an ensemble averages, and what is true, of rows whose class is known."""
    true, known = _true(batch)
    return probabilities(model, outputs, lengths)[known].cpu().numpy(), true[known].cpu().numpy()


def collect(outputs: Tensor, lengths: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, C) and true classes (n,), or sets (n, C), of the rows whose class is known."""
    true, known = _true(batch)
    found = outputs.float().sigmoid() if true.ndim == 2 else outputs.float().softmax(-1)
    return found[known].cpu().numpy(), true[known].cpu().numpy()


def score(collected: list[Any]) -> dict[str, float]:
    """Return macro F1, accuracy, Matthews correlation, and cross-entropy (nats).

    Of sets F-max, macro average precision, F1 of calls from 0.5, exact sets, and cross-entropy (nats a row).
    `selection`, which selects the best epoch, is macro F1, or macro average precision, less a thousandth of the
    cross-entropy, for equal ones.
    """
    found, true = (np.concatenate(parts) for parts in zip(*collected, strict=True))
    if true.ndim == 2:
        sure = np.where(true, found, 1 - found).astype(np.float64)
        nats = float(-np.log(np.maximum(sure, 1e-30)).sum(axis=1).mean())
        scores = score_labels(true, found >= 0.5, found)
        return {"selection": float(np.nan_to_num(scores["macro_ap"])) - 1e-3 * nats, **scores, "cross_entropy": nats}
    sure = found[np.arange(len(true)), true].astype(np.float64)
    nats = float(-np.log(np.maximum(sure, 1e-30)).mean())
    scores = score_classes(true, found.argmax(1))
    return {"selection": scores["macro_f1"] - 1e-3 * nats, **scores, "cross_entropy": nats}


def size(batch: Batch) -> int:
    """Return the number of sequences."""
    return len(batch)


# -- calibration -------------------------------------------------------------------------------------------------------
def scored(stored: Stored, path: str | Path, split: str | None, device: torch.device) -> tuple[np.ndarray, ...]:
    """Return scores (N, C) as of `scores_of`, true classes (N,) or sets (N, C), and groups of relatives (N,).

    Of the rows of a calibration, as `calibration.fit` takes them.

    Rows of a class that the model does not know are left out.

    Parameters
    ----------
    split : of a prepared file of classes; None is the half of split valid that chose nothing.

    Raises
    ------
    InputError: no such file, or the split is empty.
    """
    rows, names, sets = ProteinDataset(path, split or "valid"), stored.facts["classes"], bool(stored.facts.get("sets"))
    classes_of(path, rows)
    rows.sets = [sets or rows.sets[0]]  # one class a row is a set of one
    if rows.sets[0] != sets:
        raise InputError(path, f"holds sets of classes; {stored.path} predicts one class a protein")
    renumber(rows, names)
    groups = relatives(rows)
    places = np.arange(len(rows)) if split is not None else halves(groups)[1]
    places = places[np.isfinite(rows.targets[places, 0])]
    model, part = stored.model.to(device).eval(), Part(rows, places)
    found, true = [], []
    with torch.inference_mode():
        for start in range(0, len(part), VALID_BATCH):
            batch = part.collate(range(start, min(start + VALID_BATCH, len(part))))
            found.append(scores_of(model, batch.x.to(device), batch.lengths.to(device), sets).double().cpu().numpy())
            true.append(_true(batch)[0].numpy())
    model.cpu()
    if not found:
        none = np.zeros((0, len(names)))
        return none, none > 0 if sets else np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(found), np.concatenate(true), groups[places]


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
