"""CTC decoding in numba: greedy (best path) and prefix beam search.

Both take the class probabilities of one read, class 0 the blank, and return the called classes with the first frame of
each. Beam search: Graves and Jaitly 2014, in the form of Hannun et al. 2014 without a language model. The mass of a
prefix is the sum over its alignments, in two parts: alignments that end in a blank, and those that end in a base.
"""

from __future__ import annotations

import numpy as np

from biorrn.base.compute import jit

Called = tuple[np.ndarray, np.ndarray]  # classes uint8 (L,), first frames int32 (L,)


@jit()
def _greedy(scores, bases, starts):  # type: ignore[no-untyped-def]
    """Fill `bases` and `starts` (T,) with the collapsed best path of scores (T, S) and return its length."""
    frames, symbols = scores.shape
    count = 0
    last = 0
    for t in range(frames):
        best = 0
        top = scores[t, 0]
        for c in range(1, symbols):
            if scores[t, c] > top:
                top = scores[t, c]
                best = c
        # written always and counted conditionally: a branch here would often be mispredicted
        bases[count] = best
        starts[count] = t
        count += (best != 0) & (best != last)
        last = best
    return count


@jit()
def _beam(probs, size, threshold, bases, starts):  # type: ignore[no-untyped-def]
    """Fill `bases` and `starts` (T,) with the most probable prefix and return its length, or -1 if all mass was lost.

    Prefixes are nodes of a tree; only those that enter the beam are added. Two prefixes of the beam never lead to the
    same new one, and a prefix already in the beam is reached only from its parent, so no hash table is needed.
    """
    frames, symbols = probs.shape
    limit = size * frames + 1
    parent = np.empty(limit, np.int32)
    born = np.empty(limit, np.int32)
    label = np.empty(limit, np.uint8)
    place = np.empty(limit, np.int32)  # in the beam; -1: not there
    child = np.empty((limit, symbols), np.int32)  # -1: none
    parent[0], label[0], place[0] = -1, 0, 0
    child[0] = -1
    nodes = 1

    node = np.zeros(size, np.int32)
    tip = np.zeros(size, np.uint8)
    ends = np.zeros((2, size), np.float32)  # mass of alignments that end in a blank, in a base
    ends[0, 0] = 1.0
    held = 1
    # what may enter the next beam: total mass, its two parts, the entry it comes from, the base added (0: none)
    total = np.empty(size, np.float32)
    parts = np.empty((2, size), np.float32)
    source = np.empty(size, np.int32)
    added = np.empty(size, np.uint8)
    next_node = np.empty(size, np.int32)

    for t in range(frames):
        y = probs[t]
        highest = np.float32(0)
        for c in range(1, symbols):
            highest = max(highest, y[c])
        kept = 0
        for i in range(held):
            whole = ends[0, i] + ends[1, i]
            quiet = whole * y[0] if y[0] > threshold else np.float32(0)
            sure = np.float32(0)
            c = tip[i]
            if c != 0 and y[c] >= threshold:
                sure = ends[1, i]
                above = place[parent[node[i]]]
                if above >= 0:  # from the parent, through a blank if the base is the same
                    sure += ends[0, above] if tip[above] == c else ends[0, above] + ends[1, above]
                sure *= y[c]
            if quiet + sure > 0:
                total[kept], parts[0, kept], parts[1, kept] = quiet + sure, quiet, sure
                source[kept], added[kept] = i, 0
                kept += 1
        bar, lowest = np.float32(0), np.intp(0)  # the least mass of a full beam, and whose it is
        if kept == size:
            lowest = np.argmin(total)
            bar = total[lowest]
        for i in range(held):
            whole = ends[0, i] + ends[1, i]
            if whole * highest <= bar:
                continue
            for c in range(1, symbols):
                mass = (ends[0, i] if c == tip[i] else whole) * y[c]
                if not mass > bar or y[c] < threshold:
                    continue
                old = child[node[i], c]
                if old >= 0 and place[old] >= 0:
                    continue
                if kept < size:
                    lowest = np.intp(kept)
                    kept += 1
                total[lowest], parts[0, lowest], parts[1, lowest] = mass, 0, mass
                source[lowest], added[lowest] = i, c
                if kept == size:
                    lowest = np.argmin(total)
                    bar = total[lowest]
        if kept == 0:
            return -1

        for i in range(held):
            place[node[i]] = -1
        top = np.float32(0)
        for j in range(kept):
            here, c = node[source[j]], added[j]
            if c != 0:
                if child[here, c] < 0:
                    child[here, c] = nodes
                    parent[nodes], label[nodes], born[nodes] = here, c, t
                    child[nodes] = -1
                    nodes += 1
                here = child[here, c]
            next_node[j] = here
            top = max(top, total[j])
        scale = 1 / top
        for j in range(kept):
            node[j] = next_node[j]
            place[node[j]] = j
            tip[j] = label[node[j]]
            ends[0, j] = parts[0, j] * scale
            ends[1, j] = parts[1, j] * scale
        held = kept

    best = 0
    for i in range(held):
        if ends[0, i] + ends[1, i] > ends[0, best] + ends[1, best]:
            best = i
    count, at = 0, node[best]
    while at != 0:
        count += 1
        at = parent[at]
    at = node[best]
    for i in range(count - 1, -1, -1):
        bases[i], starts[i] = label[at], born[at]
        at = parent[at]
    return count


def greedy(scores: np.ndarray) -> Called:
    """Return the best path: the highest class of each frame, repeats merged, blanks dropped.

    Parameters
    ----------
    scores : float32 array (T, S): anything that grows with the probability of a class.

    Returns
    -------
    classes uint8 (L,) and their first frames int32 (L,). Where classes tie, the lowest wins.
    """
    bases, starts = np.empty(len(scores), np.uint8), np.empty(len(scores), np.int32)
    count = _greedy(np.ascontiguousarray(scores, np.float32), bases, starts)
    return bases[:count].copy(), starts[:count].copy()


def beam(probs: np.ndarray, size: int = 5, threshold: float = 0.0) -> Called:
    """Return the most probable sequence that a prefix beam search finds.

    Parameters
    ----------
    probs : float32 array (T, S): class probabilities; each frame sums to 1.
    size : int: prefixes kept a frame. Default 5.
    threshold : float: classes less probable than this are not tried in a frame. Default 0, below 1 / S.

    Returns
    -------
    classes uint8 (L,), and the frames int32 (L,) in which each first entered the beam, often some frames early; see
    `kernels.align.align`.

    Raises
    ------
    ValueError: probabilities that are not numbers, or a threshold that leaves nothing.
    """
    bases, starts = np.empty(len(probs), np.uint8), np.empty(len(probs), np.int32)
    count = _beam(np.ascontiguousarray(probs, np.float32), size, np.float32(threshold), bases, starts)
    if count < 0:
        raise ValueError(
            f"beam search: no class of a frame is above the threshold {threshold}, or NaN among the values"
        )
    return bases[:count].copy(), starts[:count].copy()
