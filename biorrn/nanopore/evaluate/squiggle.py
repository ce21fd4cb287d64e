"""Squiggles: stretches of signal of a few reads with called and reference bases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from biorrn.base.errors import BiorrnError
from biorrn.nanopore.alignment import Alignment, AlignmentMapper, Region, Score
from biorrn.nanopore.evaluate.error_profile import GAP, Columns, read_columns
from biorrn.nanopore.readers.calls import BamCalls, BaseCall, has_moves, parse_bases, read_calls
from biorrn.nanopore.readers.files import read_all
from biorrn.sequences.alphabets import decode_bases
from biorrn.sequences.records import SignalRecord
from biorrn.stats.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, Drawing, draw

if TYPE_CHECKING:
    from biorrn.nanopore.basecall.caller import Caller


MOVES = "move table"


@dataclass(frozen=True, slots=True)
class Placed:
    """Bases of a call with their samples.

    Attributes
    ----------
    by : str: "move table" or the name of a model.
    first : int: base of the call that the first start belongs to.
    starts : int64 array (n,): first sample of each base in the raw signal.
    end : int: one past the last sample of the last base.
    """

    by: str
    first: int
    starts: np.ndarray
    end: int


class Places:
    """Context manager that finds the samples of called bases; the model is loaded when first needed."""

    def __init__(self, reads: Path, reference: Path, model: str | None = None) -> None:
        """Open the file of calls; `reference` is for CRAM, `model` is by default the shipped one.

        Raises
        ------
        InputError: the file cannot be read, or holds RNA.
        """
        given = reference if reads.suffix.lower() == ".cram" else None
        self._file = BamCalls(reads, given) if has_moves(reads) else None
        self._model = model
        self._loaded: tuple[Caller, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.__exit__(None, None, None)

    def of(self, record: SignalRecord, call: BaseCall) -> Placed:
        """Return the bases of a call by its move table, or else by the model.

        Raises
        ------
        BiorrnError: the move table contradicts the read, or the model cannot score it or calls another sequence.
        """
        for known, _ in () if self._file is None else self._file.calls(call.id):
            if known.starts is not None and np.array_equal(known.bases, parse_bases(call.bases)):
                return Placed(MOVES, 0, known.starts, known.end)
        return self._by_model(record, call)

    def _by_model(self, record: SignalRecord, call: BaseCall) -> Placed:
        from biorrn.nanopore.labels.transfer import align_to, carry, settle

        self._loaded = self._loaded or _load(self._model)
        scorer, name = self._loaded
        fault = scorer.fault(record)
        if fault:
            raise BiorrnError(f"no move table, and model {name} cannot replace it: {fault}")
        scored = scorer.score(record)
        if scorer.rna:
            raise BiorrnError(f"no move table, and model {name} is of RNA, which runs against its signal")
        own, given = scorer.call(scored), parse_bases(call.bases)
        found = align_to(own, given)
        carried = None if found is None else carry(own, found, given[found.ref_start : found.ref_end])
        if found is None or carried is None:
            raise BiorrnError(f"no move table, and model {name} calls another sequence")
        labels = settle(carried, scored).labels
        return Placed(name, found.ref_start, labels.starts, labels.end)


def _load(model: str | None) -> tuple[Caller, str]:
    from biorrn.base.compute import set_threads
    from biorrn.nanopore.basecall.caller import Caller
    from biorrn.nanopore.models.catalogue import default_model
    from biorrn.nn.store import load_model

    set_threads(1)  # at most three reads
    stored = load_model(model or default_model())
    return Caller(stored), stored.name


FOUND = 100  # scored reads to choose from, the first in the signal files
LONGEST = 400_000  # samples; longer reads are skipped, to bound memory and time
SAMPLES = 300  # drawn of a read
BASES = 40, 8  # most and fewest bases drawn of a read
NO_READ = "No squiggle is drawn: the signal files hold none of the scored reads."


@dataclass(frozen=True, slots=True)
class Squiggle:
    """A stretch of one read.

    Attributes
    ----------
    which : str: "best", "median" or "worst".
    score : Score of the whole read.
    placed_by : str: "move table", or the name of the model that found the base starts.
    sample_rate : float: samples per second (Hz).
    first : int: first sample of the stretch in the read.
    current : float32 array (T,): picoamperes.
    edges : int64 array (n + 1,): first samples of the called bases in the stretch, and the end of the last.
    true, called : uint8 arrays (C,): columns of the alignment in the direction of the read, codes as in
        `nanopore.evaluate.error_profile`; of `called` n are no gap.
    """

    which: str
    score: Score
    placed_by: str
    sample_rate: float
    first: int
    current: np.ndarray
    edges: np.ndarray
    true: np.ndarray
    called: np.ndarray


def choose(scores: Sequence[Score]) -> dict[str, Score]:
    """Return the reads of highest, median and lowest identity by name; fewer if there are fewer reads."""
    ranked = sorted(scores, key=lambda read: (-read.identity, read.read_id))
    names = {0: (), 1: ("median",), 2: ("best", "worst")}.get(len(ranked), ("best", "median", "worst"))
    places = {"best": 0, "median": len(ranked) // 2, "worst": -1}
    return {name: ranked[places[name]] for name in names}


def draw_from(
    reads: Path,
    reference: Path,
    mapper: AlignmentMapper,
    scores: Sequence[Score],
    signal: Sequence[Path],
    model: str | None = None,
    region: Region | None = None,
) -> tuple[list[Squiggle], list[str]]:
    """Return the stretches to draw, best read first, and cautions on what could not be drawn.

    Parameters
    ----------
    reads, reference : files of the scored reads `scores`.
    signal : signal files and folders; the reads are chosen from the first `FOUND` scored reads in them.
    model : str, optional: places the bases of reads without move table; by default the shipped one.
    region : Region, optional: contains the stretches.
    """
    scored = {read.read_id: read for read in scores}
    problems: list[BiorrnError] = []
    records: dict[str, SignalRecord] = {}
    try:
        for record in read_all(signal, problems.append):
            if record.read_id in scored and len(record.raw) <= LONGEST:
                records[record.read_id] = record
            if len(records) >= min(FOUND, len(scored)):
                break
    except BiorrnError as problem:  # the evaluation goes on without the figure
        problems.append(problem)
    cautions = [f"Signal for the squiggle: {problems[0]} ({len(problems)} problems)."] if problems else []
    chosen = choose([scored[read_id] for read_id in records])
    if not chosen:
        return [], [*cautions, NO_READ]
    calls = _calls(reads, reference, {score.read_id for score in chosen.values()})
    drawn = []
    try:
        with Places(reads, reference, model) as places:
            for which, score in chosen.items():
                call, record = calls[score.read_id], records[score.read_id]
                try:
                    placed = places.of(record, call)
                except BiorrnError as problem:
                    cautions.append(f"Squiggle of read {score.read_id}: {problem}.")
                    continue
                alignment = mapper.align(call)
                made = None if alignment is None else squiggle(which, score, record, call, alignment, placed, region)
                if made is not None:
                    drawn.append(made)
                else:
                    cautions.append(f"Squiggle of read {score.read_id}: too few bases are both aligned and placed.")
    except BiorrnError as problem:
        cautions.append(f"No squiggle is drawn: {problem}.")
    return drawn, cautions


def _calls(reads: Path, reference: Path, wanted: set[str]) -> Mapping[str, BaseCall]:
    found: dict[str, BaseCall] = {}
    for call in read_calls(reads, reference, lambda problem: None):  # told when they were scored
        if call.id in wanted and call.id not in found:
            found[call.id] = call
        if len(found) == len(wanted):
            break
    return found


def squiggle(
    which: str,
    score: Score,
    record: SignalRecord,
    call: BaseCall,
    alignment: Alignment,
    placed: Placed,
    region: Region | None = None,
) -> Squiggle | None:
    """Return a stretch of a read inside a region, near its middle, with an error rate close to that of the whole.

    None if too few bases are both aligned and placed.
    """
    columns = read_columns(call, alignment, region)
    begin = int(alignment.read_position[alignment.read_position >= 0].min())
    # called bases whose reference base (of an inserted one, the base before it) lies in the region
    inside = columns.inside[np.cumsum(columns.true != GAP) - 1][columns.called != GAP].nonzero()[0]
    if not len(inside):
        return None
    low, high = begin + int(inside[0]), begin + int(inside[-1]) + 1
    low, high = max(low, placed.first), min(high, placed.first + len(placed.starts))
    if high <= low:
        return None
    edges = np.append(placed.starts, placed.end)[low - placed.first : high - placed.first + 1]
    wrong = errors_by_base(columns)[low - begin : high - begin]
    stretch = window(edges, wrong)
    if stretch is None:
        return None
    first, last = stretch
    base = np.cumsum(columns.called != GAP) - 1 + begin - low  # the called base of a column; of a gap, the one before
    # without bases deleted after the last base
    part = (base >= first) & (base < last) & ~((columns.called == GAP) & (base == last - 1))
    sample = int(edges[first])
    return Squiggle(
        which,
        score,
        placed.by,
        record.sample_rate,
        sample,
        record.picoamperes()[sample : int(edges[last])],
        edges[first : last + 1] - sample,
        columns.true[part],
        columns.called[part],
    )


def errors_by_base(columns: Columns) -> np.ndarray:
    """Return int64 (n,): for each aligned called base, 1 if it is wrong, plus the bases deleted before it."""
    errors = (columns.called != columns.true).astype(np.int64)
    ends = np.flatnonzero(columns.called != GAP)
    return np.diff(np.cumsum(errors)[ends], prepend=0)


def window(edges: np.ndarray, errors: np.ndarray) -> tuple[int, int] | None:
    """Return first base and one past the last of the stretch to draw, or None.

    Parameters
    ----------
    edges : int array (n + 1,): first sample of each base, and the end of the last.
    errors : int array (n,): errors at each base.
    """
    most, least = BASES
    first = np.arange(len(errors))
    last = np.minimum(np.searchsorted(edges, edges[:-1] + SAMPLES, side="right") - 1, first + most)
    usable = last - first >= min(least, len(errors))
    if not usable.any():
        return None
    first, last = first[usable], last[usable]
    summed = np.concatenate([[0], np.cumsum(errors)])
    found = summed[last] - summed[first]
    usual = np.rint(float(np.mean(errors)) * (last - first))
    away = np.abs(found - usual)
    best = np.flatnonzero(away == away.min())
    chosen = best[np.argmin(np.abs(first[best] + last[best] - len(errors)))]
    return int(first[chosen]), int(last[chosen])


def facts(drawn: Iterable[Squiggle]) -> list[dict[str, object]]:
    """Return the stretches for JSON."""
    return [
        {
            "read": one.which,
            "read_id": one.score.read_id,
            "identity": one.score.identity,
            "placed_by": one.placed_by,
            "from_sample": one.first,
            "to_sample": one.first + len(one.current),
            "called": decode_bases(one.called[one.called != GAP]),
            "reference": decode_bases(one.true[one.true != GAP]),
        }
        for one in drawn
    ]


COLOURS = {"mismatch": RED, "insertion": ORANGE, "deletion": GREEN}  # as in the figure of errors
BAND = "#EFEFEF"
LETTER = 7.5  # points
HEIGHT = 1.75  # inches a read
ROOM = 0.0205  # of the width for a letter


def error_of(true: int, called: int) -> str:
    """Return the error type of a column by the codes of its bases; "" for a match."""
    if called == GAP:
        return "deletion"
    if true == GAP:
        return "insertion"
    return "" if true == called else "mismatch"


def places_of(one: Squiggle) -> np.ndarray:
    """Return the sample of each column, float64 (C,): the middle of its called base; gaps are interpolated."""
    present = np.flatnonzero(one.called != GAP)
    middles = (one.edges[:-1] + one.edges[1:]) / 2
    return np.interp(np.arange(len(one.called)), present, middles)


def apart(places: np.ndarray, room: float, end: float) -> np.ndarray:
    """Return places (n,) moved by least squares to be `room` apart and within 0 to `end`.

    >>> apart(np.array([5.0, 5.0, 9.0]), 2.0, 20.0).tolist()
    [4.0, 6.0, 9.0]
    """
    from scipy.optimize import isotonic_regression

    if not len(places):
        return places
    steps = room * np.arange(len(places))
    free = np.asarray(isotonic_regression(places - steps).x)
    return np.clip(free, room / 2, max(room / 2, end - room / 2 - steps[-1])) + steps


def _read(axes: Axes, one: Squiggle) -> None:
    time = 1000 / one.sample_rate  # ms a sample
    low, high = float(one.current.min()), float(one.current.max())
    room = 0.2 * (high - low) or 1.0
    bottom, top = low - room, high + room
    begin, wide = time * one.edges[:-1], time * np.diff(one.edges)
    axes.broken_barh(list(zip(begin[::2], wide[::2], strict=True)), (bottom, top - bottom), color=BAND, linewidth=0)
    axes.plot(time * np.arange(len(one.current)), one.current, color=BLUE, linewidth=0.9)
    places = time * apart(places_of(one), ROOM * len(one.current), len(one.current))
    for place, true, called in zip(places, one.true, one.called, strict=True):
        error = error_of(int(true), int(called))
        for code, height in ((called, top - 0.45 * room), (true, bottom + 0.45 * room)):
            axes.text(
                place,
                height,
                "–" if code == GAP else decode_bases(np.array([code])),
                color=COLOURS.get(error, INK),
                weight="bold" if error else "normal",
                fontsize=LETTER,
                family="DejaVu Sans Mono",
                ha="center",
                va="center",
            )
    for height, name in ((top - 0.45 * room, "called"), (bottom + 0.45 * room, "reference")):
        axes.annotate(name, (1.0, height), xycoords=("axes fraction", "data"), xytext=(3, 0), va="center",
                      textcoords="offset points", fontsize=7, color=GREY)  # fmt: skip
    axes.set(xlim=(0, time * len(one.current)), ylim=(bottom, top), ylabel="current (pA)")
    axes.grid(visible=False)
    title = f"{one.which} read, identity {100 * one.score.identity:.1f} %, from {one.first / one.sample_rate:.2f} s"
    axes.set_title(title, loc="left", fontsize=9)


def squiggle_figure(drawn: Sequence[Squiggle]) -> Drawing:
    """Return the figure of one or more stretches, one below the other."""

    def paint(figure: Figure) -> None:
        panels = np.atleast_1d(figure.subplots(len(drawn), 1))
        for axes, one in zip(panels, drawn, strict=True):
            _read(axes, one)
        panels[-1].set_xlabel("time (ms)")
        handles = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=1.0)

    by = sorted({one.placed_by for one in drawn})
    placed = " and ".join("the move table" if name == "move table" else f"the model {name}" for name in by)
    names = ", ".join(f"{one.which} {one.score.read_id}" for one in drawn)
    caption = (
        f"Signal with called bases (above), placed by {placed}, and reference bases (below), in the direction of the "
        f"read; a dash is a gap. Reads: {names}."
    )
    return draw("squiggle", caption, paint, 0.7 + HEIGHT * len(drawn))
