"""Correction by the nearest training rows: kriging by hand, and a search through all rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.nn.ensemble import Neighbours
from biorrn.nn.neighbours import MOST, Kriging


def padded(rows: list[list[int]]) -> np.ndarray:
    out = np.zeros((len(rows), max(map(len, rows))), np.uint8)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out


def memory(rows: list[list[int]], residuals: list[float], **more: float) -> Kriging:
    return Kriging(padded(rows), np.array(residuals, np.float16)[:, None], **more)  # type: ignore[arg-type]


def added(made: Kriging, rows: list[list[int]]) -> list[float]:
    return made(padded(rows), np.array(list(map(len, rows))))[:, 0].tolist()


ROW = [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_measured_row_gets_its_residual_shrunk_by_the_noise() -> None:
    assert added(memory([ROW], [2.0], noise=1.0), [ROW]) == pytest.approx([1.0])


def test_three_measurements_say_more_than_one() -> None:
    assert added(memory([ROW] * 3, [2.0] * 3, noise=1.0), [ROW]) == pytest.approx([1.5])


def test_mismatches_lessen_what_is_shared() -> None:
    made = memory([ROW], [2.0], noise=1.0, decay=0.5, mismatches=3)
    changed = [[9] * n + ROW[n:] for n in range(5)]
    expected = [np.exp(-0.5 * n) for n in range(4)] + [0.0]
    assert added(made, changed) == pytest.approx(expected, abs=1e-6)


def test_another_length_is_no_neighbour() -> None:
    assert added(memory([ROW], [2.0]), [ROW[:-1], [*ROW, 1], [1]]) == [0.0, 0.0, 0.0]


def test_rows_that_all_share_a_segment_are_left_out_of_it() -> None:
    many = [[1, 1, 1, 1, a, b, c, 9] for a in range(1, 9) for b in range(1, 9) for c in range(1, 9)]
    made = memory(many, [1.0] * len(many), mismatches=1)
    # the row itself is found by its other segment; those one residue off share only the crowded one
    assert added(made, [[1, 1, 1, 1, 1, 1, 1, 9]]) == pytest.approx([0.5])


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_near_rows_are_those_of_a_search_through_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 4, (40, 9))
    made = memory(rows.tolist(), [0.0] * 40, mismatches=2)
    queries = rng.integers(1, 4, (7, 9)).astype(np.uint8)
    query, found, distance = made._nearest(queries, 9)
    for place, row in enumerate(queries):
        apart = (rows != row).sum(1)
        order = np.lexsort((np.arange(40), apart))
        wanted = [n for n in order if apart[n] <= 2][:MOST]
        assert found[query == place].tolist() == wanted
        assert distance[query == place].tolist() == apart[wanted].tolist()


def test_company_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(1, 4, (60, 10))
    made = memory(rows.tolist(), rng.normal(size=60).tolist())
    queries = rng.integers(1, 4, (20, 10)).tolist()
    together = added(made, queries)
    assert together == [added(made, [one])[0] for one in queries]
    assert any(value != 0 for value in together)


def test_the_module_of_torch_gives_the_same() -> None:
    rng = np.random.default_rng(0)
    rows, queries = rng.integers(1, 4, (60, 10)), rng.integers(1, 4, (20, 10))
    module = Neighbours(60, 10, 1, noise=2.0)
    module.tokens[:], module.residuals[:] = torch.from_numpy(rows), torch.randn(60, 1)
    made = memory(rows.tolist(), module.residuals[:, 0].tolist(), noise=2.0)
    found = module(torch.from_numpy(queries), torch.full((20,), 10))[:, 0].tolist()
    assert found == added(made, queries.tolist())
    assert any(found)
