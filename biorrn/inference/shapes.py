"""Which sequences go through a model together, and how long they are made: few shapes, from the sequences alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch

from biorrn.inference.forward import ROWS, padded_rows

TOKENS = 131_072  # residues of padded input a forward pass, at most; longer batches are cut
ALONE = 2048  # sequences padded to more than this go alone: they are few, and rows that only fill cost as much
EXACT = 64  # sequences of up to so many residues are not padded at all


def padded_length(length: int) -> int:
    """Return the length to which a sequence is padded: a few steps in each octave, so that the model sees few lengths.

    >>> [padded_length(length) for length in (1, 43, 64, 65, 300, 35_000)]
    [1, 43, 64, 72, 320, 36864]
    """
    if length <= EXACT:
        return length
    step = max(8, 1 << ((length - 1).bit_length() - 4))
    return -(-length // step) * step


def most_rows(width: int, batch_size: int) -> int:
    """Return how many sequences of a padded length go through at once."""
    return 1 if width > ALONE else min(batch_size, max(ROWS, TOKENS // width))


def height_of(rows: int, width: int, batch_size: int, device: torch.device) -> int:
    """Return the rows of a forward pass of `rows` sequences of a padded length, those that only fill it included."""
    return 1 if width > ALONE else padded_rows(rows, most_rows(width, batch_size), device)


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yield the places of the records of each batch; a batch holds one padded length. Empty records are in none."""
    order = sorted((row for row in range(len(lengths)) if lengths[row]), key=lambda row: lengths[row])
    for width, group in itertools.groupby(order, key=lambda row: padded_length(lengths[row])):
        rows = list(group)
        limit = most_rows(width, batch_size)
        yield from (rows[i : i + limit] for i in range(0, len(rows), limit))
