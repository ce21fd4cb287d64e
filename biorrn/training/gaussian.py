"""Train a Gaussian process: one fit in closed form, and the run folder of a model that is fitted at once."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch

from biorrn.config import GaussianProcess as Settings
from biorrn.config import Sites, Substitutions
from biorrn.encoders.consensus import consensus
from biorrn.encoders.residues import sequence
from biorrn.errors import ConfigError, InputError
from biorrn.models.gaussian import GaussianProcess, build_gaussian
from biorrn.models.gaussian_kernels import Setting
from biorrn.models.gaussian_substitutions import SubstitutionKernel
from biorrn.models.store import save_model
from biorrn.training.begin import Begun
from biorrn.training.checkpoint import write_history, write_provenance
from biorrn.training.gaussian_fit import fit_rows, fit_table, learn, set_unwarp, warp
from biorrn.training.learner import derive_seed
from biorrn.training.task import Task

MOST_SITES = 16  # that the kernel "sites" takes
ENCODED = 512  # rows encoded at a time
STRANGE = 0.5  # of the residues differ from the consensus: the rows are no variants of one protein
MOST_ROWS = 20_000  # of one target; their covariance then takes 3.2 GB


def run(begun: Begun, task: Task) -> None:
    """Fit a Gaussian process to the training rows and write the model folder.

    A finished run is left as it is; a run that was cut off begins anew. It computes on the CPU whatever the device.
    The validation rows are only scored. Chance, through the seed, has a part only in which rows the kernel learns from.

    Raises
    ------
    ConfigError: a kernel does not suit the data.
    InputError: too few or too many rows, or a target that the recipe's scale has no place for.
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
    }
    if len(setting.reference):
        facts.setdefault("reference", facts["gaussian"]["reference"])
    model = build_gaussian(settings, facts)
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
    said: str = "",
) -> None:
    """Score a model that was fitted at once, since `started` by the monotonic clock, and write its run folder.

    Parameters
    ----------
    steps, loss : of the fit, for the one row of history.tsv.
    said : str: stands in the line on standard error before the scores of the validation rows.
    """
    scores, valid_loss = validate(model, begun.data, task)
    seconds = time.monotonic() - started
    row = {"epoch": 0, "step": steps, "seconds": round(seconds, 2), "train_loss": loss}
    row |= {"valid_loss": valid_loss} | {f"valid_{name}": value for name, value in scores.items()}
    print(
        f"fitted: {said}{begun.scored} loss {valid_loss:.4f}, {task.monitor} {scores[task.monitor]:.4f}, "
        f"{seconds:.0f} s",
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
    """Return the consensus of the training rows and the positions that the kernel sees.

    Raises
    ------
    ConfigError: the rows are no variants of one protein, or vary at more positions than the kernel takes.
    """
    if settings.kernel.name in ("descriptors", "proteins"):
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
    """Return all rows as a kernel compares them."""
    parts = []
    for start in range(0, len(rows), ENCODED):
        batch = rows.collate(np.arange(start, min(start + ENCODED, len(rows))))
        parts.append(kernel.encode(batch.x, batch.lengths))
    return torch.cat(parts)


def _fit(model: GaussianProcess, settings: Settings, data: Any, source: str, seed: int) -> float:
    """Fit every target; return the mean loss of the kernels' last steps, in nats a row."""
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
    """Return the scores of the validation rows, and the mean square error in variances of the training targets."""
    collected, errors = [], []
    spread = np.maximum(np.nanstd(data.rows.targets, axis=0), 1e-6)
    with torch.inference_mode():
        for batch in data.valid():
            outputs, lengths = model.eval()(batch.x, batch.lengths)
            collected.append(task.collect(outputs, lengths, batch))
            errors.append((((collected[-1][0] - collected[-1][1]) / spread) ** 2).ravel())
    return task.score(collected), float(np.nanmean(np.concatenate(errors)))
