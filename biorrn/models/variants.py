"""A front end for variants of one protein: what differs from a reference sequence, position by position.

What a substitution adds is the sum of three vectors: one of its own, one of its position, and one that a small network
makes of the two residues, so that a substitution never measured is like its kin. A pool `sum` over them and a curved
head is a model of global epistasis (Otwinowski, McCandlish and Plotkin 2018, PNAS 115:E7550; Tareen et al. 2022, Genome
Biology 23:98): effects add up on a scale that is not the measured one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biorrn import config
from biorrn.encoders.alphabets import N_TOKENS
from biorrn.encoders.residues import TABLES, tokens
from biorrn.errors import ConfigError


def place(x: Tensor, lengths: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return what stands at each position of a reference, and how many residues were put in there.

    A row as long as the reference is taken position by position. One of another length is taken to have one run of
    residues deleted or inserted, at the place where most of the others agree with the reference.

    Parameters
    ----------
    x : int64 (B, T), 0-padded; lengths : int64 (B,); reference : int64 (L,).

    Returns
    -------
    symbols : int64 (B, L): tokens, 0 where the residue is deleted.
    inserted : int64 (B, L): residues inserted before each position; those after the last count there.
    """
    size, height = len(reference), x.shape[0]
    at = torch.arange(size, device=x.device).expand(height, size)
    shift = (lengths - size)[:, None]  # residues more than the reference, (B, 1)
    padded = torch.nn.functional.pad(x, (0, max(0, size - x.shape[1])))

    def symbols_at(where: Tensor) -> Tensor:
        inside = (where >= 0) & (where < lengths[:, None])
        return torch.where(inside, padded.gather(1, where.clamp(0, padded.shape[1] - 1)), 0)

    left, right = symbols_at(at), symbols_at(at + shift)  # aligned at the first, at the last residue
    # agree[:, c]: positions below c taken from the left, the others from the right
    matches = (left == reference).long(), (right == reference).long()
    agree = matches[1].sum(1, keepdim=True) + torch.nn.functional.pad((matches[0] - matches[1]).cumsum(1), (1, 0))
    deleted = (-shift).clamp(min=0)
    cut = torch.arange(size + 1, device=x.device).expand(height, size + 1)
    allowed = (cut + deleted <= size) & (cut <= lengths[:, None])
    # a deletion takes the positions from the cut on, so that the right side starts only after it
    after = (cut + deleted).clamp(max=size)
    if bool((deleted > 0).any()):
        tail = matches[1].flip(1).cumsum(1).flip(1)  # matches at or after a position
        tail = torch.nn.functional.pad(tail, (0, 1))
        agree = torch.nn.functional.pad(matches[0].cumsum(1), (1, 0)) + tail.gather(1, after)
    start = torch.where(allowed, agree, -1).argmax(1, keepdim=True)  # the first of equals
    start = torch.where(shift == 0, size, start)
    symbols = torch.where(at < start, left, torch.where(at < start + deleted, 0, right))
    inserted = torch.where(at == start.clamp(max=size - 1), shift.clamp(min=0), 0)
    return symbols, inserted


class Variant(nn.Module):
    """Maps tokens (B, T) to vectors (B, L, width), one a position of the reference, zero where nothing differs.

    `settled` is the recipe with the reference in it, as a model folder keeps it.
    """

    reference: Tensor
    features: Tensor

    def __init__(self, recipe: config.Variant) -> None:
        super().__init__()
        if not recipe.reference:
            raise ConfigError("frontend 'variant': key 'reference' is missing; training fills it in")
        self.settled = recipe
        self.width = recipe.width
        reference = torch.from_numpy(tokens(recipe.reference)).long()
        self.register_buffer("reference", reference, persistent=False)
        table = torch.cat([torch.from_numpy(TABLES["blosum62"]), torch.from_numpy(TABLES["scales"])], 1)  # (22, F)
        wild = table[reference][:, None, :].expand(-1, N_TOKENS, -1)
        gap = torch.zeros(len(reference), N_TOKENS, 1)
        gap[:, 0] = 1.0
        features = torch.cat([table[None] - wild, wild, gap], 2)  # (L, N_TOKENS, 2F + 1); symbol 0 is a deletion
        self.register_buffer("features", features, persistent=False)
        self.own = nn.Parameter(0.01 * torch.randn(len(reference) * N_TOKENS, recipe.width))
        self.position = nn.Parameter(0.01 * torch.randn(len(reference), recipe.width))
        self.kin = nn.Sequential(
            nn.Linear(features.shape[2], recipe.hidden), nn.Tanh(), nn.Linear(recipe.hidden, recipe.width)
        )
        self.insertion = nn.Parameter(torch.zeros(1, recipe.width))

    def effects(self) -> Tensor:
        """Return the vector of each symbol at each position, (L, N_TOKENS, width); symbol 0 is a deletion."""
        own = self.own.view(len(self.reference), N_TOKENS, -1)
        differs = torch.arange(N_TOKENS, device=own.device)[None, :] != self.reference[:, None]
        return (own + self.position[:, None] + self.kin(self.features)) * differs[:, :, None]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        symbols, inserted = place(x, lengths, self.reference)
        offsets = N_TOKENS * torch.arange(len(self.reference), device=x.device)
        table = self.effects().flatten(0, 1)
        found = nn.functional.embedding(symbols + offsets, table)  # (B, L) -> (B, L, width)
        if bool((inserted > 0).any()):
            found = found + inserted[:, :, None] * (self.insertion + self.position)
        return found, torch.full_like(lengths, len(self.reference))
