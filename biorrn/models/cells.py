"""Recurrent cells that torch does not have, in the form of its own: `cell(x[, state]) -> (outputs, state)`.

What the input says is one product over all steps; what runs over the steps is a kernel of `kernels.gated` or
`kernels.mingru`. `cells_reference` holds the equations of each, one a line, with the same names of parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn.kernels.gated import gated_recurrence
from biorrn.kernels.mingru import mingru


class IRNN(nn.RNN):
    """The identity RNN of Le et al. 2015: ReLU; `recurrent.initialise` sets its recurrent matrix to the identity."""

    def __init__(self, input_size: int, hidden_size: int, batch_first: bool = False) -> None:
        super().__init__(input_size, hidden_size, nonlinearity="relu", batch_first=batch_first)


class Cell(nn.Module):
    """What the cells below share: parameters under torch's names, the order of axes, the first state.

    Parameters
    ----------
    input_size, hidden_size : int: features of a step that come in, and units.
    batch_first : bool: x is (B, T, F), not (T, B, F); so are the outputs. States are (1, B, H), as torch's.
    """

    gates = 3  # parts of H rows in weight_ih_l0 and bias_ih_l0
    recurrent = 3  # in weight_hh_l0; 0 is none

    def __init__(self, input_size: int, hidden_size: int, batch_first: bool = False) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.batch_first = input_size, hidden_size, batch_first
        self.weight_ih_l0 = nn.Parameter(torch.empty(self.gates * hidden_size, input_size))
        if self.recurrent:
            self.weight_hh_l0 = nn.Parameter(torch.empty(self.recurrent * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(self.gates * hidden_size))
        bound = 1 / math.sqrt(hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return outputs (B, T, H), in the type of the weights, and the last state (1, B, H)."""
        kind = self.weight_ih_l0.dtype
        start = x.new_zeros(x.shape[0 if self.batch_first else 1], self.hidden_size) if state is None else state[0]
        time_first = x.transpose(0, 1) if self.batch_first else x
        outputs = self.run(time_first, _wide(start)).to(kind)  # (T, B, H)
        last = outputs[-1] if len(outputs) else start.to(kind)
        return outputs.transpose(0, 1) if self.batch_first else outputs, last[None]

    def run(self, x: Tensor, start: Tensor) -> Tensor:
        """Return the states (T, B, H) from x (T, B, F) and the state before the first, (B, H), float32 or wider."""
        raise NotImplementedError

    def sums(self, x: Tensor, biased: bool = True) -> tuple[Tensor, ...]:
        """Return what the input says to each gate, (T, B, H) each."""
        found = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 if biased else None)
        return _wide(found).chunk(self.gates, -1)

    def matrices(self) -> tuple[Tensor, ...]:
        """Return the recurrent matrices (H, H)."""
        return _wide(self.weight_hh_l0).chunk(self.recurrent)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


def _wide(x: Tensor) -> Tensor:
    """Return half types as float32: a state that is added to at every step needs more than their digits."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class SimpleGRU(Cell):
    """A GRU with its update gate only: nothing is reset. Rows of both weights: update z, candidate c."""

    gates = recurrent = 2

    def run(self, x: Tensor, start: Tensor) -> Tensor:
        (update, candidate), (uz, uc) = self.sums(x), self.matrices()
        return gated_recurrence(update, None, candidate, (uz, None, uc), start)


class MUT1(Cell):
    """MUT1 of Jozefowicz et al. 2015. Rows of the input: update z, reset r, candidate c; of the state: r, c."""

    recurrent = 2

    def run(self, x: Tensor, start: Tensor) -> Tensor:
        update, reset, seen = self.sums(x, biased=False)
        bias_z, bias_r, bias_c = _wide(self.bias_ih_l0).chunk(3)
        ur, uc = self.matrices()
        return gated_recurrence(update + bias_z, reset + bias_r, seen.tanh() + bias_c, (None, ur, uc), start)


class MUT2(Cell):
    """MUT2 of Jozefowicz et al. 2015. Rows of both weights: update z, reset r, candidate c."""

    squash = False

    def run(self, x: Tensor, start: Tensor) -> Tensor:
        (update, reset, candidate), (uz, ur, uc) = self.sums(x), self.matrices()
        return gated_recurrence(update, reset, candidate, (uz, ur, uc), start, self.squash)


class MUT3(MUT2):
    """MUT3 of Jozefowicz et al. 2015: as MUT2, its update gate reads tanh(h)."""

    squash = True


class MinGRU(Cell):
    """The minimal GRU of Feng et al. 2024, "Were RNNs all we needed?": gate and candidate see the input alone.

    So the state is a linear recurrence, done for all steps at once. This is the paper's plain form, with a candidate
    that is linear; its form in logarithms, which keeps the candidate positive, serves a scan that divides by products.
    Rows of the weight: update z, candidate c.
    """

    gates, recurrent = 2, 0
    implementation: str | None = None  # of `kernels.mingru`; None: by the device

    def run(self, x: Tensor, start: Tensor) -> Tensor:
        # rows first: the scan takes them one by one
        states = mingru(x.transpose(0, 1), self.weight_ih_l0, self.bias_ih_l0, start, self.implementation)
        return states.transpose(0, 1)
