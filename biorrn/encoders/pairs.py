"""Byte-pair encoding: the commonest pair is made a symbol, again and again (Sennrich et al. 2016, ACL, 1715-1725)."""

from __future__ import annotations

import numpy as np

LONGEST = 64  # letters of a symbol


def learn_merges(flat: np.ndarray, size: int, merges: int, first: int) -> list[tuple[int, int]]:
    """Return the pairs that are joined, in order; number i becomes the id `size + i`. It ends where none comes twice.

    Of pairs that are as common the one of the lower ids is taken, so that the same data gives the same symbols.

    Parameters
    ----------
    flat : int64 array (T,): ids.
    size : int: ids there are before the first merge.
    merges : int: pairs to learn, at most.
    first : int: no id below this is joined.
    """
    found: list[tuple[int, int]] = []
    letters = np.ones(size + merges, np.int64)
    for new in range(size, size + merges):
        left, right = flat[:-1], flat[1:]
        whole = (left >= first) & (right >= first) & (letters[left] + letters[right] <= LONGEST)
        counts = np.bincount(left[whole] * new + right[whole], minlength=1)
        if counts.max() < 2:
            break
        pair = divmod(int(counts.argmax()), new)
        flat = merge(flat, pair, new)
        letters[new] = letters[list(pair)].sum()
        found.append(pair)
    return found


def merge(flat: np.ndarray, pair: tuple[int, int], new: int) -> np.ndarray:
    """Return ids (T,) with every pair replaced by `new`, from the left: of three of the same the first two.

    >>> merge(np.array([5, 5, 5, 6]), (5, 5), 9).tolist()
    [9, 5, 6]
    """
    places = np.flatnonzero((flat[:-1] == pair[0]) & (flat[1:] == pair[1]))
    if not len(places):
        return flat
    if pair[0] == pair[1]:  # in a run of neighbouring places each second one begins within the pair before it
        starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        run = np.repeat(starts, np.diff(starts, append=len(places)))
        places = places[(np.arange(len(places)) - run) % 2 == 0]
    flat = flat.copy()
    flat[places] = new
    return np.delete(flat, places + 1)
