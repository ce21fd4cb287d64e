"""Adapters of public trainers of protein models for bench_proteins.py; none is a dependency."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from measure import Clock

from biorrn.sequences.alphabets import sequence
from biorrn.stats.metrics import METRICS
from biorrn.training.batches import ProteinDataset

LETTERS = 21  # of biotrainer's one-hot code: the width of its LightAttention
TAPE_LAYERS = 3  # of each direction, as in its configuration


@dataclass
class Run:
    """One training from scratch: data, epochs, and the clock that runs during training."""

    path: Path  # prepared file
    train: ProteinDataset
    valid: ProteinDataset
    epochs: int
    batch_size: int
    lr: float  # of the peers; a recipe has its own
    seed: int
    clock: Clock = field(default_factory=Clock)
    parameters: int = 0  # numbers learned; the contender fills it in

    def spearman(self, predicted: np.ndarray) -> float:
        """Return the rank correlation of predictions (N,) with the validation rows."""
        return METRICS["spearman"](self.valid.targets[:, 0], predicted)


Contender = Callable[[Run], float]  # trains and returns the Spearman correlation on the validation rows


def tape_lstm(width: int, folder: str | None = None) -> Contender:
    """Return a trainer of TAPE's LSTM (Rao et al. 2019): AdamW, all data padded once, random batches.

    Parameters
    ----------
    width : int: units per direction.
    folder : folder of the package `tape`, if it is not installed.

    Raises
    ------
    ImportError: the package is not found.
    """
    if folder:
        sys.path.append(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = import_module("tape.models.modeling_lstm")

    def run(job: Run) -> float:
        torch.manual_seed(job.seed)
        config = module.ProteinLSTMConfig(hidden_size=width, num_hidden_layers=TAPE_LAYERS)
        model = module.ProteinLSTMForValuePrediction(config)
        job.parameters = sum(p.numel() for p in model.parameters())
        optimizer = torch.optim.AdamW(model.parameters(), lr=job.lr)
        rows = job.train.collate(range(len(job.train)))
        assert rows.targets is not None
        shift, scale = rows.targets.mean(), rows.targets.std()
        targets = (rows.targets - shift) / scale
        for _ in range(job.epochs):
            model.train()
            for chosen in job.clock.over(torch.randperm(len(rows)).split(job.batch_size)):
                x = rows.x[chosen, : int(rows.lengths[chosen].max())]
                loss = model(x, input_mask=(x != 0).long(), targets=targets[chosen])[0]
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        x = job.valid.collate(range(len(job.valid))).x
        with torch.inference_mode():
            parts = [model.eval()(part, input_mask=(part != 0).long())[0] for part in x.split(512)]
        return job.spearman(torch.cat(parts).flatten().numpy())

    return run


class Timed:
    """A data loader whose clock runs during iteration."""

    def __init__(self, loader: Any, clock: Clock) -> None:
        self.loader, self.clock = loader, clock

    def __iter__(self) -> Iterator[Any]:
        return self.clock.over(iter(self.loader))

    def __len__(self) -> int:
        return len(self.loader)


def light_attention() -> Contender:
    """Return a trainer of biotrainer's LightAttention (Stärk et al. 2021) on one-hot, with its own training loop.

    It is built as in its pipeline; the encoding is done before the clock starts, as its embedding is.

    Raises
    ------
    ImportError: the package is not found.
    """
    parts = SimpleNamespace(
        **{name: import_module(f"biotrainer.{name}") for name in ("datasets", "losses", "models", "optimizers")},
        solvers=import_module("biotrainer.solvers"),
        protocols=import_module("biotrainer.protocols"),
        embed=import_module("biotrainer.embedders.predefined_embedders.one_hot_encoding_embedder"),
    )
    logging.getLogger("biotrainer").setLevel(logging.WARNING)
    protocol = parts.protocols.Protocol.residues_to_value
    embedder = parts.embed.OneHotEncodingEmbedder()

    def samples(rows: ProteinDataset, shift: float, scale: float) -> Iterable[Any]:
        values = torch.from_numpy((rows.targets[:, 0] - shift) / scale)
        for place in range(len(rows)):
            code = embedder._embed_single(sequence(rows.tokens(place)))
            yield SimpleNamespace(seq_id=str(place), embedding=code, target=values[place])

    def run(job: Run) -> float:
        torch.manual_seed(job.seed)
        shift, scale = float(job.train.targets.mean()), float(job.train.targets.std())
        collate = parts.datasets.get_embeddings_collate_function(protocol)
        train, valid = (
            torch.utils.data.DataLoader(
                parts.datasets.get_dataset(list(samples(rows, shift, scale)), False, False, None, None),
                batch_size=job.batch_size,
                shuffle=shuffle,
                collate_fn=collate,
            )
            for rows, shuffle in ((job.train, True), (job.valid, False))
        )
        model = parts.models.get_model(protocol, "LightAttention", n_classes=1, n_features=LETTERS)
        job.parameters = sum(p.numel() for p in model.parameters())
        solver = parts.solvers.get_solver(
            protocol,
            "benchmark",
            network=model,
            optimizer=parts.optimizers.get_optimizer(protocol, "adam", model.parameters(), job.lr),
            loss_function=parts.losses.get_loss(protocol, "mean_squared_error", "cpu"),
            device="cpu",
            number_of_epochs=job.epochs,
            patience=job.epochs,
            epsilon=1e-3,
            n_classes=1,
        )
        solver.train(Timed(train, job.clock), valid)
        found = solver.inference(valid)["mapped_predictions"]
        return job.spearman(np.array([found[str(place)] for place in range(len(job.valid))], np.float32))

    return run


def available(makers: dict[str, Callable[[], Contender]]) -> tuple[dict[str, Contender], list[str]]:
    """Return the installed peers, and for each other one a line with the reason."""
    made: dict[str, Contender] = {}
    missing: list[str] = []
    for name, make in makers.items():
        try:
            made[name] = make()
        except ImportError as error:
            missing.append(f"# {name}: left out, {error}; see benchmarks/peers.txt")
    return made, missing


def versions(*packages: str) -> str:
    """Return the versions of the installed ones of these packages."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except ModuleNotFoundError:
            continue
    return ", ".join(found)
