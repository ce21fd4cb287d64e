"""From raw reads to base calls, as a column of generators: reads -> chunks -> batches -> scores -> calls.

A read is pulled only when a batch needs chunks, so memory holds one batch, the reads that have chunks in it, and the
few calls that are being decoded beside the next forward pass; it does not grow with the number of reads.
A call is the same whatever reads surround it and, on a CPU, whatever the batch size: see `inference.forward`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from biorrn.config import Chunks
from biorrn.encoders.signal import NORMALISERS, trim_start
from biorrn.errors import BiorrnError, ConfigError
from biorrn.inference.chunking import Span, check, fill, place, spans
from biorrn.inference.decoders import DECODERS, Decoded
from biorrn.inference.forward import model_on, padded_rows
from biorrn.lookup import lookup
from biorrn.models.store import Stored
from biorrn.readers.records import SignalRecord

RATE_TOLERANCE = 0.02  # files state rates such as 4000 and 4016 Hz; the speed of pores varies by more than this

OnSkip = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One read called.

    Attributes
    ----------
    read_id : str.
    bases : str of A, C, G, T, in the order of the signal; at least one.
    quals : uint8 array (L,): Phred quality of each base.
    moves : uint8 array (T',): 1 at a frame that gave a base.
    stride : int: samples a frame.
    samples : int: samples of the raw read.
    trimmed : int: of these, how many at the start were not called.
    record : SignalRecord: the read's metadata; its `raw` is emptied.
    """

    read_id: str
    bases: str
    quals: np.ndarray
    moves: np.ndarray
    stride: int
    samples: int
    trimmed: int
    record: SignalRecord


@dataclass(slots=True)
class _Read:
    """A read on its way: `missing` chunks of `plan` are still to be scored into `scores` (T', S)."""

    record: SignalRecord
    samples: int
    trimmed: int
    signal: np.ndarray  # float32 (T,), emptied when all is scored
    plan: list[Span]
    missing: int
    scores: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))


def basecall(
    stored: Stored,
    records: Iterable[SignalRecord],
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    decoder: str = "beam",
    threads: int = 1,
    chunks: Chunks | None = None,
    on_skip: OnSkip = lambda read_id, reason: None,
    advance: Callable[[int], None] = lambda samples: None,
) -> Iterator[Call]:
    """Call reads, in input order.

    Parameters
    ----------
    stored : Stored: a basecalling model.
    records : iterable of SignalRecord.
    batch_size : int: chunks a forward pass. Changes the speed, not the calls.
    decoder : str: entry of `inference.decoders.DECODERS`.
    threads : int: threads that decode beside the forward pass.
    chunks : Chunks, optional: how the signal is cut; by default as the model's recipe says.
    on_skip : called with the id and the reason for each read that gives no call.
    advance : called with the number of raw samples of each read when it is done, called or skipped.

    Raises
    ------
    ConfigError: the model is not one for basecalling, the decoder is unknown, or the chunks do not fit the stride.
    BiorrnError: the batch size or the number of threads is below 1.
    """
    if stored.facts.get("task") != "basecalling":
        task = stored.facts.get("task")
        hint = "; a regression model is for biorrn predict" if task == "regression" else ""
        raise ConfigError(f"{stored.path}: is a model for {task}; biorrn basecall needs one for basecalling{hint}")
    for name, value in (("--batch-size", batch_size), ("--threads", threads)):
        if value < 1:
            raise BiorrnError(f"{name}: found {value}; allowed is 1 or more")
    cut = chunks or stored.recipe.chunks or Chunks()
    stride = int(stored.facts["stride"])
    check(cut.samples, cut.overlap, stride)
    decode = lookup(DECODERS, decoder, "decoder")

    def skip(record: SignalRecord, reason: str) -> None:
        on_skip(record.read_id, reason)
        advance(len(record.raw))

    model = model_on(stored.model, device)
    reads = _planned(records, stored.facts, cut, stride, skip)
    scored = _scored(reads, model, cut.samples, batch_size, torch.device(device))
    return _called(_decoded(scored, decode, threads), stride, on_skip, advance)


def _planned(
    records: Iterable[SignalRecord],
    facts: dict[str, Any],
    cut: Chunks,
    stride: int,
    skip: Callable[[SignalRecord, str], None],
) -> Iterator[_Read]:
    """Trim, normalise and plan each read; skip those that cannot be called."""
    normalise = lookup(NORMALISERS, facts["normaliser"], "normaliser")
    rate = float(facts["sample_rate"])
    for record in records:
        if len(record.raw) == 0:
            skip(record, "no samples")
        elif not (np.isfinite(record.offset) and np.isfinite(record.scale) and record.scale != 0):
            skip(record, "calibration is not usable")
        elif not abs(record.sample_rate - rate) <= RATE_TOLERANCE * rate:
            skip(record, f"sample rate {record.sample_rate:g} Hz where the model needs {rate:g} Hz")
        else:
            current = record.picoamperes()
            trimmed = trim_start(current, record.sample_rate)
            signal = normalise(current[trimmed:])
            if len(signal) == 0:
                skip(record, "nothing left after trimming")
                continue
            plan = spans(len(signal), cut.samples, cut.overlap, stride)
            bare = replace(record, raw=record.raw[:0].copy())  # a copy, not a view that keeps the samples alive
            yield _Read(bare, len(record.raw), trimmed, signal, plan, len(plan))


def _scored(
    reads: Iterable[_Read], model: torch.nn.Module, size: int, batch_size: int, device: torch.device
) -> Iterator[_Read]:
    """Yield the reads, in order, with their stitched scores; batches are filled across reads."""
    waiting: deque[_Read] = deque()
    batch: list[tuple[_Read, Span]] = []
    for read in reads:
        waiting.append(read)
        for span in read.plan:
            batch.append((read, span))
            if len(batch) == batch_size:
                _score(batch, model, size, batch_size, device)
                batch = []
                # the reads before this one have all their chunks scored by now
                while waiting[0].missing == 0:
                    yield waiting.popleft()
                    if not waiting:
                        break
    if batch:
        _score(batch, model, size, batch_size, device)
    yield from waiting


def _score(
    batch: list[tuple[_Read, Span]], model: torch.nn.Module, size: int, batch_size: int, device: torch.device
) -> None:
    """Run one batch of chunks and write their frames into the scores of their reads."""
    height = padded_rows(len(batch), batch_size, device)
    x = np.zeros((height, size), np.float32)
    lengths = np.full(height, size, np.int64)
    for row, (read, span) in enumerate(batch):
        fill(x[row], read.signal, span)
        lengths[row] = span.length
    with torch.inference_mode():
        outputs = model(torch.from_numpy(x)[:, :, None].to(device), torch.from_numpy(lengths).to(device))[0]
        scores = outputs.float().cpu().numpy()  # (B, T', S)
    for row, (read, span) in enumerate(batch):
        if len(read.scores) == 0:
            read.scores = np.empty((read.plan[-1].last, scores.shape[2]), np.float32)
        place(read.scores, scores[row], span)
        read.missing -= 1
        if read.missing == 0:
            read.signal = read.signal[:0].copy()


def _decoded(
    reads: Iterable[_Read], decode: Callable[[np.ndarray], Decoded], threads: int
) -> Iterator[tuple[_Read, Decoded]]:
    """Decode on `threads` threads beside the forward pass; keep the order, and never more than a few reads ahead."""
    queue: deque[tuple[_Read, Future[Decoded]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            for read in reads:
                queue.append((read, pool.submit(decode, read.scores)))
                while queue and (queue[0][1].done() or len(queue) > 4 * threads):
                    done, result = queue.popleft()
                    yield done, result.result()
            for done, result in queue:
                yield done, result.result()
        finally:  # the caller stopped early, or a read raised
            for _, result in queue:
                result.cancel()


def _called(
    decoded: Iterable[tuple[_Read, Decoded]], stride: int, on_skip: OnSkip, advance: Callable[[int], None]
) -> Iterator[Call]:
    for read, result in decoded:
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
                trimmed=read.trimmed,
                record=read.record,
            )
        advance(read.samples)
