"""Errors by context and by homopolymer length, and their figures."""

from collections.abc import Callable
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.nanopore.alignment import DELETION, INSERTION, MATCH, MISMATCH, Alignment, Region
from biorrn.nanopore.evaluate.error_profile import (
    CALLED,
    ERRORS,
    FEWEST,
    GAP,
    KMERS,
    LETTERS,
    LONGEST,
    Contexts,
    Homopolymers,
    context_figures,
    read_columns,
    row_name,
    shares,
)
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.proteins.figures import SHOWN, regression_figures, some_rows
from biorrn.stats import metrics as regression
from biorrn.stats.figures import Drawing, as_bytes

Aligned = Callable[..., tuple[BaseCall, Alignment]]
CODES = "NACGT-"  # by code


def rows(call: BaseCall, alignment: Alignment, region: Region | None = None) -> tuple[str, str]:
    """Return the two rows of an alignment as text: reference, read."""
    found = read_columns(call, alignment, region)
    return "".join(CODES[code] for code in found.true), "".join(CODES[code] for code in found.called)


def counted(call: BaseCall, alignment: Alignment, region: Region | None = None) -> Contexts:
    contexts = Contexts()
    contexts.add(read_columns(call, alignment, region))
    return contexts


def of(contexts: Contexts) -> dict[str, list[int]]:
    return {name: row for name, row in zip(KMERS, contexts.kmers.tolist(), strict=True) if any(row)}


@pytest.mark.parametrize("strand", [1, -1])
def test_worked_example(aligned: Aligned, strand: int) -> None:
    #  reference  A G C G - T
    #  read       A C - G T T
    case = aligned("2M1D1M1I1M", "ACGTT", "AGCGT", strand)
    assert rows(*case) == ("AGCG-T", "AC-GTT")
    found = counted(*case)
    # bases, mismatches, inserted bases behind, deletions
    assert of(found) == {"AGC": [1, 1, 0, 0], "GCG": [1, 0, 0, 1], "CGT": [1, 0, 1, 0]}
    assert found.pairs.tolist() == [  # N A C G T nothing
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
    ]


@pytest.mark.parametrize(
    ("cigar", "read", "reference", "shown"),
    [
        ("4M1D1M", "TAAAC", "TAAAAC", ("TAAAAC", "T-AAAC")),  # missing in a run: its first base
        ("4M1I1M", "TAAAAC", "TAAAC", ("T-AAAC", "TAAAAC")),
        ("5M2D1M", "TACACG", "TACACACG", ("TACACACG", "T--ACACG")),  # repeats of two
        ("3M1D1M", "TGAC", "TGATC", ("TGATC", "TGA-C")),  # it could stand nowhere else
        ("2M1D3M", "TACAC", "TAACAC", ("TAACAC", "T-ACAC")),
        ("1M1D2M", "AAC", "AAAC", ("AAAC", "A-AC")),  # the first column stays
        ("1M1I1D3M", "TCAAC", "TAAAC", ("T-AAAC", "TC-AAC")),  # gaps do not pass each other
    ],
)
@pytest.mark.parametrize("strand", [1, -1])
def test_a_gap_stands_at_its_first_place(
    aligned: Aligned, cigar: str, read: str, reference: str, shown: tuple[str, str], strand: int
) -> None:
    assert rows(*aligned(cigar, read, reference, strand)) == shown


def test_n_is_in_no_context_and_matches_nothing(aligned: Aligned) -> None:
    found = counted(*aligned("7M", "ACNTACG", "ACGTNCG"))
    # CGT holds a called N; GTN, TNC and NCG hold one of the reference
    assert of(found) == {"ACG": [1, 0, 0, 0], "CGT": [1, 1, 0, 0]}
    assert found.pairs[2].tolist() == [1, 0, 0, 1, 0, 0]


def test_a_region_counts_the_bases_inside(aligned: Aligned) -> None:
    case = aligned("8M", "ACGTACGT", "ACGTACGT", start=100)
    assert sum(row[0] for row in of(counted(*case, Region("g", 102, 105))).values()) == 3
    assert of(counted(*case, Region("h", 102, 105))) == {}
    back = aligned("8M", "AACCGTAC", "AACCGTAC", -1, start=100)
    # the forward strand is GTACGGTT: its bases 1 to 2 are the last of the read but one and two
    assert of(counted(*back, Region("g", 101, 103))) == {"GTA": [1, 0, 0, 0], "TAC": [1, 0, 0, 0]}


STEPS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from("MID")), min_size=1, max_size=15)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 2**32 - 1), st.sampled_from([1, -1]))
def test_counts_add_up(aligned: Aligned, steps: list[tuple[int, str]], seed: int, strand: int) -> None:
    steps = [(2, "M"), *steps, (2, "M")]
    rng = np.random.default_rng(seed)
    # two letters, so that gaps often can move
    size = {op: sum(n for n, kind in steps if kind in ("M", op)) for op in "ID"}
    read, reference = ("".join(rng.choice(list("AC"), size[op])) for op in "ID")
    call, alignment = aligned("".join(f"{n}{op}" for n, op in steps), read, reference, strand)
    found, columns = counted(call, alignment), read_columns(call, alignment)
    kinds = np.bincount(alignment.kind, minlength=4)
    assert found.pairs.sum() == len(reference) == kinds[[MATCH, MISMATCH, DELETION]].sum()
    assert found.pairs[:, 5].sum() == kinds[DELETION]
    assert found.pairs[[0, 1, 2, 3], [1, 2, 3, 4]].sum() >= kinds[MATCH]  # a gap moves on equal bases alone
    assert found.kmers[:, 0].sum() == len(reference) - 2
    assert found.kmers[:, 2].sum() <= kinds[INSERTION]
    # whatever moved, the letters of both rows are those of the read and of the reference, in order
    true, called = rows(call, alignment)
    assert called.replace("-", "") == read
    assert true.replace("-", "") == reference
    assert not any(pair == ("-", "-") for pair in zip(true, called, strict=True))
    assert len(columns.true) == len(alignment.kind)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 2**32 - 1))
def test_a_read_of_the_other_strand_is_the_same_read(aligned: Aligned, steps: list[tuple[int, str]], seed: int) -> None:
    steps = [(2, "M"), *steps, (2, "M")]
    rng = np.random.default_rng(seed)
    size = {op: sum(n for n, kind in steps if kind in ("M", op)) for op in "ID"}
    read, reference = ("".join(rng.choice(list("ACGT"), size[op])) for op in "ID")
    cigar = "".join(f"{n}{op}" for n, op in steps)
    forward, back = (counted(*aligned(cigar, read, reference, strand)) for strand in (1, -1))
    assert (forward.kmers == back.kmers).all()
    assert (forward.pairs == back.pairs).all()


def test_table() -> None:
    contexts = Contexts()
    empty = contexts.table()
    assert [row["context"] for row in empty["kmers"]] == list(KMERS)
    assert empty["worst"] == []
    assert all(np.isnan(row[name]) for row in empty["kmers"] for name in (*ERRORS, "error"))
    contexts.kmers[KMERS.index("ACG")] = [FEWEST, 10, 5, 1]
    contexts.kmers[KMERS.index("TTT")] = [FEWEST, 0, 0, 30]
    contexts.kmers[KMERS.index("GGG")] = [FEWEST - 1, FEWEST - 1, 0, 0]  # too few bases to be named
    contexts.pairs[1] = [1, 2, 90, 3, 4, 5]
    found = contexts.table()
    assert found["worst"] == ["TTT", "ACG"]
    row = found["kmers"][KMERS.index("ACG")]
    assert (row["mismatch"], row["insertion"], row["deletion"]) == (0.1, 0.05, 0.01)
    assert row["error"] == pytest.approx(0.16)
    assert found["substitutions"][1] == {"true": "C", "N": 1, "A": 2, "C": 90, "G": 3, "T": 4, "deleted": 5}


def test_gap_is_no_base() -> None:
    assert CODES[GAP] == "-"


LARGEST = 200_000  # bytes of an SVG


def error_drawings(runs: int) -> list[Drawing]:
    """Return the figures of counts as an evaluation might have: `runs` of each length, fewer the longer they are."""
    homopolymers, contexts = Homopolymers(), Contexts()
    for length in range(1, LONGEST + 1):
        n = runs // length**3
        homopolymers.called[:, length, length] += n
        homopolymers.called[:, length, length - 1] += n // 4
        homopolymers.sums[:, length] += [
            length * (n + n // 4),
            length * n + (length - 1) * (n // 4),
            n,
            0,
            n // 4,
            0,
            n // 4,
        ]
    contexts.kmers[:, 0] = runs
    contexts.kmers[:, 1:] = np.arange(192).reshape(64, 3) % 17 * (runs // 100)
    contexts.pairs[:, 1:] = runs * np.eye(4, 5, dtype=int) + runs // 50
    return context_figures({"homopolymers": homopolymers.table(), "contexts": contexts.table()}, "all mapped reads")


@pytest.mark.parametrize("runs", [0, 30, 100_000])
def test_errors_are_drawn_whatever_was_counted(runs: int) -> None:
    drawings = error_drawings(runs)
    assert [one.name for one in drawings] == [
        "homopolymers", "homopolymer_lengths", "homopolymer_errors", "contexts", "substitutions"]  # fmt: skip
    assert ("Runs of 3 bases or more hold " in drawings[2].caption) == (runs > 0)
    for one in drawings:
        svg = as_bytes(one.figure, "svg")
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert len(svg) < LARGEST
        assert one.caption.endswith(".")


def test_the_worst_contexts_are_named() -> None:
    caption = error_drawings(100_000)[3].caption
    named = caption.split("Most errors in all: ")[1].rstrip(".").split(", ")
    assert len(named) == 3
    assert all(entry.split()[0] in KMERS for entry in named)
    shares = [float(entry.split()[1]) for entry in named]
    assert shares == sorted(shares, reverse=True)
    assert "Most errors" not in error_drawings(30)[3].caption


def interval_drawing(n: int, level: float | None = 0.9) -> Drawing:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(n, 1))
    if n:
        true[0] = np.nan
    predicted = true + 0.5
    predicted[:1] = 0.0
    content: dict[str, Any] = {
        "split": "valid",
        "targets": [{"name": "tm", "unit": "°C"}],
        "metrics": {"tm": regression.evaluate(true[:, 0], predicted[:, 0], resamples=20)},
        "baselines": {},
    }
    # every second interval holds
    half = np.where(np.arange(n)[:, None] % 2, 1.0, 0.1)
    drawings = regression_figures(content, true, predicted, predicted - half, predicted + half)
    assert [one.name for one in drawings] == ["scatter", "intervals", "residuals"]
    assert [one.name for one in regression_figures(content, true, predicted)] == ["scatter", "residuals"]
    return drawings[1]


@pytest.mark.parametrize(("n", "words"), [(0, "all 0 rows"), (2, "all 1 rows"), (41, "all 40 rows")])
def test_intervals_are_drawn_with_what_they_hold(n: int, words: str) -> None:
    drawing = interval_drawing(n)
    assert words in drawing.caption
    assert len(as_bytes(drawing.figure, "svg")) < LARGEST
    legend = drawing.figure.axes[0].get_legend()
    if n > 2:
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["held: 20", "missed: 20"]


def test_of_many_intervals_some_are_drawn() -> None:
    drawing = interval_drawing(5000)
    assert f"{SHOWN}, spread evenly over the measured values, of 4,999 rows" in drawing.caption
    assert len(as_bytes(drawing.figure, "svg")) < LARGEST


def test_some_rows_reach_from_the_least_to_the_most() -> None:
    values = np.random.default_rng(1).normal(size=1000)
    values[::3] = np.nan
    found = some_rows(values, most=50)
    assert len(set(found.tolist())) == 50
    assert (np.diff(values[found]) > 0).all()
    assert values[found[[0, -1]]].tolist() == [np.nanmin(values), np.nanmax(values)]


STRANDS = pytest.mark.parametrize("strand", [1, -1])


Counted = Callable[..., Homopolymers]


@pytest.fixture(scope="module")
def counted_runs(aligned: Aligned) -> Counted:
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
def test_worked_example_of_runs(counted_runs: Counted, strand: int) -> None:
    #  reference  G AAAA C -TT G     the runs at both ends are not whole
    #  read       G -AAA C TTT G
    runs = counted_runs("4M1D3M1I1M", "GAAACTTTG", "GAAAACTTG", strand)
    assert found(runs) == [("A", 4, 3), ("C", 1, 1), ("T", 2, 3)]
    (one, two, four) = runs.table()["all"]
    assert [(row["shorter"], row["equal"], row["longer"], row["errors"]) for row in (one, two, four)] == [
        (0, 1, 0, 0), (0, 0, 1, 1), (1, 0, 0, 1)]  # fmt: skip
    assert [(row["share_of_errors"], row["share_of_bases"]) for row in (two, four)] == [(0.5, 2 / 7), (0.5, 4 / 7)]
    assert (one["length"], one["runs"], one["right"], one["mean_called"], one["mixed"]) == (1, 1, 1.0, 1.0, 0)
    assert (two["length"], two["right"], two["mean_called"]) == (2, 0.0, 3.0)
    assert (four["length"], four["right"], four["mean_called"]) == (4, 0.0, 3.0)
    assert [(row["base"], row["length"]) for row in runs.table()["by_base"]] == [("A", 4), ("C", 1), ("T", 2)]


@pytest.mark.parametrize(
    ("cigar", "read", "reference", "called", "right", "mixed", "errors"),
    [
        ("6M", "GAAAAC", "GAAAAC", 4, 1, 0, 0),
        ("6M", "GAATAC", "GAAAAC", 3, 0, 1, 1),  # another letter within
        ("3M1I3M", "GAATAAC", "GAAAAC", 4, 0, 1, 1),  # the number is right, the run is not whole
        ("1M1I5M", "GTAAAAC", "GAAAAC", 4, 1, 0, 0),  # another letter before it is not of the run
        ("5M1I1M", "GAAAATC", "GAAAAC", 4, 1, 0, 1),  # nor one behind it, but it is an error of the run
        ("5M1I1M", "GAAAACC", "GAAAAC", 4, 1, 0, 0),  # unless it lengthens the next run
        ("6M", "GTAAAC", "GAAAAC", 3, 0, 0, 1),
        ("1M1I5M", "GATAAAC", "GAAAAC", 4, 0, 1, 2),  # A, then T in the place of the run's first base
        ("1M4D1M", "GC", "GAAAAC", 0, 0, 0, 4),
        ("3M20I3M", "GAA" + "A" * 20 + "AAC", "GAAAAC", CALLED, 0, 0, 20),  # the last column holds longer ones
        ("6M", "TAAAAT", "GAAAAC", 4, 1, 0, 0),  # its neighbours may be wrong
    ],
)
@STRANDS
def test_one_run(
    counted_runs: Counted,
    cigar: str,
    read: str,
    reference: str,
    called: int,
    right: int,
    mixed: int,
    errors: int,
    strand: int,
) -> None:
    runs = counted_runs(cigar, read, reference, strand)
    assert found(runs) == [("A", 4, called)]
    assert runs.sums[0, 4, 2:].tolist() == [right, mixed, called < 4, called > 4, errors]


def test_long_runs_share_a_row(counted_runs: Counted) -> None:
    runs = counted_runs("14M", "G" + "A" * 12 + "C", "G" + "A" * 12 + "C")
    (row,) = runs.table()["all"]
    assert (row["length"], row["mean_length"], row["mean_called"], row["right"]) == (LONGEST, 12.0, 12.0, 1.0)
    assert row_name(row) == "9+"


@STRANDS
def test_runs_that_leave_the_region_or_lie_beside_n_are_not_counted(counted_runs: Counted, strand: int) -> None:
    reference = "GAACCTTG"
    # of the reference file, which on the reverse strand holds CAAGGTTC
    region = Region("g", 0, 4) if strand > 0 else Region("g", 4, 8)
    assert found(counted_runs("8M", reference, reference, strand, region)) == [("A", 2, 2)]
    assert found(counted_runs("8M", reference, "GAACCNTG", strand)) == [("A", 2, 2)]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ACGT", min_size=3, max_size=80), st.sampled_from([1, -1]))
def test_a_perfect_read_has_every_run_right(counted_runs: Counted, reference: str, strand: int) -> None:
    runs = counted_runs(f"{len(reference)}M", reference, reference, strand)
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
def test_counts_add_up_on_both_strands(counted_runs: Counted, steps: list[tuple[int, str]], seed: int) -> None:
    steps = [(2, "M"), *steps, (2, "M")]
    rng = np.random.default_rng(seed)
    size = {op: sum(n for n, kind in steps if kind in ("M", op)) for op in "ID"}
    read, reference = ("".join(rng.choice(list("AC"), size[op])) for op in "ID")
    cigar = "".join(f"{n}{op}" for n, op in steps)
    forward, back = (counted_runs(cigar, read, reference, strand) for strand in (1, -1))
    assert (forward.called == back.called).all()
    assert (forward.sums == back.sums).all()
    expected = [len(list(group)) for _, group in groupby(reference)][1:-1]
    assert forward.called.sum() == len(expected)
    assert forward.sums[:, :, 0].sum() == sum(expected)
    rows = forward.table()["all"]
    for name in ("share_of_errors", "share_of_bases"):
        assert sum(row[name] for row in rows) == pytest.approx(1) or not forward.sums[..., 6].sum()
    for row in rows:
        assert sum(row["called"]) == row["runs"]
        assert row["shorter"] + row["equal"] + row["longer"] == pytest.approx(1)
        assert row["errors"] >= abs(row["mean_called"] - row["mean_length"]) * row["runs"] - 1e-9
        assert row["right"] * row["runs"] + row["mixed"] <= row["runs"]
        assert row["right_low"] <= row["right"] <= row["right_high"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from("MID")), max_size=15), st.integers(0, 2**32 - 1))
def test_each_error_is_of_one_run(
    aligned: Aligned, counted_runs: Counted, steps: list[tuple[int, str]], seed: int
) -> None:
    """With a run before and one behind that are right, all errors of the alignment are counted, once."""
    steps = [(4, "M"), *steps, (4, "M")]
    rng = np.random.default_rng(seed)
    size = {op: sum(n for n, kind in steps if kind in ("M", op)) for op in "ID"}
    read, reference = ("GTTC" + "".join(rng.choice(list("AC"), size[op] - 8)) + "GTTC" for op in "ID")
    cigar = "".join(f"{n}{op}" for n, op in steps)
    true, called = (np.array(list(letters)) for letters in rows(*aligned(cigar, read, reference)))
    assert counted_runs(cigar, read, reference).sums[..., 6].sum() == (true != called).sum()


def test_shares_of_nothing_and_of_some(counted_runs: Counted) -> None:
    assert np.isnan(shares([])).all()
    part = shares(counted_runs("9M", "GAACCTTGA", "GAACCTTGA").table()["all"])
    assert part[2, 1] == 1.0
    assert np.nansum(part[:, 1]) == 1.0
    assert np.isnan(part[:, 4]).all()
    assert Homopolymers().table()["all"] == []
