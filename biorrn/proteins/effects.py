"""Effects of substitutions, by a model that tells for each residue of a protein what each other one in its place does.

The effect of several substitutions is the sum of theirs, in the wild type. It uses that the wild type is one: a residue
that nature chose tells about its place. For two sequences of which neither is known to be the natural one there is the
antisymmetric effect, which changes its sign when A and B are exchanged, as a difference of stabilities has to (Usmanova
et al. 2018, Bioinformatics 34:3653): the sum over the places that differ of

    g * table_A[place, residue of B] - (1 - g) * table_B[place, residue of A],    g = 1 / (1 + exp(BETA * (m_A - m_B)))

where m is the mean of a table over the other residues of the place, low where the residue fits.

The deletion of one residue counts as the mean of all substitutions of it and its two neighbours: how well a place
takes substitutions tells how well it takes a deletion (Topolska et al. 2025, Nat Commun 16:2617). No deletion was
measured here in kcal/mol, so that it has no interval. Other mutants are left out and flagged.

Intervals of up to `TOGETHER` substitutions are those of one, times their number to a power that the errors of sums of
measured single effects tell; that effects add up is taken for granted. More have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.base.errors import InputError, OnProblem, stop
from biorrn.nn import windows
from biorrn.proteins.predicted import Predicted, strangers
from biorrn.proteins.uncertainty import novelty
from biorrn.proteins.uncertainty.conformal import Intervals
from biorrn.sequences.alphabets import STANDARD
from biorrn.sequences.flags import flags
from biorrn.sequences.records import ProteinRecord

if TYPE_CHECKING:
    import torch

NO_WILD_TYPE, OTHER_MUTATION = "no_wild_type", "no_substitution"  # why a record has no effect
SEVERAL, DELETION = "several_substitutions", "deletion"  # flags of effects that are less sure
TOGETHER = 5  # substitutions of a mutant that has an interval, at most
BESIDE = 1  # neighbours on each side of a deleted residue whose substitutions count too
LETTERS = frozenset(STANDARD)
WINDOW_RESIDUES = 200_000  # most residues of a window; each has a row of the table
MOST = 60.0  # beyond that, in the exponent, a share is 0 or 1
BETA = 4.0  # a kcal/mol: how sharply the antisymmetric effect prefers the table of the sequence that fits its place


def tables(model: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Return the table of each sequence, float32 (B, T, 20), 0 for its own residues, of tokens (B, T)."""
    import torch

    own = x[..., None] == torch.arange(1, len(STANDARD) + 1, device=x.device)
    return model(x, lengths)[0].float().masked_fill(own, 0), None


def differences(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Return the substitutions that lead from one sequence to another of its length, or one residue shorter.

    Parameters
    ----------
    one : uint8 array (T,); other : uint8 array (T,) or (T - 1,): tokens, or letters as bytes.

    Returns
    -------
    int arrays (S,), (S,): the places that differ, in the first and in the second.
    int or None: the place in the first of the residue that the second lacks: where the fewest substitutions remain, of
    several such places the middle one.

    >>> differences(*(np.frombuffer(text, np.uint8) for text in (b"MKKKW", b"MKKC")))
    (array([4]), array([3]), 3)
    """
    if len(one) == len(other):
        places = np.flatnonzero(one != other)
        return places, places, None
    before = np.concatenate([[0], np.cumsum(one[:-1] != other)])  # differences before the residue, if it is the one
    after = np.concatenate([np.cumsum((one[1:] != other)[::-1])[::-1], [0]])
    fewest = np.flatnonzero(before + after == (before + after).min())
    gone = int(fewest[len(fewest) // 2])
    kept = np.delete(np.arange(len(one)), gone)
    there = np.flatnonzero(one[kept] != other)
    return kept[there], there, gone


def effect(
    one: np.ndarray, other: np.ndarray, table: np.ndarray, table_back: np.ndarray | None = None
) -> tuple[float, int, bool]:
    """Return the effect of the mutations that lead from one sequence to another, and which these are.

    Parameters
    ----------
    one, other : uint8 arrays (T,), (T,) or (T - 1,): tokens of standard residues where they differ.
    table : float array (T, 20): of the first.
    table_back : float array (len(other), 20), optional: of the second, for the antisymmetric effect of substitutions.

    Returns
    -------
    float: the effect; int: the number of substitutions; bool: whether a residue is deleted too.
    """
    places, there, gone = differences(one, other)
    deletion = 0.0
    if gone is not None:
        near = table[max(0, gone - BESIDE) : gone + BESIDE + 1].astype(np.float64)
        deletion = float(near.sum() / near[:, 1:].size)  # the own residue of a place has 0
    rows = table[places].astype(np.float64)  # (places, 20)
    ahead = rows[np.arange(len(places)), other[there] - 1]
    if table_back is None:
        return float(ahead.sum()) + deletion, len(places), gone is not None
    rows_back = table_back[there].astype(np.float64)
    back = rows_back[np.arange(len(places)), one[places] - 1]
    fits = BETA * (rows_back.sum(1) - rows.sum(1)) / (len(STANDARD) - 1)  # how much better the first fits its places
    value = float((_share(fits) * ahead - _share(-fits) * back).sum())
    return value + deletion, len(places), gone is not None


def _share(fits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-fits.clip(-MOST, MOST)))


def checked(
    records: Iterable[ProteinRecord], source: str | Path, on_problem: OnProblem = stop
) -> Iterator[ProteinRecord]:
    """Yield records; of one that has no effect, `problem` is set, and `on_problem` is called before.

    Parameters
    ----------
    source : what the message names: the file of the records, or what made them.
    """
    for record in records:
        flag, text = "", ""
        if record.problem:
            pass
        elif not record.wild_type:
            flag, text = NO_WILD_TYPE, "names no wild type; give --wild-type, or mutations with their protein"
        elif len(record.wild_type) - len(record.sequence) not in (0, 1) or not record.sequence:
            sizes = f"{len(record.sequence)} residues, its wild type {len(record.wild_type)}"
            flag, text = OTHER_MUTATION, f"has {sizes}; allowed are substitutions and the deletion of one residue"
        elif odd := _odd(record.wild_type, record.sequence):
            flag, text = OTHER_MUTATION, f"changes {odd.pop()}; allowed are the 20 standard residues"
        if flag:
            on_problem(InputError(source, text, record.id, flag))
            record = replace(record, problem=flag)
        yield record


def _odd(one: str, other: str) -> set[str]:
    """Return the letters beside the standard ones in the mutations that lead from one sequence to another."""
    if LETTERS.issuperset(one + other):  # fast to see
        return set()
    places, there, gone = differences(*(np.frombuffer(text.encode(), np.uint8) for text in (one, other)))
    lost = "" if gone is None else one[gone]
    return {*lost, *(one[place] for place in places), *(other[place] for place in there)} - LETTERS


@dataclass(frozen=True, slots=True)
class _Window:
    """Records under way: their pairs of sequences, and the batches of these."""

    records: list[ProteinRecord]
    pairs: list[tuple[int, int] | None]  # wild type and mutant, among the sequences
    flat: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    batches: list[tuple[list[int], Future[tuple[np.ndarray, Any]]]]
    known: dict[int, np.ndarray]  # tables that are there already


class Mutants:
    """One pass over many mutants, each with its wild type, for `nn.forward.stream`.

    Parameters
    ----------
    forward : returns the `tables` of the sequences flat[start:start + length] of a batch, as the first of two.
    antisymmetric : bool: exchanging mutant and wild type changes the sign; there is no interval of such an effect.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        intervals: Intervals | None,
        forward: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, Any]],
        batch_size: int,
        antisymmetric: bool,
    ) -> None:
        self.facts, self.intervals, self.forward = facts, None if antisymmetric else intervals, forward
        self.batch_size, self.antisymmetric = batch_size, antisymmetric
        self.last: tuple[str, np.ndarray] | None = None  # wild type of the last record, and its table

    def send(self, records: list[ProteinRecord], pool: ThreadPoolExecutor) -> _Window:
        records = list(checked(records, "mutant", lambda problem: None))  # those who call say it
        place: dict[str, int] = {}
        pairs = [
            None
            if record.problem
            else (place.setdefault(record.wild_type, len(place)), place.setdefault(record.sequence, len(place)))
            for record in records
        ]
        sequences = [ProteinRecord("", text) for text in place]
        lengths = np.array([len(text) for text in place], np.int64)
        flat, starts = windows.joined(sequences), np.cumsum(lengths) - lengths
        asked = {one for pair in pairs if pair for one in pair[: 1 + self.antisymmetric]}
        known = {} if self.last is None or self.last[0] not in place else {place[self.last[0]]: self.last[1]}
        needed = np.array(sorted(asked - known.keys()), np.int64)
        sent = []
        for part in windows.batches(lengths[needed].tolist(), self.batch_size):
            rows = needed[part]
            sent.append((rows.tolist(), pool.submit(self.forward, flat, starts[rows], lengths[rows])))
        return _Window(records, pairs, flat, starts, lengths, sent, known)

    def collect(self, window: _Window) -> Iterator[Predicted]:
        found = dict(window.known)
        for rows, passed in window.batches:
            found.update(zip(rows, passed.result()[0], strict=True))
        tokens = [window.flat[start : start + size] for start, size in zip(window.starts, window.lengths, strict=True)]
        words = self.facts.get("relatives")
        alone = np.zeros(len(tokens), bool)
        wild = sorted({pair[0] for pair in window.pairs if pair})
        if words is not None and wild:
            alone[wild] = novelty.alone(words, np.concatenate([tokens[one] for one in wild]), window.lengths[wild])
        values = np.full((len(window.records), 1), np.nan)
        changes, sure = np.zeros(len(values), np.int64), np.zeros(len(values), bool)
        told: list[tuple[str, ...]] = []
        for row, (record, pair) in enumerate(zip(window.records, window.pairs, strict=True)):
            marks = flags(record, self.facts)
            if pair is not None:
                one, other = pair
                self.last = record.wild_type, found[one]
                back = found[other] if self.antisymmetric else None
                values[row], changes[row], deleted = effect(tokens[one], tokens[other], found[one], back)
                sure[row] = not deleted and changes[row] <= TOGETHER
                marks += [SEVERAL] if changes[row] > 1 else []
                marks += [DELETION] if deleted else []
                marks += [novelty.NO_RELATIVE] if alone[one] else []
            told.append(tuple(marks))
        ends: tuple[Any, Any] = (None, None)
        if self.intervals is not None:
            ends = self.intervals(values, None, strangers(told, self.facts), changes)
            for end in ends:
                end[~sure] = np.nan
        lengths = [0 if record.problem else len(record.sequence) for record in window.records]
        ids, cells = [record.id for record in window.records], [record.cells for record in window.records]
        yield Predicted(ids, lengths, told, cells, values, None, *ends)
