"""Families of proteins by the words that they share: seconds for thousands of proteins, where `cluster` takes minutes.

Two unrelated proteins of 400 residues share about one word of five residues in twenty pairs; two of half their residues
in common share at least 3 % of all. So a part of shared words stands for an identity, without an alignment (the idea of
the word filter of CD-HIT, Li and Godzik 2006). Pairs are linked, and a family is all that links join.
"""

from __future__ import annotations

import numpy as np

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
    whole = tokens.tobytes()
    first: dict[bytes, int] = {}
    ends = offsets.tolist()
    owner = [first.setdefault(whole[ends[row] : ends[row + 1]], row) for row in range(len(ends) - 1)]
    return np.stack([np.array(owner, np.int64), np.arange(len(owner))])
