"""Split of a user's table for train, valid and test, or for folds: chosen by the kind of data, or as asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.terminal import plural
from biorrn.proteins.train_table.table import NO_SPLIT, Look, Table, distinct
from biorrn.sequences.alphabets import tokens
from biorrn.sequences.prepared.schema import SPLITS
from biorrn.sequences.similarity import cluster, families
from biorrn.sequences.splits import (
    CHOOSING_PART,
    FOLDS,
    FRACTIONS,
    Cluster,
    Folds,
    Random,
    fold_splits,
    mutated_sites,
    order_split,
    parse_split,
    shares,
    site_fold_splits,
)

CLASS_FRACTIONS = (0.7, 0.2, 0.1)  # of classes: half of the validation rows calibrate
# families are made at the first of these parts of shared words where none holds half of the rows; the identity that
# such pairs have, about
SHARED = ((0.05, 50), (0.2, 70), (0.5, 90))
LARGEST = 0.5
LEAST_GROUPS = 10


@dataclass(frozen=True, slots=True)
class Split:
    """A split, with its groups and the reason for it.

    Attributes
    ----------
    codes : uint8 array (N,): 0 train, 1 valid, 2 test.
    groups : int64 array (N,): rows of one group are in one split, unless a column says otherwise.
    how, why : str: how it was made and why, for the log.
    by_column : bool: the split is a column of the table.
    wild_type : str: what positions of mutations are of, for variants of one protein; else "".
    folds : Folds: with no more folds than groups or positions, where the number was not given.
    """

    codes: np.ndarray
    groups: np.ndarray
    how: str
    why: str
    by_column: bool = False
    wild_type: str = ""
    folds: Folds = field(default_factory=Folds)

    @property
    def held_out(self) -> str:
        """Return the split on which the model is evaluated: test where it has rows, else valid."""
        return "test" if (self.codes == SPLITS.index("test")).any() else "valid"


def choose_split(
    table: Table, seen: Look, asked: str | None = None, seed: int = 0, folds: Folds | None = None
) -> Split:
    """Return the split that fits the data, or the one asked for.

    Parameters
    ----------
    asked : as `biorrn prepare protein --split` takes it; a column must be that of `table.split_column`.
    folds : of a cross-validation, which decide the groups, or for `order` the split.

    Raises
    ------
    ConfigError: the split or the folds asked for cannot be made, or there are too few groups.
    """
    folds = folds or Folds()
    wanted = parse_split(asked, "protein", seed) if asked else None
    usual = CLASS_FRACTIONS if table.classes else FRACTIONS
    fractions = wanted.fractions if isinstance(wanted, Random | Cluster) else usual
    identity = wanted.identity if isinstance(wanted, Cluster) else None
    wild_type = (table.wild_type or seen.reference) if seen.kind == "variants" else ""
    _check_folds(table, seen, folds, asked)
    by_column = (table.codes != NO_SPLIT).all() and not isinstance(wanted, Random | Cluster)
    if folds.by_site:
        sites = mutated_sites(table.tokens, table.offsets, tokens(wild_type))
        groups, how = distinct(table), f"{FOLDS[folds.kind]}, {len(sites.positions):,} positions are mutated"
        why = f"--folds {folds.kind}"
        if folds.kind == "order":
            how = f"rows with more than {plural(folds.number, 'mutation')} are test"
            codes = order_split(sites, groups, folds.number, seed)
            return Split(codes, groups, how, why, wild_type=wild_type, folds=folds)
    else:
        groups, how, why = _groups(table, seen, isinstance(wanted, Random) or folds.kind == "random", identity)
    if folds.rounds:  # so that folds that cannot be are told before anything is written or trained
        outside = table.codes != SPLITS.index("test") if by_column else np.ones(len(table), bool)
        if folds.by_site:
            folds = folds.among(len(sites.of(outside).positions))
            rounds = site_fold_splits(sites.of(outside), folds, seed)
        else:
            folds = folds.among(len(np.unique(groups[outside])))
            rounds = fold_splits(groups[outside], folds.number, seed)
        tested = int((np.array(list(rounds)) == SPLITS.index("test")).any(axis=0).sum())
        how += f", {tested:,} of {outside.sum():,} rows are tested" if tested < outside.sum() else ""
    if by_column:
        return replace(_by_column(table, groups, how, seed), wild_type=wild_type, folds=folds)
    codes = shares(groups, fractions, seed)
    if table.classes and (moved := train_every_class(codes, groups, table.members)):
        why += f"; {plural(moved, 'row')} moved to train, for a class that had none there"
    return Split(codes, groups, how, why, wild_type=wild_type, folds=folds)


def _check_folds(table: Table, seen: Look, folds: Folds, asked: str | None) -> None:
    """Raise ConfigError if the folds do not go with the table or with another option."""
    given = f"--folds {folds.kind}"
    if asked and (folds.kind == "order" or (folds.kind and not asked.startswith("column:"))):
        raise ConfigError(f"{given}: not with --split {asked}; allowed is one of them")
    if folds.kind not in ("", "group") and table.groups is not None:
        raise ConfigError(f"{given}: not with --groups; --folds group keeps its groups whole")
    if folds.kind == "group" and table.groups is None and seen.kind == "variants":
        raise ConfigError(f"{given}: variants of one protein are a single family; name a column with --groups")
    if folds.by_site and seen.kind != "variants":
        raise ConfigError(
            f"{given}: the rows are not variants of one protein, so that no positions are shared; allowed is random or "
            "group"
        )


def train_every_class(codes: np.ndarray, groups: np.ndarray, members: np.ndarray) -> int:
    """Put the largest group of each class without training rows into train; change `codes`, return the rows moved.

    Parameters
    ----------
    codes, groups : arrays (N,): split and group of each row.
    members : bool array (N, C): which classes each row has.
    """
    before = int((codes == 0).sum())
    for one in np.flatnonzero(members.any(axis=0)):
        if members[codes == 0, one].any():
            continue
        own = groups[members[:, one]]
        codes[groups == np.bincount(own).argmax()] = 0
    return int((codes == 0).sum()) - before


def _by_column(table: Table, groups: np.ndarray, how: str, seed: int) -> Split:
    codes = table.codes.copy()
    said = f"column '{table.split_column}'"
    why = "given by the table"
    if not (codes == 1).any():
        train = np.flatnonzero(codes == 0)
        codes[train] = shares(groups[train], (1 - CHOOSING_PART, CHOOSING_PART, 0.0), seed)
        why += f"; it names no rows to choose by, so a tenth of the training rows does ({how})"
    return Split(codes, groups, said, why, by_column=True)


def _groups(table: Table, seen: Look, by_chance: bool, identity: float | None) -> tuple[np.ndarray, str, str]:
    """Return the groups that stay together, with how they were made and why."""
    if table.groups is not None:
        return table.groups, "whole groups of the column", f"--groups: {int(table.groups.max()) + 1:,} groups"
    same = "at random, the same sequence on one side only"
    if by_chance:
        return distinct(table), same, "by --split"
    if identity is not None:
        return cluster(table.tokens, table.offsets, identity), f"clusters of {identity:g} identity", "by --split"
    if seen.kind == "variants":
        return distinct(table), same, "variants of one protein would form a single cluster"
    for part, identity in SHARED:
        groups = families(table.tokens, table.offsets, part)
        sizes = np.bincount(groups)
        if len(sizes) >= LEAST_GROUPS and sizes.max() <= LARGEST * len(table):
            how = f"whole families, by shared words (about {identity} % identity)"
            return (
                groups,
                how,
                f"dissimilar proteins, {len(sizes):,} families: no relative of a held-out protein in training",
            )
    return distinct(table), same, f"at {SHARED[-1][1]} % identity most proteins are still one family"
