"""Groups of similar sequences."""

from itertools import pairwise

import numpy as np

from biorrn.datasets.similarity import greedy, word_length

NEAR = 0.9  # identity of the first pass: near-identical sequences stay together whatever the second does


def cluster(tokens: np.ndarray, offsets: np.ndarray, identity: float) -> np.ndarray:
    """Return the group of each sequence, int64 (N,), numbered by first appearance.

    Identical sequences are one; then near-identical ones are joined, and their representatives at `identity`. Both
    passes are greedy: a sequence joins a longer representative, so that members of two groups can still be as alike as
    `identity` (the leakage report says how often). The groups do not depend on the order of the sequences.

    Parameters
    ----------
    tokens : uint8 array (total,): residues of all sequences.
    offsets : int64 array (N + 1,): where each starts.
    identity : float: from 0.3 to 1; see `datasets.similarity`.
    """
    sequences = texts(tokens, offsets)
    distinct = sorted(set(sequences), key=lambda text: (-len(text), text))
    group = np.arange(len(distinct))
    for threshold in sorted({max(identity, NEAR), identity}, reverse=True):
        kept = np.flatnonzero(group == np.arange(len(distinct)))
        parent = kept[greedy(*_flat([distinct[place] for place in kept]), threshold, word_length(threshold))]
        of = np.arange(len(distinct))
        of[kept] = parent
        group = of[group]
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
