"""Ensembles: weighted mean of several models, correction by neighbouring training rows, monotone calibration."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.config.recipe import Recipe
from biorrn.nn.engine import PropertyEngine, unsupported
from biorrn.nn.heads import TagsCRF
from biorrn.nn.layout import KNOTS

MOST = 8  # nearest rows used for a query
CROWD = 256  # a segment shared by more rows is not used for the search: a tag, a linker, a whole library
SEED = 20  # of the random factors of the segment hashes


class Neighbours(nn.Module):
    """Kriging of the residuals of the nearest training rows, by Hamming distance among rows of the same length.

    Parameters
    ----------
    rows, longest, outputs : int: N training rows, the longest of L residues, K targets.
    mismatches : int: rows that differ in more residues are ignored.
    noise : float: variance of the noise of a residual, relative to the variance that neighbours share.
    decay : float: the correlation of two rows is exp(-decay * mismatches).

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
        """Return the correction of the model's values, float (B, K); 0 for a row without neighbours."""
        rows, sizes = x.cpu().numpy(), lengths.cpu().numpy()
        added = np.zeros((len(rows), self.residuals.shape[1]))
        for size in np.unique(sizes):
            of_size = np.flatnonzero(sizes == size)
            query, found, distance = self._nearest(rows[of_size, :size].astype(np.uint8), int(size))
            if len(query):
                added[of_size] = self._krige(len(of_size), query, found, distance)
        return torch.from_numpy(added).to(x.device, torch.float32)

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
        tokens = self.tokens.numpy()[near]  # (Q, MOST, L); empty slots hold an arbitrary row with share 0
        there = near >= 0
        between = (tokens[:, :, None] != tokens[:, None]).sum(-1)
        kernel = np.exp(-self.decay * between) * (there[:, :, None] & there[:, None])
        kernel = kernel + np.eye(MOST) * np.where(there, self.noise, 1.0)[:, None]
        weights = np.linalg.solve(kernel, share[:, :, None])[:, :, 0]  # (Q, MOST)
        residuals = self.residuals.numpy().astype(np.float64)[near]
        added = np.zeros((size, residuals.shape[2]))
        for place in range(MOST):  # fixed order of addition, so that results do not depend on the batch
            added[mine] += weights[:, place, None] * residuals[:, place]
        return added

    def _nearest(self, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (query, training row, mismatches) of near pairs, nearest first within a query, ties by row number.

        Rows with at most `mismatches` differences agree in at least one of `mismatches` + 1 segments.
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
        """Return for each segment the hashes of the rows (Q, T), uint64 (Q,)."""
        factors = np.random.default_rng(SEED).integers(1, 2**63, rows.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
        edges = np.linspace(0, rows.shape[1], self.mismatches + 2).astype(int)
        values = rows.astype(np.uint64) * factors
        return [values[:, a:b].sum(1, dtype=np.uint64) for a, b in itertools.pairwise(edges)]


class Calibration(nn.Module):
    """A strictly rising piecewise-linear map of the values of each target, with slope 1 beyond the knots.

    `x` and `y`, both (K, `KNOTS`) and rising along the second axis, are the knots in the target's unit. A new one is
    the identity up to rounding.
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
        # clamped, so that rounding keeps the map monotone across knots
        inside = torch.minimum(torch.maximum(y0 + (columns - x0) * ((y1 - y0) / (x1 - x0)), y0), y1)
        below, above = self.y[:, :1] + (columns - self.x[:, :1]), self.y[:, -1:] + (columns - self.x[:, -1:])
        found = torch.where(columns < self.x[:, :1], below, torch.where(columns > self.x[:, -1:], above, inside))
        return found.T  # (K, B) -> (B, K)


class Ensemble(nn.Module):
    """Maps `(x, lengths)` to `(values, lengths)`: the weighted mean (B, K) of the members, in the targets' units.

    Parameters
    ----------
    members : models that map x int64 (B, T) and lengths (B,) to values (B, K) and lengths, all in the same units.
    outputs : int: K.
    calibrated : bool: apply a `Calibration` to the mean.
    neighbours : Neighbours, optional: its correction is added to each member's values.

    Attributes
    ----------
    weights : float tensor (M, K): weight of each member for each target; each column sums to one.
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
        # a loop, since `sum` may add in an order that depends on the number of rows
        mean = values[0] * self.weights[0]
        for value, weight in zip(values[1:], self.weights[1:], strict=True):
            mean = mean + value * weight
        return mean if self.calibration is None else self.calibration(mean)


class TagEnsemble(Ensemble):
    """Maps `(x, lengths)` to `(scores, lengths)`: the log of the weighted mean (B, T, S) of the members' probabilities.

    The softmax of the scores is that mean.
    """

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.combine(torch.stack([probabilities(member, *member(x, lengths)) for member in self.members]))
        return mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), lengths


def probabilities(model: nn.Module, outputs: Tensor, steps: Tensor) -> Tensor:
    """Return the probability of each state at each step, float32 (B, T, S), from a tagger's outputs.

    For a linear-chain CRF these are the marginal probabilities.
    """
    head = getattr(model, "head", None)
    return head.probabilities(outputs, steps) if isinstance(head, TagsCRF) else torch.softmax(outputs.float(), -1)


def ensemble_for(facts: Mapping[str, Any]) -> type[Ensemble]:
    """Return the class of an ensemble of models with these facts."""
    return TagEnsemble if facts.get("kind") == "states" else Ensemble


def each(model: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """Return the values of each member of a regression model, (M, B, K), before the calibration of their mean.

    The correction by neighbours is included. M is 1 for a single model. `combine` turns them into the model's values
    without a second pass.
    """
    members = model.members if isinstance(model, Ensemble) else [model]
    values = torch.stack([member(x, lengths)[0] for member in members])
    if isinstance(model, Ensemble) and model.neighbours is not None:
        values = values + model.neighbours(x, lengths)
    return values


def combine(model: nn.Module, values: Tensor) -> Tensor:
    """Return the values (B, K) of a model from those of `each`, (M, B, K)."""
    return model.combine(values) if isinstance(model, Ensemble) else values[0]


class Accelerated(nn.Module):
    """A `PropertyEngine` with the call of the model."""

    stride = 1

    def __init__(self, engine: PropertyEngine) -> None:
        super().__init__()
        self.engine = engine

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.engine(x.numpy(), lengths.numpy())), lengths


def accelerated(model: nn.Module, recipe: Recipe, kind: np.dtype) -> nn.Module:
    """Return the model of a recipe with each supported member replaced by its engine; the model is not changed."""
    if isinstance(model, Ensemble):
        recipes = [member.recipe for member in recipe.members or ()]
        members = [
            member if isinstance(own, str) else accelerated(member, own, kind)
            for member, own in zip(model.members, recipes, strict=True)
        ]
        fast = Ensemble(members, model.weights.shape[1], model.calibration is not None, model.neighbours)
        fast.weights.copy_(model.weights)
        fast.calibration = model.calibration
        return fast.eval()
    if unsupported(recipe):
        return model
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return Accelerated(PropertyEngine(recipe.network, tensors, kind)).eval()
