"""Cutting of reads with all their tags, and the search of adapters."""

import numpy as np
import pytest

from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.reads.kits import find_kit
from biorrn.nanopore.reads.trim import Adapters, Windows, cut, trim_reads

READ = BaseCall(
    "r",
    "ACCGTCAG",
    np.arange(10, 18, dtype=np.uint8),
    (
        "qs:f:13.00",
        "ns:i:70",
        "ts:i:5",
        "mv:B:c,5,1,0,1,1,1,0,1,1,1,0,1,0,0",
        "MM:Z:C+m?,0,1;C+hx,1;",
        "ML:B:C,10,20,30,31",
        "MN:i:8",
        "OQ:Z:abcdefgh",
    ),
)


def test_all_that_counts_bases_or_samples_is_cut() -> None:
    part = cut(READ, 2, 6)
    tags = {tag[:2]: tag[5:] for tag in part.tags}
    assert part.bases == "CGTC"
    assert part.quals.tolist() == [12, 13, 14, 15]
    assert tags["mv"] == "c,5,1,1,0,1,1"
    assert tags["ts"] == str(5 + 5 * 3)
    assert tags["ns"] == str(5 + 5 * 8)
    assert tags["MM"] == "C+m?,1;C+hx,0;"  # C 1, 2 and 5: the first has gone
    assert tags["ML"] == "C,20,30,31"
    assert tags["MN"] == "4"
    assert tags["OQ"] == "cdef"
    assert tags["xt"] == "I,2,2"
    places = np.flatnonzero([int(move) for move in tags["mv"].split(",")[2:]])
    assert len(places) == 4


def test_the_moves_of_rna_run_against_the_bases() -> None:
    tags = {tag[:2]: tag[5:] for tag in cut(READ, 2, 8, rna=True).tags}
    assert tags["mv"] == "c,5,1,0,1,1,1,0,1,1"
    assert tags["ts"] == "5"


def test_a_cut_of_nothing_is_the_read_itself_and_cuts_add_up() -> None:
    assert cut(READ, 0, 8) is READ
    once, twice = cut(READ, 1, 6), cut(cut(READ, 0, 6), 1, 6)
    assert once.bases == twice.bases
    assert set(once.tags) == set(twice.tags)


@pytest.mark.parametrize("odd", ["MM:Z:C+m,9;", "MM:Z:C*m,0;", "ML:B:C,1"])
def test_a_tag_that_does_not_fit_the_bases_is_left_out(odd: str) -> None:
    tags = (*(tag for tag in READ.tags if tag[:2] != odd[:2]), odd)
    part = cut(BaseCall("r", READ.bases, READ.quals, tags), 1, 5)
    assert not {"MM", "ML", "MN"} & {tag[:2] for tag in part.tags}


def test_adapters_are_cut_at_both_ends_and_once_only() -> None:
    kit = find_kit("SQK-LSK109")
    insert = "".join(np.random.default_rng(0).choice(list("ACGT"), 400))
    reads = [
        BaseCall("both", "AATGTACTTCGTTCAGTTACGTATTGCT" + insert + "GCAATACGTAACTGAACGAAGT", np.zeros(0, np.uint8)),
        BaseCall("none", insert, np.zeros(0, np.uint8)),
        BaseCall("late", "GTTCAGTTACGTATTGCT" + insert, np.zeros(0, np.uint8)),
        BaseCall("only", "AATGTACTTCGTTCAGTTACGTATTGCT", np.zeros(0, np.uint8)),
        BaseCall("empty", "", np.zeros(0, np.uint8)),
    ]
    made = [found for found, _ in trim_reads(reads, Adapters([kit], "adapters"))]
    assert [found and found.bases for found in made] == [insert, insert, insert, None, ""]
    again = [found for found, _ in trim_reads(filter(None, made), Adapters([kit], "adapters"))]
    assert again == [found for found in made if found is not None]


def test_the_read_group_tells_rna_where_the_header_does_not() -> None:
    tags = (*READ.tags, "RG:Z:run_rna004_130bps_sup@v5.3.0")
    named = cut(BaseCall("r", READ.bases, READ.quals, tags), 2, 6)
    assert set(named.tags) - {tags[-1]} == set(cut(READ, 2, 6, rna=True).tags)


def test_tags_of_an_older_format_are_left_out() -> None:
    old = BaseCall("r", READ.bases, READ.quals, (*READ.tags, "Mm:Z:C+m,0;", "Ml:B:C,10"))
    part = cut(old, 1, 7)
    assert not [tag for tag in part.tags if tag[:2] in ("Mm", "Ml")]


def test_an_adapter_at_the_very_end_of_a_read_may_have_one_edit_more() -> None:
    search = Adapters([find_kit("SQK-LSK109")], "adapters")
    insert = "".join(np.random.default_rng(2).choice(list("ACGT"), 400))
    whole, worn = "GCAATACGTAACTGAACGAAGT", "GCATTACCTAAGTGATCGATGA"  # 6 of 22 differ
    assert sum(one != other for one, other in zip(whole, worn, strict=True)) == 6
    found = search(Windows.of([insert + worn, insert + worn + insert[:30], insert + whole + insert[:30]]))
    assert (found.end < [422, 452, 452]).tolist() == [True, False, True]
    assert abs(found.end[0] - 400) <= 3
    assert found.end[2] == 400
    assert not found.start.any()


@pytest.mark.parametrize("name", ["SQK-LSK109", "SQK-RNA004", "SQK-RAD004", "SQK-PCS111"])
def test_adapters_are_seldom_found_by_chance(name: str) -> None:
    rng = np.random.default_rng(3)
    windows = Windows.of(["".join(rng.choice(list("ACGT"), 300)) for _ in range(2000)])
    found = Adapters([find_kit(name)], "adapters")(windows)
    assert ((found.start > 0) | (found.end < windows.sizes)).mean() <= 0.01
