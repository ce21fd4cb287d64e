"""Splits into train, valid and test: by a column, at random, by sequence identity, by position on the reference.

Below them, the folds of a cross-validation: at random, by mutated position, by stretches of positions, by groups.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar, Protocol

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
from biorrn.base.terminal import plural
from biorrn.sequences.prepared.schema import SPLITS, split_code
from biorrn.sequences.similarity import cluster

FRACTIONS = (0.8, 0.1, 0.1)
# names in published tables
SYNONYMS = {"training": "train", "validation": "valid", "val": "valid", "dev": "valid", "testing": "test"}


def split_called(name: str) -> int | None:
    """Return the code of a split, or None where the text names none.

    >>> split_called("Validation"), split_called("both")
    (1, None)
    """
    word = str(name).strip().lower()
    word = SYNONYMS.get(word, word)
    return SPLITS.index(word) if word in SPLITS else None


@dataclass(slots=True)
class Rows:
    """The input of a splitter, which needs only the fields that its docstring names.

    Attributes
    ----------
    ids : list of str: one a row.
    values : list of str: the cells of the split column, one a row.
    tokens, offsets : uint8 (total,) and int64 (N + 1,): the sequences of all rows.
    reference : str, positions : int64 array (L,): rows are the bases of one read; place on the forward strand, 0-based.
    """

    ids: Sequence[str] = ()
    values: Sequence[str] = ()
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    offsets: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    reference: str = ""
    positions: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


class Splitter(Protocol):
    """Assigns a split to each row."""

    kinds: ClassVar[tuple[str, ...]]  # the prepared kinds it can split

    def assign(self, rows: Rows) -> np.ndarray:
        """Return the code of each row's split, uint8 (N,): 0 train, 1 valid, 2 test."""
        ...


@dataclass(frozen=True, slots=True)
class Column:
    """`column:NAME`: the column holds train, valid or test (or one of `SYNONYMS`). Needs `values`."""

    name: str
    kinds: ClassVar[tuple[str, ...]] = ("protein", "pairs")

    @staticmethod
    def parse(rest: str, whole: str, seed: int) -> Column:
        if not rest:
            raise ConfigError(f"--split {whole}: names no column; allowed is column:NAME")
        return Column(rest)

    def code(self, value: str) -> int | None:
        """Return the code of one cell, or None where it names no split."""
        return split_called(value)

    def assign(self, rows: Rows) -> np.ndarray:
        codes = [self.code(value) for value in rows.values]
        if None in codes:
            value = rows.values[codes.index(None)]
            raise ConfigError(f"split column '{self.name}': found '{value}'; allowed is {', '.join(SPLITS)}")
        return np.array(codes, np.uint8)


@dataclass(frozen=True, slots=True)
class Random:
    """`random:0.8,0.1,0.1`: parts of train, valid and test, by a hash of seed and id. Needs `ids`.

    Rows with one id stay together (the segments of a read do), and the order of the rows does not matter.
    """

    fractions: tuple[float, float, float]
    seed: int = 0
    kinds: ClassVar[tuple[str, ...]] = ("protein", "signal", "pairs")

    @staticmethod
    def parse(rest: str, whole: str, seed: int) -> Random:
        return Random(_fractions(rest, whole) if rest else FRACTIONS, seed)

    def assign(self, rows: Rows) -> np.ndarray:
        distinct, inverse = np.unique(np.asarray(rows.ids, object).astype(str), return_inverse=True)
        order = np.argsort([_hash(self.seed, str(name)) for name in distinct], kind="stable")
        codes = np.empty(len(distinct), np.uint8)
        codes[order] = _shares(np.ones(len(distinct)), self.fractions, "ids")
        return codes[inverse]


@dataclass(frozen=True, slots=True)
class Cluster:
    """`cluster:0.5[:0.8,0.1,0.1]`: whole clusters of sequences of at least this identity go to one split.

    Needs `tokens` and `offsets`. Clusters are shuffled by `seed`; a split closes when it has its part of the sequences.
    """

    identity: float
    fractions: tuple[float, float, float] = FRACTIONS
    seed: int = 0
    kinds: ClassVar[tuple[str, ...]] = ("protein",)

    @staticmethod
    def parse(rest: str, whole: str, seed: int) -> Cluster:
        identity, _, parts = rest.partition(":")
        try:
            value = float(identity)
        except ValueError:
            value = -1.0
        if not 0.3 <= value <= 1:
            raise ConfigError(f"--split {whole}: found identity '{identity}'; allowed is 0.3 to 1")
        return Cluster(value, _fractions(parts, whole) if parts else FRACTIONS, seed)

    def assign(self, rows: Rows) -> np.ndarray:
        groups = cluster(rows.tokens, rows.offsets, self.identity)
        sizes = np.bincount(groups)
        # large clusters first and to train: one of them in valid would make it a test of a single family
        order = np.random.default_rng(self.seed).permutation(len(sizes))
        large = sizes[order] > max(1.0, 0.25 * min(part for part in self.fractions if part > 0) * sizes.sum())
        order = np.concatenate([order[large], order[~large]])
        codes = np.empty(len(sizes), np.uint8)
        codes[order] = _shares(sizes[order], self.fractions, f"clusters of identity {self.identity:g}")
        return codes[groups]


@dataclass(frozen=True, slots=True)
class Region:
    """A half-open span of a reference, 0-based, and the split its bases go to."""

    reference: str
    start: int
    end: int
    code: int


@dataclass(frozen=True, slots=True)
class Reference:
    """`reference:NAME:0-12000=valid[,NAME:START-END=SPLIT...]`: bases inside go there, on both strands; others train.

    Needs `reference` and `positions`.
    """

    regions: tuple[Region, ...]
    kinds: ClassVar[tuple[str, ...]] = ("signal",)

    @staticmethod
    def parse(rest: str, whole: str, seed: int) -> Reference:
        regions = []
        for text in rest.split(","):
            match = re.fullmatch(r"(.+):(\d+)-(\d+)=(\w+)", text.strip())
            if match is None:
                raise ConfigError(
                    f"--split {whole}: found '{text}'; allowed is NAME:START-END=SPLIT, as chr1:0-12000=valid"
                )
            start, end = int(match[2]), int(match[3])
            if start >= end:
                raise ConfigError(f"--split {whole}: found the span {start}-{end}; its start must be before its end")
            regions.append(Region(match[1], start, end, split_code(match[4])))
        return Reference(tuple(regions))

    def assign(self, rows: Rows) -> np.ndarray:
        codes = np.zeros(len(rows.positions), np.uint8)
        for region in self.regions:
            if region.reference == rows.reference:
                codes[(rows.positions >= region.start) & (rows.positions < region.end)] = region.code
        return codes


def _hash(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest())


def _shares(sizes: np.ndarray, fractions: tuple[float, float, float], what: str) -> np.ndarray:
    """Return codes (N,) in row order: train first, then valid, then test, each with about its part of sum(sizes).

    A part above 0 gets at least one row; fewer rows than such parts are a ConfigError.
    """
    wanted = [code for code, part in enumerate(fractions) if part > 0]
    rows, parts = len(sizes), len(wanted)
    ends = np.cumsum([fractions[code] for code in wanted])[:-1] * sizes.sum()
    cuts = np.searchsorted(np.cumsum(sizes) - sizes / 2, ends)  # a row goes to the split of its midpoint
    if rows < parts:
        raise ConfigError(f"--split: found {rows} {what}; expected at least {parts}, one for each part above 0")
    for place in range(parts - 1):
        before = cuts[place - 1] if place else 0
        cuts[place] = min(max(cuts[place], before + 1), rows - (parts - 1 - place))
    return np.repeat(np.array(wanted, np.uint8), np.diff([0, *cuts, rows]))


def _fractions(text: str, whole: str) -> tuple[float, float, float]:
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) != 3 or min(parts) < 0 or abs(sum(parts) - 1) > 1e-6:
        raise ConfigError(f"--split {whole}: found '{text}'; allowed is three parts that sum to 1, as 0.8,0.1,0.1")
    return (parts[0], parts[1], parts[2])


def parse_split(text: str, kind: str, seed: int = 0) -> Splitter:
    """Return the splitter that `--split` names, for prepared files of this kind ("protein" or "signal").

    Raises
    ------
    ConfigError: unknown name, not one for this kind, or arguments that it cannot use.

    >>> parse_split("reference:Lambda_NEB:0-12000=valid", "signal").regions[0]
    Region(reference='Lambda_NEB', start=0, end=12000, code=1)
    >>> parse_split("colum:set", "protein")
    Traceback (most recent call last):
    biorrn.base.errors.ConfigError: --split 'colum' is unknown; did you mean 'column'? Known: column, random, cluster
    """
    name, _, rest = text.partition(":")
    table = {known: entry for known, entry in SPLITTERS.items() if kind in entry.kinds}
    if name in SPLITTERS and name not in table:
        raise ConfigError(f"--split {text}: '{name}' cannot split {kind} data; allowed is {', '.join(table)}")
    lookup(table, name, "--split")
    return SPLITTERS[name].parse(rest, text, seed)


SPLITTERS: dict[str, type[Column] | type[Random] | type[Cluster] | type[Reference]] = {
    "column": Column,
    "random": Random,
    "cluster": Cluster,
    "reference": Reference,
}


# --- folds of a cross-validation --------------------------------------------------------------------------------------

CHOOSING_PART = 0.1  # part of the training rows that chooses the epoch, if a column names none
LEFT_OUT = len(SPLITS)  # code of a row that is in no split of a fold
FOLD_NUMBER, MOST_TRAINED = 5, 2  # where `--folds` gives a kind alone: folds; mutations of a training row of `order`


@dataclass(frozen=True, slots=True)
class Folds:
    """How a table is divided for cross-validation: `--folds N|KIND|KIND:N`.

    Attributes
    ----------
    kind : str: a key of `FOLDS`; "" takes the groups that fit the data.
    number : int: of folds, 0 for none; of `order`, the most mutations of a training row.
    given : bool: the user gave the number; otherwise few groups or positions make fewer folds.
    """

    kind: str = ""
    number: int = 0
    given: bool = field(default=True, compare=False, repr=False)

    @property
    def rounds(self) -> int:
        """Return how many models are trained: 0 for none, or for `order`, which is a single split."""
        return 0 if self.kind == "order" else self.number

    @property
    def by_site(self) -> bool:
        """Return whether rows are divided by the positions of their mutations."""
        return self.kind in ("position", "contiguous", "order")

    def among(self, size: int) -> Folds:
        """Return the folds of so many groups or positions: at most one each, unless the number was given."""
        return self if self.given or not self.rounds else replace(self, number=max(2, min(self.number, size)))


def parse_folds(text: str) -> Folds:
    """Return what `--folds` asks for; "" is none.

    Raises
    ------
    ConfigError: an unknown kind, or a number out of range.

    >>> parse_folds("5"), parse_folds("modulo"), parse_folds("order")
    (Folds(kind='', number=5), Folds(kind='position', number=5), Folds(kind='order', number=2))
    """
    if not text:
        return Folds()
    kind, _, number = ("", "", text) if re.fullmatch(r"-?\d+", text) else text.partition(":")
    if kind or not number:
        lookup(FOLDS, kind, "--folds")
    least = 1 if kind == "order" else 2
    if number and not (re.fullmatch(r"\d{1,6}", number) and int(number) >= least):
        raise ConfigError(f"--folds: found {text}; allowed is a number of {least} or more")
    default = MOST_TRAINED if kind == "order" else FOLD_NUMBER
    return Folds("position" if kind == "modulo" else kind, int(number or default), given=bool(number))


@dataclass(frozen=True, slots=True)
class Sites:
    """Mutated positions of N variants of one protein, as M pairs of row and position.

    Attributes
    ----------
    rows : int: N. A row without a pair is the wild type.
    row, site : int64 arrays (M,): the row, from 0, and the place of the position in `positions`.
    positions : int64 array (S,): positions of the protein, from 0, that any row changes, ascending.
    """

    rows: int
    row: np.ndarray
    site: np.ndarray
    positions: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Return the mutated positions of each row, int64 (N,)."""
        return np.bincount(self.row, minlength=self.rows)

    @property
    def first(self) -> np.ndarray:
        """Return the first site of each row, int64 (N,); S for the wild type."""
        first = np.full(self.rows, len(self.positions))
        np.minimum.at(first, self.row, self.site)
        return first

    def of(self, rows: np.ndarray) -> Sites:
        """Return the sites of the rows where the bool array `rows` (N,) is True."""
        own = rows[self.row]
        used, site = np.unique(self.site[own], return_inverse=True)
        return Sites(int(rows.sum()), (np.cumsum(rows) - 1)[self.row[own]], site, self.positions[used])

    @property
    def shared(self) -> np.ndarray:
        """Return, for each site, whether two rows or more change it: bool (S,)."""
        return np.bincount(self.site, minlength=len(self.positions)) > 1


def changed_positions(residues: np.ndarray, wild_type: np.ndarray) -> np.ndarray:
    """Return the positions of the wild type, from 0, at which a protein differs from it: int64 (M,), ascending.

    Proteins of other lengths are aligned (edit distance, edlib): a residue that is missing counts at its position, one
    that is inserted at the position before it. The sequence decides, not how a mutation is written, since one deletion
    in a run of equal residues has several names.

    >>> changed_positions(np.array([1, 2, 9, 4]), np.array([1, 2, 3, 4])).tolist()
    [2]
    >>> changed_positions(np.array([1, 4]), np.array([1, 2, 3, 4])).tolist()
    [1, 2]
    """
    if len(residues) == len(wild_type):
        return np.flatnonzero(residues != wild_type)
    import edlib

    letters = ["".join(chr(64 + int(token)) for token in tokens) for tokens in (residues, wild_type)]
    place, found = 0, set()
    for count, step in re.findall(r"(\d+)(.)", edlib.align(*letters, mode="NW", task="path")["cigar"]):
        if step == "I":  # residues that the wild type lacks
            found.add(max(place - 1, 0))
            continue
        found.update(range(place, place + int(count)) if step != "=" else ())
        place += int(count)
    return np.array(sorted(found), np.int64)


def mutated_sites(tokens: np.ndarray, offsets: np.ndarray, wild_type: np.ndarray) -> Sites:
    """Return the mutated positions of variants.

    Parameters
    ----------
    tokens, offsets : uint8 (total,) and int64 (N + 1,): the sequences of all rows.
    wild_type : uint8 (L,): the protein that they are variants of.
    """
    changed = [changed_positions(tokens[start:end], wild_type) for start, end in pairwise(offsets.tolist())]
    row = np.repeat(np.arange(len(changed)), [len(entry) for entry in changed])
    every = np.concatenate(changed) if changed else np.zeros(0, np.int64)
    positions, site = np.unique(every, return_inverse=True)
    return Sites(len(changed), row, site, positions)


def site_folds(sites: Sites, folds: Folds) -> np.ndarray:
    """Return the fold of each mutated position, int64 (S,) from 0, as ProteinGym has them.

    `position` deals the mutated positions out in turn (ProteinGym: modulo), so that those beside a held-out position
    train; `contiguous` cuts them into stretches of equally many (Notin et al. 2023, NeurIPS: ProteinGym, ProteinNPT).

    Raises
    ------
    ConfigError: fewer positions than folds.
    """
    size, number = len(sites.positions), folds.number
    if size < 2:
        places = plural(size, "position")
        raise ConfigError(f"--folds {folds.kind}: the rows have mutations at {places}; expected 2 or more")
    if not 2 <= number <= size:
        raise ConfigError(f"--folds {folds.kind}: found {number}; allowed is 2 to {size}, the mutated positions")
    if folds.kind == "position":
        return np.arange(size) % number
    return np.repeat(np.arange(number), [len(part) for part in np.array_split(np.arange(size), number)])


def site_fold_splits(sites: Sites, folds: Folds, seed: int) -> Iterator[np.ndarray]:
    """Yield the codes (N,) of each fold of positions.

    A row all of whose mutations are at positions of the fold is test, one with none there trains, or is among the tenth
    that chooses, by whole positions as far as rows have one mutation. One with mutations on both sides is `LEFT_OUT`.
    The wild type is never tested.

    Raises
    ------
    ConfigError: fewer positions than folds, or a fold without test rows or without two positions to train on.
    """
    own, first = site_folds(sites, folds), sites.first
    for fold in range(folds.number):
        inside = np.bincount(sites.row[own[sites.site] == fold], minlength=sites.rows)
        codes = np.full(sites.rows, LEFT_OUT, np.uint8)
        codes[(inside > 0) & (inside == sites.counts)] = SPLITS.index("test")
        rest = np.flatnonzero(inside == 0)
        if not (codes == SPLITS.index("test")).any() or len(np.unique(first[rest])) < 2:
            astride = int((codes == LEFT_OUT).sum())
            fewer = f"fewer folds ({folds.kind}:2), or " if folds.number > 2 else ""
            raise ConfigError(
                f"--folds {folds.kind}: fold {fold + 1} of {folds.number} has no rows to test or to train on: "
                f"{astride:,} of {sites.rows:,} rows have mutations at its positions and elsewhere; give {fewer}random "
                "or order"
            )
        codes[rest] = shares(first[rest], (1 - CHOOSING_PART, CHOOSING_PART, 0.0), seed + fold)
        yield codes


def order_split(sites: Sites, groups: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return codes (N,): rows with more than `most` mutations are test, a tenth of the others chooses.

    Parameters
    ----------
    groups : int64 array (N,): rows of one group stay together among those that train and choose.

    Raises
    ------
    ConfigError: no row has more mutations, or fewer than two groups have no more.
    """
    counts = sites.counts
    codes = np.full(sites.rows, SPLITS.index("test"), np.uint8)
    rest = np.flatnonzero(counts <= most)
    if len(rest) == sites.rows or len(np.unique(groups[rest])) < 2:
        few = f"{len(rest):,} of {sites.rows:,} rows have at most {plural(most, 'mutation')}"
        raise ConfigError(
            f"--folds order:{most}: {few}, the most is {counts.max(initial=0)}; some must have more, to test, and some "
            "not, to train on"
        )
    codes[rest] = shares(groups[rest], (1 - CHOOSING_PART, CHOOSING_PART, 0.0), seed)
    return codes


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


def group_folds(groups: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Return the fold of each row, int64 (N,) from 0: whole groups, the largest first, each to the smallest fold.

    Raises
    ------
    ConfigError: fewer than two folds, or fewer groups than folds.
    """
    numbers, place = np.unique(groups, return_inverse=True)
    if len(numbers) < 2:
        raise ConfigError("--folds: all rows are of one group; expected 2 groups or more")
    if not 2 <= number <= len(numbers):
        what = "distinct proteins" if (np.bincount(place) == 1).all() else "groups of the rows"
        raise ConfigError(f"--folds: found {number}; allowed is 2 to {len(numbers)}, the {what}")
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
    membership = group_folds(groups, number, seed)
    for fold in range(number):
        codes = np.full(len(groups), SPLITS.index("test"), np.uint8)
        rest = np.flatnonzero(membership != fold)
        if len(np.unique(groups[rest])) < 2:
            raise ConfigError(
                f"--folds: a fold leaves one of {len(np.unique(groups))} groups, where one trains and another chooses "
                "when to stop; expected more groups, or more folds"
            )
        codes[rest] = shares(groups[rest], (1 - CHOOSING_PART, CHOOSING_PART, 0.0), seed + fold)
        yield codes


# kind of `--folds` -> what is held out together
FOLDS: dict[str, str] = {
    "random": "rows at random",
    "position": "whole positions, dealt out in turn",
    "modulo": "as position, the name that ProteinGym has for it",
    "contiguous": "stretches of positions",
    "group": "whole groups of --groups, or families of similar proteins",
    "order": "rows with more mutations than N",
}
