"""Truncated backpropagation through time: long sequences in windows, with the memory of the model carried on.

Sequences lie end to end in as many streams as a batch has rows. A window holds the next steps of every stream; where a
sequence ends within it the rest of the row is padding, and the next one begins with the next window. So memory begins
anew between two calls of a fused kernel, never within one. Neighbours in the order are of like length, which keeps
padding small (Williams and Peng 1990, Neural Computation 2:490; windows of random length: Merity et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from biorrn.batch import Batch
from biorrn.datasets.next_symbols import SymbolDataset
from biorrn.datasets.proteins import MULTIPLE, bucketed_batches

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
