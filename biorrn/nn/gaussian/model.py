"""Gaussian process regression model: posterior mean and variance of each target, in its unit; the table `KERNELS`.

`training.gaussian` fits it in closed form. With a kernel of additive effects the posterior is a table of effects, with
any other the encoded training rows and their weights (Rasmussen and Williams 2006, Gaussian Processes for Machine
Learning, algorithm 2.1).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn.gaussian.kernels import DescriptorKernel, Setting, SiteKernel
from biorrn.nn.gaussian.proteins import EmbeddingKernel, ProteinKernel
from biorrn.nn.gaussian.substitutions import SubstitutionKernel
from biorrn.sequences.alphabets import N_TOKENS, tokens

KNOTS = 256  # of the map from the working scale to the target's unit
BLOCK = 64  # rows of a forward pass in one block of covariances


class Unwarp(nn.Module):
    """A rising piecewise-linear map from the working scale to the target's unit, extrapolated linearly."""

    x: Tensor
    y: Tensor

    def __init__(self, clip: bool = False) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("x", torch.arange(KNOTS, dtype=torch.float32))
        self.register_buffer("y", torch.arange(KNOTS, dtype=torch.float32))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and the slopes at `latent`, both of its shape."""
        x, y = self.x.to(latent.dtype), self.y.to(latent.dtype)
        right = torch.searchsorted(x, latent.contiguous()).clamp(1, KNOTS - 1)
        slope = (y[right] - y[right - 1]) / (x[right] - x[right - 1])
        values = y[right - 1] + (latent - x[right - 1]) * slope
        if self.clip:  # clipping must not shrink the variance
            slope = torch.full_like(slope, float(((y[1:] - y[:-1]) / (x[1:] - x[:-1])).max()))
        return values, slope


class RowsPosterior(nn.Module):
    """Posterior from the training rows; the variance uses a subset of them (pivots), and is then too large."""

    support: Tensor
    alpha: Tensor
    pivots: Tensor
    factor: Tensor

    def __init__(
        self, kernel: SiteKernel | DescriptorKernel | ProteinKernel | EmbeddingKernel, rows: int, pivots: int
    ) -> None:
        super().__init__()
        self.kernel = kernel
        kind = torch.uint8 if isinstance(kernel, SiteKernel) else torch.float32
        width = len(kernel.positions) if isinstance(kernel, SiteKernel) else len(kernel.mean)
        width = int(getattr(kernel, "rank", width))  # of a kernel that condenses its rows
        self.register_buffer("support", torch.zeros(rows, width, dtype=kind))
        # each weight is the sum of two float32, since the weighted sum nearly cancels
        self.register_buffer("alpha", torch.zeros(2, rows))
        self.register_buffer("pivots", torch.zeros(pivots, dtype=torch.int64))
        self.register_buffer("factor", torch.eye(pivots))  # lower Cholesky factor of the pivots' covariance

    def limits(self) -> dict[str, int]:
        """Return the upper bound of each tensor of indices, checked when a model is loaded."""
        return {"pivots": len(self.support)} | ({"support": N_TOKENS} if self.support.dtype == torch.uint8 else {})

    def codes(self) -> Tensor:
        """Return the support in the dtype of `kernel.gram`."""
        return self.support.long() if self.support.dtype == torch.uint8 else self.support

    def mean(self, codes: Tensor) -> Tensor:
        """Return the mean without the expected cost, float64 (B,)."""
        alpha, support = self.alpha.double().sum(0), self.codes()
        return torch.cat([self.kernel.gram(part, support) @ alpha for part in codes.split(BLOCK)])

    def variance(self, codes: Tensor) -> Tensor:
        """Return the variance, float64 (B,)."""
        near = self.codes()[self.pivots]
        solved = torch.linalg.solve_triangular(self.factor.double(), self.kernel.gram(near, codes), upper=False)
        return (self.kernel.diagonal(codes) - solved.square().sum(0)).clamp(min=0)


class TablePosterior(nn.Module):
    """Posterior of additive effects as a table; the variance of several substitutions is the sum of their variances."""

    base: Tensor
    effects: Tensor
    variances: Tensor

    def __init__(self, kernel: SubstitutionKernel) -> None:
        super().__init__()
        self.kernel = kernel
        size = len(kernel.positions)
        self.register_buffer("base", torch.zeros(2))  # mean and variance of the unchanged sequence
        self.register_buffer("effects", torch.zeros(size, N_TOKENS))
        self.register_buffer("variances", torch.zeros(size, N_TOKENS))  # of a row with this substitution alone

    def mean(self, codes: Tensor) -> Tensor:
        at = torch.arange(codes.shape[1], device=codes.device)
        return self.base[0].double() + self.effects[at, codes].double().sum(1)

    def variance(self, codes: Tensor) -> Tensor:
        at = torch.arange(codes.shape[1], device=codes.device)
        differs = codes != self.kernel.reference[self.kernel.positions]
        return torch.where(differs.any(1), (self.variances[at, codes].double() * differs).sum(1), self.base[1].double())


class GaussianProcess(nn.Module):
    """Maps `(x, lengths)` to `(values, lengths)`: (B, K), in the targets' units.

    Parameters
    ----------
    recipe : config.GaussianProcess.
    setting : Setting: consensus and positions of the training rows.
    rows : list of int: training rows of each target.

    A sequence with one insertion or deletion is aligned to the consensus; a deleted residue counts as an unknown one,
    and inserted residues are ignored. It always computes on the CPU in float64, which not every device has and which
    the differences of nearly equal rows need.
    """

    stride = 1

    def __init__(self, recipe: config.GaussianProcess, setting: Setting, rows: list[int]) -> None:
        super().__init__()
        self.cost = recipe.cost
        self.targets = nn.ModuleList(
            nn.ModuleList(make_posterior(recipe, setting, count) for _ in range(recipe.restarts)) for count in rows
        )
        self.unwarp = nn.ModuleList(Unwarp(recipe.warp == "clip") for _ in rows)
        self.requires_grad_(False)  # except while a kernel learns

    def _apply(self, fn: Any, recurse: bool = True) -> GaussianProcess:
        return self

    def latent(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance on the working scale, both float64 (B, K)."""
        codes = self.encode(x, lengths)
        return self.means(codes), torch.stack([_variance(parts, codes) for parts in self.targets], 1)

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoded rows, on the CPU."""
        return self.targets[0][0].kernel.encode(x.cpu(), lengths.cpu())  # type: ignore[index, no-any-return]

    def means(self, codes: Tensor) -> Tensor:
        """Return the mean on the working scale, float64 (B, K)."""
        expected = -self.cost * self.targets[0][0].kernel.cost(codes)  # type: ignore[index]
        columns = []
        for parts in self.targets:
            total = torch.zeros_like(expected)
            for part in parts:  # type: ignore[attr-defined]
                total = total + part.mean(codes)
            columns.append(expected + total / len(parts))  # type: ignore[arg-type]
        return torch.stack(columns, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        means = self.means(self.encode(x, lengths))
        values = [unwarp(column)[0] for unwarp, column in zip(self.unwarp, means.T, strict=True)]
        return torch.stack(values, 1).float().to(x.device), lengths

    def with_variance(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and variances, both float32 (B, K), in the targets' units and their squares.

        The variance does not include the noise of a measurement.
        """
        means, variances = self.latent(x, lengths)
        pairs = [unwarp(column) for unwarp, column in zip(self.unwarp, means.T, strict=True)]
        values, slopes = (torch.stack(parts, 1) for parts in zip(*pairs, strict=True))
        return values.float().to(x.device), (variances * slopes.square()).float().to(x.device)


def _variance(parts: Any, codes: Tensor) -> Tensor:
    return torch.stack([part.variance(codes) for part in parts]).mean(0)


def make_posterior(recipe: config.GaussianProcess, setting: Setting, rows: int) -> RowsPosterior | TablePosterior:
    """Return an untrained posterior."""
    kind = KERNELS[recipe.kernel.name]
    kernel = kind(recipe.kernel, setting)
    if isinstance(kernel, SubstitutionKernel):
        return TablePosterior(kernel)
    return RowsPosterior(kernel, rows, min(rows, recipe.variance_rows))


def build_gaussian(recipe: config.GaussianProcess, facts: dict[str, Any]) -> GaussianProcess:
    """Return the model of a stored recipe, to be filled from the model folder.

    Parameters
    ----------
    facts : dict: with "gaussian": {"reference": str, "positions": list of int from 1, "rows": list of int, and
        optionally "told": int, the number of features}.

    Raises
    ------
    ConfigError: the facts are not those of a Gaussian process.
    """
    own = facts.get("gaussian")
    if not isinstance(own, dict) or len(own.get("rows", ())) != int(facts.get("outputs", 1)):
        raise ConfigError("fact 'gaussian' is missing or does not match the outputs; was the model written by biorrn?")
    reference = torch.from_numpy(tokens(own["reference"])).long()
    positions = torch.tensor(own["positions"], dtype=torch.int64) - 1
    # what was told is in the table of effects; only its number has to be known
    told = torch.zeros(len(reference), N_TOKENS, int(own["told"])).double() if own.get("told") else None
    return GaussianProcess(recipe, Setting(reference, positions, told), [int(count) for count in own["rows"]])


# kernel of a recipe -> its class
KERNELS: dict[str, Any] = {
    "sites": SiteKernel,
    "substitutions": SubstitutionKernel,
    "descriptors": DescriptorKernel,
    "proteins": ProteinKernel,
    "embeddings": EmbeddingKernel,
}
