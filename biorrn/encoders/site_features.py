"""Features of variants of one protein: what is substituted by what, and what other variants of the sites measured.

The means of the sites are target encoding (Micci-Barreca 2001, SIGKDD Explorations 3:27): for training rows they are
taken in folds, so that no row sees its own value in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biorrn.encoders.residues import TABLES

PRIOR = 1.0  # rows of effect 0 that every mean begins with
NEAR = 3.0  # positions: standard deviation of the window over neighbouring sites
ALIKE = 3.0  # distance of two residues in standardised scales at which one says e^-1/2 as much of the other
FOLDS = 10  # in which the means of the sites are taken for training rows

_SCALES = TABLES["scales"].astype(np.float64)  # (22, 10)
_BLOSUM = np.zeros((len(_SCALES), len(_SCALES)))
_BLOSUM[:, 1:21] = TABLES["blosum62"]
_SIMILAR = np.exp(-0.5 * np.square(_SCALES[:, None] - _SCALES[None]).sum(2) / ALIKE**2)  # (22, 22)
WIDTH = len(_SCALES)
COLUMNS = 1 + 3 * (6 + 3 * _SCALES.shape[1] + 2) + 2 * WIDTH  # features of a row


@dataclass(frozen=True)
class Substitutions:
    """Where rows differ from a reference: one entry a substitution.

    Attributes
    ----------
    row, site : int64 arrays (M,).
    old, new : uint8 arrays (M,): tokens.
    counts : int64 array (N,): substitutions of each row.
    """

    row: np.ndarray
    site: np.ndarray
    old: np.ndarray
    new: np.ndarray
    counts: np.ndarray

    def part(self, mask: np.ndarray) -> Substitutions:
        """Return the substitutions where the bool array (M,) is True; the counts stay those of whole rows."""
        return Substitutions(self.row[mask], self.site[mask], self.old[mask], self.new[mask], self.counts)


def substitutions(table: np.ndarray, reference: np.ndarray) -> Substitutions:
    """Return where rows, uint8 (N, L) padded with 0, differ from a reference (L,); padding is no difference."""
    row, site = np.nonzero((table != reference) & (table > 0))
    return Substitutions(row, site, reference[site], table[row, site], np.bincount(row, minlength=len(table)))


@dataclass(frozen=True)
class Effects:
    """What measured rows say of substitutions, as tables to look up: float32 each.

    Attributes
    ----------
    site, around, count : (L,): mean effect at a site and at those beside it, and the rows that the first rests on.
    alike : (L, 22): mean effect at a site of residues alike.
    comes, goes : (22,): mean effect of the residue that comes, and of the one that goes.
    """

    site: np.ndarray
    around: np.ndarray
    count: np.ndarray
    alike: np.ndarray
    comes: np.ndarray
    goes: np.ndarray

    def of(self, asked: Substitutions) -> np.ndarray:
        """Return what they say of each substitution, float64 (M, 6)."""
        found = [self.site[asked.site], self.alike[asked.site, asked.new], self.around[asked.site]]
        found += [self.comes[asked.new], self.goes[asked.old], self.count[asked.site]]
        return np.stack(found, axis=1).astype(np.float64)


def learn(known: Substitutions, values: np.ndarray, weights: np.ndarray, length: int) -> Effects:
    """Return the effects of substitutions of measured rows.

    Parameters
    ----------
    values, weights : float64 arrays (N,): of the rows, values around 0; each substitution of a row has an equal part.
    length : int: of the reference.
    """
    share = weights[known.row]
    value = share * values[known.row] / np.maximum(known.counts[known.row], 1)
    place = known.site * WIDTH + known.new
    sums = np.bincount(place, value, length * WIDTH).reshape(length, WIDTH)
    counts = np.bincount(place, share, length * WIDTH).reshape(length, WIDTH)
    site_sums, site_counts = sums.sum(1), counts.sum(1)
    reach = np.arange(-int(3 * NEAR), int(3 * NEAR) + 1)
    window = np.exp(-0.5 * np.square(reach / NEAR)) * (reach != 0)
    around = [np.convolve(part, window)[reach[-1] : reach[-1] + length] for part in (site_sums, site_counts)]
    goes = np.bincount(known.old, value, WIDTH) / (np.bincount(known.old, share, WIDTH) + PRIOR)
    tables = (
        *(site_sums / (site_counts + PRIOR), around[0] / (around[1] + PRIOR), site_counts),
        (sums @ _SIMILAR) / (counts @ _SIMILAR + PRIOR),
        *(sums.sum(0) / (counts.sum(0) + PRIOR), goes),
    )
    return Effects(*(table.astype(np.float32) for table in tables))


def learn_in_folds(known: Substitutions, values: np.ndarray, weights: np.ndarray, length: int, seed: int) -> np.ndarray:
    """Return what the other rows say of each substitution of each row, float64 (M, 6)."""
    rows = len(values)
    fold = np.random.default_rng(seed).permutation(rows) % max(1, min(FOLDS, rows))
    learned = np.zeros((len(known.row), 6))
    for number in range(int(fold.max(initial=0)) + 1):
        held = fold[known.row] == number
        learned[held] = learn(known.part(~held), values, weights, length).of(known.part(held))
    return learned


def features(asked: Substitutions, learned: np.ndarray, length: int) -> np.ndarray:
    """Return the features of rows, float32 (N, F): sum, least and most over the substitutions of each, and residues.

    Parameters
    ----------
    learned : float64 array (M, 6): what `Effects.of` says of each substitution.
    """
    old, new = _SCALES[asked.old], _SCALES[asked.new]
    score, place = _BLOSUM[asked.old, asked.new][:, None], asked.site[:, None] / max(length, 1)
    each = np.concatenate([learned, new - old, np.abs(new - old), old, score, place], axis=1)
    n = len(asked.counts)
    sums, least, most = (np.zeros((n, each.shape[1])) for _ in range(3))
    least[asked.counts > 0], most[asked.counts > 0] = np.inf, -np.inf
    np.add.at(sums, asked.row, each)
    np.minimum.at(least, asked.row, each)
    np.maximum.at(most, asked.row, each)
    residues = np.zeros((n, 2 * WIDTH))
    np.add.at(residues, (asked.row, asked.old), 1.0)
    np.add.at(residues, (asked.row, asked.new + WIDTH), 1.0)
    return np.concatenate([asked.counts[:, None], sums, least, most, residues], axis=1).astype(np.float32)
