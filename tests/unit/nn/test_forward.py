"""Smaller batches when memory runs out: every item once, in order, one line a step; other errors pass."""

import pytest
import torch

from biorrn.base.errors import BiorrnError
from biorrn.nn.forward import BatchLimit, out_of_memory
from biorrn.nn.windows import PASS_ROWS

FULL = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
]


class Machine:
    """Does batches of up to `room` items; raises `error` on larger ones."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room, self.error = room, error
        self.done: list[int] = []
        self.limits: list[int] = []

    def work(self, part: list[int], rows: int) -> None:
        assert len(part) <= rows
        if len(part) > self.room:
            raise self.error
        self.done += part
        self.limits.append(rows)


@pytest.mark.parametrize("error", FULL)
@pytest.mark.parametrize(("rows", "room", "lines"), [(64, 64, 0), (64, 40, 1), (64, 9, 3), (50, 12, 2), (8, 8, 0)])
def test_everything_is_done_once_in_order(error: Exception, rows: int, room: int, lines: int) -> None:
    said: list[str] = []
    machine, limit = Machine(room, error), BatchLimit(rows, said.append)
    for start in (0, rows, 2 * rows):
        limit.each(range(start, start + rows), machine.work)
    assert machine.done == list(range(3 * rows))
    assert len(said) == lines
    assert limit.rows <= max(room, PASS_ROWS)
    assert set(machine.limits) == {limit.rows}


def test_a_part_that_fits_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(10, FULL[0])
    limit = BatchLimit(64)
    limit.each(range(10), machine.work)
    assert (limit.rows, machine.limits) == (64, [64])
    limit.each(range(20), machine.work)
    assert limit.rows == 10
    assert capsys.readouterr().err == "biorrn: memory ran out with --batch-size 20; going on with 10\n"


def test_too_little_for_the_fewest_rows_is_an_error() -> None:
    with pytest.raises(BiorrnError, match="memory ran out with 8 chunks"):
        BatchLimit(64, lambda line: None).each(range(64), Machine(0, FULL[1]).work)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        BatchLimit(64).each(range(64), Machine(0, RuntimeError("shapes cannot be multiplied")).work)


def test_the_allocator_of_torch_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(caught.value)
