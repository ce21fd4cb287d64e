"""Depth along a reference: windows hold the bases that lie in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.nanopore.reads.map import Depth

LENGTHS = {"a": 37, "b": 10, "c": 1}
SPANS = st.lists(st.tuples(st.sampled_from(list(LENGTHS)), st.integers(0, 36), st.integers(1, 37), st.booleans()))


def exact(spans: list[tuple[str, int, int, bool]]) -> dict[str, np.ndarray]:
    found = {name: np.zeros((2, length), int) for name, length in LENGTHS.items()}
    for name, start, end, reverse in spans:
        found[name][int(reverse), start:end] += 1
    return found


@given(SPANS, st.sampled_from([1000, 20, 5]))
def test_windows_add_up_what_lies_over_each_base(raw: list[tuple[str, int, int, bool]], windows: int) -> None:
    spans = [(name, start % LENGTHS[name], 0, reverse) for name, start, _, reverse in raw]
    spans = [(name, start, min(LENGTHS[name], start + size[2]), reverse)
             for (name, start, _, reverse), size in zip(spans, raw, strict=True)]  # fmt: skip
    depth = Depth(LENGTHS, windows)
    for span in spans:
        depth.add(*span)
    truth = exact(spans)
    for name, both in truth.items():
        mine = depth.bases()[:, depth.span(name)]
        cuts = np.arange(0, LENGTHS[name], depth.window)
        assert np.array_equal(mine, np.add.reduceat(both, cuts, axis=1))
    total = sum(both.sum() for both in truth.values())
    summary = depth.summary()
    assert summary["mean"] * sum(LENGTHS.values()) == pytest.approx(total)
    edges, curve = depth.curve(LENGTHS)
    assert (curve * np.diff(edges)).sum() == pytest.approx(total)
    assert edges[-1] == sum(LENGTHS.values())
    assert depth.sizes().sum() == sum(LENGTHS.values())
    if depth.window == 1:
        flat = np.concatenate([both.sum(axis=0) for both in truth.values()])
        assert summary["at_least"][0]["part"] == pytest.approx((flat > 0).mean())
        assert summary["median"] == np.sort(flat)[(len(flat) - 1) // 2]


def test_long_references_have_windows() -> None:
    assert Depth({"a": 10_000_000}, 1000).window == 10_000
    assert [row["name"] for row in Depth(LENGTHS).summary(most=2)["references"]] == ["a", "b"]
