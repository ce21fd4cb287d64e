"""Base starts carried over an alignment, and the bases that are masked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.nanopore.labels.prepare import positions
from biorrn.nanopore.labels.transfer import (
    ANCHOR,
    LOCAL_IDENTITY,
    MAX_GAP,
    WINDOW,
    align_to,
    as_called,
    carry,
    columns,
    cut_to_signal,
    delayed,
    increasing,
)
from biorrn.sequences.alphabets import encode_bases, reverse_complement
from biorrn.sequences.records import Hit, ReadCall, ReadLabels


def called(bases, dwell=10, first=100):
    """Return a call whose bases last `dwell` samples each."""
    codes = encode_bases(bases) if isinstance(bases, str) else np.asarray(bases, np.uint8)
    starts = first + dwell * np.arange(len(codes))
    return ReadCall(codes, starts, first + dwell * len(codes), 12.0)


def hit(cigar, start=0, ref_start=1000, strand="+"):
    """Return a hit of a cigar such as ((3, 0), (1, 2))."""
    length = sum(count for count, kind in cigar if kind in (0, 2, 7, 8))
    return Hit("chr1", ref_start, ref_start + length, strand, start, cigar)


def test_columns_of_every_operation():
    places, bases, count = columns(hit(((2, 7), (1, 1), (1, 8), (2, 2), (1, 0)), start=3))
    assert places.tolist() == [0, 1, 2, 5]
    assert bases.tolist() == [3, 4, 6, 7]
    assert count == 7


def test_an_alignment_without_gaps_carries_every_start():
    call = called("AACGTA")
    carried = carry(call, hit(((4, 0),), start=1), encode_bases("ACTT"))
    assert carried.labels.bases.tolist() == [1, 2, 4, 4]
    assert carried.labels.starts.tolist() == [110, 120, 130, 140]
    assert carried.labels.end == 150
    assert (carried.identity, carried.coverage, carried.masked) == (0.75, 4 / 6, 0)
    labels = carried.labels
    assert (labels.reference, labels.ref_start, labels.ref_end, labels.strand) == ("chr1", 1000, 1004, "+")


def test_a_deleted_base_shares_time_and_an_inserted_one_gives_it():
    call = called("ACGTAC")
    carried = carry(call, hit(((2, 0), (1, 2), (1, 0), (1, 1), (2, 0))), encode_bases("ACCGAC"))
    assert carried.labels.starts.tolist() == [100, 110, 115, 120, 140, 150]
    assert carried.labels.end == 160
    assert carried.identity == pytest.approx(5 / 7)


@pytest.mark.parametrize("strand", "+-")
def test_positions_and_letters_agree_with_the_reference(strand):
    """Whatever the strand and the gaps, each base is the reference's at its place."""
    rng = np.random.default_rng(3)
    reference = rng.integers(1, 5, 3000).astype(np.uint8)
    span = reference[1000:1120]
    target = span if strand == "+" else reverse_complement(span)
    cigar = ((30, 0), (2, 2), (40, 0), (3, 1), (48, 0))
    call = called(np.concatenate([target[:30], target[32:72], [1, 1, 1], target[72:]]))
    labels = carry(call, hit(cigar, strand=strand), target).labels
    where = positions(labels)
    assert len(where) == len(labels.bases) == 120
    expected = reference[where] if strand == "+" else reverse_complement(reference[where][::-1])
    assert labels.bases.tolist() == expected.tolist()


def test_long_gaps_mask_the_bases_beside_them():
    bases = np.tile(np.array([1, 2, 3, 4], np.uint8), 100)
    gap = MAX_GAP + 1
    target = np.concatenate([bases[:200], np.full(gap, 1, np.uint8), bases[200:]])
    carried = carry(called(bases), hit(((200, 0), (gap, 2), (200, 0))), target)
    assert np.flatnonzero(carried.labels.bases == 0).tolist() == list(range(199, 200 + gap))
    assert carried.masked == gap + 1
    call = called(np.concatenate([bases[:200], np.full(gap, 1, np.uint8), bases[200:]]))
    carried = carry(call, hit(((200, 0), (gap, 1), (200, 0))), bases)
    assert np.flatnonzero(carried.labels.bases == 0).tolist() == [199]


def test_a_gap_of_more_bases_than_samples_is_masked_and_starts_still_increase():
    bases = np.tile(np.array([1, 2, 3, 4], np.uint8), 100)
    target = np.concatenate([bases[:200], np.full(60, 1, np.uint8), bases[200:]])
    carried = carry(called(bases), hit(((200, 0), (60, 2), (200, 0))), target)
    starts = carried.labels.starts
    assert (np.diff(starts) > 0).all()
    assert (carried.labels.bases[199:260] == 0).all()
    assert (carried.labels.bases[:150] > 0).all()
    assert carry(called(bases[:6], 1), hit(((3, 0), (9, 2), (3, 0))), np.ones(15, np.uint8)) is None


def test_a_stretch_that_does_not_agree_is_masked():
    rng = np.random.default_rng(0)
    bases = rng.integers(1, 5, 500).astype(np.uint8)
    target = bases.copy()
    target[200:300] = target[200:300] % 4 + 1
    masked = carry(called(bases), hit(((500, 0),)), target).labels.bases == 0
    assert masked[200:300].all()
    assert not masked[: 200 - WINDOW].any()
    assert not masked[300 + WINDOW :].any()
    sparse = bases.copy()
    sparse[:: int(1 / (1 - LOCAL_IDENTITY)) + 2] = 1
    assert carry(called(bases), hit(((500, 0),)), sparse).masked == 0


@pytest.mark.parametrize("factor", [5, 0.2])
def test_a_stretch_of_odd_dwell_is_masked(factor):
    dwell = np.full(600, 10)
    dwell[200:300] = int(10 * factor)
    starts = 50 + np.concatenate([[0], np.cumsum(dwell)])
    carried = as_called(ReadCall(np.tile(np.array([1, 2], np.uint8), 300), starts[:-1], int(starts[-1])))
    masked = carried.labels.bases == 0
    assert masked[220:280].all()
    assert not masked[: 200 - WINDOW].any()
    assert not masked[300 + WINDOW :].any()
    assert carried.masked == masked.sum()


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(0, 50))
def test_edges_become_increasing_within_their_span(steps, first):
    edges = first + np.concatenate([[0], np.cumsum(steps)]).astype(float)
    found = increasing(edges)
    if edges[-1] - edges[0] < len(steps):
        assert found is None
    else:
        assert (np.diff(found) > 0).all()
        assert (found[0], found[-1]) == (edges[0], edges[-1])
        if (np.diff(edges) > 0).all():
            assert np.array_equal(found, edges)


@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 12))
@settings(deadline=None, max_examples=30)
def test_a_call_lies_where_it_agrees(seed, before, after):
    """A call with ends of its own and a few errors is put on the sequence base by base."""
    rng = np.random.default_rng(seed)
    sequence = rng.integers(1, 5, 200).astype(np.uint8)
    keep = np.sort(rng.choice(200, 192, replace=False))  # eight deletions
    own = sequence[keep]
    ends = [rng.integers(1, 5, count).astype(np.uint8) for count in (before, after)]
    found = align_to(called(np.concatenate([ends[0], own, ends[1]])), sequence)
    places, bases, _ = columns(found)
    truth = np.full(len(own) + before + after, -1)
    truth[before : before + len(own)] = keep
    right = truth[bases] == places + found.ref_start
    assert right.mean() > 0.85  # within runs of one letter the place of a deletion is open
    assert found.cigar[0][1] == found.cigar[-1][1] == 7
    assert min(found.cigar[0][0], found.cigar[-1][0]) >= ANCHOR


def test_sequences_without_anything_in_common_do_not_align():
    assert align_to(called("AAAAAAAA"), encode_bases("CCCCCCCC")) is None
    assert align_to(called(""), encode_bases("ACGT")) is None


@pytest.mark.parametrize(("strand", "lead", "span"), [("+", 2, (10, 14)), ("-", 2, (12, 16)), ("+", -2, (12, 16))])
def test_a_lead_gives_each_base_a_later_start(strand, lead, span):
    labels = ReadLabels(np.array([1, 2, 3, 4, 1, 2]), np.arange(6) * 10, 60, "chr1", 10, 16, strand)
    found = delayed(labels, lead)
    assert (found.ref_start, found.ref_end) == span
    before = dict(zip(positions(labels).tolist(), labels.bases, strict=True))
    assert [before[place] for place in positions(found).tolist()] == found.bases.tolist()
    if lead > 0:
        assert (found.bases.tolist(), found.starts.tolist(), found.end) == ([1, 2, 3, 4], [20, 30, 40, 50], 60)
    else:
        assert (found.bases.tolist(), found.starts.tolist(), found.end) == ([3, 4, 1, 2], [0, 10, 20, 30], 40)
    assert delayed(labels, 0) == labels
    assert delayed(labels, 6) == labels


def test_a_call_is_cut_to_the_signal():
    call = cut_to_signal(called("ACGT"), 125)
    assert (call.bases.tolist(), call.starts.tolist(), call.end) == ([1, 2, 3], [100, 110, 120], 125)
    assert cut_to_signal(called("ACGT"), 140).end == 140
