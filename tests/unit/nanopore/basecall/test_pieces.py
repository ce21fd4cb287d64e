"""Pieces cover a read, take each frame of each chunk, and are joined where both sides say the same."""

import numpy as np
import pytest

from biorrn.nanopore.basecall import chunking as pieces
from biorrn.nanopore.basecall.chunking import AGREE, Read, join
from biorrn.nanopore.basecall.decode import Decoded
from biorrn.nn.forward import spans
from biorrn.sequences.records import SignalRecord

LONGEST, SHARED = 100, 40


def call(frames: int, seed: int = 0) -> Decoded:
    """A random call of `frames` frames, a base in about each second."""
    rng = np.random.default_rng(seed)
    moves = rng.integers(0, 2, frames).astype(np.uint8)
    return Decoded(
        "".join(rng.choice(list("ACGT"), moves.sum())), rng.integers(1, 40, moves.sum()).astype(np.uint8), moves
    )


def part(whole: Decoded, first: int, last: int) -> Decoded:
    begun = np.flatnonzero(whole.moves)
    a, b = np.searchsorted(begun, (first, last))
    return Decoded(whole.bases[a:b], whole.quals[a:b], whole.moves[first:last])


def spoiled(one: Decoded, frames: slice) -> Decoded:
    """The call with each base that begins in some frames turned into another."""
    here = np.zeros(len(one.moves), bool)
    here[frames] = True
    inside = here[np.flatnonzero(one.moves)]
    turned = [dict(zip("ACGT", "CGTA", strict=True))[b] if bad else b for b, bad in zip(one.bases, inside, strict=True)]
    return Decoded("".join(turned), one.quals, one.moves)


def same(a: Decoded, b: Decoded) -> bool:
    return a.bases == b.bases and np.array_equal(a.quals, b.quals) and np.array_equal(a.moves, b.moves)


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 160, 161, 1000])
def test_cut_then_join_is_identity(frames: int) -> None:
    whole = call(frames)
    plan = spans(frames, LONGEST, SHARED, 1)
    assert same(join([part(whole, span.start, span.start + span.length) for span in plan], plan), whole)


@pytest.mark.parametrize("wrong", range(0, SHARED - 2 * AGREE, 3))
def test_a_fault_near_the_ends_of_pieces_vanishes(wrong: int) -> None:
    """Each piece may be wrong at its ends, up to where only 2 * AGREE frames are left on which both agree."""
    whole = call(160)
    plan = spans(160, LONGEST, SHARED, 1)
    first, second = (part(whole, span.start, span.start + span.length) for span in plan)
    early = wrong // 2  # of the overlap's start, where the later piece begins
    parts = [spoiled(first, slice(100 - (wrong - early), None)), spoiled(second, slice(0, early))]
    assert same(join(parts, plan), whole)


def test_pieces_that_never_agree_change_in_the_middle() -> None:
    plan = spans(160, LONGEST, SHARED, 1)
    one, other = call(100, 1), call(100, 2)
    joined = join([one, other], plan)
    np.testing.assert_array_equal(joined.moves, np.concatenate([one.moves[:80], other.moves[20:]]))
    assert joined.bases == one.bases[: one.moves[:80].sum()] + other.bases[other.moves[:20].sum() :]
    assert len(joined.bases) == len(joined.quals) == joined.moves.sum()


def test_pieces_without_bases() -> None:
    plan = spans(160, LONGEST, SHARED, 1)
    empty = Decoded("", np.zeros(0, np.uint8), np.zeros(100, np.uint8))
    joined = join([empty, empty], plan)
    assert joined.bases == ""
    assert len(joined.moves) == 160


@pytest.mark.parametrize("samples", [1, 300, 2000, 2003])
def test_every_frame_of_every_piece_comes_from_one_chunk(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "FRAMES", LONGEST)
    monkeypatch.setattr(pieces, "SHARED", SHARED)
    record = SignalRecord("r", np.zeros(0, np.int16), 0.0, 1.0, 4000.0)
    read = Read.of(record, samples, 0, np.zeros(samples, np.float32), spans(samples, 150, 50, 5), 5)
    counts = {id(piece): np.zeros(piece.span.length, int) for piece in read.pieces}
    for chunk in read.chunks:
        for piece, first, last in read.shares(chunk):
            counts[id(piece)][first - piece.span.start : last - piece.span.start] += 1
    assert all((count == 1).all() for count in counts.values())
    assert sum(piece.missing for piece in read.pieces) == sum(len(count) for count in counts.values())
