"""Chunks and pieces of a read: cut, scored, decoded and joined as if never cut."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.nanopore.basecall import chunking as pieces
from biorrn.nanopore.basecall.chunking import AGREE, Read, join
from biorrn.nanopore.basecall.decode import Decoded
from biorrn.nanopore.basecall.engine import Wanted
from biorrn.nanopore.basecall.pipeline import Pipeline
from biorrn.nn.chunks import frames, spans
from biorrn.sequences.records import SignalRecord

# size, overlap, stride: no overlap, overlap of more than half a chunk (three chunks share a sample), stride 1
CUTS = [(20, 0, 5), (20, 10, 5), (60, 40, 5), (24, 16, 2), (7, 2, 1), (5, 0, 5)]


Model = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (N, T), (N,) -> (N, T', S)


def every(stride: int) -> Model:
    """A model without context: each frame is its own first sample, and its sample number stays recognisable."""
    return lambda x, lengths: x[:, ::stride, None]


class Engine:
    """A model as the pipeline wants it; keeps the chunks that it was given."""

    name, parallel, rows = "test", True, 3

    def __init__(self, model: Model, symbols: int) -> None:
        self.model, self.symbols = model, symbols
        self.seen: list[tuple[np.ndarray, int]] = []

    def score(self, x: np.ndarray, lengths: np.ndarray, wanted: Wanted) -> None:
        self.seen += zip(x.copy(), lengths.tolist(), strict=True)
        for scores, places in zip(self.model(x, lengths), wanted, strict=True):
            for first, last, out in places:
                out[:] = scores[first:last]


def joined(signal: np.ndarray, size: int, overlap: int, stride: int, engine: Engine) -> np.ndarray:
    """Return the scores of a signal, as `biorrn basecall` cuts, scores and joins it."""
    record = SignalRecord("r", np.zeros(0, np.int16), 0.0, 1.0, 4000.0)
    read = Read.of(record, len(signal), 0, signal, spans(len(signal), size, overlap, stride), stride, whole=True)
    assert list(Pipeline(engine, lambda scores: scores, size=size, batch_size=7, threads=2).run([read])) == [read]
    return read.pieces[0].decoded


@settings(max_examples=150, deadline=None)
@given(samples=st.integers(1, 400), cut=st.sampled_from(CUTS))
def test_chunked_then_joined_is_identity(samples: int, cut: tuple[int, int, int]) -> None:
    size, overlap, stride = cut
    signal = np.arange(1, samples + 1, dtype=np.float32)
    found = joined(signal, size, overlap, stride, Engine(every(stride), 1))
    np.testing.assert_array_equal(found, signal[::stride, None])


@settings(max_examples=150, deadline=None)
@given(samples=st.integers(0, 400), cut=st.sampled_from(CUTS))
def test_plan(samples: int, cut: tuple[int, int, int]) -> None:
    size, overlap, stride = cut
    plan = spans(samples, size, overlap, stride)
    covered = [frame for span in plan for frame in range(span.first, span.last)]
    assert covered == list(range(frames(samples, stride)))  # every frame once, in order
    for span in plan:
        assert span.start % stride == 0
        assert span.origin == span.start // stride
        assert 0 < span.length <= size
        # half an overlap of context on both sides of every frame taken, except at the ends of the signal
        margin = overlap // 2 // stride
        assert span.start == 0 or span.first - span.origin >= margin
        assert span.start + size >= samples or span.origin + size // stride - span.last >= margin
    if plan:
        assert plan[-1].start + plan[-1].length == samples
        lengths = [frames(span.length, stride) for span in plan]
        assert max(lengths) - min(lengths) <= 1
        assert (
            len(plan) == 1 or len(plan) * (size - overlap) + overlap < samples + size - overlap
        )  # one less is too few


@pytest.mark.parametrize("samples", [1, 4, 5, 6, 99, 100, 101, 140, 141, 158, 160, 161, 399, 400, 1003])
def test_joined_convolution_equals_direct(samples: int) -> None:
    """A model whose context is at most half the overlap cannot tell that the signal was cut."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv1d(1, 4, 5, padding=2), torch.nn.Conv1d(4, 3, 19, stride=5, padding=9)]

    def model(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(N, T) -> (N, T', 3), with padding masked between the layers as in nn.frontends.Conv"""
        h = torch.from_numpy(x)[:, None, :]
        ends = torch.from_numpy(lengths)[:, None, None]
        h = layers[0](h) * (torch.arange(h.shape[2]) < ends)
        return layers[1](h).transpose(1, 2).detach().numpy()

    signal = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    direct = model(signal[None], np.array([samples]))[0]
    assert direct.shape == (frames(samples, 5), 3)
    np.testing.assert_allclose(joined(signal, 100, 40, 5, Engine(model, 3)), direct, rtol=0, atol=1e-6)


def test_a_short_signal_is_one_padded_chunk_with_its_true_length() -> None:
    engine = Engine(every(5), 1)
    joined(np.ones(7, np.float32), 20, 10, 5, engine)
    [(chunk, length)] = engine.seen
    assert chunk.tolist() == [1.0] * 7 + [0.0] * 13
    assert length == 7
    assert [(span.first, span.last) for span in spans(7, 20, 10, 5)] == [(0, 2)]


def test_chunks_share_a_signal_evenly() -> None:
    plan = spans(51, 20, 10, 5)
    assert [span.start for span in plan] == [0, 5, 15, 25, 35]
    assert [span.length for span in plan] == [15, 20, 20, 20, 16]


@pytest.mark.parametrize(
    ("size", "overlap", "stride", "message"),
    [
        (2401, 300, 5, r"chunks.samples: found 2401; allowed is a multiple of the model's stride 5"),
        (2400, 305, 5, r"chunks.overlap: found 305; allowed is a multiple of 10"),
        (2400, 2400, 5, r"chunks.overlap: found 2400; .* below 2400"),
        (2400, -10, 5, r"chunks.overlap: found -10"),
        (0, 0, 5, r"chunks.samples: found 0"),
    ],
)
def test_cuts_that_the_stride_does_not_allow(size: int, overlap: int, stride: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spans(100, size, overlap, stride)


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
