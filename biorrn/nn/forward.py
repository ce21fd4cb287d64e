"""Batched inference: devices, batches of one padded length, windows of records, memory limits."""

from __future__ import annotations

import contextlib
import copy
import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.base.errors import BiorrnError
from biorrn.nn.ensemble import Ensemble, combine, each
from biorrn.sequences.alphabets import RESIDUES, code_table, encode
from biorrn.sequences.records import ProteinRecord

# A forward pass has a multiple of this many rows. With one to three rows CPU libraries use other kernels, which add in
# another order, so that the last bits would depend on the batch size: 21 of 400 printed predictions changed.
PASS_ROWS = 8


def model_on(model: torch.nn.Module, device: torch.device | str) -> torch.nn.Module:
    """Return the model on `device` in evaluation mode; the given model is not changed."""
    if torch.device(device).type == "cpu" and not model.training:
        return model
    return copy.deepcopy(model).to(device).eval()


def padded_rows(rows: int, batch_size: int, device: torch.device) -> int:
    """Return the rows of the forward pass of a batch of `rows`, padding rows included.

    On a CPU the next multiple of `PASS_ROWS`; elsewhere the full batch, because each shape has kernels of its own.

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


Item = TypeVar("Item")
# messages of torch's allocators and the CUDA libraries that do not raise torch.OutOfMemoryError
SIGNS = ("can't allocate memory", "out of memory", "alloc_failed", "not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of torch means that memory ran out.

    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    True
    >>> out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def to_stderr(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)


class BatchLimit:
    """The most items of a forward pass, halved each time memory runs out.

    Parameters
    ----------
    rows : int: items a forward pass at first; the attribute is the current limit.
    say : called with one line each time the limit is halved.
    """

    def __init__(self, rows: int, say: Callable[[str], None] = to_stderr) -> None:
        self.rows = rows
        self._say = say

    def each(self, items: Sequence[Item], work: Callable[[Sequence[Item], int], None]) -> None:
        """Call `work(part, rows)` on parts of at most `rows` items, in order; halve `rows` when memory runs out.

        `work` is called again with a part of the same items, so it must have no effect when it fails.

        Raises
        ------
        BiorrnError: memory does not suffice for the fewest rows of a forward pass.
        """
        done = 0
        while done < len(items):
            part = items[done : done + self.rows]
            if self._fits(part, work):
                done += len(part)
                continue
            # outside the except clause, whose exception holds the tensors of the failed pass
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            tried = min(self.rows, len(part))
            if tried <= PASS_ROWS:
                raise BiorrnError(
                    f"memory ran out with {tried} chunks a forward pass, and fewer take no less; free some, or use "
                    "another --device"
                )
            self.rows = max(PASS_ROWS, tried // 2)
            self._say(f"biorrn: memory ran out with --batch-size {tried}; going on with {self.rows}")

    def _fits(self, part: Sequence[Item], work: Callable[[Sequence[Item], int], None]) -> bool:
        try:
            work(part, self.rows)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            if not out_of_memory(error):
                raise
            return False
        return True


WINDOW_BATCHES = 32  # batches of a window of records, which are sorted by length within it
WINDOW_RESIDUES = 2_000_000  # most residues of a window, to within a record

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
    threads: int | None,
    device: torch.device,
    residues: int = WINDOW_RESIDUES,
) -> Iterator[Found]:
    """Run windows of records through `send` and `finish`, as `through` does, and yield the results in order.

    Parameters
    ----------
    send, finish : as in `through`.
    batch_size : int: sequences a forward pass; a window has `WINDOW_BATCHES` batches and about `residues` residues.
    threads : int, optional: CPU threads; default: those of torch.

    Raises
    ------
    BiorrnError: the batch size is below 1.
    """
    if batch_size < 1:
        raise BiorrnError(f"--batch-size: found {batch_size}; allowed is 1 or more")
    workers = (threads or torch.get_num_threads()) if device.type == "cpu" else 1
    parts = windows(records, max(batch_size, PASS_ROWS) * WINDOW_BATCHES, residues)
    return through(parts, send, finish, workers, device)


def through(
    parts: Iterable[list[ProteinRecord]],
    send: Callable[[list[ProteinRecord], ThreadPoolExecutor], Sent],
    finish: Callable[[Sent], Iterator[Found]],
    workers: int,
    device: torch.device,
) -> Iterator[Found]:
    """Yield the results of `finish(send(part, pool))` for each part, in order, with at most two parts in progress.

    Parameters
    ----------
    send : submits the work on a part to the pool, whose threads each use one thread of torch.
    finish : waits for the work and yields its results.
    workers : int: threads of the pool.
    """
    waiting: deque[Sent] = deque()
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "predict", initializer=torch.set_num_threads, initargs=(1,))
    # without TF32, the default of cuDNN, which changes the third digit
    exact = torch.backends.cudnn.flags(allow_tf32=False) if device.type == "cuda" else contextlib.nullcontext()
    try:
        with exact:
            for part in parts:
                waiting.append(send(part, pool))
                if len(waiting) > 1:
                    yield from finish(waiting.popleft())
            while waiting:
                yield from finish(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # some libraries set the number of the workers for all threads


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


def padded(
    flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, batch_size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x int64 (B, T) and lengths (B,) on the device, of flat[start:start + length], all of one padded length.

    Padding rows repeat the first row.
    """
    width = padded_length(int(lengths.max()))
    height = height_of(len(lengths), width, batch_size, device)
    sizes = np.concatenate([lengths, np.full(height - len(lengths), lengths[0])])
    x = np.zeros((height, width), np.int64)
    inside = np.arange(width) < lengths[:, None]  # (B, T)
    x[: len(lengths)][inside] = flat[(starts[:, None] + np.arange(width))[inside]]
    x[len(lengths) :] = x[0]
    return torch.from_numpy(x).to(device), torch.from_numpy(sizes).to(device)


def has_spread(model: nn.Module) -> bool:
    """Return whether `values_and_spread` returns a spread for a model."""
    return hasattr(model, "with_variance") or (isinstance(model, Ensemble) and len(model.members) > 1)


def values_and_spread(model: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return a model's values (B, K) and their spread (B, K) in the same unit, None for a model without one.

    The spread is the unweighted standard deviation over the members of an ensemble, before the calibration of their
    mean; for a Gaussian process it is its posterior standard deviation.

    Parameters
    ----------
    x : int64 tensor (B, T) of tokens, 0 is padding; lengths : int64 tensor (B,).
    """
    with_variance = getattr(model, "with_variance", None)
    if with_variance is not None:
        mean, variance = with_variance(x, lengths)
        return mean, variance.clamp(min=0).sqrt()
    members = each(model, x, lengths)  # (M, B, K)
    return combine(model, members), deviation(members) if len(members) > 1 else None


def deviation(members: Tensor) -> Tensor:
    """Return the standard deviation over the first axis, (M, B, K) -> (B, K).

    >>> deviation(torch.tensor([[[1.0]], [[3.0]]])).tolist()
    [[1.0]]
    """
    # loops, since `std` may add in an order that depends on the number of rows
    mean = torch.zeros_like(members[0])
    for values in members:
        mean = mean + values
    mean = mean / len(members)
    squares = torch.zeros_like(mean)
    for values in members:
        squares = squares + (values - mean).square()
    return (squares / len(members)).sqrt()
