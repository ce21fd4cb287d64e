"""Splits into train, valid and test: by a column, at random, by sequence identity, by position on the reference."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from biorrn.base.errors import ConfigError
from biorrn.base.lookup import lookup
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
