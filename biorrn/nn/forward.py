"""Batched inference by torch: devices, batches of one padded length, memory limits."""

from __future__ import annotations

import contextlib
import copy
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.base.errors import BiorrnError
from biorrn.nn import windows
from biorrn.nn.ensemble import Ensemble, combine, each
from biorrn.nn.windows import PASS_ROWS, Found, Sent, height_of, matrix, padded_length
from biorrn.sequences.records import ProteinRecord


def model_on(model: torch.nn.Module, device: torch.device | str) -> torch.nn.Module:
    """Return the model on `device` in evaluation mode; the given model is not changed."""
    if torch.device(device).type == "cpu" and not model.training:
        return model
    return copy.deepcopy(model).to(device).eval()


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


def stream(
    records: Iterable[ProteinRecord],
    send: Callable[[list[ProteinRecord], ThreadPoolExecutor], Sent],
    finish: Callable[[Sent], Iterator[Found]],
    *,
    batch_size: int,
    threads: int | None,
    device: torch.device,
    residues: int = windows.WINDOW_RESIDUES,
) -> Iterator[Found]:
    """Yield what `windows.stream` yields, with one thread of torch in each thread of its pool.

    Parameters
    ----------
    send, finish, batch_size, residues : as in `windows.stream`.
    threads : int, optional: CPU threads; default: those of torch.

    Raises
    ------
    BiorrnError: the batch size is below 1.
    """
    workers = (threads or torch.get_num_threads()) if device.type == "cpu" else 1
    settings: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "residues": residues}
    alone = functools.partial(torch.set_num_threads, 1)
    return _exactly(windows.stream(records, send, finish, **settings, begin=alone), device)


def _exactly(results: Iterator[Found], device: torch.device) -> Iterator[Found]:
    before = torch.get_num_threads()
    # without TF32, the default of cuDNN, which changes the third digit
    exact = torch.backends.cudnn.flags(allow_tf32=False) if device.type == "cuda" else contextlib.nullcontext()
    try:
        with exact:
            yield from results
    finally:
        torch.set_num_threads(before)  # some libraries set the number of the workers for all threads


def padded(
    flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, batch_size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x int64 (B, T) and lengths (B,) on the device, of flat[start:start + length], all of one padded length.

    Padding rows repeat the first row.
    """
    width = padded_length(int(lengths.max()))
    more = height_of(len(lengths), width, batch_size, device) - len(lengths)
    x = np.pad(matrix(flat, starts, lengths, width).astype(np.int64), ((0, more), (0, 0)))
    x[len(lengths) :] = x[0]
    sizes = np.concatenate([lengths, np.full(more, lengths[0])])
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
