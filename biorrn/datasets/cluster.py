"""Groups of similar sequences."""

from itertools import pairwise

import numpy as np

from biorrn.datasets.similarity import greedy, linked, word_length

NEAR = 0.8  # near-identical: such pairs are in one group whatever the groups are made at


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
    identity : float: from 0.3 to 1; see `datasets.similarity`.
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
    offsets = np.zeros(len(sequences) + 1, np.int64)
    offsets[1:] = np.cumsum([len(text) for text in sequences], dtype=np.int64)
    return np.frombuffer(b"".join(sequences), np.uint8), offsets
