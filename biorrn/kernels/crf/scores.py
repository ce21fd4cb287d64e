"""Scores of a CTC-CRF: their check, and what a decoder returns. Their layout is that of `kernels.crf.loss`."""

import math

import numpy as np

# bases uint8 (L,) 1..4, frames of the moves int32 (L,), evidence float32 (L, 2): see `posterior_viterbi`
Decoded = tuple[np.ndarray, np.ndarray, np.ndarray]
FLOOR = 1e-8  # added to posteriors before their product is taken, so that no path is impossible


def state_len_of(columns: int) -> int:
    """Return the number of bases in a state (k) of scores with 5 * 4**k columns; the nearest, for another number.

    >>> state_len_of(5), state_len_of(320)
    (0, 3)
    """
    return round(math.log(max(columns, 1) / 5, 4))


def checked(scores: np.ndarray, state_len: int) -> np.ndarray:
    """Return scores as a contiguous float array; ValueError where the shape or a value does not fit.

    >>> checked(np.zeros((7, 20)), 2)
    Traceback (most recent call last):
    ValueError: scores of shape (7, 20); state_len 2 needs 80 columns
    """
    if scores.ndim != 2 or scores.shape[1] != 5 * 4**state_len:
        raise ValueError(f"scores of shape {scores.shape}; state_len {state_len} needs {5 * 4**state_len} columns")
    return np.ascontiguousarray(scores, np.float64 if scores.dtype == np.float64 else np.float32)
