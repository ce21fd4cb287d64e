"""Errors by 3-mer and by letter: worked examples, counts that add up, and strands that are alike."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.nanopore.alignment import DELETION, INSERTION, MATCH, MISMATCH, Alignment, Region
from biorrn.nanopore.evaluate.error_profile import ERRORS, FEWEST, GAP, KMERS, Contexts, read_columns
from biorrn.nanopore.readers.calls import BaseCall

Aligned = Callable[..., tuple[BaseCall, Alignment]]
LETTERS = "NACGT-"  # by code


def rows(call: BaseCall, alignment: Alignment, region: Region | None = None) -> tuple[str, str]:
    """Return the two rows of an alignment as text: reference, read."""
    found = read_columns(call, alignment, region)
    return "".join(LETTERS[code] for code in found.true), "".join(LETTERS[code] for code in found.called)


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
    assert LETTERS[GAP] == "-"
