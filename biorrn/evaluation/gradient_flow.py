"""How far back a gradient reaches through a recurrent cell: the norm of d loss_T / d h_t against T - t.

The loss is read off the last state alone, loss_T = v . h_T with v a random unit vector, so that whatever reaches an
earlier state came through the recurrence: a product of one Jacobian a step, whose norm shrinks or grows like a power of
their singular values (Bengio, Simard and Frasconi 1994, IEEE Trans. Neural Networks 5:157; Pascanu, Mikolov and Bengio
2013, ICML 28:1310). h_t is all that a cell hands to its next step: of an LSTM the output and the memory. Identity
initialisation is that of Le, Jaitly and Hinton 2015, arXiv:1504.00941.

Clipping multiplies the whole gradient of the parameters by one number, min(1, bound / norm). Each step's part of it
shrinks alike, so a clipped gradient reaches no further than before; what clipping prevents is the far step of the
weights that one exploding gradient would cause.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.errors import ConfigError
from biorrn.evaluation.described import aligned_rows
from biorrn.files import write_text

HALF, HUNDREDTH = 0.5, 0.01  # of the largest norm of a curve
HEADER = ("panel", "name", "run", "steps_back", "norm", "clipped_norm")
COLUMNS = ("", "", "half", "1 %", "a step", "gradient", "clipped by")


class Reach(NamedTuple):
    """What one backward pass tells.

    Attributes
    ----------
    norms : float array (W,): norm of d loss_T / d h_t for T - t = 0, 1, ..., the median over rows.
    gradient : float: norm of the gradient of all parameters of the recurrence, of the mean loss of the rows.
    """

    norms: np.ndarray
    gradient: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The reach of one cell or layer.

    Attributes
    ----------
    panel, name : str: what it is drawn in, and as.
    runs : one entry a seed, or a member of an ensemble.
    """

    panel: str
    name: str
    runs: tuple[Reach, ...]

    def norms(self, clip: float = math.inf) -> np.ndarray:
        """Return the median over the runs, (W,), with gradients clipped at the norm `clip`."""
        return np.median([run.norms * share(run, clip) for run in self.runs], axis=0)

    def steps(self, part: float) -> int | None:
        """Return the steps back from which on the norm stays below `part` of its largest; None: never so far.

        >>> Curve("", "", (Reach(np.array([1.0, 2.0, 0.9, 0.2]), 1.0),)).steps(HALF)
        2
        """
        norms = self.norms()
        above = np.flatnonzero(~(norms <= part * norms.max()))
        return int(above[-1]) + 1 if above[-1] + 1 < len(norms) else None

    @property
    def rate(self) -> float:
        """By what the norm is multiplied a step back, as a geometric mean."""
        norms = self.norms()
        return float((norms[-1] / norms[0]) ** (1 / (len(norms) - 1)))


def share(run: Reach, clip: float) -> float:
    """Return what clipping at the norm `clip` multiplies every gradient by.

    >>> share(Reach(np.ones(2), 8.0), 2.0), share(Reach(np.ones(2), 1.0), 2.0)
    (0.25, 1.0)
    """
    return min(1.0, clip / run.gradient) if run.gradient > 0 else 1.0


def reach(
    cells: Sequence[nn.Module], x: Tensor, generator: torch.Generator, *, skip: bool = False, state: Any = None
) -> Reach:
    """Return how far the gradient of a loss at the last step reaches into the states of the first of stacked cells.

    Parameters
    ----------
    cells : called as `cell(x[, state])`, the first below; in the type of x.
    x : float tensor (B, T, F).
    generator : draws the read-out of each row.
    skip : bool: add a layer's input to its output where the widths agree.
    state : of the first cell before the first step; None is its own.
    """
    kept: list[tuple[Tensor, ...]] = []
    for number, cell in enumerate(cells):
        outputs = []
        for step in range(x.shape[1]):
            output, after = cell(x[:, step : step + 1]) if state is None else cell(x[:, step : step + 1], state)
            hidden, *memory = after if isinstance(after, tuple) else (after,)
            # one tensor for what goes up and what goes on, so that its gradient is that of both
            hidden = output.reshape(hidden.shape)
            state = (hidden, *memory) if memory else hidden
            if not number:
                kept.append((hidden, *memory))
            outputs.append(hidden.reshape(output.shape))
        above = torch.cat(outputs, dim=1)
        x = above + x if skip and above.shape == x.shape else above
        state = None
    readout = torch.randn(x[:, -1].shape, generator=generator, dtype=x.dtype)
    losses = (x[:, -1] * readout / readout.norm(dim=1, keepdim=True)).sum(1)  # (B, H) -> (B,)
    states = [part for parts in kept for part in parts]
    parameters = [parameter for cell in cells for parameter in cell.parameters()]
    found = torch.autograd.grad(losses.sum(), [*states, *parameters], allow_unused=True, materialize_grads=True)
    each, width = found[: len(states)], len(kept[0])
    norms = [
        torch.stack([part.transpose(0, 1).flatten(1).norm(dim=1) for part in each[place : place + width]]).norm(dim=0)
        for place in range(0, len(each), width)
    ]
    gradient = torch.stack([part.norm() for part in found[len(states) :]]).norm() / len(x)
    return Reach(torch.stack(norms).median(dim=1).values.flip(0).numpy(), float(gradient))


def write_curves(path: str | Path, curves: Sequence[Curve], clip: float) -> None:
    """Write a table: one row a curve, run and step back, with its norm before and after clipping."""
    with write_text(path) as stream:
        print(*HEADER, sep="\t", file=stream)
        for curve in curves:
            for number, run in enumerate(curve.runs):
                part = share(run, clip)
                for back, norm in enumerate(run.norms):
                    cells = (curve.panel, curve.name, number, back, f"{norm:.6g}", f"{part * norm:.6g}")
                    print(*cells, sep="\t", file=stream)


def curve_lines(curves: Sequence[Curve], clip: float) -> list[str]:
    """Return an aligned table: how many steps back the norm has fallen to half and to a hundredth, and its rate.

    `gradient` is the median norm of the gradient of the recurrence's parameters, and `clipped by` what clipping at
    `clip` divides it by, at every step alike.
    """
    rows: list[tuple[str, ...]] = [COLUMNS]
    for curve in curves:
        norms, gradient = curve.norms(), float(np.median([run.gradient for run in curve.runs]))
        never = f"> {len(norms) - 1}"
        by = float(np.median([1 / share(run, clip) for run in curve.runs]))
        steps = [never if (found := curve.steps(part)) is None else str(found) for part in (HALF, HUNDREDTH)]
        rows.append((curve.panel, curve.name, *steps, f"x {curve.rate:.3f}", f"{gradient:.2g}", f"{by:.2g}"))
    return aligned_rows(rows, left=(0, 1))


def check_clip(clip: float) -> None:
    """Raise ConfigError where gradients cannot be clipped at this norm."""
    if not clip > 0:
        raise ConfigError(f"--clip: found {clip:g}; allowed is a number above 0")
