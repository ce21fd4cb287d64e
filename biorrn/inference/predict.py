"""From protein records to predicted values, streamed, in the order of the input.

A prediction is the same for any batch size, any company and any number of threads, to the last bit on a CPU: a sequence
is padded to a length that follows from its own, no forward pass has fewer than `ROWS` rows, below which linear-algebra
libraries change kernels and with them the order in which they add, and each pass runs on one thread; threads take
batches side by side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from biorrn.errors import ConfigError
from biorrn.inference import novelty
from biorrn.inference.conformal import LEVEL, Intervals
from biorrn.inference.forward import model_on
from biorrn.inference.members import values_and_spread
from biorrn.inference.property_engine import accelerated, chosen_kind
from biorrn.inference.shapes import batches
from biorrn.inference.streams import joined, padded, stream
from biorrn.models.store import Stored
from biorrn.readers.records import ProteinRecord

FEW = 0.05  # of the residues of a protein, by which a variant is longer or shorter
FAR = 0.3  # of the residues of a protein: what differs by more is no variant of it
# flags of a protein that the model does not know: its interval is the one measured for such, or it has none
UNKNOWN = ("more_mutations_than_training", "not_a_variant", novelty.FLAG, novelty.NO_RELATIVE)
# so are these of a model without a measure of novelty, which counts the length in: among the rows that calibrate, too,
# some are a little longer than all that trained
LENGTHS = ("shorter_than_training", "longer_than_training")

LEFT_OUT = "left_out"  # flag of a record that cannot be used, before the flag that says why

# task -> the command that its models are for
COMMANDS = {"basecalling": "biorrn basecall", "tagging": "biorrn predict", "language": "biorrn generate"}

Passed = tuple[np.ndarray, np.ndarray | None]  # values (B, K) and their spread, float64


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one sequence.

    Attributes
    ----------
    id : str: of the record.
    values : float array (K,): one value a target, in the target's unit; NaN for an empty sequence.
    length : int: residues.
    flags : list of str: reasons for doubt: unknown_residues, shorter_than_training, longer_than_training, empty,
        modifications_removed, id_given_before, unlike_training, no_relative_in_training (see `inference.novelty`); of a
        model of variants also more_mutations_than_training and not_a_variant; or left_out and the reason, of a record
        that cannot be used (`readers.records.ProteinRecord.problem`).
    spread : float array (K,) or None: how far members disagree; see `inference.members`.
    lower, upper : float array (K,) or None: ends of the interval; see `inference.conformal`.
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

    def plain(self) -> list[Any]:
        """Return it as JSON values, from which `of` makes it again."""
        arrays = [None if one is None else one.tolist() for one in (self.values, self.spread, self.lower, self.upper)]
        return [self.id, self.length, self.flags, list(self.cells), *arrays]

    @classmethod
    def of(cls, plain: list[Any]) -> Prediction:
        """Return the prediction that `plain` was made of."""
        id, length, flags, cells, values, *more = plain
        spread, lower, upper = (None if one is None else np.array(one, np.float64) for one in more)
        return cls(id, np.array(values, np.float64), length, flags, spread, lower, upper, tuple(cells))

    @property
    def left_out(self) -> bool:
        """Tell whether the record could not be used; the flags say why."""
        return self.flags[:1] == [LEFT_OUT]


def target_names(stored: Stored) -> list[str]:
    """Return the names of the model's targets.

    Raises
    ------
    ConfigError: the model is not one for regression.
    """
    task = stored.facts.get("task")
    if task != "regression":
        hint = f"; a {task} model is for {COMMANDS[task]}" if task in COMMANDS else ""
        raise ConfigError(f"{stored.path}: is a model for {task}; needed here is one for regression{hint}")
    return [str(target["name"]) for target in stored.facts["targets"]]


def units_of(facts: Mapping[str, Any]) -> list[str]:
    """Return the unit of each target of a model, "" where none is known."""
    return [str(target.get("unit") or "") for target in facts.get("targets") or ()]


def refuse(stored: Stored, **options: str | None) -> None:
    """Raise ConfigError at the first option that was given, and that only a tagging model has a use for."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"--{name}: needs a tagging model; {stored.path} predicts one value a protein")


def predict(
    stored: Stored,
    records: Iterable[ProteinRecord],
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    threads: int | None = None,
    level: float = LEVEL,
    precision: str = "auto",
) -> Iterator[Prediction]:
    """Predict each record's values, in input order; memory does not grow with the number of records.

    Parameters
    ----------
    stored : Stored: a regression model.
    records : iterable of ProteinRecord.
    batch_size : int: sequences a forward pass; fewer where they are long. Changes the speed, not the values.
    device : torch device.
    threads : int, optional: CPU threads; default: as many as torch uses. Changes the speed, not the values.
    level : float: of the intervals, 0.5 to 0.99, where the model's facts allow any.
    precision : str: arithmetic of networks on a CPU: "32", "bf16", or "auto", which is bf16 where the processor has it.

    Raises
    ------
    ConfigError: the model is not one for regression, the level is out of range, or there is no such precision here.
    BiorrnError: the batch size is below 1, or a record holds a letter outside the alphabet.
    """
    names = target_names(stored)
    where = torch.device(device)
    model = model_on(stored.model, where)
    if where.type == "cpu":
        model = accelerated(model, chosen_kind(precision))
    run = _Run(model, stored.facts, Intervals.of(stored.facts, names, level), len(names), batch_size, where)
    return stream(records, run.send, run.finish, batch_size=batch_size, threads=threads, device=where)


@dataclass(frozen=True, slots=True)
class _Window:
    """Records under way: what each batch gives, and which rows of the window it holds."""

    records: list[ProteinRecord]
    batches: list[tuple[list[int], Future[Passed]]]
    unlike: np.ndarray  # bool (N,)
    alone: np.ndarray  # bool (N,): no relative among the training rows, of a model that knows them


class _Run:
    """One pass of a model over many records."""

    def __init__(
        self,
        model: torch.nn.Module,
        facts: dict,
        intervals: Intervals | None,
        targets: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.model, self.facts, self.intervals = model, facts, intervals
        self.targets, self.batch_size, self.device = targets, batch_size, device

    def send(self, records: list[ProteinRecord], pool: ThreadPoolExecutor) -> _Window:
        lengths = np.array([len(record.sequence) for record in records], np.int64)
        flat, starts = joined(records), np.cumsum(lengths) - lengths
        sent = []
        for rows in batches(lengths.tolist(), self.batch_size):
            sent.append((rows, pool.submit(self._forward, flat, starts[rows], lengths[rows])))
        entry = self.facts.get("novelty")
        unlike = np.zeros(len(records), bool) if entry is None else novelty.unlike(entry, flat, lengths)
        words = self.facts.get("relatives")
        alone = np.zeros(len(records), bool) if words is None else novelty.alone(words, flat, lengths)
        return _Window(records, sent, unlike, alone)

    def finish(self, window: _Window) -> Iterator[Prediction]:
        values = np.full((len(window.records), self.targets), np.nan)
        spread: np.ndarray | None = None
        for rows, passed in window.batches:
            values[rows], own = passed.result()
            if own is not None:
                spread = np.full_like(values, np.nan) if spread is None else spread
                spread[rows] = own
        doubts_of = [flags(record, self.facts) for record in window.records]
        for record, marked, *found in zip(window.records, doubts_of, window.unlike, window.alone, strict=True):
            marks = zip((novelty.FLAG, novelty.NO_RELATIVE), found, strict=True)
            marked += [mark for mark, holds in marks if holds and not record.problem]
        unknown = np.array([bool(doubts(marked, self.facts)) for marked in doubts_of], bool)
        ends = (None, None) if self.intervals is None else self.intervals(values, spread, unknown)
        nothing = itertools.repeat(None)
        columns = [nothing if column is None else column for column in (spread, *ends)]
        for record, value, marked, *more in zip(window.records, values, doubts_of, *columns, strict=False):
            given = {} if record.problem else dict(zip(("spread", "lower", "upper"), more, strict=True))
            yield Prediction(record.id, value, len(record.sequence), marked, cells=record.cells, **given)

    def _forward(self, flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Passed:
        """Return the values and spreads of the sequences flat[start:start + length], which share one padded length."""
        x, sizes = padded(flat, starts, lengths, self.batch_size, self.device)
        with torch.inference_mode():
            given = values_and_spread(self.model, x, sizes)
            values, spread = (None if one is None else one[: len(lengths)].double().cpu().numpy() for one in given)
        assert values is not None
        return values, spread


def doubts(marks: Iterable[str], facts: Mapping[str, Any]) -> list[str]:
    """Return those of a prediction's flags that say that the model with these facts does not know such a protein."""
    telling = UNKNOWN if facts.get("novelty") else (*UNKNOWN, *LENGTHS)
    return [mark for mark in marks if mark in telling]


def flags(record: ProteinRecord, facts: dict) -> list[str]:
    """Return the reasons to doubt a prediction for `record`, given what the model was trained on.

    A record that cannot be used has "left_out" and why.
    """
    if record.problem:
        return [LEFT_OUT, record.problem]
    length = len(record.sequence)
    doubts = {
        "empty": length == 0,
        "unknown_residues": record.unknown > 0 or "X" in record.sequence,
        "shorter_than_training": 0 < length < facts.get("min_length", 0),
        "longer_than_training": length > facts.get("max_length", length),
        **{name: name in record.changes for name in ("modifications_removed", "id_given_before")},
        **_variant_flags(record.sequence, facts),
    }
    return [name for name, holds in doubts.items() if holds]


def _variant_flags(sequence: str, facts: dict) -> dict[str, bool]:
    """Return the doubts about a sequence as a variant of the protein whose variants the model was trained on."""
    reference, most = facts.get("reference"), facts.get("most_mutations")
    if not reference or most is None or not sequence:
        return {}
    if len(sequence) == len(reference):
        changed = sum(a != b for a, b in zip(sequence, reference, strict=True))
    else:
        shift = abs(len(sequence) - len(reference))
        if facts.get("min_length", 0) <= len(sequence) <= facts.get("max_length", 0):
            changed = shift  # trained on variants of other lengths
        else:
            changed = most + shift if shift <= FEW * len(reference) else len(reference)
    far = changed > max(most, FAR * len(reference))
    return {"more_mutations_than_training": most < changed and not far, "not_a_variant": far}
