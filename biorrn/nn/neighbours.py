"""Kriging of the residuals of the nearest training rows, by Hamming distance among rows of the same length."""

from __future__ import annotations

import itertools

import numpy as np

MOST = 8  # nearest rows used for a query
CROWD = 256  # a segment shared by more rows is not used for the search: a tag, a linker, a whole library
SEED = 20  # of the random factors of the segment hashes

Index = tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]  # rows of one length; of each segment, keys and order


class Kriging:
    """The training rows and their residuals; safe to call from several threads.

    Parameters
    ----------
    tokens : uint8 array (N, L), 0-padded.
    residuals : float array (N, K): measured minus predicted; 0 where nothing was measured.
    mismatches : int: rows that differ in more residues are ignored.
    noise : float: variance of the noise of a residual, relative to the variance that neighbours share.
    decay : float: the correlation of two rows is exp(-decay * mismatches).
    """

    def __init__(
        self, tokens: np.ndarray, residuals: np.ndarray, mismatches: int = 3, noise: float = 1.0, decay: float = 0.1
    ) -> None:
        self.tokens, self.residuals = tokens, residuals
        self.mismatches, self.noise, self.decay = mismatches, noise, decay
        self._lengths = (tokens > 0).sum(1)
        self._index: dict[int, Index | None] = {}

    def __call__(self, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the correction, float32 (B, K), of tokens (B, T) of lengths (B,); 0 for a row without neighbours."""
        added = np.zeros((len(rows), self.residuals.shape[1]))
        for size in np.unique(lengths):
            of_size = np.flatnonzero(lengths == size)
            query, found, distance = self._nearest(rows[of_size, :size].astype(np.uint8), int(size))
            if len(query):
                added[of_size] = self._krige(len(of_size), query, found, distance)
        return added.astype(np.float32)

    def _krige(self, size: int, query: np.ndarray, found: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Return the kriging mean (size, K), from at most `MOST` rows for each query, sorted by query."""
        first = np.searchsorted(query, np.arange(size))
        slot = np.arange(len(query)) - first[query]
        near = np.full((size, MOST), -1)
        near[query, slot] = found
        share = np.zeros((size, MOST))
        share[query, slot] = np.exp(-self.decay * distance)
        mine = np.flatnonzero(near[:, 0] >= 0)
        near, share = near[mine], share[mine]
        tokens = self.tokens[near]  # (Q, MOST, L); empty slots hold an arbitrary row with share 0
        there = near >= 0
        between = (tokens[:, :, None] != tokens[:, None]).sum(-1)
        kernel = np.exp(-self.decay * between) * (there[:, :, None] & there[:, None])
        kernel = kernel + np.eye(MOST) * np.where(there, self.noise, 1.0)[:, None]
        weights = np.linalg.solve(kernel, share[:, :, None])[:, :, 0]  # (Q, MOST)
        residuals = self.residuals[near].astype(np.float64)
        added = np.zeros((size, residuals.shape[2]))
        for place in range(MOST):  # fixed order of addition, so that results do not depend on the batch
            added[mine] += weights[:, place, None] * residuals[:, place]
        return added

    def _nearest(self, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (query, training row, mismatches) of near pairs, nearest first within a query, ties by row number.

        Rows with at most `mismatches` differences agree in at least one of `mismatches` + 1 segments.
        """
        index = self._rows_of(size)
        if index is None:
            return (np.zeros(0, np.int64),) * 3
        members, segments = index
        pairs = []
        for keys, (known, order) in zip(self._keys(rows), segments, strict=True):
            low, high = np.searchsorted(known, keys), np.searchsorted(known, keys, side="right")
            counts = np.where(high - low > CROWD, 0, high - low)
            query = np.repeat(np.arange(len(rows)), counts)
            place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
            pairs.append(query * len(members) + order[place])
        query, found = np.divmod(np.unique(np.concatenate(pairs)), len(members))
        found = members[found]
        distance = (rows[query] != self.tokens[found, :size]).sum(1)
        kept = distance <= self.mismatches
        query, found, distance = query[kept], found[kept], distance[kept]
        order = np.lexsort((found, distance, query))
        query, found, distance = query[order], found[order], distance[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        kept = rank < MOST
        return query[kept], found[kept], distance[kept]

    def _rows_of(self, size: int) -> Index | None:
        """Return the index of the rows of one length, made when first asked for; None without such rows."""
        if size not in self._index:
            members = np.flatnonzero(self._lengths == size) if size > self.mismatches else np.zeros(0, np.int64)
            orders = [(keys, np.argsort(keys, kind="stable")) for keys in self._keys(self.tokens[members, :size])]
            self._index[size] = (members, [(keys[order], order) for keys, order in orders]) if len(members) else None
        return self._index[size]

    def _keys(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return for each segment the hashes of the rows (Q, T), uint64 (Q,)."""
        factors = np.random.default_rng(SEED).integers(1, 2**63, rows.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
        edges = np.linspace(0, rows.shape[1], self.mismatches + 2).astype(int)
        values = rows.astype(np.uint64) * factors
        return [values[:, a:b].sum(1, dtype=np.uint64) for a, b in itertools.pairwise(edges)]
