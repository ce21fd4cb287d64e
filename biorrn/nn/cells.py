"""The recurrent core: stacks of layers of one cell over `(x, lengths)`, the same for proteins and signal.

No sequence is packed: a layer that runs backward reads each row reversed within its own length, so padding always
comes after the valid steps, where it cannot reach them. That gives what packing gives, and keeps the fused kernels.
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


IDENTITY_INPUT = 0.001  # standard deviation of an identity RNN's first input weights


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Return x (B, T, F) with the valid steps of each row in reverse order and padding left in place."""
    if x.device.type == "cpu" and bool((lengths == x.shape[1]).all()):  # several times faster, backward too
        return x.flip(1)
    rows, time = x.shape[:2]
    steps = torch.arange(time, device=x.device)[None, :]
    index = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)  # (B, T)
    index = index + time * torch.arange(rows, device=x.device)[:, None]
    found: Tensor = _Reorder.apply(x, index.flatten())
    return found


class _Reorder(torch.autograd.Function):
    """Takes the steps of all rows in another order, one that is its own inverse; so its gradient does the same.

    Whole steps are copied, in both directions. `gather` looks up each feature, and its gradient adds them one by one:
    six times slower for both on a CPU.
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
    """Set orthogonal recurrent weights a gate (Saxe et al. 2014), Glorot input weights, zero biases.

    The forget gate of an LSTM starts with bias 1, so that early training remembers (Jozefowicz et al. 2015). An
    identity RNN starts with the identity and small input weights, so that it first adds up what it is shown: larger
    ones let its state, which nothing bounds, grow with every step (Le et al. 2015).
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


RECURRENT = "weight_hh"  # how the names of hidden-to-hidden matrices begin


class SharedDropout(nn.Dropout):
    """Dropout of what all rows of a batch share, such as weights; where processes share a batch, all drop the same."""


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps of a row; of what has no steps, ordinary dropout."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 3 or not self.training or self.drop.p == 0:
            return self.drop(x)  # type: ignore[no-any-return]
        return x * self.drop(x.new_ones(x.shape[0], 1, x.shape[2]))  # type: ignore[no-any-return]


def lock(model: nn.Module) -> None:
    """Replace every dropout of features in a model by `LockedDropout`."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, LockedDropout(child.p))


def run_cell(cell: nn.Module, x: Tensor, state: Any, drop: nn.Dropout) -> tuple[Tensor, Any]:
    """Return outputs and final state of a cell, some of its hidden-to-hidden weights dropped for this call.

    The cell's own kernel runs over all steps, fused where it is one of torch.

    Parameters
    ----------
    x : float tensor (B, T, F).
    state : as the cell gives it, or None: zeros.
    drop : whose mask is drawn once for all rows and steps; without effect in evaluation.
    """
    if not drop.training or drop.p == 0:
        return cell(x, state)  # type: ignore[no-any-return]
    dropped = {name: drop(weight) for name, weight in cell.named_parameters() if RECURRENT in name}
    if not isinstance(cell, nn.RNNBase):
        return functional_call(cell, dropped, (x, state))  # type: ignore[no-any-return]
    kept = cell._flat_weights  # what its kernel reads: a call with other parameters would not reach it
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
    directions : str: one letter a direction that runs, "f" forward, "b" backward; "fb" joins both outputs.
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

    def go_on(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return outputs and final state of the one cell there is, run in the order of x; see `Stack.go_on`."""
        (cell,) = self.cells
        return run_cell(cell, x, state, self.weight_drop)


class Stack(nn.Module):
    """Recurrent layers on top of each other, with dropout between, skip connections and layer norm by choice.

    With no layers what comes in goes out, padding set to zero.
    """

    def __init__(self, inputs: int, recipe: config.Core) -> None:
        super().__init__()
        plan = {"forward": "f", "backward": "b", "bidirectional": "fb", "alternating": "bf"}[recipe.direction]
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.skip = recipe.skip
        self.dropout = nn.Dropout(recipe.dropout)
        width, directions = inputs, "f"  # without layers the last step is the last of the front end
        for number in range(recipe.layers):
            directions = plan[number % 2] if recipe.direction == "alternating" else plan
            layer = Layer(recipe.cell, width, recipe.hidden, directions, recipe.weight_drop)
            self.layers.append(layer)
            self.norms.append(nn.LayerNorm(layer.width) if recipe.layer_norm else nn.Identity())
            width = layer.width
        self.width = width
        self.directions = directions  # of the last layer: where its final states are

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self._run(x, lengths, lambda number, x: self.layers[number](x, lengths)), lengths

    def go_on(self, x: Tensor, lengths: Tensor, states: list[Any] | None) -> tuple[Tensor, list[Any]]:
        """Return outputs (B, T, width) and the state of each layer after the last step, padding counted.

        A core that runs backward takes its steps in the order of x too, which must then come from the end.

        Parameters
        ----------
        states : list of what an earlier call gave; None: zeros.
        """
        found: list[Any] = []

        def run(number: int, x: Tensor) -> Tensor:
            h, state = cast(Layer, self.layers[number]).go_on(x, states[number] if states else None)
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


# `cell(inputs, hidden, batch_first=True)`, called `cell(x[, state]) -> (outputs, state)`; `cells_reference` has the
# equations of each under the same name
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
