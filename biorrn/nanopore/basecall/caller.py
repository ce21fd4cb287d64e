"""Basecalling with one model, as a chain of generators: reads -> chunks and pieces -> scores -> calls.

A read is pulled only when a batch needs chunks, so memory does not grow with the number of reads. The call of a read
does not depend on the other reads nor, on a CPU, on the batch size and the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.base.lookup import lookup
from biorrn.config.recipe import Chunks
from biorrn.nanopore.basecall.chunking import Read, join, piece_spans
from biorrn.nanopore.basecall.decode import DECODERS, Decoded, calibrated, move_table, turned
from biorrn.nanopore.basecall.engine import choose
from biorrn.nanopore.basecall.pipeline import Pipeline
from biorrn.nanopore.basecall.quality import calibration_of
from biorrn.nanopore.chemistry import Purpose
from biorrn.nanopore.readers.calls import mean_phred, parse_bases
from biorrn.nanopore.signal import Scaling, normaliser_of, scaled, trim_start
from biorrn.nn.chunks import check, frames, spans
from biorrn.nn.store import Stored
from biorrn.sequences.records import ReadCall, SignalRecord

SCORES = 150 << 20  # bytes of scores of the chunks gathered; 0.6 GB, of 96 chunks of 256 states, is no faster
FEWEST = 24  # chunks gathered, which keep the kernels busy

OnSkip = Callable[[SignalRecord, int, str], None]


@dataclass(frozen=True, slots=True)
class Tail:
    """A poly(A) or poly(T) tail, measured by `tails`.

    Attributes
    ----------
    length : int: bases.
    anchor : int: sample at which the tail meets adapter or primer: its start, or its end for poly(A) of cDNA.
    start, end : int: samples of the read, half-open.
    quality : float: share of those samples whose current is that of the tail, 0 to 1.
    """

    length: int
    anchor: int
    start: int
    end: int
    quality: float


@dataclass(frozen=True, slots=True)
class Call:
    """One read called.

    Attributes
    ----------
    read_id : str.
    bases : str of A, C, G, T, 5' to 3'; at least one. Signal of DNA runs that way, signal of RNA runs 3' to 5'.
    quals : uint8 array (L,): Phred quality of each base.
    moves : uint8 array (T',): 1 at a frame in which a base begins; the first is 1, see `decode.move_table`. They are in
        the order of the signal, for RNA too, as in ONT's files.
    stride : int: samples per frame.
    samples : int: samples of the raw read.
    trimmed : int: samples before the first base.
    record : SignalRecord: the read's metadata; its `raw` is empty but for a caller that keeps the signal.
    scaling : Scaling or None: how the current was normalised.
    evidence : float32 array (L, 2): see `decode.Decoded`.
    cut : (int, int): bases cut off before and behind those here, as adapters and barcodes.
    barcode : str: KIT_barcode01, or "".
    unclassified : str: why a read has no barcode, where they are looked for.
    tail : Tail or None: its poly(A) or poly(T) tail.
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
    cut: tuple[int, int] = (0, 0)
    barcode: str = ""
    unclassified: str = ""
    tail: Tail | None = None

    @property
    def mean_q(self) -> float:
        """Return the Phred score of the mean error probability, with two decimals as in records."""
        return round(mean_phred(self.quals), 2)


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one read.

    Attributes
    ----------
    scores : float32 array (T', S).
    trimmed : int: frame t begins at sample trimmed + t * stride.
    stride : int: samples per frame.
    samples : int: samples of the read.
    """

    scores: np.ndarray
    trimmed: int
    stride: int
    samples: int


class Caller:
    """A basecalling model that calls reads, or returns their scores.

    Parameters
    ----------
    stored : Stored: a basecalling model.
    device : torch device or its name.
    batch_size : int: chunks gathered before they are scored, and most in a forward pass. Affects speed only. On a CPU
        fewer where their scores would take more than `SCORES`.
    decoder : str: entry of `decode.DECODERS`.
    threads : int: threads that decode, and score where the engine is parallel.
    chunks : Chunks, optional: how the signal is cut; default: `calling_chunks`.
    engine : str, optional: entry of `engine.ENGINES`; default: the variable BIORRN_ENGINE, else "auto".
    force : bool: also call reads of another chemistry or sample rate than the model's.
    keep_signal : bool: calls keep the raw signal of their read, for what is found in it afterwards.

    Raises
    ------
    ConfigError: the model is not for basecalling, the decoder is unknown, or the chunks do not fit the stride.
    BiorrnError: the batch size or the number of threads is below 1, or the engine is unknown or cannot run the model.
    """

    def __init__(
        self,
        stored: Stored,
        *,
        device: object = "cpu",
        batch_size: int = 96,
        decoder: str = "auto",
        threads: int = 1,
        chunks: Chunks | None = None,
        engine: str | None = None,
        force: bool = False,
        keep_signal: bool = False,
    ) -> None:
        task = stored.facts.get("task")
        if task != "basecalling":
            hint = f"; a {task} model is for biorrn predict" if task in ("regression", "tagging") else ""
            raise ConfigError(f"{stored.path}: is a model for {task}; expected one for basecalling{hint}")
        for name, value in (("--batch-size", batch_size), ("--threads", threads)):
            if value < 1:
                raise BiorrnError(f"{name}: found {value}; allowed is 1 or more")
        self.purpose, self.rna = Purpose.of(stored.facts, stored.name), bool(stored.facts.get("reversed"))
        self._facts, self._force, self._batch_size, self._threads = stored.facts, force, batch_size, threads
        self._keep_signal, self._stride = keep_signal, int(stored.facts["stride"])
        self._cut = chunks or calling_chunks(
            stored.recipe.chunks or Chunks(), self._stride, stored.facts.get("calling") or {}
        )
        check(self._cut.samples, self._cut.overlap, self._stride)
        self._decode, self._calibration = lookup(DECODERS, decoder, "decoder"), calibration_of(stored.facts)
        self._normalise = normaliser_of(stored.facts["normaliser"])
        self._engine = choose(stored, device, batch_size=batch_size, size=self._cut.samples, name=engine)

    @property
    def engine(self) -> str:
        """Return what runs the network, such as "bfloat16, AVX-512 BF16" or "torch, cuda"."""
        return self._engine.name

    def fault(self, record: SignalRecord) -> str | None:
        """Return why the model cannot call a read, or None."""
        return unfit(record, self._facts, self._force)

    def calls(
        self,
        records: Iterable[SignalRecord],
        on_skip: OnSkip = lambda record, samples, reason: None,
        advance: Callable[[int], None] = lambda samples: None,
    ) -> Iterator[Call]:
        """Call reads, in input order; see `basecall`."""

        def planned() -> Iterator[Read]:
            for record, fault, read in self._planned(records):
                if read is None:
                    on_skip(record, len(record.raw), fault or "nothing left after trimming")
                    advance(len(record.raw))
                else:
                    yield read

        for read in self._pipeline(self._decode).run(planned()):
            result, trimmed = self._finished(read.call(), read.samples, read.trimmed)
            if len(result.bases) == 0:
                on_skip(read.record, read.samples, "no bases in the signal")
            else:
                yield Call(
                    read_id=read.record.read_id,
                    bases=result.bases,
                    quals=result.quals,
                    moves=result.moves,
                    stride=self._stride,
                    samples=read.samples,
                    trimmed=trimmed,
                    record=read.record,
                    scaling=read.scaling,
                    evidence=result.evidence,
                )
            advance(read.samples)

    def score(self, record: SignalRecord) -> Scored:
        """Return the scores of a whole read."""
        read, stride = self._plan(record, whole=True), self._stride
        if read is None:
            return Scored(np.empty((0, self._engine.symbols), np.float32), len(record.raw), stride, len(record.raw))
        for _ in self._pipeline(lambda scores: scores).run([read]):
            pass
        return Scored(read.pieces[0].decoded, read.trimmed, stride, read.samples)

    def call(self, scored: Scored) -> ReadCall:
        """Return the call of scores in the order of the signal, with the sample at which each base begins.

        The signal of RNA runs 3' to 5'; `rna` says whether it does.
        """
        if not len(scored.scores):
            return ReadCall(np.zeros(0, np.uint8), np.zeros(0, np.int64))
        pieces = piece_spans(len(scored.scores))
        parts = [self._decode(scored.scores[piece.start : piece.start + piece.length]) for piece in pieces]
        placed, begin = self._finished(join(parts, pieces), scored.samples, scored.trimmed)
        bases = parse_bases(placed.bases)
        starts = begin + scored.stride * np.flatnonzero(placed.moves).astype(np.int64)
        end = begin + scored.stride * len(placed.moves)
        return ReadCall(bases[::-1] if self.rna else bases, starts, end, mean_phred(placed.quals))

    def _pipeline(self, decode: Callable[[np.ndarray], Any]) -> Pipeline:
        size, batch_size = self._cut.samples, self._batch_size
        if self._engine.parallel:
            batch_size = min(batch_size, max(FEWEST, SCORES // (4 * self._engine.symbols * frames(size, self._stride))))
        return Pipeline(self._engine, decode, size=size, batch_size=batch_size, threads=self._threads)

    def _finished(self, decoded: Decoded, samples: int, trimmed: int) -> tuple[Decoded, int]:
        placed, trimmed = move_table(decoded, samples, trimmed, self._stride)
        return calibrated(turned(placed) if self.rna else placed, self._calibration), trimmed

    def _planned(self, records: Iterable[SignalRecord]) -> Iterator[tuple[SignalRecord, str | None, Read | None]]:
        """Yield each record with why it cannot be called or its plan; by several threads where they are free."""

        def look(record: SignalRecord) -> tuple[SignalRecord, str | None, Read | None]:
            fault = self.fault(record)
            return record, fault, None if fault else self._plan(record)

        if self._threads == 1 or self._engine.parallel:
            yield from map(look, records)
            return
        with ThreadPoolExecutor(self._threads, "plan") as pool:
            waiting: deque[Future[tuple[SignalRecord, str | None, Read | None]]] = deque()
            for record in records:
                waiting.append(pool.submit(look, record))
                if len(waiting) > self._threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _plan(self, record: SignalRecord, whole: bool = False) -> Read | None:
        """Trim, normalise and cut a read; None where trimming leaves nothing. `whole`: one piece, whatever the length.

        A model may emit each base a constant number of frames before its current, its fact `early`. The start of the
        frames is shifted by it, for move tables and labels alike: frame t begins at sample `trimmed + t * stride`.
        """
        current = record.picoamperes()
        trimmed = trim_start(current, record.sample_rate)
        scaling = self._normalise(current[trimmed:])
        signal = scaled(current[trimmed:], scaling)
        if len(signal) == 0:
            return None
        plan = spans(len(signal), self._cut.samples, self._cut.overlap, self._stride)
        # a copy, not a view that keeps the samples alive
        bare = record if self._keep_signal else replace(record, raw=record.raw[:0].copy())
        begin = trimmed + int(self._facts.get("early", 0)) * self._stride
        return Read.of(bare, len(record.raw), begin, signal, plan, self._stride, scaling, whole)


def unfit(record: SignalRecord, facts: Mapping[str, Any], force: bool = False) -> str | None:
    """Return why a model with these facts cannot call a read, or None; `force` ignores chemistry and sample rate."""
    if len(record.raw) == 0:
        return "no samples"
    if not (np.isfinite(record.offset) and np.isfinite(record.scale) and record.scale != 0):
        return "calibration is not usable"
    if force and record.sample_rate > 0:
        return None
    return Purpose.of(facts).misfit(record) or None


def basecall(
    stored: Stored,
    records: Iterable[SignalRecord],
    *,
    on_skip: OnSkip = lambda record, samples, reason: None,
    advance: Callable[[int], None] = lambda samples: None,
    **options: Any,
) -> Iterator[Call]:
    """Call reads, in input order.

    Parameters
    ----------
    stored : Stored: a basecalling model.
    records : iterable of SignalRecord.
    on_skip : called with the record, its number of samples and the reason for each read that is skipped.
    advance : called with the number of raw samples of each read when it is called or skipped.
    options : arguments of `Caller`, with the errors that it raises.
    """
    return Caller(stored, **options).calls(records, on_skip, advance)


# Measured on lambda: a CRF trained on chunks of 2,000 samples calls best in chunks of 3,000 (mean identity 0.875; 0.873
# in 2,000, 0.874 in 4,000, 0.871 in 8,000); longer chunks take its states beyond those of training.
LONGER = 1.5


def default_batch_size(device: object) -> int:
    """Return the number of chunks per batch that keeps a device, or the device of a name, busy."""
    return 96 if str(device) == "cpu" else 256


def calling_chunks(trained: Chunks, stride: int, given: Mapping[str, int] | None = None) -> Chunks:
    """Return the chunks for calling: `LONGER` times those of training, so that overlaps are a smaller part.

    `given` has samples and overlap where an imported model states them.

    >>> calling_chunks(Chunks(samples=2400, overlap=300), 5).samples
    3600
    """
    if given:
        return trained.model_copy(update={name: int(given[name]) for name in ("samples", "overlap")})
    return trained.model_copy(update={"samples": round(LONGER * trained.samples / stride) * stride})
