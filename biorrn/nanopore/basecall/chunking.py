"""Overlapping chunks of signal and pieces of scores of a read, and joining of the calls of pieces.

Two levels overlap: the network scores chunks of signal, the decoder decodes pieces of scores. `nn.chunks.spans` plans
both; `pipeline.Pipeline` slices the signal and stores the scores of each chunk where `Read.shares` says.

Chunks start at multiples of the model's stride, so that a frame of a chunk is a frame of the whole signal. Scores are
taken from one chunk up to the middle of the overlap, then from the next: no frame is nearer than half an overlap to a
cut, where the model lacks context. Long reads are decoded in pieces; `join` joins their calls where both agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biorrn.nanopore.basecall.decode import Decoded
from biorrn.nanopore.signal import Scaling
from biorrn.nn.chunks import Span, frames, spans
from biorrn.sequences.records import SignalRecord

FRAMES = 20_000  # of the longest piece; shorter reads, which are most, are decoded whole
SHARED = 400  # frames of overlap of two pieces: about 200 bases
AGREE = 10  # frames on both sides of a join in which both calls must agree


@dataclass(slots=True, eq=False)
class Piece:
    """Frames `span.start` to `span.start + span.length` of a read, decoded at once; `missing` are not scored yet."""

    span: Span
    missing: int
    scores: Any = None  # (span.length, S), until decoded: float32 array, or a tensor on the device of the engine
    decoded: Any = None  # result of the pipeline's decoder


@dataclass(slots=True, eq=False)
class Read:
    """A read in the pipeline.

    Attributes
    ----------
    record : SignalRecord without its samples; samples : their number; trimmed : first sample of frame 0.
    signal : float32 (T,), emptied when all is scored; scaling : how it was normalised.
    chunks, pieces : the plans; unscored, undecoded : how many of them are not done yet.
    """

    record: SignalRecord
    samples: int
    trimmed: int
    signal: np.ndarray
    chunks: list[Span]
    pieces: list[Piece] = field(default_factory=list)
    unscored: int = 0
    undecoded: int = 0
    scaling: Scaling | None = None

    @classmethod
    def of(cls, record: SignalRecord, samples: int, trimmed: int, signal: np.ndarray, chunks: list[Span], stride: int,
           scaling: Scaling | None = None, whole: bool = False) -> Read:  # fmt: skip
        """Plan the pieces of a read from its chunks; `whole`: a single piece."""
        count = frames(len(signal), stride)
        plan = [Span(0, count, 0, 0, count)] if whole else piece_spans(count)
        pieces = [Piece(span, span.length) for span in plan]
        return cls(record, samples, trimmed, signal, chunks, pieces, len(chunks), len(pieces), scaling)

    def shares(self, chunk: Span) -> Iterator[tuple[Piece, int, int]]:
        """Yield the pieces that take frames from a chunk, with the range of these frames, half-open."""
        for piece in self.pieces:
            first = max(chunk.first, piece.span.start)
            last = min(chunk.last, piece.span.start + piece.span.length)
            if first < last:
                yield piece, first, last

    def call(self) -> Decoded:
        """Return the call of the whole read, from its decoded pieces."""
        return join([piece.decoded for piece in self.pieces], [piece.span for piece in self.pieces])


def piece_spans(count: int) -> list[Span]:
    """Return the pieces of a read of `count` frames."""
    return spans(count, FRAMES, SHARED, 1)


def join(parts: Sequence[Decoded], plan: Sequence[Span]) -> Decoded:
    """Join the calls of overlapping pieces.

    Two pieces are joined at the frame nearest to the middle of their overlap around which both have the same bases in
    the same frames; in the middle itself where there is none.
    """
    if len(parts) == 1:
        return parts[0]
    cuts = [0, *itertools.starmap(_change, itertools.pairwise(zip(parts, plan, strict=True))), plan[-1].last]
    bases, quals, moves, evidence = [], [], [], []
    for part, span, (first, last) in zip(parts, plan, itertools.pairwise(cuts), strict=True):
        begun = np.flatnonzero(part.moves) + span.start
        a, b = np.searchsorted(begun, (first, last))
        bases.append(part.bases[a:b])
        quals.append(part.quals[a:b])
        evidence += [] if part.evidence is None else [part.evidence[a:b]]
        moves.append(part.moves[first - span.start : last - span.start])
    joined = np.concatenate(evidence) if evidence else None
    return Decoded("".join(bases), np.concatenate(quals), np.concatenate(moves), joined)


def _change(earlier: tuple[Decoded, Span], later: tuple[Decoded, Span]) -> int:
    """Return the first frame that is taken from the later of two pieces."""
    start, end = later[1].start, earlier[1].start + earlier[1].length
    alike = _letters(*earlier, start, end) == _letters(*later, start, end)
    counts = np.concatenate([[0], np.cumsum(alike)])
    around = counts[2 * AGREE :] - counts[: -2 * AGREE]  # of the 2 AGREE frames around a join
    places = np.flatnonzero(around == 2 * AGREE) + AGREE + start
    middle = later[1].first
    return int(places[np.argmin(np.abs(places - middle))]) if len(places) else middle


def _letters(part: Decoded, span: Span, start: int, end: int) -> np.ndarray:
    """Return the letter of the base that begins in each frame, or 0."""
    letters = np.zeros(len(part.moves), np.uint8)
    letters[np.flatnonzero(part.moves)] = np.frombuffer(part.bases.encode(), np.uint8)
    return letters[start - span.start : end - span.start]
