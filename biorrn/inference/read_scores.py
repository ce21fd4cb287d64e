"""The scores of one read at a time, for work that needs more of a model than its calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from biorrn.config import Chunks
from biorrn.encoders.signal import NORMALISERS, trim_start
from biorrn.errors import ConfigError
from biorrn.inference.chunking import check, fill, place, spans
from biorrn.inference.decoders import DECODERS, Decoded
from biorrn.inference.forward import model_on, padded_rows
from biorrn.inference.quality import calibration_of
from biorrn.lookup import lookup
from biorrn.models.store import Stored
from biorrn.readers.calls import mean_phred, parse_bases
from biorrn.readers.records import ReadCall, SignalRecord

RATE_TOLERANCE = 0.02  # as `inference.basecall` allows


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model makes of one read.

    Attributes
    ----------
    scores : float32 array (T', S).
    trimmed : int: samples at the start without a frame; frame t tells of the bases at sample trimmed + t * stride. A
        model trained by CTC or CRF may say a base some frames before its current comes, always as many: its fact
        `early`, which is taken out here.
    stride : int: samples a frame.
    samples : int: samples of the read.
    """

    scores: np.ndarray
    trimmed: int
    stride: int
    samples: int


class Scorer:
    """A basecalling model that scores whole reads."""

    def __init__(
        self, stored: Stored, *, device: torch.device | str = "cpu", batch_size: int = 64, decoder: str = "auto"
    ) -> None:
        """Take a model.

        Raises
        ------
        ConfigError: it is not one for basecalling, or the decoder is unknown.
        """
        if stored.facts.get("task") != "basecalling":
            task = stored.facts.get("task")
            raise ConfigError(f"{stored.path}: is a model for {task}; labels need one for basecalling")
        self._facts: dict[str, Any] = stored.facts
        self._cut = stored.recipe.chunks or Chunks()
        self._stride = int(stored.facts["stride"])
        check(self._cut.samples, self._cut.overlap, self._stride)
        self._normalise = lookup(NORMALISERS, stored.facts["normaliser"], "normaliser")
        self._decode: Callable[[np.ndarray], Decoded] = partial(
            lookup(DECODERS, decoder, "decoder"), calibration=calibration_of(stored.facts)
        )
        self._device, self._batch_size = torch.device(device), batch_size
        self._model = model_on(stored.model, device)

    def fault(self, record: SignalRecord) -> str | None:
        """Return why the model cannot score a read, or None."""
        rate = float(self._facts["sample_rate"])
        if not abs(record.sample_rate - rate) <= RATE_TOLERANCE * rate:
            return f"sample rate {record.sample_rate:g} Hz where the model needs {rate:g} Hz"
        return None if len(record.raw) else "no samples"

    def score(self, record: SignalRecord) -> Scored:
        """Return the scores of a read, chunk by chunk, joined."""
        current = record.picoamperes()
        trimmed = trim_start(current, record.sample_rate)
        signal = self._normalise(current[trimmed:])
        size = self._cut.samples
        plan = spans(len(signal), size, self._cut.overlap, self._stride)
        joined = np.empty((0, 0), np.float32)
        for begin in range(0, len(plan), self._batch_size):
            part = plan[begin : begin + self._batch_size]
            height = padded_rows(len(part), self._batch_size, self._device)
            x = np.zeros((height, size), np.float32)
            lengths = np.full(height, size, np.int64)
            for row, span in enumerate(part):
                fill(x[row], signal, span)
                lengths[row] = span.length
            with torch.inference_mode():
                tensors = (torch.from_numpy(x)[:, :, None].to(self._device), torch.from_numpy(lengths).to(self._device))
                scores = self._model(*tensors)[0].float().cpu().numpy()  # (B, T', S)
            if begin == 0:
                joined = np.empty((plan[-1].last, scores.shape[2]), np.float32)
            for row, span in enumerate(part):
                place(joined, scores[row], span)
        early = min(int(self._facts.get("early", 0)), max(0, len(joined) - 1))
        joined = joined[: len(joined) - early]
        return Scored(joined, trimmed + early * self._stride, self._stride, len(record.raw))

    def call(self, scored: Scored) -> ReadCall:
        """Return what the model calls, with the sample at which each base begins."""
        if not len(scored.scores):
            return ReadCall(np.zeros(0, np.uint8), np.zeros(0, np.int64))
        decoded = self._decode(scored.scores)
        starts = scored.trimmed + scored.stride * np.flatnonzero(decoded.moves).astype(np.int64)
        end = min(scored.samples, scored.trimmed + scored.stride * len(scored.scores))
        return ReadCall(parse_bases(decoded.bases), starts, end, mean_phred(decoded.quals))
