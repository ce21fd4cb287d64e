"""Multi-head self-attention core, with optional window and position code (Vaswani et al. 2017), and a pool.

Each step has a query, a key and a value. The output of a step is the mean of the values of all steps, weighted by the
softmax of the products of its query with their keys.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn.base.errors import ConfigError
from biorrn.config import recipe as config
from biorrn.nn.batch import valid

BASE = 10_000.0  # the longest wave of the position code is about this many steps times 2 pi
BLOCK = 32  # fewest queries of a block in a sliding window


def waves(time: int, width: int, device: torch.device) -> Tensor:
    """Return the angles (T, width) float32 of `width` waves at each position, from the shortest to the longest."""
    rates = BASE ** -(torch.arange(width, device=device, dtype=torch.float32) / width)
    return torch.arange(time, device=device, dtype=torch.float32)[:, None] * rates


def sinusoids(time: int, width: int, device: torch.device) -> Tensor:
    """Return the position code (T, width): alternating sine and cosine of waves of rising length (Vaswani et al.)."""
    angles = waves(time, (width + 1) // 2, device)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def rotate(x: Tensor) -> Tensor:
    """Return x (..., T, D) with each pair of features rotated by an angle proportional to the position.

    The product of two steps then depends on their distance alone (Su et al. 2021, RoFormer).
    """
    angles = waves(x.shape[-2], x.shape[-1] // 2, x.device)
    sine, cosine = angles.sin().to(x.dtype), angles.cos().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


def seen(lengths: Tensor, time: int, window: int | None, causal: bool) -> Tensor:
    """Return the attention mask, bool (B, 1, T, T): True where the query of a row may attend to the key of a column.

    Every step attends to itself, padding too, so that no softmax is empty.
    """
    steps = torch.arange(time, device=lengths.device)
    ahead = steps[None, :] - steps[:, None]  # (T, T): position of the key minus that of the query
    near = torch.ones_like(ahead, dtype=torch.bool) if window is None else ahead.abs() <= window
    if causal:
        near = near & (ahead <= 0)
    keys = valid(lengths, time)[:, None, None, :]  # (B, 1, 1, T)
    return near & keys | (ahead == 0)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    """Return the attention weights (B, heads, T, T), queries by row, by the plain formula.

    Parameters
    ----------
    query, key : float (B, heads, T, D).
    mask : bool, broadcast to (B, heads, T, T): see `seen`.
    """
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])  # (B, heads, T, T)
    return torch.softmax(scores.float().masked_fill(~mask, float("-inf")), dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, window: int | None, causal: bool) -> Tensor:
    """Return the attended values (B, heads, T, D), by torch's fused kernels.

    Parameters
    ----------
    query, key, value : float (B, heads, T, D).
    lengths : int64 (B,): valid steps; the output of padding is finite and undefined.
    window : steps on each side that a step attends to; None is all. With a window the cost is linear in T.
    causal : a step does not attend to later ones.
    """
    time = query.shape[2]
    if window is not None and window >= time - 1:
        window = None
    if window is not None and time > max(window, BLOCK) + 2 * window:
        return slide(query, key, value, lengths, window, causal)
    if window is not None:
        mask = seen(lengths, time, window, causal)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    if causal:  # padding follows all valid steps, so none of them attends to it
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    keys = valid(lengths.clamp(min=1), time)[:, None, None, :]  # an empty row attends to its first padding
    return F.scaled_dot_product_attention(query, key, value, attn_mask=keys)


def slide(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, window: int, causal: bool) -> Tensor:
    """Return what `attend` returns, for a window: blocks of queries with the keys in reach (Beltagy et al. 2020)."""
    batch, heads, time, width = query.shape
    block = max(window, BLOCK)
    blocks = -(-time // block)
    reach = block + 2 * window  # keys of a block
    spare = blocks * block - time

    def tiles(x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, window, window + spare))  # (B, heads, window + blocks * block + window, D)
        return padded.unfold(2, reach, block).transpose(-1, -2).transpose(1, 2).flatten(0, 1)

    queries = F.pad(query, (0, 0, 0, spare)).view(batch, heads, blocks, block, width).transpose(1, 2).flatten(0, 1)
    ahead = (
        torch.arange(reach, device=query.device)[None, :] - window - torch.arange(block, device=query.device)[:, None]
    )
    near = (ahead.abs() <= window) & (ahead <= 0 if causal else torch.ones_like(ahead, dtype=torch.bool))
    place = (
        torch.arange(blocks, device=query.device)[:, None] * block + torch.arange(reach, device=query.device) - window
    )
    keys = (place >= 0) & (place < lengths[:, None, None])  # (B, blocks, reach)
    mask = near & keys[:, :, None, :] | (ahead == 0)  # (B, blocks, block, reach)
    found = F.scaled_dot_product_attention(queries, tiles(key), tiles(value), attn_mask=mask.flatten(0, 1)[:, None])
    found = found.view(batch, blocks, heads, block, width).transpose(1, 2)  # (B, heads, blocks, block, D)
    return found.reshape(batch, heads, blocks * block, width)[:, :, :time]


class Heads(nn.Module):
    """Multi-head attention over (B, T, width), with a linear layer over the joined heads."""

    def __init__(self, recipe: config.SelfAttention) -> None:
        super().__init__()
        self.heads, self.window, self.causal = recipe.heads, recipe.window, recipe.causal
        self.rotary = recipe.position == "rotary"
        self.query = nn.Linear(recipe.width, recipe.width)
        self.key = nn.Linear(recipe.width, recipe.width)
        self.value = nn.Linear(recipe.width, recipe.width)
        self.output = nn.Linear(recipe.width, recipe.width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, T, F) -> (B, heads, T, D)

    def _asked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        query, key = self._split(self.query(x)), self._split(self.key(x))
        return (rotate(query), rotate(key)) if self.rotary else (query, key)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        query, key = self._asked(x)
        found = attend(query, key, self._split(self.value(x)), lengths, self.window, self.causal)
        mixed: Tensor = self.output(found.transpose(1, 2).flatten(2))  # (B, heads, T, D) -> (B, T, F)
        return mixed

    def weights(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the attention weights (B, heads, T, T), queries by row; each row sums to one."""
        return attention_weights(*self._asked(x), seen(lengths, x.shape[1], self.window, self.causal))


class Block(nn.Module):
    """Pre-norm transformer block: attention, then a feed-forward network, both residual (Xiong et al. 2020)."""

    def __init__(self, recipe: config.SelfAttention) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(recipe.width)
        self.attention = Heads(recipe)
        self.dropout = nn.Dropout(recipe.dropout)
        wide = recipe.feed_forward
        self.feed_forward = (
            nn.Sequential(
                nn.LayerNorm(recipe.width), nn.Linear(recipe.width, wide), nn.GELU(), nn.Linear(wide, recipe.width)
            )
            if wide
            else None
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm(x), lengths))
        if self.feed_forward is not None:
            x = x + self.dropout(self.feed_forward(x))
        return x


class SelfAttention(nn.Module):
    """The core `self_attention` of a recipe: stacked blocks, with an optional position code."""

    directions = "f"  # the final state is that of the last step

    def __init__(self, inputs: int, recipe: config.SelfAttention) -> None:
        super().__init__()
        self.width = recipe.width
        self.enter = nn.Identity() if inputs == recipe.width else nn.Linear(inputs, recipe.width)
        self.sinusoidal = recipe.position == "sinusoidal"
        self.dropout = nn.Dropout(recipe.dropout)
        self.layers = nn.ModuleList(Block(recipe) for _ in range(recipe.layers))
        self.norm = nn.LayerNorm(recipe.width)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        time = x.shape[1]
        x = self.enter(x)
        if self.sinusoidal:
            x = x + sinusoids(time, self.width, x.device).to(x.dtype)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, lengths)
        return self.norm(x) * valid(lengths, time)[:, :, None], lengths


HEADS = 4


class MultiHead(nn.Module):
    """The pool multihead: a weighted mean of the steps for each head (Lin et al. 2017; Vaswani et al. 2017).

    The query of each head is a learned parameter; keys and values come from the steps.

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
        """Return the weights (B, heads, T); those of a head sum to one over valid steps, to zero in an empty row."""
        keys = self.key(x).unflatten(-1, self.query.shape)  # (B, T, F) -> (B, T, heads, D)
        scores = (keys * self.query).sum(-1).mT.float() / math.sqrt(self.query.shape[1])  # (B, heads, T)
        there = valid(lengths, x.shape[1])[:, None]
        return torch.softmax(scores.masked_fill(~there, -1e30), dim=-1) * there

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        values = self.value(x).unflatten(-1, self.query.shape).transpose(1, 2)  # (B, heads, T, D)
        weights = self.weights(x, lengths)[:, :, None].to(values.dtype)  # (B, heads, 1, T)
        return (weights @ values).flatten(1)  # (B, heads, 1, D) -> (B, F)
