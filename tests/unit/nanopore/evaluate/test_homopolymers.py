"""Runs of one base: worked examples, nothing counted twice or lost, and the same on both strands."""

from collections.abc import Callable
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.nanopore.alignment import Alignment, Region
from biorrn.nanopore.evaluate.error_profile import (
    CALLED,
    LETTERS,
    LONGEST,
    Homopolymers,
    read_columns,
    row_name,
    shares,
)
from biorrn.nanopore.readers.calls import BaseCall

STRANDS = pytest.mark.parametrize("strand", [1, -1])


Aligned = Callable[..., tuple[BaseCall, Alignment]]
Counted = Callable[..., Homopolymers]


@pytest.fixture(scope="module")
def counted(aligned: Aligned) -> Counted:
    """Return a function that counts the runs of one read."""

    def count(cigar: str, read: str, reference: str, strand: int = 1, region: Region | None = None) -> Homopolymers:
        runs = Homopolymers()
        runs.add(read_columns(*aligned(cigar, read, reference, strand), region))
        return runs

    return count


def found(runs: Homopolymers) -> list[tuple[str, int, int]]:
    """Return letter, length and called length of each run counted."""
    return [
        (LETTERS[letter], int(length), int(called))
        for letter, length, called in np.argwhere(runs.called)
        for _ in range(int(runs.called[letter, length, called]))
    ]


@STRANDS
def test_worked_example(counted: Counted, strand: int) -> None:
    #  reference  G AAAA C -TT G     the runs at both ends are not whole
    #  read       G -AAA C TTT G
    runs = counted("4M1D3M1I1M", "GAAACTTTG", "GAAAACTTG", strand)
    assert found(runs) == [("A", 4, 3), ("C", 1, 1), ("T", 2, 3)]
    (one, two, four) = runs.table()["all"]
    assert (one["length"], one["runs"], one["right"], one["mean_called"], one["mixed"]) == (1, 1, 1.0, 1.0, 0)
    assert (two["length"], two["right"], two["mean_called"]) == (2, 0.0, 3.0)
    assert (four["length"], four["right"], four["mean_called"]) == (4, 0.0, 3.0)
    assert [(row["base"], row["length"]) for row in runs.table()["by_base"]] == [("A", 4), ("C", 1), ("T", 2)]


@pytest.mark.parametrize(
    ("cigar", "read", "reference", "called", "right", "mixed"),
    [
        ("6M", "GAAAAC", "GAAAAC", 4, 1, 0),
        ("6M", "GAATAC", "GAAAAC", 3, 0, 1),  # another letter within
        ("3M1I3M", "GAATAAC", "GAAAAC", 4, 0, 1),  # the number is right, the run is not whole
        ("1M1I5M", "GTAAAAC", "GAAAAC", 4, 1, 0),  # another letter before it is not of the run
        ("5M1I1M", "GAAAATC", "GAAAAC", 4, 1, 0),  # nor one behind it
        ("6M", "GTAAAC", "GAAAAC", 3, 0, 0),
        ("1M1I5M", "GATAAAC", "GAAAAC", 4, 0, 1),  # A, then T in the place of the run's first base
        ("1M4D1M", "GC", "GAAAAC", 0, 0, 0),
        ("3M20I3M", "GAA" + "A" * 20 + "AAC", "GAAAAC", CALLED, 0, 0),  # the last column holds longer ones
        ("6M", "TAAAAT", "GAAAAC", 4, 1, 0),  # its neighbours may be wrong
    ],
)
@STRANDS
def test_one_run(
    counted: Counted, cigar: str, read: str, reference: str, called: int, right: int, mixed: int, strand: int
) -> None:
    runs = counted(cigar, read, reference, strand)
    assert found(runs) == [("A", 4, called)]
    assert runs.sums[0, 4, 2:].tolist() == [right, mixed]


def test_long_runs_share_a_row(counted: Counted) -> None:
    runs = counted("14M", "G" + "A" * 12 + "C", "G" + "A" * 12 + "C")
    (row,) = runs.table()["all"]
    assert (row["length"], row["mean_length"], row["mean_called"], row["right"]) == (LONGEST, 12.0, 12.0, 1.0)
    assert row_name(row) == "9+"


@STRANDS
def test_runs_that_leave_the_region_or_lie_beside_n_are_not_counted(counted: Counted, strand: int) -> None:
    reference = "GAACCTTG"
    # of the reference file, which on the reverse strand holds CAAGGTTC
    region = Region("g", 0, 4) if strand > 0 else Region("g", 4, 8)
    assert found(counted("8M", reference, reference, strand, region)) == [("A", 2, 2)]
    assert found(counted("8M", reference, "GAACCNTG", strand)) == [("A", 2, 2)]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ACGT", min_size=3, max_size=80), st.sampled_from([1, -1]))
def test_a_perfect_read_has_every_run_right(counted: Counted, reference: str, strand: int) -> None:
    runs = counted(f"{len(reference)}M", reference, reference, strand)
    expected = [(letter, len(list(group))) for letter, group in groupby(reference)][1:-1]
    rows = runs.table()["by_base"]
    assert sum(row["runs"] for row in rows) == len(expected)
    assert all(row["right"] == 1.0 and row["mixed"] == 0 for row in rows)
    for letter in LETTERS:
        mine = [min(length, LONGEST) for base, length in expected if base == letter]
        counts = {row["length"]: row["runs"] for row in rows if row["base"] == letter}
        assert counts == {length: mine.count(length) for length in sorted(set(mine))}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from("MID")), max_size=15), st.integers(0, 2**32 - 1))
def test_counts_add_up_on_both_strands(counted: Counted, steps: list[tuple[int, str]], seed: int) -> None:
    steps = [(2, "M"), *steps, (2, "M")]
    rng = np.random.default_rng(seed)
    size = {op: sum(n for n, kind in steps if kind in ("M", op)) for op in "ID"}
    read, reference = ("".join(rng.choice(list("AC"), size[op])) for op in "ID")
    cigar = "".join(f"{n}{op}" for n, op in steps)
    forward, back = (counted(cigar, read, reference, strand) for strand in (1, -1))
    assert (forward.called == back.called).all()
    assert (forward.sums == back.sums).all()
    expected = [len(list(group)) for _, group in groupby(reference)][1:-1]
    assert forward.called.sum() == len(expected)
    assert forward.sums[:, :, 0].sum() == sum(expected)
    for row in forward.table()["all"]:
        assert sum(row["called"]) == row["runs"]
        assert row["right"] * row["runs"] + row["mixed"] <= row["runs"]
        assert row["right_low"] <= row["right"] <= row["right_high"]


def test_shares_of_nothing_and_of_some(counted: Counted) -> None:
    assert np.isnan(shares([])).all()
    part = shares(counted("9M", "GAACCTTGA", "GAACCTTGA").table()["all"])
    assert part[2, 1] == 1.0
    assert np.nansum(part[:, 1]) == 1.0
    assert np.isnan(part[:, 4]).all()
    assert Homopolymers().table()["all"] == []
