"""A Gaussian process as a model: tokens in, one value a target out, in the target's unit, and how sure it is.

It is fitted in closed form by `training.gaussian`. A kernel whose effects add up is kept as a table of effects, any
other as the training rows' codes and their weights (Rasmussen and Williams 2006, Gaussian Processes for Machine
Learning, algorithm 2.1).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn.gaussian.kernels import DescriptorKernel, Setting, SiteKernel
from biorrn.nn.gaussian.proteins import RANK, ProteinKernel
from biorrn.nn.gaussian.substitutions import SubstitutionKernel
from biorrn.sequences.alphabets import N_TOKENS, tokens

KNOTS = 256  # of the map from the scale on which a process works to the target's unit
BLOCK = 64  # rows of a forward pass compared with the training rows at a time


class Unwarp(nn.Module):
    """A rising piecewise-linear map from the working scale to the target's unit; its end pieces go on for ever."""

    x: Tensor
    y: Tensor

    def __init__(self, clip: bool = False) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("x", torch.arange(KNOTS, dtype=torch.float32))
        self.register_buffer("y", torch.arange(KNOTS, dtype=torch.float32))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and the slopes there, both like `latent`."""
        x, y = self.x.to(latent.dtype), self.y.to(latent.dtype)
        right = torch.searchsorted(x, latent.contiguous()).clamp(1, KNOTS - 1)
        slope = (y[right] - y[right - 1]) / (x[right] - x[right - 1])
        values = y[right - 1] + (latent - x[right - 1]) * slope
        if self.clip:  # a value held at its bound is no surer for that
            slope = torch.full_like(slope, float(((y[1:] - y[:-1]) / (x[1:] - x[:-1])).max()))
        return values, slope


class RowsPosterior(nn.Module):
    """A process given by its training rows; the variance by some of them, and so rather too wide."""

    support: Tensor
    alpha: Tensor
    pivots: Tensor
    factor: Tensor

    def __init__(self, kernel: SiteKernel | DescriptorKernel | ProteinKernel, rows: int, pivots: int) -> None:
        super().__init__()
        self.kernel = kernel
        kind = torch.uint8 if isinstance(kernel, SiteKernel) else torch.float32
        width = len(kernel.positions) if isinstance(kernel, SiteKernel) else len(kernel.mean)
        width = RANK if isinstance(kernel, ProteinKernel) else width
        self.register_buffer("support", torch.zeros(rows, width, dtype=kind))
        # a weight is the sum of two numbers: one float32 keeps too few digits of what nearly cancels
        self.register_buffer("alpha", torch.zeros(2, rows))
        self.register_buffer("pivots", torch.zeros(pivots, dtype=torch.int64))
        self.register_buffer("factor", torch.eye(pivots))  # lower Cholesky factor of the pivots' covariance

    def limits(self) -> dict[str, int]:
        """Return what each tensor of indices stays below; checked when a model is loaded."""
        return {"pivots": len(self.support)} | ({"support": N_TOKENS} if self.support.dtype == torch.uint8 else {})

    def codes(self) -> Tensor:
        """Return the support as `kernel.gram` takes it."""
        return self.support.long() if self.support.dtype == torch.uint8 else self.support

    def mean(self, codes: Tensor) -> Tensor:
        """Return float64 (B,): the mean beyond the expected cost."""
        alpha, support = self.alpha.double().sum(0), self.codes()
        return torch.cat([self.kernel.gram(part, support) @ alpha for part in codes.split(BLOCK)])

    def variance(self, codes: Tensor) -> Tensor:
        """Return float64 (B,)."""
        near = self.codes()[self.pivots]
        solved = torch.linalg.solve_triangular(self.factor.double(), self.kernel.gram(near, codes), upper=False)
        return (self.kernel.diagonal(codes) - solved.square().sum(0)).clamp(min=0)


class TablePosterior(nn.Module):
    """A process whose effects add up, as a table: of one substitution exactly, of more with variances added."""

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
    rows : list of int: training rows of each target, that is, those where it was measured.

    A sequence with a run of residues inserted or deleted is aligned to the consensus; a deleted residue counts as an
    unknown one, and of an insertion is seen only that what follows is shifted.

    It computes on the CPU in float64, wherever the input is and whatever it is moved or cast to: not every device has
    float64, and differences of nearly equal rows need it.
    """

    stride = 1

    def __init__(self, recipe: config.GaussianProcess, setting: Setting, rows: list[int]) -> None:
        super().__init__()
        self.cost = recipe.cost
        self.targets = nn.ModuleList(
            nn.ModuleList(make_posterior(recipe, setting, count) for _ in range(recipe.restarts)) for count in rows
        )
        self.unwarp = nn.ModuleList(Unwarp(recipe.warp == "clip") for _ in rows)
        self.requires_grad_(False)  # but while a kernel learns

    def _apply(self, fn: Any, recurse: bool = True) -> GaussianProcess:
        return self

    def latent(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance on the working scale, both float64 (B, K)."""
        codes = self.encode(x, lengths)
        return self.means(codes), torch.stack([_variance(parts, codes) for parts in self.targets], 1)

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the rows as the kernel compares them, on the CPU."""
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

        The variance is that of the mean of many measurements of the row, without their noise.
        """
        means, variances = self.latent(x, lengths)
        pairs = [unwarp(column) for unwarp, column in zip(self.unwarp, means.T, strict=True)]
        values, slopes = (torch.stack(parts, 1) for parts in zip(*pairs, strict=True))
        return values.float().to(x.device), (variances * slopes.square()).float().to(x.device)


def _variance(parts: Any, codes: Tensor) -> Tensor:
    return torch.stack([part.variance(codes) for part in parts]).mean(0)


def make_posterior(recipe: config.GaussianProcess, setting: Setting, rows: int) -> RowsPosterior | TablePosterior:
    """Return one process before any data."""
    kind = KERNELS[recipe.kernel.name]
    kernel = kind(recipe.kernel, setting)
    if isinstance(kernel, SubstitutionKernel):
        return TablePosterior(kernel)
    return RowsPosterior(kernel, rows, min(rows, recipe.variance_rows))


def build_gaussian(recipe: config.GaussianProcess, facts: dict[str, Any]) -> GaussianProcess:
    """Return the model of a stored recipe, its numbers to be filled from the model folder.

    Parameters
    ----------
    facts : dict: with "gaussian": {"reference": str, "positions": list of int from 1, "rows": list of int}.

    Raises
    ------
    ConfigError: the facts are not those of a Gaussian process.
    """
    own = facts.get("gaussian")
    if not isinstance(own, dict) or len(own.get("rows", ())) != int(facts.get("outputs", 1)):
        raise ConfigError("a Gaussian process without the facts of its training rows; was it written by biorrn?")
    reference = torch.from_numpy(tokens(own["reference"])).long()
    positions = torch.tensor(own["positions"], dtype=torch.int64) - 1
    return GaussianProcess(recipe, Setting(reference, positions), [int(count) for count in own["rows"]])


# kernel of a recipe -> its class; what a kernel compares is what its `encode` makes of a sequence
KERNELS: dict[str, Any] = {
    "sites": SiteKernel,
    "substitutions": SubstitutionKernel,
    "descriptors": DescriptorKernel,
    "proteins": ProteinKernel,
}
