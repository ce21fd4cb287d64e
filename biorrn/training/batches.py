"""Protein data sets: rows of a prepared file in memory, padded batches, order of an epoch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from biorrn.nn.batch import Batch
from biorrn.sequences.prepared.files import ProteinFile, gather, offsets_of

MULTIPLE = 8  # batches are padded to a multiple of this; CPU libraries build kernels for each new length


class ProteinDataset:
    """The proteins of one split of a prepared file, in memory as tokens (one byte a residue).

    Attributes
    ----------
    flat : uint8 array (total,): concatenated tokens of all proteins.
    lengths : int64 array (N,): residues of each protein.
    targets : float32 array (N, K): values, NaN where missing.
    weights : float32 array (N,).
    bounds : float32 array (N, K, 2), or None: see `batch.Batch`.
    names, units : list of str: of each target column.
    classes : list of list of str: the classes of a target column, whose values are their indices; of numbers none.
    sets : list of bool: whether these classes are sets of several, see `sequences.tables.classes.labels_of`.
    alphabet : str: the letters; a token is the position of its letter, from 1.
    """

    def __init__(self, path: str | Path, split: str | None) -> None:
        """Load a split ("train", "valid", "test"; None: every protein).

        Raises
        ------
        InputError: not a prepared protein file, or the split is empty.
        """
        with ProteinFile(path) as file:
            rows = file.filled(split, "proteins")
            offsets = file.file["offsets"][:]
            self.lengths = np.diff(offsets)[rows]
            self.flat = gather(file.file["tokens"], offsets, rows)
            self._offsets = offsets_of(self.lengths)
            self.targets = file.file["targets"][:][rows]
            self.weights = file.file["weights"][:][rows]
            bounds = file.bounds
            self.bounds = None if bounds is None else bounds[rows]
            self.ids = [str(name) for name in np.asarray(file.strings("id"), object)[rows]]
            self.names = [target["name"] for target in file.targets]
            self.units = [target["unit"] for target in file.targets]
            self.classes = [list(target.get("classes") or ()) for target in file.targets]
            self.sets = [bool(target.get("sets")) for target in file.targets]
            self.alphabet = file.alphabet

    def __len__(self) -> int:
        return len(self.lengths)

    def tokens(self, index: int) -> np.ndarray:
        """Return the tokens of one protein, uint8 (T,)."""
        return self.flat[self._offsets[index] : self._offsets[index + 1]]

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return the proteins at these indices of the split as a batch: x int64 (B, T), targets float32 (B, K)."""
        chosen = np.asarray(indices, np.int64)
        x, lengths = pad_tokens([self.tokens(index) for index in chosen])
        return Batch(
            x=x,
            lengths=lengths,
            targets=torch.from_numpy(self.targets[chosen]),
            weights=torch.from_numpy(self.weights[chosen]),
            bounds=None if self.bounds is None else torch.from_numpy(self.bounds[chosen]),
            ids=[self.ids[index] for index in chosen],
        )


def pad_tokens(sequences: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token arrays (T_i,) as an int64 tensor (B, T), 0-padded to a multiple of `MULTIPLE`, and lengths (B,)."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    longest = int(lengths.max(initial=1))
    x = np.zeros((len(sequences), -(-longest // MULTIPLE) * MULTIPLE), np.int64)
    for row, sequence in enumerate(sequences):
        x[row, : len(sequence)] = sequence
    return torch.from_numpy(x), torch.from_numpy(lengths)


def bucketed_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the indices of each batch of an epoch: every protein once, similar lengths together, otherwise random.

    Parameters
    ----------
    lengths : int array (N,): residues.
    batch_size : int: proteins a batch; one batch may hold fewer.
    seed, epoch : int: the same pair gives the same batches.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    # the stable sort keeps the random order within one padded length, so that batches differ between epochs
    padded = -(-np.asarray(lengths)[order] // MULTIPLE)
    order = order[np.argsort(padded, kind="stable")]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[place] for place in rng.permutation(len(batches))]


def ordered_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return batches for scoring: every protein once, ordered by length."""
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


class Rows(Protocol):
    """Proteins of one split."""

    lengths: np.ndarray

    def __len__(self) -> int: ...

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return the proteins at these indices of the split as a batch."""
        ...


class Batches:
    """Training and validation batches of proteins; base class of the `Data` of tasks.

    Attributes
    ----------
    rows, held_out : Rows: the training and the validation split.
    batch_size, valid_batch : int: proteins a training batch and a validation batch.
    sized : bool: whether `steps` is exact.
    """

    sized = True

    rows: Rows
    held_out: Rows
    batch_size: int
    valid_batch: int

    def steps(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def train(self, epoch: int, seed: int) -> Iterator[Batch]:
        for indices in bucketed_batches(self.rows.lengths, self.batch_size, seed, epoch):
            yield self.rows.collate(indices)

    def valid(self) -> Iterator[Batch]:
        for indices in ordered_batches(self.held_out.lengths, self.valid_batch):
            yield self.held_out.collate(indices)
