"""Mutational scans: single substitutions, deletions and insertions, or named variants; table of effects."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError, OnProblem, stop
from biorrn.nn.store import Stored
from biorrn.proteins.effects import checked
from biorrn.proteins.predict import predict, target_names
from biorrn.proteins.predicted import Prediction, doubts
from biorrn.proteins.uncertainty.conformal import LEVEL, difference_widths
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.writer import Memory, Table, late, open_table
from biorrn.sequences.tally import SHOWN, Tally
from biorrn.sequences.variants import STANDARD, Applied, variant_texts, variants_of

NO_MUTANTS = "not_trained_on_mutants"  # flag of every mutant
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A protein that differs from its wild type.

    Attributes
    ----------
    position : str: number of the residue; of several mutations joined by colons, as in the next two.
    wild_type, mutant : str: the residues before and after: `-` for none, `+W` inserted before the position.
    mutation : str: as in `sequences.variants`.
    sequence : str: "" where there is none.
    problem : str: why a mutation that was named cannot be used, as a flag; "" where it can.
    """

    position: str
    wild_type: str
    mutant: str
    mutation: str
    sequence: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """Prediction for a mutant, and its difference to the wild type.

    Attributes
    ----------
    mutant : Mutant, or None for the wild type.
    prediction : Prediction: of the mutant; its id is that of the wild type.
    difference : float array (K,): value of the mutant minus that of the wild type, in the targets' units.
    difference_lower, difference_upper : float array (K,) or None: ends of the interval of the difference, NaN where
        none was measured for such proteins; None of a model that has none. See `conformal.difference_widths`.
    """

    mutant: Mutant | None
    prediction: Prediction
    difference: np.ndarray
    difference_lower: np.ndarray | None = None
    difference_upper: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Which mutants of a protein are predicted.

    Attributes
    ----------
    variants : str or None: a list or a file for `variants.variant_texts`; other fields but `offset` rest.
    column, sheet : str or None: of that file, where it is a table, or an Excel workbook.
    spans : tuple of (first, last): numbers of the positions to look at; empty is all of them.
    deletions, insertions : bool: also each deletion of one residue, each insertion of one residue between two others.
    offset : int: what is added to a place in the sequence, counted from 1, to give its number.
    """

    variants: str | None = None
    column: str | None = None
    spans: Spans = ()
    deletions: bool = False
    insertions: bool = False
    offset: int = 0
    sheet: str | None = None

    def __post_init__(self) -> None:
        for what, value in (("column", self.column), ("sheet", self.sheet)):
            if value is not None and self.variants is None:
                raise ConfigError(f"--{what} {value}: needs a table of --mutations")

    @property
    def position(self) -> type:
        """Return int, or str where variants have several mutations: what `Mutant.position` can be read as."""
        return int if self.variants is None else str

    def mutants(self, record: ProteinRecord, on_problem: OnProblem = stop) -> Iterator[Mutant]:
        """Yield the mutants of `record`, by position or in the order in which they are written.

        Raises
        ------
        BiorrnError: most of the variants, or a span, do not fit the sequence; or `on_problem` raises what is wrong
            with one variant.
        """
        if self.variants is not None:
            texts = list(variant_texts(self.variants, self.column, self.sheet))
            return _named(record, texts, self.offset, on_problem)
        places = _places(record, self.spans, self.offset)
        return itertools.chain.from_iterable(self._at(record, place) for place in places)

    def _at(self, record: ProteinRecord, place: int) -> Iterator[Mutant]:
        sequence, number = record.sequence, place + self.offset + 1
        old, before, after = sequence[place], sequence[:place], sequence[place + 1 :]
        for new in STANDARD:
            if new != old:
                yield Mutant(str(number), old, new, f"{old}{number}{new}", before + new + after)
        if self.deletions and len(sequence) > 1:
            yield Mutant(str(number), old, "-", f"{old}{number}del", before + after)
        if self.insertions and place:
            left = f"{sequence[place - 1]}{number - 1}_{old}{number}ins"
            for new in STANDARD:
                yield Mutant(str(number), old, f"+{new}", left + new, before + new + old + after)


def _named(
    record: ProteinRecord, texts: Sequence[tuple[str, str]], offset: int, on_problem: OnProblem
) -> Iterator[Mutant]:
    for one in variants_of(record, texts, offset, on_problem):
        yield Mutant(".", "", "", one.written, "", one.error.flag) if one.error else _mutant(one)


def _mutant(one: Applied) -> Mutant:
    assert one.variant is not None
    changes = [(str(change.position), change.wild_type, change.mutant) for change in one.variant.changes]
    columns = [":".join(parts) for parts in zip(*changes, strict=True)] or [".", "", ""]
    return Mutant(columns[0], columns[1], columns[2], one.variant.name, one.sequence)


def parse_spans(text: str | None, option: str = "--positions") -> Spans:
    """Return the spans of positions that a list such as `10-40,55` spells; both ends belong to a span.

    Raises
    ------
    ConfigError: it is no such list.

    >>> parse_spans("10-40,55")
    ((10, 40), (55, 55))
    >>> parse_spans("40-10")
    Traceback (most recent call last):
    biorrn.base.errors.ConfigError: --positions: found '40-10'; allowed is a list of numbers and spans such as 10-40,55
    """
    spans = []
    for part in text.split(",") if text is not None else []:
        match = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise ConfigError(
                f"{option}: found '{part.strip()}'; allowed is a list of numbers and spans such as 10-40,55"
            )
        spans.append((first, last))
    return tuple(spans)


def scan(
    stored: Stored, records: Iterable[ProteinRecord], plan: Plan, on_problem: OnProblem = stop, **options: Any
) -> Iterator[Effect]:
    """Yield the predictions for each protein and its mutants, in order; memory does not grow with their number.

    The first effect of each protein is that of the protein itself: `mutant` is None and the difference zero. Mutants of
    all proteins share batches, and a value is the one that `biorrn predict` gives for the mutant's sequence.

    Parameters
    ----------
    stored : Stored: a regression model.
    records : iterable of ProteinRecord.
    plan : Plan: which mutants.
    on_problem : takes what is wrong with one of the variants that are named; where it returns, that one has no values.
    options : for `proteins.predict.predict`.

    Raises
    ------
    BiorrnError: a mutation or a span does not fit a sequence, or anything that `predict` raises.
    """
    waiting: deque[Mutant | None] = deque()  # of records sent to predict, without a result yet

    def sequences() -> Iterator[ProteinRecord]:
        for record in records:
            waiting.append(None)
            yield replace(record, wild_type=record.sequence)
            for mutant in () if record.problem else plan.mutants(record, on_problem):
                waiting.append(mutant)
                unknown = mutant.sequence.count("X")
                own = replace(record, sequence=mutant.sequence, wild_type=record.sequence)
                yield replace(own, unknown=unknown, problem=mutant.problem)

    names, level = target_names(stored, effects=True), options.get("level", LEVEL)
    of_pairs = bool(stored.facts.get("effect"))  # then the value is itself the difference, and has its interval
    half = {
        unknown: None if of_pairs else difference_widths(stored.facts, names, level, unknown)
        for unknown in (False, True)
    }
    given = any(widths is not None for widths in half.values())
    strange = [] if knows_mutants(stored.facts) else [NO_MUTANTS]
    wild_type, about = np.zeros(0), list[str]()  # of the last wild type: its values, and doubts
    # the numbers are near each other: bfloat16 would lose their difference
    given_mutants = checked(sequences(), "scan", on_problem) if of_pairs else sequences()
    for prediction in predict(stored, given_mutants, **{**options, "precision": "32"}):
        mutant = waiting.popleft()
        if mutant is None:
            wild_type = prediction.values
            about = doubts(prediction.flags, stored.facts)
        elif not mutant.problem:
            own = doubts(prediction.flags, stored.facts)
            prediction = _of_unknown(prediction, about, strange, bool(own))
        difference = prediction.values - wild_type
        if not given:
            yield Effect(mutant, prediction, difference)
            continue
        widths = half[bool(about or doubts(prediction.flags, stored.facts))]
        width = np.full(len(names), np.nan) if widths is None else np.array(widths)
        yield Effect(mutant, prediction, difference, difference - width, difference + width)


def _of_unknown(prediction: Prediction, about: list[str], strange: list[str], unknown: bool) -> Prediction:
    """Add the doubts about the wild type to a mutant's prediction."""
    marks = [*prediction.flags, *(mark for mark in [*about, *strange] if mark not in prediction.flags)]
    if not about or prediction.lower is None or unknown:
        return replace(prediction, flags=marks)
    nothing = np.full_like(prediction.lower, np.nan)
    return replace(prediction, flags=marks, lower=nothing, upper=nothing)


def knows_mutants(facts: Mapping[str, Any]) -> bool:
    """Return whether a model was trained on mutants of its proteins, so that differences mean something."""
    known = facts.get("mutants")
    if facts.get("effect"):
        return True
    return bool(facts.get("reference")) if known is None else bool(known)


def remarks(facts: Mapping[str, Any], names: Sequence[str], level: float = LEVEL) -> list[str]:
    """Return the notes on a model's differences as a whole, one line each."""
    said = []
    if not knows_mutants(facts):
        said.append(
            "the model was not trained on mutants: its differences between mutants and wild types are not "
            f"reliable (flag {NO_MUTANTS} in every row)"
        )
    widths = [difference_widths(facts, names, level, unknown) for unknown in (False, True)]
    if not facts.get("effect") and widths == [None, None]:
        said.append("differences have no interval: none was measured on pairs of mutant and wild type")
    return said


def count(tally: Tally, effect: Effect, targets: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Count an effect; print the wild type's prediction for the first proteins."""
    if effect.mutant is None:
        tally.add(proteins=1)
        if tally.done["proteins"] <= SHOWN:
            found = zip(targets, effect.prediction.values, strict=True)
            said = ", ".join(f"{target} {value:.5g}" for target, value in found)
            marks = f" ({', '.join(effect.prediction.flags)})" if effect.prediction.flags else ""
            tally.say(f"record '{effect.prediction.id}': wild type {said}{marks}")
        if reasons := doubts(effect.prediction.flags, facts):
            tally.outside([effect.prediction.id], reasons)
    else:
        tally.add(mutants=1)
        tally.flag(effect.prediction.flags)


def _places(record: ProteinRecord, spans: Spans, offset: int) -> Iterable[int]:
    length = len(record.sequence)
    if not spans:
        return range(length)
    for first, last in spans:
        if first <= offset or last > offset + length:
            shown = f"{first}-{last}" if first != last else str(first)
            raise BiorrnError(
                f"--positions: found {shown}; record '{record.id}' has residues {offset + 1} to {offset + length}"
            )
    return sorted({number - offset - 1 for first, last in spans for number in range(first, last + 1)})


DIFFERENCE = ("difference", "difference_lower", "difference_upper")  # of an effect, the last two where there are any
EXTRA = ("lower", "upper", "spread")  # of a prediction, where the model gives them


@contextlib.contextmanager
def effects_table(
    path: str | Path | Memory,
    targets: Sequence[str],
    position: type = int,
    units: Sequence[str] = (),
    differences: bool = True,
) -> Iterator[Callable[[Effect], None]]:
    """Open a table of mutants: id, position, wild_type, mutant, mutation, columns of each target, flags.

    The columns of a target are its name (the value), and with the name before them `_difference` (to the wild type),
    `_difference_lower` and `_difference_upper` (its interval), `_lower` and `_upper` (the interval of the value),
    `_spread`; the first effect says which there are. Wild types have no row; a protein that was left out has one with
    its id and flags alone, a mutation that was left out its mutation too.

    Parameters
    ----------
    path : see `sequences.tables.writer.open_table`, for the digits too.
    units : of the targets, "" where there is none; each a column `_unit` after those of the target.
    position : int; or str where variants have several mutations, whose positions colons join.
    differences : bool: false of a model whose values are differences to the wild type themselves.
    """
    columns: dict[str, type] = {"id": str, "position": position, "wild_type": str, "mutant": str, "mutation": str}
    extra: list[str] = []
    of_difference: list[str] = []

    def open(first: Effect | None) -> contextlib.AbstractContextManager[Table]:
        if differences:
            of_difference.extend(name for name in DIFFERENCE if getattr(first, name, None) is not None)
        extra.extend(name for name in EXTRA if first and getattr(first.prediction, name) is not None)
        for target, unit in zip(targets, units or [""] * len(targets), strict=True):
            columns.update({target: float} | {f"{target}_{name}": float for name in (*of_difference, *extra)})
            columns.update({f"{target}_unit": str} if unit else {})
        columns["flags"] = str
        return open_table(path, columns)

    def put(table: Table, effect: Effect) -> None:
        mutant, prediction = effect.mutant, effect.prediction
        flags = ",".join(prediction.flags) or "."
        if prediction.left_out:
            mutation = None if mutant is None else mutant.mutation
            table([prediction.id, None, None, None, mutation, *[None] * (len(columns) - 6), flags])
        elif mutant is not None:
            numbers = [prediction.values, *(getattr(effect, name) for name in of_difference)]
            numbers += [getattr(prediction, name) for name in extra]
            cells: list[object] = []
            for place, row in enumerate(np.stack(numbers, axis=1).tolist()):  # target by target
                cells += [*row, *filter(None, units[place : place + 1])]
            at = position(mutant.position)
            table([prediction.id, at, mutant.wild_type, mutant.mutant, mutant.mutation, *cells, flags])

    with late(open, put, lambda effect: effect.prediction.left_out) as write:
        yield write
