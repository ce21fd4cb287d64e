"""Which of a user's proteins train, choose and test: by their column, by whole groups, by similarity or by chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from biorrn.datasets.cluster import cluster
from biorrn.datasets.families import families
from biorrn.datasets.schema import SPLITS
from biorrn.datasets.splits import Cluster, Random, parse_split
from biorrn.errors import ConfigError
from biorrn.tasks.protein_look import Look
from biorrn.tasks.protein_table import NO_SPLIT, Table, distinct

FRACTIONS = (0.8, 0.1, 0.1)
CHOOSING = 0.1  # part of the training rows that chooses, where a column names none for it
# families are made at the first of these parts of shared words where none holds half of the rows; the identity that
# such pairs have, about
SHARED = ((0.05, 50), (0.2, 70), (0.5, 90))
LARGEST = 0.5
LEAST_GROUPS = 10
SEVERAL = 3  # groups, at the least: one for each part


@dataclass(frozen=True, slots=True)
class Split:
    """A split with what it was made from.

    Attributes
    ----------
    codes : uint8 array (N,): 0 train, 1 valid, 2 test.
    groups : int64 array (N,): rows of one number are on one side, unless a column said otherwise.
    how, why : str: for the reader.
    by_column : bool: whether a column of the table says it.
    """

    codes: np.ndarray
    groups: np.ndarray
    how: str
    why: str
    by_column: bool = False

    @property
    def held_out(self) -> str:
        """Return the split on which the model is evaluated: test where it has rows, else valid."""
        return "test" if (self.codes == SPLITS.index("test")).any() else "valid"


def choose_split(table: Table, seen: Look, asked: str | None = None, seed: int = 0) -> Split:
    """Return the split that fits the data, or the one asked for.

    Parameters
    ----------
    asked : as `biorrn prepare protein --split` takes it; a column must be that of `table.split_column`.

    Raises
    ------
    ConfigError: the split asked for cannot be made, or there are too few groups.
    """
    wanted = parse_split(asked, "protein", seed) if asked else None
    fractions = wanted.fractions if isinstance(wanted, Random | Cluster) else FRACTIONS
    identity = wanted.identity if isinstance(wanted, Cluster) else None
    groups, how, why = _groups(table, seen, isinstance(wanted, Random), identity)
    if (table.codes != NO_SPLIT).all() and not isinstance(wanted, Random | Cluster):
        return _by_column(table, groups, how, seed)
    return Split(shares(groups, fractions, seed), groups, how, why)


def _by_column(table: Table, groups: np.ndarray, how: str, seed: int) -> Split:
    codes = table.codes.copy()
    said = f"column '{table.split_column}'"
    why = "given by the table"
    if not (codes == 1).any():
        train = np.flatnonzero(codes == 0)
        codes[train] = shares(groups[train], (1 - CHOOSING, CHOOSING, 0.0), seed)
        why += f"; it names no rows to choose by, so a tenth of the training rows does ({how})"
    return Split(codes, groups, said, why, by_column=True)


def _groups(table: Table, seen: Look, by_chance: bool, identity: float | None) -> tuple[np.ndarray, str, str]:
    """Return the groups that stay together, with how they were made and why."""
    if table.groups is not None:
        return table.groups, "whole groups of the column", f"--groups: {int(table.groups.max()) + 1:,} groups"
    same = "at random, the same sequence on one side only"
    if by_chance:
        return distinct(table), same, "--split asks for it"
    if identity is not None:
        return cluster(table.tokens, table.offsets, identity), f"clusters of {identity:g} identity", "--split"
    if seen.kind == "variants":
        return distinct(table), same, "variants of one protein would form a single cluster"
    for part, identity in SHARED:
        groups = families(table.tokens, table.offsets, part)
        sizes = np.bincount(groups)
        if len(sizes) >= LEAST_GROUPS and sizes.max() <= LARGEST * len(table):
            how = f"whole families, by shared words (about {identity} % identity)"
            return groups, how, f"unlike proteins, {len(sizes):,} families: no help from a relative in training"
    return distinct(table), same, f"at {SHARED[-1][1]} % identity most proteins are one family still"


def shares(groups: np.ndarray, fractions: tuple[float, float, float], seed: int) -> np.ndarray:
    """Return codes (N,): whole groups in random order to train, valid and test, each about its part of the rows.

    Groups larger than a quarter of the smallest part come first, so that they train: one of them as the whole of a
    test would make it a test of one family.

    Raises
    ------
    ConfigError: fewer groups than parts above 0.
    """
    wanted = [code for code, part in enumerate(fractions) if part > 0]
    numbers, place = np.unique(groups, return_inverse=True)
    if len(numbers) < len(wanted):
        raise ConfigError(f"--groups: found {len(numbers)} groups; expected at least {len(wanted)}, one a split")
    sizes = np.bincount(place)
    order = np.random.default_rng([seed, 7]).permutation(len(numbers))
    smallest = min(part for part in fractions if part > 0) * len(groups)
    large = sizes[order] > max(1.0, 0.25 * smallest)
    order = np.concatenate([order[large], order[~large]])
    ends = np.cumsum([fractions[code] for code in wanted])[:-1] * len(groups)
    cuts = np.searchsorted(np.cumsum(sizes[order]) - sizes[order] / 2, ends)
    for part in range(len(cuts)):
        before = cuts[part - 1] if part else 0
        cuts[part] = min(max(cuts[part], before + 1), len(order) - (len(cuts) - part))
    codes = np.empty(len(order), np.uint8)
    codes[order] = np.repeat(np.array(wanted, np.uint8), np.diff([0, *cuts, len(order)]))
    return codes[place]


def folds(groups: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Return the fold of each row, int64 (N,) from 0: whole groups, the largest first, each to the smallest fold.

    Raises
    ------
    ConfigError: fewer than two folds, or fewer groups than folds.
    """
    numbers, place = np.unique(groups, return_inverse=True)
    if not 2 <= number <= len(numbers):
        raise ConfigError(f"--folds: found {number}; allowed is 2 to {len(numbers)}, the groups of the rows")
    sizes = np.bincount(place)
    shuffled = np.random.default_rng([seed, 11]).permutation(len(numbers))
    held = np.zeros(number, np.int64)
    chosen = np.empty(len(numbers), np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        chosen[group] = int(held.argmin())
        held[chosen[group]] += sizes[group]
    return chosen[place]


def fold_splits(groups: np.ndarray, number: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the codes (N,) of each fold: its rows test, a tenth of the others chooses, the rest trains."""
    membership = folds(groups, number, seed)
    for fold in range(number):
        codes = np.full(len(groups), SPLITS.index("test"), np.uint8)
        rest = np.flatnonzero(membership != fold)
        if len(np.unique(groups[rest])) < 2:
            raise ConfigError(
                f"--folds {number}: only one group is left for training and selection; expected more groups"
            )
        codes[rest] = shares(groups[rest], (1 - CHOOSING, CHOOSING, 0.0), seed + fold)
        yield codes
