"""Counts of letters as language models: what a network must beat to have learned anything of order.

Each letter, or the end, has the probability of its count after the letters before it, plus one for each that there is
(add-one, Laplace). Beyond the first letter there is a begin; unknown letters stand in contexts and are not told.
"""

from __future__ import annotations

import numpy as np

from biorrn.datasets.proteins import ProteinDataset


def ngram_nats(fit: ProteinDataset, rows: ProteinDataset, order: int) -> np.ndarray:
    """Return -log p of each letter of `rows`, float64 (letters,), in nats, by counts on `fit`; NaN of unknown ones.

    Parameters
    ----------
    order : int: 1 looks at no letter before, 2 at one, 3 at two. 0: all known letters alike, and no end.
    """
    unknown = len(fit.alphabet)  # its token; 0 is begin and end
    if order == 0:
        return np.where(rows.flat == unknown, np.nan, np.log(unknown - 1.0))
    kinds = unknown + 1
    contexts, told, ends = _pairs(fit, order, kinds)
    counts = np.bincount(contexts * kinds + told, minlength=kinds**order).reshape(-1, kinds).astype(np.float64)
    counts[:, unknown] = -1.0  # is not told: the one that is added below makes it none
    contexts, told, ends = _pairs(rows, order, kinds)
    known = told != unknown
    nats = np.full(len(told), np.nan)
    nats[known] = np.log((counts + 1).sum(1)[contexts[known]]) - np.log(counts[contexts, told][known] + 1)
    return nats[~ends]


def _pairs(rows: ProteinDataset, order: int, kinds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the code of what stands before each letter or end, the letter or 0, and where the ends are."""
    places = np.cumsum(rows.lengths)
    flat = np.concatenate([[0], np.insert(rows.flat.astype(np.int64), places, 0)])
    codes = np.zeros(len(flat) - 1, np.int64)
    before, inside = flat[:-1], np.ones(len(flat) - 1, bool)
    for back in range(order - 1):
        codes += np.where(inside, before, 0) * kinds**back
        inside &= before != 0  # beyond the begin there is nothing more
        before = np.concatenate([[0], before[:-1]])
    return codes, flat[1:], flat[1:] == 0


# name -> what it is, and the order of its counts
BASELINES = {
    "uniform": ("every letter equally likely", 0),
    "unigram": ("frequencies of letters in the training rows", 1),
    "bigram": ("counts of letters after the one before, add-one smoothing", 2),
    "trigram": ("counts of letters after the two before, add-one smoothing", 3),
}
