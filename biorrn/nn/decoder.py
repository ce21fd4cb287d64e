"""Recurrent decoder with attention over the states of an encoder, and the table `ATTENTIONS`.

At each step the cell reads the symbol before and the last context (input feeding), its state is the query of the
attention, and state and context give the scores of the next symbol. Symbol 0, padding in every alphabet, is the start
symbol of the input and the end symbol of the output.

With known symbols, as in training, embeddings and scores are computed for all steps at once; only the cell and the
attention run in a loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn.config import recipe as config
from biorrn.nn.batch import valid


class Memory(NamedTuple):
    """What a decoder attends to: values (B, T, F), keys (B, T, A), and the mask unseen (B, T), True at padding."""

    values: Tensor
    keys: Tensor
    unseen: Tensor

    def repeat(self, times: int) -> Memory:
        """Return each row `times` times, one after another."""
        return Memory(*(part.repeat_interleave(times, 0) for part in self))


class Additive(nn.Module):
    """score = v . tanh(W query + U value)."""

    def __init__(self, width: int, query: int, recipe: config.DecoderHead) -> None:
        super().__init__()
        self.key = nn.Linear(width, recipe.attention_width)
        self.query = nn.Linear(query, recipe.attention_width, bias=False)
        self.score = nn.Linear(recipe.attention_width, 1, bias=False)

    def memory(self, values: Tensor, lengths: Tensor) -> Memory:
        """Return values (B, T, F) with their keys; an empty row attends to its first padding."""
        unseen = ~valid(lengths.clamp(min=1), values.shape[1])
        return Memory(values, self.key(values), unseen)

    def seen(self, memory: Memory, before: Tensor) -> Tensor:
        """Return what the query is compared with, (B, T, A)."""
        return memory.keys

    def scores(self, query: Tensor, memory: Memory, before: Tensor) -> Tensor:
        """Return scores (B, T) of a query (B, Q)."""
        hidden = torch.tanh(self.seen(memory, before) + self.query(query)[:, None])
        return self.score(hidden)[:, :, 0]  # (B, T, A) -> (B, T)

    def forward(self, query: Tensor, memory: Memory, before: Tensor) -> Tensor:
        """Return weights (B, T) that sum to one on the valid steps; `before` (B, T) are those of the step before."""
        scores = self.scores(query, memory, before).float().masked_fill(memory.unseen, float("-inf"))
        return torch.softmax(scores, dim=1).to(memory.values.dtype)


class Dot(Additive):
    """score = (W query) . (U value), over the square root of their width (Vaswani et al. 2017)."""

    def __init__(self, width: int, query: int, recipe: config.DecoderHead) -> None:
        super().__init__(width, query, recipe)
        del self.score
        self.scale = recipe.attention_width**-0.5

    def scores(self, query: Tensor, memory: Memory, before: Tensor) -> Tensor:
        return torch.bmm(memory.keys, self.query(query)[:, :, None])[:, :, 0] * self.scale


class Location(Additive):
    """score = v . tanh(W query + U value + a filter over the weights of the step before)."""

    def __init__(self, width: int, query: int, recipe: config.DecoderHead) -> None:
        super().__init__(width, query, recipe)
        self.kernel = recipe.kernel
        self.around = nn.Linear(recipe.kernel, recipe.attention_width, bias=False)

    def seen(self, memory: Memory, before: Tensor) -> Tensor:
        half = self.kernel // 2
        windows = F.pad(before, (half, half)).unfold(1, self.kernel, 1)  # (B, T) -> (B, T, kernel)
        return memory.keys + self.around(windows)


class Moving(Additive):
    """Additive score minus the squared distance to the centre of a window that only moves forward (as in Graves 2013).

    The centre is the mean of the weights of the step before plus a positive step, a function of the query that starts
    at the recipe's `pace`, so that source and target are aligned from the beginning. The width is learned.
    """

    def __init__(self, width: int, query: int, recipe: config.DecoderHead) -> None:
        super().__init__(width, query, recipe)
        self.pace = nn.Linear(query, 1)
        nn.init.zeros_(self.pace.weight)
        nn.init.constant_(self.pace.bias, math.log(math.expm1(recipe.pace)))
        self.spread = nn.Parameter(torch.tensor(math.log(1.5 * recipe.pace)))  # of the window, as a logarithm

    def scores(self, query: Tensor, memory: Memory, before: Tensor) -> Tensor:
        steps = torch.arange(before.shape[1], device=before.device, dtype=torch.float32)
        stood = (before.float() * steps).sum(1)  # not as a product, which low precision would round to whole steps
        centre = stood + F.softplus(self.pace(query).float())[:, 0]  # (B,)
        away = (steps - centre[:, None]) * torch.exp(-self.spread)
        return super().scores(query, memory, before) - 0.5 * away.square()


ATTENTIONS: dict[str, type[Additive]] = {"additive": Additive, "dot": Dot, "location": Location, "moving": Moving}


END = 0  # start and end symbol


class State(NamedTuple):
    """State between two steps: hidden and cell (B, H), context (B, F), and attention weights (B, T).

    The cell of a GRU is its hidden state.
    """

    hidden: Tensor
    cell: Tensor
    context: Tensor
    weights: Tensor

    def take(self, rows: Tensor) -> State:
        """Return these rows."""
        return State(*(part.index_select(0, rows) for part in self))


class Decoder(nn.Module):
    """Encoder-decoder head: the encoder's states to a sequence of symbols of any length.

    Parameters
    ----------
    width : int: F, features of a state of the encoder.
    outputs : int: S, symbols of the alphabet and the end.
    """

    pooled = False
    teacher_forced = True  # the loss runs the decoder: most of its parameters do not affect what `forward` returns

    def __init__(self, width: int, outputs: int, recipe: config.DecoderHead) -> None:
        super().__init__()
        self.recipe, self.outputs = recipe, outputs
        self.dropout = nn.Dropout(recipe.dropout)
        self.embedding = nn.Embedding(outputs, recipe.embedding)
        fed = width if recipe.feeding else 0
        self.cell = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}[recipe.cell](recipe.embedding + fed, recipe.hidden)
        self.begin = nn.Linear(width, recipe.hidden)
        self.attention = ATTENTIONS[recipe.attention](width, recipe.hidden, recipe)
        self.join = nn.Linear(recipe.hidden + width, recipe.hidden)
        self.output = nn.Linear(recipe.hidden, outputs)
        self.steps = nn.Linear(width, outputs) if recipe.ctc else None
        for gate in self.cell.weight_hh.detach().split(recipe.hidden):
            nn.init.orthogonal_(gate)
        if recipe.cell == "lstm":  # forget gate open at first, as in `cells.initialise`
            self.cell.bias_ih.detach()[recipe.hidden : 2 * recipe.hidden] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return the encoder's states (B, T, F), with dropout."""
        found: Tensor = self.dropout(x)
        return found

    def start(self, values: Tensor, lengths: Tensor) -> tuple[Memory, State]:
        """Return the memory, and the initial state, which attends to the first value."""
        memory = self.attention.memory(values, lengths)
        mean = (values * ~memory.unseen[:, :, None]).sum(1) / lengths.clamp(min=1)[:, None].to(values.dtype)
        hidden = torch.tanh(self.begin(mean))  # (B, F) -> (B, H)
        weights = torch.zeros_like(values[:, :, 0])
        weights[:, 0] = 1.0
        return memory, State(hidden, hidden, torch.zeros_like(values[:, 0]), weights)

    def teacher_force(self, values: Tensor, lengths: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of every next symbol given the true symbols before (teacher forcing), and the attention.

        Parameters
        ----------
        values, lengths : (B, T, F) and (B,), as the model returns them.
        symbols : int64 tensor (B, U): input symbols; the first is END.

        Returns
        -------
        float32 tensor (B, U, S) of raw scores, and attention weights (B, U, T).
        """
        memory, state = self.start(values, lengths)
        # unbind, not slices: the gradient of a slice is as large as the whole tensor
        states, fed = [], self._fed()
        for gates in self._known(symbols).unbind(1):
            state = self._advance(gates, state, memory, fed)
            states.append(state)
        hidden = torch.stack([state.hidden for state in states], 1)
        context = torch.stack([state.context for state in states], 1)
        return self._scores(hidden, context), torch.stack([state.weights for state in states], 1)

    def step(self, symbols: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Return the log probabilities (B, S) of the symbol after `symbols` (B,), and the new state."""
        state = self._advance(self._known(symbols), state, memory, self._fed())
        return torch.log_softmax(self._scores(state.hidden, state.context), -1), state

    def step_scores(self, values: Tensor) -> Tensor:
        """Return raw scores (B, T, S) of each step of the encoder, for the CTC part of the loss."""
        assert self.steps is not None
        scores: Tensor = self.steps(values)
        return scores.float()

    def _known(self, symbols: Tensor) -> Tensor:
        """Return the contribution of symbols (...) to the gates (..., G)."""
        weight = self.cell.weight_ih[:, : self.recipe.embedding]
        return F.linear(self.dropout(self.embedding(symbols)), weight, self.cell.bias_ih)

    def _fed(self) -> Tensor | None:
        """Return the weights (G, F) of the last context, None without input feeding."""
        return self.cell.weight_ih[:, self.recipe.embedding :] if self.recipe.feeding else None

    def _scores(self, hidden: Tensor, context: Tensor) -> Tensor:
        joined = torch.tanh(self.join(torch.cat([hidden, context], -1)))  # (..., H + F) -> (..., H)
        scores: Tensor = self.output(self.dropout(joined))
        return scores.float()

    def _advance(self, gates: Tensor, state: State, memory: Memory, fed: Tensor | None) -> State:
        if fed is not None:
            gates = gates + F.linear(state.context, fed)
        hidden, cell = STEPS[self.recipe.cell](gates, state, self.cell)
        weights = self.attention(hidden, memory, state.weights)
        context = torch.bmm(weights[:, None], memory.values)[:, 0]  # (B, T) and (B, T, F) -> (B, F)
        return State(hidden, cell, context, weights)


def _gru(gates: Tensor, state: State, cell: nn.GRUCell) -> tuple[Tensor, Tensor]:
    hidden = state.hidden
    reset_in, update_in, new_in = gates.chunk(3, 1)
    reset_h, update_h, new_h = F.linear(hidden, cell.weight_hh, cell.bias_hh).chunk(3, 1)
    update = torch.sigmoid(update_in + update_h)
    new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_h) * new_h)
    hidden = torch.lerp(new, hidden, update)
    return hidden, hidden


def _lstm(gates: Tensor, state: State, cell: nn.LSTMCell) -> tuple[Tensor, Tensor]:
    gates = gates + F.linear(state.hidden, cell.weight_hh, cell.bias_hh)
    take, forget, new, give = gates.chunk(4, 1)
    kept = torch.sigmoid(forget) * state.cell + torch.sigmoid(take) * torch.tanh(new)
    return torch.sigmoid(give) * torch.tanh(kept), kept


STEPS: dict[str, Callable[[Tensor, State, Any], tuple[Tensor, Tensor]]] = {"gru": _gru, "lstm": _lstm}
