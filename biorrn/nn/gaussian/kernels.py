"""Kernels of Gaussian processes on proteins: base classes, kernel of few sites, kernel of descriptors.

A kernel encodes sequences once (`encode`), then computes covariances of rows (`gram`). Its parameters are kept as
logarithms. All arithmetic is in float64, since variants of one protein are nearly equal rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.config import recipe as config
from biorrn.nn.batch import place
from biorrn.sequences.alphabets import N_TOKENS, TABLES, UNKNOWN
from biorrn.sequences.descriptors import NAMES, descriptors

COMPONENTS = 6  # principal components of BLOSUM62, beside the scales
HELIX = 3.6  # residues a turn


@dataclass(frozen=True, slots=True)
class Setting:
    """Facts of the training rows that the construction of a kernel needs.

    Attributes
    ----------
    reference : int64 tensor (L,): tokens of the consensus; empty if the kernel needs none.
    positions : int64 tensor (P,): positions that the kernel compares, from 0.
    told : float64 tensor (L, N_TOKENS, F), optional: what a model tells of each substitution, see `nn.told`.
    """

    reference: Tensor
    positions: Tensor
    told: Tensor | None = None


def residue_features() -> Tensor:
    """Return float32 (N_TOKENS, F): scales and principal components of BLOSUM62; a deletion has the features of X."""
    blosum = TABLES["blosum62"].astype(np.float64)
    centred = blosum - blosum[1:21].mean(0)
    _, _, directions = np.linalg.svd(centred[1:21])
    components = centred @ directions[:COMPONENTS].T  # (N_TOKENS, 20) -> (N_TOKENS, COMPONENTS)
    components /= components[1:21].std(0).mean()
    found = np.concatenate([TABLES["scales"], components], 1)
    found[0] = found[UNKNOWN]
    return torch.from_numpy(found).float()


def substitution_cost() -> Tensor:
    """Return float64 (N_TOKENS, N_TOKENS): 0 for an unchanged residue, 1 for the mean substitution of BLOSUM62."""
    score = np.zeros((N_TOKENS, N_TOKENS))
    score[1:, 1:21] = TABLES["blosum62"][1:]
    score[0, 1:21] = score[1:21, 0] = score[UNKNOWN, 1:21]
    score[1:21, UNKNOWN] = score[UNKNOWN, 1:21]
    best = np.maximum(np.diag(score), 1.0)
    cost = np.maximum(best[:, None] - score, 0.0)
    np.fill_diagonal(cost, 0.0)
    inside = cost[1:21, 1:21]
    return torch.from_numpy(cost / inside[inside > 0].mean())


def logarithms(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64).log())


def scales(width: int, length: float, *leading: int) -> nn.Parameter:
    return nn.Parameter(torch.full((*leading, width), -math.log(length), dtype=torch.float64))


def matern(x: Tensor, y: Tensor, order: int) -> Tensor:
    """Return the Matern kernel of smoothness order/2 between rows of (N, F) and (M, F)."""
    squares = x.square().sum(1)[:, None] + y.square().sum(1)[None] - 2 * x @ y.T
    r = (order * squares.clamp(min=0) + 1e-12).sqrt()
    return (1 + r + (r * r / 3 if order == 5 else 0)) * torch.exp(-r)


class Kernel(nn.Module):
    """Base class of kernels, with the defaults of what most do not need."""

    def settle(self, codes: Tensor) -> None:
        """Set from the training rows what is not learned."""

    def cost(self, codes: Tensor) -> Tensor:
        """Return the expected cost of the substitutions of each row before training, float64 (N,)."""
        return torch.zeros(len(codes), dtype=torch.float64, device=codes.device)

    def draw(self, codes: Tensor, rows: int, generator: torch.Generator) -> Tensor:
        """Return the indices of about `rows` rows for a step of learning."""
        return torch.randperm(len(codes), generator=generator)[:rows]


class Variants(Kernel):
    """Base class of kernels on variants of one protein: codes (N, P), the tokens at chosen positions."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("reference", setting.reference.clone())
        self.register_buffer("positions", setting.positions.clone())
        self.register_buffer("features", residue_features())
        self.register_buffer("cost_table", substitution_cost(), persistent=False)

    reference: Tensor
    positions: Tensor
    features: Tensor
    cost_table: Tensor

    def limits(self) -> dict[str, int]:
        """Return the upper bound of each tensor of indices, checked when a model is loaded."""
        return {"reference": N_TOKENS, "positions": len(self.reference)}

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return int64 (B, P): tokens aligned to the reference, 0 for a deletion; inserted residues are dropped."""
        return place(x, lengths, self.reference)[0][:, self.positions]

    def cost(self, codes: Tensor) -> Tensor:
        return self.cost_table.to(codes.device)[self.reference[self.positions], codes].sum(1)


class SiteKernel(Variants):
    """Additive kernel over few sites (Duvenaud, Nickisch and Rasmussen 2011, NeurIPS 24).

    The sum over orders o of w_o times the o-th elementary symmetric polynomial of the kernels of the positions. That of
    a position is a squared exponential in the residues' features, one scale for each feature, mixed with equality.
    """

    def __init__(self, recipe: config.Sites, setting: Setting) -> None:
        super().__init__(setting)
        sites = len(setting.positions)
        self.orders = min(recipe.orders, sites)
        self.lengths = scales(self.features.shape[1], 2.5, sites)
        self.equality = nn.Parameter(torch.full((sites,), -2.0, dtype=torch.float64))  # share of equality, as a logit
        self.amplitudes = nn.Parameter(torch.zeros(sites, dtype=torch.float64))
        self.weights = nn.Parameter(torch.tensor([0.0, *(-0.7 * o for o in range(1, self.orders + 1))]).double())

    def tables(self) -> Tensor:
        """Return the kernel of each position, (P, N_TOKENS, N_TOKENS)."""
        scaled = self.features.double() * self.lengths.exp()[:, None]  # (P, N_TOKENS, F)
        squares = (scaled[:, :, None] - scaled[:, None]).square().sum(-1)
        share = self.equality.sigmoid()[:, None, None]
        equal = torch.eye(N_TOKENS, dtype=torch.float64, device=scaled.device)
        return self.amplitudes.exp()[:, None, None] * ((1 - share) * torch.exp(-0.5 * squares) + share * equal)

    def gram(self, a: Tensor, b: Tensor) -> Tensor:
        """Return float64 (N, M) for codes (N, P) and (M, P)."""
        onehot = torch.eye(N_TOKENS, dtype=torch.float64, device=a.device)
        sums: list[Tensor | None] = [torch.ones(len(a), len(b), dtype=torch.float64, device=a.device)]
        sums += [None] * self.orders
        for p, table in enumerate(self.tables()):
            # products of one-hot rows: the gradient of a gather would be a slow scatter
            kernel = (onehot[a[:, p]] @ table) @ onehot[b[:, p]].T
            for o in range(self.orders, 0, -1):
                if (below := sums[o - 1]) is not None:
                    term, above = kernel * below, sums[o]
                    sums[o] = term if above is None else above + term
        weights = self.weights.exp()
        total = weights[0] * torch.ones_like(kernel)
        for o in range(1, self.orders + 1):
            if (part := sums[o]) is not None:
                total = total + weights[o] * part
        return total

    def diagonal(self, a: Tensor) -> Tensor:
        """Return the variance of each row, float64 (N,): the same for all."""
        sums = [torch.ones((), dtype=torch.float64, device=a.device)] + [a.new_zeros(()).double()] * self.orders
        for amplitude in self.amplitudes.exp():
            sums = [sums[0], *(sums[o] + amplitude * sums[o - 1] for o in range(1, self.orders + 1))]
        return sum((w * e for w, e in zip(self.weights.exp(), sums, strict=True)), sums[1] * 0).expand(len(a))


class DescriptorKernel(Kernel):
    """Matern 5/2 in standardised descriptors of whole proteins, with a scale for each, plus a linear term."""

    def __init__(self, recipe: config.Descriptors, setting: Setting) -> None:
        super().__init__()
        width = len(NAMES)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.lengths = scales(width, math.sqrt(width))
        self.weights = logarithms(0.1, 1.0, 0.1)  # of the constant, the Matern and the linear term

    mean: Tensor
    spread: Tensor

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the descriptors, not standardised, float32 (B, F)."""
        there = torch.arange(x.shape[1], device=x.device)[None] < lengths[:, None]
        found = descriptors(x[there].to(torch.uint8).cpu().numpy(), lengths.cpu().numpy())
        return torch.from_numpy(found).to(x.device)

    def settle(self, codes: Tensor) -> None:
        """Set mean and spread of each descriptor from the training rows."""
        self.mean.copy_(codes.double().mean(0))
        spread = codes.double().std(0)
        self.spread.copy_(torch.where(spread > 1e-6, spread, 1.0))

    def _scaled(self, codes: Tensor) -> Tensor:
        # clamped to ten deviations, so that the linear term stays bounded for proteins unlike all training rows
        return ((codes.double() - self.mean) / self.spread).clamp(-10, 10) * self.lengths.exp()

    def gram(self, a: Tensor, b: Tensor) -> Tensor:
        x, y, weights = self._scaled(a), self._scaled(b), self.weights.exp()
        return weights[0] + weights[1] * matern(x, y, 5) + weights[2] * (x @ y.T)

    def diagonal(self, a: Tensor) -> Tensor:
        x, weights = self._scaled(a), self.weights.exp()
        return weights[0] + weights[1] + weights[2] * x.square().sum(1)
