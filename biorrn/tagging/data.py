"""Tagged sequences as batches: pieces of chains, like lengths together, as many rows as fit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from biorrn.nn.batch import Batch
from biorrn.sequences.alphabets import NO_STATE, STANDARD, blosum62
from biorrn.sequences.prepared.files import gather
from biorrn.tagging.prepare import TagFile

MULTIPLE = 32  # batches are padded to a multiple of this: a CPU library builds its kernels anew for each length
SHORTEST = 32  # residues of a piece of a longer chain
NO_TARGET = -1  # in a batch: padding, and residues whose state is not known

Piece = tuple[int, int, int]  # a row, and the half-open span of its residues
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class TagDataset:
    """The sequences of one split of a prepared file of tags, held in memory.

    Attributes
    ----------
    lengths : int64 array (N,): residues of each sequence.
    flat : uint8 array (total,): tokens of all sequences, one after another.
    tags : uint8 array (total,) of states, `NO_STATE` where unknown; or float32 (total, K) of values, NaN where missing.
    ids : list of str.
    probabilities : uint8 array (total, S) in 1/255, what a model said of residues without a label; None: of none.
    states : dict {"name", "states", "names"}, or None where the tags are values.
    targets : list of {"name", "unit"}: one a column of values.
    alphabet : str: the letter of a token is at its place - 1.
    """

    def __init__(self, path: str | Path, split: str | None) -> None:
        """Load a split ("train", "valid", "test"; None: every sequence).

        Raises
        ------
        InputError: not a prepared file of tags, or the split is empty.
        """
        with TagFile(path) as file:
            rows = file.filled(split, "sequences")
            offsets = file.file["offsets"][:]
            self.lengths = np.diff(offsets)[rows]
            self.flat = gather(file.file["tokens"], offsets, rows)
            self.states, self.targets, self.alphabet = file.tags, file.targets, file.alphabet
            self.tags = gather(file.file["labels" if self.states else "values"], offsets, rows)
            said = file.file.get("probabilities")
            self.probabilities = None if said is None else gather(said, offsets, rows)
            if self.probabilities is not None and not self.probabilities.any():
                self.probabilities = None
            self.ids = [str(name) for name in np.asarray(file.strings("id"), object)[rows]]
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)])

    def __len__(self) -> int:
        return len(self.lengths)

    def collate(
        self, pieces: Sequence[Piece], change: Change | None = None, rng: np.random.Generator | None = None
    ) -> Batch:
        """Return pieces as a batch: x int64 (B, T), T a multiple of `MULTIPLE`, and targets.

        Probabilities are float32 (B, T, S), of residues without a label that a model speaks of; 0 for all others.
        Targets are int64 (B, T), `NO_TARGET` where there is none; or float32 (B, T, K), NaN where there is none.

        Parameters
        ----------
        change : takes the tokens of a piece and `rng`, and returns them changed.
        """
        lengths = np.array([end - start for _, start, end in pieces], np.int64)
        time = -(-int(lengths.max(initial=1)) // MULTIPLE) * MULTIPLE
        x = np.zeros((len(pieces), time), np.int64)
        if self.states:
            targets = np.full((len(pieces), time), NO_TARGET, np.int64)
        else:
            targets = np.full((len(pieces), time, self.tags.shape[1]), np.nan, np.float32)
        said = None
        if self.probabilities is not None:
            said = np.zeros((len(pieces), time, self.probabilities.shape[1]), np.float32)
        for place, (row, start, end) in enumerate(pieces):
            span = slice(self._offsets[row] + start, self._offsets[row] + end)
            tokens, tags = self.flat[span], self.tags[span]
            x[place, : end - start] = change(tokens, rng) if change is not None and rng is not None else tokens
            targets[place, : end - start] = _states(tags) if self.states else tags
            if said is not None and self.probabilities is not None:
                said[place, : end - start] = self.probabilities[span]
        if said is not None:  # each residue's add up to 1 again, or to 0
            said /= np.maximum(said.sum(-1, keepdims=True), 1)
        ids = [self.ids[row] for row, _, _ in pieces]
        return Batch(
            x=torch.from_numpy(x), lengths=torch.from_numpy(lengths), targets=torch.from_numpy(targets), ids=ids,
            probabilities=None if said is None else torch.from_numpy(said),
        )  # fmt: skip


def _states(tags: np.ndarray) -> np.ndarray:
    found = tags.astype(np.int64)
    found[tags == NO_STATE] = NO_TARGET
    return found


def whole(lengths: np.ndarray) -> list[Piece]:
    """Return every sequence as one piece."""
    return [(row, 0, int(length)) for row, length in enumerate(lengths)]


def cut(lengths: np.ndarray, crop: int | None, rng: np.random.Generator) -> list[Piece]:
    """Return sequences in pieces of about `crop` residues at most, cut at places drawn anew; short ones stay whole.

    Every residue is in one piece. The places of the cuts in a sequence are evenly spaced, at a random offset; a cut
    within `SHORTEST` of an end is left out, so that a piece has fewer than `crop` + 2 `SHORTEST` residues.
    """
    pieces: list[Piece] = []
    for row, length in enumerate(lengths.tolist()):
        if crop is None or length <= crop:
            pieces.append((row, 0, length))
            continue
        step = -(-length // -(-length // crop))
        first = int(rng.integers(0, step))
        inner = [place for place in range(first, length, step) if SHORTEST <= place <= length - SHORTEST]
        edges = [0, *inner, length]
        pieces += [(row, start, end) for start, end in itertools.pairwise(edges)]
    return pieces


def number_of_batches(lengths: np.ndarray, rows: int, residues: int | None) -> int:
    """Return how many batches an epoch has: of `rows` sequences, or of `residues` padded steps where that is given."""
    cost = len(lengths) / rows if residues is None else float(_padded(lengths).sum()) / residues
    return int(min(len(lengths), max(1, np.ceil(cost))))


def batches(pieces: list[Piece], count: int, by_rows: bool, rng: np.random.Generator | None) -> list[list[Piece]]:
    """Return pieces in exactly `count` batches of like cost, pieces of like length together; all of them, once.

    The number is given, not the cost, since it must not change from epoch to epoch with the places of the cuts: the
    schedule of the learning rate counts steps.

    Parameters
    ----------
    by_rows : bool: the cost of a piece is 1; else its padded steps.
    rng : draws mates within one padded length, and the order of the batches; None: no chance.
    """
    lengths = np.array([end - start for _, start, end in pieces], np.int64)
    order = np.arange(len(pieces)) if rng is None else rng.permutation(len(pieces))
    padded = _padded(lengths)
    order = order[np.argsort((lengths if rng is None else padded)[order], kind="stable")]
    cost = np.ones(len(order)) if by_rows else padded[order].astype(np.float64)
    sums = np.cumsum(cost)
    cuts = np.searchsorted(sums - cost / 2, sums[-1] * np.arange(1, count) / count)
    for place in range(count - 1):  # no batch is empty
        before = cuts[place - 1] if place else 0
        cuts[place] = min(max(cuts[place], before + 1), len(order) - (count - 1 - place))
    found = [[pieces[one] for one in part] for part in np.split(order, cuts)]
    return found if rng is None else [found[place] for place in rng.permutation(count)]


def _padded(lengths: np.ndarray) -> np.ndarray:
    return -(-np.maximum(lengths, 1) // MULTIPLE) * MULTIPLE


LAMBDA = 0.3176  # of BLOSUM62 without gaps, per half-bit: score = log(odds) / lambda (Karlin and Altschul 1990)


def conditional(background: np.ndarray) -> np.ndarray:
    """Return the probability (20, 20) that a residue (row) is replaced by another (column), 0 by itself.

    The odds of BLOSUM62 (Henikoff and Henikoff 1992) times the frequency of the new residue, over the sum of these.

    Parameters
    ----------
    background : float array (20,): how common each residue of `STANDARD` is; 0 or more.
    """
    # a residue that the data lacks may still come in, seldom
    common = background / max(1.0, background.sum()) + 1e-3
    odds = np.exp(LAMBDA * blosum62()) * common
    np.fill_diagonal(odds, 0.0)
    return np.asarray(odds / odds.sum(1, keepdims=True))


class Substitution:
    """Replaces residues; each sequence has its own share of replaced ones.

    Parameters
    ----------
    rate : float: mean share; that of a sequence is drawn evenly from 0 to twice it.
    background : float array (20,): see `conditional`.
    """

    def __init__(self, rate: float, background: np.ndarray) -> None:
        self.rate = rate
        self._sums = conditional(background).cumsum(1)

    def __call__(self, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return tokens (T,) of a protein with some replaced; X stays."""
        if self.rate <= 0:
            return tokens
        share = rng.uniform(0.0, 2 * self.rate)
        places = np.flatnonzero((rng.random(len(tokens)) < share) & (tokens <= len(STANDARD)))
        changed = tokens.copy()
        before = tokens[places].astype(np.int64) - 1
        drawn = (rng.random(len(places))[:, None] >= self._sums[before]).sum(1)
        # the last sum may be below 1 by rounding, which may not lead beyond the last residue, nor back to itself
        drawn = np.where(drawn >= len(STANDARD), np.where(before == 19, 18, 19), drawn)
        changed[places] = drawn + 1
        return changed


@dataclass(frozen=True, slots=True)
class Tagged:
    """Proteins, or other sequences, with a label or values at each residue.

    Attributes
    ----------
    ids : str array (N,).
    tokens : uint8 array (total,): residues of all rows, one after another; the place in `alphabet` + 1.
    lengths : int64 array (N,): residues of each row.
    labels : int16 array (total,): the place of the state in `states`, -1 where it is not known; empty of values.
    values : float32 array (total, K), NaN where missing; K is 0 of states.
    states, alphabet : str.
    """

    ids: np.ndarray
    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    states: str
    alphabet: str

    def select(self, rows: np.ndarray) -> Tagged:
        """Return the rows where the bool array `rows` (N,) is True."""
        residues = np.repeat(rows, self.lengths)
        labels, values = (part[residues] if len(part) else part for part in (self.labels, self.values))
        return Tagged(
            self.ids[rows], self.tokens[residues], self.lengths[rows], labels, values, self.states, self.alphabet
        )

    def sequences(self) -> list[str]:
        """Return the letters of each row."""
        letters = np.frombuffer(f"-{self.alphabet}".encode(), np.uint8)[self.tokens].tobytes().decode()
        ends = np.cumsum(self.lengths)
        return [letters[end - length : end] for end, length in zip(ends.tolist(), self.lengths.tolist(), strict=True)]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class PreparedTags:
    """A prepared file of tags: all rows, the split of each, what the states or values are called, and its note."""

    rows: Tagged
    split: np.ndarray  # uint8 (N,)
    name: str  # of what is tagged; "" of values
    state_names: list[str]
    targets: list[dict[str, str]]  # {"name", "unit"} for each of the K values
    note: str


def read_prepared_tags(path: str | Path) -> PreparedTags:
    """Read a prepared file of tags whole.

    Raises
    ------
    InputError: the file is missing, is not HDF5, or is not a prepared file of tags.
    """
    with TagFile(path) as prepared:
        file, tags = prepared.file, prepared.tags
        tokens = file["tokens"][:]
        labels, values = np.zeros(0, np.int16), np.zeros((len(tokens), 0), np.float32)
        if tags is None:
            values = file["values"][:]
        else:
            labels = file["labels"][:].astype(np.int16)
            labels[labels == NO_STATE] = -1
        rows = Tagged(
            np.array(prepared.strings("id"), dtype=object),
            tokens,
            np.diff(file["offsets"][:].astype(np.int64)),
            labels,
            values,
            tags["states"] if tags else "",
            prepared.alphabet,
        )
        names = list(tags["names"]) if tags else []
        note = str(file.attrs.get("note", ""))
        return PreparedTags(rows, file["split"][:], tags["name"] if tags else "", names, prepared.targets, note)
