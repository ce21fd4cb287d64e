"""The sequence that a set of variants has in common."""

import numpy as np

from biorrn.encoders.alphabets import N_TOKENS, UNKNOWN


def consensus(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the commonest residue at each position of the rows of the commonest length, uint8 (L,).

    Parameters
    ----------
    tokens : uint8 array (total,): residues of all rows, one after another; 1..21.
    lengths : int array (N,): residues of each row, N > 0.

    >>> consensus(np.array([1, 2, 3, 1, 2, 4, 1, 5, 3, 9], np.uint8), np.array([3, 3, 3, 1]))
    array([1, 2, 3], dtype=uint8)
    """
    lengths = np.asarray(lengths, np.int64)
    size = int(np.bincount(lengths).argmax())
    rows = tokens[np.repeat(lengths == size, lengths)].reshape(-1, size)
    counts = np.stack([(rows == residue).sum(0) for residue in range(N_TOKENS)])  # (N_TOKENS, L)
    counts[UNKNOWN] = 0  # the rows say nothing there; what is left may be 0 everywhere
    common = counts.argmax(0).astype(np.uint8)
    common[counts.max(0) == 0] = UNKNOWN
    return common
