"""Kernels of Gaussian processes on natural proteins: composition, order, residue pairs and predicted structure; and
embeddings by a language model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.config import recipe as config
from biorrn.nn.gaussian.kernels import Kernel, Setting, logarithms, matern
from biorrn.nn.residue_profile import POOLED, SUMMARY, WIDTH, shipped_profile
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import lay_out
from biorrn.sequences.descriptors import BLOCKS, PAIR_BLOCKS, WIDTHS, size

FIXED = ("hydropathy", "instability", "windows", "autocorrelation", "distribution")  # blocks of `descriptors` taken
RANK = 128  # principal components kept of a row once the kernel is learned
FAR = 5.0  # features are clamped to this many deviations, for proteins unlike all others
TOKENS = 1 << 14  # padded residues of a batch of the profile network
MOST = 256  # principal components kept of an embedding, at most
FARTHEST = 8.0  # the same limit of its numbers
FIRST_LENGTH = 0.5  # initial log scale of a block, for each halving of its share


def block_widths() -> list[int]:
    """Return the number of columns of each block; one scale is learned for each."""
    fixed = [len(BLOCKS[name].names) for name in FIXED]
    return [1, *fixed, *(WIDTHS[name] for name in PAIR_BLOCKS), SUMMARY, *[WIDTH] * 3]


class ProteinKernel(Kernel):
    """Rational quadratic in blocks of standardised features, one scale for each block, plus a linear term.

    The columns of a block share its scale, so that 400 pairs weigh no more than the length unless the data require it.
    After learning a row is reduced to `RANK` principal components (`condense`), which keep nearly all distances.
    """

    rank = RANK

    group: Tensor
    mean: Tensor
    spread: Tensor
    projection: Tensor

    def __init__(self, recipe: config.Proteins, setting: Setting) -> None:
        super().__init__()
        widths = block_widths()
        self.columns, blocks = sum(widths), len(widths)
        self.profile = shipped_profile()
        group = torch.repeat_interleave(torch.arange(blocks), torch.tensor(widths))
        self.register_buffer("group", group, persistent=False)
        self.register_buffer("share", torch.tensor(widths).double()[group].mul(2).rsqrt(), persistent=False)
        self.register_buffer("mean", torch.zeros(self.columns))
        self.register_buffer("spread", torch.ones(self.columns))
        self.register_buffer("projection", torch.zeros(self.columns, RANK))
        self.scales = nn.Parameter(torch.full((blocks,), -FIRST_LENGTH * math.log(blocks), dtype=torch.float64))
        self.weights = logarithms(0.1, 0.7, 0.05)  # of the constant, the rational quadratic and the linear term

    share: Tensor

    def train(self, mode: bool = True) -> ProteinKernel:
        """Set the mode; the profile network stays in evaluation mode."""
        super().train(mode)
        self.profile.eval()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> ProteinKernel:
        """Set whether the kernel learns; the profile network stays frozen."""
        super().requires_grad_(requires_grad)
        self.profile.requires_grad_(False)
        return self

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the features, not standardised, float32 (B, columns)."""
        there = torch.arange(x.shape[1])[None] < lengths[:, None]
        flat, sizes = x[there].to(torch.uint8).numpy(), lengths.numpy()
        layout = lay_out(flat, sizes)
        fixed = [size(layout)[:, 1:2]]  # the log of the length
        fixed += [BLOCKS[name].describe(layout) for name in FIXED]
        fixed += [describe(layout) for describe in PAIR_BLOCKS.values()]
        pooled = torch.zeros(len(x), POOLED)
        with torch.inference_mode():
            for rows in _alike(lengths):
                width = max(int(lengths[rows].max()), 1)
                pooled[rows] = self.profile.pooled(x[rows, :width], lengths[rows])
        return torch.cat([*(torch.from_numpy(columns).float() for columns in fixed), pooled], 1)

    def settle(self, codes: Tensor) -> None:
        """Set mean and spread of each feature from the training rows."""
        values = codes.double()
        spread = values.std(0)
        self.mean.copy_(values.mean(0))
        self.spread.copy_(torch.where(spread > 1e-6, spread, math.inf))  # constant features are dropped

    def condense(self, codes: Tensor) -> Tensor:
        """Set the principal components from the training rows (N, columns); return the rows in them, (N, RANK)."""
        scaled = self._scaled(codes)
        _, directions = torch.linalg.eigh(scaled.T @ scaled)  # in rising order
        found = directions[:, -RANK:].flip(1)
        self.projection[:, : found.shape[1]] = found.float()
        return self._rows(codes).float()

    def _scaled(self, codes: Tensor) -> Tensor:
        deviation = ((codes.double() - self.mean) / self.spread).clamp(-FAR, FAR)
        return deviation * self.share * self.scales.exp()[self.group]

    def _rows(self, codes: Tensor) -> Tensor:
        """Return rows of `encode` or `condense` in the space of the kernel's distances."""
        if codes.shape[1] != self.columns:
            return codes.double()
        scaled = self._scaled(codes)
        # before `condense`, while the kernel learns, all columns are used
        return scaled @ self.projection.double() if self.projection.any() else scaled

    def gram(self, a: Tensor, b: Tensor) -> Tensor:
        """Return float64 (N, M)."""
        x, y, weights = self._rows(a), self._rows(b), self.weights.exp()
        product = x @ y.T
        squares = (x.square().sum(1)[:, None] + y.square().sum(1)[None] - 2 * product).clamp(min=0)
        return weights[0] + weights[1] / (1 + squares / 2) + weights[2] * product

    def diagonal(self, a: Tensor) -> Tensor:
        """Return the variance of each row, float64 (N,)."""
        x, weights = self._rows(a), self.weights.exp()
        return weights[0] + weights[1] + weights[2] * x.square().sum(1)


class EmbeddingKernel(Kernel):
    """Matern 5/2 plus linear in the principal components of standardised embeddings.

    The linear part alone is ridge regression. Both share the components' own scale, so that two lengths and two
    amplitudes are all that is learned, which few rows suffice for.
    """

    mean: Tensor
    spread: Tensor
    projection: Tensor

    def __init__(self, recipe: config.MeanEmbeddings, setting: Setting) -> None:
        super().__init__()
        self.settled = embeddings.settled(recipe)
        self.columns, self.model = self.settled.width, self.settled.model
        self.rank = max(1, min(MOST, self.columns - 1))  # fewer than the columns, so that their number tells both apart
        self.register_buffer("mean", torch.zeros(self.columns))
        self.register_buffer("spread", torch.ones(self.columns))
        self.register_buffer("projection", torch.zeros(self.columns, self.rank))
        self.length = logarithms(1.0)
        self.weights = logarithms(0.1, 0.7, 0.3)  # of the constant, the Matern and the linear term

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the embeddings, not standardised, float32 (B, D)."""
        rows = [row[:length].numpy() for row, length in zip(x.to(torch.uint8), lengths.tolist(), strict=True)]
        found = embeddings.lookup(rows, self.columns, True, self.model)
        return torch.from_numpy(np.stack(found).astype(np.float32))

    def settle(self, codes: Tensor) -> None:
        """Set mean, spread and principal components from the training rows (N, D)."""
        values = codes.double()
        spread = values.std(0)
        self.mean.copy_(values.mean(0))
        self.spread.copy_(torch.where(spread > 1e-6, spread, torch.inf))  # constant numbers are dropped
        scaled = self._scaled(codes)
        variances, directions = torch.linalg.eigh(scaled.T @ scaled / len(codes))  # in rising order
        kept = directions[:, -self.rank :].flip(1)
        # the squared distance of two rows is two in the mean
        self.projection.copy_(kept / variances.clamp(min=0)[-self.rank :].sum().clamp(min=1e-12).sqrt())

    def condense(self, codes: Tensor) -> Tensor:
        """Return rows (N, D) as their principal components, float32 (N, rank)."""
        return self._rows(codes).float()

    def _scaled(self, codes: Tensor) -> Tensor:
        return ((codes.double() - self.mean) / self.spread).clamp(-FARTHEST, FARTHEST)

    def _rows(self, codes: Tensor) -> Tensor:
        return codes.double() if codes.shape[1] == self.rank else self._scaled(codes) @ self.projection.double()

    def gram(self, a: Tensor, b: Tensor) -> Tensor:
        """Return float64 (N, M)."""
        x, y, weights = self._rows(a), self._rows(b), self.weights.exp()
        scale = self.length.exp()
        return weights[0] + weights[1] * matern(x * scale, y * scale, 5) + weights[2] * (x @ y.T)

    def diagonal(self, a: Tensor) -> Tensor:
        """Return the variance of each row, float64 (N,)."""
        weights = self.weights.exp()
        return weights[0] + weights[1] + weights[2] * self._rows(a).square().sum(1)


def _alike(lengths: Tensor) -> Iterator[Tensor]:
    """Yield indices of rows of similar lengths, about `TOKENS` padded residues at once; empty rows are left out."""
    order = lengths.argsort(stable=True)
    order = order[lengths[order] > 0]
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * int(lengths[order[stop]]) <= TOKENS:
            stop += 1
        yield order[start:stop]
        start = stop
