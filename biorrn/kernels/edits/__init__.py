"""Approximate search of many short patterns in many texts: Myers' bit-parallel edit distance (1999, J. ACM 46:395).

A pattern of up to `LONGEST` bases is one column of bits; the columns of all patterns advance together, one base of the
text at a time, each in a lane of a vector. Gaps before and behind the pattern are free. It is run by the compiled
library, or by numba, which takes a second to load, where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biorrn.kernels.lstm.native import EditsCall, kernels

LONGEST = 32  # bases of a pattern
LANES = 32  # of two of the widest vectors: the number of patterns is filled up
LETTERS = "ACGT"
CODES = {"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC", "B": "CGT", "D": "AGT", "H": "ACT",
         "V": "ACG", "N": "ACGT", "U": "T"}  # fmt: skip


class Patterns:
    """Patterns of A, C, G, T and the ambiguous letters of IUPAC, each of 1 to `LONGEST` bases.

    Parameters
    ----------
    patterns : sequence of str.
    overhang : bool: a pattern may begin before the text; two missing bases count as one edit.

    >>> search = Patterns(["ACGT", "TTTT"])
    >>> distance, end = search(np.array([[1, 1, 2, 3, 4, 4]], np.uint8), np.array([6]))
    >>> distance.tolist(), end.tolist()
    ([[0, 2]], [[5, 6]])
    >>> search.start(np.array([1, 1, 2, 3, 4, 4], np.uint8), 0, 5)
    1
    """

    def __init__(self, patterns: Sequence[str], overhang: bool = False) -> None:
        assert all(0 < len(pattern) <= LONGEST for pattern in patterns)
        self.lengths = np.array([len(pattern) for pattern in patterns], np.int32)
        before = 0xAAAAAAAA if overhang else 0xFFFFFFFF  # bases that cost an edit before the text
        self._before = np.uint32(before)
        self._forward = _masks(patterns)
        self._backward = _masks([pattern[::-1] for pattern in patterns])
        filled = np.pad(self.lengths, (0, -len(patterns) % LANES), constant_values=1)
        self._lanes = np.pad(self._forward, ((0, 0), (0, len(filled) - len(patterns))))
        self._last = (filled - 1).astype(np.uint32)
        self._first = np.array([(before & (1 << size) - 1).bit_count() for size in filled.tolist()], np.int32)
        self._places = [each.ctypes.data for each in (self._lanes, self._last, self._first)]

    def __call__(self, texts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the edit distance of each pattern to the most similar part of each text, and where that part ends.

        Parameters
        ----------
        texts : uint8 array (N, W): 1 A, 2 C, 3 G, 4 T, 0 for any other base, which equals none.
        lengths : int array (N,): bases of each text.

        Returns
        -------
        int32 array (N, P): the distances; of an empty text, the length of the pattern, with `overhang` half of it.
        int32 array (N, P): the number of bases up to the end of the part; the first of several.
        """
        texts, lengths = np.ascontiguousarray(texts, np.uint8), np.ascontiguousarray(lengths, np.int64)
        library = kernels()
        if library is None or not library.has_edits:
            from biorrn.kernels.edits.cpu import search

            distances, ends = np.empty((2, len(texts), len(self.lengths)), np.int32)
            search(texts, lengths, self._forward, self.lengths, self._before, distances, ends)
            return distances, ends
        count = len(self._last)
        distances, ends = np.empty((2, len(texts), count), np.int32)
        given, made = ([each.ctypes.data for each in arrays] for arrays in ((texts, lengths), (distances, ends)))
        library.edits(EditsCall(*given, *self._places, *made, len(texts), texts.shape[1], count, int(self._before)))
        return distances[:, : len(self.lengths)], ends[:, : len(self.lengths)]

    def start(self, text: np.ndarray, which: int, end: int) -> int:
        """Return the number of bases of a text (L,) before its part that ends at `end` and fits pattern `which`.

        In plain Python, as few reads need it and numba takes a second to load.
        """
        masks, size = self._backward[:, which].tolist(), int(self.lengths[which])
        every, last = (1 << size) - 1, size - 1
        up, down = every, 0
        score = best = size
        length = 0
        # the most similar part is shorter than the pattern and its edits
        for place, base in enumerate(text[max(0, end - 2 * size) : end][::-1].tolist(), 1):
            equal = masks[base]
            vertical = equal | down
            across = (((equal & up) + up) ^ up) | equal
            plus, minus = (down | ~(across | up)) & every, up & across
            score += (plus >> last & 1) - (minus >> last & 1)
            plus = plus << 1 | 1  # the part begins at this end of the text
            up, down = ((minus << 1) | ~(vertical | plus)) & every, plus & vertical & every
            if score < best:
                best, length = score, place
        return end - length


def _masks(patterns: Sequence[str]) -> np.ndarray:
    """Return uint32 (5, P): for each base of a text, the places of each pattern that equal it; none for base 0."""
    found = np.zeros((5, len(patterns)), np.uint32)
    for column, pattern in enumerate(patterns):
        for place, letter in enumerate(pattern.upper()):
            for base in CODES.get(letter, letter):
                found[1 + LETTERS.index(base), column] |= np.uint32(1 << place)
    return found
