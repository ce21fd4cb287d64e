"""Prediction of protein properties, streamed in input order, and the table of predictions.

A prediction does not depend on batch size, on the other records or on the number of threads, to the last bit on a CPU:
a sequence is padded to a length that depends on its own length only; no forward pass has fewer than `ROWS` rows, below
which linear-algebra libraries change kernels and with them the order of additions; each pass runs on one thread, and
threads work on different batches.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biorrn.base.compute import apply_threads, kind_of, usable_threads
from biorrn.base.errors import ConfigError
from biorrn.config.recipe import adapted
from biorrn.nn import windows
from biorrn.nn.engine import EnsembleEngine, chosen_kind, unsupported
from biorrn.nn.facts import targets_of
from biorrn.nn.store import Stored, is_shipped, load_model
from biorrn.proteins import effects
from biorrn.proteins.classes.calibration import FLAG as NO_CLASS
from biorrn.proteins.classes.calibration import Calibrated
from biorrn.proteins.classes.predict import scores_of
from biorrn.proteins.predicted import Predicted, Prediction, strangers
from biorrn.proteins.uncertainty import novelty
from biorrn.proteins.uncertainty.conformal import LEVEL, Intervals
from biorrn.sequences import embeddings
from biorrn.sequences.flags import LEFT_OUT, flags
from biorrn.sequences.records import ProteinRecord
from biorrn.sequences.tables.writer import Memory, Table, late, open_table, table_format

if TYPE_CHECKING:
    import torch

# task -> the command that its models are for
COMMANDS = {"basecalling": "biorrn basecall", "language": "biorrn models generate"}
COMMANDS |= dict.fromkeys(("tagging", "classification"), "biorrn predict")

Passed = tuple[np.ndarray, np.ndarray | None]  # values (B, K) and their spread, float64


def target_names(stored: Stored, effects: bool = False) -> list[str]:
    """Return the names of the model's targets.

    Parameters
    ----------
    effects : bool: whether a model of effects of substitutions will do too.

    Raises
    ------
    ConfigError: the model is not one for regression.
    """
    task = stored.facts.get("task")
    if task != "regression" and not (effects and stored.facts.get("effect")):
        hint = f"; a {task} model is for {COMMANDS[task]}" if task in COMMANDS else ""
        if stored.facts.get("effect"):
            name = stored.path.name if is_shipped(stored.path) else stored.path
            needed = "needed here is one of whole proteins"
            raise ConfigError(f"{name}: is a model of effects of substitutions, see biorrn scan {name}; {needed}")
        raise ConfigError(f"{stored.path}: is a model for {task}; needed here is one for regression{hint}")
    return [str(target["name"]) for target in targets_of(stored.facts)]


def units_of(facts: Mapping[str, Any]) -> list[str]:
    """Return the unit of each target of a model, "" where none is known."""
    return [str(target.get("unit") or "") for target in targets_of(facts)]


def columns_given(stored: Stored, level: float) -> tuple[dict[str, bool], str]:
    """Return whether a model's predictions have "intervals" at a level, and "spread"; and why they have no intervals.

    Raises
    ------
    ConfigError: the model is not one for regression, or the level is out of range.
    """
    names = target_names(stored, effects=True)
    intervals = Intervals.of(stored.facts, names, level) is not None
    note = ""
    if not intervals:
        known = stored.facts.get("conformal") or {}
        short = [f"{name} ({known[name]['rows']} rows)" for name in names if name in known]
        reason = f"too few calibration rows for {level:g}: {', '.join(short)}" if short else "it was never calibrated"
        more = "" if stored.facts.get("effect") else "; biorrn evaluate calibrate adds them from held-out rows"
        note = f"no intervals: the model carries none ({reason}{more})"
    return {"intervals": intervals, "spread": _has_spread(stored)}, note


def widened(stored: Stored, level: float) -> bool | None:
    """Return whether proteins unknown to the model have intervals of their own; None if the model has no intervals."""
    intervals = Intervals.of(stored.facts, target_names(stored, effects=True), level)
    return None if intervals is None else all(entry is not None for entry in intervals.unlike)


def _has_spread(stored: Stored) -> bool:
    if stored.facts.get("effect"):
        return False
    members = stored.recipe.members
    if members is not None or unsupported(stored.recipe) is None:
        return len(members or ()) > 1
    from biorrn.nn.forward import has_spread

    return has_spread(stored.model)


def load_for(model: str | Path, given: str | None) -> Stored:
    """Load a model; one with adapters finds its language model also where `given`, as --embeddings, names it."""
    if given is not None:
        from biorrn.nn.hub import offer

        offer(given)
    return load_model(model)


def open_embeddings(stored: Stored, given: str | None, device: str = "cpu") -> list[embeddings.Embeddings]:
    """Open the embeddings that a model reads, for this process.

    Parameters
    ----------
    given : str, optional: a file of embeddings, or a language model that makes them as they are asked for.

    Returns
    -------
    list of Embeddings: the open file, to which proteins are joined by id too; none for a language model, or where the
    model reads sequences alone.

    Raises
    ------
    ConfigError: the model reads embeddings and none are given, or others than it reads; or it reads none.
    InputError: as `Embeddings.open`.
    """
    reads = embeddings.wanted(stored.recipe)
    if not reads:
        if given is not None and not adapted(stored.recipe):
            raise ConfigError(f"--embeddings: {stored.path} reads sequences alone; leave the option out")
        return []
    width, name, mean = reads[0]
    if given is None:
        made = f"biorrn embed plm proteins.fasta --model {name or 'MODEL'} -o embeddings.h5"
        needs = embeddings.needs(width, name)
        raise ConfigError(f"{stored.path}: the model {needs}; give their file with --embeddings ({made})")
    from biorrn.nn.hub import LanguageModel, is_plm

    source: Any = LanguageModel.load(given, device) if is_plm(given) else embeddings.use(given)
    for width, name, mean in reads:
        if width != source.width or (name and source.model not in ("", name)):
            raise ConfigError(f"{given}: holds {source.described}; the model {embeddings.needs(width, name)}")
        if not mean and source.per == "protein":
            raise ConfigError(f"{given}: holds {source.described}; the model reads one vector a residue")
    if isinstance(source, embeddings.Embeddings):
        return [source]
    embeddings.use_live(source)
    return []


def refuse(stored: Stored, **options: str | None) -> None:
    """Raise ConfigError for the first option given that only tagging models use."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"--{name}: needs a tagging model; {stored.path} predicts one value a protein")


def predict_windows(
    stored: Stored,
    records: Iterable[ProteinRecord],
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    threads: int | None = None,
    level: float = LEVEL,
    precision: str = "auto",
    antisymmetric: bool = False,
) -> Iterator[Predicted]:
    """Predict each record's values, in input order, by windows; memory does not grow with the number of records.

    Parameters
    ----------
    stored : Stored: a regression model; one of effects of substitutions, for which see `proteins.effects`; or one of
        classes, whose values are the calibrated probabilities (N, C).
    records : iterable of ProteinRecord.
    batch_size : int: sequences a forward pass; fewer where they are long. Changes the speed, not the values.
    device : torch device.
    threads : int, optional: CPU threads; default: as many as torch uses. Changes the speed, not the values.
    level : float: of the intervals, 0.5 to 0.99, where the model's facts allow any.
    precision : str: arithmetic of networks on a CPU: "32", "bf16", or "auto", see `nn.engine.chosen_kind`; of effects
        of substitutions always float32.
    antisymmetric : bool: for a model of effects of substitutions, see `proteins.effects`.

    Raises
    ------
    ConfigError: the model is not one for regression, the level is out of range, or there is no such precision here.
    BiorrnError: the batch size is below 1, or a record holds a letter outside the alphabet.
    """
    classes = Calibrated.of(stored.facts, level)
    names = target_names(stored, effects=True) if classes is None else list(stored.facts["classes"])
    kind = chosen_kind(precision) if kind_of(device) == "cpu" else None
    effect = bool(stored.facts.get("effect"))
    if antisymmetric and not effect:
        raise ConfigError(f"--antisymmetric: needs a model of effects of substitutions, as ddg; found {stored.path}")
    intervals = None if classes is not None else Intervals.of(stored.facts, names, level)
    settings = (stored.facts, intervals, len(names))
    engine = None
    if kind is not None and not effect and classes is None:
        engine = EnsembleEngine.of(stored.recipe, lambda: stored.tensors, kind)
    if engine is not None:
        workers = threads or usable_threads()
        batches = functools.partial(windows.even_batches, batch_size=batch_size, workers=workers)
        run = _Run(*settings, functools.partial(_by_kernels, engine), batches)
        return windows.stream(records, run.send, run.collect, batch_size=batch_size, workers=workers, even=True)
    import torch

    from biorrn.nn.ensemble import accelerated
    from biorrn.nn.forward import model_on, stream, values_and_spread

    apply_threads()
    where = torch.device(device)
    model = model_on(stored.model, where)
    limits: dict[str, Any] = {"batch_size": batch_size, "threads": threads, "device": where}
    if effect:
        forward = functools.partial(_by_torch, effects.tables, model, batch_size, where)
        pairs = effects.Mutants(stored.facts, intervals, forward, batch_size, antisymmetric)
        return stream(records, pairs.send, pairs.collect, **limits, residues=effects.WINDOW_RESIDUES)
    if kind is not None and classes is None:
        model = accelerated(model, stored.recipe, kind)
    batches = functools.partial(windows.batches, batch_size=batch_size)
    several = bool(stored.facts.get("sets"))
    score = values_and_spread if classes is None else functools.partial(_class_scores, several)
    forward = functools.partial(_by_torch, score, model, batch_size, where)
    run = _Run(*settings, forward, batches, classes)
    return stream(records, run.send, run.collect, **limits)


def _by_kernels(engine: EnsembleEngine, flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Passed:
    return engine(windows.matrix(flat, starts, lengths, int(lengths.max())), lengths)


def _class_scores(
    sets: bool, model: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, None]:
    return scores_of(model, x, lengths, sets), None


def _by_torch(
    score: Callable[..., tuple[torch.Tensor, torch.Tensor | None]],
    model: torch.nn.Module,
    batch_size: int,
    device: torch.device,
    flat: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
) -> Passed:
    import torch

    from biorrn.nn.forward import padded

    x, sizes = padded(flat, starts, lengths, batch_size, device)
    with torch.inference_mode():
        given = score(model, x, sizes)
        values, spread = (None if one is None else one[: len(lengths)].double().cpu().numpy() for one in given)
    assert values is not None
    return values, spread


def predict(stored: Stored, records: Iterable[ProteinRecord], **options: Any) -> Iterator[Prediction]:
    """Predict each record's values, in input order; parameters and errors as of `predict_windows`."""
    return itertools.chain.from_iterable(predict_windows(stored, records, **options))


@dataclass(frozen=True, slots=True)
class _Window:
    """Records under way: what each batch gives, and which rows of the window it holds."""

    records: list[ProteinRecord]
    lengths: list[int]
    batches: list[tuple[Sequence[int], Future[Passed]]]
    unlike: np.ndarray  # bool (N,)
    alone: np.ndarray  # bool (N,): no relative among the training rows, of a model that knows them


class _Run:
    """One pass of a model over many records.

    Parameters
    ----------
    forward : returns the values and spreads of the sequences flat[start:start + length] of a batch.
    batches : yields the rows of each batch, of sequences of these lengths.
    classes : of a model of classes: what the values, logarithms of probabilities, become.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        intervals: Intervals | None,
        targets: int,
        forward: Callable[[np.ndarray, np.ndarray, np.ndarray], Passed],
        batches: Callable[[list[int]], Iterable[Sequence[int]]],
        classes: Calibrated | None = None,
    ) -> None:
        self.facts, self.intervals, self.targets = facts, intervals, targets
        self.forward, self.batches, self.classes = forward, batches, classes

    def send(self, records: list[ProteinRecord], pool: ThreadPoolExecutor) -> _Window:
        lengths = np.array([len(record.sequence) for record in records], np.int64)
        flat, starts = windows.joined(records), np.cumsum(lengths) - lengths
        sent = []
        for rows in self.batches(lengths.tolist()):
            sent.append((rows, pool.submit(self.forward, flat, starts[rows], lengths[rows])))
        entry = self.facts.get("novelty")
        unlike = np.zeros(len(records), bool) if entry is None else novelty.unlike(entry, flat, lengths)
        words = self.facts.get("relatives")
        alone = np.zeros(len(records), bool) if words is None else novelty.alone(words, flat, lengths)
        return _Window(records, lengths.tolist(), sent, unlike, alone)

    def collect(self, window: _Window) -> Iterator[Predicted]:
        values = np.full((len(window.records), self.targets), np.nan)
        spread: np.ndarray | None = None
        for rows, passed in window.batches:
            values[rows], own = passed.result()
            if own is not None:
                spread = np.full_like(values, np.nan) if spread is None else spread
                spread[rows] = own
        marks = [flags(record, self.facts) for record in window.records]
        strange = np.zeros(len(marks), bool)
        if self.classes is not None:
            values, strange = self.classes(values)
        for mark, where in (
            (novelty.FLAG, window.unlike),
            (novelty.NO_RELATIVE, window.alone),
            (NO_CLASS, strange),
        ):
            for row in np.flatnonzero(where).tolist():
                if not window.records[row].problem:
                    marks[row].append(mark)
        told = [tuple(own) for own in marks]
        unknown = strangers(told, self.facts)
        ends = (None, None) if self.intervals is None else self.intervals(values, spread, unknown)
        ids, cells = [record.id for record in window.records], [record.cells for record in window.records]
        yield Predicted(ids, window.lengths, told, cells, values, spread, *ends)


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
) -> Iterator[Callable[[Predicted], None]]:
    """Open a table of predictions, and yield the function that writes some.

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
    kinds: dict[str, type] = dict.fromkeys(names, float) | {"id": str, "length": int, "flags": str}
    kinds |= dict.fromkeys((name for name in names if name.endswith("_unit") and name not in targets), str)
    for name in carried:
        while name in kinds:
            name = f"input_{name}"
        kinds[name] = str

    def put(table: Table, found: Predicted) -> None:
        text_of = {marks: ",".join(marks) or "." for marks in set(found.flags)}
        empty = {row for row, marks in enumerate(found.flags) if marks[:1] == (LEFT_OUT,)}

        def filled(column: Any) -> Any:
            return [None if row in empty else cell for row, cell in enumerate(column)] if empty else column

        numbers: list[Any] = []
        for place, unit in itertools.zip_longest(range(len(targets)), units, fillvalue=""):
            given = [getattr(found, part) for part in parts]
            nothing = np.full(len(found), np.nan)
            numbers += [filled(nothing if one is None else one[:, place]) for one in given]
            numbers += [filled([unit] * len(found))] if unit else []
        told = [text_of[marks] for marks in found.flags]
        table.add([found.ids, filled(found.lengths), *numbers, told, *zip(*found.cells, strict=True)])

    with late(lambda first: open_table(path, kinds), put) as write:
        yield write
