"""Cutting a signal into chunks of one length that overlap, and joining their scores as if it had never been cut.

Chunks start at multiples of the model's stride, so that a frame of a chunk is a frame of the whole signal. In the
middle of each overlap the earlier chunk hands over to the later one: a frame is never taken from nearer than half an
overlap to a cut, where the model lacks context.
"""

import itertools
from dataclasses import dataclass

from biorrn.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Span:
    """Where one chunk lies in a signal, and which frames of the joined scores come from it.

    Attributes
    ----------
    start : int: first sample; a multiple of the stride.
    length : int: samples of the signal in the chunk, at most the chunk's size.
    origin : int: the frame of the joined scores that is frame 0 of this chunk.
    first, last : int: the joined frames that this chunk supplies, half-open.
    """

    start: int
    length: int
    origin: int
    first: int
    last: int


def frames(samples: int, stride: int) -> int:
    """Return how many frames a model makes of a signal: ceil(samples / stride), as "same"-padded convolutions do.

    >>> [frames(samples, 5) for samples in (0, 1, 5, 6)]
    [0, 1, 1, 2]
    """
    return -(-samples // stride)


def check(size: int, overlap: int, stride: int) -> None:
    """Refuse a chunk size and overlap that a stride does not allow.

    Raises
    ------
    ConfigError: the size is no multiple of the stride, the overlap no multiple of twice the stride (a cut would fall
        between frames), or not smaller than the size.

    >>> check(2400, 305, 5)
    Traceback (most recent call last):
    biorrn.errors.ConfigError: chunks.overlap: found 305; allowed is a multiple of 10 (twice the stride) below 2400
    """
    if stride < 1 or size < stride or size % stride:
        raise ConfigError(f"chunks.samples: found {size}; allowed is a multiple of the model's stride {stride}")
    if overlap % (2 * stride) or not 0 <= overlap < size:
        raise ConfigError(
            f"chunks.overlap: found {overlap}; allowed is a multiple of {2 * stride} (twice the stride) below {size}"
        )


def spans(samples: int, size: int, overlap: int, stride: int) -> list[Span]:
    """Plan the chunks of a signal of `samples` samples.

    All chunks of a signal are of one length to a frame, the least that needs no more chunks than the size allows:
    so none is called without context, and hardly a sample is computed twice but for the overlaps.
    A signal no longer than a chunk is one chunk; an empty one is none.

    >>> [(span.start, span.length, span.first, span.last) for span in spans(23, 10, 4, 2)]
    [(0, 8, 0, 3), (4, 10, 3, 6), (10, 8, 6, 8), (14, 9, 8, 12)]
    """
    check(size, overlap, stride)
    if samples == 0:
        return []
    total, shared = frames(samples, stride), overlap // stride
    count = max(1, -(-(total - shared) // (size // stride - shared)))
    starts = [(total - shared) * number // count for number in range(count + 1)]  # the last is where one more would
    edges = [0, *(start + shared // 2 for start in starts[1:-1]), total]
    return [
        Span(start * stride, min((after + shared) * stride, samples) - start * stride, start, first, last)
        for (start, after), (first, last) in zip(itertools.pairwise(starts), itertools.pairwise(edges), strict=True)
    ]
