"""Groups of similar sequences."""

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
    texts = [tokens[start:end].tobytes() for start, end in zip(offsets[:-1], offsets[1:], strict=True)]
    distinct = sorted(set(texts), key=lambda text: (-len(text), text))
    group = np.arange(len(distinct))
    for threshold in sorted({max(identity, NEAR), identity}, reverse=True):
        kept = np.flatnonzero(group == np.arange(len(distinct)))
        parent = kept[greedy(*_flat([distinct[place] for place in kept]), threshold, word_length(threshold))]
        of = np.arange(len(distinct))
        of[kept] = parent
        group = of[group]
    place = {text: index for index, text in enumerate(distinct)}
    groups = group[[place[text] for text in texts]] if texts else group
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _flat(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts], dtype=np.int64)]).astype(np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), offsets
