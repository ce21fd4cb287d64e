"""Kernel of additive substitution effects; its Gaussian process is stored as a table of effects."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from biorrn.config import recipe as config
from biorrn.nn.gaussian.kernels import HELIX, Setting, Variants, logarithms, matern, scales
from biorrn.sequences.alphabets import N_TOKENS

WINDOW = 14  # neighbouring positions whose rows are drawn together for a step of learning


class SubstitutionKernel(Variants):
    """The sum of the covariances of each substitution of one row with each substitution of the other.

    An effect is the sum of four terms: a constant; the new residue; the position; and the new residue at the position.
    A position correlates with its neighbours, those a helix turn away, and those with a similar residue. Where a model
    tells of the substitutions, a row's sums of what it tells are a further, linear term: the regression of Hsu et al.
    2022 (Nature Biotechnology 40:1114) as part of the prior, whose weights the marginal likelihood bounds.
    """

    def __init__(self, recipe: config.Substitutions, setting: Setting) -> None:
        super().__init__(setting)
        width = self.features.shape[1]
        self.amplitudes = logarithms(0.5, 0.5, 0.37, 0.14, 0.14, 0.37, 0.14, 0.14, 0.14)
        self.residue = scales(width, 3.0)  # of the new residue alone
        self.specific = scales(width, 3.0)  # of the new residue at its position
        self.wild = scales(width, 3.0)  # of the old residue, for the effect of a position
        self.wild_specific = scales(width, 3.0)  # and for that of both together
        self.reach = logarithms(3.0, 3.0)  # positions, for the effect of a position and for that of both together
        self.helical = nn.Parameter(torch.zeros(1, dtype=torch.float64))  # share, as a logit
        self.equality = nn.Parameter(torch.full((1,), -2.0, dtype=torch.float64))
        # a fitted model holds their effect in its table, and needs them no more
        self.register_buffer("told", setting.told, persistent=False)
        if setting.told is not None:
            self.slopes = logarithms(*[0.1] * setting.told.shape[-1])  # variances of the weights of what is told

    told: Tensor | None

    def parts(self, among: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the covariances of positions alone and of positions with residues, both (P, P); of residues with
        positions and of residues alone, both (N_TOKENS, N_TOKENS); and the constants of all rows and of a substitution.

        Parameters
        ----------
        among : int64 (P,): places in `positions`.
        """
        every, each, own, smooth, wild, both, smooth_both, wild_both, alone = self.amplitudes.exp()
        features, positions = self.features.double(), self.positions[among]
        reference, device = self.reference[positions], features.device

        def alike(lengths: Tensor) -> Tensor:
            scaled = features * lengths.exp()
            return matern(scaled, scaled, 3)

        same = torch.eye(len(reference), dtype=torch.float64, device=device)
        apart = (positions[:, None] - positions[None]).abs().double()
        share = self.helical.sigmoid()
        turn = 1 - share + share * torch.cos(2 * math.pi * apart / HELIX)
        near, near_both = (torch.exp(-apart / reach) * turn for reach in self.reach.exp())
        old = torch.eye(N_TOKENS, dtype=torch.float64, device=device)[reference]  # (L, N_TOKENS)
        place = own * same + smooth * near + wild * (old @ alike(self.wild) @ old.T)
        mixed = both * same + smooth_both * near_both + wild_both * (old @ alike(self.wild_specific) @ old.T)
        equal = self.equality.sigmoid()
        new = (1 - equal) * alike(self.specific) + equal * torch.eye(N_TOKENS, dtype=torch.float64, device=device)
        return place, mixed, new, alone * alike(self.residue), every, each

    def changed(self, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the substitutions of rows (N, L), each (M,): row, position, new symbol."""
        row, place = (codes != self.reference[self.positions]).nonzero(as_tuple=True)
        return row, place, codes[row, place]

    def gram(self, a: Tensor, b: Tensor) -> Tensor:
        """Return float64 (N, M) for codes (N, L) and (M, L)."""
        spreads, found = [], []
        for codes in (a, b):
            row, at, symbol = self.changed(codes)
            kinds, which = torch.unique(at * N_TOKENS + symbol, return_inverse=True)
            entries = torch.stack([row, which]), torch.ones(len(row), dtype=torch.float64, device=row.device)
            spreads.append(torch.sparse_coo_tensor(*entries, (len(codes), len(kinds)), check_invariants=False))
            found.append((kinds // N_TOKENS, kinds % N_TOKENS))
        (p, s), (q, t) = found
        among, where = torch.unique(torch.cat([p, q]), return_inverse=True)
        place, mixed, new, alone, every, each = self.parts(among)
        p, q = where[: len(p)], where[len(p) :]
        pairs = pick(place, p, q) + pick(mixed, p, q) * pick(new, s, t) + pick(alone, s, t) + each
        # (U, V) kinds of substitutions to (N, M) rows that hold them
        total = every + torch.sparse.mm(spreads[1], torch.sparse.mm(spreads[0], pairs).T).T
        if self.told is not None:
            total = total + (self.sums(a) * self.slopes.exp()) @ self.sums(b).T
        return total

    def sums(self, codes: Tensor) -> Tensor:
        """Return the sums of what is told of the substitutions of rows (N, L), float64 (N, F)."""
        assert self.told is not None
        row, at, symbol = self.changed(codes)
        empty = torch.zeros(len(codes), self.told.shape[-1], dtype=torch.float64, device=codes.device)
        return empty.index_add_(0, row, self.told[self.positions[at], symbol])

    def singles(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes of the rows with one substitution, int64 (P * N_TOKENS, L), and their prior variances.

        Parameters
        ----------
        at : int64 (P,): places in `positions`.
        """
        place, mixed, new, alone, every, each = self.parts(at)
        old = self.reference[self.positions]
        codes = old.repeat(len(at) * N_TOKENS, 1)
        which, symbol = torch.arange(len(at)).repeat_interleave(N_TOKENS), torch.arange(N_TOKENS).repeat(len(at))
        codes[torch.arange(len(codes)), at[which]] = symbol
        own = place.diagonal()[which] + mixed.diagonal()[which] * new.diagonal()[symbol]
        own = own + alone.diagonal()[symbol] + each
        if self.told is not None:
            own = own + (self.told[self.positions[at[which]], symbol].square() * self.slopes.exp()).sum(1)
        return codes, every + own.masked_fill(symbol == old[at[which]], 0.0)

    def draw(self, codes: Tensor, rows: int, generator: torch.Generator) -> Tensor:
        """Return the indices of about `rows` rows: those with a substitution in one of a few windows.

        Random rows would hold too few substitutions of one position to learn their covariance.
        """
        if len(codes) <= rows:
            return torch.arange(len(codes))
        size = len(self.positions)
        differs = codes != self.reference[self.positions]
        chosen = torch.zeros(len(codes), dtype=torch.bool)
        for start in torch.randint(size, (4 * size,), generator=generator).tolist():
            chosen |= differs[:, torch.arange(start, start + WINDOW) % size].any(1)
            if int(chosen.sum()) >= rows:
                break
        found = chosen.nonzero()[:, 0]
        return found[torch.randperm(len(found), generator=generator)[: 2 * rows]]

    def effects(self, codes: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of a row without substitutions, (), and the effect of each substitution, (L, N_TOKENS).

        Parameters
        ----------
        codes : int64 (N, L): the training rows; alpha : float64 (N,): their weights in a prediction.
        """
        place, mixed, new, alone, every, each = self.parts(torch.arange(len(self.positions), device=codes.device))
        row, at, symbol = self.changed(codes)
        held = torch.zeros(len(self.positions), N_TOKENS, dtype=torch.float64, device=codes.device)
        held.index_put_((at, symbol), alpha[row], accumulate=True)
        table = place @ held.sum(1, keepdim=True) + mixed @ held @ new.T + held.sum(0) @ alone.T + each * held.sum()
        if self.told is not None:
            table = table + self.told[self.positions] @ (self.slopes.exp() * (alpha @ self.sums(codes)))
        kept = torch.arange(N_TOKENS, device=codes.device) == self.reference[self.positions][:, None]
        return every * alpha.sum(), table.masked_fill(kept, 0.0)


def pick(table: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return table[rows][:, columns]; with a gradient by one-hot products, since that of a gather is a slow scatter."""
    if not table.requires_grad:
        return table[rows][:, columns]
    left, i = torch.unique(rows, return_inverse=True)
    right, j = torch.unique(columns, return_inverse=True)
    small = table[left][:, right]
    eye = {size: torch.eye(size, dtype=table.dtype, device=table.device) for size in (len(left), len(right))}
    return (eye[len(left)][i] @ small) @ eye[len(right)][j].T
