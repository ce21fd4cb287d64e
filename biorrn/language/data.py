"""Sequences as a language model reads them: each symbol is to be told from those before it, or after it.

A sequence is the ids BOS s1 ... sn EOS of a tokeniser. Forward, its steps read BOS to sn and are to tell s1 to EOS;
backward they read EOS to s1 and are to tell sn to BOS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from biorrn.nn.batch import Batch
from biorrn.sequences.tokenisers import BOS, EOS, UNK, Tokeniser
from biorrn.training.batches import MULTIPLE, ProteinDataset, bucketed_batches, pad_tokens

IGNORED = -1  # as a target: padding, and letters that are not known
LONGEST = 1024  # steps of a piece; a longer sequence is cut, so that a giant one does not fill the memory


class SymbolDataset:
    """The sequences of one split as symbols, whole or in pieces of at most `longest` steps.

    Every symbol after the first of a sequence is the target of one step of one piece. A piece that does not begin with
    the sequence begins with an empty memory; see `language.data` for memory that is carried on.

    Attributes
    ----------
    flat : int64 array (total,): ids of all sequences, one after another, each with its begin and end.
    offsets : int64 array (N + 1,): where each starts.
    lengths : int64 array (pieces,): steps of each piece.
    letters : int64 array (size,): letters that each id stands for; 0 for those that no one is to tell.
    """

    def __init__(
        self, rows: ProteinDataset, tokeniser: Tokeniser, backward: bool = False, longest: int = LONGEST
    ) -> None:
        """Read the rows of a split; targets of the file, if any, are not used."""
        self.backward = backward
        self.letters = tokeniser.letters
        self.letters[UNK] = 0
        ids = [tokeniser.encode_tokens(rows.tokens(row)) for row in range(len(rows))]
        self.offsets = np.concatenate([[0], np.cumsum([len(part) + 2 for part in ids])]).astype(np.int64)
        self.flat = np.empty(int(self.offsets[-1]), np.int64)
        for start, part in zip(self.offsets[:-1], ids, strict=True):
            self.flat[start], self.flat[start + 1 + len(part)] = BOS, EOS
            self.flat[start + 1 : start + 1 + len(part)] = part
        starts, lengths = [], []
        for place, end in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True):
            for start in range(place, end - 1, longest):
                starts.append(start)
                lengths.append(min(longest, end - 1 - start))
        self._starts = np.array(starts, np.int64)
        self.lengths = np.array(lengths, np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def steps(self) -> np.ndarray:
        """Return the steps of each whole sequence, int64 (N,)."""
        return np.diff(self.offsets) - 1

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return pieces as a batch: x int64 (B, T) of ids, targets int64 (B, T), `IGNORED` where there is none."""
        spans = [(int(self._starts[index]), int(self.lengths[index])) for index in indices]
        shift = int(self.backward)
        read = [self.flat[start + shift :][:steps] for start, steps in spans]
        return self.batch(read, [self.flat[start + 1 - shift :][:steps] for start, steps in spans])

    def batch(self, read: list[np.ndarray], told: list[np.ndarray], carried: np.ndarray | None = None) -> Batch:
        """Return a batch of rows of ids to read and to tell, padded; `carried` as in `batch.Batch`."""
        x, lengths = pad_tokens(read)
        targets = torch.full_like(x, IGNORED)
        for row, ids in enumerate(told):
            targets[row, : len(ids)] = torch.from_numpy(ids)
        letters = torch.tensor([int(self.letters[ids].sum()) for ids in told])
        return Batch(
            x=x,
            lengths=lengths,
            targets=targets.masked_fill(targets == UNK, IGNORED),
            target_lengths=letters,
            carried=None if carried is None else torch.from_numpy(carried),
        )


HALVED = 0.05  # part of the windows that are half as long
SPREAD = 1 / 14  # standard deviation of a window's length, as a part of it: 5 steps of 70

Window = tuple[np.ndarray, np.ndarray, np.ndarray]


def plan(steps: np.ndarray, order: np.ndarray, streams: int, width: Callable[[], int]) -> Iterator[Window]:
    """Yield for each window the sequence of each stream (-1: none left), its first step there, and how many.

    Parameters
    ----------
    steps : int64 array (N,): of each sequence.
    order : int64 array (N,): sequences in the order in which streams take them.
    width : called for the greatest length of each window.
    """
    row, place = np.full(streams, -1), np.zeros(streams, np.int64)
    taken = 0
    while True:
        for stream in np.flatnonzero(row < 0)[: len(order) - taken]:
            row[stream], place[stream] = order[taken], 0
            taken += 1
        left = np.where(row >= 0, steps[row] - place, 0)
        if not left.any():
            return
        count = np.minimum(left, width())
        yield row.copy(), place.copy(), count
        place += count
        row[count == left] = -1


def windows(data: SymbolDataset, streams: int, bptt: int, epoch: int, seed: int) -> Iterator[Batch]:
    """Yield the windows of an epoch: each sequence once, the same for the same epoch and seed.

    Parameters
    ----------
    streams : int: rows of a batch.
    bptt : int: steps of a window, on average; each is a multiple of `MULTIPLE`, so that there are few lengths.
    """
    rng = np.random.default_rng([seed, epoch, bptt])
    order = np.concatenate(bucketed_batches(data.steps, streams, seed, epoch))

    def width() -> int:
        mean = bptt / 2 if rng.random() < HALVED else bptt
        return max(1, round(rng.normal(mean, bptt * SPREAD) / MULTIPLE)) * MULTIPLE

    yield from _cut(data, plan(data.steps, order, streams, width))


def whole(data: SymbolDataset, streams: int, bptt: int) -> Iterator[tuple[np.ndarray, np.ndarray, Batch]]:
    """Yield windows of `bptt` steps over all sequences by length, no chance: sequence and first step of every row."""
    order = np.argsort(data.steps, kind="stable")
    planned = list(plan(data.steps, order, streams, lambda: bptt))
    for (rows, places, _), batch in zip(planned, _cut(data, iter(planned)), strict=True):
        yield rows, places, batch


def count(data: SymbolDataset, streams: int, bptt: int) -> int:
    """Return about how many windows an epoch has; their random lengths make a few more or less."""
    order = np.concatenate(bucketed_batches(data.steps, streams, 0, 0))
    return sum(1 for _ in plan(data.steps, order, streams, lambda: bptt))


def _cut(data: SymbolDataset, planned: Iterator[Window]) -> Iterator[Batch]:
    flat, starts = data.flat, data.offsets[:-1]
    if data.backward:  # read from the end: all of it turned round
        flat, starts = flat[::-1].copy(), len(flat) - data.offsets[1:]
    for rows, places, counts in planned:
        first = np.where(rows >= 0, starts[rows] + places, 0)
        read = [flat[start : start + steps] for start, steps in zip(first, counts, strict=True)]
        told = [flat[start + 1 : start + 1 + steps] for start, steps in zip(first, counts, strict=True)]
        yield data.batch(read, told, (rows >= 0) & (places > 0))
