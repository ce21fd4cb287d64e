"""From raw reads to base calls, as a column of generators: reads -> chunks and pieces -> scores -> calls.

A read is pulled only when a batch needs chunks, so memory does not grow with the number of reads.
A call is the same whatever reads surround it and, on a CPU, whatever the batch size and the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from biorrn.config import Chunks
from biorrn.encoders.signal import SCALINGS, Scaling, scaled, trim_start
from biorrn.errors import BiorrnError, ConfigError
from biorrn.inference.chunking import check, spans
from biorrn.inference.decoders import DECODERS, Decoded, calibrated, move_table
from biorrn.inference.defaults import calling_chunks
from biorrn.inference.engine import choose
from biorrn.inference.pieces import Read
from biorrn.inference.pipeline import Pipeline
from biorrn.inference.quality import Calibration, calibration_of
from biorrn.lookup import lookup
from biorrn.models.store import Stored
from biorrn.readers.chemistry import Purpose
from biorrn.readers.records import SignalRecord

OnSkip = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One read called.

    Attributes
    ----------
    read_id : str.
    bases : str of A, C, G, T, in the order of the signal; at least one.
    quals : uint8 array (L,): Phred quality of each base.
    moves : uint8 array (T',): 1 at a frame that gave a base; the first is 1, see `decoders.move_table`.
    stride : int: samples a frame.
    samples : int: samples of the raw read.
    trimmed : int: of these, how many at the start are before the first base.
    record : SignalRecord: the read's metadata; its `raw` is emptied.
    scaling : Scaling or None: how the current was normalised.
    evidence : float32 array (L, 2): see `decoders.Decoded`.
    """

    read_id: str
    bases: str
    quals: np.ndarray
    moves: np.ndarray
    stride: int
    samples: int
    trimmed: int
    record: SignalRecord
    scaling: Scaling | None = None
    evidence: np.ndarray | None = None


def basecall(
    stored: Stored,
    records: Iterable[SignalRecord],
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 96,
    decoder: str = "auto",
    threads: int = 1,
    chunks: Chunks | None = None,
    engine: str | None = None,
    force: bool = False,
    on_skip: OnSkip = lambda read_id, reason: None,
    advance: Callable[[int], None] = lambda samples: None,
) -> Iterator[Call]:
    """Call reads, in input order.

    Parameters
    ----------
    stored : Stored: a basecalling model.
    records : iterable of SignalRecord.
    batch_size : int: chunks gathered before they are scored, and most in a forward pass. Changes the speed, not the
        calls.
    decoder : str: entry of `inference.decoders.DECODERS`.
    threads : int: threads that decode, and score where the engine is for several.
    chunks : Chunks, optional: how the signal is cut; by default `defaults.calling_chunks`.
    engine : str, optional: entry of `inference.engine.ENGINES`; by default what BIORRN_ENGINE says, else "auto".
    force : bool: call reads of another chemistry or sample rate than the model's too; else they are skipped.
    on_skip : called with the id and the reason for each read that gives no call.
    advance : called with the number of raw samples of each read when it is done, called or skipped.

    Raises
    ------
    ConfigError: the model is not one for basecalling, the decoder is unknown, or the chunks do not fit the stride.
    BiorrnError: the batch size or the number of threads is below 1, or the engine is unknown or not for this model.
    """
    if stored.facts.get("task") != "basecalling":
        task = stored.facts.get("task")
        hint = f"; a {task} model is for biorrn predict" if task in ("regression", "tagging") else ""
        raise ConfigError(f"{stored.path}: is a model for {task}; biorrn basecall needs one for basecalling{hint}")
    for name, value in (("--batch-size", batch_size), ("--threads", threads)):
        if value < 1:
            raise BiorrnError(f"{name}: found {value}; allowed is 1 or more")
    stride = int(stored.facts["stride"])
    cut = chunks or calling_chunks(stored.recipe.chunks or Chunks(), stride)
    check(cut.samples, cut.overlap, stride)
    decode, calibration = lookup(DECODERS, decoder, "decoder"), calibration_of(stored.facts)

    def skip(record: SignalRecord, reason: str) -> None:
        on_skip(record.read_id, reason)
        advance(len(record.raw))

    chosen = choose(stored.model, device, batch_size=batch_size, size=cut.samples, name=engine)
    reads = _planned(records, stored.facts, cut, stride, skip, force)
    pipeline = Pipeline(chosen, decode, size=cut.samples, batch_size=batch_size, threads=threads)
    return _called(pipeline.run(reads), stride, calibration, on_skip, advance)


def _planned(
    records: Iterable[SignalRecord],
    facts: dict[str, Any],
    cut: Chunks,
    stride: int,
    skip: Callable[[SignalRecord, str], None],
    force: bool,
) -> Iterator[Read]:
    """Plan each read; skip those that cannot be called."""
    for record in records:
        fault = unfit(record, facts, force)
        read = None if fault else plan_read(record, facts, cut, stride)
        if read is None:
            skip(record, fault or "nothing left after trimming")
        else:
            yield read


def unfit(record: SignalRecord, facts: Mapping[str, Any], force: bool = False) -> str | None:
    """Return why a model with these facts cannot call a read, or None.

    Parameters
    ----------
    force : bool: take reads that the model is not for, by chemistry or sample rate.
    """
    if len(record.raw) == 0:
        return "no samples"
    if not (np.isfinite(record.offset) and np.isfinite(record.scale) and record.scale != 0):
        return "calibration is not usable"
    if force and record.sample_rate > 0:
        return None
    return Purpose.of(facts).misfit(record) or None


def plan_read(record: SignalRecord, facts: Mapping[str, Any], cut: Chunks, stride: int) -> Read | None:
    """Trim, normalise and cut a read: the one way from a read to a model, for calls and for labels.

    A model may emit a base some frames before its current comes, always as many: its fact `early`. That is taken out
    here, for move tables and labels alike: frame t of the plan stands for the samples from `trimmed + t * stride` on.

    Returns None where trimming leaves nothing.
    """
    current = record.picoamperes()
    trimmed = trim_start(current, record.sample_rate)
    scaling = lookup(SCALINGS, facts["normaliser"], "normaliser")(current[trimmed:])
    signal = scaled(current[trimmed:], scaling)
    if len(signal) == 0:
        return None
    plan = spans(len(signal), cut.samples, cut.overlap, stride)
    bare = replace(record, raw=record.raw[:0].copy())  # a copy, not a view that keeps the samples alive
    begin = trimmed + int(facts.get("early", 0)) * stride
    return Read.of(bare, len(record.raw), begin, signal, plan, stride, scaling)


def _called(
    decoded: Iterable[tuple[Read, Decoded]],
    stride: int,
    calibration: Calibration | None,
    on_skip: OnSkip,
    advance: Callable[[int], None],
) -> Iterator[Call]:
    for read, frames in decoded:
        placed, trimmed = move_table(frames, read.samples, read.trimmed, stride)
        result = calibrated(placed, calibration)
        if len(result.bases) == 0:
            on_skip(read.record.read_id, "no bases in the signal")
        else:
            yield Call(
                read_id=read.record.read_id,
                bases=result.bases,
                quals=result.quals,
                moves=result.moves,
                stride=stride,
                samples=read.samples,
                trimmed=trimmed,
                record=read.record,
                scaling=read.scaling,
                evidence=result.evidence,
            )
        advance(read.samples)
