"""Overlapping chunks of long signals, scores and sequences: where each starts, and which of its frames count.

`spans` plans the chunks. Basecalling slices signal and takes scores by this plan in `nanopore.basecall.pipeline`, and
joins the calls of pieces of scores in `nanopore.basecall.chunking`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from biorrn.base.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Span:
    """One chunk of a signal, and the frames of the joined scores that come from it.

    Attributes
    ----------
    start : int: first sample; a multiple of the stride.
    length : int: samples of the signal in the chunk, at most the chunk's size.
    origin : int: the joined frame at frame 0 of this chunk.
    first, last : int: the joined frames that come from this chunk, half-open.
    """

    start: int
    length: int
    origin: int
    first: int
    last: int


def frames(samples: int, stride: int) -> int:
    """Return the frames of a signal: ceil(samples / stride), as for "same"-padded convolutions.

    >>> [frames(samples, 5) for samples in (0, 1, 5, 6)]
    [0, 1, 1, 2]
    """
    return -(-samples // stride)


def check(size: int, overlap: int, stride: int) -> None:
    """Check chunk size and overlap against the stride.

    Raises
    ------
    ConfigError: the size is not a multiple of the stride, the overlap not a multiple of twice the stride (a cut would
        fall between frames), or not smaller than the size.

    >>> check(2400, 305, 5)
    Traceback (most recent call last):
    biorrn.base.errors.ConfigError: chunks.overlap: found 305; allowed is a multiple of 10 (twice the stride) below 2400
    """
    if stride < 1 or size < stride or size % stride:
        raise ConfigError(f"chunks.samples: found {size}; allowed is a multiple of the model's stride {stride}")
    if overlap % (2 * stride) or not 0 <= overlap < size:
        raise ConfigError(
            f"chunks.overlap: found {overlap}; allowed is a multiple of {2 * stride} (twice the stride) below {size}"
        )


def spans(samples: int, size: int, overlap: int, stride: int) -> list[Span]:
    """Return the chunks of a signal of `samples` samples.

    All chunks have the same length to within a frame, the shortest that does not need more chunks than the full size,
    so that no chunk is short of context and only the overlaps are computed twice. A signal no longer than a chunk is
    one chunk; an empty signal has none.

    >>> [(span.start, span.length, span.first, span.last) for span in spans(23, 10, 4, 2)]
    [(0, 8, 0, 3), (4, 10, 3, 6), (10, 8, 6, 8), (14, 9, 8, 12)]
    """
    check(size, overlap, stride)
    if samples == 0:
        return []
    total, shared = frames(samples, stride), overlap // stride
    count = max(1, -(-(total - shared) // (size // stride - shared)))
    starts = [(total - shared) * number // count for number in range(count + 1)]  # the last is that of one more chunk
    edges = [0, *(start + shared // 2 for start in starts[1:-1]), total]
    return [
        Span(start * stride, min((after + shared) * stride, samples) - start * stride, start, first, last)
        for (start, after), (first, last) in zip(itertools.pairwise(starts), itertools.pairwise(edges), strict=True)
    ]
