"""Chunks of a read, scored one by one and joined by the pipeline, are the read scored at once."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biorrn.base.errors import ConfigError
from biorrn.nanopore.basecall.chunking import Read
from biorrn.nanopore.basecall.engine import Wanted
from biorrn.nanopore.basecall.pipeline import Pipeline
from biorrn.nn.forward import frames, spans
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
        """(N, T) -> (N, T', 3), with padding masked between the layers as in models.frontends.Conv"""
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
