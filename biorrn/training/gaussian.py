"""Training of a Gaussian process: target scale, kernel by marginal likelihood, posterior in closed form, run folder."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import GaussianProcess as Settings
from biorrn.config.recipe import Sites, Substitutions
from biorrn.nn.gaussian.kernels import Setting
from biorrn.nn.gaussian.model import KNOTS, GaussianProcess, RowsPosterior, TablePosterior, Unwarp
from biorrn.nn.gaussian.proteins import EmbeddingKernel, ProteinKernel
from biorrn.nn.gaussian.substitutions import SubstitutionKernel
from biorrn.nn.store import save_model
from biorrn.nn.told import told
from biorrn.sequences.alphabets import consensus, sequence
from biorrn.training.checkpoint import write_history, write_provenance
from biorrn.training.learner import derive_seed
from biorrn.training.loop import Begun
from biorrn.training.task import Task, shown_score

JITTER = 1e-6  # added to the diagonal of a covariance
PRIOR = 3.0  # standard deviation of the prior of each learned logarithm, around its initial value
FIRST_NOISE = 0.1  # initial variance of the noise, on the standardised scale
BEYOND = 1.0  # standard deviations beyond the training targets covered by the knots of the map back
FLATTEST = 1e-3  # least slope of the map back at tied targets, relative to its mean slope
BLOCK = 512  # rows of a block of the covariance
PLACES = 24  # positions whose substitutions are one block


@dataclass(frozen=True, slots=True)
class Scale:
    """The rising map between the working scale (`knots`, in standard deviations) and the targets (`values`)."""

    knots: np.ndarray  # (KNOTS,), on the working scale
    values: np.ndarray  # (KNOTS,), in the target's unit

    def forward(self, value: float) -> float:
        """Return a target on the working scale, clamped to the knots."""
        return float(np.interp(value, self.values, self.knots))


def warp(targets: np.ndarray, settings: Settings, source: str = "targets") -> tuple[np.ndarray, Scale]:
    """Return targets (N,) on the working scale, with mean 0 and standard deviation 1, and the map back.

    Raises
    ------
    InputError: warp log, and a target is not above the negative of the offset.
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
        spread = 1.0  # constant targets
    values = (curved - mean) / spread
    if settings.warp == "rank":
        # tied targets share a rank, so the curve through distinct targets rises
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
    """Set the map from the working scale to the target's unit."""
    module.x.copy_(torch.from_numpy(scale.knots))
    module.y.copy_(torch.from_numpy(scale.values))


def learn(
    kernel: Any, codes: Tensor, values: Tensor, noise: Tensor, settings: Settings, seed: int
) -> tuple[float, float]:
    """Fit a kernel by the marginal likelihood of random rows (Adam); return the log of the noise and the last loss.

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

    def loss_of_drawn() -> Tensor:
        drawn = kernel.draw(codes, settings.rows, generator)
        factor = _cholesky(kernel.gram(codes[drawn], codes[drawn]), log_noise.exp() * noise[drawn])
        wanted = values[drawn][:, None]
        fit = (wanted * torch.cholesky_solve(wanted, factor)).sum() / 2 + factor.diagonal().log().sum()
        pull = sum(((now - start) / PRIOR).square().sum() for now, start in zip(learned, starts, strict=True)) / 2
        loss: Tensor = fit / len(drawn) + pull / len(codes) + np.log(2 * np.pi) / 2
        return loss

    for step in range(steps):
        optimiser.param_groups[0]["lr"] = settings.lr * (1 - step / steps)
        loss = loss_of_drawn()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    kernel.requires_grad_(False)
    if not losses:  # too few rows to learn from
        with torch.no_grad():
            losses.append(loss_of_drawn().item())
    return log_noise.item(), float(np.mean(losses[-10:]))


def fit_rows(part: RowsPosterior, codes: Tensor, values: Tensor, noise: Tensor) -> None:
    """Solve for the weights of the training rows, and choose the pivot rows of the variance."""
    if isinstance(part.kernel, ProteinKernel | EmbeddingKernel):
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
    left = []
    for at in torch.arange(len(kernel.positions)).split(PLACES):
        rows, before = kernel.singles(at)
        solved = torch.linalg.solve_triangular(factor, kernel.gram(codes, rows), upper=False)
        left.append((before - solved.square().sum(0)).clamp(min=0))
    variances = torch.cat(left).view(part.variances.shape)
    part.variances.copy_(variances)
    kept = kernel.reference[kernel.positions]
    part.base[1] = variances[0, kept[0]]


def _covariance(kernel: Any, codes: Tensor) -> Tensor:
    """Return the covariance of rows, in blocks, since a kernel needs several times the memory of its result."""
    found = torch.empty(len(codes), len(codes), dtype=torch.float64)
    for start in range(0, len(codes), BLOCK):
        found[start : start + BLOCK] = kernel.gram(codes[start : start + BLOCK], codes)
    return found


def _cholesky(covariance: Tensor, noise: Tensor) -> Tensor:
    return torch.linalg.cholesky(covariance + torch.diag(noise + JITTER))


def _pivots(covariance: Tensor, noise: Tensor, count: int) -> Tensor:
    """Return the first `count` pivots of a pivoted Cholesky decomposition."""
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
        left[pivot] = -1.0  # not again
    return torch.tensor(chosen)


MOST_SITES = 16  # of the kernel "sites"
ENCODED = 512  # rows of a block in encoding
STRANGE = 0.5  # median fraction of residues that differ from the consensus above which rows are not of one protein
MOST_ROWS = 20_000  # of one target; their covariance takes 3.2 GB


def run(begun: Begun, task: Task) -> None:
    """Fit a Gaussian process to the training rows and write the model folder.

    A finished run is not repeated; an interrupted run starts from scratch. It computes on the CPU whatever the device.
    The validation rows are only scored. The seed affects only the choice of rows from which the kernel learns.

    Raises
    ------
    ConfigError: the kernel does not suit the data.
    InputError: too few or too many rows, or a target outside the domain of the recipe's warp.
    """
    recipe, settings = begun.recipe, begun.recipe.model
    assert isinstance(settings, Settings)
    data: Any = begun.data
    started = time.monotonic()
    setting = setting_of(settings, data.rows)
    rows = [int(count) for count in np.isfinite(data.rows.targets).sum(0)]
    for name, count in zip(data.rows.names, rows, strict=True):
        if not 2 <= count <= MOST_ROWS:
            raise InputError(
                begun.source, f"target '{name}': {count} training rows; a Gaussian process takes 2..20,000"
            )
    facts = data.facts | {
        "gaussian": {
            "reference": sequence(setting.reference.numpy().astype(np.uint8)),
            "positions": (setting.positions + 1).tolist(),
            "rows": rows,
        }
        | ({} if setting.told is None else {"told": setting.told.shape[-1]})
    }
    if len(setting.reference):
        facts.setdefault("reference", facts["gaussian"]["reference"])
    model = GaussianProcess(settings, setting, rows)
    print(f"training {recipe.name}: a Gaussian process on {max(rows):,} rows", file=sys.stderr)
    loss = _fit(model, settings, data, begun.source, begun.seed)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    write_fit(begun, task, model, facts, started, settings.steps, parameters, loss, f"loss {loss:.4f}, ")


def write_fit(
    begun: Begun,
    task: Task,
    model: torch.nn.Module,
    facts: dict[str, Any],
    started: float,
    steps: int,
    parameters: int,
    loss: float,
    detail: str = "",
) -> None:
    """Score a model fitted without epochs and write its run folder.

    Parameters
    ----------
    started : float: start of the fit by the monotonic clock, seconds.
    steps, loss : of the fit, for the row of history.tsv.
    detail : str: printed before the validation scores.
    """
    scores, valid_loss = validate(model, begun.data, task)
    seconds = time.monotonic() - started
    row = {"epoch": 0, "step": steps, "seconds": round(seconds, 2), "train_loss": loss}
    row |= {"valid_loss": valid_loss} | {f"valid_{name}": value for name, value in scores.items()}
    print(
        f"fitted: {detail}{begun.scored} loss {valid_loss:.4f}, {shown_score(task, scores)}, {seconds:.0f} s",
        file=sys.stderr,
    )
    write_history(begun.folder, [row])
    save_model(begun.folder, model.eval(), begun.recipe, facts)
    write_provenance(
        begun.folder,
        {
            **begun.facts(),
            "device": "cpu",
            "precision": "64",
            "parameters": parameters,
            "seconds": round(seconds, 1),
            "rate": {"value": round(begun.data.training_size / max(seconds, 1e-9), 1), "unit": f"{task.unit}/s"},
            "best": {"epoch": 0, "metric": begun.metric(task), "value": scores[task.monitor]},
        },
    )


def setting_of(settings: Settings, rows: Any) -> Setting:
    """Return the consensus of the training rows and the positions that the kernel compares.

    Raises
    ------
    ConfigError: the rows are not variants of one protein, or vary at more positions than the kernel allows.
    """
    if settings.kernel.name in ("descriptors", "proteins", "embeddings"):
        return Setting(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    reference = torch.from_numpy(consensus(rows.flat, rows.lengths)).long()
    every = Setting(reference, torch.arange(len(reference)))
    codes = encode_rows(SubstitutionKernel(Substitutions(), every), rows)
    differs = codes != reference
    if float(differs.double().mean(1).median()) > STRANGE:
        raise ConfigError(
            f"kernel '{settings.kernel.name}': the training rows are not variants of one protein: half of them differ "
            f"from the commonest residues at {100 * float(differs.double().mean(1).median()):.0f} % of the positions"
        )
    if isinstance(settings.kernel, Substitutions) and settings.kernel.effects is not None:
        return replace(every, told=torch.from_numpy(told(settings.kernel.effects, reference.numpy().astype(np.uint8))))
    if not isinstance(settings.kernel, Sites):
        return every
    if settings.kernel.positions is not None:
        positions = torch.tensor(settings.kernel.positions) - 1
        if len(positions) == 0 or int(positions.min()) < 0 or int(positions.max()) >= len(reference):
            raise ConfigError(
                f"kernel 'sites': positions: found {settings.kernel.positions}; allowed is 1..{len(reference)}"
            )
    else:
        positions = differs.any(0).nonzero()[:, 0]
    if not 1 <= len(positions) <= MOST_SITES:
        raise ConfigError(
            f"kernel 'sites': {len(positions)} positions vary; allowed is 1..{MOST_SITES}; kernel 'substitutions' "
            "takes any number"
        )
    return Setting(reference, positions)


def encode_rows(kernel: Any, rows: Any) -> torch.Tensor:
    """Return the codes of all rows."""
    parts = []
    for start in range(0, len(rows), ENCODED):
        batch = rows.collate(np.arange(start, min(start + ENCODED, len(rows))))
        parts.append(kernel.encode(batch.x, batch.lengths))
    return torch.cat(parts)


def _fit(model: GaussianProcess, settings: Settings, data: Any, source: str, seed: int) -> float:
    """Fit every target; return the mean loss of the kernels, in nats a row."""
    codes = encode_rows(model.targets[0][0].kernel, data.rows)  # type: ignore[index]
    losses = []
    for k, name in enumerate(data.rows.names):
        measured = data.rows.targets[:, k].astype(np.float64)
        there = np.isfinite(measured)
        held, weights = codes[torch.from_numpy(there)], data.rows.weights[there].astype(np.float64)
        values, scale = warp(measured[there], settings, f"{source}: target '{name}'")
        set_unwarp(model.unwarp[k], scale)  # type: ignore[arg-type]
        anchor = getattr(settings.kernel, "reference_value", None)
        parts: Any = model.targets[k]
        for place, part in enumerate(parts):
            kernel = part.kernel
            kernel.settle(held)
            wanted = torch.from_numpy(values) + settings.cost * kernel.cost(held)
            noise = torch.from_numpy(1 / np.maximum(weights, 1e-6))
            given, target = held, wanted
            if anchor is not None:
                given = torch.cat([held, kernel.reference[kernel.positions][None]])
                target = torch.cat([wanted, torch.tensor([scale.forward(anchor)])])
                noise = torch.cat([noise, noise.new_tensor([0.1])])
            log_noise, loss = learn(kernel, given, target, noise, settings, derive_seed(seed + 1000 * place))
            fit = fit_table if isinstance(kernel, SubstitutionKernel) else fit_rows
            fit(part, given, target, noise * float(np.exp(log_noise)))
            losses.append(loss)
    return float(np.mean(losses))


def validate(model: torch.nn.Module, data: Any, task: Task) -> tuple[dict[str, float], float]:
    """Return validation scores, and the mean square error relative to the variance of the training targets."""
    collected, errors = [], []
    spread = np.maximum(np.nanstd(data.rows.targets, axis=0), 1e-6)
    with torch.inference_mode():
        for batch in data.valid():
            outputs, lengths = model.eval()(batch.x, batch.lengths)
            collected.append(task.collect(outputs, lengths, batch))
            errors.append((((collected[-1][0] - collected[-1][1]) / spread) ** 2).ravel())
    return task.score(collected), float(np.nanmean(np.concatenate(errors)))
