"""The scores of one read at a time, for work that needs more of a model than its calls."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from biorrn.config import Chunks
from biorrn.errors import ConfigError
from biorrn.inference.basecall import plan_read, unfit
from biorrn.inference.chunking import Span, check, fill
from biorrn.inference.decoders import DECODERS, Decoded, calibrated, move_table
from biorrn.inference.defaults import calling_chunks
from biorrn.inference.engine import choose
from biorrn.inference.pieces import join, piece_spans
from biorrn.inference.quality import calibration_of
from biorrn.lookup import lookup
from biorrn.models.store import Stored
from biorrn.readers.calls import mean_phred, parse_bases
from biorrn.readers.chemistry import Purpose
from biorrn.readers.records import ReadCall, SignalRecord


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model makes of one read.

    Attributes
    ----------
    scores : float32 array (T', S).
    trimmed : int: frame t tells of the bases at sample trimmed + t * stride; see `inference.basecall.plan_read`.
    stride : int: samples a frame.
    samples : int: samples of the read.
    """

    scores: np.ndarray
    trimmed: int
    stride: int
    samples: int


class Scorer:
    """A basecalling model that scores whole reads: planned, scored and joined as `inference.basecall` does it.

    So what is called here is what `biorrn basecall` calls, base for base.
    """

    def __init__(
        self,
        stored: Stored,
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 96,
        threads: int = 1,
        decoder: str = "auto",
        force: bool = False,
    ) -> None:
        """Take a model; with `force` for reads of another chemistry or sample rate too.

        Raises
        ------
        ConfigError: it is not one for basecalling, or the decoder is unknown.
        """
        if stored.facts.get("task") != "basecalling":
            task = stored.facts.get("task")
            raise ConfigError(f"{stored.path}: is a model for {task}; labels need one for basecalling")
        self._facts: dict[str, Any] = stored.facts
        self._force = force
        self.purpose = Purpose.of(stored.facts, stored.path.resolve().name)
        self._stride = int(stored.facts["stride"])
        self._cut = calling_chunks(stored.recipe.chunks or Chunks(), self._stride)
        check(self._cut.samples, self._cut.overlap, self._stride)
        self._decode: Callable[[np.ndarray], Decoded] = lookup(DECODERS, decoder, "decoder")
        self._calibration = calibration_of(stored.facts)
        self._engine = choose(stored.model, device, batch_size=batch_size, size=self._cut.samples)
        self._threads = threads if self._engine.parallel else 1

    def fault(self, record: SignalRecord) -> str | None:
        """Return why the model cannot score a read, or None."""
        return unfit(record, self._facts, self._force)

    def score(self, record: SignalRecord) -> Scored:
        """Return the scores of a read, chunk by chunk, joined."""
        read = plan_read(record, self._facts, self._cut, self._stride)
        if read is None:
            return Scored(
                np.empty((0, self._engine.symbols), np.float32), len(record.raw), self._stride, len(record.raw)
            )
        scores = np.empty((read.chunks[-1].last, self._engine.symbols), np.float32)

        def run(part: list[Span]) -> None:
            x = np.zeros((len(part), self._cut.samples), np.float32)
            for row, span in zip(x, part, strict=True):
                fill(row, read.signal, span)
            wanted = [
                [(span.first - span.origin, span.last - span.origin, scores[span.first : span.last])] for span in part
            ]
            self._engine.score(x, np.array([span.length for span in part]), wanted)

        rows = max(1, min(self._engine.rows, -(-len(read.chunks) // self._threads)))
        blocks = [read.chunks[begin : begin + rows] for begin in range(0, len(read.chunks), rows)]
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(run, blocks))
        return Scored(scores, read.trimmed, self._stride, read.samples)

    def call(self, scored: Scored) -> ReadCall:
        """Return what the model calls, with the sample at which each base begins."""
        if not len(scored.scores):
            return ReadCall(np.zeros(0, np.uint8), np.zeros(0, np.int64))
        pieces = piece_spans(len(scored.scores))
        parts = [self._decode(scored.scores[piece.start : piece.start + piece.length]) for piece in pieces]
        decoded = join(parts, pieces)
        placed, begin = move_table(decoded, scored.samples, scored.trimmed, scored.stride)
        placed = calibrated(placed, self._calibration)
        starts = begin + scored.stride * np.flatnonzero(placed.moves).astype(np.int64)
        end = begin + scored.stride * len(placed.moves)
        return ReadCall(parse_bases(placed.bases), starts, end, mean_phred(placed.quals))
