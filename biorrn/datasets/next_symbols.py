"""Proteins as a language model reads them: each symbol is to be told from those before it, or after it.

A protein of T residues is the symbols 0, r1, ..., rT, 0: token 0, which pads batches, also stands at both ends. A model
is never told where a protein ends by anything but that symbol, and begins from a step without residue.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from biorrn.batch import Batch
from biorrn.datasets.proteins import ProteinDataset, pad_tokens
from biorrn.encoders.alphabets import UNKNOWN

IGNORED = -1  # as a target: padding, and residues that are not known
LONGEST = 1024  # steps; a longer protein is cut, so that a giant one does not fill the memory


class SymbolDataset:
    """The proteins of one split of a prepared file, whole or in pieces of at most `longest` steps.

    Every symbol after the first of a protein is the target of one step of one piece: forward, r1 to the end; backward,
    the beginning to rT. A piece that does not begin with the protein begins with an empty memory.

    Attributes
    ----------
    lengths : int64 array (N,): steps of each piece.
    """

    def __init__(self, path: str | Path, split: str | None, backward: bool = False, longest: int = LONGEST) -> None:
        """Load a split ("train", "valid", "test"; None: every protein); targets of the file, if any, are not used.

        Raises
        ------
        InputError: not a prepared protein file, or the split is empty.
        """
        rows = ProteinDataset(path, split)
        self.backward = backward
        self.shortest_protein, self.longest_protein = int(rows.lengths.min()), int(rows.lengths.max())
        self._symbols = np.zeros(int(rows.lengths.sum()) + len(rows) + 1, np.uint8)  # one 0 between two proteins
        starts, lengths, place = [], [], 0
        for row in range(len(rows)):
            steps = int(rows.lengths[row]) + 1
            self._symbols[place + 1 : place + steps] = rows.tokens(row)
            for start in range(0, steps, longest):
                starts.append(place + start)
                lengths.append(min(longest, steps - start))
            place += steps
        self._starts = np.array(starts, np.int64)
        self.lengths = np.array(lengths, np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return pieces as a batch: x int64 (B, T) of tokens, targets int64 (B, T), `IGNORED` where there is none."""
        spans = [(int(self._starts[index]), int(self.lengths[index])) for index in indices]
        shift = int(self.backward)
        x, lengths = pad_tokens([self._symbols[start + shift :][:steps] for start, steps in spans])
        targets = torch.full_like(x, IGNORED)
        for row, (start, steps) in enumerate(spans):
            targets[row, :steps] = torch.from_numpy(self._symbols[start + 1 - shift :][:steps].astype(np.int64))
        return Batch(x=x, lengths=lengths, targets=targets.masked_fill(targets == UNKNOWN, IGNORED))
