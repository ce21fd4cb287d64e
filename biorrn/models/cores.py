"""What runs over the steps between front end and pool: one core of a recipe, or several, one after another."""

from __future__ import annotations

from torch import Tensor, nn

from biorrn import config
from biorrn.models.attention import SelfAttention
from biorrn.models.recurrent import Stack


class Chain(nn.Module):
    """Cores that run one after another, such as an LSTM and one layer of self-attention over what it found."""

    def __init__(self, inputs: int, recipes: list[config.Core | config.SelfAttention]) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        self.width, self.directions = inputs, "f"
        for recipe in recipes:
            part = build_core(self.width, recipe)
            self.parts.append(part)
            self.width, self.directions = part.width, part.directions

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        for part in self.parts:
            x, lengths = part(x, lengths)
        return x, lengths


Made = Stack | SelfAttention | Chain


def build_core(
    inputs: int, recipe: config.Core | config.SelfAttention | list[config.Core | config.SelfAttention]
) -> Made:
    """Return the core of a recipe for steps of `inputs` features.

    It maps (x (B, T, inputs), lengths (B,)) to (x (B, T, width), lengths), padding zero. Its `directions` say where
    final states are: one letter an equal part of the width, "f" at the last valid step, "b" at the first.
    """
    if isinstance(recipe, list):
        return Chain(inputs, recipe)
    return SelfAttention(inputs, recipe) if isinstance(recipe, config.SelfAttention) else Stack(inputs, recipe)
