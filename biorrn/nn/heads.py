"""Pools, which turn steps into one vector, and heads, which turn features into outputs; tables `POOLS`, `HEADS`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from biorrn.config import recipe as config
from biorrn.kernels import chain
from biorrn.nn.attention import MultiHead
from biorrn.nn.batch import valid
from biorrn.nn.decoder import Decoder


class Last(nn.Module):
    """The final state of each direction: the last valid step of a forward layer, the first of a backward one."""

    def __init__(self, width: int, directions: str) -> None:
        super().__init__()
        self.directions = directions

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(x.shape[0], device=x.device)
        ends = {"f": x[rows, (lengths - 1).clamp(min=0)], "b": x[:, 0]}  # each (B, F)
        part = x.shape[2] // len(self.directions)
        states = [ends[way][:, i * part : (i + 1) * part] for i, way in enumerate(self.directions)]
        return torch.cat(states, dim=-1)


class Mean(nn.Module):
    """The mean over valid steps."""

    def __init__(self, width: int, directions: str) -> None:
        super().__init__()

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        mask = valid(lengths, x.shape[1])[:, :, None]
        return (x * mask).sum(1) / lengths.clamp(min=1)[:, None].to(x.dtype)


class Sum(nn.Module):
    """The sum over valid steps."""

    def __init__(self, width: int, directions: str) -> None:
        super().__init__()

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return (x * valid(lengths, x.shape[1])[:, :, None]).sum(1)


class Max(nn.Module):
    """The largest value of each feature over valid steps; zeros for an empty row."""

    def __init__(self, width: int, directions: str) -> None:
        super().__init__()

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        hidden = x.masked_fill(~valid(lengths, x.shape[1])[:, :, None], float("-inf")).amax(1)
        return hidden.masked_fill((lengths == 0)[:, None], 0.0)


class Attention(nn.Module):
    """A weighted mean whose weights are a softmax over valid steps of a learned score (Bahdanau et al. 2015)."""

    def __init__(self, width: int, directions: str) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, 1))

    def weights(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the weights (B, T); each valid row sums to one."""
        scores = self.score(x)[:, :, 0].float()  # (B, T, F) -> (B, T)
        scores = scores.masked_fill(~valid(lengths, x.shape[1]), float("-inf"))
        return torch.softmax(scores.masked_fill((lengths == 0)[:, None], 0.0), dim=1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return (x * self.weights(x, lengths)[:, :, None].to(x.dtype)).sum(1)


class Pool(nn.Module):
    """Several pools, concatenated into one vector a row."""

    def __init__(self, names: list[str], width: int, directions: str) -> None:
        super().__init__()
        self.parts = nn.ModuleList(POOLS[name](width, directions) for name in names)
        self.width = width * len(names)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([part(x, lengths) for part in self.parts], dim=-1), lengths  # (B, T, F) -> (B, width)


class Keep(nn.Module):
    """No pool: the head gets every step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return x, lengths


def _output(width: int, outputs: int, recipe: config.PlainHead | config.ChainHead | config.CRFHead) -> nn.Sequential:
    activation = nn.Identity if getattr(recipe, "activation", "silu") == "none" else nn.SiLU
    hidden = [nn.Linear(width, recipe.hidden), activation()] if recipe.hidden else []
    last = nn.Linear(recipe.hidden or width, outputs, getattr(recipe, "bias", True))
    return nn.Sequential(nn.Dropout(recipe.dropout), *hidden, last)


class Regression(nn.Module):
    """One value for each target, in its unit: a standardised score times `scale` plus `shift`.

    `shift` and `scale`, both (K,), are mean and standard deviation of the training targets, stored with the weights.
    """

    pooled = True
    shift: Tensor
    scale: Tensor

    def __init__(self, width: int, outputs: int, recipe: config.PlainHead) -> None:
        super().__init__()
        self.output = _output(width, outputs, recipe)
        self.register_buffer("shift", torch.zeros(outputs))
        self.register_buffer("scale", torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x).float() * self.scale + self.shift  # (B, F) -> (B, K)


class CTC(nn.Module):
    """Raw scores of the blank and the four bases at each step, normalised by the loss and the decoders."""

    pooled = False

    def __init__(self, width: int, outputs: int, recipe: config.PlainHead | config.ChainHead) -> None:
        super().__init__()
        self.output = _output(width, outputs, recipe)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x).float()  # (B, T, F) -> (B, T, S)


class Classes(CTC):
    """Raw scores (B, C) of the classes of a row; their softmax has the probabilities before calibration."""

    pooled = True


class Labels(Classes):
    """Raw scores (B, C) of classes of which a row may have several; the logits of their probabilities."""


class Tokens(CTC):
    """Raw scores of the next symbol at each step, for a language model.

    Attributes
    ----------
    keep : bool: in training, store the input before and after dropout, each (B, T, F), in `kept` for the loss.
    """

    keep = False
    kept: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        dropped = self.output[0](x)
        if self.keep and self.training:
            self.kept = (x, dropped)
        return self.output[1:](dropped).float()  # (B, T, F) -> (B, T, S)

    def tie(self, table: nn.Embedding) -> None:
        """Use the vectors of an embedding of the same width as the weights of the last layer."""
        self.output[-1] = Tied(table)


class Tied(nn.Module):
    """A linear layer that shares the weights of an embedding (Press and Wolf 2017, EACL, 157-163)."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings))
        self._table = [table]  # in a list, so that the shared weights are registered and saved once

    @property
    def weight(self) -> Tensor:
        """Return the vectors (S, F)."""
        return self._table[0].weight

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


class CRF(nn.Module):
    """Scores of the transitions between states of `state_len` bases, at each step, laid out as in `kernels.crf.loss`.

    Scores of moves lie within +- `scale` by `squash`; staying scores the constant `blank`, or is learned if that is
    None.
    """

    pooled = False

    def __init__(self, width: int, outputs: int, recipe: config.CRFHead) -> None:
        super().__init__()
        self.state_len, self.blank, self.scale = recipe.state_len, recipe.blank, recipe.scale
        self.states, self.squash = (outputs - 1) ** recipe.state_len, recipe.squash
        self.output = _output(width, self.states * (outputs - (recipe.blank is not None)), recipe)

    def forward(self, x: Tensor) -> Tensor:
        scores = SQUASHES[self.squash](self.output(x).float(), self.scale)  # (B, T, F) -> (B, T, moves of all states)
        if self.blank is None:
            return scores
        return torch.cat([scores.new_full((*scores.shape[:-1], self.states), self.blank), scores], dim=-1)


class Tags(CTC):
    """Raw scores of the states of each residue."""


class TagsCRF(CTC):
    """Raw scores of the states of each residue, and transition scores of a linear-chain CRF; see `kernels.chain`."""

    def __init__(self, width: int, outputs: int, recipe: config.ChainHead) -> None:
        super().__init__(width, outputs, recipe)
        self.call = recipe.call
        self.transitions = nn.Parameter(torch.zeros(outputs, outputs))  # row from, column to
        self.start, self.end = nn.Parameter(torch.zeros(outputs)), nn.Parameter(torch.zeros(outputs))

    def decode(self, logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the called states, int64 (B, T), and the probability of every state, float32 (B, T, S)."""
        probabilities = self.probabilities(logits, lengths)
        if self.call == "state":
            return probabilities.argmax(-1), probabilities
        return chain.viterbi(logits.float(), lengths, self.transitions, self.start, self.end), probabilities

    def probabilities(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return the marginal probability of each state, float32 (B, T, S)."""
        return chain.marginals(logits.float(), lengths, self.transitions, self.start, self.end)


class Values(Regression):
    """Values of each residue, in the unit of their targets."""

    pooled = False


# how scores are kept within +- scale
SQUASHES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "tanh": lambda x, scale: scale * torch.tanh(x),
    "clamp": lambda x, scale: x.clamp(-scale, scale),
    "none": lambda x, scale: x,
}

POOLS: dict[str, type[nn.Module]] = {
    "last": Last,
    "mean": Mean,
    "max": Max,
    "sum": Sum,
    "attention": Attention,
    "multihead": MultiHead,
}

HEADS: dict[str, type[Regression] | type[CTC] | type[CRF] | type[Decoder]] = {
    "regression": Regression,
    "classes": Classes,
    "labels": Labels,
    "ctc": CTC,
    "crf": CRF,
    "tokens": Tokens,
    "tags": Tags,
    "tags_crf": TagsCRF,
    "values": Values,
    "decoder": Decoder,
}
