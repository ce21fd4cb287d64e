"""From records to a state, or values, at each residue: streamed, in the order of the input.

As in `inference.predict`, a result is the same for any batch size, company and number of threads. Chains of more than
`LONGEST` residues are cut into windows that overlap by `OVERLAP`; in the middle of an overlap one hands over to the
next, so that each residue is seen with at least half an overlap around it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from biorrn.device import has_bfloat16
from biorrn.encoders.alphabets import RESIDUES
from biorrn.errors import ConfigError
from biorrn.inference.chunking import Span, spans
from biorrn.inference.forward import model_on
from biorrn.inference.predict import LEFT_OUT, flags
from biorrn.inference.property_engine import chosen_kind
from biorrn.inference.shapes import batches
from biorrn.inference.streams import joined, padded, stream
from biorrn.kernels.lstm import BFLOAT
from biorrn.models.ensemble import probabilities
from biorrn.models.store import Stored
from biorrn.readers.records import ProteinRecord

LONGEST, OVERLAP = 2048, 256  # residues of a window, and of two that follow one another
WINDOW_RESIDUES = 500_000  # read ahead at most

Passed = tuple[np.ndarray, np.ndarray]  # path uint8 (B, T), and probabilities or values float32 (B, T, S)


@dataclass(frozen=True, slots=True)
class Tagging:
    """What a model says of the residues of one sequence.

    Attributes
    ----------
    id, sequence : str: of the record.
    states : str: one letter a residue; "" of a model of values.
    scores : float32 array (T, S): the probability of each state, in the order of the model's states; or values (T, K).
    flags : list of str: reasons for doubt, as of `inference.predict.Prediction`.
    """

    id: str
    sequence: str
    states: str
    scores: np.ndarray
    flags: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> bool:
        """Tell whether the record could not be used; the flags say why."""
        return self.flags[:1] == [LEFT_OUT]

    @property
    def confidence(self) -> np.ndarray:
        """The largest probability at each residue, float32 (T,)."""
        return self.scores.max(axis=1, initial=0.0)


def tag_columns(stored: Stored) -> tuple[str, list[str]]:
    """Return the states of a tagging model ("" where it gives values) and the names of its columns: states or values.

    Raises
    ------
    ConfigError: the model is not one for tagging.
    """
    facts = stored.facts
    if facts.get("task") != "tagging":
        raise ConfigError(f"{stored.path}: is a model for {facts.get('task')}; needed here is one for tagging")
    if facts.get("kind") == "values":
        return "", [str(target["name"]) for target in facts["targets"]]
    return str(facts["states"]), list(facts["states"])


def tag(
    stored: Stored,
    records: Iterable[ProteinRecord],
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    threads: int | None = None,
    precision: str = "auto",
) -> Iterator[Tagging]:
    """Tag each record, in input order; memory does not grow with the number of records, nor with a chain's length.

    Parameters
    ----------
    stored : Stored: a tagging model.
    records : iterable of ProteinRecord, whose letters are of the model's alphabet.
    batch_size : int: windows a forward pass; fewer where they are long. Changes the speed, not the result.
    threads : int, optional: CPU threads; default: as many as torch uses. Changes the speed, not the result.
    precision : str: "auto" and "32" are float32, "bf16" is bfloat16 where the CPU and torch's LSTM have it.

    Raises
    ------
    ConfigError: the model is not one for tagging, or there is no such precision here.
    BiorrnError: the batch size is below 1, or a record holds a letter outside the alphabet.
    """
    states, columns = tag_columns(stored)
    where = torch.device(device)
    half = precision != "auto" and where.type == "cpu" and chosen_kind(precision) == BFLOAT and has_bfloat16(where)
    run = _Run(model_on(stored.model, where), stored.facts, states, len(columns), batch_size, where, half)
    limits: dict[str, Any] = {"batch_size": batch_size, "threads": threads, "residues": WINDOW_RESIDUES}
    return stream(records, run.send, run.finish, device=where, **limits)


def states_and_marginals(model: nn.Module, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states int64 (B, T) that a model calls, and the probability of each, float32 (B, T, S).

    A head with transitions gives marginal probabilities, and calls states or the best path as its recipe says. Without
    them, and of an ensemble, whose probabilities are the weighted mean of its members', each residue is called its most
    probable state.
    """
    outputs, steps = model(x, lengths)
    decode: Any = getattr(getattr(model, "head", None), "decode", None)
    if decode is not None:
        path, marginals = decode(outputs.float(), steps)
        return path, marginals.float()
    marginals = probabilities(model, outputs, steps)
    return marginals.argmax(-1), marginals


@dataclass(frozen=True, slots=True)
class _Window:
    """Records under way: their windows, and what each batch gives of which of these."""

    records: list[ProteinRecord]
    starts: np.ndarray  # int64 (N,): where each record begins among the residues of all
    places: list[tuple[int, Span]]  # record and span of each window
    batches: list[tuple[list[int], Future[Passed]]]


class _Run:
    """One pass of a tagging model over many records."""

    def __init__(
        self,
        model: nn.Module,
        facts: dict[str, Any],
        states: str,
        columns: int,
        batch_size: int,
        device: torch.device,
        half: bool,
    ) -> None:
        self.model, self.facts, self.columns, self.batch_size = model, facts, columns, batch_size
        self.device, self.half = device, half
        self.letters = np.frombuffer(states.encode("latin-1"), np.uint8) if states else None

    def send(self, records: list[ProteinRecord], pool: ThreadPoolExecutor) -> _Window:
        lengths = np.array([len(record.sequence) for record in records], np.int64)
        flat, starts = joined(records, self.facts.get("alphabet") or RESIDUES), np.cumsum(lengths) - lengths
        places = [(row, span) for row, size in enumerate(lengths.tolist()) for span in spans(size, LONGEST, OVERLAP, 1)]
        begins = np.array([starts[row] + span.start for row, span in places], np.int64)
        sizes = np.array([span.length for _, span in places], np.int64)
        sent = []
        for rows in batches(sizes.tolist(), self.batch_size):
            sent.append((rows, pool.submit(self._forward, flat, begins[rows], sizes[rows])))
        return _Window(records, starts, places, sent)

    def finish(self, window: _Window) -> Iterator[Tagging]:
        total = sum(len(record.sequence) for record in window.records)
        path, scores = np.zeros(total, np.uint8), np.zeros((total, self.columns), np.float32)
        for rows, passed in window.batches:
            paths, given = passed.result()
            for place, row in enumerate(rows):
                record, span = window.places[row]
                target = slice(window.starts[record] + span.first, window.starts[record] + span.last)
                source = slice(span.first - span.origin, span.last - span.origin)
                path[target], scores[target] = paths[place, source], given[place, source]
        text = "" if self.letters is None else self.letters[path].tobytes().decode("latin-1")
        ends = itertools.chain(window.starts[1:].tolist(), [total])
        for one, start, end in zip(window.records, window.starts.tolist(), ends, strict=True):
            # a copy, so that one that is kept does not hold all others
            yield Tagging(one.id, one.sequence, text[start:end], scores[start:end].copy(), flags(one, self.facts))

    def _forward(self, flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Passed:
        x, sizes = padded(flat, starts, lengths, self.batch_size, self.device)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            if self.letters is None:
                scores = self.model(x, sizes)[0].float()
                path = torch.zeros(scores.shape[:2], dtype=torch.int64)
            else:
                path, scores = states_and_marginals(self.model, x, sizes)
            kept = slice(0, len(lengths))
            return path[kept].cpu().numpy().astype(np.uint8), scores[kept].cpu().numpy()
