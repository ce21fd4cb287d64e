"""Where a decoder looks: attention over the states of an encoder, one query at a time.

Scores are additive (Bahdanau et al. 2015), dot products (Luong et al. 2015), additive with a view of where the
attention stood before (location-aware, Chorowski et al. 2015), or additive within a window that moves ahead. Keys are
projected once for all steps of a decoder.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn import config
from biorrn.batch import valid


class Memory(NamedTuple):
    """What a decoder looks at: values (B, T, F), their keys (B, T, A), and unseen (B, T), True where nothing stands."""

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

    def remember(self, values: Tensor, lengths: Tensor) -> Memory:
        """Return values (B, T, F) with their keys; a row without values shows its first, empty step."""
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
    """score = v . tanh(W query + U value + the weights around, at the step before), so that it can move along."""

    def __init__(self, width: int, query: int, recipe: config.DecoderHead) -> None:
        super().__init__(width, query, recipe)
        self.kernel = recipe.kernel
        self.around = nn.Linear(recipe.kernel, recipe.attention_width, bias=False)

    def seen(self, memory: Memory, before: Tensor) -> Tensor:
        half = self.kernel // 2
        windows = F.pad(before, (half, half)).unfold(1, self.kernel, 1)  # (B, T) -> (B, T, kernel)
        return memory.keys + self.around(windows)


class Moving(Additive):
    """As additive, less the squared distance to where a window that only moves ahead stands (as in Graves 2013).

    The window is as wide as it learns, and moves from the mean of the weights at the step before by what the query
    says: at first by the recipe's `pace`, so that source and target are aligned from the beginning.
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
