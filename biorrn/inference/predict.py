"""From protein records to predicted values, streamed, in the order of the input.

A prediction is the same for any batch size and any company, to the last bit on a CPU: a sequence is padded to a length
that follows from its own, and no forward pass has fewer than `ROWS` rows, below which linear-algebra libraries change
kernels and with them the order in which they add.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from biorrn.encoders.residues import tokens
from biorrn.errors import BiorrnError, ConfigError
from biorrn.inference.forward import ROWS, model_on, padded_rows
from biorrn.models.store import Stored
from biorrn.readers.records import ProteinRecord

WINDOW_BATCHES = 64  # batches within which records are sorted by length
WINDOW_RESIDUES = 4_000_000  # a window ends here at the latest
TOKENS = 131_072  # residues of padded input a forward pass, at most; longer batches are cut
ALONE = 2048  # sequences padded to more than this go alone: they are few, and rows that only fill cost as much


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one sequence.

    Attributes
    ----------
    id : str: of the record.
    values : float array (K,): one value a target, in the target's unit; NaN for an empty sequence.
    length : int: residues.
    flags : list of str: reasons for doubt: unknown_residues, shorter_than_training, longer_than_training, empty.
    """

    id: str
    values: np.ndarray
    length: int
    flags: list[str] = field(default_factory=list)


def target_names(stored: Stored) -> list[str]:
    """Return the names of the model's targets.

    Raises
    ------
    ConfigError: the model is not one for regression.
    """
    task = stored.facts.get("task")
    if task != "regression":
        hint = "; a basecalling model is for biorrn basecall" if task == "basecalling" else ""
        raise ConfigError(f"{stored.path}: is a model for {task}; biorrn predict needs one for regression{hint}")
    return [str(target["name"]) for target in stored.facts["targets"]]


def padded_length(length: int) -> int:
    """Return the length to which a sequence is padded: a few steps in each octave, so that the model sees few lengths.

    >>> [padded_length(length) for length in (1, 43, 64, 65, 300, 35_000)]
    [8, 48, 64, 72, 320, 36864]
    """
    step = max(8, 1 << max((length - 1).bit_length() - 4, 0))
    return -(-length // step) * step


def predict(
    stored: Stored,
    records: Iterable[ProteinRecord],
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Iterator[Prediction]:
    """Predict each record's values, in input order; memory does not grow with the number of records.

    Parameters
    ----------
    stored : Stored: a regression model.
    records : iterable of ProteinRecord.
    batch_size : int: sequences a forward pass; fewer where they are long. Changes the speed, not the values.
    device : torch device.

    Raises
    ------
    ConfigError: the model is not one for regression.
    BiorrnError: the batch size is below 1, or a record holds a letter outside the alphabet.
    """
    names = target_names(stored)
    if batch_size < 1:
        raise BiorrnError(f"--batch-size: found {batch_size}; allowed is 1 or more")
    model = model_on(stored.model, device)
    windows = _windows(records, max(batch_size, ROWS) * WINDOW_BATCHES)
    return itertools.chain.from_iterable(
        _predict_window(model, stored.facts, window, len(names), batch_size, torch.device(device)) for window in windows
    )


def _windows(records: Iterable[ProteinRecord], limit: int) -> Iterator[list[ProteinRecord]]:
    """Yield runs of at most `limit` records and about `WINDOW_RESIDUES` residues."""
    window: list[ProteinRecord] = []
    residues = 0
    for record in records:
        window.append(record)
        residues += len(record.sequence)
        if len(window) == limit or residues >= WINDOW_RESIDUES:
            yield window
            window, residues = [], 0
    if window:
        yield window


def _predict_window(
    model: torch.nn.Module,
    facts: dict,
    window: Sequence[ProteinRecord],
    targets: int,
    batch_size: int,
    device: torch.device,
) -> Iterator[Prediction]:
    values = np.full((len(window), targets), np.nan, np.float64)
    for rows in _batches([len(record.sequence) for record in window], batch_size):
        values[rows] = _forward(model, [tokens(window[row].sequence) for row in rows], batch_size, device)
    for record, value in zip(window, values, strict=True):
        yield Prediction(record.id, value, len(record.sequence), flags(record, facts))


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yield the places of the records of each batch; a batch holds one padded length. Empty records are in none."""
    order = sorted((row for row in range(len(lengths)) if lengths[row]), key=lambda row: lengths[row])
    for width, group in itertools.groupby(order, key=lambda row: padded_length(lengths[row])):
        rows = list(group)
        limit = 1 if width > ALONE else min(batch_size, max(ROWS, TOKENS // width))
        yield from (rows[i : i + limit] for i in range(0, len(rows), limit))


def _forward(
    model: torch.nn.Module, sequences: Sequence[np.ndarray], batch_size: int, device: torch.device
) -> np.ndarray:
    """Return the values (B, K) of sequences that share one padded length."""
    width = padded_length(max(len(sequence) for sequence in sequences))
    height = 1 if width > ALONE else padded_rows(len(sequences), min(batch_size, max(ROWS, TOKENS // width)), device)
    x = np.zeros((height, width), np.int64)
    lengths = np.ones(height, np.int64)  # the rows that only fill the shape are one step long
    for row, sequence in enumerate(sequences):
        x[row, : len(sequence)] = sequence
        lengths[row] = len(sequence)
    # TF32, the default of cuDNN, would change the third digit
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        outputs = model(torch.from_numpy(x).to(device), torch.from_numpy(lengths).to(device))[0]
        return outputs[: len(sequences)].double().cpu().numpy()


def flags(record: ProteinRecord, facts: dict) -> list[str]:
    """Return the reasons to doubt a prediction for `record`, given what the model was trained on."""
    length = len(record.sequence)
    doubts = {
        "empty": length == 0,
        "unknown_residues": record.unknown > 0 or "X" in record.sequence,
        "shorter_than_training": 0 < length < facts.get("min_length", 0),
        "longer_than_training": length > facts.get("max_length", length),
    }
    return [name for name, holds in doubts.items() if holds]
