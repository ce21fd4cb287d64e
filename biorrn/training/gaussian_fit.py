"""The arithmetic of fitting a Gaussian process: the scale of a target, the kernel's learning, the solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biorrn.config import GaussianProcess as Settings
from biorrn.errors import InputError
from biorrn.models.gaussian import KNOTS, RowsPosterior, TablePosterior, Unwarp
from biorrn.models.gaussian_proteins import ProteinKernel

JITTER = 1e-6  # added to the diagonal of a covariance
PRIOR = 3.0  # standard deviation of each logarithm that a kernel learns, around where it starts
FIRST_NOISE = 0.1  # variance of the noise before learning, on the standardised scale
BEYOND = 1.0  # standard deviations beyond the training targets up to which the map back follows the curve
FLATTEST = 1e-3  # least slope of the map back where targets tie, as a part of its mean slope
BLOCK = 512  # rows of a covariance made at a time


@dataclass(frozen=True, slots=True)
class Scale:
    """A rising map from targets to the scale on which the process works: `curve` at `knots`, in standard deviations."""

    knots: np.ndarray  # (KNOTS,), on the working scale
    values: np.ndarray  # (KNOTS,), targets there

    def forward(self, value: float) -> float:
        """Return where a target lies on the working scale; beyond the knots, at the nearest."""
        return float(np.interp(value, self.values, self.knots))


def warp(targets: np.ndarray, settings: Settings, source: str = "targets") -> tuple[np.ndarray, Scale]:
    """Return targets (N,) on the working scale, at mean 0 and standard deviation 1, and the map that led there.

    Raises
    ------
    InputError: the log of a target is asked for that lies at or below the negative of the offset.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    if settings.warp == "log":
        if targets.min() + settings.offset <= 0:
            raise InputError(
                source, f"found {targets.min():g}; the log of target + {settings.offset:g} allows none that low"
            )
        curved = np.log(targets + settings.offset)
    elif settings.warp == "rank":
        curved = ndtri((rankdata(targets) - 0.5) / len(targets))
    else:
        curved = targets.astype(np.float64)
    mean, spread = curved.mean(), curved.std()
    if spread <= 1e-9 * max(1.0, abs(mean)):
        spread = 1.0  # all alike
    values = (curved - mean) / spread
    if settings.warp == "rank":
        # tied targets share a rank, so that the curve through the distinct ones rises
        distinct, first = np.unique(targets, return_index=True)
        slope = max(np.ptp(targets), 1e-9) / max(np.ptp(values), 1e-9)
        knots = np.linspace(values.min() - BEYOND, values.max() + BEYOND, KNOTS)
        back = np.interp(knots, values[first], distinct)
        back += slope * (np.minimum(knots - values.min(), 0) + np.maximum(knots - values.max(), 0))
        back += FLATTEST * slope * (knots - knots[KNOTS // 2])
    else:
        knots = np.linspace(values.min() - BEYOND, values.max() + BEYOND, KNOTS)
        back = knots * spread + mean
        back = np.exp(back) - settings.offset if settings.warp == "log" else back
        back = np.clip(back, targets.min(), targets.max()) if settings.warp == "clip" else back
    return values, Scale(knots, back)


def set_unwarp(module: Unwarp, scale: Scale) -> None:
    """Fill the map from the working scale back to the target's unit."""
    module.x.copy_(torch.from_numpy(scale.knots))
    module.y.copy_(torch.from_numpy(scale.values))


def learn(
    kernel: Any, codes: Tensor, values: Tensor, noise: Tensor, settings: Settings, seed: int
) -> tuple[float, float]:
    """Let a kernel learn by the marginal likelihood of draws of rows (Adam); return the log of the noise, and the loss.

    Parameters
    ----------
    codes : (N, C); values : float64 (N,), standardised; noise : float64 (N,), relative to that of a row of weight 1.
    """
    log_noise = torch.nn.Parameter(torch.tensor(np.log(FIRST_NOISE)))
    learned = [*kernel.requires_grad_(True).parameters(), log_noise]
    starts = [parameter.detach().clone() for parameter in learned]
    optimiser = torch.optim.Adam(learned, lr=settings.lr)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    steps = settings.steps if len(codes) >= settings.learn_from else 0
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = settings.lr * (1 - step / steps)
        drawn = kernel.draw(codes, settings.rows, generator)
        factor = _cholesky(kernel.gram(codes[drawn], codes[drawn]), log_noise.exp() * noise[drawn])
        wanted = values[drawn][:, None]
        fit = (wanted * torch.cholesky_solve(wanted, factor)).sum() / 2 + factor.diagonal().log().sum()
        pull = sum(((now - start) / PRIOR).square().sum() for now, start in zip(learned, starts, strict=True)) / 2
        loss = fit / len(drawn) + pull / len(codes) + np.log(2 * np.pi) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    kernel.requires_grad_(False)
    return log_noise.item(), float(np.mean(losses[-10:])) if losses else float("nan")


def fit_rows(part: RowsPosterior, codes: Tensor, values: Tensor, noise: Tensor) -> None:
    """Solve for the weights of the training rows, and choose the rows that the variance is told from."""
    if isinstance(part.kernel, ProteinKernel):
        codes = part.kernel.condense(codes)
    covariance = _covariance(part.kernel, codes)
    alpha = torch.cholesky_solve(values[:, None], _cholesky(covariance, noise))[:, 0]
    part.support.copy_(codes)
    part.alpha[0].copy_(alpha)
    part.alpha[1].copy_(alpha - part.alpha[0].double())
    pivots = _pivots(covariance, noise, len(part.pivots))
    part.pivots.copy_(pivots)
    part.factor.copy_(_cholesky(covariance[pivots][:, pivots], noise[pivots]))


def fit_table(part: TablePosterior, codes: Tensor, values: Tensor, noise: Tensor) -> None:
    """Solve for the effect of every substitution, and its variance."""
    kernel = part.kernel
    factor = _cholesky(_covariance(kernel, codes), noise)
    base, effects = kernel.effects(codes, torch.cholesky_solve(values[:, None], factor)[:, 0])
    part.base[0] = base
    part.effects.copy_(effects)
    singles, before = kernel.singles()
    told = []
    for rows in singles.split(BLOCK):
        solved = torch.linalg.solve_triangular(factor, kernel.gram(codes, rows), upper=False)
        told.append(solved.square().sum(0))
    variances = (before - torch.cat(told)).clamp(min=0).view(part.variances.shape)
    part.variances.copy_(variances)
    kept = kernel.reference[kernel.positions]
    part.base[1] = variances[0, kept[0]]


def _covariance(kernel: Any, codes: Tensor) -> Tensor:
    """Return the covariance of rows, made in blocks: what a kernel makes on its way is several times as large."""
    found = torch.empty(len(codes), len(codes), dtype=torch.float64)
    for start in range(0, len(codes), BLOCK):
        found[start : start + BLOCK] = kernel.gram(codes[start : start + BLOCK], codes)
    return found


def _cholesky(covariance: Tensor, noise: Tensor) -> Tensor:
    return torch.linalg.cholesky(covariance + torch.diag(noise + JITTER))


def _pivots(covariance: Tensor, noise: Tensor, count: int) -> Tensor:
    """Return the rows (count,) that a pivoted Cholesky decomposition takes first: those least told by the others."""
    if count == len(covariance):
        return torch.arange(count)
    left, columns, chosen = covariance.diagonal().clone(), torch.zeros(count, len(covariance)).double(), []
    for step in range(count):
        pivot = int(left.argmax())
        chosen.append(pivot)
        own = columns[:step, pivot]
        column = (covariance[pivot] - own @ columns[:step]) / (left[pivot] + noise[pivot]).clamp(min=1e-12).sqrt()
        columns[step] = column
        left = left - column.square()
        left[pivot] = -1.0  # taken
    return torch.tensor(chosen)
