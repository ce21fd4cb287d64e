"""Posterior Viterbi decoding of a CTC-CRF by the compiled library, or by numba where there is none.

Method: of all paths, the one with the largest product of the posterior probabilities of its transitions. One pass back
gives the backward mass of each state; one pass forward gives posteriors and best path together.
"""

from __future__ import annotations

import numpy as np

from biorrn.kernels.crf.scores import Decoded, checked
from biorrn.kernels.lstm.native import ViterbiCall, kernels


def posterior_viterbi(scores: np.ndarray, state_len: int) -> Decoded:
    """Return the path with the largest product of posterior transition probabilities.

    Parameters
    ----------
    scores : float32 array (T, 5 S).
    state_len : int: bases a state remembers.

    Returns
    -------
    bases uint8 (L,), 1 to 4; starts int32 (L,): the frame of each base's move; evidence float32 (L, 2), 0 to 1. Its
    first column is the share of the base in the posterior probability of moves between the neighbouring moves (the
    frame of a move is uncertain, so a single frame is too little). The second is the highest posterior probability of
    the state that the base leads to, before the next move.

    Raises
    ------
    ValueError: a shape that does not fit, or NaN or infinity.
    """
    scores = checked(scores, state_len)
    library = kernels()
    if library is not None and scores.dtype == np.float32 and state_len > 1:
        frames, states = len(scores), 4**state_len
        bases, starts, evidence = (
            np.empty(frames, np.uint8),
            np.empty(frames, np.int32),
            np.empty((frames, 2), np.float32),
        )
        beta, mass = np.empty((frames + 1, states), np.float32), np.empty((frames, 4), np.float32)
        choice = np.empty((frames, states), np.uint8)
        arrays = (scores, beta, mass, evidence, choice, bases, starts)
        count = library.viterbi(ViterbiCall(*(each.ctypes.data for each in arrays), frames, states))
        if count >= 0:
            return bases[:count].copy(), starts[:count].copy(), evidence[:count].copy()
    if not np.isfinite(scores).all():
        raise ValueError(f"CRF scores: NaN or infinity in frame {np.isfinite(scores).all(1).argmin()}")
    from biorrn.kernels.crf.decode import posterior_viterbi  # in numba

    return posterior_viterbi(scores, state_len)
