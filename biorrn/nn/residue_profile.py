"""Network that predicts secondary structure and disorder of each residue, and its summary as protein features.

The weights are trained once on structures by `training.residue_profile`, and never on the property that the features
help to predict.
"""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn.nn.batch import valid
from biorrn.sequences.alphabets import N_TOKENS, TABLES

WIDTH = 64  # features a residue
FIRST, KERNEL = 9, 5  # residues of the first convolution's kernel and of the others'
DILATIONS = (1, 2, 4, 8)
STATES = ("helix", "strand", "coil")
TOP = 10  # one pool is the mean of the highest 1/TOP of the residues
END = 15  # residues at each end whose order is averaged
SUMMARY = 3 * len(STATES) + 9  # columns of `summary`
POOLED = SUMMARY + 3 * WIDTH  # columns of `pooled`


class Profile(NamedTuple):
    """Outputs of the network for the residues of a batch."""

    hidden: Tensor  # (B, T, WIDTH), 0 at padding
    states: Tensor  # (B, T, 3): logits of STATES
    resolved: Tensor  # (B, T): logit that the residue is resolved in the crystal structure


class ResidueProfile(nn.Module):
    """Residual convolutions over one-hot residues, BLOSUM62 and scales, to structure and order of each residue."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        onehot = torch.eye(N_TOKENS)[:, 1:]
        fixed = [torch.from_numpy(TABLES[name]) for name in ("blosum62", "scales")]
        self.register_buffer("table", torch.cat([onehot, *fixed], 1), persistent=False)
        self.first = nn.Conv1d(self.table.shape[1], WIDTH, FIRST, padding=FIRST // 2)
        self.layers = nn.ModuleList(
            nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2 * step, dilation=step) for step in DILATIONS
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in DILATIONS)
        self.output = nn.Linear(WIDTH, len(STATES) + 1)
        self.dropout = nn.Dropout(0.15)

    def forward(self, x: Tensor, lengths: Tensor) -> Profile:
        """Return the profile of tokens (B, T), 0 beyond `lengths` (B,)."""
        inside = valid(lengths, x.shape[1])[:, None].to(self.first.weight.dtype)  # (B, 1, T)
        hidden = F.relu(self.first(F.embedding(x, self.table).transpose(1, 2))) * inside
        for layer, norm in zip(self.layers, self.norms, strict=True):
            hidden = (hidden + F.relu(layer(self.dropout(norm(hidden)) * inside))) * inside
        hidden = hidden.transpose(1, 2)
        scores = self.output(self.dropout(hidden))
        return Profile(hidden, scores[..., :-1], scores[..., -1])

    def pooled(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return features of whole proteins, float32 (B, POOLED): `summary`, then `moments` of the hidden states."""
        profile = self(x, lengths)
        return torch.cat([summary(profile, lengths), moments(profile.hidden, lengths)], 1)


def summary(profile: Profile, lengths: Tensor) -> Tensor:
    """Return (B, SUMMARY): mean and spread of each state's probability, segments a residue, certainty, and order."""
    inside = valid(lengths, profile.resolved.shape[1])
    size = lengths.clamp(min=1).to(profile.resolved.dtype)[:, None]
    states = torch.softmax(profile.states, -1) * inside[..., None]  # (B, T, 3)
    mean = states.sum(1) / size
    spread = _spread(states, mean, inside, size)
    chosen = profile.states.argmax(-1)
    begins = inside.clone()
    begins[:, 1:] &= chosen[:, 1:] != chosen[:, :-1]
    segments = (F.one_hot(chosen, len(STATES)) * begins[..., None]).sum(1) / size
    longest = (lengths[:, None] * mean[:, :2]).clamp(min=0).log1p()  # residues in helices and in strands
    certainty = (states * states.clamp(min=1e-9).log()).sum(-1).sum(1, keepdim=True) / size
    order = torch.sigmoid(profile.resolved) * inside
    level = order.sum(1, keepdim=True) / size
    rest = _spread(order[..., None], level, inside, size)
    loose = ((order < 0.5) & inside).sum(1, keepdim=True) / size
    place = torch.arange(inside.shape[1], device=inside.device)[None]
    near = lengths.clamp(1, END).to(order.dtype)[:, None]
    start = (order * (place < END)).sum(1, keepdim=True) / near
    end = (order * (place >= lengths[:, None] - END)).sum(1, keepdim=True) / near
    least = torch.where(inside, order, 1.0).amin(1, keepdim=True)
    return torch.cat([mean, spread, segments, longest, certainty, level, rest, loose, start, end, least], 1)


def moments(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, 3 * WIDTH): mean, spread, and mean of the highest tenth of each feature over the residues."""
    inside = valid(lengths, hidden.shape[1])
    size = lengths.clamp(min=1).to(hidden.dtype)[:, None]
    mean = hidden.sum(1) / size
    ranked = hidden.masked_fill(~inside[..., None], float("-inf")).sort(1, descending=True).values
    count = (lengths // TOP).clamp(min=1)
    highest = torch.where((valid(count, hidden.shape[1]) & inside)[..., None], ranked, 0.0)
    return torch.cat([mean, _spread(hidden, mean, inside, size), highest.sum(1) / count[:, None]], 1)


def _spread(values: Tensor, mean: Tensor, inside: Tensor, size: Tensor) -> Tensor:
    return (((values - mean[:, None]) * inside[..., None]).square().sum(1) / size).sqrt()


def shipped_profile() -> ResidueProfile:
    """Return the network with the weights of the package, in evaluation mode and frozen."""
    from safetensors.torch import load

    content = (resources.files("biorrn.pretrained") / "residue_profile" / "profile.safetensors").read_bytes()
    network = ResidueProfile()
    network.load_state_dict(load(content))
    return network.eval().requires_grad_(False)
