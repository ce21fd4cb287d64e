"""Kernel of Gaussian processes on embeddings of a large language model: Matern 5/2 and linear in principal components."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from biorrn.config import recipe as config
from biorrn.nn.gaussian.kernels import Kernel, Setting, logarithms, matern
from biorrn.sequences.embeddings import lookup, settled

RANK = 256  # principal components that are kept, at most
FAR = 8.0  # numbers are clamped to so many deviations, for proteins unlike all others


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
        self.settled = settled(recipe)
        self.columns, self.model = self.settled.width, self.settled.model
        self.rank = max(1, min(RANK, self.columns - 1))  # fewer than the columns, so that their number tells both apart
        self.register_buffer("mean", torch.zeros(self.columns))
        self.register_buffer("spread", torch.ones(self.columns))
        self.register_buffer("projection", torch.zeros(self.columns, self.rank))
        self.length = logarithms(1.0)
        self.weights = logarithms(0.1, 0.7, 0.3)  # of the constant, the Matern and the linear term

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the embeddings, not standardised, float32 (B, D)."""
        rows = [row[:length].numpy() for row, length in zip(x.to(torch.uint8), lengths.tolist(), strict=True)]
        found = lookup(rows, self.columns, True, self.model)
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
        return ((codes.double() - self.mean) / self.spread).clamp(-FAR, FAR)

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
