"""Front end `table`: each residue gets the vector of the k-mer around it, from a file, frozen or tuned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biorrn import config
from biorrn.batch import valid
from biorrn.encoders.alphabets import N_TOKENS
from biorrn.encoders.residues import tokens
from biorrn.readers.vectors import read_vectors


class KmerTable(nn.Module):
    """Looks up the k-mer that has its middle at each residue (of an even k: the left one of its two middles).

    A k-mer that reaches over an end of the protein, or is not in the table, has the unknown vector, the last row.

    Attributes
    ----------
    codes : int64 tensor (N,), sorted: the k-mers as numbers in base `N_TOKENS`, first residue highest.
    vectors : float tensor (N + 1, F); a parameter where the recipe says `tune`.
    settled : the recipe without its file: what a model folder keeps, since the values are in the weights.
    """

    codes: Tensor
    vectors: Tensor

    def __init__(self, recipe: config.Vectors) -> None:
        super().__init__()
        if recipe.path is None:
            self.k, rows, self.width = recipe.k, recipe.rows, recipe.width
            codes, vectors = torch.zeros(rows, dtype=torch.int64), torch.zeros(rows + 1, self.width)
        else:
            table = read_vectors(recipe.path)
            self.k, (rows, self.width) = table.k, table.vectors.shape
            words = torch.as_tensor([tokens(word).tolist() for word in table.words])
            codes = self._code(words)
            order = codes.argsort()
            codes = codes[order]
            vectors = torch.cat([torch.from_numpy(table.vectors)[order], torch.from_numpy(table.unknown)[None]])
        self.register_buffer("codes", codes)
        if recipe.tune:
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
        self.settled = config.Vectors(tune=recipe.tune, k=self.k, rows=rows, width=self.width)

    def _code(self, windows: Tensor) -> Tensor:
        """Return k-mers of tokens (..., k) as numbers (...)."""
        powers = N_TOKENS ** torch.arange(self.k - 1, -1, -1, device=windows.device)
        return (windows * powers).sum(-1)

    def rows(self, x: Tensor) -> Tensor:
        """Return the row of `vectors` of each residue: x (B, T) -> int64 (B, T)."""
        left = (self.k - 1) // 2
        padded = F.pad(x, (left, self.k - 1 - left))  # token 0 outside, as in padding: in no k-mer of the table
        code = self._code(padded.unfold(1, self.k, 1))  # (B, T, k) -> (B, T)
        place = torch.searchsorted(self.codes, code).clamp(max=len(self.codes) - 1)
        return torch.where(self.codes[place] == code, place, len(self.codes))

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        features = F.embedding(self.rows(x), self.vectors)  # (B, T) -> (B, T, width)
        return features * valid(lengths, x.shape[1])[:, :, None], lengths
