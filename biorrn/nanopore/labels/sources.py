"""Reads with the bases that made their signal: from Tombo's events in FAST5, or from a table of a simulator."""

from __future__ import annotations

import contextlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError, InputError, OnProblem, stop
from biorrn.base.files import open_text, tsv_line, write_text
from biorrn.base.lookup import lookup
from biorrn.nanopore.alignment import Mapper
from biorrn.nanopore.basecall.caller import Caller, Scored
from biorrn.nanopore.basecall.intake import check_chemistry
from biorrn.nanopore.labels.transfer import Carried, as_called, carry, cut_to_signal, delayed, place_call, settle
from biorrn.nanopore.readers.calls import BamCalls, Moves, parse_bases, read_sequences
from biorrn.nanopore.readers.files import find_signal_files, read_all, read_calls, read_labels
from biorrn.sequences.alphabets import decode_bases, encode_bases, reverse_complement
from biorrn.sequences.records import Hit, ReadCall, ReadLabels, SignalRecord

LabelledReads = Iterator[tuple[SignalRecord, ReadLabels]]

TRUTH_COLUMNS = ("read_id", "reference", "ref_start", "ref_end", "strand", "bases", "starts", "end")


def labelled_reads(
    paths: Sequence[str | Path],
    labels: str,
    truth: str | Path | None,
    counts: Counter[str],
    on_problem: OnProblem = stop,
) -> LabelledReads:
    """Return an iterator over the reads of files and folders with their labels, one read in memory at a time.

    Parameters
    ----------
    paths : signal files and folders.
    labels : str: entry of `LABELS`.
    truth : the table of labels, for those that need one.
    counts : takes the reads left out, by reason.
    on_problem : called with the `InputError` of each file or read that cannot be used.

    Raises
    ------
    ConfigError: unknown labels, or a table where none is needed or none where one is.
    InputError: the table is damaged.
    """
    return lookup(LABELS, labels, "--labels")(paths, truth, counts, on_problem)


def _events(
    paths: Sequence[str | Path], truth: str | Path | None, counts: Counter[str], on_problem: OnProblem
) -> LabelledReads:
    """Labels that `tombo resquiggle` wrote into FAST5; a file of another format has none."""
    if truth is not None:
        raise ConfigError(f"--truth {truth}: is for --labels truth; events are in the FAST5 files")
    files = find_signal_files(paths, on_problem)
    for file in [file for file in files if file.suffix.lower() != ".fast5"]:
        on_problem(InputError(file, "holds no events; --labels events needs FAST5"))
    return read_all([file for file in files if file.suffix.lower() == ".fast5"], on_problem, read=read_labels)


def _truth(
    paths: Sequence[str | Path], truth: str | Path | None, counts: Counter[str], on_problem: OnProblem
) -> LabelledReads:
    """Labels from a table with one row a read."""
    if truth is None:
        raise ConfigError("--labels truth: needs the table of labels; name it with --truth")
    return _joined(paths, truth, counts, on_problem)


def _joined(
    paths: Sequence[str | Path], truth: str | Path, counts: Counter[str], on_problem: OnProblem
) -> LabelledReads:
    rows = read_truth(truth)
    waiting: dict[str, ReadLabels] = {}  # rows that came before their read; none where both have one order
    used: set[str] = set()
    for record in read_all(paths, on_problem):
        if record.read_id in used:
            counts["reads dropped: read id came before"] += 1
            continue
        while record.read_id not in waiting:
            read_id, labels = next(rows, (None, None))
            if read_id is None or labels is None:
                break
            if read_id in waiting or read_id in used:
                raise InputError(truth, "the read is given twice; allowed is once", read_id)
            waiting[read_id] = labels
        if record.read_id not in waiting:
            counts["reads dropped: no row in the truth table"] += 1
            continue
        used.add(record.read_id)
        yield record, waiting.pop(record.read_id)
    counts["truth rows without a read"] += len(waiting) + sum(1 for _ in rows)


def read_truth(path: str | Path) -> Iterator[tuple[str, ReadLabels]]:
    """Yield read id and labels of each row of a TSV with the columns `TRUTH_COLUMNS`.

    bases are letters in the order of the signal, starts their first samples in the raw signal, separated by commas,
    end one past the last labelled sample; ref_start and ref_end are 0-based and half-open on the forward strand.

    Raises
    ------
    InputError: a column is missing or a cell cannot be used.
    """
    with open_text(path) as file:
        names = file.readline().rstrip("\r\n").split("\t")
        missing = [name for name in TRUTH_COLUMNS if name not in names]
        if missing:
            raise InputError(path, f"column '{missing[0]}' is missing; found {', '.join(names)[:200]}")
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) != len(names):
                raise InputError(path, f"row {number} has {len(cells)} cells; the header names {len(names)} columns")
            row = dict(zip(names, cells, strict=True))
            yield row["read_id"], _labels(path, row)


def _labels(path: str | Path, row: dict[str, str]) -> ReadLabels:
    try:
        bases = encode_bases(row["bases"])
        starts = np.array(row["starts"].split(","), np.int64)
        numbers = [int(row[name]) for name in ("end", "ref_start", "ref_end")]
    except (ValueError, OverflowError, BiorrnError) as error:
        raise InputError(path, str(error), row["read_id"]) from error
    if len(starts) != len(bases):
        raise InputError(path, f"found {len(bases)} bases and {len(starts)} starts", row["read_id"])
    if row["strand"] not in ("+", "-", ""):
        raise InputError(path, f"column 'strand': found '{row['strand'][:20]}'; allowed is + or -", row["read_id"])
    return ReadLabels(bases, starts, numbers[0], row["reference"], numbers[1], numbers[2], row["strand"])


Source = Callable[[Sequence[str | Path], str | Path | None, Counter[str], OnProblem], LabelledReads]
LABELS: dict[str, Source] = {"events": _events, "truth": _truth}


COLUMNS = ("read_id", "status", "reason", "identity", "coverage", "mean_q", "bases", "reference")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a read must reach.

    Attributes
    ----------
    identity : float: equal bases over columns of its alignment.
    coverage : float: part of its bases that is aligned.
    mean_q : float: Phred score of its mean error probability; a read without qualities passes.
    dwell : (float, float): samples a base, least and most.
    """

    identity: float = 0.0
    coverage: float = 0.0
    mean_q: float = 0.0
    dwell: tuple[float, float] = (3.0, 60.0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a read; NaN where it is not."""

    identity: float = math.nan
    coverage: float = math.nan
    mean_q: float = math.nan
    dwell: float = math.nan
    reference: str = ""


def below(facts: Facts, limits: Limits) -> str | None:
    """Return why a read does not reach the limits, or None; what is not known is not held against it.

    >>> below(Facts(identity=0.8), Limits(identity=0.9))
    'identity below 0.9'
    """
    if facts.mean_q < limits.mean_q:
        return f"mean quality below {limits.mean_q:g}"
    if facts.coverage < limits.coverage:
        return f"coverage below {limits.coverage:g}"
    if facts.identity < limits.identity:
        return f"identity below {limits.identity:g}"
    if facts.dwell < limits.dwell[0] or facts.dwell > limits.dwell[1]:
        return f"dwell beyond {limits.dwell[0]:g} to {limits.dwell[1]:g} samples a base"
    return None


class ReadReport:
    """Takes the fate of each read; writes it as a row of a table where there is a stream.

    A source of labels calls `drop` or `keep`; `prepare_signal` then says by `done` what came of a kept one.

    Attributes
    ----------
    counts : Counter: reads and bases by what became of them.
    """

    def __init__(self, counts: Counter[str] | None = None, stream: IO[str] | None = None) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._stream = stream
        self._kept: dict[str, Facts] = {}
        self._identities: dict[str, list[float]] = {"kept": [], "dropped": []}
        if stream is not None:
            stream.write("\t".join(COLUMNS) + "\n")

    def drop(self, read_id: str, reason: str, facts: Facts | None = None) -> None:
        """Count a read that gives no labels."""
        self.counts[f"reads dropped: {reason}"] += 1
        self._row(read_id, "dropped", reason, facts or Facts(), 0)

    def keep(self, read_id: str, facts: Facts) -> None:
        """Take the facts of a read whose labels go on to be prepared."""
        self._kept[read_id] = facts

    def done(self, read_id: str, fault: str | None, bases: int) -> None:
        """Take what became of a read's labels: why they could not be used, or how many bases were written."""
        facts = self._kept.pop(read_id, None) or Facts()
        reason = (fault or "").removeprefix("reads dropped: ")
        self._row(read_id, "dropped" if fault else "kept", reason, facts, bases)

    def summary(self) -> dict[str, Any]:
        """Return the identities of the reads kept and dropped, quartiles; {} where none is known."""
        found = {}
        for status, values in self._identities.items():
            if values:
                low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
                found[status] = {
                    "reads": len(values),
                    "lower_quartile": float(low),
                    "median": float(middle),
                    "upper_quartile": float(high),
                }
        return found

    def _row(self, read_id: str, status: str, reason: str, facts: Facts, bases: int) -> None:
        if not math.isnan(facts.identity):
            self._identities[status].append(facts.identity)
        if self._stream is not None:
            numbers = [_number(value) for value in (facts.identity, facts.coverage, facts.mean_q)]
            cells = [read_id, status, reason or ".", *numbers, str(bases), facts.reference or "."]
            self._stream.write(tsv_line(*cells))


@contextlib.contextmanager
def open_report(path: str | Path | None) -> Iterator[ReadReport]:
    """Open a report that is written as a table to `path`, if there is one; it appears whole or not at all."""
    if path is None:
        yield ReadReport()
        return
    with write_text(path) as stream:
        yield ReadReport(stream=stream)


def _number(value: float) -> str:
    return "." if math.isnan(value) else f"{value:.4f}"


NO_CALLS = "holds no calls; --labels calls needs FAST5, or --calls with FASTA or FASTQ"
NO_REFERENCE = (
    "needs the sequenced genome as --reference; without one, assemble your calls: biorrn assemble CALLS -o FOLDER, "
    "then --reference FOLDER/contigs.fasta"
)
MASKED = "bases masked: beside a gap, of poor agreement or odd dwell"


@dataclass(frozen=True, slots=True)
class Sources:
    """What the labels are made from.

    Attributes
    ----------
    bam, moves, calls, reference : files; see `biorrn prepare signal --help`.
    limits : Limits: what a read must reach.
    lead : int: bases by which the starts of calls come before those wanted; see `nanopore.labels.transfer.delayed`.
    scorer : makes the model when it is first needed.
    """

    bam: Path | None = None
    moves: Path | None = None
    calls: Path | None = None
    reference: Path | None = None
    limits: Limits = field(default_factory=Limits)
    lead: int = 0
    scorer: Callable[[], Caller] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A read with a call that has starts.

    Attributes
    ----------
    hit : Hit or None: where its file says that the call lies.
    scored : Scored or None: what a model made of the read.
    identity, coverage : float: how far a model's own call agrees with the call; NaN where none was asked.
    """

    record: SignalRecord
    call: ReadCall
    hit: Hit | None = None
    scored: Scored | None = None
    identity: float = math.nan
    coverage: float = math.nan


def labels_by_call(
    paths: Sequence[str | Path], labels: str, sources: Sources, report: ReadReport, on_problem: OnProblem = stop
) -> LabelledReads:
    """Yield the reads of files and folders with labels made from calls, one read in memory at a time.

    Parameters
    ----------
    paths, on_problem : as of `nanopore.readers.files.read_all`.
    labels : str: entry of `CALL_LABELS`.
    sources : what the labels are made from.
    report : takes the fate of each read.

    Raises
    ------
    ConfigError: unknown labels, or a file that they need is not named.
    InputError: a file of calls or the reference cannot be used.
    """
    called = lookup(CALL_LABELS, labels, "--labels")
    mapper = None if sources.reference is None else Mapper(sources.reference)
    for found in called(paths, sources, report, on_problem):
        read_id, facts = found.record.read_id, Facts(found.identity, found.coverage, found.call.mean_q)
        fault, carried = below(facts, sources.limits), None
        if fault is None:
            carried, fault = _labelled(cut_to_signal(found.call, len(found.record.raw)), found.hit, mapper)
        if carried is not None:
            if found.scored is not None and mapper is not None:
                carried = settle(carried, found.scored)
            facts = _facts(carried, found)
            fault = below(facts, sources.limits)
        if fault is not None or carried is None:
            report.drop(read_id, fault or "not aligned", facts)
            continue
        report.counts[MASKED] += carried.masked
        report.keep(read_id, facts)
        yield found.record, delayed(carried.labels, sources.lead)


def _facts(carried: Carried, found: Found) -> Facts:
    labels = carried.labels
    dwell = (labels.end - int(labels.starts[0])) / len(labels.starts)
    # the called bases as their own label agree with nothing but the model that placed them
    same = math.isnan(carried.identity)
    identity, coverage = (found.identity, found.coverage) if same else (carried.identity, carried.coverage)
    return Facts(identity, coverage, found.call.mean_q, dwell, labels.reference)


def _labelled(call: ReadCall, hit: Hit | None, mapper: Mapper | None) -> tuple[Carried | None, str | None]:
    """Return the labels of a call with starts, or why there are none."""
    if not len(call.bases):
        return None, "no bases called"
    if mapper is None:
        carried = as_called(call)
    else:
        usable = hit is not None and hit.reference in mapper.lengths and hit.ref_end <= mapper.lengths[hit.reference]
        hit = hit if usable else mapped(mapper, call.bases)
        if hit is None:
            return None, "maps nowhere on the reference"
        target = parse_bases(mapper.sequence(hit.reference, hit.ref_start, hit.ref_end))
        if hit.strand == "-":
            target = reverse_complement(target)
        carried = carry(call, hit, target)
    return carried, None if carried is not None else "fewer samples than bases"


def mapped(mapper: Mapper, bases: np.ndarray) -> Hit | None:
    """Return where minimap2 puts a sequence, or None."""
    best = mapper.best(decode_bases(bases))
    if best is None:
        return None
    steps = [(int(count), int(kind)) for count, kind in best.cigar]
    if best.strand < 0:
        steps.reverse()
    strand = "+" if best.strand > 0 else "-"
    return Hit(best.ctg, best.r_st, best.r_en, strand, best.q_st, tuple(steps))


def _scorer(sources: Sources, labels: str) -> Caller:
    if sources.scorer is None:
        raise ConfigError(f"--labels {labels}: needs a model to place the bases; name one with --model")
    return sources.scorer()


def _bam(paths: Sequence[str | Path], sources: Sources, report: ReadReport, on_problem: OnProblem) -> Iterator[Found]:
    """Calls of a BAM, placed by its move table or by one in PAF."""
    if sources.bam is None:
        raise ConfigError("--labels bam: needs the file of calls; name it with --bam")
    moves = None if sources.moves is None else Moves(sources.moves)
    with ExitStack() as stack:
        file = stack.enter_context(BamCalls(sources.bam, sources.reference))
        for record in read_all(paths, on_problem):
            if record.read_id not in file:
                report.drop(record.read_id, "no call in the file of calls")
                continue
            try:
                for call, hit in file.calls(record.read_id):
                    if moves is not None and record.read_id in moves:
                        call = moves.place(record.read_id, call)
                    if call.starts is None:
                        report.drop(record.read_id, "no move table")
                    else:
                        yield Found(record, call, hit)
            except InputError as problem:
                on_problem(problem)
                report.drop(record.read_id, "call cannot be used")


def _calls(paths: Sequence[str | Path], sources: Sources, report: ReadReport, on_problem: OnProblem) -> Iterator[Found]:
    """Calls of a FASTA or FASTQ file, or those inside FAST5; placed by their moves or by a model."""
    scorer: Caller | None = None
    moves = None if sources.moves is None else Moves(sources.moves)
    for record, call in _with_calls(paths, sources, on_problem):
        if call is None:
            report.drop(record.read_id, "no call in the file of calls" if sources.calls else "no call in the FAST5")
            continue
        if call.mean_q < sources.limits.mean_q:  # before a model's time is spent on it
            report.drop(record.read_id, f"mean quality below {sources.limits.mean_q:g}", Facts(mean_q=call.mean_q))
            continue
        if moves is not None and record.read_id in moves:
            call = moves.place(record.read_id, call)
        if call.starts is not None:
            yield Found(record, call)
            continue
        scorer = scorer or _scorer(sources, "calls")
        fault = scorer.fault(record)
        scored = None if fault else scorer.score(record)
        placed = None if scored is None else place_call(scorer.call(scored), call, scored)
        if placed is None:
            report.drop(record.read_id, fault or "the model's call is another sequence", Facts(mean_q=call.mean_q))
        else:
            yield Found(record, placed[0], None, scored, placed[1].identity, placed[1].coverage)


def _with_calls(
    paths: Sequence[str | Path], sources: Sources, on_problem: OnProblem
) -> Iterator[tuple[SignalRecord, ReadCall | None]]:
    if sources.calls is not None:
        known = read_sequences(sources.calls)
        for record in read_all(paths, on_problem):
            yield record, known.get(record.read_id)
        return
    files = find_signal_files(paths, on_problem)
    inside = [file for file in files if file.suffix.lower() == ".fast5"]
    if files and not inside:
        raise InputError(files[0], NO_CALLS)
    for file in [file for file in files if file not in inside]:
        on_problem(InputError(file, NO_CALLS))
    yield from read_all(inside, on_problem, read=read_calls)


def _bootstrap(
    paths: Sequence[str | Path], sources: Sources, report: ReadReport, on_problem: OnProblem
) -> Iterator[Found]:
    """Calls of a model of our own."""
    if sources.reference is None:
        raise ConfigError(f"--labels bootstrap: {NO_REFERENCE}")
    scorer = _scorer(sources, "bootstrap")
    for record in read_all(paths, on_problem):
        fault = scorer.fault(record)
        if fault:
            report.drop(record.read_id, fault)
            continue
        scored = scorer.score(record)
        yield Found(record, scorer.call(scored), None, scored)


CALL_LABELS: dict[str, Callable[[Sequence[str | Path], Sources, ReadReport, OnProblem], Iterator[Found]]] = {
    "bam": _bam,
    "calls": _calls,
    "bootstrap": _bootstrap,
}


LIMITS = ("reference", "min_identity", "min_coverage", "min_mean_q", "lead")
USES = {  # which options each kind of labels takes
    "events": (),
    "truth": ("truth",),
    "bam": ("bam", "moves", *LIMITS),
    "calls": ("calls", "moves", "model", "threads", "force", *LIMITS),
    "bootstrap": ("model", "threads", "force", *LIMITS),
}

# what a read must reach unless told otherwise; identity is with the reference, or of a model's call with the given one
DEFAULTS: dict[str, Limits] = {
    "bam": Limits(identity=0.8, coverage=0.5),
    "calls": Limits(identity=0.7, coverage=0.5),
    "bootstrap": Limits(identity=0.75, coverage=0.8),
}


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """What the user gave; None, 0 and "" are nothing. For the meaning see `biorrn prepare signal --help`."""

    truth: Path | None = None
    bam: Path | None = None
    moves: Path | None = None
    calls: Path | None = None
    reference: Path | None = None
    model: str | None = None
    min_identity: float | None = None
    min_coverage: float | None = None
    min_mean_q: float = 0.0
    lead: int = 0
    threads: int | None = None
    force: bool = False

    def given(self) -> dict[str, Any]:
        """Return what was given, by name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value not in (None, 0)}

    def files(self) -> list[Path]:
        """Return the files that were named."""
        return [value for value in self.given().values() if isinstance(value, Path) and value.is_file()]

    def shown(self) -> dict[str, Any]:
        """Return what was given as JSON can hold it."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in self.given().items()}


def open_labels(
    paths: Sequence[str | Path], labels: str, options: LabelOptions, report: ReadReport, on_problem: OnProblem = stop
) -> LabelledReads | None:
    """Return labelled reads for `prepare_reads`; None for the kinds of labels that it reads itself.

    Raises
    ------
    ConfigError: unknown labels, an option that they do not take, or one that they need is missing.
    """
    lookup({**LABELS, **CALL_LABELS}, labels, "--labels")
    for name in options.given():
        if name not in USES[labels]:
            kinds = " or ".join(kind for kind, names in USES.items() if name in names)
            raise ConfigError(f"--{name.replace('_', '-')}: is for --labels {kinds}; found --labels {labels}")
    if labels not in CALL_LABELS:
        return None
    usual = DEFAULTS[labels]
    limits = Limits(
        identity=usual.identity if options.min_identity is None else options.min_identity,
        coverage=usual.coverage if options.min_coverage is None else options.min_coverage,
        mean_q=options.min_mean_q,
    )
    sources = Sources(
        options.bam,
        options.moves,
        options.calls,
        options.reference,
        limits,
        options.lead,
        lambda: make_scorer(options.model, options.threads, paths, options.force),
    )
    return labels_by_call(paths, labels, sources, report, on_problem)


def make_scorer(
    model: str | None, threads: int | None = None, paths: Sequence[str | Path] = (), force: bool = False
) -> Caller:
    """Return the model of a name, by default the shipped one, ready to score the reads of some files and folders.

    Raises
    ------
    InputError: the reads are of another chemistry or sample rate than the model is for, and `force` is False.
    """
    from biorrn.base.compute import choose_device, set_threads
    from biorrn.nanopore.basecall.caller import default_batch_size, default_model
    from biorrn.nn.store import load_model

    used, device = set_threads(threads), choose_device("auto")
    stored = load_model(model or default_model())
    scorer = Caller(stored, device=device, batch_size=default_batch_size(device), threads=used, force=force)
    for line in check_chemistry(find_signal_files(paths, lambda problem: None), scorer.purpose, force=force):
        print(f"biorrn: {line}", file=sys.stderr)
    return scorer
