"""Pairs of sequences, one to be told from the other: the prepared file, and its rows as batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.batch import Batch
from biorrn.datasets.hdf5_file import new_file
from biorrn.datasets.prepare import PreparedFile, Writer, gather
from biorrn.datasets.proteins import pad_tokens
from biorrn.datasets.schema import SPLITS
from biorrn.encoders.symbols import ALPHABETS, Alphabet
from biorrn.lookup import lookup


class PairWriter(Writer):
    """Appends pairs; see `pair_writer`."""

    def add(self, id: str, source: np.ndarray, target: np.ndarray, split: int = 0) -> None:
        """Append one pair: symbols uint8 (T,) and (U,), and the code of its split."""
        row = {"id": id, "source": source, "target": target, "split": split}
        self._append(row, {"source_offsets": len(source), "target_offsets": len(target)})


@contextlib.contextmanager
def pair_writer(path: str | Path, source: str, target: str) -> Iterator[PairWriter]:
    """Open a new file of pairs; it takes its place at the end, whole or not at all.

    Parameters
    ----------
    path : the HDF5 file to write.
    source, target : str: entries of `encoders.symbols.ALPHABETS`.
    """
    with new_file(path) as file:
        file.attrs["source_alphabet"], file.attrs["target_alphabet"] = source, target
        file.attrs["sources"] = "{}"
        writer = PairWriter(file, "pairs")
        yield writer
        writer.flush()


class PairFile(PreparedFile):
    """A prepared file of pairs, open for reading."""

    kind = "pairs"

    def alphabet(self, side: str) -> Alphabet:
        """Return the alphabet of the "source" or the "target".

        Raises
        ------
        ConfigError: the file names one that this version does not know.
        """
        return lookup(ALPHABETS, str(self.file.attrs[f"{side}_alphabet"]), f"{self.path}: alphabet of the {side}")

    def symbols(self, side: str, row: int) -> np.ndarray:
        """Return the symbols of one side of a pair, uint8 (T,)."""
        start, end = self.file[f"{side}_offsets"][row : row + 2]
        return np.asarray(self.file[side][start:end])


class PairDataset:
    """The pairs of one split, held in memory (one byte a symbol).

    Attributes
    ----------
    source, target : Alphabet of each side.
    lengths, target_lengths : int64 arrays (N,): symbols of each side.
    ids : list of str.
    """

    def __init__(self, path: str | Path, split: str | None) -> None:
        """Load a split ("train", "valid", "test"; None: every pair).

        Raises
        ------
        InputError: not a prepared file of pairs, or the split is empty.
        """
        with PairFile(path) as file:
            rows = file.filled(split, "pairs")
            self.source, self.target = file.alphabet("source"), file.alphabet("target")
            self._flat, self._offsets = {}, {}
            for side in ("source", "target"):
                offsets = file.file[f"{side}_offsets"][:]
                self._flat[side] = gather(file.file[side], offsets, rows)
                self._offsets[side] = np.concatenate([[0], np.cumsum(np.diff(offsets)[rows])])
            self.ids = [str(name) for name in np.asarray(file.strings("id"), object)[rows]]
        self.lengths, self.target_lengths = (np.diff(self._offsets[side]) for side in ("source", "target"))

    def __len__(self) -> int:
        return len(self.lengths)

    def symbols(self, side: str, index: int) -> np.ndarray:
        """Return the symbols of one side of a pair, uint8 (T,)."""
        start, end = self._offsets[side][index : index + 2]
        return self._flat[side][start:end]

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return pairs as a batch: x int64 (B, T), targets int64 (B, U), both 0-padded, and their lengths."""
        chosen = [int(index) for index in indices]
        x, lengths = pad_tokens([self.symbols("source", index) for index in chosen])
        targets, target_lengths = pad_tokens([self.symbols("target", index) for index in chosen])
        longest = max(1, int(target_lengths.max()))  # a decoder steps through padding too
        return Batch(
            x=x,
            lengths=lengths,
            targets=torch.narrow(targets, 1, 0, longest),
            target_lengths=target_lengths,
            ids=[self.ids[index] for index in chosen],
        )


def pair_summary(path: str | Path) -> dict[str, Any]:
    """Return the alphabets, and the counts and lengths of each split of a prepared file of pairs."""
    with PairFile(path) as file:
        present = [split for split in SPLITS if len(file.rows(split))]
        names = {side: file.alphabet(side).name for side in ("source", "target")}
    splits = {}
    for split in present:
        data = PairDataset(path, split)
        splits[split] = {
            "pairs": len(data),
            "source_symbols": int(data.lengths.sum()),
            "target_symbols": int(data.target_lengths.sum()),
            "longest_source": int(data.lengths.max()),
            "longest_target": int(data.target_lengths.max()),
        }
    return {"alphabets": names, "splits": splits}


def pair_leakage(path: str | Path) -> dict[str, Any]:
    """Return how many pairs of valid and test have a source that a pair of train has too."""
    with PairFile(path) as file:
        texts = {
            split: [file.symbols("source", row).tobytes() for row in file.rows(split)] for split in SPLITS
        }  # fmt: skip
    train = set(texts["train"])
    return {
        split: {"pairs": len(rows), "source_in_train": sum(text in train for text in rows)}
        for split, rows in texts.items()
        if split != "train"
    }
