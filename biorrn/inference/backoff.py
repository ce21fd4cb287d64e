"""Going on with smaller batches when memory runs out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from biorrn.errors import BiorrnError
from biorrn.inference.forward import ROWS

Item = TypeVar("Item")
# what torch's allocators and the CUDA libraries say, beside torch.OutOfMemoryError
SIGNS = ("can't allocate memory", "out of memory", "alloc_failed", "not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Say whether an exception of torch means that memory ran out.

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
    """How many items a forward pass takes at most: as asked for, until memory runs out.

    Parameters
    ----------
    rows : int: items a forward pass.
    say : called with one line each time the limit is halved.

    Attributes
    ----------
    rows : int: the limit now.
    """

    def __init__(self, rows: int, say: Callable[[str], None] = to_stderr) -> None:
        self.rows = rows
        self._say = say

    def each(self, items: Sequence[Item], work: Callable[[Sequence[Item], int], None]) -> None:
        """Do `work(part, rows)` on parts of at most `rows` items, in order; halve `rows` where memory does not suffice.

        `work` must leave nothing half done when memory runs out: it is called again with a part of the same items.

        Raises
        ------
        BiorrnError: memory does not even suffice for the fewest rows of a forward pass.
        """
        done = 0
        while done < len(items):
            part = items[done : done + self.rows]
            if self._fits(part, work):
                done += len(part)
                continue
            # after the except clause: its exception holds the tensors of the failed pass
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            tried = min(self.rows, len(part))
            if tried <= ROWS:
                raise BiorrnError(
                    f"memory ran out with {tried} chunks a forward pass, and fewer take no less; free some, or use "
                    "another --device"
                )
            self.rows = max(ROWS, tried // 2)
            self._say(f"biorrn: memory ran out with --batch-size {tried}; going on with {self.rows}")

    def _fits(self, part: Sequence[Item], work: Callable[[Sequence[Item], int], None]) -> bool:
        try:
            work(part, self.rows)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            if not out_of_memory(error):
                raise
            return False
        return True
