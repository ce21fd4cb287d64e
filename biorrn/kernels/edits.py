"""Approximate search of many short patterns in many texts: Myers' bit-parallel edit distance (1999, J. ACM 46:395).

A pattern of up to `LONGEST` bases is one column of bits; the columns of all patterns advance together, one base of the
text at a time, so that the compiler makes vector instructions of them. Gaps before and behind the pattern are free.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biorrn.base.compute import jit

LONGEST = 32  # bases of a pattern
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
    >>> search.starts(np.array([[1, 1, 2, 3, 4, 4]], np.uint8), np.array([0]), end[:, 0]).tolist()
    [1]
    """

    def __init__(self, patterns: Sequence[str], overhang: bool = False) -> None:
        assert all(0 < len(pattern) <= LONGEST for pattern in patterns)
        self.lengths = np.array([len(pattern) for pattern in patterns], np.int32)
        self._before = np.uint32(0xAAAAAAAA if overhang else 0xFFFFFFFF)  # bases that cost an edit before the text
        self._forward = _masks(patterns)
        self._backward = _masks([pattern[::-1] for pattern in patterns])

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
        shape = (len(texts), len(self.lengths))
        distances, ends = np.empty(shape, np.int32), np.empty(shape, np.int32)
        texts = np.ascontiguousarray(texts, np.uint8)
        _search(
            texts, np.ascontiguousarray(lengths, np.int64), self._forward, self.lengths, self._before, distances, ends
        )
        return distances, ends

    def starts(self, texts: np.ndarray, which: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return the number of bases before the part of each text that ends at `ends` (N,) and fits pattern `which`."""
        found = np.empty(len(texts), np.int32)
        texts = np.ascontiguousarray(texts, np.uint8)
        _starts(texts, np.asarray(which, np.int64), np.asarray(ends, np.int64), self._backward, self.lengths, found)
        return found


def _masks(patterns: Sequence[str]) -> np.ndarray:
    """Return uint32 (5, P): for each base of a text, the places of each pattern that equal it; none for base 0."""
    found = np.zeros((5, len(patterns)), np.uint32)
    for column, pattern in enumerate(patterns):
        for place, letter in enumerate(pattern.upper()):
            for base in CODES.get(letter, letter):
                found[1 + LETTERS.index(base), column] |= np.uint32(1 << place)
    return found


@jit()
def _search(texts, lengths, masks, sizes, before, distances, ends):  # type: ignore[no-untyped-def]
    count = masks.shape[1]
    one, none = np.uint32(1), np.uint32(0)
    up, down = np.empty(count, np.uint32), np.empty(count, np.uint32)
    last = np.empty(count, np.uint32)
    score, best, place = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    first = np.zeros(count, np.int32)
    for j in range(count):
        last[j] = np.uint32(sizes[j] - 1)
        for bit in range(sizes[j]):
            first[j] += np.int32((before >> np.uint32(bit)) & one)
    for row in range(texts.shape[0]):
        for j in range(count):
            up[j], down[j] = before, none
            score[j] = best[j] = first[j]
            place[j] = 0
        for t in range(lengths[row]):
            equal = masks[texts[row, t]]
            now = np.int32(t + 1)
            for j in range(count):
                eq, pv, mv = equal[j], up[j], down[j]
                xv = eq | mv
                xh = np.uint32(np.uint32((eq & pv) + pv) ^ pv) | eq
                ph = mv | ~(xh | pv)
                mh = pv & xh
                s = score[j] + np.int32((ph >> last[j]) & one) - np.int32((mh >> last[j]) & one)
                ph = np.uint32(ph << one)
                mh = np.uint32(mh << one)
                up[j] = mh | ~(xv | ph)
                down[j] = ph & xv
                score[j] = s
                less = s < best[j]
                place[j] = now if less else place[j]
                best[j] = s if less else best[j]
        for j in range(count):
            distances[row, j], ends[row, j] = best[j], place[j]


@jit()
def _starts(texts, which, ends, masks, sizes, found):  # type: ignore[no-untyped-def]
    one = np.uint32(1)
    for row in range(texts.shape[0]):
        j = which[row]
        last = np.uint32(sizes[j] - 1)
        pv, mv = np.uint32(0xFFFFFFFF), np.uint32(0)
        score = best = sizes[j]
        length = 0
        for t in range(ends[row]):
            eq = masks[texts[row, ends[row] - 1 - t], j]
            xv = eq | mv
            xh = np.uint32(np.uint32((eq & pv) + pv) ^ pv) | eq
            ph = mv | ~(xh | pv)
            mh = pv & xh
            score += np.int32((ph >> last) & one) - np.int32((mh >> last) & one)
            ph = np.uint32(ph << one) | one  # the part begins at this end of the text
            mh = np.uint32(mh << one)
            pv = mh | ~(xv | ph)
            mv = ph & xv
            if score < best:
                best, length = score, t + 1
        found[row] = ends[row] - length
