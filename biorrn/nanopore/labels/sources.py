"""Sources of labels for reads: Tombo events in FAST5, truth tables, calls in BAM or FASTQ, or a model's own calls."""

from __future__ import annotations

import contextlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from biorrn.base.compute import device_name, kind_of
from biorrn.base.errors import BiorrnError, ConfigError, InputError, OnProblem, stop
from biorrn.base.files import open_text, tsv_line, write_text
from biorrn.base.lookup import lookup
from biorrn.nanopore.alignment import Mapper
from biorrn.nanopore.basecall.caller import Caller, Scored, default_batch_size
from biorrn.nanopore.basecall.intake import Survey
from biorrn.nanopore.chemistry import Purpose
from biorrn.nanopore.dataset import SLOWER
from biorrn.nanopore.labels.transfer import (
    Carried,
    as_called,
    carry,
    cut_to_signal,
    delayed,
    place_call,
    settle,
    turned,
)
from biorrn.nanopore.models.catalogue import choose_model
from biorrn.nanopore.readers.calls import BamCalls, Moves, parse_bases, read_sequences
from biorrn.nanopore.readers.files import find_signal_files, read_all, read_calls, read_labels
from biorrn.nn.store import find_model, is_shipped, load_facts, load_model
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
    """Return an iterator over labelled reads, one read in memory at a time.

    Parameters
    ----------
    paths : signal files and folders.
    labels : str: entry of `LABELS`.
    truth : table of labels, for "truth".
    counts : counter of dropped reads, by reason.
    on_problem : called with the `InputError` of each file or read that cannot be used.

    Raises
    ------
    ConfigError: unknown labels, or a missing or superfluous table.
    InputError: the table is damaged.
    """
    return lookup(LABELS, labels, "--labels")(paths, truth, counts, on_problem)


def _events(
    paths: Sequence[str | Path], truth: str | Path | None, counts: Counter[str], on_problem: OnProblem
) -> LabelledReads:
    """Labels that `tombo resquiggle` wrote into FAST5."""
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
    waiting: dict[str, ReadLabels] = {}  # rows ahead of their read; empty if both are in the same order
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

    bases: letters in signal order. starts: their first samples in the raw signal, comma-separated. end: one past the
    last labelled sample. ref_start and ref_end are 0-based, half-open, on the forward strand.

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
    """Filters on reads.

    Attributes
    ----------
    identity : float: minimum of equal bases over alignment columns.
    coverage : float: minimum aligned part of the bases.
    mean_q : float: minimum Phred score of the mean error probability; a read without qualities passes.
    dwell : (float, float): minimum and maximum samples per base.
    """

    identity: float = 0.0
    coverage: float = 0.0
    mean_q: float = 0.0
    dwell: tuple[float, float] = (3.0, 60.0)


@dataclass(frozen=True, slots=True)
class Facts:
    """Measures of a read, compared with `Limits`; NaN if unknown."""

    identity: float = math.nan
    coverage: float = math.nan
    mean_q: float = math.nan
    dwell: float = math.nan
    reference: str = ""


def below(facts: Facts, limits: Limits) -> str | None:
    """Return the limit that a read fails, as words, or None; unknown measures pass.

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
    """Report on each read: counts, and a row of a table if there is a stream.

    A source of labels calls `drop` or `keep`; `prepare_signal` calls `done` for each kept read.

    Attributes
    ----------
    counts : Counter: reads and bases by outcome.
    """

    def __init__(self, counts: Counter[str] | None = None, stream: IO[str] | None = None) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._stream = stream
        self._kept: dict[str, Facts] = {}
        self._identities: dict[str, list[float]] = {"kept": [], "dropped": []}
        if stream is not None:
            stream.write("\t".join(COLUMNS) + "\n")

    def drop(self, read_id: str, reason: str, facts: Facts | None = None) -> None:
        """Count a read without labels."""
        self.counts[f"reads dropped: {reason}"] += 1
        self._row(read_id, "dropped", reason, facts or Facts(), 0)

    def keep(self, read_id: str, facts: Facts) -> None:
        """Store the measures of a read whose labels will be prepared."""
        self._kept[read_id] = facts

    def done(self, read_id: str, fault: str | None, bases: int) -> None:
        """Record the outcome of a read's labels: why they could not be used, or the number of bases written."""
        facts = self._kept.pop(read_id, None) or Facts()
        reason = (fault or "").removeprefix("reads dropped: ")
        self._row(read_id, "dropped" if fault else "kept", reason, facts, bases)

    def summary(self) -> dict[str, Any]:
        """Return quartiles of the identity of kept and dropped reads; {} if none is known."""
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
    """Open a report that is also written as a table to `path`, if given, atomically."""
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
    """Inputs of labels by call.

    Attributes
    ----------
    bam, moves, calls, reference : files; see `biorrn prepare signal --help`.
    limits : Limits.
    lead : int: bases by which calls are ahead; see `nanopore.labels.transfer.delayed`.
    scorer : loads the model, when it is first needed.
    rna : bool: the signal runs 3' to 5': calls are reversed to the order of the signal.
    """

    bam: Path | None = None
    moves: Path | None = None
    calls: Path | None = None
    reference: Path | None = None
    limits: Limits = field(default_factory=Limits)
    lead: int = 0
    scorer: Callable[[], Caller] | None = None
    rna: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A read with a call that has base starts.

    Attributes
    ----------
    hit : Hit or None: the alignment in the file of calls.
    scored : Scored or None: a model's scores of the read.
    identity, coverage : float: agreement of the model's own call with the call; NaN without a model.
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
    """Yield reads with labels made from calls, one read in memory at a time.

    Parameters
    ----------
    paths, on_problem : as of `nanopore.readers.files.read_all`.
    labels : str: entry of `CALL_LABELS`.

    Raises
    ------
    ConfigError: unknown labels, or a file that they need is not given.
    InputError: a file of calls or the reference cannot be used.
    """
    called = lookup(CALL_LABELS, labels, "--labels")
    mapper = None if sources.reference is None else Mapper(sources.reference)
    for found in called(paths, sources, report, on_problem):
        read_id, facts = found.record.read_id, Facts(found.identity, found.coverage, found.call.mean_q)
        fault, carried = below(facts, sources.limits), None
        if fault is None:
            carried, fault = _labelled(cut_to_signal(found.call, len(found.record.raw)), found.hit, mapper, sources.rna)
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
    # without a reference, identity and coverage are those of the model's own call, if any
    same = math.isnan(carried.identity)
    identity, coverage = (found.identity, found.coverage) if same else (carried.identity, carried.coverage)
    return Facts(identity, coverage, found.call.mean_q, dwell, labels.reference)


def _labelled(
    call: ReadCall, hit: Hit | None, mapper: Mapper | None, rna: bool = False
) -> tuple[Carried | None, str | None]:
    """Return the labels of a call with starts, or the reason why there are none."""
    if not len(call.bases):
        return None, "no bases called"
    if mapper is None:
        carried = as_called(call)
    else:
        usable = hit is not None and hit.reference in mapper.lengths and hit.ref_end <= mapper.lengths[hit.reference]
        hit = hit if usable else mapped(mapper, call.bases[::-1] if rna else call.bases)
        if hit is None:
            return None, "maps nowhere on the reference"
        target = parse_bases(mapper.sequence(hit.reference, hit.ref_start, hit.ref_end))
        if hit.strand == "-":
            target = reverse_complement(target)
        if rna:
            hit, target = turned(hit, len(call.bases)), target[::-1]
        carried = carry(call, hit, target)
    return carried, None if carried is not None else "fewer samples than bases"


def mapped(mapper: Mapper, bases: np.ndarray) -> Hit | None:
    """Return the best alignment of a sequence by minimap2, or None."""
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
    """Calls of a BAM file, with starts from its move table or from one in PAF."""
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
    """Calls of a FASTA or FASTQ file, or inside FAST5, with starts from their moves or from a model."""
    scorer: Caller | None = None
    moves = None if sources.moves is None else Moves(sources.moves)
    for record, call in _with_calls(paths, sources, on_problem):
        if call is None:
            report.drop(record.read_id, "no call in the file of calls" if sources.calls else "no call in the FAST5")
            continue
        if call.mean_q < sources.limits.mean_q:  # before the model runs
            report.drop(record.read_id, f"mean quality below {sources.limits.mean_q:g}", Facts(mean_q=call.mean_q))
            continue
        if sources.rna:  # moves, of which there may be some, run in the other direction than these bases
            call = replace(call, bases=call.bases[::-1], starts=None)
        elif moves is not None and record.read_id in moves:
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
    """Calls of a biorrn model."""
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
MODEL = ("model", "force")  # the signal is normalised as for the model, which must be for the reads
USES = {  # options of each kind of labels
    "events": MODEL,
    "truth": ("truth", *MODEL),
    "bam": ("bam", "moves", *LIMITS, *MODEL),
    "calls": ("calls", "moves", "threads", *LIMITS, *MODEL),
    "bootstrap": ("threads", *LIMITS, *MODEL),
}

# default limits; identity is that to the reference, or of a model's call to the given call
DEFAULTS: dict[str, Limits] = {
    "bam": Limits(identity=0.8, coverage=0.5),
    "calls": Limits(identity=0.7, coverage=0.5),
    "bootstrap": Limits(identity=0.75, coverage=0.8),
}


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Options as given by the user, see `biorrn prepare signal --help`; None, 0 and "" are not given."""

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
        """Return the options given, by name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value not in (None, 0)}

    def files(self) -> list[Path]:
        """Return the files given."""
        return [value for value in self.given().values() if isinstance(value, Path) and value.is_file()]

    def shown(self) -> dict[str, Any]:
        """Return the options given, for JSON."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in self.given().items()}


def open_labels(
    paths: Sequence[str | Path],
    labels: str,
    options: LabelOptions,
    report: ReadReport,
    on_problem: OnProblem = stop,
    facts: Mapping[str, Any] | None = None,
) -> LabelledReads | None:
    """Return labelled reads for `prepare_reads`; None for the kinds of labels that it reads itself.

    `facts`: of the model, from `facts_for`.

    Raises
    ------
    ConfigError: see `check_options`.
    """
    check_options(labels, options)
    if labels not in CALL_LABELS:
        return None
    usual, rna = DEFAULTS[labels], bool(facts and facts.get("reversed"))
    limits = Limits(
        identity=usual.identity if options.min_identity is None else options.min_identity,
        coverage=usual.coverage if options.min_coverage is None else options.min_coverage,
        mean_q=options.min_mean_q,
        dwell=(usual.dwell[0], usual.dwell[1] * (SLOWER if rna else 1)),
    )
    sources = Sources(
        options.bam,
        options.moves,
        options.calls,
        options.reference,
        limits,
        options.lead,
        lambda: make_scorer(options.model, options.threads, paths, options.force),
        rna,
    )
    return labels_by_call(paths, labels, sources, report, on_problem)


def check_options(labels: str, options: LabelOptions) -> None:
    """Refuse unknown labels, options that they do not take, and the lack of one that they need.

    Raises
    ------
    ConfigError: for each of these.
    """
    lookup({**LABELS, **CALL_LABELS}, labels, "--labels")
    for name in options.given():
        if name not in USES[labels]:
            kinds = " or ".join(kind for kind, names in USES.items() if name in names)
            raise ConfigError(f"--{name.replace('_', '-')}: is for --labels {kinds}; found --labels {labels}")
    if labels == "bootstrap" and options.reference is None:
        raise ConfigError(f"--labels bootstrap: {NO_REFERENCE}")


def facts_for(paths: Sequence[str | Path], labels: str, options: LabelOptions) -> tuple[LabelOptions, dict[str, Any]]:
    """Return the facts of the model that the signal is prepared for, and the options with its folder; {} without one.

    It is the model that was named; for labels by bootstrap else the available one for the chemistry of the reads.

    Raises
    ------
    ConfigError: no such model, or one for another task.
    InputError: it is not for the reads, and `options.force` is False.
    """
    if options.model is None and labels != "bootstrap":
        return options, {}
    survey = Survey(find_signal_files(paths, lambda problem: None))
    if options.model:
        folder = find_model(options.model)
    else:
        folder = choose_model(survey, say=_say, device=kind_of(device_name()), force=options.force)
    facts = load_facts(folder)
    if facts.get("task") != "basecalling":
        raise ConfigError(f"--model {folder}: is a model for {facts.get('task')}; expected one for basecalling")
    if labels not in ("calls", "bootstrap"):  # which check it with the model
        for line in survey.check(Purpose.of(facts, folder.resolve().name), force=options.force):
            _say(line)
    return replace(options, model=options.model or (folder.name if is_shipped(folder) else str(folder))), facts


def _say(line: str) -> None:
    print(f"biorrn: {line}", file=sys.stderr)


def make_scorer(
    model: str | None, threads: int | None = None, paths: Sequence[str | Path] = (), force: bool = False
) -> Caller:
    """Return a model by name, by default the available one for their chemistry, to score the reads of `paths`.

    Raises
    ------
    InputError: the reads are of another chemistry or sample rate than the model, and `force` is False; or without a
        name, no available model is for them.
    """
    from biorrn.base.compute import set_threads

    used, device = set_threads(threads), device_name()
    survey = Survey(find_signal_files(paths, lambda problem: None))
    stored = load_model(model or choose_model(survey, say=_say, device=kind_of(device), force=force))
    scorer = Caller(stored, device=device, batch_size=default_batch_size(device), threads=used, force=force)
    for line in survey.check(scorer.purpose, force=force):
        _say(line)
    return scorer
