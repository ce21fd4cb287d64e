"""Windows and batches: every record once, within limits, and rows as they stand in the flat array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.nn.windows import TOKENS, batches, even_batches, matrix, padded_length


@given(st.lists(st.integers(0, 300), max_size=200), st.integers(1, 64), st.integers(1, 4))
def test_every_record_is_in_one_batch(lengths: list[int], batch_size: int, workers: int) -> None:
    for parts in (list(batches(lengths, batch_size)), list(even_batches(lengths, batch_size, workers))):
        assert sorted(row for rows in parts for row in rows) == [row for row, size in enumerate(lengths) if size]
        assert all(0 < len(rows) <= batch_size for rows in parts)
        widths = [lengths[row] for rows in parts for row in rows]
        assert widths == sorted(widths)
    assert all(len({padded_length(lengths[row]) for row in rows}) == 1 for rows in batches(lengths, batch_size))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_even_batches_are_enough_for_all_workers_and_within_memory(workers: int) -> None:
    parts = list(even_batches([46] * 1000, 1024, workers))
    assert len(parts) >= 4 * workers
    assert max(map(len, parts)) - min(map(len, parts[:-1])) == 0
    longer = list(even_batches([35_000, 10, TOKENS + 1, 40_000, 12], 1024, workers))
    assert all(len(rows) == 1 or len(rows) * 40_000 <= TOKENS for rows in longer[-2:])


def test_matrix() -> None:
    flat = np.arange(1, 10, dtype=np.uint8)
    found = matrix(flat, np.array([5, 0]), np.array([2, 3]), 4)
    assert found.tolist() == [[6, 7, 0, 0], [1, 2, 3, 0]]
    assert found.dtype == np.uint8
