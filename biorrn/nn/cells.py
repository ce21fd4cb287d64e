"""Recurrent cells, the table `CELLS` that names them, and the recurrent core: stacked layers of one cell.

The core maps `(x, lengths)` to `(x, lengths)`, for proteins and for signal. Sequences are not packed: a backward layer
reverses each row within its own length, so that padding always follows the valid steps and cannot affect them. The
results equal those of packed sequences, and the fused kernels of torch can be used.

To add a cell: its class here, its entry in `CELLS`, its equations in `REFERENCES` of `nn.cells_reference`, and its name
in the `Literal` of `Core.cell` in `config.network`, which lists the names because recipes are read without torch.
`tests/unit/nn/test_cells.py` runs every entry.

Dropout of weights and of whole features follows Merity, Keskar and Socher 2018 (ICLR, Regularizing and Optimizing LSTM
Language Models) and Gal and Ghahramani 2016 (NIPS, 1019-1027).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from biorrn.config import recipe as config
from biorrn.kernels.gated import gated_recurrence
from biorrn.kernels.mingru import mingru
from biorrn.nn.batch import valid


class IRNN(nn.RNN):
    """The identity RNN of Le et al. 2015: ReLU; `initialise` sets its recurrent matrix to the identity."""

    def __init__(self, input_size: int, hidden_size: int, batch_first: bool = False) -> None:
        super().__init__(input_size, hidden_size, nonlinearity="relu", batch_first=batch_first)


class Cell(nn.Module):
    """Base class of the cells below: parameters with torch's names, order of axes, initial state.

    Parameters
    ----------
    input_size, hidden_size : int: input features of a step, and units.
    batch_first : bool: x and outputs are (B, T, F) instead of (T, B, F). States are (1, B, H), as in torch.
    """

    gates = 3  # blocks of H rows in weight_ih_l0 and bias_ih_l0
    recurrent = 3  # blocks of H rows in weight_hh_l0; 0: there is no weight_hh_l0

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
        """Return outputs (B, T, H), in the dtype of the weights, and the last state (1, B, H)."""
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
        """Return the input's part of each gate's sum, (T, B, H) each."""
        found = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 if biased else None)
        return _wide(found).chunk(self.gates, -1)

    def matrices(self) -> tuple[Tensor, ...]:
        """Return the recurrent matrices (H, H)."""
        return _wide(self.weight_hh_l0).chunk(self.recurrent)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


def _wide(x: Tensor) -> Tensor:
    """Return half precision as float32: a state that accumulates over steps needs the extra digits."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class SimpleGRU(Cell):
    """A GRU without a reset gate. Rows of both weights: update z, candidate c."""

    gates = recurrent = 2

    def run(self, x: Tensor, start: Tensor) -> Tensor:
        (update, candidate), (uz, uc) = self.sums(x), self.matrices()
        return gated_recurrence(update, None, candidate, (uz, None, uc), start)


class MUT1(Cell):
    """MUT1 of Jozefowicz et al. 2015. Rows of the input weights: update z, reset r, candidate c; of the state: r, c."""

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
    """MUT3 of Jozefowicz et al. 2015: MUT2 whose update gate reads tanh(h)."""

    squash = True


class MinGRU(Cell):
    """The minimal GRU of Feng et al. 2024, "Were RNNs all we needed?": gate and candidate depend on the input alone.

    The state is a linear recurrence, computed for all steps at once by a scan. This is the paper's plain form, with a
    linear candidate, not its form in log space. Rows of the weight: update z, candidate c.
    """

    gates, recurrent = 2, 0
    implementation: str | None = None  # of `kernels.mingru`; None: chosen by the device

    def run(self, x: Tensor, start: Tensor) -> Tensor:
        # batch first: the scan runs row by row
        states = mingru(x.transpose(0, 1), self.weight_ih_l0, self.bias_ih_l0, start, self.implementation)
        return states.transpose(0, 1)


IDENTITY_INPUT = 0.001  # standard deviation of an identity RNN's initial input weights


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Return x (B, T, F) with the valid steps of each row in reverse order and padding left in place."""
    if x.device.type == "cpu" and bool((lengths == x.shape[1]).all()):  # several times faster, also in backward
        return x.flip(1)
    rows, time = x.shape[:2]
    steps = torch.arange(time, device=x.device)[None, :]
    index = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)  # (B, T)
    index = index + time * torch.arange(rows, device=x.device)[:, None]
    found: Tensor = _Reorder.apply(x, index.flatten())
    return found


class _Reorder(torch.autograd.Function):
    """Reorder the steps of all rows by a permutation that is its own inverse, so that the gradient does the same.

    Whole steps are copied in forward and backward. `gather` copies single features, and its gradient is a scatter: six
    times slower on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return x.flatten(0, 1).index_select(0, index).view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return _Reorder.apply(gradient, index), None


def initialise(cell: nn.Module) -> None:
    """Initialise a cell: orthogonal recurrent weights a gate (Saxe et al. 2014), Glorot input weights, zero biases.

    The forget gate of an LSTM starts with bias 1 (Jozefowicz et al. 2015). An identity RNN starts with the identity and
    small input weights, so that it sums its input: with larger ones its unbounded state grows (Le et al. 2015).
    """
    hidden = cast(int, cell.hidden_size)
    identity = isinstance(cell, IRNN)
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            if name.startswith("weight_hh"):
                for gate in weight.split(hidden):
                    nn.init.eye_(gate) if identity else nn.init.orthogonal_(gate)
            elif name.startswith("weight_ih"):
                for gate in weight.split(hidden):
                    nn.init.normal_(gate, std=IDENTITY_INPUT) if identity else nn.init.xavier_uniform_(gate)
            else:
                weight.zero_()
        if isinstance(cell, nn.LSTM):
            cast(Tensor, cell.bias_ih_l0)[hidden : 2 * hidden] = 1.0


RECURRENT = "weight_hh"  # prefix of the names of hidden-to-hidden matrices


class SharedDropout(nn.Dropout):
    """Dropout of what all rows of a batch share, such as weights; processes that share a batch use the same mask."""


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps of a row; ordinary dropout of tensors without steps."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 3 or not self.training or self.drop.p == 0:
            return self.drop(x)  # type: ignore[no-any-return]
        return x * self.drop(x.new_ones(x.shape[0], 1, x.shape[2]))  # type: ignore[no-any-return]


def lock(model: nn.Module) -> None:
    """Replace every plain `nn.Dropout` of a model by `LockedDropout`."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, LockedDropout(child.p))


def run_cell(cell: nn.Module, x: Tensor, state: Any, drop: nn.Dropout) -> tuple[Tensor, Any]:
    """Return outputs and final state of a cell with dropout of its hidden-to-hidden weights.

    The cell's own kernel runs over all steps; it is fused for the cells of torch.

    Parameters
    ----------
    x : float tensor (B, T, F).
    state : as the cell returns it, or None: zeros.
    drop : draws one mask for all rows and steps; no effect in evaluation mode.
    """
    if not drop.training or drop.p == 0:
        return cell(x, state)  # type: ignore[no-any-return]
    dropped = {name: drop(weight) for name, weight in cell.named_parameters() if RECURRENT in name}
    if not isinstance(cell, nn.RNNBase):
        return functional_call(cell, dropped, (x, state))  # type: ignore[no-any-return]
    kept = cell._flat_weights  # the fused kernel reads these, so functional_call would have no effect
    names = cell._flat_weights_names
    try:
        cell._flat_weights = [dropped.get(name, weight) for name, weight in zip(names, kept, strict=True)]
        return cell(x, state)  # type: ignore[no-any-return]
    finally:
        cell._flat_weights = kept


class Layer(nn.Module):
    """One recurrent layer, in one direction or both.

    Parameters
    ----------
    directions : str: "f" forward, "b" backward, "fb" both, with the outputs concatenated.
    weight_drop : float: dropout of the hidden-to-hidden weights.
    """

    def __init__(self, cell: str, inputs: int, hidden: int, directions: str, weight_drop: float = 0.0) -> None:
        super().__init__()
        self.directions = directions
        self.weight_drop = SharedDropout(weight_drop)
        cells = [CELLS[cell](inputs, hidden, batch_first=True) for _ in directions]
        for made in cells:
            initialise(made)
        self.cells = nn.ModuleList(cells)
        self.width = hidden * len(directions)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        outputs = []
        for direction, cell in zip(self.directions, self.cells, strict=True):
            if direction == "f":
                outputs.append(run_cell(cell, x, None, self.weight_drop)[0])  # (B, T, F) -> (B, T, H)
            else:
                found = run_cell(cell, reverse(x, lengths), None, self.weight_drop)[0]
                outputs.append(reverse(found, lengths))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)

    def run_from(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return outputs and final state of the layer's only cell, run in the order of x; see `Stack.run_from`."""
        (cell,) = self.cells
        return run_cell(cell, x, state, self.weight_drop)


class Stack(nn.Module):
    """Stacked recurrent layers with dropout between them and optional skip connections and layer norm.

    Without layers the input is returned with padding set to zero.
    """

    def __init__(self, inputs: int, recipe: config.Core) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.skip = recipe.skip
        self.dropout = nn.Dropout(recipe.dropout)
        width, directions = inputs, "f"  # without layers the final state is the front end's last step
        for number in range(recipe.layers):
            directions = recipe.directions(number)
            layer = Layer(recipe.cell, width, recipe.hidden, directions, recipe.weight_drop)
            self.layers.append(layer)
            self.norms.append(nn.LayerNorm(layer.width) if recipe.layer_norm else nn.Identity())
            width = layer.width
        self.width = width
        self.directions = directions  # of the last layer: these say where its final states are

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self._run(x, lengths, lambda number, x: self.layers[number](x, lengths)), lengths

    def run_from(self, x: Tensor, lengths: Tensor, states: list[Any] | None) -> tuple[Tensor, list[Any]]:
        """Return outputs (B, T, width) and the state of each layer after the last step, padding included.

        A backward core also takes its steps in the order of x, so x must then be reversed.

        Parameters
        ----------
        states : list of states that the call before returned; None: zeros.
        """
        found: list[Any] = []

        def run(number: int, x: Tensor) -> Tensor:
            h, state = cast(Layer, self.layers[number]).run_from(x, states[number] if states else None)
            found.append(state)
            return h

        return self._run(x, lengths, run), found

    def _run(self, x: Tensor, lengths: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        for number, norm in enumerate(self.norms):
            if number:
                x = self.dropout(x)
            h = run(number, x)
            if self.skip and h.shape[-1] == x.shape[-1]:
                h = h + x
            x = norm(h)
        return x * valid(lengths, x.shape[1])[:, :, None]


# Name in a recipe -> cell: made by `cell(inputs, hidden, batch_first=True)`, called by `cell(x[, state]) -> (outputs,
# state)`. The same names stand in `cells_reference.REFERENCES` (the equations) and in `Core.cell` of `config.network`.
CELLS: dict[str, Callable[..., nn.Module]] = {
    "rnn": nn.RNN,
    "irnn": IRNN,
    "gru": nn.GRU,
    "gru_simple": SimpleGRU,
    "lstm": nn.LSTM,
    "mut1": MUT1,
    "mut2": MUT2,
    "mut3": MUT3,
    "mingru": MinGRU,
}
