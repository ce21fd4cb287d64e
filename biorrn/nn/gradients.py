"""Integrated gradients of a regression model for each residue (Sundararajan, Taly and Yan 2017, ICML 70:3319).

The path is the straight line from the baseline's features to the residue's at the output of each member's front end.
For one-hot, fixed tables and embeddings it is the path from baseline to residue in a relaxed one-hot code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.nn.ensemble import Ensemble, combine
from biorrn.nn.frontends import Trained
from biorrn.nn.sequence import SequenceModel
from biorrn.sequences.alphabets import STANDARD, tokens

STEPS = (32, 64, 128, 256, 512)  # points of the quadrature, tried in turn until the attributions are complete
COMPLETE = 0.01  # largest gap that counts as complete
TOKENS = 16_384  # residues a batch of gradients
BASELINES = {"mean": STANDARD, "X": "X"}  # residues whose features are averaged


@dataclass(frozen=True, slots=True)
class Integral:
    """Attributions of one protein.

    Attributes
    ----------
    values, baseline : float arrays (K,): of the model for the protein and for the baseline, in the targets' units.
    scores : float array (T, K): contribution of each residue.
    spread : float array (T, K) or None: standard deviation of the scores over the members of an ensemble.
    """

    values: np.ndarray
    baseline: np.ndarray
    scores: np.ndarray
    spread: np.ndarray | None


def gap_of(values: np.ndarray, baseline: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return (K,): the distance of the sum of scores (T, K) from values - baseline, relative to that difference.

    Where positive and negative scores nearly cancel, it is relative to a tenth of their absolute sum.

    >>> gap_of(np.array([3.0]), np.array([1.0]), np.array([[2.5], [-0.6]])).round(3)
    array([0.05])
    """
    change = values - baseline
    size = np.maximum(np.abs(change), np.abs(scores).sum(0) / 10)
    return np.abs(scores.sum(0) - change) / np.maximum(size, np.finfo(float).tiny)


def networks(model: nn.Module) -> list[SequenceModel] | None:
    """Return the members of an ensemble, or the model alone; None where one of them has no gradients by residue.

    These are those that are not a `SequenceModel`, and those that read what other models tell, which has no gradient.
    """
    members = list(model.members) if isinstance(model, Ensemble) else [model]
    found = [member for member in members if isinstance(member, SequenceModel)]
    found = [member for member in found if not isinstance(member.frontend, Trained)]
    return found if len(found) == len(members) else None


def by_residue(model: nn.Module, x: Tensor, lengths: Tensor) -> bool:
    """Return whether a protein x (1, T) can be explained: each member is a network with one feature vector a residue.

    The front end `variant` has one for each position of its reference, so a protein of another length cannot be.
    """
    members = networks(model)
    if members is None:
        return False
    with torch.no_grad():
        found = [member.frontend(x, lengths) for member in members]
    return all(features.shape[1] == x.shape[1] and int(steps[0]) == x.shape[1] for features, steps in found)


def integrate(model: nn.Module, x: Tensor, lengths: Tensor, baseline: str) -> Integral:
    """Return the integrated gradients of one protein.

    The integral is a Gauss-Legendre quadrature with the fewest of `STEPS` that is complete; an ensemble's weights and
    calibration enter by the chain rule.

    Parameters
    ----------
    model : one for which `by_residue` holds, in evaluation mode.
    x : int64 tensor (1, T) of tokens; lengths : int64 tensor (1,).
    baseline : an entry of `BASELINES`.
    """
    members = networks(model)
    assert members is not None  # `by_residue` holds
    for steps in STEPS:
        points, weights = np.polynomial.legendre.leggauss(steps)
        # the last two points are the ends of the path, with no weight in the integral
        alpha = torch.tensor([*(points + 1) / 2, 0.0, 1.0], dtype=torch.float32, device=x.device)
        share = torch.tensor([*weights / 2, 0.0, 0.0], dtype=torch.float64)
        # cuDNN has no backward pass of an RNN outside training
        with torch.backends.cudnn.flags(enabled=x.device.type != "cuda"):
            paths = [_path(member, x, lengths, alpha, BASELINES[baseline]) for member in members]
        values = torch.stack([path[0] for path in paths]).requires_grad_()  # (M, S, K)
        total = combine(model, values)  # (S, K)
        slopes = torch.autograd.grad(total.sum(), values)[0].double().cpu()
        rates = torch.stack([path[1].cpu() for path in paths])  # (M, S, K, T)
        scores = torch.einsum("s,msk,mskt->tk", share, slopes, rates).numpy()
        ends = total.detach().double().cpu().numpy()[-2:]
        if (gap_of(ends[1], ends[0], scores) <= COMPLETE).all():
            break
    own = torch.einsum("s,mskt->mtk", share, rates)
    spread = own.std(0, correction=0).numpy() if len(own) > 1 else None
    return Integral(ends[1], ends[0], scores, spread)


def _path(model: SequenceModel, x: Tensor, lengths: Tensor, alpha: Tensor, letters: str) -> tuple[Tensor, Tensor]:
    """Return a member's values (S, K) along the path, and the rate (S, K, T) at which each residue changes them."""
    plain = torch.from_numpy(tokens(letters)).long().to(x.device)[:, None].expand(-1, x.shape[1])  # (R, T)
    with torch.no_grad():
        start = model.frontend(plain, lengths.expand(len(letters)))[0].mean(0, keepdim=True)
        change = model.frontend(x, lengths)[0] - start  # (1, T, F)
    values, rates = [], []
    for part in alpha.split(max(1, TOKENS // x.shape[1])):
        features = (start + part[:, None, None] * change).requires_grad_()  # (S, T, F)
        outputs, _ = model.of_features(features, lengths.expand(len(part)))  # (S, K)
        grads = [torch.autograd.grad(column.sum(), features, retain_graph=True)[0] for column in outputs.unbind(1)]
        rates.append(torch.stack([(grad * change).double().sum(-1) for grad in grads], dim=1))
        values.append(outputs.detach())
    return torch.cat(values), torch.cat(rates)
