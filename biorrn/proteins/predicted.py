"""Predictions of proteins, one or many as arrays, and the flags that mark a protein unknown to a model."""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biorrn.proteins.classes.calibration import FLAG
from biorrn.proteins.uncertainty import novelty
from biorrn.sequences.flags import LEFT_OUT, LENGTHS
from biorrn.sequences.tally import Tally

# flags of a protein unknown to the model: it has the interval calibrated on such proteins, or none
UNKNOWN = ("more_mutations_than_training", "not_a_variant", novelty.FLAG, novelty.NO_RELATIVE, FLAG)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction for one sequence.

    Attributes
    ----------
    id : str: of the record.
    values : float array (K,): one value a target, in the target's unit; NaN for an empty sequence.
    length : int: residues.
    flags : list of str: reasons for doubt: unknown_residues, shorter_than_training, longer_than_training, empty,
        modifications_removed, id_given_before, unlike_training, no_relative_in_training (see
        `proteins.uncertainty.novelty`); of a model of variants also more_mutations_than_training and not_a_variant; or
        left_out and the reason, of a record that cannot be used (`sequences.records.ProteinRecord.problem`).
    spread : float array (K,) or None: how far members disagree; see `nn.forward`.
    lower, upper : float array (K,) or None: ends of the interval; see `proteins.uncertainty.conformal`.
    cells : tuple of str: further columns of the record's table.
    """

    id: str
    values: np.ndarray
    length: int
    flags: list[str] = field(default_factory=list)
    spread: np.ndarray | None = None
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    cells: tuple[str, ...] = ()

    @property
    def left_out(self) -> bool:
        """Whether the record could not be used; the flags give the reason."""
        return self.flags[:1] == [LEFT_OUT]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predicted of consecutive records; iterating yields a `Prediction` for each.

    Attributes
    ----------
    ids : list of str (N,); lengths : list of int (N,); flags, cells : list of tuple of str (N,).
    values : float64 array (N, K).
    spread, lower, upper : float64 array (N, K) or None; NaN for a record that was left out.
    """

    ids: list[str]
    lengths: list[int]
    flags: list[tuple[str, ...]]
    cells: list[tuple[str, ...]]
    values: np.ndarray
    spread: np.ndarray | None = None
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None

    @classmethod
    def of(cls, rows: Sequence[Prediction]) -> Predicted:
        """Return predictions, one or more, as one."""
        values, *more = ([getattr(row, name) for row in rows] for name in ("values", "spread", "lower", "upper"))
        spread, lower, upper = (None if all(row is None for row in part) else _stacked(part, values) for part in more)
        ids, lengths = [row.id for row in rows], [row.length for row in rows]
        marks, cells = [tuple(row.flags) for row in rows], [row.cells for row in rows]
        return cls(ids, lengths, marks, cells, np.array(values), spread, lower, upper)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Prediction]:
        more = [itertools.repeat(None) if part is None else part for part in (self.spread, self.lower, self.upper)]
        columns = zip(self.ids, self.values, self.lengths, self.flags, self.cells, *more, strict=False)
        for id, values, length, marks, cells, spread, lower, upper in columns:
            if marks[:1] == (LEFT_OUT,):
                spread = lower = upper = None
            yield Prediction(id, values, length, list(marks), spread, lower, upper, cells)

    @property
    def left_out(self) -> bool:
        """Whether none of the records could be used."""
        return all(marks[:1] == (LEFT_OUT,) for marks in self.flags)

    def plain(self) -> list[Any]:
        """Return JSON values from which `restored` makes the predictions, to the last bit."""
        arrays = (self.values, self.spread, self.lower, self.upper)
        packed = [None if part is None else base64.b64encode(part.tobytes()).decode("ascii") for part in arrays]
        return [self.ids, self.lengths, self.flags, self.cells, *packed]

    @classmethod
    def restored(cls, plain: list[Any]) -> Predicted:
        """Return the predictions from the values of `plain`."""
        ids, lengths, flags, cells, *packed = plain
        shape = (len(ids), -1)
        arrays = (None if part is None else np.frombuffer(base64.b64decode(part)).reshape(shape) for part in packed)
        return cls(ids, lengths, list(map(tuple, flags)), list(map(tuple, cells)), *arrays)  # type: ignore[arg-type]

    def count(self, tally: Tally, facts: Mapping[str, Any]) -> None:
        """Count them, their flags, and the proteins that the model with these facts does not know."""
        kinds = {marks: number for marks, number in Counter(self.flags).items() if marks[:1] != (LEFT_OUT,)}
        tally.add(sequences=sum(kinds.values()), residues=sum(self.lengths))
        reasons, all_reasons = {marks: doubts(marks, facts) for marks in kinds}, Counter[str]()
        for marks, number in kinds.items():
            tally.flag(marks, number)
            all_reasons.update(dict.fromkeys(reasons[marks], number))
        strangers = [id for id, marks in zip(self.ids, self.flags, strict=True) if reasons.get(marks)]
        tally.outside(strangers, all_reasons)


def _stacked(part: Sequence[np.ndarray | None], values: Sequence[np.ndarray]) -> np.ndarray:
    rows = zip(part, values, strict=True)
    return np.array([np.full(len(value), np.nan) if row is None else row for row, value in rows])


def doubts(marks: Iterable[str], facts: Mapping[str, Any]) -> list[str]:
    """Return those flags of a prediction that mark a protein unknown to the model with these facts.

    The intervals of effects of substitutions were measured on proteins without a relative, which thus are not unknown.
    """
    if facts.get("effect"):
        return [mark for mark in marks if mark in LENGTHS]
    telling = UNKNOWN if facts.get("novelty") else (*UNKNOWN, *LENGTHS)
    return [mark for mark in marks if mark in telling]


def strangers(marks: Sequence[tuple[str, ...]], facts: Mapping[str, Any]) -> np.ndarray:
    """Return the bool array (N,) that is True where the flags mark a protein unknown to the model with these facts."""
    strange = {own: bool(doubts(own, facts)) for own in set(marks)}
    return np.array([strange[own] for own in marks], bool)
