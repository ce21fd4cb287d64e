"""The pool `multihead`: several heads, each with a learned query over the steps and its own part of the features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from biorrn.batch import valid
from biorrn.errors import ConfigError

HEADS = 4


class MultiHead(nn.Module):
    """Weighted means of the values of the steps, one a head (Lin et al. 2017; Vaswani et al. 2017).

    The query of a head is learned, and is the same for every sequence; keys and values come from the steps.

    Raises
    ------
    ConfigError: the width does not divide into `HEADS` heads.
    """

    def __init__(self, width: int, directions: str) -> None:
        super().__init__()
        if width % HEADS:
            raise ConfigError(f"pool 'multihead': width {width} does not divide into {HEADS} heads")
        self.query = nn.Parameter(torch.empty(HEADS, width // HEADS))
        nn.init.normal_(self.query)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)

    def weights(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the weights (B, heads, T); those of a head sum to one over the valid steps, an empty row has none."""
        keys = self.key(x).unflatten(-1, self.query.shape)  # (B, T, F) -> (B, T, heads, D)
        scores = (keys * self.query).sum(-1).mT.float() / math.sqrt(self.query.shape[1])  # (B, heads, T)
        there = valid(lengths, x.shape[1])[:, None]
        return torch.softmax(scores.masked_fill(~there, -1e30), dim=-1) * there

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        values = self.value(x).unflatten(-1, self.query.shape).transpose(1, 2)  # (B, heads, T, D)
        weights = self.weights(x, lengths)[:, :, None].to(values.dtype)  # (B, heads, 1, T)
        return (weights @ values).flatten(1)  # (B, heads, 1, D) -> (B, F)
