"""Labels from calls: of a basecaller's BAM, of FASTQ inside FAST5 or beside it, or of a model of our own.

A read has a call and, by its move table or by a model, the sample at which each base begins. Its label is the call
itself or the span of a reference that the call aligns to; base starts are carried over the alignment, and where a model
has scored the read they are settled by its best path through the label (Viterbi in a band).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from biorrn.datasets.label_alignment import Carried, as_called, carry, cut_to_signal, delayed
from biorrn.datasets.label_report import Facts, Limits, ReadReport, below
from biorrn.datasets.labelled_reads import LabelledReads
from biorrn.encoders.bases import decode_bases, reverse_complement
from biorrn.errors import ConfigError, InputError
from biorrn.inference.basecall import Caller, Scored
from biorrn.inference.mapping import Mapper
from biorrn.inference.settle import place_call, settle
from biorrn.lookup import lookup
from biorrn.readers.bam import BamCalls
from biorrn.readers.calls import Moves, parse_bases, read_sequences
from biorrn.readers.fields import OnProblem, stop
from biorrn.readers.records import Hit, ReadCall, SignalRecord
from biorrn.readers.signal import find_signal_files, read_all, read_calls

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
    lead : int: bases by which the starts of calls come before those wanted; see `datasets.label_alignment.delayed`.
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
    paths, on_problem : as of `readers.signal.read_all`.
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
