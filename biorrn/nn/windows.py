"""Windows of records: read ahead, sorted by length into batches, run on threads, and given back in input order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from biorrn.base.errors import BiorrnError
from biorrn.sequences.alphabets import RESIDUES, code_table, encode
from biorrn.sequences.records import ProteinRecord

if TYPE_CHECKING:
    import torch

# A forward pass has a multiple of this many rows. With one to three rows CPU libraries use other kernels, which add in
# another order, so that the last bits would depend on the batch size: 21 of 400 printed predictions changed.
PASS_ROWS = 8


def padded_rows(rows: int, batch_size: int, device: torch.device) -> int:
    """Return the rows of the forward pass of a batch of `rows`, padding rows included.

    On a CPU the next multiple of `PASS_ROWS`; elsewhere the full batch, because each shape has kernels of its own.

    >>> import torch
    >>> [padded_rows(rows, 64, torch.device("cpu")) for rows in (1, 16, 17)], padded_rows(3, 50, torch.device("cuda"))
    ([8, 16, 24], 56)
    """
    wanted = rows if device.type == "cpu" else batch_size
    return -(-wanted // PASS_ROWS) * PASS_ROWS


TOKENS = 131_072  # most residues of a forward pass, padding included
ALONE = 2048  # longer sequences are run alone, without padding rows, which would cost as much
EXACT = 64  # sequences of up to this many residues are not padded


def padded_length(length: int) -> int:
    """Return the length to which a sequence is padded: a few values in each octave, so that lengths are few.

    >>> [padded_length(length) for length in (1, 43, 64, 65, 300, 35_000)]
    [1, 43, 64, 72, 320, 36864]
    """
    if length <= EXACT:
        return length
    step = max(8, 1 << ((length - 1).bit_length() - 4))
    return -(-length // step) * step


def most_rows(width: int, batch_size: int) -> int:
    """Return the most sequences of a padded length in a forward pass."""
    return 1 if width > ALONE else min(batch_size, max(PASS_ROWS, TOKENS // width))


def height_of(rows: int, width: int, batch_size: int, device: torch.device) -> int:
    """Return the rows of a forward pass of `rows` sequences of a padded length, padding rows included."""
    return 1 if width > ALONE else padded_rows(rows, most_rows(width, batch_size), device)


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yield the indices of the records of each batch, all of one padded length; empty records are in none."""
    order = sorted((row for row in range(len(lengths)) if lengths[row]), key=lambda row: lengths[row])
    for width, group in itertools.groupby(order, key=lambda row: padded_length(lengths[row])):
        rows = list(group)
        limit = most_rows(width, batch_size)
        yield from (rows[i : i + limit] for i in range(0, len(rows), limit))


FEWEST, SHARES = 24, 4  # rows of a batch, and batches for each worker
EVEN_BATCHES = 8  # batches of a window where all are even: less waits at the start and at the end
WINDOW_BATCHES = 32  # batches of a window of records, which are sorted by length within it
WINDOW_RESIDUES = 2_000_000  # most residues of a window, to within a record


def even_batches(lengths: Sequence[int], batch_size: int, workers: int) -> Iterator[list[int]]:
    """Yield the indices of the records of each batch, by length; empty records are in none.

    For an engine that takes rows of any lengths in a pass. Batches are so many that the workers end together.
    """
    order = np.argsort(np.asarray(lengths, np.int64), kind="stable").tolist()
    order = [row for row in order if lengths[row]]
    limit = min(batch_size, max(FEWEST, -(-len(order) // (SHARES * workers))))
    while order:
        rows = order[:limit]
        rows = rows[: max(1, TOKENS // lengths[rows[-1]])]
        yield rows
        order = order[len(rows) :]


Sent = TypeVar("Sent")
Found = TypeVar("Found")


def windows(
    records: Iterable[ProteinRecord], limit: int, residues: int = WINDOW_RESIDUES
) -> Iterator[list[ProteinRecord]]:
    """Yield runs of at most `limit` records and about `residues` residues."""
    window: list[ProteinRecord] = []
    held = 0
    for record in records:
        window.append(record)
        held += len(record.sequence)
        if len(window) == limit or held >= residues:
            yield window
            window, held = [], 0
    if window:
        yield window


def stream(
    records: Iterable[ProteinRecord],
    send: Callable[[list[ProteinRecord], ThreadPoolExecutor], Sent],
    finish: Callable[[Sent], Iterator[Found]],
    *,
    batch_size: int,
    workers: int,
    residues: int = WINDOW_RESIDUES,
    even: bool = False,
    begin: Callable[[], None] = lambda: None,
) -> Iterator[Found]:
    """Yield the results of `finish(send(window, pool))` for each window, in order, with at most two in progress.

    Parameters
    ----------
    send : submits the work on a window to the pool.
    finish : waits for the work and yields its results.
    batch_size : int: sequences a forward pass; a window has `WINDOW_BATCHES` batches and about `residues` residues.
    even : bool: `even_batches` are made of a window, which has `EVEN_BATCHES`.
    workers : int: threads of the pool, each of which calls `begin` at its start.

    Raises
    ------
    BiorrnError: the batch size is below 1.
    """
    if batch_size < 1:
        raise BiorrnError(f"--batch-size: found {batch_size}; allowed is 1 or more")
    parts = windows(records, max(batch_size, PASS_ROWS) * (EVEN_BATCHES if even else WINDOW_BATCHES), residues)
    return _through(parts, send, finish, ThreadPoolExecutor(workers, "predict", initializer=begin))


def _through(
    parts: Iterable[list[ProteinRecord]],
    send: Callable[[list[ProteinRecord], ThreadPoolExecutor], Sent],
    finish: Callable[[Sent], Iterator[Found]],
    pool: ThreadPoolExecutor,
) -> Iterator[Found]:
    waiting: deque[Sent] = deque()
    try:
        for part in parts:
            waiting.append(send(part, pool))
            if len(waiting) > 1:
                yield from finish(waiting.popleft())
        while waiting:
            yield from finish(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def joined(records: Sequence[ProteinRecord], alphabet: str = RESIDUES) -> np.ndarray:
    """Return the concatenated tokens of all records, uint8 (total,): the index of a letter in the alphabet + 1.

    Raises
    ------
    BiorrnError: a letter is not in the alphabet; the message gives its position in its sequence.
    """
    codes = code_table({letter: token for token, letter in enumerate(alphabet, 1)})
    what = "residue" if alphabet == RESIDUES else "letter"
    try:
        return encode("".join(record.sequence for record in records), codes, what, alphabet)
    except BiorrnError:
        for record in records:
            encode(record.sequence, codes, what, alphabet)
        raise


def matrix(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, width: int) -> np.ndarray:
    """Return flat[start:start + length] as rows (B, width), 0-padded."""
    inside = np.arange(width) < lengths[:, None]
    x = np.zeros(inside.shape, flat.dtype)
    x[inside] = flat[(starts[:, None] + np.arange(width))[inside]]
    return x
