"""Reference recurrent cells: the equations of every entry of `cells.CELLS`, a loop over time, gradients by autograd.

They are for reading and for tests. The fast cells have the same parameters under the same names, so that one
`state_dict` fits both. In the equations `X(g, x)` is W_g x + b_g and `H(g, h)` is U_g h (plus a second bias for the
cells of torch), for gate g; * is the element-wise product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class Reference(nn.Module):
    """Base class: the loop over time and the parameters of the gates.

    Parameters
    ----------
    input_size, hidden_size : int.
    batch_first : bool: x and outputs are (B, T, F) instead of (T, B, F). States are (1, B, H).
    """

    of_input = "h"  # gates, one letter each, in the order of their rows in weight_ih_l0 and bias_ih_l0
    of_state = "h"  # the same in weight_hh_l0 and bias_hh_l0
    second_bias = False  # bias_hh_l0, which the cells of torch have
    pair = False  # the state is (h, c)

    def __init__(self, input_size: int, hidden_size: int, batch_first: bool = False) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.batch_first = input_size, hidden_size, batch_first
        shapes: dict[str, tuple[int, ...]] = {"weight_ih_l0": (len(self.of_input) * hidden_size, input_size)}
        if self.of_state:
            shapes["weight_hh_l0"] = (len(self.of_state) * hidden_size, hidden_size)
        shapes["bias_ih_l0"] = (len(self.of_input) * hidden_size,)
        if self.second_bias:
            shapes["bias_hh_l0"] = (len(self.of_state) * hidden_size,)
        bound = 1 / math.sqrt(hidden_size)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

    def forward(self, x: Tensor, state: Tensor | tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, object]:
        """Return outputs (B, T, H) and the last state, as torch's cells do."""
        steps = x.unbind(1 if self.batch_first else 0)
        h = self.start(x) if state is None else tuple(part[0] for part in (state if self.pair else (state,)))
        outputs = []
        for x_t in steps:
            h = self.step(x_t, *h)
            outputs.append(h[0])
        joined = torch.stack(outputs, 1 if self.batch_first else 0)
        last = tuple(part[None] for part in h)
        return joined, last if self.pair else last[0]

    def start(self, x: Tensor) -> State:
        zeros = x.new_zeros(x.shape[0 if self.batch_first else 1], self.hidden_size)
        return (zeros, zeros) if self.pair else (zeros,)

    def step(self, x: Tensor, h: Tensor) -> State:
        """Return the state after one step, whose first tensor is the output; x is (B, F), h (B, H)."""
        raise NotImplementedError

    def X(self, gate: str, x: Tensor) -> Tensor:  # as in the equations
        return self.W(gate, x) + self.b(gate)

    def W(self, gate: str, x: Tensor) -> Tensor:
        return x @ self._rows("weight_ih_l0", self.of_input, gate).T

    def b(self, gate: str) -> Tensor:
        return self._rows("bias_ih_l0", self.of_input, gate)

    def H(self, gate: str, h: Tensor) -> Tensor:
        product = h @ self._rows("weight_hh_l0", self.of_state, gate).T
        return product + self._rows("bias_hh_l0", self.of_state, gate) if self.second_bias else product

    def _rows(self, name: str, gates: str, gate: str) -> Tensor:
        weight: Tensor = getattr(self, name)
        return weight.chunk(len(gates))[gates.index(gate)]


class RNN(Reference):
    """The plain recurrent network (Elman 1990)."""

    second_bias = True

    def step(self, x: Tensor, h: Tensor) -> State:
        h = torch.tanh(self.X("h", x) + self.H("h", h))
        return (h,)


class IRNN(Reference):
    """The identity RNN (Le et al. 2015): U is the identity before training, and the biases are 0."""

    second_bias = True

    def step(self, x: Tensor, h: Tensor) -> State:
        h = torch.relu(self.X("h", x) + self.H("h", h))
        return (h,)


class SimpleGRU(Reference):
    """A GRU without a reset gate."""

    of_input = of_state = "zc"

    def step(self, x: Tensor, h: Tensor) -> State:
        z = torch.sigmoid(self.X("z", x) + self.H("z", h))
        c = torch.tanh(self.X("c", x) + self.H("c", h))
        h = (1 - z) * h + z * c
        return (h,)


class GRU(Reference):
    """The gated recurrent unit (Cho et al. 2014) in torch's variant: r * (U_n h) in place of U_n (r * h)."""

    of_input = of_state = "rzn"
    second_bias = True

    def step(self, x: Tensor, h: Tensor) -> State:
        r = torch.sigmoid(self.X("r", x) + self.H("r", h))
        z = torch.sigmoid(self.X("z", x) + self.H("z", h))
        n = torch.tanh(self.X("n", x) + r * self.H("n", h))
        h = (1 - z) * n + z * h
        return (h,)


class LSTM(Reference):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000), no peepholes.

    The bias of the forget gate is 1 before training (Jozefowicz et al. 2015).
    """

    of_input = of_state = "ifgo"
    second_bias = pair = True

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> State:  # type: ignore[override]
        i = torch.sigmoid(self.X("i", x) + self.H("i", h))
        f = torch.sigmoid(self.X("f", x) + self.H("f", h))
        g = torch.tanh(self.X("g", x) + self.H("g", h))
        o = torch.sigmoid(self.X("o", x) + self.H("o", h))
        c = f * c + i * g
        h = o * torch.tanh(c)
        return (h, c)


class MUT1(Reference):
    """The first of the best mutated cells of Jozefowicz et al. 2015.

    The paper has tanh(x) and, in MUT2, x itself, which needs as many features as units. Here, as in other
    implementations, W x takes the place of x.
    """

    of_input, of_state = "zrc", "rc"

    def step(self, x: Tensor, h: Tensor) -> State:
        z = torch.sigmoid(self.X("z", x))
        r = torch.sigmoid(self.X("r", x) + self.H("r", h))
        c = torch.tanh(self.H("c", r * h) + torch.tanh(self.W("c", x)) + self.b("c"))
        h = z * c + (1 - z) * h
        return (h,)


class MUT2(Reference):
    """The second of the best mutated cells of Jozefowicz et al. 2015; see MUT1 for W x in place of x."""

    of_input = of_state = "zrc"

    def step(self, x: Tensor, h: Tensor) -> State:
        z = torch.sigmoid(self.X("z", x) + self.H("z", h))
        r = torch.sigmoid(self.X("r", x) + self.H("r", h))
        c = torch.tanh(self.H("c", r * h) + self.X("c", x))
        h = z * c + (1 - z) * h
        return (h,)


class MUT3(Reference):
    """The third of the best mutated cells of Jozefowicz et al. 2015: the update gate reads tanh(h)."""

    of_input = of_state = "zrc"

    def step(self, x: Tensor, h: Tensor) -> State:
        z = torch.sigmoid(self.X("z", x) + self.H("z", torch.tanh(h)))
        r = torch.sigmoid(self.X("r", x) + self.H("r", h))
        c = torch.tanh(self.H("c", r * h) + self.X("c", x))
        h = z * c + (1 - z) * h
        return (h,)


class MinGRU(Reference):
    """The minimal GRU (Feng et al. 2024): gate and candidate do not depend on the state, so that a scan can run it."""

    of_input, of_state = "zc", ""

    def step(self, x: Tensor, h: Tensor) -> State:
        z = torch.sigmoid(self.X("z", x))
        c = self.X("c", x)
        h = (1 - z) * h + z * c
        return (h,)


# the same names as `cells.CELLS`
REFERENCES: dict[str, type[Reference]] = {
    "rnn": RNN,
    "irnn": IRNN,
    "gru": GRU,
    "gru_simple": SimpleGRU,
    "lstm": LSTM,
    "mut1": MUT1,
    "mut2": MUT2,
    "mut3": MUT3,
    "mingru": MinGRU,
}
