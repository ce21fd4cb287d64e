"""Decoding of scores by best path or beam search (CTC, CRF), and move tables.

What is compiled by numba is imported where it is called: best paths of a CRF, the usual case, start faster without.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from biorrn.base.errors import BiorrnError
from biorrn.kernels.crf.scores import state_len_of
from biorrn.kernels.crf.viterbi import posterior_viterbi
from biorrn.nanopore.basecall.quality import Calibration, Line, phred
from biorrn.sequences.alphabets import decode_bases

CTC_BEAM, CRF_BEAM = 5, 32  # prefixes kept per frame
NOT_FINITE = "the model's scores hold NaN or infinity; allowed are finite numbers"


@dataclass(frozen=True, slots=True)
class Decoded:
    """The call of one read.

    Attributes
    ----------
    bases : str: letters of ACGT.
    quals : uint8 array (L,): Phred, 1 to 40; the model's own until `calibrated`.
    moves : uint8 array (T',): 1 in the frames in which a base begins, else 0.
    evidence : float32 array (L, 2): two probabilities per base, the input of a calibration. CRF: those of
        `kernels.crf.decode.posterior_viterbi`. CTC: over the frames from the base to the next one, its share of all
        that is not blank, and its highest probability. The model's own quality is from the first for a CRF, from the
        second for CTC.
    """

    bases: str
    quals: np.ndarray
    moves: np.ndarray
    evidence: np.ndarray | None = None


def remembered(symbols: int) -> int:
    """Return the number of bases in a state of a CRF whose scores have `symbols` columns; 0 for CTC.

    >>> remembered(5), remembered(320)
    (0, 3)
    """
    state_len = state_len_of(symbols)
    if symbols != 5 * 4**state_len:
        raise BiorrnError(
            f"found scores of {symbols} columns; allowed are 5 (CTC) and 5 * 4**k (CRF of k bases a state)"
        )
    return state_len


def greedy(scores: np.ndarray) -> Decoded:
    """Decode the best path: the most probable class of each frame for CTC, posterior Viterbi for a CRF."""
    state_len = remembered(scores.shape[1])
    if state_len:
        try:
            called = posterior_viterbi(scores, state_len)
        except ValueError as error:  # the number of columns fits
            raise BiorrnError(NOT_FINITE) from error
        return _moved(len(scores), *called, own=0)
    from biorrn.kernels.ctc import decode as ctc

    probs = softmax(scores)
    bases, starts = ctc.greedy(probs)
    return _decoded(probs, bases, starts)


def prefix_beam(scores: np.ndarray) -> Decoded:
    """Decode by prefix beam search. For CTC, the bases are then placed by the best path of the found sequence."""
    state_len = remembered(scores.shape[1])
    if state_len:
        from biorrn.kernels.crf.decode import beam_search

        return _moved(len(scores), *beam_search(_finite(scores), state_len, CRF_BEAM), own=0)
    from biorrn.kernels import align
    from biorrn.kernels.ctc import decode as ctc

    probs = softmax(scores)
    bases, earliest = ctc.beam(probs, CTC_BEAM)
    return _decoded(probs, bases, align.align(probs, bases, earliest))


def automatic(scores: np.ndarray) -> Decoded:
    """Decode by `greedy` for a CRF, where a search gains little and costs much, and by `prefix_beam` for CTC."""
    return (greedy if remembered(scores.shape[1]) else prefix_beam)(scores)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the class probabilities of scores (T', S) as float32.

    Raises
    ------
    BiorrnError: a score is not finite, which only a damaged or diverged model gives.
    """
    scores = _finite(scores)
    powers = np.exp(scores - scores.max(1, keepdims=True)) if len(scores) else scores
    return powers / powers.sum(1, keepdims=True)


def _finite(scores: np.ndarray) -> np.ndarray:
    scores = np.ascontiguousarray(scores, np.float32)
    if not np.isfinite(scores).all():
        raise BiorrnError(NOT_FINITE)
    return scores


def _decoded(probs: np.ndarray, bases: np.ndarray, starts: np.ndarray) -> Decoded:
    """Return a CTC call; the probability of a base is its highest in any frame before the next base begins."""
    from biorrn.kernels.align import evidence

    return _moved(len(probs), bases, starts, evidence(probs, bases, starts), own=1)


def _moved(frames: int, bases: np.ndarray, starts: np.ndarray, evidence: np.ndarray, own: int) -> Decoded:
    moves = np.zeros(frames, np.uint8)
    moves[starts] = 1
    return Decoded(decode_bases(bases), phred(evidence[:, own]), moves, evidence)


def calibrated(decoded: Decoded, calibration: Calibration | Line | None) -> Decoded:
    """Return the call of a whole read with calibrated qualities; unchanged without a calibration."""
    if calibration is None or decoded.evidence is None:
        return decoded
    return replace(decoded, quals=calibration.qualities(decoded.bases, decoded.evidence))


def turned(decoded: Decoded) -> Decoded:
    """Return the call of a read whose signal runs 3' to 5', as that of RNA does, 5' to 3'; its moves stay as they are.

    >>> found = turned(Decoded("AAC", np.array([9, 8, 7], np.uint8), np.array([1, 0, 1, 1], np.uint8)))
    >>> found.bases, found.quals.tolist(), found.moves.tolist()
    ('CAA', [7, 8, 9], [1, 0, 1, 1])
    """
    evidence = None if decoded.evidence is None else decoded.evidence[::-1]
    return Decoded(decoded.bases[::-1], decoded.quals[::-1], decoded.moves, evidence)


def move_table(decoded: Decoded, samples: int, trimmed: int, stride: int) -> tuple[Decoded, int]:
    """Return a call with a move table by ONT's SAM specification, and the samples trimmed.

    The table covers the samples from `trimmed` to `samples` in floor((samples - trimmed) / stride) blocks. The first is
    1, and there is a 1 for each base. Frames before the first base are cut off, which raises the samples trimmed by
    whole strides. A base that begins in an incomplete last frame is moved to the block before; where that one is taken,
    its base moves too. A base for which no block is left is dropped.

    Parameters
    ----------
    decoded : Decoded: moves (T',), T' about (samples - trimmed) / stride, or more where bases are emitted early.
    samples : int: samples of the raw read.
    trimmed : int: first sample of the first frame.
    stride : int: samples per frame.

    >>> found = move_table(Decoded("ACG", np.full(3, 9, np.uint8), np.array([0, 1, 0, 1, 1], np.uint8)), 123, 100, 5)
    >>> found[0].moves.tolist(), found[1]
    ([1, 1, 1], 105)
    """
    blocks = max(0, (samples - trimmed) // stride)
    starts = np.flatnonzero(decoded.moves)[:blocks]
    starts = np.minimum(starts, np.arange(blocks - len(starts), blocks))  # the last bases fit, one per block
    first = int(starts[0]) if len(starts) else 0
    moves = np.zeros(blocks - first, np.uint8)
    moves[starts - first] = 1
    evidence = None if decoded.evidence is None else decoded.evidence[: len(starts)]
    kept = Decoded(decoded.bases[: len(starts)], decoded.quals[: len(starts)], moves, evidence)
    return kept, trimmed + first * stride


# Each takes the scores of a read, or of a piece of it, float32 array (T', S); T' = 0 gives an empty call.
# S = 5 is CTC, classes blank, A, C, G, T; raw scores and log-probabilities give the same, since a softmax is applied.
# S = 5 * 4**k is a CRF with states of k bases, in the layout of `kernels.crf.loss`.
DECODERS: dict[str, Callable[[np.ndarray], Decoded]] = {"auto": automatic, "greedy": greedy, "beam": prefix_beam}
