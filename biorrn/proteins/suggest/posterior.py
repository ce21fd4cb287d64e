"""Gaussian-process posterior over candidate proteins: mean, deviation and joint covariance from measured rows.

`training.gaussian` fits the same process to be stored as a model, which keeps what predictions need. Choosing a batch
needs more: the covariance between candidates. So the process is fitted here to the measured rows, exactly, in seconds
(Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, algorithm 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biorrn.config.network import GaussianProcess, Proteins, Sites, Substitutions
from biorrn.nn.gaussian.kernels import Setting
from biorrn.nn.gaussian.model import KERNELS, Unwarp
from biorrn.nn.gaussian.substitutions import SubstitutionKernel
from biorrn.nn.told import told
from biorrn.sequences.alphabets import tokens
from biorrn.stats.bootstrap import estimate
from biorrn.stats.metrics import RESAMPLED
from biorrn.training.batches import pad_tokens
from biorrn.training.gaussian import Scale, learn, set_unwarp, warp

MOST_SITES = 8  # varied positions up to which their interactions are modelled one by one
EFFECTS = "ddg"  # shipped model whose effects of substitutions are in the prior mean elsewhere
BLOCK = 1024  # candidates of a block of covariances
JITTER = 1e-6  # added to the diagonal of a covariance
WARP: Any = "rank"  # scale on which it works, see `config.network.GaussianProcess`
SETTINGS: dict[str, Any] = {"steps": 40, "rows": 800, "lr": 0.15}  # of the kernel of proteins, as in its recipe


@dataclass(frozen=True, slots=True)
class Posterior:
    """A Gaussian process given measured rows, on its working scale (`GaussianProcess.warp`).

    Attributes
    ----------
    kernel : a kernel of `nn.gaussian`, learned.
    codes : (N, C): the measured rows, encoded.
    factor : float64 tensor (N, N): lower Cholesky factor of their covariance with noise.
    alpha : float64 tensor (N,): their weights in a mean.
    noise : float: variance of a measurement of weight 1.
    unwarp, inverse : the rising map from this scale to the target's unit, and back.
    """

    kernel: Any
    codes: Tensor
    factor: Tensor
    alpha: Tensor
    noise: float
    unwarp: Unwarp
    inverse: Unwarp

    def encode(self, sequences: Sequence[str]) -> Tensor:
        """Return the sequences as the kernel reads them, (M, C)."""
        return encoded(self.kernel, sequences)

    def marginals(self, codes: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of each row, both float64 (M,), without the noise of a measurement."""
        means, deviations = [], []
        for part in codes.split(BLOCK):
            across = self.kernel.gram(self.codes, part)  # (N, B)
            solved = torch.linalg.solve_triangular(self.factor, across, upper=False)
            means.append(across.T @ self.alpha)
            deviations.append((prior_variance(self.kernel, part) - solved.square().sum(0)).clamp(min=JITTER).sqrt())
        return torch.cat(means).numpy(), torch.cat(deviations).numpy()

    def values(self, latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return numbers of the working scale in the target's unit, and the slopes there, both (M,)."""
        values, slopes = self.unwarp(torch.from_numpy(latent))
        return values.numpy(), slopes.numpy()

    def latent(self, values: np.ndarray) -> np.ndarray:
        """Return numbers in the target's unit on the working scale, (M,)."""
        return self.inverse(torch.from_numpy(values))[0].numpy()  # type: ignore[no-any-return]

    def covariance(self, codes: Tensor) -> np.ndarray:
        """Return the covariance of the rows with one another, float64 (M, M)."""
        across = torch.cat([self.kernel.gram(self.codes, part) for part in codes.split(BLOCK)], 1)
        solved = torch.linalg.solve_triangular(self.factor, across, upper=False)
        before = torch.cat([self.kernel.gram(codes, part) for part in codes.split(BLOCK)], 1)
        found = before - solved.T @ solved
        return ((found + found.T) / 2).numpy()


def prior_variance(kernel: Any, codes: Tensor) -> Tensor:
    """Return the prior variance of each row, float64 (M,)."""
    if hasattr(kernel, "diagonal"):
        return kernel.diagonal(codes)  # type: ignore[no-any-return]
    # in small blocks, whose diagonals are a small loss
    return torch.cat([kernel.gram(part, part).diagonal() for part in codes.split(32)])


def encoded(kernel: Any, sequences: Sequence[str]) -> Tensor:
    """Return the sequences as a kernel reads them, (M, C)."""
    parts = []
    for start in range(0, len(sequences), BLOCK):
        parts.append(kernel.encode(*pad_tokens([tokens(one) for one in sequences[start : start + BLOCK]])))
    return torch.cat(parts)


def setting_for(
    wild_type: str, sequences: Sequence[str], places: Sequence[int] = ()
) -> tuple[Setting, GaussianProcess]:
    """Return reference and kernel for the measured proteins and the candidates.

    Up to `MOST_SITES` positions vary together, and the kernel has all their combinations. With more, the effects of
    substitutions add up, and what `EFFECTS` tells of them is in the prior mean. Proteins that are not variants of one
    are compared by what they are made of.

    Parameters
    ----------
    wild_type : str: "" where the proteins are not variants of one.
    sequences : proteins that the kernel has to tell apart.
    places : further places of the wild type that may differ, from 0.
    """
    if not wild_type:
        nothing = torch.zeros(0, dtype=torch.int64)
        return Setting(nothing, nothing), GaussianProcess(kernel=Proteins(), warp=WARP, **SETTINGS)
    reference = tokens(wild_type)
    every = Setting(torch.from_numpy(reference).long(), torch.arange(len(reference)))
    differs = torch.zeros(len(reference), dtype=torch.bool)
    differs[list(places)] = True
    plain = SubstitutionKernel(Substitutions(), every)
    for start in range(0, len(sequences), BLOCK):
        differs |= (encoded(plain, sequences[start : start + BLOCK]) != every.reference).any(0)
    sites = differs.nonzero()[:, 0]
    if 1 <= len(sites) <= MOST_SITES:
        return replace(every, positions=sites), GaussianProcess(kernel=Sites(), warp=WARP)
    setting = replace(every, told=torch.from_numpy(told(EFFECTS, reference)))
    return setting, GaussianProcess(kernel=Substitutions(effects=EFFECTS), warp=WARP)


CHECK_FOLDS = 5
CHECK_ROWS = (10, 400)  # fewest that can be checked; more than the most are drawn from


def cross_validated(
    setting: Setting,
    settings: GaussianProcess,
    sequences: Sequence[str],
    values: np.ndarray,
    weights: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Return Spearman's correlation of measured rows with predictions from the other folds, as `bootstrap.estimate`.

    The kernel is learned anew in each fold: leaving rows out of a process whose kernel they have taught is optimistic.
    Empty for fewer rows than `CHECK_ROWS`. Parameters as of `fit`.
    """
    if len(values) < CHECK_ROWS[0]:
        return {}
    chosen = np.random.default_rng([seed, 5]).permutation(len(values))[: CHECK_ROWS[1]]
    fold, found = np.arange(len(chosen)) % CHECK_FOLDS, np.zeros(len(chosen))
    own = np.ones(len(values)) if weights is None else weights
    for place in range(CHECK_FOLDS):
        train = chosen[fold != place]
        posterior = fit(setting, settings, [sequences[k] for k in train], values[train], own[train], seed)
        codes = posterior.encode([sequences[k] for k in chosen[fold == place]])
        found[fold == place] = posterior.marginals(codes)[0]
    return estimate(RESAMPLED["spearman"], values[chosen], found, seed=seed)


def fit(
    setting: Setting,
    settings: GaussianProcess,
    sequences: Sequence[str],
    values: np.ndarray,
    weights: np.ndarray | None = None,
    seed: int = 0,
) -> Posterior:
    """Fit a Gaussian process to measured rows.

    Parameters
    ----------
    sequences : N proteins; values : float array (N,): measured; weights : float array (N,), optional.
    """
    kernel = KERNELS[settings.kernel.name](settings.kernel, setting)
    codes = encoded(kernel, sequences)
    kernel.settle(codes)
    scaled, scale = warp(np.asarray(values, np.float64), settings)
    unwarp, inverse = Unwarp(), Unwarp()
    set_unwarp(unwarp, scale)
    set_unwarp(inverse, Scale(scale.values, scale.knots))
    wanted = torch.from_numpy(scaled)
    relative = torch.from_numpy(1 / np.maximum(np.ones(len(values)) if weights is None else weights, 1e-6))
    log_noise, _ = learn(kernel, codes, wanted, relative, settings, seed)
    noise = float(np.exp(log_noise))
    covariance = torch.cat([kernel.gram(part, codes) for part in codes.split(BLOCK)])
    factor = torch.linalg.cholesky(covariance + torch.diag(noise * relative + JITTER))
    alpha = torch.cholesky_solve(wanted[:, None], factor)[:, 0]
    return Posterior(kernel, codes, factor, alpha, noise, unwarp, inverse)
