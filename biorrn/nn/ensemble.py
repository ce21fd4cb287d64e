"""Several models of one property as one: their weighted mean, then where wanted a rising line back to the unit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.nn.heads import TagsCRF

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


KNOTS = 32  # of a calibration


class Calibration(nn.Module):
    """A strictly rising piecewise-linear map of each target's value; beyond its knots it goes on with slope 1.

    `x` and `y`, both (K, `KNOTS`) and rising along the second axis, are its knots in the target's unit. As made, it
    changes nothing but for rounding.
    """

    x: Tensor
    y: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        knots = torch.arange(KNOTS, dtype=torch.float32).repeat(outputs, 1)
        self.register_buffer("x", knots)
        self.register_buffer("y", knots.clone())

    def forward(self, values: Tensor) -> Tensor:
        columns = values.T.contiguous()  # (B, K) -> (K, B)
        right = torch.searchsorted(self.x, columns).clamp(1, KNOTS - 1)
        x0, x1 = self.x.gather(1, right - 1), self.x.gather(1, right)
        y0, y1 = self.y.gather(1, right - 1), self.y.gather(1, right)
        # rounding must not lift the end of one piece above the start of the next
        inside = torch.minimum(torch.maximum(y0 + (columns - x0) * ((y1 - y0) / (x1 - x0)), y0), y1)
        below, above = self.y[:, :1] + (columns - self.x[:, :1]), self.y[:, -1:] + (columns - self.x[:, -1:])
        found = torch.where(columns < self.x[:, :1], below, torch.where(columns > self.x[:, -1:], above, inside))
        return found.T  # (K, B) -> (B, K)


class Ensemble(nn.Module):
    """Maps `(x, lengths)` to `(values, lengths)`: the weighted mean (B, K) of the members, in the targets' units.

    Parameters
    ----------
    members : models that map x int64 (B, T) and lengths (B,) to values (B, K) and lengths; their units agree.
    outputs : int: K.
    calibrated : bool: a `Calibration` follows the mean.
    neighbours : Neighbours, optional: what it gives is added to each member's values.

    Attributes
    ----------
    weights : float tensor (M, K): of each member in each target's mean; each column sums to one.
    """

    stride = 1
    weights: Tensor

    def __init__(
        self,
        members: Sequence[nn.Module],
        outputs: int,
        calibrated: bool = False,
        neighbours: Neighbours | None = None,
    ) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.full((len(members), outputs), 1 / len(members)))
        self.calibration = Calibration(outputs) if calibrated else None

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.combine(each(self, x, lengths)), lengths

    def combine(self, values: Tensor) -> Tensor:
        """Return the ensemble's values (B, K) from those of its members, (M, B, K)."""
        # one after the other: `sum` may add in an order that depends on the number of rows
        mean = values[0] * self.weights[0]
        for value, weight in zip(values[1:], self.weights[1:], strict=True):
            mean = mean + value * weight
        return mean if self.calibration is None else self.calibration(mean)


class TagEnsemble(Ensemble):
    """Maps `(x, lengths)` to `(scores, lengths)`: the log of the weighted mean (B, T, S) of the members' probabilities.

    A softmax of the scores gives that mean back.
    """

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.combine(torch.stack([probabilities(member, *member(x, lengths)) for member in self.members]))
        return mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), lengths


def probabilities(model: nn.Module, outputs: Tensor, steps: Tensor) -> Tensor:
    """Return the probability of each state at each step, float32 (B, T, S), from what a tagger gave.

    Of one with scores of neighbouring states it is the marginal probability.
    """
    head = getattr(model, "head", None)
    return head.probabilities(outputs, steps) if isinstance(head, TagsCRF) else torch.softmax(outputs.float(), -1)


def ensemble_for(facts: Mapping[str, Any]) -> type[Ensemble]:
    """Return the class of an ensemble of models with these facts."""
    return TagEnsemble if facts.get("kind") == "states" else Ensemble


def each(model: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """Return the values of each member of a regression model, (M, B, K), before any calibration of their mean.

    What an ensemble's near training rows add is in each.

    M is 1 for a model that is no ensemble. `combine` makes the model's own values of them, without a second pass.
    """
    members = model.members if isinstance(model, Ensemble) else [model]
    values = torch.stack([member(x, lengths)[0] for member in members])
    if isinstance(model, Ensemble) and model.neighbours is not None:
        values = values + model.neighbours(x, lengths)
    return values


def combine(model: nn.Module, values: Tensor) -> Tensor:
    """Return the values (B, K) of a model from those that `each` gave, (M, B, K)."""
    return model.combine(values) if isinstance(model, Ensemble) else values[0]
