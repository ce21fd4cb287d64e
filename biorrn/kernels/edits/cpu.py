"""Myers' bit-parallel edit distance in numba: where no library in C was built."""

import numpy as np

from biorrn.base.compute import jit


@jit()
def search(texts, lengths, masks, sizes, before, distances, ends):  # type: ignore[no-untyped-def]
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
