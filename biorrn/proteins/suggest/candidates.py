"""Candidate variants of a protein: single substitutions, combinations of the best, or a list; rules for designs."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from biorrn.base.errors import ConfigError, OnProblem, stop
from biorrn.proteins.scan import Spans, parse_spans
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.rows import TableOptions, is_fasta, protein_columns, read_proteins
from biorrn.sequences.tables.reader import is_table
from biorrn.sequences.variants import STANDARD, variant_texts, variants_of

MOST = 50_000  # candidates; below that every combination is one
PARENTS = 250  # variants that are extended by one more substitution, where there are too many combinations
STEPS = 200  # substitutions by which they are

# returns how promising variants are, float array (N,)
Rate = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A protein that may be measured next.

    Attributes
    ----------
    id : str: of a list; else the mutation.
    mutation : str: substitutions joined by colons, WT for none; "" where the wild type has another length or is none.
    mutations : int: number of substitutions, -1 where they are not known.
    sequence : str.
    """

    id: str
    mutation: str
    mutations: int
    sequence: str

    @classmethod
    def of(cls, sequence: str, wild_type: str, offset: int = 0, id: str = "") -> Candidate:
        """Return a candidate, with its differences to the wild type ("" for none)."""
        if len(sequence) != len(wild_type):
            return cls(id, "", -1, sequence)
        changes = substitutions(sequence, wild_type, offset)
        mutation = ":".join(changes) or "WT"
        return cls(id or mutation, mutation, len(changes), sequence)


def substitutions(sequence: str, wild_type: str, offset: int = 0) -> list[str]:
    """Return the substitutions that lead from the wild type to a sequence of its length.

    >>> substitutions("MAKG", "MVKA", 10)
    ['V12A', 'A14G']
    """
    pairs = enumerate(zip(wild_type, sequence, strict=True), offset + 1)
    return [f"{old}{number}{new}" for number, (old, new) in pairs if old != new]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a candidate has to obey.

    Attributes
    ----------
    most : int: substitutions of a variant; 0 is any number.
    positions, keep : spans of numbers: the only ones that may change, all where empty; and those that may not.
    avoid : regular expressions: motifs that may not arise. One that the wild type has at the same place may stay.
    offset : int: added to a place in the sequence, counted from 1, gives its number.
    """

    most: int = 0
    positions: Spans = ()
    keep: Spans = ()
    avoid: tuple[re.Pattern[str], ...] = ()
    offset: int = 0

    @classmethod
    def of(
        cls,
        most: int | None = None,
        positions: str | None = None,
        keep: str | None = None,
        avoid: Iterable[re.Pattern[str]] = (),
        offset: int = 0,
    ) -> Rules:
        """Return the rules that options spell, see `scan.parse_spans`.

        Raises
        ------
        ConfigError: an option is no list of spans.
        """
        return cls(most or 0, parse_spans(positions), parse_spans(keep, "--keep"), tuple(avoid), offset)

    def places(self, wild_type: str) -> list[int]:
        """Return the places that may change, from 0; a methionine with number 1 only where `positions` names it.

        Raises
        ------
        ConfigError: a span lies outside the protein, or none may change.
        """
        first, last = self.offset + 1, self.offset + len(wild_type)
        for option, spans in (("--positions", self.positions), ("--keep", self.keep)):
            for low, high in spans:
                if low < first or high > last:
                    span = f"{low}" if low == high else f"{low}-{high}"
                    raise ConfigError(f"{option}: found {span}; the wild type has residues {first} to {last}")
        inside = [place for place in range(len(wild_type)) if not _within(self.keep, place + first)]
        if self.positions:
            inside = [place for place in inside if _within(self.positions, place + first)]
        elif first == 1 and wild_type.startswith("M"):  # that of the start codon
            inside = [place for place in inside if place]
        if not inside:
            raise ConfigError("--keep: no position is left that may change")
        return inside

    def broken(self, sequence: str, wild_type: str) -> str:
        """Return the first rule that a sequence breaks, as a few words to count it by; "" for none."""
        if len(sequence) == len(wild_type):
            numbers = [place + self.offset + 1 for place, pair in enumerate(zip(sequence, wild_type, strict=True))
                       if pair[0] != pair[1]]  # fmt: skip
            if self.most and len(numbers) > self.most:
                return "more than --max-mutations"
            if any(_within(self.keep, number) for number in numbers):
                return "changes --keep"
            if self.positions and not all(_within(self.positions, number) for number in numbers):
                return "outside --positions"
        return self.motif(sequence, wild_type)

    def motif(self, sequence: str, wild_type: str) -> str:
        """Return the first motif that arises in a sequence, as a few words; "" for none."""
        for motif in self.avoid:
            found = _starts(motif, sequence)
            if found and (len(sequence) != len(wild_type) or found - _starts(motif, wild_type)):
                return f"--avoid {motif.pattern}"
        return ""


def _within(spans: Spans, number: int) -> bool:
    return any(low <= number <= high for low, high in spans)


def _starts(motif: re.Pattern[str], sequence: str) -> set[int]:
    """Return where a motif starts, matches that overlap too."""
    found, at = set(), 0
    while match := motif.search(sequence, at):
        found.add(match.start())
        at = match.start() + 1
    return found


def parse_motifs(texts: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    """Return motifs as patterns.

    Raises
    ------
    ConfigError: a text is no regular expression, or matches nothing at all.
    """
    found = []
    for text in texts:
        try:
            motif = re.compile(text)
        except re.error as error:
            raise ConfigError(f"--avoid: found '{text}', which is no regular expression: {error}") from error
        if motif.match(""):
            raise ConfigError(f"--avoid: found '{text}', which the empty sequence matches; expected a motif or residue")
        found.append(motif)
    return tuple(found)


@dataclass(slots=True)
class Library:
    """The candidates, without those measured before, and how many others were left out by reason."""

    candidates: list[Candidate]
    left_out: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.candidates)


def combinations(
    wild_type: str, rules: Rules, measured: Sequence[str], values: np.ndarray, rate: Rate, most: int = MOST
) -> Library:
    """Return substitutions of a wild type and their combinations, up to `rules.most` in one variant.

    All combinations where they are at most `most`. Else, level by level, the most promising variants of the level
    below and the best of the measured are extended by the most promising substitutions.

    Parameters
    ----------
    measured : sequences; values : float array (N,): of them, higher is better.
    rate : how promising variants are.
    """
    places, left_out = rules.places(wild_type), Counter[str]()
    steps = [(place, new) for place in places for new in STANDARD if new != wild_type[place]]
    total = sum(math.comb(len(places), size) * 19**size for size in range(1, rules.most + 1))
    known = set(measured)
    if total <= most:
        found = list(_every(wild_type, places, rules.most))
    else:
        level = [_changed(wild_type, step) for step in steps]
        found = level
        order = np.argsort(-rate(level), kind="stable")
        steps, parents = [steps[k] for k in order[:STEPS]], [level[k] for k in order[:PARENTS]]
        own = [(one, value) for one, value in zip(measured, values, strict=True) if not rules.broken(one, wild_type)]
        for size in range(2, rules.most + 1):
            before = [one for one in own if len(one[0]) == len(wild_type) and _distance(one[0], wild_type) == size - 1]
            before.sort(key=lambda one: -one[1])
            parents = list(dict.fromkeys([*(one for one, _ in before[: PARENTS // 2]), *parents]))[:PARENTS]
            level = list(
                dict.fromkeys(
                    _changed(parent, step) for parent in parents for step in steps
                    if parent[step[0]] == wild_type[step[0]]
                )
            )  # fmt: skip
            level = [one for one in level if not rules.motif(one, wild_type)]
            rated = rate(level) if level else np.zeros(0)
            order = np.argsort(-rated, kind="stable")
            found = found + [level[k] for k in order[: most // rules.most]]
            parents = [level[k] for k in order[:PARENTS]]
    kept = []
    for one in found:
        if one in known:
            left_out["measured"] += 1
        elif broken := rules.motif(one, wild_type):
            left_out[broken] += 1
        else:
            kept.append(Candidate.of(one, wild_type, rules.offset))
    return Library(kept, left_out)


def _every(wild_type: str, places: Sequence[int], most: int) -> Iterator[str]:
    for size in range(1, most + 1):
        for chosen in itertools.combinations(places, size):
            for new in itertools.product(*([letter for letter in STANDARD if letter != wild_type[place]]
                                           for place in chosen)):  # fmt: skip
                letters = list(wild_type)
                for place, letter in zip(chosen, new, strict=True):
                    letters[place] = letter
                yield "".join(letters)


def _changed(sequence: str, step: tuple[int, str]) -> str:
    return sequence[: step[0]] + step[1] + sequence[step[0] + 1 :]


def _distance(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def listed(
    given: str,
    wild_type: str,
    rules: Rules,
    measured: Sequence[str],
    on_problem: OnProblem = stop,
) -> Library:
    """Return the candidates of a list: FASTA, a table of sequences or mutations, or mutations as of `biorrn scan`.

    Parameters
    ----------
    given : str: the file, or mutations joined by commas.
    wild_type : str: of mutations; "" for none.
    on_problem : takes what is wrong with an entry, which is then left out.

    Raises
    ------
    ConfigError: mutations without a wild type.
    InputError: the file cannot be read, or `on_problem` raises.
    """
    known, left_out, kept, seen = set(measured), Counter[str](), [], set[str]()
    for name, sequence in _read(given, wild_type, rules.offset, on_problem):
        candidate = Candidate.of(sequence, wild_type, rules.offset, name)
        if sequence in seen:
            left_out["repeated"] += 1
        elif sequence in known:
            left_out["measured"] += 1
        elif sequence == wild_type:
            left_out["wild type"] += 1
        elif broken := rules.broken(sequence, wild_type):
            left_out[broken] += 1
        else:
            kept.append(candidate)
        seen.add(sequence)
    return Library(kept, left_out)


def _read(given: str, wild_type: str, offset: int, on_problem: OnProblem) -> Iterator[tuple[str, str]]:
    if os.path.isfile(given) and (is_table(given) or is_fasta(given)):
        of_wild = TableOptions(None, wild_type=wild_type, offset=offset)
        options = of_wild if wild_type and is_table(given) and _of_mutations(given, of_wild) else TableOptions()
        records = read_proteins(given, options, on_problem=on_problem, on_repeat=lambda name: None)
        yield from ((record.id, record.sequence) for record in records)
        return
    if not wild_type:
        raise ConfigError(f"--candidates {given[:60]}: mutations need --wild-type")
    record = ProteinRecord("wild type", wild_type)
    for one in variants_of(record, list(variant_texts(given)), offset, on_problem):
        if not one.error:
            yield one.written, one.sequence


def _of_mutations(path: str, options: TableOptions) -> bool:
    try:
        return protein_columns(path, options).variant is not None
    except ConfigError:  # the table has sequences
        return False
