"""From the scores of one read to its bases, their qualities and where they stand in the signal."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from biorrn.encoders.bases import decode_bases
from biorrn.errors import BiorrnError
from biorrn.kernels import align, beam

LOWEST, HIGHEST = 1, 40  # Phred


@dataclass(frozen=True, slots=True)
class Decoded:
    """The call of one read.

    Attributes
    ----------
    bases : str: letters of ACGT.
    quals : uint8 array, one a base: Phred, 1 to 40; see `phred`.
    moves : uint8 array (T',): 1 in the frames in which a base begins, else 0.
    """

    bases: str
    quals: np.ndarray
    moves: np.ndarray


def greedy(scores: np.ndarray) -> Decoded:
    """Return the best path's bases; see `DECODERS` for the argument."""
    probs = softmax(scores)
    bases, starts = beam.greedy(probs)
    return _decoded(probs, bases, starts)


def prefix_beam(scores: np.ndarray, size: int = 5, threshold: float = 0.0) -> Decoded:
    """Return the bases of a prefix beam search with `size` prefixes a frame; see `DECODERS` for the first argument.

    The search says what was called; each base is then put where the best path of that sequence has it.
    """
    probs = softmax(scores)
    bases, earliest = beam.beam(probs, size, threshold)
    return _decoded(probs, bases, align.align(probs, bases, earliest))


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the class probabilities of scores (T', S) as float32.

    Raises
    ------
    BiorrnError: a score is not finite, which only a damaged or diverged model gives.
    """
    scores = np.asarray(scores, np.float32)
    if not np.isfinite(scores).all():
        raise BiorrnError("the model's scores hold NaN or infinity; allowed are finite numbers")
    powers = np.exp(scores - scores.max(1, keepdims=True)) if len(scores) else scores
    return powers / powers.sum(1, keepdims=True)


def phred(probs: np.ndarray) -> np.ndarray:
    """Return -10 log10(1 - p) as uint8, rounded and kept within 1 to 40.

    p is the highest probability that any frame gives the called base, from the frame in which it begins to the one
    before the next base begins. It says how sure the model is, not how often it is right: evaluation measures that.

    >>> phred(np.array([0.0, 0.5, 0.9, 0.999, 1.0])).tolist()
    [1, 3, 10, 30, 40]
    """
    wrong = np.clip(1.0 - np.asarray(probs, np.float64), 1e-9, 1.0)
    return np.clip(np.rint(-10.0 * np.log10(wrong)), LOWEST, HIGHEST).astype(np.uint8)


def _decoded(probs: np.ndarray, bases: np.ndarray, starts: np.ndarray) -> Decoded:
    moves = np.zeros(len(probs), np.uint8)
    moves[starts] = 1
    return Decoded(decode_bases(bases), phred(align.peaks(probs, bases, starts)), moves)


# Each takes the scores of one whole read: float32 array (T', 5), classes blank, A, C, G, T. Raw scores and
# log-probabilities give the same, for the softmax of log-probabilities is the probabilities. No frame: an empty call.
DECODERS: dict[str, Callable[[np.ndarray], Decoded]] = {"greedy": greedy, "beam": prefix_beam}
