"""Front end `dilated`: residual convolutions over residues, each block looking further to both sides than the last.

After van den Oord et al. 2016 (WaveNet, arXiv:1609.03499) and He et al. 2016 (ECCV, pre-activation residual blocks);
layer norm in place of batch norm, so that neither the other rows of a batch nor padding change what a row gives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn import config
from biorrn.batch import valid


class ByteDropout(nn.Dropout):
    """Dropout by random bytes: p is rounded to a multiple of 1/256, and drawing costs an eighth of what it did."""

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(self.p * 256)
        if not self.training or not dropped:
            return x
        drawn = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 8),), device=x.device).view(torch.uint8)
        kept = (drawn[: x.numel()].view(x.shape) >= dropped).to(x.dtype)
        return x * kept.mul_(256 / (256 - dropped))


class Along(nn.Conv2d):
    """A convolution along the steps of (B, T, F), whose memory layout, features together, is that of its kernels."""

    def __init__(self, inputs: int, width: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(inputs, width, (1, kernel), padding=(0, kernel // 2 * dilation), dilation=(1, dilation))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch's types leave out

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)  # (B, T, F) -> (B, T, C)


class Block(nn.Module):
    """What a dilated convolution finds, added to what came in."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.along = Along(width, width, kernel, dilation)
        self.dropout = ByteDropout(dropout)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        # padding is zero where a convolution reads, or a row in company would see the shift of the norm beyond its end
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
        if torch.is_autocast_enabled(h.device.type):  # what is added up from block to block stays in the small format
            h = h.to(torch.get_autocast_dtype(h.device.type))
        inside = inside.to(h.dtype)
        h = F.silu(self.first(h * inside))
        for block in self.blocks:
            h = block(h, inside)
        return self.norm(h) * inside, lengths
