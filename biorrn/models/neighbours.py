"""What the training rows nearest to a protein say beyond the model: kriging of the model's residuals.

Where a protein differs from training rows in a few residues only, as a point mutant of a measured design does, what the
model got wrong there it mostly gets wrong here as well. A Gaussian process over the residuals, of the nearest rows
only, adds that (regression kriging; Hengl, Heuvelink and Rossiter 2007, Computers & Geosciences 33:1301). Proteins
without such a row are left as they are.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

MOST = 8  # nearest rows that speak
CROWD = 256  # rows that share a segment beyond which it tells nothing apart: a tag, a linker, a whole library
SEED = 20  # of the numbers that make a hash of a segment


class Neighbours(nn.Module):
    """The residuals of training rows, found by Hamming distance among rows of one length.

    Parameters
    ----------
    rows, longest, outputs : int: N training rows, the longest of L residues, K targets.
    mismatches : int: rows that differ in more residues do not count.
    noise : float: variance of a residual's own noise, as a part of that which neighbours share.
    decay : float: two rows share exp(-decay * mismatches) of it.

    Attributes
    ----------
    tokens : uint8 tensor (N, L), 0-padded.
    residuals : float16 tensor (N, K): measured minus predicted; 0 where nothing was measured.
    """

    tokens: Tensor
    residuals: Tensor

    def __init__(
        self, rows: int, longest: int, outputs: int, mismatches: int = 3, noise: float = 1.0, decay: float = 0.1
    ) -> None:
        super().__init__()
        self.mismatches, self.noise, self.decay = mismatches, noise, decay
        self.register_buffer("tokens", torch.zeros(rows, longest, dtype=torch.uint8))
        self.register_buffer("residuals", torch.zeros(rows, outputs, dtype=torch.float16))
        self._index: dict[int, tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]] | None = None

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return what to add to the model's values, float (B, K): 0 for a row without neighbours."""
        rows, sizes = x.cpu().numpy(), lengths.cpu().numpy()
        added = np.zeros((len(rows), self.residuals.shape[1]))
        for size in np.unique(sizes):
            of_size = np.flatnonzero(sizes == size)
            query, found, distance = self._nearest(rows[of_size, :size].astype(np.uint8), int(size))
            if len(query):
                added[of_size] = self._krige(len(of_size), query, found, distance)
        return torch.from_numpy(added).to(x.device, torch.float32)

    def _krige(self, size: int, query: np.ndarray, found: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Return the mean (size, K) of the process; at most `MOST` found rows a query, sorted by query."""
        first = np.searchsorted(query, np.arange(size))
        slot = np.arange(len(query)) - first[query]
        near = np.full((size, MOST), -1)
        near[query, slot] = found
        share = np.zeros((size, MOST))
        share[query, slot] = np.exp(-self.decay * distance)
        mine = np.flatnonzero(near[:, 0] >= 0)
        near, share = near[mine], share[mine]
        tokens = self.tokens.numpy()[near]  # (Q, MOST, L); empty slots hold some row, and a share of 0
        there = near >= 0
        between = (tokens[:, :, None] != tokens[:, None]).sum(-1)
        kernel = np.exp(-self.decay * between) * (there[:, :, None] & there[:, None])
        kernel = kernel + np.eye(MOST) * np.where(there, self.noise, 1.0)[:, None]
        weights = np.linalg.solve(kernel, share[:, :, None])[:, :, 0]  # (Q, MOST)
        residuals = self.residuals.numpy().astype(np.float64)[near]
        added = np.zeros((size, residuals.shape[2]))
        for place in range(MOST):  # a fixed order of addition, whatever the number of rows
            added[mine] += weights[:, place, None] * residuals[:, place]
        return added

    def _nearest(self, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (query, training row, mismatches) of near pairs, nearest first within a query; ties by row number.

        Rows with at most `mismatches` differences are equal in at least one of `mismatches` + 1 segments.
        """
        if self._index is None:
            self._index = self._make_index()
        if size not in self._index:
            return (np.zeros(0, np.int64),) * 3
        members, segments = self._index[size]
        pairs = []
        for keys, (known, order) in zip(self._keys(rows), segments, strict=True):
            low, high = np.searchsorted(known, keys), np.searchsorted(known, keys, side="right")
            counts = np.where(high - low > CROWD, 0, high - low)
            query = np.repeat(np.arange(len(rows)), counts)
            place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
            pairs.append(query * len(members) + order[place])
        query, found = np.divmod(np.unique(np.concatenate(pairs)), len(members))
        found = members[found]
        distance = (rows[query] != self.tokens.numpy()[found, :size]).sum(1)
        kept = distance <= self.mismatches
        query, found, distance = query[kept], found[kept], distance[kept]
        order = np.lexsort((found, distance, query))
        query, found, distance = query[order], found[order], distance[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        kept = rank < MOST
        return query[kept], found[kept], distance[kept]

    def _make_index(self) -> dict[int, tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]]:
        tokens = self.tokens.numpy()
        lengths = (tokens > 0).sum(1)
        index = {}
        for size in np.unique(lengths[lengths > self.mismatches]):
            members = np.flatnonzero(lengths == size)
            orders = [(keys, np.argsort(keys, kind="stable")) for keys in self._keys(tokens[members, :size])]
            index[int(size)] = (members, [(keys[order], order) for keys, order in orders])
        return index

    def _keys(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return a number for each row (Q, T), uint64 (Q,), for each segment: equal segments have equal numbers."""
        factors = np.random.default_rng(SEED).integers(1, 2**63, rows.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
        edges = np.linspace(0, rows.shape[1], self.mismatches + 2).astype(int)
        values = rows.astype(np.uint64) * factors
        return [values[:, a:b].sum(1, dtype=np.uint64) for a, b in itertools.pairwise(edges)]
