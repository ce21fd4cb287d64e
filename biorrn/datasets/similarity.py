"""How alike sequences are: shared k-mers find the candidates, an edit distance decides. Compiled, one thread.

Identity is 1 - edits / length of the longer sequence, edits being substitutions, insertions and deletions.
"""

import numpy as np

from biorrn.encoders.alphabets import RESIDUES
from biorrn.jit import jit

LETTERS = len(RESIDUES)
LISTED = 96  # candidates with most words in common that are kept, a query
CHECKS = 24  # of these, how many distances are computed
WALKED = 10_000  # entries of the index that are looked at, a query
USUAL = 0.4  # of the words that two sequences share on average, how many they must; 0.4 is below the least from 0.8 up

Index = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see `empty_index`


def word_length(identity: float) -> int:
    """Return k: words long enough to be rare, of which sequences of this identity still share some.

    An edit changes at most k words, so that two sequences of L residues share L - k + 1 - k * edits or more: some,
    surely, above an identity of about 1 - 1/k. Below that they are likely to share some (identity ** k of all).
    """
    return 5 if identity >= 0.9 else 4 if identity >= 0.65 else 3


@jit()
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


@jit()
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


@jit()
def empty_index(residues: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return an index of words for sequences of so many residues in all.

    head[word] is its newest entry or -1, link[entry] the next, owner[entry] the sequence, size[word] their number.
    """
    head = np.full(LETTERS**k, -1, np.int32)
    return head, np.empty(residues + 1, np.int32), np.empty(residues + 1, np.int32), np.zeros(LETTERS**k, np.int32)


@jit()
def insert(index: Index, codes: np.ndarray, sequence: int, entries: int) -> int:
    """Add the words of a sequence to an index that has so many entries; return how many it has then."""
    head, link, owner, size = index
    for code in codes:
        link[entries], owner[entries], head[code] = head[code], sequence, entries
        size[code] += 1
        entries += 1
    return entries


@jit()
def shortlist(index: Index, codes: np.ndarray, length: int, identity: float, k: int, shared: np.ndarray) -> np.ndarray:
    """Return the indexed sequences that share most words with a query, at most `LISTED` (and ties), most first.

    Rare words come first, until `WALKED` entries were seen: the mutants of one protein share thousands each.

    Parameters
    ----------
    codes, length : the words of the query and its residues.
    identity : what a sequence must reach; those that share too few words for it are left out.
    shared : int32 array, one a sequence, all 0: scratch, left as found.
    """
    head, link, owner, size = index
    touched = np.empty(WALKED, np.int64)
    n = walked = used = 0
    for place in np.argsort(size[codes]):
        code = codes[place]
        if walked == WALKED:
            break
        used += walked + size[code] <= WALKED  # a word that is only partly walked may not show the best sequence
        entry = head[code]
        while entry >= 0 and walked < WALKED:
            sequence = int(owner[entry])
            if shared[sequence] == 0:
                touched[n] = sequence
                n += 1
            shared[sequence] += 1
            walked += 1
            entry = link[entry]
    edits = int((1.0 - identity) * length / identity + 1)  # the other sequence may be the longer one
    # of sequences of this identity; unrelated long ones share many words too
    needed = max(used - k * edits, int(USUAL * identity**k * used), 2 if used > 20 else 1)
    having = np.zeros(len(codes) + 1, np.int64)  # sequences that share so many words
    for place in range(n):
        having[shared[touched[place]]] += 1
    least, listed = len(codes) + 1, 0
    while least > needed and listed + having[least - 1] <= LISTED:
        least -= 1
        listed += having[least]
    if listed == 0 and least > needed:  # more ties at the top than fit: take the first of them
        least -= 1
    found, counts = np.empty(LISTED, np.int64), np.empty(LISTED, np.int64)
    kept = 0
    for place in range(n):
        sequence = touched[place]
        if shared[sequence] >= least and kept < LISTED:
            found[kept], counts[kept] = sequence, -shared[sequence]
            kept += 1
        shared[sequence] = 0
    return found[:kept][np.argsort(counts[:kept])]


@jit()
def match(query: np.ndarray, other: np.ndarray, identity: float) -> float:
    """Return the identity of two token arrays, or 0 where it is below `identity`."""
    longer = max(len(query), len(other), 1)
    limit = int((1.0 - identity) * longer + 1e-9)
    edits = edit_distance(query, other, limit)
    return 1.0 - edits / longer if edits <= limit else 0.0


@jit()
def greedy(tokens: np.ndarray, offsets: np.ndarray, identity: float, k: int) -> np.ndarray:
    """Return for each sequence, in the order given, the earlier representative it joins, or itself: int64 (N,).

    As CD-HIT does (Li and Godzik 2006): a sequence joins a representative of at least this identity, or becomes one.
    Give the sequences longest first.
    """
    count = len(offsets) - 1
    parent = np.arange(count)
    index = empty_index(len(tokens), k)
    seen, shared = np.full(LETTERS**k, -1, np.int32), np.zeros(count, np.int32)
    entries = 0
    for i in range(count):
        query = tokens[offsets[i] : offsets[i + 1]]
        codes = words(query, k, seen, i)
        for other in shortlist(index, codes, len(query), identity, k, shared)[:CHECKS]:
            if match(query, tokens[offsets[other] : offsets[other + 1]], identity) > 0:
                parent[i] = other
                break
        if parent[i] == i:
            entries = insert(index, codes, i, entries)
    return parent


@jit()
def linked(tokens: np.ndarray, offsets: np.ndarray, identity: float, k: int) -> np.ndarray:
    """Return the first sequence that each is joined with by a chain of pairs of at least this identity: int64 (N,)."""
    count = len(offsets) - 1
    root = np.arange(count)
    index = empty_index(len(tokens), k)
    seen, shared = np.full(LETTERS**k, -1, np.int32), np.zeros(count, np.int32)
    entries = 0
    for i in range(count):
        query = tokens[offsets[i] : offsets[i + 1]]
        codes = words(query, k, seen, i)
        checks = 0
        for other in shortlist(index, codes, len(query), identity, k, shared):
            mine, its = _root(root, i), _root(root, other)
            if mine == its:
                continue
            if match(query, tokens[offsets[other] : offsets[other + 1]], identity) > 0:
                root[max(mine, its)] = min(mine, its)
            checks += 1
            if checks == CHECKS:
                break
        entries = insert(index, codes, i, entries)
    for i in range(count):
        root[i] = _root(root, i)
    return root


@jit()
def _root(root: np.ndarray, i: int) -> int:
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


@jit()
def nearest(
    queries: np.ndarray,
    bounds: np.ndarray,
    tokens: np.ndarray,
    offsets: np.ndarray,
    identity: float,
    k: int,
    enough: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each query the sequence most like it (int64, -1 where none reaches `identity`) and the identity.

    Query i is queries[bounds[i]:bounds[i + 1]]. The search for one ends with the first that reaches `enough`.
    """
    index = empty_index(len(tokens), k)
    seen, shared = np.full(LETTERS**k, -1, np.int32), np.zeros(len(offsets) - 1, np.int32)
    entries = 0
    for i in range(len(offsets) - 1):
        entries = insert(index, words(tokens[offsets[i] : offsets[i + 1]], k, seen, i), i, entries)
    count = len(bounds) - 1
    found, reached = np.full(count, -1, np.int64), np.zeros(count)
    for i in range(count):
        query = queries[bounds[i] : bounds[i + 1]]
        codes = words(query, k, seen, len(offsets) + i)
        for other in shortlist(index, codes, len(query), identity, k, shared)[:CHECKS]:
            value = match(query, tokens[offsets[other] : offsets[other + 1]], max(identity, reached[i]))
            if value > reached[i]:
                found[i], reached[i] = other, value
            if reached[i] >= enough:
                break
    return found, reached
