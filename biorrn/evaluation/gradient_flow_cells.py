"""How far back the gradient reaches in untrained cells, by initialisation, alone and stacked: see `gradient_flow`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.datasets.prepare import ProteinFile, SignalFile
from biorrn.encoders.residues import STANDARD
from biorrn.errors import ConfigError, InputError
from biorrn.evaluation.gradient_flow import Curve, reach
from biorrn.lookup import lookup
from biorrn.models.recurrent import CELLS, Layer

ROWS = 16  # sequences a curve is the median of
RANDOM = "random"  # in place of a file: random residues
SMALL, LARGE = 0.5, 1.5  # gains of the recurrent matrices


def _scaled(gain: float) -> Callable[[Tensor], Any]:
    return lambda gate: gate.mul_(gain)


def set_recurrent(cell: nn.Module, init: str) -> bool:
    """Change the recurrent matrix of each gate, (H, H), to an entry of `INITS`; tell whether the cell has any."""
    change = lookup(INITS, init, "--init")
    matrices = [weight for name, weight in cell.named_parameters() if name.startswith("weight_hh")]
    with torch.no_grad():
        for matrix in matrices:
            for gate in matrix.split(matrix.shape[1]):
                change(gate)
    return bool(matrices)


def random_steps(rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Return random residues, one-hot: float64 (rows, length, 20)."""
    drawn = torch.randint(len(STANDARD), (rows, length), generator=generator)
    return nn.functional.one_hot(drawn, len(STANDARD)).double()


def prepared_steps(path: str | Path, rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Return stretches of a prepared file: residues one-hot, or current, float64 (B, W, F).

    W is `length`, or where fewer than `rows` sequences are as long, the longest that so many reach.

    Raises
    ------
    InputError: no prepared file of proteins or signal, or it holds no sequence of two steps.
    """
    try:
        opened: ProteinFile | SignalFile = SignalFile(path)
    except InputError:
        opened = ProteinFile(path)
    with opened as file:
        offsets = file.file["signal_offsets" if isinstance(file, SignalFile) else "offsets"][:]
        sizes = np.diff(offsets)
        width = int(min(length, np.sort(sizes)[-min(rows, len(sizes)) :].min())) if len(sizes) else 0
        if width < 2:
            raise InputError(path, "holds no sequence of two steps or more")
        fitting = np.flatnonzero(sizes >= width)
        chosen = fitting[torch.randperm(len(fitting), generator=generator)[:rows].numpy()]
        if isinstance(file, SignalFile):
            return torch.stack([torch.from_numpy(file.signal(row)[-width:]).double()[:, None] for row in chosen])
        tokens = np.stack([file.tokens(row)[-width:] for row in chosen]).astype(np.int64)
    tokens = np.where((tokens > 0) & (tokens <= len(STANDARD)), tokens, 1)
    return nn.functional.one_hot(torch.from_numpy(tokens) - 1, len(STANDARD)).double()


def cell_curves(
    names: Sequence[str],
    *,
    length: int,
    hidden: int,
    seeds: int,
    layers: int,
    inits: Sequence[str],
    source: str = RANDOM,
    advance: Callable[[int], None] = lambda done: None,
) -> list[Curve]:
    """Return the curves of untrained cells: one layer by each initialisation, then a stack without and with skips.

    Parameters
    ----------
    names : of `CELLS`.
    length : int: steps; hidden : int: units; seeds : int: of first weights and inputs.
    layers : int: of the stack, whose states are those of the first layer; 1 is no stack.
    inits : of `INITS`. A cell without a recurrent matrix has only the default.
    source : "random" for random residues, or the path of a prepared file.
    advance : called with 1 after each backward pass.

    Raises
    ------
    ConfigError: an unknown name, or a number out of range.
    InputError: the prepared file cannot be used.
    """
    check(cells=names, init=inits, length=length, hidden=hidden, seeds=seeds, layers=layers)
    settings = [(init, init, 1, False) for init in inits]
    if layers > 1:
        settings += [(words, inits[0], layers, bool(words)) for words in ("", "skip")]
    found = []
    for panel, init, depth, skip in settings:
        if depth > 1:
            panel = f"{depth} layers" + (", skip connections" if skip else "")
        for name in names:
            runs = []
            for seed in range(seeds):
                generator = torch.Generator().manual_seed(seed)
                steps = random_steps if source == RANDOM else partial(prepared_steps, source)
                x = steps(ROWS, length, generator)
                cells = fresh(name, x.shape[-1], hidden, depth, seed)
                if all([set_recurrent(cell, init) for cell in cells]) or init == "default":
                    runs.append(reach(cells, x, generator, skip=skip))
                advance(1)
            found += [Curve(panel, name, tuple(runs))] if runs else []
    return found


def passes(names: Sequence[str], inits: Sequence[str], seeds: int, layers: int) -> int:
    """Return how many backward passes `cell_curves` makes."""
    return len(names) * seeds * (len(inits) + (2 if layers > 1 else 0))


def check(*, cells: Sequence[str], init: Sequence[str], **numbers: int) -> None:
    """Raise ConfigError where an option is not in its table or its range."""
    for name in cells:
        lookup(CELLS, name, "--cells")
    for name in init:
        lookup(INITS, name, "--init")
    least = {"length": 2}
    for option, value in numbers.items():
        if value < least.get(option, 1):
            raise ConfigError(f"--{option}: found {value}; allowed is {least.get(option, 1)} or more")


def fresh(name: str, inputs: int, hidden: int, layers: int, seed: int) -> list[nn.Module]:
    """Return stacked cells as a training begins with them, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = [inputs, *[hidden] * (layers - 1)]
        return [Layer(name, width, hidden, "f").cells[0].double() for width in widths]


INITS: dict[str, Callable[[Tensor], Any]] = {
    "default": lambda gate: gate,  # as `biorrn train` begins
    "orthogonal": nn.init.orthogonal_,
    "identity": nn.init.eye_,
    "small": _scaled(SMALL),
    "large": _scaled(LARGE),
}
