"""How alike sequences are: shared k-mers find the candidates, an edit distance decides. Compiled, one thread.

Identity is 1 - edits / length of the longer sequence, edits being substitutions, insertions and deletions.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from biorrn.encoders.alphabets import RESIDUES

LETTERS = len(RESIDUES)
CHECKS = 24  # candidates with most k-mers in common whose distance is computed, a query


def _jit(function: Callable[..., Any]) -> Any:
    """Compile a function; the machine code is kept on disk where numba finds a folder that it may write."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # "cannot cache function ...: no locator available"
        return numba.njit(function)


def word_length(identity: float) -> int:
    """Return k: words long enough to be rare, of which sequences of this identity still share some.

    An edit changes at most k words, so that two sequences of L residues share L - k + 1 - k * edits or more: some,
    surely, above an identity of about 1 - 1/k. Below that they are likely to share some (identity ** k of all).
    """
    return 5 if identity >= 0.9 else 4 if identity >= 0.65 else 3


@_jit
def edit_distance(a: np.ndarray, b: np.ndarray, limit: int) -> int:
    """Return the edit distance of two token arrays, or limit + 1 where it is above `limit`."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    row = np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        # only cells within `limit` of the diagonal can end at or below it
        low, high = max(1, i - limit), min(len(b), i + limit)
        diagonal = row[low - 1]
        row[low - 1] = i if low == 1 else limit + 1
        best = row[low - 1]
        for j in range(low, high + 1):
            above = row[j] if j < i + limit else limit + 1
            cell = diagonal if a[i - 1] == b[j - 1] else 1 + min(diagonal, above, row[j - 1])
            diagonal = row[j]
            row[j] = cell
            best = min(best, cell)
        if best > limit:
            return limit + 1
    return min(row[len(b)], limit + 1)


@_jit
def words(tokens: np.ndarray, k: int, seen: np.ndarray, stamp: int) -> np.ndarray:
    """Return the distinct words of `k` residues as codes; `seen` (LETTERS ** k,) is scratch, `stamp` a new number."""
    found = np.empty(max(0, len(tokens) - k + 1), np.int64)
    n = 0
    for start in range(len(found)):
        code = 0
        for place in range(start, start + k):
            code = code * LETTERS + tokens[place] - 1
        if seen[code] != stamp:
            seen[code] = stamp
            found[n] = code
            n += 1
    return found[:n]


@_jit
def best_match(
    query: np.ndarray,
    codes: np.ndarray,
    tokens: np.ndarray,
    offsets: np.ndarray,
    head: np.ndarray,
    link: np.ndarray,
    owner: np.ndarray,
    shared: np.ndarray,
    identity: float,
    k: int,
    first: bool,
) -> tuple[int, float]:
    """Return the indexed sequence most like `query` and its identity, or (-1, 0.0) where none reaches `identity`.

    Parameters
    ----------
    query, codes : the sequence's tokens and its words.
    tokens, offsets : all sequences; the index names their places.
    head, link, owner : the index: head[word] is the newest entry, link[entry] the next one, owner[entry] its sequence.
    shared : int32 array, one a sequence, all 0: scratch, left as found.
    first : bool: whether the first sequence that reaches `identity` will do.
    """
    touched = np.empty(16, np.int64)
    n = 0
    for code in codes:
        entry = head[code]
        while entry >= 0:
            sequence = int(owner[entry])
            if shared[sequence] == 0:
                if n == len(touched):
                    grown = np.empty(2 * n, np.int64)
                    grown[:n] = touched
                    touched = grown
                touched[n] = sequence
                n += 1
            shared[sequence] += 1
            entry = link[entry]
    # unrelated sequences often share one word of 3, hardly ever two
    needed = max(len(codes) - k * int((1.0 - identity) * len(query) / identity + 1), 2 if len(codes) > 20 else 1)
    counts = np.empty(n, np.int64)
    kept = 0
    for place in range(n):
        sequence = int(touched[place])
        if shared[sequence] >= needed:
            touched[kept], counts[kept] = sequence, shared[sequence]
            kept += 1
        shared[sequence] = 0
    found, reached = -1, 0.0
    for _ in range(min(kept, CHECKS)):
        most = np.argmax(counts[:kept])
        sequence, common = int(touched[most]), counts[most]
        counts[most] = -1
        other = tokens[offsets[sequence] : offsets[sequence + 1]]
        longer = max(len(query), len(other))
        wanted = max(identity, reached)
        limit = int((1.0 - wanted) * longer + 1e-9)
        if common < len(codes) - k * limit:
            continue
        edits = edit_distance(query, other, limit)
        if edits <= limit:
            value = 1.0 - edits / longer
            if value > reached:
                found, reached = sequence, value
            if first:
                break
    return found, reached


@_jit
def greedy(tokens: np.ndarray, offsets: np.ndarray, identity: float, k: int) -> np.ndarray:
    """Return for each sequence, in the order given, the earlier representative it joins, or itself: int64 (N,).

    As CD-HIT does (Li and Godzik 2006): a sequence joins a representative of at least this identity, or becomes one.
    Give the sequences longest first.
    """
    count = len(offsets) - 1
    parent = np.arange(count)
    head = np.full(LETTERS**k, -1, np.int32)
    seen = np.full(LETTERS**k, -1, np.int32)
    link = np.empty(len(tokens) + 1, np.int32)
    owner = np.empty(len(tokens) + 1, np.int32)
    shared = np.zeros(count, np.int32)
    entries = 0
    for i in range(count):
        query = tokens[offsets[i] : offsets[i + 1]]
        codes = words(query, k, seen, i)
        match, _ = best_match(query, codes, tokens, offsets, head, link, owner, shared, identity, k, True)
        if match >= 0:
            parent[i] = match
            continue
        for code in codes:
            link[entries], owner[entries], head[code] = head[code], i, entries
            entries += 1
    return parent


@_jit
def nearest(
    queries: np.ndarray, query_offsets: np.ndarray, tokens: np.ndarray, offsets: np.ndarray, identity: float, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each query the sequence most like it (int64, -1 where none reaches `identity`) and the identity."""
    head = np.full(LETTERS**k, -1, np.int32)
    seen = np.full(LETTERS**k, -1, np.int32)
    link = np.empty(len(tokens) + 1, np.int32)
    owner = np.empty(len(tokens) + 1, np.int32)
    shared = np.zeros(len(offsets) - 1, np.int32)
    entries = 0
    for i in range(len(offsets) - 1):
        for code in words(tokens[offsets[i] : offsets[i + 1]], k, seen, i):
            link[entries], owner[entries], head[code] = head[code], i, entries
            entries += 1
    count = len(query_offsets) - 1
    match, value = np.full(count, -1, np.int64), np.zeros(count)
    for i in range(count):
        query = queries[query_offsets[i] : query_offsets[i + 1]]
        codes = words(query, k, seen, len(offsets) + i)
        match[i], value[i] = best_match(query, codes, tokens, offsets, head, link, owner, shared, identity, k, False)
    return match, value
