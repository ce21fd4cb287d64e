"""The longest stretch that sequences share with a set of others, exactly: a suffix automaton of the few reads the many.

The automaton (Blumer et al. 1985, Theor Comput Sci 40:31) is built of the queries and is linear in their residues; the
set is read through it once, so a set of many millions of residues takes a second and no memory.
"""

import numpy as np

from biorrn.jit import jit

CODES = 32  # of letters; 0 parts the queries and is no letter


def longest_matches(
    queries: np.ndarray, bounds: np.ndarray, tokens: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each query the length of the longest stretch that also stands in a sequence of the set, and where.

    Parameters
    ----------
    queries : uint8 array: letters, 1 to 31, of all queries; query i is queries[bounds[i]:bounds[i + 1]].
    tokens, offsets : the set, likewise.

    Returns
    -------
    lengths : int64 array (N,): residues of the longest match.
    found : int64 array (N,): a sequence of the set that holds it, -1 where the length is 0.
    ends : int64 array (N,): where the match ends in the query, the residue after it.
    """
    text = np.zeros(len(queries) + len(bounds), np.uint8)
    starts = bounds[:-1] + np.arange(len(bounds) - 1)  # a 0 after each query
    for i, start in enumerate(starts):
        text[start : start + bounds[i + 1] - bounds[i]] = queries[bounds[i] : bounds[i + 1]]
    follow, link, longest, states = _automaton(text)
    best, where = _read(follow[:states], link[:states], longest[:states], tokens, offsets)
    return _collect(text, starts, np.diff(bounds), follow, best, where)


@jit()
def _automaton(text: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return transitions (2T + 2, CODES), suffix links, the longest string of each state, and the number of states."""
    most = 2 * len(text) + 2
    follow = np.full((most, CODES), -1, np.int32)
    link, longest = np.full(most, -1, np.int32), np.zeros(most, np.int32)
    states, last = 1, 0
    for code in text:
        new = states
        states += 1
        longest[new] = longest[last] + 1
        state = last
        while state >= 0 and follow[state, code] < 0:
            follow[state, code] = new
            state = link[state]
        if state < 0:
            link[new] = 0
        else:
            other = follow[state, code]
            if longest[other] == longest[state] + 1:
                link[new] = other
            else:
                clone = states
                states += 1
                follow[clone] = follow[other]
                link[clone], longest[clone] = link[other], longest[state] + 1
                while state >= 0 and follow[state, code] == other:
                    follow[state, code] = clone
                    state = link[state]
                link[other] = link[new] = clone
        last = new
    return follow, link, longest, states


@jit()
def _read(
    follow: np.ndarray, link: np.ndarray, longest: np.ndarray, tokens: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each state the longest of its strings, or of its suffixes, that the set holds, and in which sequence.

    A state whose string is held holds all suffixes of it: what was reached at a state is passed down its links, and
    then what the suffixes reach is passed up, so that a state knows the best of all its suffixes.
    """
    states = len(link)
    best, where = np.zeros(states, np.int32), np.full(states, -1, np.int64)
    for sequence in range(len(offsets) - 1):
        state, length = 0, 0
        for place in range(offsets[sequence], offsets[sequence + 1]):
            code = tokens[place]
            while state > 0 and follow[state, code] < 0:
                state = link[state]
                length = longest[state]
            if follow[state, code] >= 0:
                state, length = follow[state, code], length + 1
            if length > best[state]:
                best[state], where[state] = length, sequence
    order = np.argsort(-longest)
    for state in order:  # longest strings first: their suffixes are held whole
        below = link[state]
        if below >= 0 and best[state] > 0 and longest[below] > best[below]:
            best[below], where[below] = longest[below], where[state]
    for state in order[::-1]:
        below = link[state]
        if below >= 0 and best[below] > best[state]:
            best[state], where[state] = best[below], where[below]
    return best, where


@jit()
def _collect(
    text: np.ndarray, starts: np.ndarray, sizes: np.ndarray, follow: np.ndarray, best: np.ndarray, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(starts)
    lengths, found, ends = np.zeros(count, np.int64), np.full(count, -1, np.int64), np.zeros(count, np.int64)
    state, query = 0, 0
    for place in range(len(text)):
        state = follow[state, text[place]]  # the state of all that has been read: it holds every suffix
        while query + 1 < count and place >= starts[query + 1]:
            query += 1
        inside = place - starts[query] if count else sizes.sum()
        # strings of a state that reach back over a 0 are in no sequence, since 0 is no letter
        if count and inside < sizes[query] and best[state] > lengths[query]:
            lengths[query], found[query], ends[query] = best[state], where[state], inside + 1
    return lengths, found, ends
