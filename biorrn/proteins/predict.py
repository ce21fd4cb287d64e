"""Prediction of protein properties, streamed in input order, and the table of predictions.

A prediction does not depend on batch size, on the other records or on the number of threads, to the last bit on a CPU:
a sequence is padded to a length that depends on its own length only; no forward pass has fewer than `ROWS` rows, below
which linear-algebra libraries change kernels and with them the order of additions; each pass runs on one thread, and
threads work on different batches.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.errors import ConfigError
from biorrn.nn.engine import chosen_kind
from biorrn.nn.ensemble import accelerated
from biorrn.nn.forward import batches, joined, model_on, padded, stream, values_and_spread
from biorrn.nn.store import Stored
from biorrn.proteins.uncertainty import novelty
from biorrn.proteins.uncertainty.conformal import LEVEL, Intervals
from biorrn.sequences.flags import LEFT_OUT, LENGTHS, flags
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.writer import Memory, late, open_table, table_format

# flags of a protein unknown to the model: it has the interval calibrated on such proteins, or none
UNKNOWN = ("more_mutations_than_training", "not_a_variant", novelty.FLAG, novelty.NO_RELATIVE)


# task -> the command that its models are for
COMMANDS = {"basecalling": "biorrn basecall", "tagging": "biorrn predict", "language": "biorrn generate"}

Passed = tuple[np.ndarray, np.ndarray | None]  # values (B, K) and their spread, float64


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

    def plain(self) -> list[Any]:
        """Return JSON values from which `of` restores the prediction."""
        arrays = [None if one is None else one.tolist() for one in (self.values, self.spread, self.lower, self.upper)]
        return [self.id, self.length, self.flags, list(self.cells), *arrays]

    @classmethod
    def of(cls, plain: list[Any]) -> Prediction:
        """Return the prediction from the values of `plain`."""
        id, length, flags, cells, values, *more = plain
        spread, lower, upper = (None if one is None else np.array(one, np.float64) for one in more)
        return cls(id, np.array(values, np.float64), length, flags, spread, lower, upper, tuple(cells))

    @property
    def left_out(self) -> bool:
        """Whether the record could not be used; the flags give the reason."""
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
    """Raise ConfigError for the first option given that only tagging models use."""
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
        model = accelerated(model, stored.recipe, chosen_kind(precision))
    run = _Run(model, stored.facts, Intervals.of(stored.facts, names, level), len(names), batch_size, where)
    return stream(records, run.send, run.collect, batch_size=batch_size, threads=threads, device=where)


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

    def collect(self, window: _Window) -> Iterator[Prediction]:
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
    """Return those flags of a prediction that mark a protein unknown to the model with these facts."""
    telling = UNKNOWN if facts.get("novelty") else (*UNKNOWN, *LENGTHS)
    return [mark for mark in marks if mark in telling]


def columns(
    targets: Sequence[str], *, intervals: bool = False, spread: bool = False, units: Sequence[str] = ()
) -> list[str]:
    """Return the columns of a table of predictions; a target has a column of its unit where `units` names one.

    >>> columns(["tm"], intervals=True, spread=True, units=["degrees C"])
    ['id', 'length', 'tm', 'tm_lower', 'tm_upper', 'tm_spread', 'tm_unit', 'flags']
    """
    names = ["id", "length"]
    for place, target in enumerate(targets):
        names += [target, *([f"{target}_lower", f"{target}_upper"] if intervals else [])]
        names += [f"{target}_spread"] if spread else []
        names += [f"{target}_unit"] if any(units[place : place + 1]) else []
    return [*names, "flags"]


@contextlib.contextmanager
def open_predictions(
    path: str | Path | Memory,
    targets: Sequence[str],
    *,
    intervals: bool = False,
    spread: bool = False,
    units: Sequence[str] = (),
    carried: Sequence[str] = (),
) -> Iterator[Callable[[Prediction], None]]:
    """Open a table of predictions, and yield the function that writes a row.

    The columns are those of `columns`: the id, the length in residues, for each target its value, the ends of its
    interval, its spread and its unit, then the flags, joined by commas, `.` for none. Formats as in
    `sequences.tables.writer`: text has five significant digits, so that it does not show the noise of the arithmetic.

    A record that was left out has empty cells but for id, flags and those of its table. The table is opened with the
    first record that was not: an input without any leaves no file behind, and nothing on standard output.

    Parameters
    ----------
    intervals, spread : bool: whether the predictions have them.
    units : of the targets, "" where there is none; each a column that says the same in every row, so that any reader of
        tables understands it.
    carried : columns of the input's table, whose cells the predictions have; where the name is taken, with "input_"
        before it.

    Raises
    ------
    ConfigError: two columns would have one name, or the table has no format.
    BiorrnError: the file cannot be written.
    """
    names = columns(targets, intervals=intervals, spread=spread, units=units)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{path}: two columns would be named '{twice[0]}'; rename a target of the model")
    if not isinstance(path, Memory):
        table_format(path)
    parts = ["values", *(["lower", "upper"] if intervals else []), *(["spread"] if spread else [])]
    nothing = [float("nan")] * len(targets)
    empty = [None] * (len(names) - 2)
    kinds: dict[str, type] = dict.fromkeys(names, float) | {"id": str, "length": int, "flags": str}
    kinds |= dict.fromkeys((name for name in names if name.endswith("_unit") and name not in targets), str)
    told = [[unit] if unit else [] for unit in units] or [[] for _ in targets]
    for name in carried:
        while name in kinds:
            name = f"input_{name}"
        kinds[name] = str

    def rows(prediction: Prediction) -> Iterator[list[object]]:
        doubts = ",".join(prediction.flags) or "."
        if prediction.left_out:
            yield [prediction.id, *empty, doubts, *prediction.cells]
            return
        given = [getattr(prediction, part) for part in parts]
        columns = [nothing if one is None else one.tolist() for one in given]
        numbers: list[object] = []
        for unit, *values in zip(told, *columns, strict=True):
            numbers += [*values, *unit]
        yield [prediction.id, prediction.length, *numbers, doubts, *prediction.cells]

    with late(lambda first: open_table(path, kinds), rows) as write:
        yield write
