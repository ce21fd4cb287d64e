"""Data sets of a language model: inputs and targets of next-symbol prediction, whole or in windows (BPTT).

A sequence is the ids BOS s1 ... sn EOS of a tokeniser. A forward model reads BOS to sn and predicts s1 to EOS; a
backward model reads EOS to s1 and predicts sn to BOS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from biorrn.nn.batch import Batch
from biorrn.sequences.prepared.files import offsets_of
from biorrn.sequences.tokenisers import BOS, EOS, UNK, Tokeniser
from biorrn.training.batches import MULTIPLE, ProteinDataset, bucketed_batches, pad_tokens

IGNORED = -1  # target of padding and of unknown letters
LONGEST = 1024  # maximum steps of a piece; longer sequences are cut to limit memory


class SymbolDataset:
    """The sequences of one split as symbols, whole or in pieces of at most `longest` steps.

    Every symbol after the first is the target of one step of one piece. A later piece of a sequence starts from an
    initial state; see `windows` for a state that is carried over.

    Attributes
    ----------
    flat : int64 array (total,): ids of all sequences, one after another, each with BOS and EOS.
    offsets : int64 array (N + 1,): first id of each sequence.
    lengths : int64 array (pieces,): steps of each piece.
    letters : int64 array (size,): number of letters of each id; 0 for ids that are no target.
    """

    def __init__(
        self, rows: ProteinDataset, tokeniser: Tokeniser, backward: bool = False, longest: int = LONGEST
    ) -> None:
        """Encode the rows of a split."""
        self.backward = backward
        self.letters = tokeniser.letters
        self.letters[UNK] = 0
        ids = [tokeniser.encode_tokens(rows.tokens(row)) for row in range(len(rows))]
        self.offsets = offsets_of([len(part) + 2 for part in ids])
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
        """Steps of each whole sequence, int64 (N,)."""
        return np.diff(self.offsets) - 1

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Return pieces as a batch: ids x int64 (B, T), targets int64 (B, T), `IGNORED` if there is none."""
        spans = [(int(self._starts[index]), int(self.lengths[index])) for index in indices]
        shift = int(self.backward)
        inputs = [self.flat[start + shift :][:steps] for start, steps in spans]
        return self.batch(inputs, [self.flat[start + 1 - shift :][:steps] for start, steps in spans])

    def batch(self, inputs: list[np.ndarray], targets: list[np.ndarray], carried: np.ndarray | None = None) -> Batch:
        """Return rows of input and target ids as a padded batch; `carried` as in `nn.batch.Batch`."""
        x, lengths = pad_tokens(inputs)
        padded = torch.full_like(x, IGNORED)
        for row, ids in enumerate(targets):
            padded[row, : len(ids)] = torch.from_numpy(ids)
        letters = torch.tensor([int(self.letters[ids].sum()) for ids in targets])
        return Batch(
            x=x,
            lengths=lengths,
            targets=padded.masked_fill(padded == UNK, IGNORED),
            target_lengths=letters,
            carried=None if carried is None else torch.from_numpy(carried),
        )


HALVED = 0.05  # fraction of windows of half the length
SPREAD = 1 / 14  # standard deviation of the window length, as a fraction of it: 5 of 70 steps

Window = tuple[np.ndarray, np.ndarray, np.ndarray]


def plan(steps: np.ndarray, order: np.ndarray, streams: int, width: Callable[[], int]) -> Iterator[Window]:
    """Yield for each window: the sequence of each stream (-1: none), its first step, and the number of steps.

    Parameters
    ----------
    steps : int64 array (N,): steps of each sequence.
    order : int64 array (N,): order in which streams take sequences.
    width : returns the maximum length of the next window.
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
    """Yield the windows of an epoch: each sequence once, reproducible for epoch and seed.

    Window lengths vary (Merity et al. 2018), in multiples of `MULTIPLE`, so that there are few lengths.

    Parameters
    ----------
    streams : int: rows per batch.
    bptt : int: mean steps per window.
    """
    rng = np.random.default_rng([seed, epoch, bptt])
    order = np.concatenate(bucketed_batches(data.steps, streams, seed, epoch))

    def width() -> int:
        mean = bptt / 2 if rng.random() < HALVED else bptt
        return max(1, round(rng.normal(mean, bptt * SPREAD) / MULTIPLE)) * MULTIPLE

    yield from _cut(data, plan(data.steps, order, streams, width))


def whole(data: SymbolDataset, streams: int, bptt: int) -> Iterator[tuple[np.ndarray, np.ndarray, Batch]]:
    """Yield windows of `bptt` steps, sequences sorted by length: sequence and first step of each row, and the batch."""
    order = np.argsort(data.steps, kind="stable")
    planned = list(plan(data.steps, order, streams, lambda: bptt))
    for (rows, places, _), batch in zip(planned, _cut(data, iter(planned)), strict=True):
        yield rows, places, batch


def count(data: SymbolDataset, streams: int, bptt: int) -> int:
    """Return the approximate number of windows per epoch; it varies with their random lengths."""
    order = np.concatenate(bucketed_batches(data.steps, streams, 0, 0))
    return sum(1 for _ in plan(data.steps, order, streams, lambda: bptt))


def _cut(data: SymbolDataset, planned: Iterator[Window]) -> Iterator[Batch]:
    flat, starts = data.flat, data.offsets[:-1]
    if data.backward:  # reverse everything
        flat, starts = flat[::-1].copy(), len(flat) - data.offsets[1:]
    for rows, places, counts in planned:
        first = np.where(rows >= 0, starts[rows] + places, 0)
        inputs = [flat[start : start + steps] for start, steps in zip(first, counts, strict=True)]
        targets = [flat[start + 1 : start + 1 + steps] for start, steps in zip(first, counts, strict=True)]
        yield data.batch(inputs, targets, (rows >= 0) & (places > 0))
