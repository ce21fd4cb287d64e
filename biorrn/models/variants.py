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
from biorrn.batch import place
from biorrn.encoders.alphabets import N_TOKENS
from biorrn.encoders.residues import TABLES, tokens
from biorrn.errors import ConfigError


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
