"""What stands before the recurrent core: tokens or signal in, features out. Each states its output `width`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn import config
from biorrn.batch import valid
from biorrn.encoders.alphabets import N_TOKENS
from biorrn.encoders.residues import TABLES
from biorrn.encoders.tokenisers import PAD
from biorrn.errors import ConfigError
from biorrn.models.convolutions import residual, separable
from biorrn.models.dilated import Dilated
from biorrn.models.hidden import HiddenStates
from biorrn.models.regularise import SharedDropout
from biorrn.models.variants import Variant
from biorrn.models.vectors import KmerTable


class Table(nn.Module):
    """Rows of fixed tables, one a residue: one-hot, BLOSUM62, physico-chemical scales, or several joined.

    Parameters
    ----------
    names : list of str: "onehot" or entries of `encoders.residues.TABLES`.
    """

    table: Tensor

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        onehot = torch.eye(N_TOKENS)[:, 1:]  # token 0 is padding: a row of zeros
        parts = [onehot if name == "onehot" else torch.as_tensor(TABLES[name]) for name in names]
        self.register_buffer("table", torch.cat(parts, dim=1), persistent=False)
        self.width = self.table.shape[1]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.table[x], lengths  # (B, T) -> (B, T, width)


class Embedding(nn.Module):
    """A learned vector a residue, joined to fixed tables and followed by convolutions where the recipe has some."""

    def __init__(self, recipe: config.Embedding) -> None:
        super().__init__()
        self.learned = nn.Embedding(recipe.symbols + 1, recipe.width, padding_idx=0)
        self.fixed = Table(recipe.table.split("+")) if recipe.table != "none" else None
        width = recipe.width + (self.fixed.width if self.fixed else 0)
        widths = [width, *(layer.width for layer in recipe.layers)]
        self.layers = nn.ModuleList(
            nn.Conv1d(before, layer.width, layer.kernel, padding=layer.kernel // 2)
            for before, layer in zip(widths[:-1], recipe.layers, strict=True)
        )
        self.width = widths[-1]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features = self.learned(x)  # (B, T) -> (B, T, width)
        if self.fixed is not None:
            features = torch.cat([features, self.fixed(x, lengths)[0]], dim=-1)
        if not len(self.layers):
            return features, lengths
        mask = valid(lengths, x.shape[1])[:, None, :]
        h = features.transpose(1, 2) * mask
        for layer in self.layers:
            h = F.silu(layer(h)) * mask  # (B, C, T) -> (B, C', T)
        return h.transpose(1, 2), lengths


class Tokens(nn.Module):
    """A learned vector a symbol of a language model, with dropout of whole symbols by choice."""

    def __init__(self, recipe: config.Tokens) -> None:
        super().__init__()
        if not recipe.size:
            raise ConfigError("front end 'tokens': its size comes from the tokeniser of task language; found none")
        self.learned = nn.Embedding(recipe.size, recipe.width, padding_idx=PAD)
        if recipe.tied:  # scores are products with these: large first vectors would make sure of what is not known
            nn.init.uniform_(self.learned.weight, -0.1, 0.1)
            nn.init.zeros_(self.learned.weight[PAD])
        self.dropout = SharedDropout(recipe.dropout)
        self.width = recipe.width

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features = self.learned(x)  # (B, T) -> (B, T, width)
        if not self.training or self.dropout.p == 0:
            return features, lengths
        kept = self.dropout(features.new_ones(self.learned.num_embeddings))
        return features * kept[x][:, :, None], lengths


class Conv(nn.Module):
    """A stack of convolutions with SiLU that shortens the signal by the product of the strides.

    Padded steps are set to zero after each layer: without that, a padded row would see the bias of the layer
    before in its last valid step, and a row alone would not.
    """

    def __init__(self, recipe: config.Conv) -> None:
        super().__init__()
        widths = [1, *(layer.width for layer in recipe.layers)]
        self.layers = nn.ModuleList(
            nn.Conv1d(before, layer.width, layer.kernel, stride=layer.stride, padding=layer.kernel // 2)
            for before, layer in zip(widths[:-1], recipe.layers, strict=True)
        )
        self.width = widths[-1]
        self.strides = [layer.stride for layer in recipe.layers]
        self.stride = math.prod(self.strides)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        h = x.transpose(1, 2)  # (B, T, 1) -> (B, 1, T)
        h = h * valid(lengths, h.shape[2])[:, None, :]
        for layer, stride in zip(self.layers, self.strides, strict=True):
            h = F.silu(layer(h))  # (B, C, T) -> (B, C', T')
            lengths = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
            h = h * valid(lengths, h.shape[2])[:, None, :]
        return h.transpose(1, 2), lengths  # (B, T', C)


def _fixed(recipe: config.Fixed | config.OneHot) -> Table:
    return Table([recipe.name])


def _dilated(recipe: config.Dilated) -> Dilated:
    return Dilated(Embedding(config.Embedding(width=recipe.embedding, table=recipe.table)), recipe)


FRONTENDS: dict[str, Callable[..., Any]] = {
    "onehot": _fixed,
    "blosum62": _fixed,
    "scales": _fixed,
    "embedding": Embedding,
    "dilated": _dilated,
    "tokens": Tokens,
    "variant": Variant,
    "table": KmerTable,
    "language_model": HiddenStates,
    "conv": Conv,
    "residual": residual,
    "separable": separable,
}
