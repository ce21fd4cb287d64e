"""Convolutional front ends: residual and separable blocks for signal, dilated blocks for residues.

Those for signal map (B, T, 1) to (B, T', C) and divide the lengths by the product of their strides, rounded up. Padded
steps are set to zero after every convolution, and batch statistics are of valid steps alone, so that padding changes
neither the features nor the training.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn.config import recipe as config
from biorrn.nn.batch import valid


class MaskedBatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) of a padded batch: the statistics are those of valid steps.

    A batch without a valid step is normalised with the running statistics and does not change them.

    Attributes
    ----------
    across : sums a tensor over the processes that share a batch; None for a single process.
    """

    mean: Tensor
    variance: Tensor
    across: Callable[[Tensor], Tensor] | None = None

    def __init__(self, width: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return x (B, C, T), normalised a channel and zero where the mask (B, 1, T) is 0."""
        mean, variance = self._batch_statistics(x * mask, mask) if self.training else (self.mean, self.variance)
        factor = self.scale * torch.rsqrt(variance + self.epsilon)
        # in float32 whatever x is: a small difference of large numbers
        out = (x * factor[:, None] + (self.shift - mean * factor)[:, None]) * mask
        return out.to(x.dtype)

    def _batch_statistics(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance (C,) of the valid steps of x (B, C, T), whose padding is zero."""
        every = x.shape[0] * x.shape[2]
        n = mask.float().sum()
        # padding is zero, so the moments over all steps give those over the valid ones
        variance, mean = torch.var_mean(x.float(), dim=(0, 2), correction=0)
        if self.across is not None:
            sums = self.across(torch.cat([mean * every, (variance + mean.square()) * every, n[None]]))
            n = sums[-1]
            mean, square = (sums[:-1] / n.clamp(min=1)).view(2, -1)
            variance = square - mean.square()
        share = every / n.clamp(min=1) if self.across is None else torch.ones_like(n)
        valid_mean = mean * share
        valid_variance = ((variance + mean.square()) * share - valid_mean.square()).clamp(min=0)
        some = n > 0
        valid_mean, valid_variance = (
            torch.where(some, found, kept) for found, kept in ((valid_mean, self.mean), (valid_variance, self.variance))
        )
        with torch.no_grad():
            weight = self.momentum * some
            unbiased = valid_variance * n / (n - 1).clamp(min=1)
            self.mean.lerp_(valid_mean, weight)
            self.variance.lerp_(unbiased, weight)
        return valid_mean, valid_variance


class Normed(nn.Module):
    """A convolution with batch norm; the length of its output is that of its input over the stride, rounded up."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, width, kernel, stride, kernel // 2, bias=False)
        self.norm = MaskedBatchNorm(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.norm(self.conv(x), mask)  # (B, C, T) -> (B, C', T')


class Shortcut(Normed):
    """The 1x1 convolution of a residual path; with a stride its kernel is as wide, so that no sample is skipped."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__(inputs, width, stride + 1 - stride % 2, stride)


class ResidualBlock(nn.Module):
    """Convolutions of kernels 1, k and 1 plus a convolutional shortcut, then ReLU (Teng et al. 2018, Chiron)."""

    def __init__(self, inputs: int, recipe: config.ConvLayer) -> None:
        super().__init__()
        width = recipe.width
        self.first = Normed(inputs, width, 1)
        self.middle = Normed(width, width, recipe.kernel, recipe.stride)
        self.last = Normed(width, width, 1)
        self.shortcut = Shortcut(inputs, width, recipe.stride)

    def forward(self, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
        h = F.relu(self.first(x, before))
        h = F.relu(self.middle(h, after))
        return F.relu(self.last(h, after) + self.shortcut(x, after))


class SeparableConv(nn.Module):
    """Depthwise convolution along time, then a 1x1 convolution over channels with batch norm."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False)
        self.mixed = Normed(inputs, width, 1)  # kernel 1: padding cannot leak into valid steps

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.mixed(self.along(x), mask)  # (B, C, T) -> (B, C', T')


class SeparableBlock(nn.Module):
    """Separable convolutions with activations and an optional residual path (Kriman et al. 2020, QuartzNet)."""

    def __init__(self, inputs: int, recipe: config.SeparableBlock, activation: str, dropout: float) -> None:
        super().__init__()
        kind = SeparableConv if recipe.separable else Normed
        widths, strides = [inputs, *[recipe.width] * (recipe.repeat - 1)], [recipe.stride, *[1] * (recipe.repeat - 1)]
        self.convolutions = nn.ModuleList(
            kind(before, recipe.width, recipe.kernel, stride) for before, stride in zip(widths, strides, strict=True)
        )
        self.shortcut = Shortcut(inputs, recipe.width, recipe.stride) if recipe.residual else None
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
        h = x
        for number, convolution in enumerate(self.convolutions, 1):
            h = convolution(h, after)
            if number == len(self.convolutions) and self.shortcut is not None:
                h = h + self.shortcut(x, after)
            h = self.dropout(self.activation(h))
        return h


class Blocks(nn.Module):
    """Blocks in sequence; each gets the masks of the valid steps before and after it."""

    def __init__(self, blocks: list[nn.Module], width: int, strides: list[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.width, self.strides = width, strides
        self.stride = math.prod(strides)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        time = x.shape[1]
        mask = valid(lengths, time)[:, None, :].to(x.dtype)  # (B, 1, T)
        h = x.transpose(1, 2) * mask  # (B, T, 1) -> (B, 1, T)
        for block, stride in zip(self.blocks, self.strides, strict=True):
            before = mask
            if stride > 1:
                lengths = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
                time = -(-time // stride)
                mask = valid(lengths, time)[:, None, :].to(x.dtype)
            h = block(h, before, mask)  # (B, C, T) -> (B, C', T')
        return h.transpose(1, 2), lengths  # (B, T', C)


def _widths(blocks: list[config.ConvLayer] | list[config.SeparableBlock]) -> list[int]:
    return [1, *(block.width for block in blocks)]


def residual(recipe: config.Residual) -> Blocks:
    """Return the residual front end of a recipe."""
    widths = _widths(recipe.blocks)
    blocks: list[nn.Module] = [ResidualBlock(*pair) for pair in zip(widths, recipe.blocks, strict=False)]
    return Blocks(blocks, widths[-1], [block.stride for block in recipe.blocks])


def separable(recipe: config.Separable) -> Blocks:
    """Return the separable front end of a recipe."""
    widths = _widths(recipe.blocks)
    blocks: list[nn.Module] = [
        SeparableBlock(*pair, recipe.activation, recipe.dropout) for pair in zip(widths, recipe.blocks, strict=False)
    ]
    return Blocks(blocks, widths[-1], [block.stride for block in recipe.blocks])


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "silu": F.silu, "tanh": torch.tanh}


class ByteDropout(nn.Dropout):
    """Dropout by random bytes: p is rounded to a multiple of 1/256, and drawing costs an eighth as much."""

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.p * 256)
        if not self.training or not dropped:
            return x
        drawn = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 8),), device=x.device).view(torch.uint8)
        kept = (drawn[: x.numel()].view(x.shape) >= dropped).to(x.dtype)
        return x * kept.mul_(256 / (256 - dropped))


class Along(nn.Conv2d):
    """A convolution along the steps of (B, T, F), in the channels-last layout of its kernels."""

    def __init__(self, inputs: int, width: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(inputs, width, (1, kernel), padding=(0, kernel // 2 * dilation), dilation=(1, dilation))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)  # (B, T, F) -> (B, T, C)


class Block(nn.Module):
    """A residual block with one dilated convolution."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.along = Along(width, width, kernel, dilation)
        self.dropout = ByteDropout(dropout)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        # padding is zeroed before the convolution: the norm's shift beyond a row's end would leak into it
        return x + self.dropout(F.silu(self.along(F.silu(self.norm(x)) * inside)))  # type: ignore[no-any-return]


class Dilated(nn.Module):
    """Residual blocks over features of residues: tokens (B, T) to (B, T, width).

    Parameters
    ----------
    features : maps (x (B, T), lengths) to (x (B, T, F), lengths) and states its width F.
    """

    def __init__(self, features: nn.Module, recipe: config.Dilated) -> None:
        super().__init__()
        self.features = features
        self.first = Along(int(features.width), recipe.width, recipe.first)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList(
            Block(recipe.width, recipe.kernel, dilation, recipe.dropout) for dilation in recipe.dilations
        )
        self.norm = nn.LayerNorm(recipe.width)
        self.width = recipe.width

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = valid(lengths, x.shape[1])[:, :, None]
        h: Tensor = self.features(x, lengths)[0]
        if torch.is_autocast_enabled(h.device.type):  # the residual stream stays in the low precision
            h = h.to(torch.get_autocast_dtype(h.device.type))
        inside = inside.to(h.dtype)
        h = F.silu(self.first(h * inside))
        for block in self.blocks:
            h = block(h, inside)
        return self.norm(h) * inside, lengths
