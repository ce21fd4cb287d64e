"""The recurrent core: stacks of RNN, GRU or LSTM layers over `(x, lengths)`, the same for proteins and signal.

No sequence is packed: a layer that runs backward reads each row reversed within its own length, so padding always
comes after the valid steps, where it cannot reach them. That gives what packing gives, and keeps the fused kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from biorrn import config
from biorrn.batch import valid


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


def initialise(cell: nn.RNNBase) -> None:
    """Set orthogonal recurrent weights a gate (Saxe et al. 2014), Glorot input weights, zero biases.

    The forget gate of an LSTM starts with bias 1, so that early training remembers (Jozefowicz et al. 2015).
    """
    hidden = cell.hidden_size
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            if name.startswith("weight_hh"):
                for gate in weight.split(hidden):
                    nn.init.orthogonal_(gate)
            elif name.startswith("weight_ih"):
                for gate in weight.split(hidden):
                    nn.init.xavier_uniform_(gate)
            else:
                weight.zero_()
        if isinstance(cell, nn.LSTM):
            cast(Tensor, cell.bias_ih_l0)[hidden : 2 * hidden] = 1.0


class Layer(nn.Module):
    """One recurrent layer, in one direction or both.

    Parameters
    ----------
    directions : str: one letter a direction that runs, "f" forward, "b" backward; "fb" joins both outputs.
    """

    def __init__(self, cell: str, inputs: int, hidden: int, directions: str) -> None:
        super().__init__()
        self.directions = directions
        cells = [CELLS[cell](inputs, hidden, batch_first=True) for _ in directions]
        for made in cells:
            initialise(made)
        self.cells = nn.ModuleList(cells)
        self.width = hidden * len(directions)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        outputs = []
        for direction, cell in zip(self.directions, self.cells, strict=True):
            if direction == "f":
                outputs.append(cell(x)[0])  # (B, T, F) -> (B, T, H)
            else:
                outputs.append(reverse(cell(reverse(x, lengths))[0], lengths))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)


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
            layer = Layer(recipe.cell, width, recipe.hidden, directions)
            self.layers.append(layer)
            self.norms.append(nn.LayerNorm(layer.width) if recipe.layer_norm else nn.Identity())
            width = layer.width
        self.width = width
        self.directions = directions  # of the last layer: where its final states are

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            if number:
                x = self.dropout(x)
            h = layer(x, lengths)
            if self.skip and h.shape[-1] == x.shape[-1]:
                h = h + x
            x = norm(h)
        return x * valid(lengths, x.shape[1])[:, :, None], lengths


CELLS: dict[str, Callable[..., nn.RNNBase]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}
