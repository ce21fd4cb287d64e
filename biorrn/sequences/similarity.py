"""Sequence identity, clusters, families and leakage: shared k-mers find candidates, edit distance decides.

Compiled with numba, one thread. Identity is 1 - edits / length of the longer sequence; edits are
substitutions, insertions and deletions.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.compute import jit
from biorrn.sequences.alphabets import RESIDUES
from biorrn.sequences.prepared.files import PreparedFile, ProteinFile, SignalFile, gather, offsets_of
from biorrn.sequences.prepared.schema import SPLITS

LETTERS = len(RESIDUES)
LISTED = 96  # candidates with most words in common that are kept, a query
CHECKS = 24  # of these, how many distances are computed
WALKED = 10_000  # entries of the index that are looked at, a query
USUAL = 0.4  # of the expected number of shared words, the part required; 0.4 is below the least from identity 0.8 up

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


NEAR = 0.8  # near-identical: such pairs are in one group at any identity


def cluster(tokens: np.ndarray, offsets: np.ndarray, identity: float) -> np.ndarray:
    """Return the group of each sequence, int64 (N,), numbered by first appearance.

    Identical sequences are one. Pairs of at least `NEAR` are joined, and what is chained by such pairs; below `NEAR`
    the longest sequences of these families are then grouped greedily, each with a longer one of at least `identity`.
    So members of two groups can be as alike as `identity`, but hardly near-identical (the search is by shared words,
    which misses a few; the leakage report counts them). The groups do not depend on the order of the sequences.

    Parameters
    ----------
    tokens : uint8 array (total,): residues of all sequences.
    offsets : int64 array (N + 1,): where each starts.
    identity : float: from 0.3 to 1; see `sequences.similarity`.
    """
    sequences = texts(tokens, offsets)
    distinct = sorted(set(sequences), key=lambda text: (-len(text), text))
    near = max(identity, NEAR)
    group = linked(*_flat(distinct), near, word_length(near))
    if identity < near:
        kept = np.flatnonzero(group == np.arange(len(distinct)))
        joined = np.arange(len(distinct))
        joined[kept] = kept[greedy(*_flat([distinct[place] for place in kept]), identity, word_length(identity))]
        group = joined[group]
    place = {text: index for index, text in enumerate(distinct)}
    groups = group[[place[text] for text in sequences]] if sequences else group
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def texts(tokens: np.ndarray, offsets: np.ndarray) -> list[bytes]:
    """Return the tokens of each sequence as bytes, which can be compared and hashed."""
    whole = tokens.tobytes()
    return [whole[start:end] for start, end in pairwise(offsets.tolist())]


def _flat(sequences: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    return np.frombuffer(b"".join(sequences), np.uint8), offsets_of([len(text) for text in sequences])


WORD = 5  # residues
LEAST = 3  # words in common, at least, of any two that are linked
COMMON = 200  # a word in more proteins than this links none: repeats and tags are in many
BLOCK = 2048  # proteins compared with all others at once


def families(tokens: np.ndarray, offsets: np.ndarray, part: float) -> np.ndarray:
    """Return the family of each protein, int64 (N,), numbered from 0; the same sequence is in the same family.

    Parameters
    ----------
    tokens : uint8 array (total,): residues of all sequences.
    offsets : int64 array (N + 1,): where each starts.
    part : float: pairs are linked that share at least this part of the words of the one with fewer.
    """
    from scipy.sparse import coo_matrix, csr_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(offsets) - 1
    rows, codes = _words(tokens, offsets)
    size = np.bincount(rows, minlength=count)
    place = np.unique(codes, return_inverse=True)[1]
    usual = (np.bincount(place) > 1)[place] & (np.bincount(place) <= COMMON)[place]
    width = int(place.max(initial=0)) + 1
    table = csr_matrix((np.ones(int(usual.sum()), np.int32), (rows[usual], place[usual])), shape=(count, width))
    across = table.T.tocsr()
    links = [_same(tokens, offsets)]
    for start in range(0, count, BLOCK):
        shared = (table[start : start + BLOCK] @ across).tocoo()
        a, b = shared.row + start, shared.col
        needed = np.maximum(LEAST, part * np.minimum(size[a], size[b]))
        kept = (shared.data >= needed) & (a < b)
        links.append(np.stack([a[kept], b[kept]]))
    first, second = np.concatenate(links, axis=1)
    graph = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _words(tokens: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct words of each protein: the protein and the code of each, int64."""
    starts = np.arange(len(tokens) - WORD + 1)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    starts = starts[owner[starts] == owner[starts + WORD - 1]] if len(starts) else starts
    codes = np.zeros(len(starts), np.int64)
    for place in range(WORD):
        codes = codes * 22 + tokens[starts + place]
    both = np.unique(owner[starts] * 22**WORD + codes)
    return both // 22**WORD, both % 22**WORD


def _same(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return links (2, E) from each protein to the first of the same sequence."""
    first: dict[bytes, int] = {}
    owner = [first.setdefault(text, row) for row, text in enumerate(texts(tokens, offsets))]
    return np.stack([np.array(owner, np.int64), np.arange(len(owner))])


IDENTITIES = (0.9, 0.8)  # a neighbour of at least this identity is near-identical
SAMPLE = 2000  # sequences of a split that are compared with train; a larger split is sampled


def protein_leakage(
    path: str | Path,
    seed: int = 0,
    sample: int = SAMPLE,
    opened: type[PreparedFile] = ProteinFile,
    near: bool = True,
) -> dict[str, Any]:
    """Return how many proteins of valid and test have an identical or near-identical one in train.

    Parameters
    ----------
    path : a prepared protein file, or of another kind that `opened` opens.
    seed : int: chooses the sample.
    sample : int: most proteins of a split that are compared; identical ones are counted among all.
    near : bool: whether near-identical ones are looked for at all.

    Returns
    -------
    dict: split -> proteins, identical_in_train (of all), compared (how many of them), sampled (bool), and for each
    identity t of `IDENTITIES` "within_t": part of the compared that have a neighbour of at least t in train;
    and duplicates_in_train: proteins of train with an earlier copy there.
    """
    with opened(path) as file:
        offsets, codes, flat = file.file["offsets"][:], file.file["split"][:], file.file["tokens"]
        rows = [np.flatnonzero(codes == code) for code in range(len(SPLITS))]
        train_tokens = gather(flat, offsets, rows[0])
        train_offsets = offsets_of(np.diff(offsets)[rows[0]])
        train = {text: None for text in texts(train_tokens, train_offsets)}
        report: dict[str, Any] = {"duplicates_in_train": len(rows[0]) - len(train)}
        for code, name in enumerate(SPLITS[1:], start=1):
            tokens, bounds = gather(flat, offsets, rows[code]), offsets_of(np.diff(offsets)[rows[code]])
            identical = sum(text in train for text in texts(tokens, bounds))
            chosen = np.arange(len(rows[code]))
            if len(chosen) > sample:
                chosen = np.sort(np.random.default_rng(seed).choice(chosen, sample, replace=False))
            near = near and file.file.attrs.get("alphabet", RESIDUES) == RESIDUES  # identity is that of proteins
            chosen = chosen if near else chosen[:0]
            compared, lowest = len(chosen), min(IDENTITIES)
            entry: dict[str, Any] = {"proteins": len(rows[code]), "identical_in_train": identical, "compared": compared}
            entry["sampled"] = near and compared < len(rows[code])
            if compared:
                queries, query_offsets = gather(tokens, bounds, chosen), offsets_of(np.diff(bounds)[chosen])
                _, best = nearest(
                    queries, query_offsets, train_tokens, train_offsets, lowest, word_length(lowest), max(IDENTITIES)
                )
                for identity in IDENTITIES:
                    entry[f"within_{identity:g}"] = float((best >= identity - 1e-9).mean())
            report[name] = entry
    return report


def signal_leakage(path: str | Path) -> dict[str, Any]:
    """Return how much of the reference that valid and test cover is covered by train, and how many reads they share.

    Returns
    -------
    dict: split -> segments, reads_in_train (reads with a segment there), reference_bases (distinct places covered, both
    strands as one) and covered_by_train (the part of them; None where nothing has a reference).
    """
    with SignalFile(path) as file:
        codes, names = file.file["split"][:], np.asarray(file.strings("reference"), object)
        starts, ends = file.file["ref_start"][:], file.file["ref_end"][:]
        reads = np.asarray(file.strings("read_id"), object)
    report: dict[str, Any] = {}
    for code, name in enumerate(SPLITS[1:], start=1):
        covered = both = 0
        for reference in sorted(set(names[codes == code]) - {""}):
            here = names == reference
            spans = _union(starts[here & (codes == code)], ends[here & (codes == code)])
            train = _union(starts[here & (codes == 0)], ends[here & (codes == 0)])
            covered += int(np.diff(spans, axis=1).sum())
            both += _overlap(spans, train)
        report[name] = {
            "segments": int((codes == code).sum()),
            "reads_in_train": len(set(reads[codes == code]) & set(reads[codes == 0])),
            "reference_bases": covered,
            "covered_by_train": both / covered if covered else None,
        }
    return report


def _union(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the union of half-open spans as disjoint spans (N, 2), in order."""
    merged: list[list[int]] = []
    for place in np.argsort(starts, kind="stable"):
        if merged and starts[place] <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], int(ends[place]))
        else:
            merged.append([int(starts[place]), int(ends[place])])
    return np.array(merged, np.int64).reshape(-1, 2)


def _overlap(a: np.ndarray, b: np.ndarray) -> int:
    """Return how many places lie in both of two lists of disjoint spans."""
    return int(sum(np.clip(np.minimum(b[:, 1], end) - np.maximum(b[:, 0], start), 0, None).sum() for start, end in a))
