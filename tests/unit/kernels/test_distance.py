"""Edit distance and the columns of an alignment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biorrn.kernels.distance import columns, distance, identity

BASES = st.text("ACGT", max_size=12)


def plain(one: str, other: str) -> int:
    """Return the edit distance by its recursion."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, before = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b)))
    return row[-1]


@given(BASES, BASES)
def test_distance_is_that_of_the_recursion_and_of_the_columns(one: str, other: str) -> None:
    found = distance([ord(letter) for letter in one], [ord(letter) for letter in other])
    counts = columns(one, other)
    assert found == plain(one, other) == counts["X"] + counts["I"] + counts["D"]
    assert counts["="] + counts["X"] + counts["I"] == len(one)
    assert counts["="] + counts["X"] + counts["D"] == len(other)


@pytest.mark.parametrize(("call", "label", "value"), [("ACGT", "ACGT", 1.0), ("", "A", 0.0), ("A", "", 0.0)])
def test_identity(call: str, label: str, value: float) -> None:
    assert identity(call, label) == value
