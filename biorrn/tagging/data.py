"""Data sets of sequences with a label or values per residue: batches for training, whole rows for evaluation.

Batches hold pieces of sequences of similar length. Residues can be replaced at random (BLOSUM62) as augmentation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from biorrn.nn.batch import Batch
from biorrn.sequences.alphabets import NO_STATE, STANDARD, blosum62
from biorrn.sequences.prepared.files import gather, offsets_of
from biorrn.tagging.prepare import TagFile

MULTIPLE = 32  # batches are padded to a multiple of this: the CPU library builds new kernels for each length
SHORTEST = 32  # minimum residues of a piece of a cut sequence
NO_TARGET = -1  # in a batch: padding, and residues of unknown state

Piece = tuple[int, int, int]  # row, first residue, end (exclusive)
# tokens (T,) and tags, changed at random
Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


class TagDataset:
    """The sequences of one split of a prepared file of tags, in memory.

    Attributes
    ----------
    lengths : int64 array (N,): residues of each sequence.
    flat : uint8 array (total,): tokens of all sequences, one after another.
    tags : uint8 array (total,) of states, `NO_STATE` where unknown; or float32 (total, K) of values, NaN where missing.
    ids : list of str.
    probabilities : uint8 array (total, S) in 1/255, or None: pseudo-labels of residues without a label.
    states : dict {"name", "states", "names"}, or None for values.
    targets : list of {"name", "unit"}: the columns of values.
    effect : str: name of the value of a substitution, of a file whose columns are the residues that replace another.
    alphabet : str: token t is the letter alphabet[t - 1].
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
            self.effect = file.effect
            self.tags = gather(file.file["labels" if self.states else "values"], offsets, rows)
            self.probabilities: np.ndarray | None = None
            if "probabilities" in file.file:
                found = gather(file.file["probabilities"], offsets, rows)
                self.probabilities = found if found.any() else None
            self.ids = [str(name) for name in np.asarray(file.strings("id"), object)[rows]]
        self._offsets = offsets_of(self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def collate(
        self, pieces: Sequence[Piece], change: Change | None = None, rng: np.random.Generator | None = None
    ) -> Batch:
        """Return pieces as a batch: x int64 (B, T), T a multiple of `MULTIPLE`, and targets.

        Targets are int64 (B, T), `NO_TARGET` where unknown; or float32 (B, T, K), NaN where missing. Probabilities are
        float32 (B, T, S), pseudo-labels of residues without a label; 0 for all others.

        Parameters
        ----------
        change : augmentation of the tokens and tags of a piece.
        """
        lengths = np.array([end - start for _, start, end in pieces], np.int64)
        time = -(-int(lengths.max(initial=1)) // MULTIPLE) * MULTIPLE
        x = np.zeros((len(pieces), time), np.int64)
        if self.states:
            targets = np.full((len(pieces), time), NO_TARGET, np.int64)
        else:
            targets = np.full((len(pieces), time, self.tags.shape[1]), np.nan, np.float32)
        pseudo = None
        if self.probabilities is not None:
            pseudo = np.zeros((len(pieces), time, self.probabilities.shape[1]), np.float32)
        for place, (row, start, end) in enumerate(pieces):
            span = slice(self._offsets[row] + start, self._offsets[row] + end)
            tokens, tags = self.flat[span], self.tags[span]
            if change is not None and rng is not None:
                tokens, tags = change(tokens, tags, rng)
            x[place, : end - start] = tokens
            targets[place, : end - start] = _states(tags) if self.states else tags
            if pseudo is not None and self.probabilities is not None:
                pseudo[place, : end - start] = self.probabilities[span]
        if pseudo is not None:  # the rounded probabilities of a residue sum to 1 again, or to 0
            pseudo /= np.maximum(pseudo.sum(-1, keepdims=True), 1)
        ids = [self.ids[row] for row, _, _ in pieces]
        return Batch(
            x=torch.from_numpy(x), lengths=torch.from_numpy(lengths), targets=torch.from_numpy(targets), ids=ids,
            probabilities=None if pseudo is None else torch.from_numpy(pseudo),
        )  # fmt: skip


def _states(tags: np.ndarray) -> np.ndarray:
    found = tags.astype(np.int64)
    found[tags == NO_STATE] = NO_TARGET
    return found


def whole(lengths: np.ndarray) -> list[Piece]:
    """Return every sequence as one piece."""
    return [(row, 0, int(length)) for row, length in enumerate(lengths)]


def cut(lengths: np.ndarray, crop: int | None, rng: np.random.Generator) -> list[Piece]:
    """Return sequences in pieces of about `crop` residues at most, cut at random places; short ones stay whole.

    Each residue is in one piece. The cuts of a sequence are evenly spaced, at a random offset. A cut within `SHORTEST`
    residues of an end is left out, so that a piece has fewer than `crop` + 2 `SHORTEST` residues.
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
    """Return the batches per epoch: of `rows` sequences each, or of `residues` padded steps if given."""
    cost = len(lengths) / rows if residues is None else float(_padded(lengths).sum()) / residues
    return int(min(len(lengths), max(1, np.ceil(cost))))


def batches(pieces: list[Piece], count: int, by_rows: bool, rng: np.random.Generator | None) -> list[list[Piece]]:
    """Return all pieces in `count` batches of about equal cost, sorted by length.

    The number of batches is fixed because the learning-rate schedule counts steps: it must not change with the random
    cuts of an epoch.

    Parameters
    ----------
    by_rows : bool: the cost of a piece is 1; else its padded steps.
    rng : shuffles pieces of equal padded length, and the batches. None: no shuffling.
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


LAMBDA = 0.3176  # of ungapped BLOSUM62: score = log(odds) / lambda (Karlin and Altschul 1990)


def conditional(background: np.ndarray) -> np.ndarray:
    """Return the probability (20, 20) that a residue (row) is replaced by another (column); the diagonal is 0.

    Proportional to the odds of BLOSUM62 (Henikoff and Henikoff 1992) times the frequency of the new residue.

    Parameters
    ----------
    background : float array (20,): counts of the residues of `STANDARD`.
    """
    # a residue that is absent from the data stays possible
    common = background / max(1.0, background.sum()) + 1e-3
    odds = np.exp(LAMBDA * blosum62()) * common
    np.fill_diagonal(odds, 0.0)
    return np.asarray(odds / odds.sum(1, keepdims=True))


class Substitution:
    """Random replacement of residues; each sequence has its own rate.

    Parameters
    ----------
    rate : float: mean fraction replaced; that of a sequence is uniform from 0 to twice the mean.
    background : float array (20,): see `conditional`.
    """

    def __init__(self, rate: float, background: np.ndarray) -> None:
        self.rate = rate
        self._sums = conditional(background).cumsum(1)

    def __call__(self, tokens: np.ndarray, tags: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens (T,) with some replaced, and the same tags; X stays."""
        if self.rate <= 0:
            return tokens, tags
        share = rng.uniform(0.0, 2 * self.rate)
        places = np.flatnonzero((rng.random(len(tokens)) < share) & (tokens <= len(STANDARD)))
        changed = tokens.copy()
        before = tokens[places].astype(np.int64) - 1
        drawn = (rng.random(len(places))[:, None] >= self._sums[before]).sum(1)
        # the last sum may be below 1 by rounding: stay within the 20 residues, and never draw the same residue
        drawn = np.where(drawn >= len(STANDARD), np.where(before == 19, 18, 19), drawn)
        changed[places] = drawn + 1
        return changed, tags


UNCHANGED = 0.3  # share of sequences left as they are


class Mutants:
    """Replacement of a sequence by a mutant of known effect, of a file of effects of substitutions.

    The effects of a changed place are then those relative to its new residue; those of all others are taken to stay.

    Parameters
    ----------
    rate : float: mean share of the residues changed; at least one is.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, tokens: np.ndarray, tags: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens (T,) and effects (T, 20) of a mutant, or of the sequence itself."""
        places, residues = np.nonzero(np.isfinite(tags))
        if rng.random() < UNCHANGED or not len(places):
            return tokens, tags
        chosen = rng.permutation(len(places))[: max(1, rng.binomial(len(tokens), self.rate))]
        tokens, tags = tokens.copy(), tags.copy()
        for place, residue in {places[one]: residues[one] for one in chosen}.items():
            own, effect = int(tokens[place]) - 1, tags[place, residue]
            tags[place] -= effect
            tags[place, residue] = np.nan
            if own < len(STANDARD):
                tags[place, own] = -effect
            tokens[place] = residue + 1
        return tokens, tags


@dataclass(frozen=True, slots=True)
class Tagged:
    """Sequences with a label or values per residue.

    Attributes
    ----------
    ids : str array (N,).
    tokens : uint8 array (total,): residues of all rows, one after another; index in `alphabet` + 1.
    lengths : int64 array (N,): residues of each row.
    labels : int16 array (total,): index in `states`, -1 where unknown; empty for values.
    values : float32 array (total, K), NaN where missing; K is 0 for states.
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
        """Return the rows of a bool mask (N,)."""
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
    """A prepared file of tags: all rows, their splits, the names of states or values, and the note."""

    rows: Tagged
    split: np.ndarray  # uint8 (N,)
    name: str  # what the states describe; "" for values
    state_names: list[str]
    targets: list[dict[str, str]]  # {"name", "unit"} of each of the K values
    note: str


def read_prepared_tags(path: str | Path) -> PreparedTags:
    """Read all rows of a prepared file of tags.

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
