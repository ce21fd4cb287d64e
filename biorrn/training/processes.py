"""What processes that train one model say to each other: sums of tensors, and words of the first to all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from biorrn.device import choose_device
from biorrn.errors import BiorrnError
from biorrn.training.launch import RENDEZVOUS, end_with_parent, launched, places

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """The place of this process among those that train one model; alone where nothing else is said.

    Attributes
    ----------
    rank, size : int: which it is, 0 is the first, and how many there are.
    local_rank, local_size : int: the same on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks and writes."""
        return self.rank == 0

    def share(self, value: T) -> T:
        """Return the value of the first process, in all."""
        if self.size == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder)
        return holder[0]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, in the order of their ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def add(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes; the tensor itself is changed."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def ask_first(self, work: Callable[[], T]) -> T | None:
        """Return what `work` gives in the first process; the others wait for its end and get None.

        Raises
        ------
        BiorrnError: as `work` does; the others end in silence.
        """
        if self.size == 1:
            return work()
        if self.first:
            found = work()
            self.share(None)
            return found
        try:
            self.share(None)
        except Exception as error:  # the first has ended; it has said why
            raise SystemExit(2) from error
        return None


def choose_place(device: str) -> tuple[torch.device, Processes]:
    """Return the device of this process and its place among the others, and join these; see `leave`.

    Raises
    ------
    BiorrnError: as `choose_device`; or a device that several processes cannot share.
    """
    where = choose_device(device)
    if not launched():
        return where, Processes()
    here = Processes(**places())
    if where.type == "mps" or where.index is not None:
        raise BiorrnError(f"--device: found '{where}' with {here.size} processes; allowed is auto, cpu or cuda")
    if where.type == "cuda":
        if here.local_size > (most := torch.cuda.device_count()):
            raise BiorrnError(f"--processes: found {here.local_size}; allowed on this machine is one a GPU, {most}")
        where = torch.device("cuda", here.local_rank)
        torch.cuda.set_device(where)
    end_with_parent()
    path = os.environ.get(RENDEZVOUS)
    dist.init_process_group(
        "nccl" if where.type == "cuda" else "gloo",
        init_method=f"file://{path}" if path else "env://",
        rank=here.rank,
        world_size=here.size,
    )
    return where, here


def leave() -> None:
    """End the connection to the other processes, where there is one."""
    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()
